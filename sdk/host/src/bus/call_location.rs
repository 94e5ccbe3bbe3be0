//! Where a call is now, so that a cancel of its caller finds it. A call may move if it is parked until a process is ready, if its process
//! handles one request at a time and gives its queue back when it stops, and if it can get another attempt. Other calls need no location:
//! their [`CallHandle`] is that of the one process that they are sent to.

use std::sync::{Arc, Mutex};

use super::{CallHandle, Cancel, WriteBatch};
use crate::lock::lock;

/// The place of one call. The caller's [`CallHandle`] cancels the call through it; the call's [`ReplyTo`](super::ReplyTo) keeps it alive,
/// so that the handle does nothing once the call has ended.
#[derive(Debug, Default)]
pub(crate) struct CallLocation(Mutex<Location>);

/// The state of a [`CallLocation`].
#[derive(Debug, Default)]
struct Location {
    /// The number of moves so far. [`arrived`](CallLocation::arrived) with a smaller number comes too late: its handle is used only if the
    /// call was cancelled.
    moves: u64,
    /// Cancels the call at the place where it is. While the call moves, this is the default handle, which does nothing.
    handle: CallHandle,
    /// Set by the caller's first cancel, for good.
    is_cancelled: bool,
}

impl CallLocation {
    /// The handle for the caller. It cancels the call wherever it is by then.
    pub(crate) fn handle(self: &Arc<Self>) -> CallHandle {
        CallHandle::new(self, 0)
    }

    /// Begins a move to another place. Returns the number of the move, for [`arrived`](Self::arrived).
    pub(crate) fn begin_move(&self) -> u64 {
        let mut location = lock(&self.0);
        location.moves += 1;
        location.handle = CallHandle::default();
        location.moves
    }

    /// Ends move `number`: from now on `handle` cancels the call. If the caller has cancelled the call, `handle` cancels it now. Otherwise,
    /// if a later move has begun meanwhile, `handle` is dropped.
    pub(crate) fn arrived(&self, number: u64, handle: CallHandle, batch: &mut WriteBatch) {
        let mut location = lock(&self.0);
        if location.is_cancelled {
            drop(location);
            handle.cancel(batch);
        } else if location.moves == number {
            location.handle = handle;
        }
    }

    /// Whether the caller has cancelled the call.
    pub(crate) fn is_cancelled(&self) -> bool {
        lock(&self.0).is_cancelled
    }
}

impl Cancel for CallLocation {
    fn cancel(&self, _: u64, batch: &mut WriteBatch) {
        let handle = {
            let mut location = lock(&self.0);
            location.is_cancelled = true;
            std::mem::take(&mut location.handle)
        };
        handle.cancel(batch);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Remembers the number of the call that was cancelled last.
    #[derive(Debug, Default)]
    struct Last(AtomicU64);

    impl Cancel for Last {
        fn cancel(&self, number: u64, _: &mut WriteBatch) {
            self.0.store(number, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_call_is_cancelled_at_its_last_place() {
        let (owner, location, batch) =
            (Arc::new(Last::default()), Arc::new(CallLocation::default()), &mut WriteBatch::none());
        let cancelled = || owner.0.load(Ordering::Relaxed);
        let first = location.begin_move();
        let second = location.begin_move();
        location.arrived(second, CallHandle::new(&owner, 2), batch);
        // The thread that made the first move was slower.
        location.arrived(first, CallHandle::new(&owner, 1), batch);
        location.handle().cancel(batch);
        assert_eq!((cancelled(), location.is_cancelled()), (2, true));
        location.handle().cancel(batch);
        let third = location.begin_move();
        location.arrived(third, CallHandle::new(&owner, 3), batch);
        assert_eq!(cancelled(), 3, "it was cancelled during its move");
    }
}
