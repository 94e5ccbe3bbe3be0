//! What a handler knows about its request.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ixt_protocol::Priority;
use tokio::time::Instant;

use crate::caller::Caller;
use crate::caller::sealed::Sealed;
use crate::host_services::link::{Link, Origin};
use crate::log::Scope;

/// What a handler knows about the request that it handles: the caller, the trace, the deadline, and so on. It is the `context` of
/// the Python and Node.js SDKs, together with the fields of their `message` beside topic and payload. Cheap to clone.
///
/// It is a [`Caller`]: calls that are made with it belong to the request.
#[derive(Debug, Clone)]
pub struct Context {
    link: Link,
    extensions: Extensions,
}

/// The values that middleware has inserted, by their types.
#[derive(Clone, Default)]
struct Extensions(Option<Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.as_ref().map_or(0, |values| values.len()))
    }
}

impl Context {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, extensions: Extensions::default() }
    }

    fn origin(&self) -> &Origin {
        self.link.origin()
    }

    /// When the frame was read.
    pub(crate) fn received(&self) -> Instant {
        self.origin().received
    }

    pub(crate) fn log_scope(&self) -> Scope {
        self.link.log_scope()
    }

    /// The topic of the service or event.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.origin().topic()
    }

    /// The trace id, which all calls and events have in common that stem from one first call. Empty if the host sent none.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.origin().trace_id()
    }

    /// The calling module as `name:version`, or the host's name for itself, for calls from the command line, say. Empty if the host
    /// sent none.
    #[must_use]
    pub fn source_module(&self) -> &str {
        self.origin().source()
    }

    /// The `traceparent` header of W3C Trace Context, such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`: make it the
    /// parent of spans of your own. `None` if the host records no spans. Calls made with this context need none of it: the host
    /// knows which request they belong to.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        Some(self.origin().traceparent()).filter(|traceparent| !traceparent.is_empty())
    }

    /// When the host sent the request, to the second. 1970 if it did not say.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        // A time beyond the clock's range is as good as none.
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(self.origin().timestamp))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The priority that the caller has set. It decides the order of the queue in front of the handlers.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.origin().priority
    }

    /// The time to the deadline when the host sent the request. `None` if there is no deadline.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.origin().ttl
    }

    /// The deadline. Within some milliseconds after it, the caller gets `DEADLINE_EXCEEDED`, and the handler's future is dropped.
    /// `None` if there is no deadline.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.origin().deadline
    }

    /// The time from now to the deadline; zero after it, `None` if there is no deadline.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the request was ended before its handler: the caller has cancelled it, its deadline is over, or the module's
    /// shutdown could not wait longer. A handler that blocks its thread should look at this now and then, and return; an async
    /// handler need not, since its future is dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.origin().cancelled.initialized()
    }

    /// Waits until the request is ended before its handler, as in [`is_cancelled`](Self::is_cancelled): for tasks that the handler
    /// has spawned. Never returns if the handler replies first.
    pub async fn cancelled(&self) {
        self.origin().cancelled.wait().await;
    }

    pub(crate) fn cancel(&self) {
        let _ = self.origin().cancelled.set(());
    }

    /// Sets the value of type `T`, in place of an earlier one; [`get`](Self::get) returns it in the handler. For
    /// [middleware](crate::middleware). Clones of the context that were made before don't see it.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let values = Arc::make_mut(self.extensions.0.get_or_insert_default());
        values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of type `T` that middleware has [inserted](Self::insert).
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.extensions.0.as_ref()?.get(&TypeId::of::<T>())?.downcast_ref()
    }
}

impl Caller for Context {}

impl Sealed for Context {
    fn link(&self) -> &Link {
        &self.link
    }
}
