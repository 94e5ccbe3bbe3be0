//! Limits the number of lines of one kind within a time: further lines are left out, and their number is reported at
//! the end of that time. Nothing is written here; `rate_limited` and `call_log` do that.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::lock::lock;

/// Allows `max_lines` lines within a window of time. The first window begins when this is made, each further one with
/// the first line after the end of the window before. Clones share the limit.
#[derive(Debug, Clone)]
pub(crate) struct RateLimit {
    max_lines: u32,
    /// The length of a window.
    length: Duration,
    window: Arc<Mutex<Window>>,
}

/// The current window, or the last one if no line has come since.
#[derive(Debug)]
struct Window {
    start: Instant,
    /// How many lines were allowed in this window.
    logged: u32,
    /// How many lines were left out and not reported yet.
    left_out: u64,
}

impl RateLimit {
    /// A limit of `max_lines` lines within `length`.
    pub(crate) fn new(max_lines: u32, length: Duration) -> Self {
        let window = Window { start: Instant::now(), logged: 0, left_out: 0 };
        Self { max_lines, length, window: Arc::new(Mutex::new(window)) }
    }

    /// Whether a line may be logged. The first line of a window that may not calls `report`; what that returns is
    /// called, in a task, at the end of the window, with the number of lines that were left out. Outside of a tokio
    /// runtime each line may be logged.
    pub(crate) fn allows<R: FnOnce(u64) + Send + 'static>(&self, report: impl FnOnce() -> R) -> bool {
        let mut window = lock(&self.window);
        if window.start.elapsed() >= self.length {
            (window.start, window.logged) = (Instant::now(), 0);
        }
        if window.logged < self.max_lines {
            window.logged += 1;
            return true;
        }
        let Ok(runtime) = Handle::try_current() else { return true };
        window.left_out += 1;
        if window.left_out == 1 {
            let (rest, report, window) =
                (self.length.saturating_sub(window.start.elapsed()), report(), Arc::clone(&self.window));
            runtime.spawn(async move {
                sleep(rest).await;
                let left_out = std::mem::take(&mut lock(&window).left_out);
                report(left_out);
            });
        }
        false
    }
}
