//! The clock of a session. It is a trait because each executor plans the calls of `Session::expire` in its own way.

use std::fmt::Debug;

use tokio::time::Instant;

/// The time, and calls of `Session::expire` when a deadline is over.
pub(crate) trait Clock: Debug + Send + Sync {
    /// The current time: tokio's, which a test can stop.
    fn now(&self) -> Instant;
    /// Plans a call of `Session::expire` at this time or soon after, and returns at once. A time that is over means as soon as possible. If
    /// several calls are planned, the clock may keep only the earliest: `expire` returns the next time, and the executor plans that. Any
    /// thread may call this.
    fn wake_at(&self, time: Instant);
}
