//! Between the session, which knows frames, and generated code, which knows types.

use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;

use ixt_protocol::{code, read_json};
use serde::de::DeserializeOwned;

use crate::config::{FromConfig, read_config};
use crate::middleware::{Kind, Next, Reply, Request};
use crate::runtime::Slot;
use crate::wire::Encode;
use crate::{Context, Error, Health, Payload, Response, Result, Runtime, UnknownTopic, blocking};

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
pub type Handling = Pin<Box<dyn Future<Output = Result<Reply>> + Send>>;

/// A boxed future.
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What a handler's method can take.
pub trait FromPayload: Sized + Send {
    /// Makes it from the payload.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if the payload is not one.
    fn read(payload: Payload) -> Result<Self>;
}

impl FromPayload for Payload {
    fn read(payload: Payload) -> Result<Self> {
        Ok(payload)
    }
}

impl<T: DeserializeOwned + Send> FromPayload for T {
    fn read(payload: Payload) -> Result<Self> {
        // An empty payload is an empty object (protocol).
        let json: &[u8] = if payload.is_empty() { b"{}" } else { &payload };
        read_json(json).map_err(|invalid| Error::invalid_json("the request is wrong", &invalid))
    }
}

/// What a payload can be made of, for tests.
#[cfg(feature = "testing")]
pub trait IntoPayload {
    /// The payload.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it is not JSON.
    fn to_payload(&self) -> Result<Vec<u8>>;
}

#[cfg(feature = "testing")]
impl IntoPayload for Payload {
    fn to_payload(&self) -> Result<Vec<u8>> {
        Ok(self.to_vec())
    }
}

#[cfg(feature = "testing")]
impl<T: serde::Serialize> IntoPayload for T {
    fn to_payload(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec(self)?)
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
    handler: Arc<H>,
    payload: Payload,
    context: Context,
    /// Held for as long as the method runs.
    slot: Option<Slot>,
}

impl<H: Send + Sync + 'static> Call<H> {
    /// Calls a service's method, once the request is read.
    pub fn service<Req, Res, F>(self, method: F) -> Handling
    where
        Req: FromPayload + 'static,
        Res: Encode + 'static,
        F: for<'a> Method<'a, H, Req, Res> + Send + 'static,
    {
        Box::pin(async move {
            let Self { handler, payload, context, slot: _slot } = self;
            let request = Req::read(payload)?;
            method(&handler, request, context).await?.into_reply()
        })
    }

    /// Calls a service's method that may block its thread, on one where that is allowed.
    pub fn blocking<Req, Res>(self, method: fn(&H, Req, Context) -> Result<Res>) -> Handling
    where
        Req: FromPayload + 'static,
        Res: Encode + 'static,
    {
        Box::pin(async move {
            let Self { handler, payload, context, slot } = self;
            let request = Req::read(payload)?;
            // The thread runs on even when nobody waits for it any more, and so long it counts.
            blocking(move || {
                let _slot = slot;
                method(&handler, request, context)?.into_reply()
            })
            .await
        })
    }

    /// Calls the method that takes an event. There is nothing to answer but that it was taken.
    pub fn event<Event, F>(self, method: F) -> Handling
    where
        Event: FromPayload + 'static,
        F: for<'a> Method<'a, H, Event, ()> + Send + 'static,
    {
        Box::pin(async move {
            let Self { handler, payload, context, slot: _slot } = self;
            let event = Event::read(payload)?;
            let taken = method(&handler, event, context).await;
            taken.and_then(|()| Response::new().into_reply())
        })
    }
}

/// A module that has not started, whatever its types.
pub(crate) trait Start: Send + Sync {
    /// All topics that it has.
    fn topics(&self) -> Vec<(Kind, &'static str)>;
    /// Reads the configuration and calls `Handler::init`.
    fn start(&self, config: &str, runtime: Runtime) -> Boxed<Result<Arc<dyn Serve>>>;
}

/// A module that has started, whatever its types.
pub(crate) trait Serve: Debug + Send + Sync {
    /// Calls the handler's method, and what stands around it.
    fn handle(&self, request: Request) -> Handling;
    /// `Handler::health_check`.
    fn health_check(&self) -> Boxed<Result<Health>>;
    /// `Handler::shutdown`.
    fn shutdown(&self) -> Boxed<Result<()>>;
}

/// Puts the middleware around the handler.
pub(crate) type Wrap = Arc<dyn Fn(Next) -> Next + Send + Sync>;

/// A module of generated code, with the middleware around its handler.
pub(crate) struct Starter<M> {
    pub(crate) wrap: Option<Wrap>,
    pub(crate) module: PhantomData<fn() -> M>,
}

struct Started<M: Module> {
    handler: Arc<M::Handler>,
    /// The handler with its middleware, if there is any.
    wrapped: Option<Next>,
}

impl<M: Module> Start for Starter<M> {
    fn topics(&self) -> Vec<(Kind, &'static str)> {
        let services = M::topics().map(|topic| (Kind::Service, topic));
        services.chain(M::EVENTS.iter().map(|topic| (Kind::Event, *topic))).collect()
    }

    fn start(&self, config: &str, runtime: Runtime) -> Boxed<Result<Arc<dyn Serve>>> {
        self.start_with(read_config(config), runtime)
    }
}

impl<M: Module> Starter<M> {
    /// Calls `Handler::init`.
    pub(crate) fn start_with(&self, config: Result<M::Config>, runtime: Runtime) -> Boxed<Result<Arc<dyn Serve>>> {
        let wrap = self.wrap.clone();
        Box::pin(async move {
            let handler = Arc::new(M::init(config?, runtime).await?);
            let wrapped = wrap.map(|wrap| {
                let handler = Arc::clone(&handler);
                wrap(Next::new(move |request| dispatch::<M>(&handler, request)))
            });
            Ok(Arc::new(Started::<M> { handler, wrapped }) as Arc<dyn Serve>)
        })
    }
}

impl<M: Module> Serve for Started<M> {
    fn handle(&self, mut request: Request) -> Handling {
        match &self.wrapped {
            None => dispatch::<M>(&self.handler, request),
            Some(wrapped) => {
                // Middleware may go on when the handler has let go of it.
                let (slot, shared) = request.slot.take().map(Slot::share).unzip();
                request.slot = shared;
                let handling = wrapped.call(request);
                Box::pin(async move {
                    let _slot = slot;
                    handling.await
                })
            }
        }
    }

    fn health_check(&self) -> Boxed<Result<Health>> {
        let handler = Arc::clone(&self.handler);
        Box::pin(async move { M::health_check(&handler).await })
    }

    fn shutdown(&self) -> Boxed<Result<()>> {
        let handler = Arc::clone(&self.handler);
        Box::pin(async move { M::shutdown(&handler).await })
    }
}

impl<M: Module> Debug for Started<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Started").field("module", &M::NAME).finish_non_exhaustive()
    }
}

/// Calls the handler's method for a message.
fn dispatch<M: Module>(handler: &Arc<M::Handler>, request: Request) -> Handling {
    let Request { kind, payload, context, slot } = request;
    let unknown = |does: &str, topic: &str| -> Handling {
        let message = format!("the module `{}` does not {does} `{topic}`", M::NAME);
        Box::pin(async { Err(Error::new(code::UNKNOWN_TOPIC, message)) })
    };
    let call = |context| Call { handler: Arc::clone(handler), payload, context, slot };
    match kind {
        Kind::Service => match context.topic().parse() {
            Ok(topic) => M::handle(topic, call(context)),
            Err(_) => unknown("provide", context.topic()),
        },
        Kind::Event => match M::EVENTS.binary_search(&context.topic()) {
            Ok(event) => M::handle_event(event, call(context)),
            Err(_) => unknown("take the event", context.topic()),
        },
    }
}
