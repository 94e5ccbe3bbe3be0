//! The statistics of each topic, which the module's health check reports: how many requests ended with which outcome, and how long they
//! took, since the session began. Also marks the topics whose handlers have blocked the reader within the last 30 seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::request::TopicKind;

/// The statistics of all topics of a session, behind the lock of the request table.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    services: FxHashMap<&'static str, TopicStats>,
    events: FxHashMap<&'static str, TopicStats>,
    /// Whether any topic was ever marked as blocking. If not, `is_blocking` is faster.
    any_blocking: bool,
}

/// The statistics of one topic.
#[derive(Debug, Default)]
struct TopicStats {
    successes: u64,
    /// The number of errors by code: at most [`MAX_CODES`] codes and `other`.
    errors: BTreeMap<String, u64>,
    /// The time from the reading of the frame to the reply, the time in the queue included, in microseconds. `None` before the first
    /// request.
    latency: Option<Histogram<u32>>,
    /// Until when the topic counts as blocking: its requests begin on other threads than the reader's. `None` if it never did.
    blocking_until: Option<Instant>,
}

/// How long a topic counts as blocking after one of its handlers has blocked the reader.
const MARKED_FOR: Duration = Duration::from_secs(30);
/// How many error codes are counted for each topic one by one. From the 33rd code on, all further ones count together as `other`, since a
/// module may make up any number of codes.
const MAX_CODES: usize = 32;
/// The upper bound of the latency histograms, in microseconds: an hour. A longer time counts as an hour.
const MAX_LATENCY_US: u64 = 3_600_000_000;

impl Stats {
    /// Counters for these topics. Requests for other topics are not counted: callers could fill the memory with made-up ones.
    pub(crate) fn new(topics: impl Iterator<Item = (TopicKind, &'static str)>) -> Self {
        let mut stats = Self::default();
        for (kind, topic) in topics {
            stats.all_mut(kind).insert(topic, TopicStats::default());
        }
        stats
    }

    /// Counts a request that has a reply; `error` is the code of an error, `None` for a success. Cancelled and late requests count too, and
    /// those for which the queue was full. Does nothing if the module has no such topic.
    pub(crate) fn record(&mut self, kind: TopicKind, topic: &str, error: Option<&str>, took: Duration) {
        let Some(topic) = self.all_mut(kind).get_mut(topic) else { return };
        match error.map(|code| (code, topic.errors.get_mut(code))) {
            None => topic.successes += 1,
            Some((_, Some(count))) => *count += 1,
            Some((code, None)) => {
                let known = if topic.errors.len() < MAX_CODES { code } else { "other" };
                *topic.errors.entry(known.to_owned()).or_default() += 1;
            }
        }
        // Two significant digits: a few kilobytes for each topic in use.
        let latency = topic
            .latency
            .get_or_insert_with(|| Histogram::new_with_bounds(1, MAX_LATENCY_US, 2).expect("these bounds are right"));
        latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(MAX_LATENCY_US));
    }

    /// Marks a topic as blocking until 30 seconds after `now`: its handler has blocked the reader. Does nothing if the module has no such
    /// topic.
    pub(crate) fn mark_blocking(&mut self, kind: TopicKind, topic: &str, now: Instant) {
        if let Some(topic) = self.all_mut(kind).get_mut(topic) {
            topic.blocking_until = Some(now + MARKED_FOR);
            self.any_blocking = true;
        }
    }

    /// Whether the topic counts as blocking now. Calls `now` only if the topic was marked before.
    pub(crate) fn is_blocking(&self, kind: TopicKind, topic: &str, now: impl FnOnce() -> Instant) -> bool {
        let blocking_until = || self.all(kind).get(topic)?.blocking_until;
        self.any_blocking && blocking_until().is_some_and(|until| now() < until)
    }

    /// The statistics of the topics of this kind that had requests, as the health check reports them: an object from topics to `outcomes`
    /// (the number of requests by `success` or error code) and `latency_us` (`p50`, `p90`, `p99` and `max` in microseconds, at most 1 %
    /// too high).
    pub(crate) fn to_json(&self, kind: TopicKind) -> Value {
        let used = self.all(kind).iter().filter(|(_, topic)| topic.latency.is_some());
        let used = used.map(|(name, topic)| {
            let quantile = |q| topic.latency.as_ref().map(|latency| latency.value_at_quantile(q));
            let latency = json!({
                "p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": quantile(1.0),
            });
            let successes = Some(("success", topic.successes)).filter(|(_, successes)| *successes > 0);
            let errors = topic.errors.iter().map(|(code, errors)| (code.as_str(), *errors));
            let outcomes: BTreeMap<_, _> = successes.into_iter().chain(errors).collect();
            ((*name).to_owned(), json!({ "outcomes": outcomes, "latency_us": latency }))
        });
        Value::Object(used.collect::<Map<_, _>>())
    }

    fn all(&self, kind: TopicKind) -> &FxHashMap<&'static str, TopicStats> {
        match kind {
            TopicKind::Service => &self.services,
            TopicKind::Event => &self.events,
        }
    }

    fn all_mut(&mut self, kind: TopicKind) -> &mut FxHashMap<&'static str, TopicStats> {
        match kind {
            TopicKind::Service => &mut self.services,
            TopicKind::Event => &mut self.events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_quantiles_are_reported_for_each_topic() {
        let mut stats =
            Stats::new([(TopicKind::Service, "a"), (TopicKind::Service, "b"), (TopicKind::Event, "a")].into_iter());
        for ms in 1..=100 {
            stats.record(TopicKind::Service, "a", None, Duration::from_millis(ms));
        }
        stats.record(TopicKind::Service, "a", Some("NOT_FOUND"), Duration::from_secs(1_000_000));
        stats.record(TopicKind::Service, "never heard of", Some("UNKNOWN_TOPIC"), Duration::ZERO);
        let told = stats.to_json(TopicKind::Service);
        assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(told["a"]["outcomes"], json!({ "success": 100, "NOT_FOUND": 1 }));
        let near = |quantile: &str, expected: f64| {
            let told = told["a"]["latency_us"][quantile].as_f64().unwrap();
            assert!((told / expected - 1.0).abs() < 0.02, "{quantile}: {told}, not {expected}");
        };
        near("p50", 51_000.0);
        near("p90", 91_000.0);
        near("max", 3_600_000_000.0);
        assert_eq!(stats.to_json(TopicKind::Event), json!({}));
    }

    #[test]
    fn a_module_that_makes_up_codes_does_not_fill_the_memory() {
        let mut stats = Stats::new([(TopicKind::Event, "a")].into_iter());
        for code in 0..1000 {
            stats.record(TopicKind::Event, "a", Some(&format!("CODE_{code}")), Duration::ZERO);
        }
        let told = stats.to_json(TopicKind::Event);
        assert_eq!(told["a"]["outcomes"].as_object().unwrap().len(), MAX_CODES + 1);
        assert_eq!(told["a"]["outcomes"]["other"], 1000 - MAX_CODES);
    }
}
