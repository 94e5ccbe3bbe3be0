//! When a process that has ended is started again: after a pause that grows, and not if that has happened too often.

use std::collections::VecDeque;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio::time::Instant;

use crate::Restart;

/// When a process is started again, and when not.
pub(crate) struct Restarts {
    policy: Restart,
    recent: VecDeque<Instant>,
    backoff: backon::ExponentialBackoff,
}

impl Restarts {
    pub(crate) fn new(policy: Restart) -> Self {
        Self { backoff: Self::backoff(&policy), policy, recent: VecDeque::new() }
    }

    fn backoff(policy: &Restart) -> backon::ExponentialBackoff {
        ExponentialBuilder::new()
            .with_min_delay(policy.backoff)
            .with_max_delay(policy.max_backoff)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build()
    }

    /// How long to wait now, or `None` if it is not to be started again.
    pub(crate) fn next(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let window = self.policy.window;
        while self.recent.front().is_some_and(|then| now.duration_since(*then) > window) {
            self.recent.pop_front();
        }
        if self.recent.len() >= usize::try_from(self.policy.intensity).unwrap_or(usize::MAX) {
            return None;
        }
        self.recent.push_back(now);
        Some(self.backoff.next().unwrap_or(self.policy.max_backoff))
    }

    pub(crate) fn was_ready_for(&mut self, duration: Duration) {
        if duration >= self.policy.stable_after {
            self.backoff = Self::backoff(&self.policy);
        }
    }

    /// Somebody has seen to it.
    pub(crate) fn forget(&mut self) {
        self.recent.clear();
        self.backoff = Self::backoff(&self.policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Restart {
        Restart { intensity: 3, ..Restart::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_wait_twice_as_long_each_time_until_there_are_too_many() {
        let mut restarts = Restarts::new(policy());
        for least in [100, 200, 400] {
            let pause = restarts.next().unwrap().as_millis();
            assert!(
                (least..=2 * least).contains(&pause),
                "{pause} ms where {least} ms and a part of it more are meant"
            );
        }
        assert_eq!(restarts.next(), None);
        restarts.forget();
        assert!(restarts.next().unwrap() <= Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_long_ago_does_not_count() {
        let mut restarts = Restarts::new(policy());
        for _ in 0..10 {
            assert!(restarts.next().is_some());
            tokio::time::advance(Duration::from_secs(21)).await;
        }
        assert!(restarts.next().unwrap() >= Duration::from_secs(30), "but it still waits");
        restarts.was_ready_for(Duration::from_secs(30));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(restarts.next().unwrap() <= Duration::from_millis(200), "unless it has run well since");
    }
}
