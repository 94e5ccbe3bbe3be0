//! The clock of a session. It is a trait, so that a test can stop the time.

use std::fmt::Debug;

use tokio::time::Instant;

/// The time, and calls of `Session::expire` when a deadline is over.
pub(crate) trait Clock: Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> Instant;
    /// Plans a call of `Session::expire` at this time or soon after. If several calls are planned, the clock may keep only the earliest:
    /// `expire` returns the next time.
    fn wake_at(&self, time: Instant);
}
