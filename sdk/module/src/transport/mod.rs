//! Where a session's frames come from, and what runs its handlers. In a process: the socket, read by the thread that has the
//! `reader_lease`, in `connection`; `thread_executor` is the lease behind its lock. In the test harness: `task_executor`, a single
//! task with channels instead of a socket.

pub(crate) mod connection;
#[cfg(feature = "compare-machinery")]
pub(crate) mod plain;
mod reader_lease;
pub(crate) mod socket;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod task_executor;
pub(crate) mod thread_executor;
