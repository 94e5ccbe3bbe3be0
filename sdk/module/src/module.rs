//! Between the session, which knows frames, and generated code, which knows types.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use ixt_protocol::read_json;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};

use crate::config::FromConfig;
use crate::{Context, Error, Health, Payload, Response, Result, Runtime, UnknownTopic};

/// A module as the session sees it. Generated code implements it on top of the author's `Handler`.
pub trait Module: Sized + Send + Sync + 'static {
    /// The module's name in its manifest.
    const NAME: &'static str;
    /// The module's version in its manifest.
    const VERSION: &'static str;
    /// The generated `Config`.
    type Config: FromConfig + Send + 'static;
    /// The generated `Topic`.
    type Topic: FromStr<Err = UnknownTopic> + Send;

    /// The names of all topics.
    fn topics() -> impl Iterator<Item = &'static str>;
    /// `Handler::init`.
    fn init(config: Self::Config, runtime: Runtime) -> impl Future<Output = Result<Self>> + Send;
    /// The handler's method for a topic.
    fn handle(self: Arc<Self>, topic: Self::Topic, payload: Payload, context: Context) -> Handling;
    /// The topics of the events that the module takes, sorted.
    const EVENTS: &'static [&'static str] = &[];
    /// The handler's method for the event with this index in `EVENTS`.
    fn handle_event(self: Arc<Self>, _event: usize, _payload: Payload, _context: Context) -> Handling {
        unreachable!("the module takes no events")
    }
    /// `Handler::health_check`.
    fn health_check(&self) -> impl Future<Output = Result<Health>> + Send;
    /// `Handler::shutdown`.
    fn shutdown(&self) -> impl Future<Output = Result<()>> + Send;
}

/// A request on its way through a handler. Boxed, so that one dispatch over a thousand topics isn't one huge future.
pub type Handling = Pin<Box<dyn Future<Output = Result<Box<RawValue>>> + Send>>;

/// What a handler's method can take.
pub trait Request: Sized + Send {
    /// Makes it from the payload.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if the payload is not one.
    fn read(payload: Payload) -> Result<Self>;
}

impl Request for Payload {
    fn read(payload: Payload) -> Result<Self> {
        Ok(payload)
    }
}

impl<T: DeserializeOwned + Send> Request for T {
    fn read(payload: Payload) -> Result<Self> {
        // An empty payload is an empty object (protocol).
        let json: &[u8] = if payload.is_empty() { b"{}" } else { &payload };
        read_json(json).map_err(|invalid| Error::invalid_json("the request is wrong", &invalid))
    }
}

/// The request that a payload holds. Only with that is the handler entered.
///
/// # Errors
///
/// `INVALID_INPUT` if the payload is not one.
pub fn request<Req: Request>(payload: Payload) -> Result<Req> {
    Req::read(payload)
}

/// The reply's data for what the handler returned.
///
/// # Errors
///
/// The handler's, and `INTERNAL` if the response can't be JSON.
pub fn reply<Res: Serialize>(response: Result<Res>) -> Result<Box<RawValue>> {
    Ok(to_raw_value(&response?)?)
}

/// The reply to an event: there is nothing to answer but that it was taken.
///
/// # Errors
///
/// The handler's.
pub fn taken(taken: Result<()>) -> Result<Box<RawValue>> {
    reply(taken.map(|()| Response::new()))
}

/// Runs a handler that may block its thread, on one where that is allowed.
pub fn handle_blocking<Req, Res, F>(payload: Payload, call: F) -> Handling
where
    Req: Request + 'static,
    Res: Serialize,
    F: FnOnce(Req) -> Result<Res> + Send + 'static,
{
    Box::pin(async move {
        let request = Req::read(payload)?;
        let work = tokio::task::spawn_blocking(move || reply(call(request)));
        match work.await {
            Ok(replied) => replied,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(Error::unavailable("the module is shutting down")),
            },
        }
    })
}
