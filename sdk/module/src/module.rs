//! Connects the session, which knows frames and topics, with generated code, which knows the manifest's types: generated code implements
//! [`Module`], and the session calls it through [`Start`] and [`Serve`], which name none of these types.

use std::fmt::Debug;
use std::future::Future;
use std::marker::PhantomData;
use std::str::FromStr;
use std::sync::Arc;

use ixt_protocol::code;

use crate::blocking::blocking;
use crate::boxed_future::Boxed;
use crate::config::{FromConfig, read_config};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::health::Health;
use crate::middleware::Next;
use crate::payload::{FromPayload, Payload};
use crate::reply::IntoReply;
use crate::request::{Handling, Permit, Request, TopicKind};
use crate::response::Response;
use crate::runtime::Runtime;
use crate::topic::UnknownTopic;

/// A module and the author's `Handler` of it. Generated code implements it. The SDK calls `topics` at any time, and `init` at most once. If
/// `init` has succeeded, it then calls the others, several at a time, from any thread, and `shutdown` last, at most once. Methods that
/// block their threads may still run then.
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

    /// The topics of all services that the module provides, sorted, each once. Empty if it provides none.
    fn topics() -> impl Iterator<Item = &'static str>;
    /// Calls `Handler::init`.
    fn init(config: Self::Config, runtime: Runtime) -> impl Future<Output = Result<Self::Handler>> + Send;
    /// Calls the handler's method for a service of this module. Middleware has been called before.
    fn handle(topic: Self::Topic, call: Call<Self::Handler>) -> Handling;
    /// The topics of the events that the module subscribes to, sorted, each once: they are found by binary search.
    const EVENTS: &'static [&'static str] = &[];
    /// Calls the handler's method for the event with this index in `EVENTS`. Generated code has it if there is an event; without it, this
    /// panics, and is never called.
    #[must_use]
    fn handle_event(_event: usize, _call: Call<Self::Handler>) -> Handling {
        unreachable!("the module takes no events")
    }
    /// Calls `Handler::health_check`.
    fn health_check(handler: &Self::Handler) -> impl Future<Output = Result<Health>> + Send;
    /// Calls `Handler::shutdown`.
    fn shutdown(handler: &Self::Handler) -> impl Future<Output = Result<()>> + Send;
}

/// An `async fn` of the handler. It is a trait because a bound on `Fn` can't say that the returned future, which borrows the handler, is
/// `Send`.
pub trait Method<'a, H: 'a, Req, Res>: FnOnce(&'a H, Req, Context) -> Self::Future {
    /// The future that the method returns.
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

/// A request together with the handler. Generated code calls one of its methods with the path of the handler's method. That needs neither
/// a closure nor an `async` block for each topic, which would be most of the compile time.
///
/// A payload that is not of the method's type is the error `INVALID_INPUT`, and the method is not called. A response that can't be JSON is
/// the error `INTERNAL`. The payload is read when the future is first polled.
pub struct Call<H> {
    handler: Arc<H>,
    payload: Payload,
    context: Context,
    /// Dropped when the method's future has ended or is dropped, or, for a blocking method, when the method has returned.
    permit: Option<Permit>,
}

impl<H: Send + Sync + 'static> Call<H> {
    /// Reads the request, and calls an async method.
    pub fn service<Req, Res, F>(self, method: F) -> Handling
    where
        Req: FromPayload + 'static,
        Res: IntoReply + 'static,
        F: for<'a> Method<'a, H, Req, Res> + Send + 'static,
    {
        Box::pin(async move {
            let Self { handler, payload, context, permit: _permit } = self;
            let request = Req::read(payload)?;
            method(&handler, request, context).await?.into_reply()
        })
    }

    /// Reads the request, and calls a blocking method on a thread of tokio's blocking pool. If the future is dropped after its first poll,
    /// the method still runs to its end.
    pub fn blocking<Req, Res>(self, method: fn(&H, Req, Context) -> Result<Res>) -> Handling
    where
        Req: FromPayload + 'static,
        Res: IntoReply + 'static,
    {
        Box::pin(async move {
            let Self { handler, payload, context, permit } = self;
            let request = Req::read(payload)?;
            // The thread keeps the permit: it runs to its end even if this future is dropped.
            blocking(move || {
                let _permit = permit;
                method(&handler, request, context)?.into_reply()
            })
            .await
        })
    }

    /// Reads the event, and calls the async method for it. The reply is an empty object, or the method's error.
    pub fn event<Event, F>(self, method: F) -> Handling
    where
        Event: FromPayload + 'static,
        F: for<'a> Method<'a, H, Event, ()> + Send + 'static,
    {
        Box::pin(async move {
            let Self { handler, payload, context, permit: _permit } = self;
            let event = Event::read(payload)?;
            let taken = method(&handler, event, context).await;
            taken.and_then(|()| Response::new().into_reply())
        })
    }
}

/// A module before `init`, for code that does not know its types.
pub(crate) trait Start: Send + Sync {
    /// The topics of all services, and then of all events to which the module subscribes.
    fn topics(&self) -> Vec<(TopicKind, &'static str)>;
    /// Reads the configuration, a JSON object, at once, and returns the future that calls `Handler::init`. A wrong configuration is the
    /// future's error `INVALID_INPUT`, and `init` is not called.
    fn start(&self, config: &str, runtime: Runtime) -> Boxed<Result<Arc<dyn Serve>>>;
}

/// A module after `init`, for code that does not know its types.
pub(crate) trait Serve: Debug + Send + Sync {
    /// Calls the middleware, and within it the handler's method. `UNKNOWN_TOPIC` if there is none for the topic. The caller catches panics,
    /// here and below.
    fn handle(&self, request: Request) -> Handling;
    /// Calls `Handler::health_check`.
    fn health_check(&self) -> Boxed<Result<Health>>;
    /// Calls `Handler::shutdown`.
    fn shutdown(&self) -> Boxed<Result<()>>;
}

/// Puts all middleware around the handler. Called once, after `Handler::init`.
pub(crate) type Wrap = Arc<dyn Fn(Next) -> Next + Send + Sync>;

/// Starts the module `M`, which generated code has made, with the middleware of the [`Launcher`](crate::Launcher).
pub(crate) struct Starter<M> {
    /// `None` if there is no middleware.
    pub(crate) wrap: Option<Wrap>,
    pub(crate) module: PhantomData<fn() -> M>,
}

/// The module `M` after `Handler::init` has succeeded.
struct Started<M: Module> {
    handler: Arc<M::Handler>,
    /// The handler within its middleware. `None` if there is no middleware.
    wrapped: Option<Next>,
}

impl<M: Module> Start for Starter<M> {
    fn topics(&self) -> Vec<(TopicKind, &'static str)> {
        let services = M::topics().map(|topic| (TopicKind::Service, topic));
        services.chain(M::EVENTS.iter().map(|topic| (TopicKind::Event, *topic))).collect()
    }

    fn start(&self, config: &str, runtime: Runtime) -> Boxed<Result<Arc<dyn Serve>>> {
        self.start_with(read_config(config), runtime)
    }
}

impl<M: Module> Starter<M> {
    /// Calls `Handler::init`, unless `config` is an error, which is then returned.
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
                // Middleware may still run after the handler has returned its part of the permit.
                let (permit, inner) = request.permit.take().map(Permit::split).unzip();
                request.permit = inner;
                let handling = wrapped.call(request);
                Box::pin(async move {
                    let _permit = permit;
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

/// Calls the handler's method for a request. `UNKNOWN_TOPIC` if the module has none for the topic.
fn dispatch<M: Module>(handler: &Arc<M::Handler>, request: Request) -> Handling {
    let Request { kind, payload, context, permit } = request;
    let unknown = |does: &str, topic: &str| -> Handling {
        let message = format!("the module `{}` does not {does} `{topic}`", M::NAME);
        Box::pin(async { Err(Error::new(code::UNKNOWN_TOPIC, message)) })
    };
    let call = |context| Call { handler: Arc::clone(handler), payload, context, permit };
    match kind {
        TopicKind::Service => match context.topic().parse() {
            Ok(topic) => M::handle(topic, call(context)),
            Err(_) => unknown("provide", context.topic()),
        },
        TopicKind::Event => match M::EVENTS.binary_search(&context.topic()) {
            Ok(event) => M::handle_event(event, call(context)),
            Err(_) => unknown("take the event", context.topic()),
        },
    }
}
