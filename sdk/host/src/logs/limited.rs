//! Log lines about one process that a module can cause as often as it likes, such as `ready` and `starting`: limited in number.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_protocol::LogLevel;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::Logs;
use crate::lock::lock;

/// How many lines are logged within [`WINDOW`]. Further ones are left out.
const MAX_LINES: u32 = 10;
/// How long a window is. It begins with the first line after the one before has ended.
const WINDOW: Duration = Duration::from_secs(10);

/// A log for lines of one kind about one process: at most 10 of them within 10 seconds. At the end of a window a warning says how
/// many lines were left out in it. Clones share the limit.
#[derive(Debug, Clone)]
pub(crate) struct LimitedLog {
    logs: Logs,
    instance: Arc<str>,
    /// What the lines are about, for the warning.
    about: &'static str,
    window: Arc<Mutex<Window>>,
}

#[derive(Debug)]
struct Window {
    start: Instant,
    logged: u32,
    left_out: u64,
}

impl LimitedLog {
    /// `instance` is the id of the process, `about` says for the warning what the lines tell of it, such as "its start".
    pub(crate) fn new(logs: Logs, instance: Arc<str>, about: &'static str) -> Self {
        let window = Window { start: Instant::now(), logged: 0, left_out: 0 };
        Self { logs, instance, about, window: Arc::new(Mutex::new(window)) }
    }

    /// Logs a line, or counts it as left out. To be called within a tokio runtime: outside of one nothing is left out.
    pub(crate) fn info(&self, message: impl Into<String>) {
        if self.has_room() {
            self.logs.host(LogLevel::Info, &self.instance, message);
        }
    }

    fn has_room(&self) -> bool {
        let mut window = lock(&self.window);
        if window.start.elapsed() >= WINDOW {
            (window.start, window.logged) = (Instant::now(), 0);
        }
        if window.logged < MAX_LINES {
            window.logged += 1;
            return true;
        }
        // Without a runtime, nothing could log the number later.
        let Ok(runtime) = Handle::try_current() else { return true };
        window.left_out += 1;
        if window.left_out == 1 {
            let (this, rest) = (self.clone(), WINDOW.saturating_sub(window.start.elapsed()));
            runtime.spawn(async move {
                sleep(rest).await;
                this.tell_left_out();
            });
        }
        false
    }

    fn tell_left_out(&self) {
        let left_out = std::mem::take(&mut lock(&self.window).left_out);
        let (about, seconds) = (self.about, WINDOW.as_secs());
        let message = format!(
            "{left_out} more lines about {about} were left out of the log: at most {MAX_LINES} are logged within {seconds} s"
        );
        self.logs.host(LogLevel::Warn, &self.instance, message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lines_beyond_the_limit_are_counted_and_told_at_the_end_of_the_window() {
        let logs = Logs::default();
        let mut follower = logs.follow(0);
        let log = LimitedLog::new(logs.clone(), "m:1.0.0/instance-001".into(), "its start");
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
