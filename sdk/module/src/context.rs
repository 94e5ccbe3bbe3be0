//! What a handler knows about the message it handles, and a module about its host.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ixt_protocol::{Handle, MAX_EXTEND_MS, Priority};
use tokio::sync::SetOnce;
use tokio::time::Instant;

use crate::services::call::{Caller, Calls, Link, sealed::Sealed};

/// What a call of the module is part of: a message that is handled, or nothing.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) calls: Arc<Calls>,
    /// The topic, the trace's id, the caller and the `traceparent`, one behind the other: one allocation for each message, not four.
    text: Box<str>,
    topic_end: usize,
    trace_id_end: usize,
    source_end: usize,
    /// The host's id of the message.
    pub(crate) parent: Option<u64>,
    received: Instant,
    pub(crate) deadline: Option<Instant>,
    timestamp: u64,
    priority: Priority,
    ttl: Option<Duration>,
    cancelled: SetOnce<()>,
}

impl Origin {
    /// No message.
    fn none(calls: Arc<Calls>) -> Self {
        Self {
            calls,
            text: Box::default(),
            topic_end: 0,
            trace_id_end: 0,
            source_end: 0,
            parent: None,
            received: Instant::now(),
            deadline: None,
            timestamp: 0,
            priority: Priority::default(),
            ttl: None,
            cancelled: SetOnce::new(),
        }
    }

    pub(crate) fn topic(&self) -> &str {
        &self.text[..self.topic_end]
    }

    pub(crate) fn trace_id(&self) -> &str {
        &self.text[self.topic_end..self.trace_id_end]
    }
}

/// The circumstances of one message (seeds: `context`, and what `message` says beside topic and payload). Cheap to clone.
///
/// It is a [`Caller`]: what a handler asks of others with it carries the message's trace, its priority where the call has none of
/// its own, and no more than what is left of its time.
#[derive(Debug, Clone)]
pub struct Context {
    link: Link,
    extensions: Extensions,
}

/// What middleware has found out, by its type.
#[derive(Clone, Default)]
struct Extensions(Option<Arc<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.as_ref().map_or(0, |values| values.len()))
    }
}

impl Context {
    /// `received` is when the message was read.
    pub(crate) fn new(id: Option<u64>, handle: &Handle<'_>, calls: &Arc<Calls>, received: Instant) -> Self {
        let Handle { message, context } = handle;
        let ttl = message.ttl_ms.map(Duration::from_millis);
        // A time that no clock can show is as good as none.
        let deadline = ttl.and_then(|ttl| received.checked_add(ttl));
        let parts = [&*message.topic, &*context.trace_id, &*context.source_module, &*context.traceparent];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        text.extend(parts);
        let origin = Origin {
            calls: Arc::clone(calls),
            text: text.into(),
            topic_end: message.topic.len(),
            trace_id_end: message.topic.len() + context.trace_id.len(),
            source_end: message.topic.len() + context.trace_id.len() + context.source_module.len(),
            parent: id,
            received,
            deadline,
            timestamp: context.timestamp,
            priority: message.priority,
            ttl,
            cancelled: SetOnce::new(),
        };
        Self { link: Link::new(origin), extensions: Extensions::default() }
    }

    fn origin(&self) -> &Origin {
        self.link.origin()
    }

    /// When the message was read.
    pub(crate) fn received(&self) -> Instant {
        self.origin().received
    }

    /// The topic under which the service was called.
    #[must_use]
    pub fn topic(&self) -> &str {
        self.origin().topic()
    }

    /// The same for all messages that one cause sets off; empty if the host gave none.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.origin().trace_id()
    }

    /// The caller, as `name:version`; empty if the host gave none.
    #[must_use]
    pub fn source_module(&self) -> &str {
        &self.origin().text[self.origin().trace_id_end..self.origin().source_end]
    }

    /// W3C Trace Context's `traceparent`, such as `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`, if the host has spans:
    /// the span in which spans of the module's own can be, and whether the trace is recorded. Calls made with this context need
    /// nothing of it: the host knows for which request they are made.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        Some(&self.origin().text[self.origin().source_end..]).filter(|traceparent| !traceparent.is_empty())
    }

    /// When the message was sent, to the second.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        // A time that no clock can show is as good as none.
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(self.origin().timestamp))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// How urgent the caller says it is.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.origin().priority
    }

    /// How long the caller was willing to wait when the host sent the message; `None` if it waits for ever.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.origin().ttl
    }

    /// When that is over: then the caller is answered `DEADLINE_EXCEEDED`, and the handler's future is dropped.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.origin().deadline
    }

    /// How much of the time is left; zero if nothing is.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline().map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Whether nobody waits for the answer any more: the caller has given up, the time is over, or the module could not
    /// wait longer with its shutdown. A handler that blocks its thread looks at this now and then; one that awaits is simply
    /// dropped.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.origin().cancelled.initialized()
    }

    /// Waits until nobody waits for the answer any more, for what a handler leaves running beside itself. Never ends if the
    /// message is answered before.
    pub async fn cancelled(&self) {
        self.origin().cancelled.wait().await;
    }

    pub(crate) fn cancel(&self) {
        let _ = self.origin().cancelled.set(());
    }

    /// Gives the handler a value, in place of one of the same type. For [middleware](crate::middleware).
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        let values = Arc::make_mut(self.extensions.0.get_or_insert_default());
        values.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type that middleware has given.
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

/// The module's view of its host, given to `Handler::init`. Cheap to clone, and usable from background tasks.
#[derive(Debug, Clone)]
pub struct Runtime {
    module_id: Arc<str>,
    link: Link,
    stopping: Arc<SetOnce<()>>,
}

impl Caller for Runtime {}

impl Sealed for Runtime {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl Runtime {
    pub(crate) fn new(module_id: &str, calls: &Arc<Calls>, stopping: &Arc<SetOnce<()>>) -> Self {
        Self {
            module_id: module_id.into(),
            link: Link::new(Origin::none(Arc::clone(calls))),
            stopping: Arc::clone(stopping),
        }
    }

    /// This instance's id, `name:version/instance-NNN` (seeds: `IXT_MODULE_ID`).
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// Asks the host to wait longer for `Handler::init`: for this much longer from now, unless it would have waited longer anyway.
    /// At most an hour; whoever needs more says so again. The host's log tells the message, what the module is doing; with
    /// [`Duration::ZERO`] that is all.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use ixt_sdk::Runtime;
    /// # async fn init(runtime: Runtime) {
    /// runtime.starting("migrating the database", Duration::from_secs(300));
    /// # }
    /// ```
    ///
    /// Once `init` has ended this does nothing, and so it does with a host that knows nothing of it, which waits as long as it
    /// waits.
    pub fn starting(&self, message: impl AsRef<str>, extend: Duration) {
        let extend_ms = u64::try_from(extend.as_millis()).unwrap_or(u64::MAX).min(MAX_EXTEND_MS);
        self.link.outgoing().starting(message.as_ref(), extend_ms);
    }

    /// Says whether the module takes new calls and events, which it does until it says otherwise; in `init`, whether it will when
    /// that has ended. While it does not, the host gives them to others of its processes, or lets them wait; what the module has
    /// goes on, and health checks come as before. The host knows at once, or, if it knows nothing of that, with the next health
    /// check. See also [`Health::not_ready`](crate::Health::not_ready): the module takes calls only if both say so.
    pub fn set_ready(&self, ready: bool) {
        self.link.outgoing().set_ready(ready);
    }

    /// Waits until the module gets nothing new because it is to end: for background tasks, and for handlers that wait for something
    /// that may never come, such as a long poll. A host that restarts the module says so (`draining`) while it still waits for what is
    /// being handled; otherwise it is known when the module shuts down. Unless the host is gone, calls still work until
    /// `Handler::shutdown` has ended.
    pub async fn stopping(&self) {
        self.stopping.wait().await;
    }
}
