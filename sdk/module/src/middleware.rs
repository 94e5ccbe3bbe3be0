//! Middleware: code around every call of a handler, for authentication, metrics, timing or limits.
//!
//! A middleware is a tower [`Layer`] over a [`Service`] that takes a [`Request`] and returns a [`Reply`] or an [`Error`];
//! [`Launcher::layer`](crate::Launcher::layer) puts it around the handler. It gets service calls and events alike, before their payload is
//! read into the manifest's type, but not `init`, health checks and the shutdown. The request's deadline, log scope and concurrency limit
//! hold for it too: at the deadline its future is dropped. If it panics, the reply is `INTERNAL`, as after a panic of the handler. A
//! request that is queued gets to it only when it begins. It may return an error without calling the handler. It can't make a successful
//! [`Reply`]: it returns the one that it gets from the handler, or a clone of an earlier one.
//!
//! ```
//! use std::task::{Context, Poll};
//! use std::time::Instant;
//!
//! use ixt_sdk::middleware::{Layer, Next, Request, Service};
//! use ixt_sdk::{Error, Result};
//!
//! /// Refuses callers that are not `trusted`, and logs how long the others took.
//! #[derive(Clone)]
//! struct Gate<S>(S);
//!
//! impl<S: Service<Request, Error = Error>> Service<Request> for Gate<S>
//! where
//!     S::Future: Send + 'static,
//!     S::Response: 'static,
//! {
//!     type Response = S::Response;
//!     type Error = Error;
//!     type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response>> + Send>>;
//!
//!     fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
//!         self.0.poll_ready(cx)
//!     }
//!
//!     fn call(&mut self, request: Request) -> Self::Future {
//!         if !request.context().source_module().starts_with("trusted:") {
//!             return Box::pin(async { Err(Error::new("PERMISSION_DENIED", "who are you?")) });
//!         }
//!         let (topic, start) = (request.context().topic().to_owned(), Instant::now());
//!         let call = self.0.call(request);
//!         Box::pin(async move {
//!             let reply = call.await;
//!             ixt_sdk::log(format!("{topic} took {:?}", start.elapsed()));
//!             reply
//!         })
//!     }
//! }
//!
//! struct GateLayer;
//!
//! impl Layer<Next> for GateLayer {
//!     type Service = Gate<Next>;
//!
//!     fn layer(&self, inner: Next) -> Gate<Next> {
//!         Gate(inner)
//!     }
//! }
//! ```
//!
//! In `main`, `module::<Orders>().layer(GateLayer).run()` in place of `run::<Orders>()`.

use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};

pub use tower_layer::Layer;
pub use tower_service::Service;

use crate::error::{Error, Result};
pub use crate::reply::Reply;
use crate::request::Handling;
pub use crate::request::{Request, TopicKind};

/// The [`Service`] that a [`Layer`] is put around: the handler, or the next middleware inside. Its `poll_ready` is always `Ok` at once; it
/// may be called any number of times, also at the same time by clones. Topics that the module doesn't have get to it too: the handler
/// answers them with `UNKNOWN_TOPIC`. If a middleware inside is not ready, the future that `call` returns waits for it, and returns its
/// error if it has one.
#[derive(Clone)]
pub struct Next(Arc<dyn Fn(Request) -> Handling + Send + Sync>);

impl Next {
    /// A service that calls this function for each request.
    pub(crate) fn new(call: impl Fn(Request) -> Handling + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    /// Calls the function, which may panic. The future does the rest.
    pub(crate) fn call(&self, request: Request) -> Handling {
        self.0(request)
    }

    /// Puts a layer around this service. Each request gets a clone of the layer's service, which is polled for readiness first. An error of
    /// readiness is the reply.
    pub(crate) fn wrapped<L>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Request, Response = Reply, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
    {
        // A mutex, since many services are `Clone` and `Send`, but not `Sync`.
        let service = Mutex::new(layer.layer(self));
        Self::new(move |request| {
            let mut service = service.lock().unwrap_or_else(PoisonError::into_inner).clone();
            Box::pin(async move {
                poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
                service.call(request).await.map_err(Into::into)
            })
        })
    }
}

impl Service<Request> for Next {
    type Response = Reply;
    type Error = Error;
    type Future = Handling;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Handling {
        Self::call(self, request)
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}
