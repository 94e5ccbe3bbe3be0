//! What a connection may take of its host.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::budget::Budget;

/// How many bytes of large frames, not complete yet, a host holds for all its connections. A module whose large frame has no
/// room is not read from meanwhile.
pub(super) const READING_BYTES: usize = 64 * 1024 * 1024;
/// How many bytes of the modules' own calls a host works on for all its connections. More are not read.
const WORK_BYTES: usize = 64 * 1024 * 1024;
/// How many of these one connection may have.
const WORK_BYTES_PER_CONNECTION: usize = WORK_BYTES / 2;

/// What one connection may do.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// The longest frame, in either direction, in bytes.
    pub(crate) max_frame_bytes: usize,
    /// The memory of what waits for the module: queued requests, and bytes that it has not read.
    pub(crate) waiting: Arc<Budget>,
    /// What all connections of the host share.
    pub(crate) shared: SharedLimits,
    /// How long after its caller stopped waiting a request may stay unanswered. Then it is overdue, and no longer counts as in flight.
    pub(crate) overdue_after: Duration,
}

/// The limits that all connections of a host have together.
#[derive(Debug, Clone)]
pub(crate) struct SharedLimits {
    /// See [`READING_BYTES`].
    pub(super) reading: Arc<Semaphore>,
    /// See [`WORK_BYTES`].
    work: Arc<Budget>,
}

impl SharedLimits {
    /// The part of one connection.
    pub(super) fn work_of_one(&self) -> Arc<Budget> {
        self.work.part(WORK_BYTES_PER_CONNECTION)
    }
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self { reading: Arc::new(Semaphore::new(READING_BYTES)), work: Budget::new(WORK_BYTES) }
    }
}
