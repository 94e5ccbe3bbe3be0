//! The context of a request: its caller, trace and deadline, and the values of middleware.

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

/// The context of the request that a handler handles: the caller, the trace, the deadline, and so on. It has the fields of `context` in
/// the Python and Node.js SDKs, and those of `message` except for the payload. Cheap to clone.
///
/// It is a [`Caller`]: calls that are made with it belong to the request. A clone may outlive the request, in a task that the handler has
/// spawned; its calls still end at the request's deadline.
#[derive(Debug, Clone)]
pub struct Context {
    link: Link,
    extensions: Extensions,
}

/// The values that middleware has inserted, by their types. `None` before the first. Clones share the map until one inserts a value.
#[derive(Clone, Default)]
struct Extensions(Option<Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.as_ref().map_or(0, |values| values.len()))
    }
}

impl Context {
    /// The context of the request of this link, without values of middleware.
    pub(crate) fn new(link: Link) -> Self {
        Self { link, extensions: Extensions::default() }
    }

    fn origin(&self) -> &Origin {
        self.link.origin()
    }

    /// When the frame was read, or the first of the frames that were read together: the deadline and the statistics count from here.
    pub(crate) fn received(&self) -> Instant {
        self.origin().received
    }

    /// The scope of log lines of this request.
    pub(crate) fn log_scope(&self) -> Scope {
        self.link.log_scope()
    }

    /// The topic of the service or event, as the caller has sent it. Only middleware may get one that the module does not have.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.origin().topic()
    }

    /// The trace id: all calls and events that follow from one first call have the same. Empty if the host has sent none.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.origin().trace_id()
    }

    /// The caller, or the publisher of an event, as `name:version`: a module, or the host itself, which also stands for callers on the
    /// command line. Empty if the host has sent none.
    #[must_use]
    pub fn source_module(&self) -> &str {
        self.origin().source()
    }

    /// The `traceparent` header of W3C Trace Context, such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`: make it the
    /// parent of your own spans. `None` if the host makes no spans. Calls that are made with this context don't need it: the host knows
    /// which request they belong to.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        Some(self.origin().traceparent()).filter(|traceparent| !traceparent.is_empty())
    }

    /// When the host has sent the request to the module, to the second; the caller may have sent it earlier. The beginning of 1970 if the
    /// host did not say, or if the time is beyond the range of `SystemTime`.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        // A time beyond the clock's range counts as none.
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(self.origin().timestamp))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The priority of the request, [`Priority::Low`] if the host has sent none; the host sends events with low priority. Among queued
    /// requests, one with the highest priority begins next, but every eighth time the oldest one.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.origin().priority
    }

    /// How long the caller still waited when the host sent the request, in whole milliseconds. Zero if the time was over. `None` if the
    /// host has sent none: there is no deadline. For the time that is left, see [`remaining`](Self::remaining).
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.origin().ttl
    }

    /// The deadline: [`ttl`](Self::ttl) after the SDK has read the request. Some milliseconds after it, the SDK replies with
    /// `DEADLINE_EXCEEDED`, and drops the handler's future; a method that blocks its thread goes on. `None` if there is no ttl, or if the
    /// deadline is beyond the clock's range.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.origin().deadline
    }

    /// The time from now to the [`deadline`](Self::deadline); zero after it, `None` if there is none.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether the request was answered before its handler has ended: the caller has cancelled it, its deadline is over, or the module's
    /// shutdown could not wait longer. It then stays true. It stays false if the handler has replied. A handler that blocks its thread
    /// should check this now and then, and return if it is true: its result is lost. An async handler need not: its future is dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.origin().cancelled.initialized()
    }

    /// Waits until [`is_cancelled`](Self::is_cancelled) is true: for tasks that the handler has spawned. Returns at once if it is true
    /// already. Never returns if the handler replies first.
    pub async fn cancelled(&self) {
        self.origin().cancelled.wait().await;
    }

    /// Makes [`is_cancelled`](Self::is_cancelled) true, for all clones. Called when the request is answered before its handler has ended.
    pub(crate) fn cancel(&self) {
        let _ = self.origin().cancelled.set(());
    }

    /// Sets the value of type `T`, in place of an earlier one of that type; [`get`](Self::get) returns it in the handler. For
    /// [middleware](crate::middleware), but a handler may use it too. It changes this clone of the context, and those that are made of it
    /// later; other clones keep what they have.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let values = Arc::make_mut(self.extensions.0.get_or_insert_default());
        values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of exactly the type `T` that was [inserted](Self::insert) last. `None` if none was.
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
