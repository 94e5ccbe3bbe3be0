//! The timeout for a module's reply to `init`, which the module can extend with `starting` frames.

use std::pin::pin;
use std::time::Duration;

use ixt_protocol::StartingFrame;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::standstill::{self, timeout};

/// The content of the `starting` frames that a module has sent so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartProgress {
    /// The last message that was not empty; empty if none has come.
    pub(crate) message: String,
    /// The latest time until which the module has asked to be waited for; `None` before its first frame.
    pub(crate) until: Option<Instant>,
}

impl StartProgress {
    /// Adds a frame. Its time counts from now, and never makes the deadline earlier; an empty message changes nothing.
    pub(super) fn update(&mut self, starting: StartingFrame<'_>) {
        let until = Instant::now().checked_add(Duration::from_millis(starting.extend_ms));
        self.until = self.until.into_iter().chain(until).max();
        if !starting.message.is_empty() {
            self.message = starting.message.into_owned();
        }
    }
}

/// Waits for `opening` until `init_timeout` has passed, or until the time for which the module has asked, whichever is
/// later. `on_message` gets each message of the module that differs from the one before; of several that are read
/// together, only the last. If this process stood still meanwhile, the time starts anew. `opening` is dropped after the
/// timeout.
///
/// # Errors
///
/// If the time is over: how much time the module had in all.
pub(crate) async fn with_extensible_timeout<T>(
    init_timeout: Duration,
    mut progress: watch::Receiver<StartProgress>,
    on_message: impl Fn(&str),
    opening: impl Future<Output = T>,
) -> Result<T, Duration> {
    let mut start = Instant::now();
    let (mut limit, mut last_message) = (init_timeout, String::new());
    let mut opening = pin!(opening);
    loop {
        if let Some(runs) = standstill::runs_since(start.into_std()) {
            start = Instant::now() - runs;
        }
        tokio::select! {
            biased;
            // First: the frame may have come in time although it is seen late.
            Ok(()) = progress.changed() => {
                let StartProgress { message, until } = progress.borrow_and_update().clone();
                limit = until.map_or(limit, |until| limit.max(until - start));
                if message != last_message {
                    on_message(&message);
                    last_message = message;
                }
                // Frames that ask for no more time do not put off the end.
                if start.elapsed() >= limit {
                    return Err(limit);
                }
            }
            opened = timeout(limit.saturating_sub(start.elapsed()), &mut opening) => {
                return opened.map_err(|_| limit);
            }
        }
    }
}
