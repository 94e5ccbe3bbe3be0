//! What a handler knows about the message it handles, and a module about its host.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ixt_protocol::{Handle, Priority};

use crate::call::sealed::Sealed;
use crate::call::{Caller, Calls, Link};

/// The circumstances of one message (seeds: `context`, and what `message` says beside topic and payload). Cheap to clone.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    topic: String,
    link: Link,
    source_module: String,
    timestamp: u64,
    priority: Priority,
    ttl_ms: Option<u64>,
}

impl Context {
    pub(crate) fn new(id: Option<u64>, handle: &Handle<'_>, calls: &Arc<Calls>) -> Self {
        let Handle { message, context } = handle;
        Self(Arc::new(Inner {
            topic: message.topic.to_string(),
            link: Link::new(Arc::clone(calls), context.trace_id.to_string(), id),
            source_module: context.source_module.to_string(),
            timestamp: context.timestamp,
            priority: message.priority,
            ttl_ms: message.ttl_ms,
        }))
    }

    /// The topic under which the service was called.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.0.topic
    }

    /// The same for all messages that one cause sets off; empty if the host gave none.
    #[must_use]
    pub fn trace_id(&self) -> &str {
        self.0.link.trace_id()
    }

    /// The caller, as `name:version`; empty if the host gave none.
    #[must_use]
    pub fn source_module(&self) -> &str {
        &self.0.source_module
    }

    /// When the message was sent, to the second.
    #[must_use]
    pub fn timestamp(&self) -> SystemTime {
        // A time that no clock can show is as good as none.
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(self.0.timestamp)).unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// How urgent the caller says it is.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.0.priority
    }

    /// How long the caller was willing to wait when the host sent the message; `None` if it waits for ever.
    #[must_use]
    pub fn ttl(&self) -> Option<Duration> {
        self.0.ttl_ms.map(Duration::from_millis)
    }
}

impl Caller for Context {}

impl Sealed for Context {
    fn link(&self) -> &Link {
        &self.0.link
    }
}

/// The module's view of its host, given to `Handler::init`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Runtime {
    module_id: Arc<str>,
    link: Link,
}

impl Caller for Runtime {}

impl Sealed for Runtime {
    fn link(&self) -> &Link {
        &self.link
    }
}

impl Runtime {
    pub(crate) fn new(module_id: &str, calls: &Arc<Calls>) -> Self {
        Self { module_id: module_id.into(), link: Link::new(Arc::clone(calls), String::new(), None) }
    }

    /// This instance's id, `name:version/instance-NNN` (seeds: `IXT_MODULE_ID`).
    #[must_use]
    pub fn module_id(&self) -> &str {
        &self.module_id
    }
}
