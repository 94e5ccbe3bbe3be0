//! A topic that a module takes, with its rules and counts; and a call or an event that the module handles, without its
//! payload. Which topics a module has at the bus is in `module_router/topics.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ixt_protocol::Priority;
use tokio::time::Instant;

use crate::bus::{Cause, ParentSpan};
use crate::stats::{Stats, TopicStats};
use crate::topic_kind::TopicKind;

/// A topic of a module. All releases of the module share it, so that its counts go on.
#[derive(Debug)]
pub(crate) struct ModuleTopic {
    kind: TopicKind,
    name: String,
    /// The `ttl_ms` of the manifest; [`NO_TIMEOUT`] if it sets none, and for an event.
    timeout_ms: AtomicU64,
    /// See [`is_retried`](Self::is_retried).
    is_retried: AtomicBool,
    stats: Stats,
}

/// Stands for "no timeout". No manifest can have this value.
const NO_TIMEOUT: u64 = u64::MAX;

impl ModuleTopic {
    /// A topic without a timeout, that is neither idempotent nor durable.
    pub(crate) fn new(kind: TopicKind, name: &str) -> Self {
        let (timeout_ms, is_retried) = (AtomicU64::new(NO_TIMEOUT), AtomicBool::new(false));
        Self { kind, name: name.to_owned(), timeout_ms, is_retried, stats: Stats::new() }
    }

    /// The topic, such as `orders.place`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The timeout of a call whose caller sets none; `None` if the manifest sets none either.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        let timeout_ms = self.timeout_ms.load(Ordering::Relaxed);
        (timeout_ms != NO_TIMEOUT).then(|| Duration::from_millis(timeout_ms))
    }

    /// Whether a request whose process ended before the reply is sent again: true for an idempotent service and for a
    /// durable event.
    pub(crate) fn is_retried(&self) -> bool {
        self.is_retried.load(Ordering::Relaxed)
    }

    /// Sets the rules. A call has the timeout of the moment at which it comes. Whether it is tried again is looked up
    /// when each attempt begins, and for an event when it is sent to a process. `timeout_ms` is the service's `ttl_ms`,
    /// `is_retried` whether it is idempotent, or whether the event is durable.
    pub(crate) fn set_rules(&self, timeout_ms: Option<u64>, is_retried: bool) {
        self.timeout_ms.store(timeout_ms.unwrap_or(NO_TIMEOUT), Ordering::Relaxed);
        self.is_retried.store(is_retried, Ordering::Relaxed);
    }

    /// The counts of its calls or events at this moment.
    pub(crate) fn snapshot(&self) -> TopicStats {
        self.stats.snapshot(self.kind, &self.name)
    }

    /// The counts of its calls or events, to add to.
    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// A call or an event that a module handles, without its payload.
#[derive(Debug, Clone)]
pub(crate) struct RequestInfo {
    pub(crate) kind: TopicKind,
    pub(crate) topic: Arc<ModuleTopic>,
    /// The trace: 32 hexadecimal digits, or any text of up to 256 bytes that a module has chosen.
    pub(crate) trace_id: Arc<str>,
    /// The caller or publisher, `name:version`.
    pub(crate) source: Arc<str>,
    /// This request, as the cause of the calls that the module makes while it handles the request.
    pub(crate) cause: Arc<Cause>,
    /// The random id of its span in its trace; not 0, also if no spans are exported.
    pub(crate) span: u64,
    /// Whether that span is exported. False without an exporter.
    pub(crate) is_sampled: bool,
    /// The span of which `span` is a child; `None` if the sender has none.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "spans are with the feature"))]
    pub(crate) parent_span: Option<ParentSpan>,
    /// When its caller stops waiting, or until when an event has to be handled; `None` if there is no limit.
    pub(crate) deadline: Option<Instant>,
    /// Which attempt this is, from 1. It stays 1 for an event that is sent again.
    pub(crate) attempt: u32,
    pub(crate) priority: Priority,
}
