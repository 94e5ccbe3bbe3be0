//! What a handler knows about the message it handles, and a module about its host.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ixt_protocol::{Handle, Priority};
use tokio::sync::SetOnce;
use tokio::time::Instant;

use crate::services::call::{Caller, Calls, Link, sealed::Sealed};

/// The circumstances of one message (seeds: `context`, and what `message` says beside topic and payload). Cheap to clone.
///
/// It is a [`Caller`]: what a handler asks of others with it carries the message's trace, and no more than what is left of
/// its time.
#[derive(Debug, Clone)]
pub struct Context {
    message: Arc<Message>,
    extensions: Extensions,
}

#[derive(Debug)]
struct Message {
    topic: String,
    link: Link,
    source_module: String,
    timestamp: u64,
    priority: Priority,
    ttl: Option<Duration>,
    cancelled: SetOnce<()>,
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
        let message = Message {
            topic: message.topic.to_string(),
            link: Link::new(Arc::clone(calls), &context.trace_id, id, deadline),
            source_module: context.source_module.to_string(),
            timestamp: context.timestamp,
            priority: message.priority,
            ttl,
            cancelled: SetOnce::new(),
        };
        Self { message: Arc::new(message), extensions: Extensions::default() }
    }

    /// The topic under which the service was called.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.message.topic
    }

    /// The same for all messages that one cause sets off; empty if the host gave none.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.message.link.trace_id()
    }

    /// The caller, as `name:version`; empty if the host gave none.
    #[must_use]
    pub fn source_module(&self) -> &str {
        &self.message.source_module
    }

    /// When the message was sent, to the second.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        // A time that no clock can show is as good as none.
        SystemTime::UNIX_EPOCH
            .checked_add(Duration::from_secs(self.message.timestamp))
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// How urgent the caller says it is.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.message.priority
    }

    /// How long the caller was willing to wait when the host sent the message; `None` if it waits for ever.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.message.ttl
    }

    /// When that is over: then the caller is answered `DEADLINE_EXCEEDED`, and the handler's future is dropped.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.message.link.deadline()
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
        self.message.cancelled.initialized()
    }

    /// Waits until nobody waits for the answer any more, for what a handler leaves running beside itself. Never ends if the
    /// message is answered before.
    pub async fn cancelled(&self) {
        self.message.cancelled.wait().await;
    }

    pub(crate) fn cancel(&self) {
        let _ = self.message.cancelled.set(());
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
        &self.message.link
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
            link: Link::new(Arc::clone(calls), "", None, None),
            stopping: Arc::clone(stopping),
        }
    }

    /// This instance's id, `name:version/instance-NNN` (seeds: `IXT_MODULE_ID`).
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }

    /// Waits until the module takes nothing new because it shuts down: for background tasks, to end what they do. Unless
    /// the host is gone, calls still work until `Handler::shutdown` has ended.
    pub async fn stopping(&self) {
        self.stopping.wait().await;
    }
}
