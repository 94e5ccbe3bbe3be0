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
pub trait Module: 'static {
    /// The module's name in its manifest.
    const NAME: &'static str;
    /// The module's version in its manifest.
    const VERSION: &'static str;
    /// The generated `Config`.
    type Config: FromConfig + Send + 'static;
    /// The generated `Topic`.
    type Topic: FromStr<Err = UnknownTopic> + Send;
    /// The author's type, which implements the generated `Handler`.
    type Handler: Send + Sync + 'static;

    /// The names of all topics.
    fn topics() -> impl Iterator<Item = &'static str>;
    /// `Handler::init`.
    fn init(config: Self::Config, runtime: Runtime) -> impl Future<Output = Result<Self::Handler>> + Send;
    /// Calls the handler's method for a topic.
    fn handle(topic: Self::Topic, call: Call<Self::Handler>) -> Handling;
    /// The topics of the events that the module takes, sorted.
    const EVENTS: &'static [&'static str] = &[];
    /// Calls the handler's method for the event with this index in `EVENTS`.
    #[must_use]
    fn handle_event(_event: usize, _call: Call<Self::Handler>) -> Handling {
        unreachable!("the module takes no events")
    }
    /// `Handler::health_check`.
    fn health_check(handler: &Self::Handler) -> impl Future<Output = Result<Health>> + Send;
    /// `Handler::shutdown`.
    fn shutdown(handler: &Self::Handler) -> impl Future<Output = Result<()>> + Send;
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

/// A method of the handler that is an `async fn`. A trait of its own, because a bound on functions can't say that the
/// future, which borrows the handler, is `Send`.
pub trait Method<'a, H: 'a, Req, Res>: FnOnce(&'a H, Req, Context) -> Self::Future {
    /// What the method returns.
    type Future: Future<Output = Result<Res>> + Send;
}

impl<'a, H, Req, Res, F, Fut> Method<'a, H, Req, Res> for F
where
    H: 'a,
    F: FnOnce(&'a H, Req, Context) -> Fut,
    Fut: Future<Output = Result<Res>> + Send,
{
    type Future = Fut;
}

/// A message that is to be handled.
///
/// Its methods take the handler's method by name, so that generated code has neither a closure nor an `async` block for
/// each topic: they are most of what rustc would spend on it.
pub struct Call<H> {
    pub(crate) handler: Arc<H>,
    pub(crate) payload: Payload,
    pub(crate) context: Context,
}

impl<H: Send + Sync + 'static> Call<H> {
    /// Calls a service's method, once the request is read.
    pub fn service<Req, Res, F>(self, method: F) -> Handling
    where
        Req: Request + 'static,
        Res: Serialize + 'static,
        F: for<'a> Method<'a, H, Req, Res> + Send + 'static,
    {
        Box::pin(async move {
            let request = Req::read(self.payload)?;
            reply(method(&self.handler, request, self.context).await)
        })
    }

    /// Calls a service's method that may block its thread, on one where that is allowed.
    pub fn blocking<Req, Res>(self, method: fn(&H, Req, Context) -> Result<Res>) -> Handling
    where
        Req: Request + 'static,
        Res: Serialize + 'static,
    {
        Box::pin(async move {
            let request = Req::read(self.payload)?;
            let work = tokio::task::spawn_blocking(move || reply(method(&self.handler, request, self.context)));
            match work.await {
                Ok(replied) => replied,
                Err(error) => match error.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    Err(_) => Err(Error::unavailable("the module is shutting down")),
                },
            }
        })
    }

    /// Calls the method that takes an event. There is nothing to answer but that it was taken.
    pub fn event<Event, F>(self, method: F) -> Handling
    where
        Event: Request + 'static,
        F: for<'a> Method<'a, H, Event, ()> + Send + 'static,
    {
        Box::pin(async move {
            let event = Event::read(self.payload)?;
            let taken = method(&self.handler, event, self.context).await;
            reply(taken.map(|()| Response::new()))
        })
    }
}

/// The reply's data for what the handler returned.
fn reply<Res: Serialize>(response: Result<Res>) -> Result<Box<RawValue>> {
    Ok(to_raw_value(&response?)?)
}
