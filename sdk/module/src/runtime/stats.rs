//! What a module did so far, for its health check: how often which topic ended how, and how long it took.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::middleware::Kind;

#[derive(Debug, Default)]
pub(crate) struct Stats {
    services: FxHashMap<&'static str, Topic>,
    events: FxHashMap<&'static str, Topic>,
    any_slow: bool,
}

#[derive(Debug, Default)]
struct Topic {
    successes: u64,
    /// By the error's code.
    errors: BTreeMap<String, u64>,
    /// In microseconds.
    latency: Option<Histogram<u32>>,
    /// Until when its handler is taken for one that blocks its thread, or computes for long.
    slow_until: Option<Instant>,
}

/// So long a handler that was slow is not trusted to be fast.
const SLOW_FOR: Duration = Duration::from_secs(30);
/// How many codes of errors are counted apart; a module may make up any number of them.
const CODES: usize = 32;
/// Nothing that is measured takes longer than an hour.
const LONGEST_US: u64 = 3_600_000_000;

impl Stats {
    /// `topics` are those that the module has: what is sent to another is not counted, or a caller could fill the memory.
    pub(crate) fn new(topics: impl Iterator<Item = (Kind, &'static str)>) -> Self {
        let mut stats = Self::default();
        for (kind, topic) in topics {
            stats.of(kind).insert(topic, Topic::default());
        }
        stats
    }

    /// `error` is the error's code, if it was one.
    pub(crate) fn record(&mut self, kind: Kind, topic: &str, error: Option<&str>, took: Duration) {
        let Some(topic) = self.of(kind).get_mut(topic) else { return };
        match error.map(|code| (code, topic.errors.get_mut(code))) {
            None => topic.successes += 1,
            Some((_, Some(count))) => *count += 1,
            Some((code, None)) => {
                let known = if topic.errors.len() < CODES { code } else { "other" };
                *topic.errors.entry(known.to_owned()).or_default() += 1;
            }
        }
        // Two digits that count make it a few kilobytes for each topic that is used.
        let latency = topic
            .latency
            .get_or_insert_with(|| Histogram::new_with_bounds(1, LONGEST_US, 2).expect("these bounds are right"));
        latency.saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST_US));
    }

    /// The topic's handler has just held up its thread.
    pub(crate) fn mark_slow(&mut self, kind: Kind, topic: &str) {
        if let Some(topic) = self.of(kind).get_mut(topic) {
            topic.slow_until = Some(Instant::now() + SLOW_FOR);
            self.any_slow = true;
        }
    }

    /// Whether that was not long ago.
    pub(crate) fn is_slow(&self, kind: Kind, topic: &str) -> bool {
        // Most modules have no such handler.
        let slow_until = || self.all(kind).get(topic)?.slow_until;
        self.any_slow && slow_until().is_some_and(|until| Instant::now() < until)
    }

    /// The topics of this kind that were used.
    pub(crate) fn to_json(&self, kind: Kind) -> Value {
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

    fn all(&self, kind: Kind) -> &FxHashMap<&'static str, Topic> {
        match kind {
            Kind::Service => &self.services,
            Kind::Event => &self.events,
        }
    }

    fn of(&mut self, kind: Kind) -> &mut FxHashMap<&'static str, Topic> {
        match kind {
            Kind::Service => &mut self.services,
            Kind::Event => &mut self.events,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_quantiles_are_told_by_topic() {
        let mut stats = Stats::new([(Kind::Service, "a"), (Kind::Service, "b"), (Kind::Event, "a")].into_iter());
        for ms in 1..=100 {
            stats.record(Kind::Service, "a", None, Duration::from_millis(ms));
        }
        stats.record(Kind::Service, "a", Some("NOT_FOUND"), Duration::from_secs(1_000_000));
        stats.record(Kind::Service, "never heard of", Some("UNKNOWN_TOPIC"), Duration::ZERO);
        let told = stats.to_json(Kind::Service);
        assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(told["a"]["outcomes"], json!({ "success": 100, "NOT_FOUND": 1 }));
        let near = |quantile: &str, expected: f64| {
            let told = told["a"]["latency_us"][quantile].as_f64().unwrap();
            assert!((told / expected - 1.0).abs() < 0.02, "{quantile}: {told}, not {expected}");
        };
        near("p50", 51_000.0);
        near("p90", 91_000.0);
        near("max", 3_600_000_000.0);
        assert_eq!(stats.to_json(Kind::Event), json!({}));
    }

    #[test]
    fn a_module_that_makes_up_codes_does_not_fill_the_memory() {
        let mut stats = Stats::new([(Kind::Event, "a")].into_iter());
        for code in 0..1000 {
            stats.record(Kind::Event, "a", Some(&format!("CODE_{code}")), Duration::ZERO);
        }
        let told = stats.to_json(Kind::Event);
        assert_eq!(told["a"]["outcomes"].as_object().unwrap().len(), CODES + 1);
        assert_eq!(told["a"]["outcomes"]["other"], 1000 - CODES);
    }
}
