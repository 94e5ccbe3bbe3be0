//! Log lines about one process that a module can cause as often as it likes, such as about its `ready` and `starting`
//! frames: limited in number by [`RateLimit`].

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::LogLevel;

use super::{Logs, RateLimit};

/// How many lines are logged within a [`WINDOW`]. Further ones are left out, and counted.
const MAX_LINES: u32 = 10;
/// The time over which [`MAX_LINES`] counts.
const WINDOW: Duration = Duration::from_secs(10);

/// A log for lines of one kind about one process: at most 10 of them in each window of 10 seconds. At the end of a window a
/// warning says how many lines were left out in it, if any were. Clones share the limit.
#[derive(Debug, Clone)]
pub(crate) struct RateLimitedLog {
    logs: Logs,
    instance: Arc<str>,
    /// The subject of the lines. It appears in the warning.
    about: &'static str,
    limit: RateLimit,
}

impl RateLimitedLog {
    /// `instance` is the id of the process. `about` is the subject of the lines, such as "its start", and appears in the warning.
    pub(crate) fn new(logs: Logs, instance: Arc<str>, about: &'static str) -> Self {
        Self { logs, instance, about, limit: RateLimit::new(MAX_LINES, WINDOW) }
    }

    /// Logs a line of the level info, or counts it as left out. The limit needs a tokio runtime: called outside of one,
    /// every line is logged.
    pub(crate) fn info(&self, message: impl Into<String>) {
        let report = || {
            let Self { logs, instance, about, .. } = self.clone();
            move |left_out| {
                let seconds = WINDOW.as_secs();
                let message = format!(
                    "{left_out} more lines about {about} were left out of the log: at most {MAX_LINES} are logged within {seconds} s"
                );
                logs.host(LogLevel::Warn, &instance, message);
            }
        };
        if self.limit.allows(report) {
            self.logs.host(LogLevel::Info, &self.instance, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_beyond_the_limit_are_counted_and_reported_at_the_end_of_the_window() {
        let logs = Logs::default();
        let mut follower = logs.follow(0);
        let log = RateLimitedLog::new(logs.clone(), "m:1.0.0/instance-001".into(), "its start");
        let flaps = || (0..100).for_each(|number| log.clone().info(number.to_string()));
        let told = |(left_out, logged): (u64, u32)| {
            let lines = (0..logged).map(|number| number.to_string());
            let told = format!(
                "{left_out} more lines about its start were left out of the log: at most 10 are logged within 10 s"
            );
            lines.chain((left_out > 0).then_some(told)).collect::<Vec<_>>()
        };
        for _ in 0..2 {
            flaps();
            sleep(WINDOW).await;
            tokio::task::yield_now().await;
            let lines: Vec<_> = std::iter::from_fn(|| follower.try_next()).map(|line| line.message.clone()).collect();
            assert_eq!(lines, told((90, 10)));
        }
        sleep(WINDOW).await;
        (0..10).for_each(|number| log.info(number.to_string()));
        sleep(2 * WINDOW).await;
        let lines: Vec<_> = std::iter::from_fn(|| follower.try_next()).map(|line| line.message.clone()).collect();
        assert_eq!(lines, told((0, 10)), "nothing was left out");
    }
}
