//! When a process that has ended or did not start is started again: after a pause that doubles each time; after too
//! many restarts, only after the longest pause, or not at all. Waits for nothing itself: `replica_task` does.

use std::collections::VecDeque;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use crate::settings::RestartPolicy;

/// The restarts of one replica, by the policy in [`Settings`](crate::Settings).
pub(crate) struct RestartBackoff {
    policy: RestartPolicy,
    /// When the restarts were decided that count and may be within the window, oldest first.
    recent: VecDeque<Instant>,
    /// The pauses, from the shortest on, each with its random part.
    backoff: backon::ExponentialBackoff,
    /// See [`RestartBackoff::keep_failing`].
    keep_failing: bool,
}

impl RestartBackoff {
    pub(crate) fn new(policy: RestartPolicy) -> Self {
        Self { backoff: Self::backoff(&policy), policy, recent: VecDeque::new(), keep_failing: false }
    }

    /// The pauses from the shortest on: each is twice as long as the one before, up to the longest, plus a random time
    /// of up to the same length.
    fn backoff(policy: &RestartPolicy) -> backon::ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(policy.backoff)
            .with_max_delay(policy.max_backoff)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// Called each time a process has ended unexpectedly or did not start, but not if the host itself lacked something.
    /// Returns the pause before the next start, or `None` if the process is not to be started again: there were
    /// `intensity` restarts within the window, and `give_up` is set or `intensity` is 0. With `is_blameless` (a call is
    /// to blame for the end, not the module) this is never `None`, and the restart does not count.
    pub(crate) fn next(&mut self, is_blameless: bool) -> Option<Duration> {
        let pause = self.backoff.next().unwrap_or(self.policy.max_backoff);
        if is_blameless {
            return Some(pause);
        }
        let now = Instant::now();
        let window = self.policy.window;
        while self.recent.front().is_some_and(|then| now.duration_since(*then) > window) {
            self.recent.pop_front();
        }
        let too_often = self.recent.len() >= usize::try_from(self.policy.intensity).unwrap_or(usize::MAX);
        if too_often && (self.policy.give_up || self.policy.intensity == 0) {
            return None;
        }
        self.recent.push_back(now);
        self.keep_failing |= too_often;
        Some(if self.keep_failing { self.policy.max_backoff } else { pause })
    }

    /// Whether there were more than `intensity` restarts within the window at some time, and no process that has ended
    /// since then had been stable.
    pub(crate) fn keep_failing(&self) -> bool {
        self.keep_failing
    }

    /// To be called when a process that was ready has ended, with how long it was ready. If that was `stable_after` or
    /// more, the pauses begin at the shortest again.
    pub(crate) fn was_ready_for(&mut self, duration: Duration) {
        if duration >= self.policy.stable_after {
            self.backoff = Self::backoff(&self.policy);
            self.keep_failing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts(give_up: bool) -> RestartBackoff {
        RestartBackoff::new(RestartPolicy { intensity: 3, give_up, ..RestartPolicy::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_wait_twice_as_long_each_time_until_there_are_too_many() {
        for give_up in [true, false] {
            let mut restarts = restarts(give_up);
            for least in [100, 200, 400] {
                let pause = restarts.next(false).unwrap().as_millis();
                assert!(
                    (least..=2 * least).contains(&pause),
                    "the pause is {pause} ms, not {least} ms and up to as much again"
                );
            }
            assert!(!restarts.keep_failing());
            let longest = (!give_up).then_some(Duration::from_secs(30));
            assert_eq!(restarts.next(false), longest);
            assert_eq!(restarts.keep_failing(), !give_up);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_longest_until_it_has_run_well() {
        let mut restarts = restarts(false);
        for _ in 0..4 {
            restarts.next(false);
        }
        // The window is over, but the process has not been stable.
        tokio::time::advance(Duration::from_secs(120)).await;
        assert_eq!(restarts.next(false), Some(Duration::from_secs(30)));
        restarts.was_ready_for(Duration::from_secs(29));
        assert_eq!(restarts.next(false), Some(Duration::from_secs(30)));
        restarts.was_ready_for(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(restarts.next(false).unwrap() <= Duration::from_millis(200));
        assert!(!restarts.keep_failing());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_ago_does_not_count_nor_what_it_is_not_to_blame_for() {
        let mut restarts = restarts(true);
        for _ in 0..10 {
            assert!(restarts.next(false).is_some());
            tokio::time::advance(Duration::from_secs(21)).await;
        }
        for _ in 0..10 {
            assert!(restarts.next(true).is_some());
        }
        assert!(restarts.next(false).unwrap() >= Duration::from_secs(30), "but it still waits");
    }

    #[tokio::test(start_paused = true)]
    async fn without_restarts_there_is_none() {
        assert_eq!(RestartBackoff::new(RestartPolicy::never()).next(false), None);
    }
}
