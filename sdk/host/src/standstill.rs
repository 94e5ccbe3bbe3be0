//! Whether this process stood still: stopped (SIGSTOP, Ctrl-Z), frozen with its container, or without a processor. The clock goes on then,
//! and the modules may have stood still with it: what they had a time for, they have it again.
//!
//! It is seen by a pulse that is missing. What is timed here waits anew when it finds that its time was over without this process.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ixt_protocol::LogLevel;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::logs::Logs;

/// How often the pulse is.
const PULSE: Duration = Duration::from_millis(500);
/// Whoever has none for so long stood still.
const MISSING: Duration = Duration::from_secs(1);

static SEEN: Mutex<Seen> = Mutex::new(Seen { pulse: None, last: None });

fn seen() -> MutexGuard<'static, Seen> {
    // Nothing that can panic happens under this lock.
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is known of this process.
#[derive(Debug)]
struct Seen {
    /// The last pulse; `None` if no host runs.
    pulse: Option<Instant>,
    last: Option<Standstill>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standstill {
    /// When it was over.
    end: Instant,
    /// How long it was, give or take a pulse.
    length: Duration,
}

impl Seen {
    /// The last standstill, with the one that is over in this moment.
    fn look(&mut self, now: Instant) -> Option<Standstill> {
        let length = self.pulse.map_or(Duration::ZERO, |pulse| now.saturating_duration_since(pulse));
        if length > MISSING {
            self.last = Some(Standstill { end: now, length });
            // It is seen once.
            self.pulse = Some(now);
        }
        self.last
    }

    fn pulse(&mut self, now: Instant) -> Option<Standstill> {
        let last = self.look(now);
        self.pulse = Some(now);
        last
    }

    /// For how long it has run again, if it stood still since then.
    fn runs_since(&mut self, then: Instant, now: Instant) -> Option<Duration> {
        let last = self.look(now)?;
        (last.end > then).then(|| now.saturating_duration_since(last.end))
    }
}

/// The pulse of a host. Its log says when the host stood still.
#[derive(Debug)]
pub(crate) struct Pulse(AbortHandle);

impl Pulse {
    pub(crate) fn start(logs: Logs) -> Self {
        Self(tokio::spawn(beat(logs)).abort_handle())
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.abort();
        // If there is another host, its next one is soon.
        seen().pulse = None;
    }
}

async fn beat(logs: Logs) {
    let mut ticks = interval(PULSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = seen().last;
    loop {
        ticks.tick().await;
        let last = seen().pulse(Instant::now());
        if let Some(Standstill { length, .. }) = last.filter(|last| Some(*last) != told) {
            let length = humantime::format_duration(Duration::from_secs(length.as_secs()));
            let message = format!(
                "this host stood still for about {length} (stopped, frozen, or without a processor): what its modules have a time for, they \
                 have that time again"
            );
            logs.host(LogLevel::Warn, "host", message);
        }
        told = last;
    }
}

/// For how long this process has run again, if it stood still since then.
pub(crate) fn runs_since(then: Instant) -> Option<Duration> {
    seen().runs_since(then, Instant::now())
}

/// For how long this process has run without standing still, as far as anything here may matter.
pub(crate) fn runs_for() -> Duration {
    seen().look(Instant::now()).map_or(Duration::MAX, |last| last.end.elapsed())
}

/// The time is over.
#[derive(Debug)]
pub(crate) struct Elapsed;

/// Waits for so long, in which this process does not stand still.
pub(crate) async fn sleep(duration: Duration) {
    let mut left = duration;
    loop {
        let start = Instant::now();
        tokio::time::sleep(left).await;
        let again = runs_since(start).map_or(Duration::ZERO, |runs| duration.saturating_sub(runs));
        if again.is_zero() {
            return;
        }
        left = again;
    }
}

/// Waits until it is done, but no longer than so long, in which this process does not stand still.
pub(crate) async fn timeout<T>(duration: Duration, work: impl Future<Output = T>) -> Result<T, Elapsed> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = sleep(duration) => Err(Elapsed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pulse_that_was_missing_for_long_is_a_standstill_until_the_next_one() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut seen = Seen { pulse: None, last: None };
        assert_eq!(seen.look(at(60_000)), None, "no host runs yet");
        seen.pulse(start);
        // A little late is nothing.
        assert_eq!(seen.pulse(at(900)), None);
        assert_eq!(seen.runs_since(start, at(1_000)), None);
        // Whoever looks first sees it, and only once.
        assert_eq!(seen.runs_since(at(950), at(61_000)), Some(Duration::ZERO));
        let standstill = Standstill { end: at(61_000), length: Duration::from_millis(60_100) };
        assert_eq!(seen.pulse(at(61_010)), Some(standstill));
        assert_eq!(seen.runs_since(at(950), at(61_500)), Some(Duration::from_millis(500)));
        assert_eq!(seen.runs_since(at(61_000), at(61_500)), None, "what has begun since then has all its time");
    }
}
