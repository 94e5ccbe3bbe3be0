//! Detects that this process stood still: because it was stopped (SIGSTOP, Ctrl-Z), frozen with its container, or got
//! no processor. The clock goes on meanwhile, and the modules may have stood still as well; so the timeouts for
//! connecting, for `init` and for shutting down start anew afterwards, and a health check without a reply does not
//! count. The deadlines of callers do not start anew: those use tokio's clock alone.
//!
//! A task, the [`Pulse`], notes the time every half second. A gap of more than a second between two notes is a
//! standstill. [`sleep`] and [`timeout`] of this file start anew when a standstill ended during them. Without a running
//! host in this process, nothing is noticed, and they are those of tokio.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use ixt_protocol::LogLevel;
use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::lock::lock;
use crate::logs::Logs;

/// The time between two notes of the pulse.
const PULSE: Duration = Duration::from_millis(500);
/// A longer time than this without a note is a standstill.
const MISSING: Duration = Duration::from_secs(1);

/// One for all hosts in this process.
static SEEN: Mutex<Seen> = Mutex::new(Seen { pulse: None, last: None });

fn seen() -> MutexGuard<'static, Seen> {
    lock(&SEEN)
}

/// What is known of this process. All hosts in it share one, since a process stands still as a whole.
#[derive(Debug)]
struct Seen {
    /// When the pulse was last noted; `None` if no host runs.
    pulse: Option<Instant>,
    /// The last standstill; `None` if there was none.
    last: Option<Standstill>,
}

/// A standstill that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Standstill {
    /// When it was noticed that the standstill was over.
    end: Instant,
    /// The time from the last note before it to `end`: up to half a second longer than the standstill itself.
    length: Duration,
}

impl Seen {
    /// Returns the last standstill, after a check whether one has just ended: this call may be the first to notice it.
    fn look(&mut self, now: Instant) -> Option<Standstill> {
        let length = self.pulse.map_or(Duration::ZERO, |pulse| now.saturating_duration_since(pulse));
        if length > MISSING {
            self.last = Some(Standstill { end: now, length });
            // So that the next call does not notice it again.
            self.pulse = Some(now);
        }
        self.last
    }

    /// Notes the pulse, and returns the last standstill.
    fn pulse(&mut self, now: Instant) -> Option<Standstill> {
        let last = self.look(now);
        self.pulse = Some(now);
        last
    }

    /// How long ago the last standstill ended, if it ended after `then`.
    fn runs_since(&mut self, then: Instant, now: Instant) -> Option<Duration> {
        let last = self.look(now)?;
        (last.end > then).then(|| now.saturating_duration_since(last.end))
    }
}

/// The task that notes the time, and writes to the log after a standstill. Each host has one. It ends when this is
/// dropped.
#[derive(Debug)]
pub(crate) struct Pulse(AbortHandle);

impl Pulse {
    /// Starts the task. To be called within a tokio runtime.
    pub(crate) fn start(logs: Logs) -> Self {
        Self(tokio::spawn(beat(logs)).abort_handle())
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.0.abort();
        // Another host in this process notes the time again within half a second.
        seen().pulse = None;
    }
}

/// The task of a [`Pulse`]. It never ends, and has to be aborted. Each host in the process logs a standstill once.
async fn beat(logs: Logs) {
    let mut ticks = interval(PULSE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut logged = seen().last;
    loop {
        ticks.tick().await;
        let last = seen().pulse(Instant::now());
        if let Some(Standstill { length, .. }) = last.filter(|last| Some(*last) != logged) {
            let length = humantime::format_duration(Duration::from_secs(length.as_secs()));
            let message = format!(
                "this host stood still for about {length} (stopped, frozen, or without a processor): the timeouts of its modules start anew"
            );
            logs.host(LogLevel::Warn, "host", message);
        }
        logged = last;
    }
}

/// How long ago this process's last standstill ended, if it ended after `then`; otherwise `None`.
pub(crate) fn runs_since(then: Instant) -> Option<Duration> {
    seen().runs_since(then, Instant::now())
}

/// How long ago this process's last standstill ended, at whatever time that was; `Duration::MAX` if there was none.
pub(crate) fn runs_for() -> Duration {
    seen().look(Instant::now()).map_or(Duration::MAX, |last| last.end.elapsed())
}

/// The error of [`timeout`]: the time was over first.
#[derive(Debug)]
pub(crate) struct Elapsed;

/// Sleeps for `duration`. If a standstill ends meanwhile, `duration` starts anew at its end. Cancel-safe.
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

/// Waits for `work`, but for `duration` at most; even with zero, `work` is polled once. If a standstill ends meanwhile,
/// `duration` starts anew at its end. On [`Elapsed`], `work` was dropped.
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
        // A late note is no standstill.
        assert_eq!(seen.pulse(at(900)), None);
        assert_eq!(seen.runs_since(start, at(1_000)), None);
        // The first look notices it, and no other one.
        assert_eq!(seen.runs_since(at(950), at(61_000)), Some(Duration::ZERO));
        let standstill = Standstill { end: at(61_000), length: Duration::from_millis(60_100) };
        assert_eq!(seen.pulse(at(61_010)), Some(standstill));
        assert_eq!(seen.runs_since(at(950), at(61_500)), Some(Duration::from_millis(500)));
        assert_eq!(seen.runs_since(at(61_000), at(61_500)), None, "what has begun since then has all its time");
    }
}
