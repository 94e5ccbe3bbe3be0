//! How long the host waits for a module's reply to `init`: its timeout, which the module can extend with `starting` frames.

use std::pin::pin;
use std::time::Duration;

use ixt_protocol::StartingFrame;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::standstill::{self, timeout};

/// What a module has said of its start in its `starting` frames.
#[derive(Debug, Clone, Default)]
pub(crate) struct StartProgress {
    /// The last message that was not empty; empty if there was none.
    pub(crate) message: String,
    /// The latest time until which it has asked to be waited for; `None` if it has not.
    pub(crate) until: Option<Instant>,
}

impl StartProgress {
    pub(super) fn update(&mut self, starting: StartingFrame<'_>) {
        let until = Instant::now().checked_add(Duration::from_millis(starting.extend_ms));
        self.until = self.until.into_iter().chain(until).max();
        if !starting.message.is_empty() {
            self.message = starting.message.into_owned();
        }
    }
}

/// Waits for `opening` until `timeout` has passed, or until the time that the module has asked for, whichever is later. `on_message`
/// gets each message of the module that differs from the one before. Time in which this process stood still does not count.
///
/// # Errors
///
/// How long the module had in all.
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
            // First, since it may have come in time and be seen late.
            Ok(()) = progress.changed() => {
                let StartProgress { message, until } = progress.borrow_and_update().clone();
                limit = until.map_or(limit, |until| limit.max(until - start));
                if message != last_message {
                    on_message(&message);
                    last_message = message;
                }
                // A module that sends such frames all the time gets no more for it.
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
