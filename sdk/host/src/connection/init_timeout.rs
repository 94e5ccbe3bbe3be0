//! The time that a module has for its answer to `init`, and for which it may ask.

use std::pin::pin;
use std::time::Duration;

use ixt_protocol::Starting;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::standstill::{self, timeout};

/// What a module that has not answered `init` has said of its start.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// What it does, as it has said last.
    pub(crate) message: String,
    /// It asks to be waited for until then, however long it had.
    pub(crate) until: Option<Instant>,
}

impl Progress {
    /// It has said so.
    pub(super) fn told(&mut self, starting: Starting<'_>) {
        let until = Instant::now().checked_add(Duration::from_millis(starting.extend_ms));
        self.until = self.until.into_iter().chain(until).max();
        if !starting.message.is_empty() {
            self.message = starting.message.into_owned();
        }
    }
}

/// Waits for what comes of `init` for so long, or longer if the module asks for that. The error is how long it was. `tell` gets
/// what the module says meanwhile, whenever that is something new.
pub(crate) async fn patiently<T>(
    patience: Duration,
    mut progress: watch::Receiver<Progress>,
    tell: impl Fn(&str),
    opening: impl Future<Output = T>,
) -> Result<T, Duration> {
    let mut start = Instant::now();
    let (mut patience, mut told) = (patience, String::new());
    let mut opening = pin!(opening);
    loop {
        if let Some(runs) = standstill::runs_since(start.into_std()) {
            start = Instant::now() - runs;
        }
        tokio::select! {
            biased;
            // First, for it may have come in time and be seen late.
            Ok(()) = progress.changed() => {
                let Progress { message, until } = progress.borrow_and_update().clone();
                patience = until.map_or(patience, |until| patience.max(until - start));
                if message != told {
                    tell(&message);
                    told = message;
                }
                // One that says something all the time does not get more for that.
                if start.elapsed() >= patience {
                    return Err(patience);
                }
            }
            opened = timeout(patience.saturating_sub(start.elapsed()), &mut opening) => {
                return opened.map_err(|_| patience);
            }
        }
    }
}
