//! What stands around every call of a handler: authentication, metrics, timing, limits.
//!
//! A middleware is a tower [`Layer`] over a [`Service`] that takes a [`Request`] and gives a [`Reply`] or an
//! [`Error`]; [`Launcher::layer`](crate::Launcher::layer) puts it around the handler. It sees services and events
//! alike, before the payload is read, and runs within the request's concurrency slot, deadline and log scope. A panic in it is
//! answered `INTERNAL`, like one of the handler.
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

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{self, Poll};

use ixt_protocol::Object;
use serde::{Serialize, Serializer};
pub use tower_layer::Layer;
pub use tower_service::Service;

use crate::module::Handling;
use crate::runtime::Slot;
use crate::wire::{Apart, Encode};
use crate::{Context, Error, Payload, Result};

/// Whether a message asks for an answer, or only tells something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A request to a service that the module provides.
    Service,
    /// An event that the module takes.
    Event,
}

/// A message on its way to the handler.
#[derive(Debug)]
pub struct Request {
    pub(crate) kind: Kind,
    pub(crate) payload: Payload,
    pub(crate) context: Context,
    /// Held for as long as it is handled.
    pub(crate) slot: Option<Slot>,
}

impl Request {
    pub(crate) fn new(kind: Kind, payload: Payload, context: Context) -> Self {
        Self { kind, payload, context, slot: None }
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its topic, who sends it, its deadline.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// To give the handler something with [`Context::insert`].
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// The payload, not yet read.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// To put another payload in its place, such as one that was decrypted.
    pub fn payload_mut(&mut self) -> &mut Payload {
        &mut self.payload
    }
}

/// What a handler answered: a JSON object.
#[derive(Debug, Clone)]
pub struct Reply(Object<'static>);

impl Reply {
    pub(crate) fn new(data: Object<'static>) -> Self {
        Self(data)
    }

    /// What a handler gives: of its bytes, those of one field are sent as they are, where that can be done.
    pub(crate) fn of(data: &impl Encode) -> Result<Self> {
        struct Whole<'a, T>(&'a T, RefCell<Apart>);

        impl<T: Encode> Serialize for Whole<'_, T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
                self.0.encode_apart(serializer, &mut self.1.borrow_mut())
            }
        }

        let whole = Whole(data, RefCell::default());
        let object = Object::trusted(serde_json::to_string(&whole)?);
        Ok(Self(match whole.1.into_inner() {
            None => object,
            Some((key, bytes)) => object.attach(key, bytes),
        }))
    }

    /// What serializes to an object.
    pub(crate) fn json(data: &impl Serialize) -> Result<Self> {
        Ok(Self(Object::trusted(serde_json::to_string(data)?)))
    }

    /// The object as JSON; bytes, as those of [`Response::with_bytes`](crate::Response::with_bytes), are base64 in it, however
    /// they are sent.
    #[must_use]
    pub fn to_json(&self) -> Cow<'_, str> {
        self.0.to_json()
    }

    pub(crate) fn data(self) -> Object<'static> {
        self.0
    }
}

/// The handler, or the middleware within another: what a [`Layer`] is put around. It is always ready.
#[derive(Clone)]
pub struct Next(Arc<dyn Fn(Request) -> Handling + Send + Sync>);

impl Next {
    pub(crate) fn new(call: impl Fn(Request) -> Handling + Send + Sync + 'static) -> Self {
        Self(Arc::new(call))
    }

    pub(crate) fn call(&self, request: Request) -> Handling {
        self.0(request)
    }

    /// Puts a layer around it.
    pub(crate) fn wrapped<L>(self, layer: &L) -> Self
    where
        L: Layer<Self>,
        L::Service: Service<Request, Response = Reply, Error: Into<Error>, Future: Send> + Clone + Send + 'static,
    {
        // Many services can be cloned and sent, but not shared.
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
