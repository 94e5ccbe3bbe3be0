//! The limits of a connection, and those that all connections of a host share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::budget::Budget;

/// How many bytes of large frames that are not complete yet a host holds for all connections together: 64 MiB. A module
/// whose large frame has no room is not read from until there is room.
pub(super) const READING_BYTES: usize = 64 * 1024 * 1024;
/// How many bytes of values that modules are writing to the store a host holds for all connections together: 64 MiB.
/// Beyond it, a module with such a write in progress is not read from until enough writes are done.
const WORK_BYTES: usize = 64 * 1024 * 1024;
/// How many of these bytes one connection may have. Beyond it, its module is not read from in the same way.
const WORK_BYTES_PER_CONNECTION: usize = WORK_BYTES / 2;

/// The limits of one connection.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// The longest frame, in either direction, in bytes.
    pub(crate) max_frame_bytes: usize,
    /// The module's budget for what waits, 48 MiB, which its processes share. This connection takes from it for queued
    /// requests, and for bytes that the process has not read.
    pub(crate) waiting: Arc<Budget>,
    /// The limits that all connections of the host share.
    pub(crate) shared: SharedLimits,
    /// How long after its caller has stopped waiting a request of a concurrent module becomes overdue: then it no
    /// longer counts as in flight, and health checks fail.
    pub(crate) overdue_after: Duration,
}

/// The limits that all connections of a host share. The host makes one; clones are the same limits.
#[derive(Debug, Clone)]
pub(crate) struct SharedLimits {
    /// A permit for each of [`READING_BYTES`].
    pub(super) reading: Arc<Semaphore>,
    /// The budget of [`WORK_BYTES`].
    work: Arc<Budget>,
}

impl SharedLimits {
    /// A new part of the budget `work`, for one connection.
    pub(super) fn work_of_one(&self) -> Arc<Budget> {
        self.work.part(WORK_BYTES_PER_CONNECTION)
    }
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self { reading: Arc::new(Semaphore::new(READING_BYTES)), work: Budget::new(WORK_BYTES) }
    }
}
