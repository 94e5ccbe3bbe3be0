//! A request on its way to the handler, with the permit that it has while it is handled.

use std::fmt::Debug;
use std::sync::Arc;

use crate::boxed_future::Boxed;
use crate::context::Context;
use crate::error::Result;
use crate::payload::Payload;
use crate::reply::Reply;

/// Whether a topic is that of a service, which is called, or of an event, which is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TopicKind {
    /// A service that the module provides. The caller gets the reply.
    Service,
    /// An event that the module subscribes to. The host gets the reply; the publisher doesn't.
    Event,
}

/// A service call or an event on its way through the [middleware](crate::middleware) to the handler.
#[derive(Debug)]
pub struct Request {
    pub(crate) kind: TopicKind,
    pub(crate) payload: Payload,
    pub(crate) context: Context,
    /// `None` while the request is queued. With middleware it is one of two parts: `Serve::handle` keeps the other until the middleware
    /// has ended.
    pub(crate) permit: Option<Permit>,
}

/// A handler's future of its reply. It may panic: who polls it catches that. Boxed, since one future type for a thousand topics would be
/// huge.
pub type Handling = Boxed<Result<Reply>>;

impl Request {
    pub(crate) fn new(kind: TopicKind, payload: Payload, context: Context) -> Self {
        Self { kind, payload, context, permit: None }
    }

    /// Whether it is a service call or an event.
    #[must_use]
    pub fn kind(&self) -> TopicKind {
        self.kind
    }

    /// The topic, the caller, the deadline, and so on.
    #[must_use]
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The context, to pass values to the handler with [`Context::insert`].
    pub fn context_mut(&mut self) -> &mut Context {
        &mut self.context
    }

    /// The payload as it came, or as a middleware further out has changed it; perhaps empty. The SDK reads it into the manifest's type
    /// after the innermost middleware, and returns `INVALID_INPUT` to that if it can't.
    #[must_use]
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The payload, to replace it before it is read into the handler's type: by one that was decrypted, say.
    pub fn payload_mut(&mut self) -> &mut Payload {
        &mut self.payload
    }
}

/// The right to be one of the `max_concurrency` handlers that run at the same time. A request has it while the author's code may run.
/// Dropping it returns it, so that the next queued request can begin; if it was split, dropping its last part does.
#[derive(Debug)]
pub(crate) struct Permit {
    /// Taken when the permit is dropped.
    issuer: Option<Arc<dyn PermitIssuer>>,
    /// Shared by all parts of a permit that was split. `None` if it was not split.
    parts: Option<Arc<()>>,
}

/// Takes permits back: [`Requests`](crate::requests), which gives them out.
pub(crate) trait PermitIssuer: Debug + Send + Sync {
    /// Called once for each permit, by the thread that drops its last part. May begin the next queued request, but does not run it.
    fn permit_returned(self: Arc<Self>);
}

impl Permit {
    /// A permit that was counted already: `issuer` gets it back.
    pub(crate) fn new(issuer: Arc<dyn PermitIssuer>) -> Self {
        Self { issuer: Some(issuer), parts: None }
    }

    /// Splits the permit in two parts, which may be split again. It is returned when all parts are dropped.
    pub(crate) fn split(mut self) -> (Self, Self) {
        let parts = self.parts.get_or_insert_default();
        let other = Self { issuer: self.issuer.clone(), parts: Some(Arc::clone(parts)) };
        (self, other)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // If several parts are dropped at the same time, `into_inner` returns `Some` for exactly one of them.
        if self.parts.take().is_none_or(|parts| Arc::into_inner(parts).is_some())
            && let Some(issuer) = self.issuer.take()
        {
            issuer.permit_returned();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[derive(Debug, Default)]
    struct Returned(AtomicUsize);

    impl PermitIssuer for Returned {
        fn permit_returned(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_permit_is_returned_once_with_its_last_part() {
        let issuer = Arc::new(Returned::default());
        let returned = || issuer.0.load(Ordering::Relaxed);
        drop(Permit::new(Arc::clone(&issuer) as _));
        assert_eq!(returned(), 1);
        let (one, other) = Permit::new(Arc::clone(&issuer) as _).split();
        let (other, third) = other.split();
        drop(one);
        drop(third);
        assert_eq!(returned(), 1);
        drop(other);
        assert_eq!(returned(), 2);
    }
}
