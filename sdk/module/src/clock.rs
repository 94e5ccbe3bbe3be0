//! The time, handed in: a session asks its clock instead of the system, so that a test can stop it.

use std::fmt::Debug;

use tokio::time::Instant;

/// What tells the time, and wakes the session when a deadline is due.
pub(crate) trait Clock: Debug + Send + Sync {
    /// The current time.
    fn now(&self) -> Instant;
    /// Makes sure that `Session::expire` is called at this time or soon after. Several times may be outstanding; the clock may
    /// keep the earliest alone, since `expire` returns the next one.
    fn wake_at(&self, time: Instant);
}
