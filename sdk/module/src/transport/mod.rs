//! Where a session's frames come from, and which threads run its handlers. In a process, `connection` reads the socket: its reader is the
//! task on the `workers`, or the thread, that has the `reader_lease`. `process_executor` has the lease behind its lock, and `socket` writes.
//! In the test harness, `task_executor` is a single task with channels instead of a socket; `testing::Pipe` has an executor of the same kind in its own file.
//! `plain` is a slower way, which only comparisons use.

pub(crate) mod connection;
#[cfg(feature = "compare-machinery")]
pub(crate) mod plain;
pub(crate) mod process_executor;
mod reader_lease;
pub(crate) mod socket;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod task_executor;
pub(crate) mod workers;
