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
use crate::{Context, Error, Health, Payload, Result, Runtime, UnknownTopic};

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

/// Turns the payload into the request, and only then calls the handler; turns what it returns into the reply's data.
pub fn handle<Req, Res, F, Fut>(payload: Payload, call: F) -> Handling
where
    Req: Request,
    Res: Serialize,
    F: FnOnce(Req) -> Fut,
    Fut: Future<Output = Result<Res>> + Send + 'static,
{
    match Req::read(payload) {
        Err(error) => Box::pin(std::future::ready(Err(error))),
        Ok(request) => {
            let response = call(request);
            Box::pin(async move { Ok(to_raw_value(&response.await?)?) })
        }
    }
}
