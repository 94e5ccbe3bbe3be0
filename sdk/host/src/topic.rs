//! A topic that a module takes, and a call of one that it has and has not answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use ixt_protocol::Priority;
use tokio::time::Instant;

use crate::bus::{Cause, ParentSpan};
use crate::stats::Stats;

/// A topic that a module takes: one and the same for all releases of the module, so that its counts go on.
#[derive(Debug)]
pub(crate) struct Topic {
    name: String,
    /// In milliseconds; `NO_TTL` if there is none.
    ttl_ms: AtomicU64,
    again: AtomicBool,
    stats: Stats,
}

const NO_TTL: u64 = u64::MAX;

impl Topic {
    pub(crate) fn new(name: &str) -> Self {
        let (ttl_ms, again) = (AtomicU64::new(NO_TTL), AtomicBool::new(false));
        Self { name: name.to_owned(), ttl_ms, again, stats: Stats::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// How long a call may take whose caller does not say.
    pub(crate) fn ttl(&self) -> Option<Duration> {
        let ttl_ms = self.ttl_ms.load(Ordering::Relaxed);
        (ttl_ms != NO_TTL).then(|| Duration::from_millis(ttl_ms))
    }

    /// Of a service: the same call twice does what it does once. Of an event: it is kept until it was taken.
    pub(crate) fn again(&self) -> bool {
        self.again.load(Ordering::Relaxed)
    }

    /// What a release says of it.
    pub(crate) fn set_rules(&self, ttl_ms: Option<u64>, again: bool) {
        self.ttl_ms.store(ttl_ms.unwrap_or(NO_TTL), Ordering::Relaxed);
        self.again.store(again, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// What a module is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    Event,
}

/// A call that a module handles, or an event.
#[derive(Debug, Clone)]
pub(crate) struct CallInFlight {
    pub(crate) kind: Kind,
    pub(crate) topic: Arc<Topic>,
    pub(crate) trace_id: Arc<str>,
    pub(crate) source: Arc<str>,
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
