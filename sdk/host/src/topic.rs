//! A topic that a module takes, and a call of one that it has and has not answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::bus::Cause;
use crate::stats::Stats;

/// A topic that a module takes.
#[derive(Debug)]
pub(crate) struct Topic {
    name: String,
    pub(crate) ttl: Option<Duration>,
    /// Of a service: the same call twice does what it does once. Of an event: it is kept until it was taken.
    pub(crate) again: bool,
    stats: Stats,
}

impl Topic {
    pub(crate) fn new(name: &str, ttl: Option<Duration>, again: bool) -> Self {
        Self { name: name.to_owned(), ttl, again, stats: Stats::new() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }
}

/// A call that a module handles, or an event.
#[derive(Debug, Clone)]
pub(crate) struct CallInFlight {
    pub(crate) topic: Arc<Topic>,
    pub(crate) trace_id: Arc<str>,
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "spans are with the feature"))]
    pub(crate) source: Arc<str>,
    pub(crate) cause: Arc<Cause>,
    pub(crate) deadline: Option<Instant>,
}
