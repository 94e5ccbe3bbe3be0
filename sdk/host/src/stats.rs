//! Counts of one topic: how many calls ended, with which codes, and a histogram of how long they took. `call_log`
//! writes the lines about them, `metrics` and [`ModuleStatus`](crate::ModuleStatus) show the counts.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ixt_manifest::language::BUILT_IN_ERROR_CODES;
use serde::{Deserialize, Serialize};

use crate::lock::lock;
use crate::topic_kind::TopicKind;

/// The upper bounds of the histogram [`TopicStats::durations`], in seconds, in ascending order. They are the same for
/// every topic, so that histograms can be added up.
pub const DURATION_BOUNDS: [f64; 19] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0,
    100.0,
];

/// The upper bounds of the histogram that is kept, in microseconds, from 10 µs to 100 s: ten for each power of ten (the
/// preferred numbers of ISO 3, without their fractions). A bound is at most a third above the one before, and a
/// quantile at most 30 % off. Below 10 µs, a quantile is anywhere between 0 and 10 µs. [`DURATION_BOUNDS`] are some of
/// them.
const FINE: [u64; 71] = fine();

/// How many error codes that are not built in are counted one by one for a topic. The [`BUILT_IN_ERROR_CODES`] always
/// are.
const OWN_CODES: usize = 16;
/// The code under which all other codes are counted together. A module's own code with this name is counted with them.
const OTHER: &str = "OTHER";

/// The counts, which any thread may add to.
#[derive(Debug)]
pub(crate) struct Stats {
    /// The number of calls that succeeded.
    successes: AtomicU64,
    /// The number of calls that ended with each error code; further codes are in [`OTHER`].
    errors: Mutex<BTreeMap<Box<str>, u64>>,
    /// For each bound of [`FINE`], the number of calls that took no longer than it, and longer than the bound before.
    /// The last element counts the calls that took longer than all bounds.
    durations: [AtomicU64; FINE.len() + 1],
    /// The durations of all these calls added up, in microseconds.
    sum: AtomicU64,
}

/// Counts of a topic since the host started. The topic is a service of the module, or an event that it handles; "call"
/// below means either. Each attempt of a call that is tried again counts. Not counted are events that were dropped
/// before a process got them ([`ModuleStatus::events_dropped`](crate::ModuleStatus::events_dropped)), and calls that
/// did not reach the module, such as those that the caller's manifest does not allow. A module that has a service and
/// takes an event with the same topic has two of these, with the same [`topic`](Self::topic).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicStats {
    /// The name of the service or the event, such as `orders.place`.
    pub topic: String,
    /// Whether it is a service or an event. A module may have one of each with the same name.
    pub kind: TopicKind,
    /// How many calls have ended, in any way: with success or an error, refused, timed out, cancelled, or lost.
    pub calls: u64,
    /// How many of them ended with an error. It is the sum of [`codes`](Self::codes).
    pub errors: u64,
    /// The number of errors for each code that has occurred on this topic: the built-in ones, and the first 16 others.
    /// Further codes are counted together as `OTHER`. A code without errors is not in it.
    pub codes: BTreeMap<String, u64>,
    /// For each bound of [`DURATION_BOUNDS`], how many of the [`taken`](Self::taken) calls took no longer than it
    /// (cumulative, as in Prometheus). Calls that took longer than the last bound are only in `taken`.
    pub durations: Vec<u64>,
    /// How many of the calls were given to a process, or queued for one that handles one request at a time. The others
    /// ended before: they were refused (also because the host could not send them), timed out or cancelled.
    pub taken: u64,
    /// The durations of the taken calls added up, in seconds. A duration begins when the call is given to the process
    /// or queued for it; waiting until a process is ready does not count. It ends when the caller has a result or has
    /// cancelled.
    pub seconds: f64,
    /// The median of these durations, in seconds: at most 30 % off (below 10 µs only known to be below), and at most
    /// 100. 0 if no call was taken.
    pub p50: f64,
    /// Their 99th percentile, with the same precision.
    pub p99: f64,
}

impl Stats {
    /// All counts are 0.
    pub(crate) fn new() -> Self {
        Self {
            successes: AtomicU64::new(0),
            errors: Mutex::default(),
            durations: [const { AtomicU64::new(0) }; FINE.len() + 1],
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a call that was given to a process or queued for one, and has ended `elapsed` after that. `error` is the
    /// code of its error; `None` if it succeeded.
    pub(crate) fn finished(&self, elapsed: Duration, error: Option<&str>) {
        // Rounded to the nearest, so that the sum of many short calls is right.
        let micros = u64::from(elapsed.subsec_nanos() + 500) / 1000;
        let micros = elapsed.as_secs().saturating_mul(1_000_000).saturating_add(micros);
        self.durations[FINE.partition_point(|bound| *bound < micros)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(micros, Ordering::Relaxed);
        match error {
            None => drop(self.successes.fetch_add(1, Ordering::Relaxed)),
            Some(code) => self.refused(code),
        }
    }

    /// Counts a call that ended with this error code before it was given to a process: it has no duration.
    pub(crate) fn refused(&self, code: &str) {
        let mut errors = lock(&self.errors);
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
            return;
        }
        let own =
            || errors.keys().filter(|code| !BUILT_IN_ERROR_CODES.contains(&&***code) && ***code != *OTHER).count();
        let code = if BUILT_IN_ERROR_CODES.contains(&code) || own() < OWN_CODES { code } else { OTHER };
        *errors.entry(code.into()).or_default() += 1;
    }

    /// The counts at this moment. Calls that end meanwhile may be in some of them and not in others.
    pub(crate) fn snapshot(&self, kind: TopicKind, topic: &str) -> TopicStats {
        let codes = lock(&self.errors);
        let codes: BTreeMap<_, _> = codes.iter().map(|(code, count)| (code.to_string(), *count)).collect();
        let errors = codes.values().sum();
        let fine = self.durations.each_ref().map(|count| count.load(Ordering::Relaxed));
        TopicStats {
            topic: topic.to_owned(),
            kind,
            calls: self.successes.load(Ordering::Relaxed) + errors,
            errors,
            codes,
            durations: coarse(&fine),
            taken: fine.iter().sum(),
            seconds: seconds(self.sum.load(Ordering::Relaxed)),
            p50: quantile(&fine, 0.5),
            p99: quantile(&fine, 0.99),
        }
    }
}

/// Makes [`FINE`].
const fn fine() -> [u64; 71] {
    const TEN: [u64; 10] = [100, 125, 160, 200, 250, 315, 400, 500, 630, 800];
    let mut bounds = [0; 71];
    let (mut at, mut scale) = (0, 1);
    while at < bounds.len() {
        // The first bound is 10 µs.
        bounds[at] = TEN[at % 10] * scale / 10;
        at += 1;
        if at % 10 == 0 {
            scale *= 10;
        }
    }
    bounds
}

/// Computes [`TopicStats::durations`] from the histogram that is kept.
fn coarse(fine: &[u64; FINE.len() + 1]) -> Vec<u64> {
    let mut durations = Vec::with_capacity(DURATION_BOUNDS.len());
    let mut count = 0;
    for (bound, more) in FINE.iter().zip(fine) {
        count += more;
        #[expect(clippy::float_cmp, reason = "both are the same decimal number")]
        if DURATION_BOUNDS.get(durations.len()).is_some_and(|next| *next == seconds(*bound)) {
            durations.push(count);
        }
    }
    durations
}

/// The duration, in seconds, that the share `part` (from 0 to 1) of the calls did not exceed: 0 without calls, and the
/// last bound if it is longer. Assumes that the calls between two bounds are spread evenly.
fn quantile(fine: &[u64; FINE.len() + 1], part: f64) -> f64 {
    let wanted = part * f64_of(fine.iter().sum());
    let (mut below, mut start) = (0.0, 0);
    for (end, count) in FINE.iter().zip(fine) {
        let count = f64_of(*count);
        if count > 0.0 && below + count >= wanted {
            let (start, end) = (seconds(start), seconds(*end));
            return start + (end - start) * (wanted - below) / count;
        }
        below += count;
        start = *end;
    }
    // There were no calls, or the duration is above the last bound.
    if wanted > 0.0 { seconds(start) } else { 0.0 }
}

fn seconds(micros: u64) -> f64 {
    f64_of(micros) / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
fn f64_of(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use ixt_protocol::code;

    use super::*;

    #[test]
    fn calls_are_counted_with_their_durations() {
        let stats = Stats::new();
        let none =
            TopicStats { topic: "t".to_owned(), durations: vec![0; DURATION_BOUNDS.len()], ..TopicStats::default() };
        assert_eq!(stats.snapshot(TopicKind::Service, "t"), none);
        for millis in 1..=100 {
            stats.finished(Duration::from_millis(millis), (millis == 50).then_some("NO"));
        }
        stats.refused(code::UNAVAILABLE);
        let TopicStats { calls, errors, codes, taken, seconds, p50, p99, .. } = stats.snapshot(TopicKind::Service, "t");
        assert_eq!((calls, errors, taken), (101, 2, 100));
        assert_eq!(codes.into_iter().collect::<Vec<_>>(), [("NO".to_owned(), 1), ("UNAVAILABLE".to_owned(), 1)]);
        assert!((seconds - 5.05).abs() < 1e-9, "{seconds}");
        for (value, expected) in [(p50, 0.050), (p99, 0.099)] {
            assert!((value / expected - 1.0_f64).abs() < 0.02, "{value} for {expected}");
        }
    }

    #[test]
    fn a_duration_counts_up_to_its_bound_and_one_above_all_bounds_counts_too() {
        let stats = Stats::new();
        for bound in DURATION_BOUNDS {
            stats.finished(Duration::from_secs_f64(bound), None);
            stats.finished(Duration::from_secs_f64(bound) + Duration::from_micros(1), None);
        }
        stats.finished(Duration::MAX, None);
        let TopicStats { durations, taken, p99, .. } = stats.snapshot(TopicKind::Service, "t");
        assert_eq!(durations, (0..DURATION_BOUNDS.len() as u64).map(|at| 2 * at + 1).collect::<Vec<_>>());
        assert_eq!(taken, 2 * DURATION_BOUNDS.len() as u64 + 1);
        assert!((p99 - 100.0).abs() < 1e-9, "{p99}: the longest that is known");
    }

    #[test]
    fn quantiles_are_right_to_a_quarter_from_100_microseconds_to_a_minute() {
        for micros in [100, 137, 999, 12_345, 2_000_000, 59_999_999_u64] {
            let stats = Stats::new();
            for _ in 0..10 {
                stats.finished(Duration::from_micros(micros), None);
            }
            let TopicStats { p50, p99, .. } = stats.snapshot(TopicKind::Service, "t");
            for value in [p50, p99] {
                assert!((value / seconds(micros) - 1.0).abs() < 0.26, "{value} for {micros} µs");
            }
        }
    }

    #[test]
    fn codes_of_a_module_are_limited_and_do_not_displace_built_in_ones() {
        let stats = Stats::new();
        for number in 0..1000 {
            stats.finished(Duration::ZERO, Some(&format!("CODE_{number}")));
        }
        stats.refused(code::UNAVAILABLE);
        stats.refused("CODE_3");
        let TopicStats { errors, codes, .. } = stats.snapshot(TopicKind::Service, "t");
        assert_eq!((errors, codes.len()), (1002, OWN_CODES + 2));
        assert_eq!((codes["OTHER"], codes["UNAVAILABLE"], codes["CODE_3"]), (1000 - OWN_CODES as u64, 1, 2));
    }
}
