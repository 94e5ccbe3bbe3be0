//! A topic that a module takes, with its rules and counts, and what is known of a call or an event that the module handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ixt_protocol::Priority;
use tokio::time::Instant;

use crate::bus::{Cause, ParentSpan};
use crate::stats::Stats;

/// What a topic is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TopicKind {
    /// A service, which is called.
    Service,
    Event,
}

/// A topic of a module: the same for all releases of the module, so that its counts go on.
#[derive(Debug)]
pub(crate) struct ModuleTopic {
    name: String,
    /// The timeout in milliseconds; [`NO_TIMEOUT`] if there is none.
    timeout_ms: AtomicU64,
    again: AtomicBool,
    stats: Stats,
}

const NO_TIMEOUT: u64 = u64::MAX;

impl ModuleTopic {
    /// A topic without a timeout, that is neither idempotent nor durable.
    pub(crate) fn new(name: &str) -> Self {
        let (timeout_ms, again) = (AtomicU64::new(NO_TIMEOUT), AtomicBool::new(false));
        Self { name: name.to_owned(), timeout_ms, again, stats: Stats::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The timeout of a call whose caller sets none; `None` if the manifest sets none either.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        let timeout_ms = self.timeout_ms.load(Ordering::Relaxed);
        (timeout_ms != NO_TIMEOUT).then(|| Duration::from_millis(timeout_ms))
    }

    /// Whether a lost request is sent again: of a service, whether it is idempotent; of an event, whether it is durable.
    pub(crate) fn again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    /// Sets what a release's manifest says of the topic.
    pub(crate) fn set_rules(&self, timeout_ms: Option<u64>, again: bool) {
        self.timeout_ms.store(timeout_ms.unwrap_or(NO_TIMEOUT), Ordering::Relaxed);
        self.again.store(again, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// A call or an event that a module handles, without its payload.
#[derive(Debug, Clone)]
pub(crate) struct RequestInfo {
    pub(crate) kind: TopicKind,
    pub(crate) topic: Arc<ModuleTopic>,
    pub(crate) trace_id: Arc<str>,
    /// The caller or publisher, `name:version`.
    pub(crate) source: Arc<str>,
    /// The request itself, as the cause of calls that are made during its handling.
    pub(crate) cause: Arc<Cause>,
    /// Its span, in its trace; not 0.
    pub(crate) span: u64,
    /// Whether that span is recorded.
    pub(crate) is_sampled: bool,
    /// The span that its span is a child of.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "spans are with the feature"))]
    pub(crate) parent_span: Option<ParentSpan>,
    pub(crate) deadline: Option<Instant>,
    /// Which attempt this is, from 1.
    pub(crate) attempt: u32,
    pub(crate) priority: Priority,
}
