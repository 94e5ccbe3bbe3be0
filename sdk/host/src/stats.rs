//! How often a topic was called, how often it failed, and how long it took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Counts of one topic of a module.
#[derive(Debug)]
pub(crate) struct Stats {
    calls: AtomicU64,
    errors: AtomicU64,
    /// In microseconds.
    latency: Mutex<Histogram<u64>>,
}

/// How often a topic was called, and how that went.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicStats {
    /// The topic.
    pub topic: String,
    /// How many calls have ended.
    pub calls: u64,
    /// How many of them without success.
    pub errors: u64,
    /// How long they took together, in seconds.
    pub seconds: f64,
    /// In how many seconds half of them were answered.
    pub p50: f64,
    /// In how many seconds 99 % of them were answered.
    pub p99: f64,
}

impl Stats {
    pub(crate) fn new() -> Self {
        // Of two digits, so that it stays small.
        let latency = Histogram::new(2).expect("two digits are a precision that it has");
        Self { calls: AtomicU64::new(0), errors: AtomicU64::new(0), latency: Mutex::new(latency) }
    }

    /// A caller was answered.
    pub(crate) fn finished(&self, elapsed: Duration, success: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !success {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        // It grows as needed, so that there is no value that it can't take.
        let _ = latency.record(micros);
    }

    /// A call was answered without asking the module.
    pub(crate) fn refused(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, topic: &str) -> TopicStats {
        #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
        let seconds = |micros: u64| micros as f64 / 1e6;
        let latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        TopicStats {
            topic: topic.to_owned(),
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            seconds: latency
                .iter_recorded()
                .fold(0.0, |sum, at| sum + seconds(at.value_iterated_to()) * f64_of(at.count_at_value())),
            p50: seconds(latency.value_at_quantile(0.5)),
            p99: seconds(latency.value_at_quantile(0.99)),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts below 2^53")]
fn f64_of(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_with_how_long_they_took() {
        let stats = Stats::new();
        assert_eq!(stats.snapshot("t"), TopicStats { topic: "t".to_owned(), ..TopicStats::default() });
        for millis in 1..=100 {
            stats.finished(Duration::from_millis(millis), millis != 50);
        }
        stats.refused();
        let TopicStats { calls, errors, seconds, p50, p99, .. } = stats.snapshot("t");
        assert_eq!((calls, errors), (101, 2));
        // To two digits.
        for (value, expected) in [(seconds, 5.05), (p50, 0.050), (p99, 0.099)] {
            assert!((value / expected - 1.0).abs() < 0.01, "{value} for {expected}");
        }
    }
}
