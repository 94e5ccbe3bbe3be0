//! Where a call is, for its caller's cancel, if that can change: the call waits for a process, is queued for a process that gives it
//! back, or gets another attempt.

use std::sync::{Arc, Mutex};

use super::{CallHandle, Cancel, WriteBatch};
use crate::lock::lock;

/// The caller's [`CallHandle`] points here, and the call's [`ReplyTo`](super::ReplyTo) keeps it alive.
#[derive(Debug, Default)]
pub(crate) struct CallLocation(Mutex<Location>);

#[derive(Debug, Default)]
struct Location {
    /// How often the call has left a place. An arrival of an earlier move comes too late, and is ignored.
    moves: u64,
    /// Cancels the call where it is. The default does nothing: the call is on its way.
    handle: CallHandle,
    is_cancelled: bool,
}

impl CallLocation {
    /// A handle for the caller.
    pub(crate) fn handle(self: &Arc<Self>) -> CallHandle {
        CallHandle::new(self, 0)
    }

    /// The call goes to another place. Returns the number of the move, for [`arrived`](Self::arrived).
    pub(crate) fn moves(&self) -> u64 {
        let mut location = lock(&self.0);
        location.moves += 1;
        location.handle = CallHandle::default();
        location.moves
    }

    /// The call can be cancelled by this handle now. A call that was cancelled on its way is cancelled at once.
    pub(crate) fn arrived(&self, number: u64, handle: CallHandle, batch: &mut WriteBatch) {
        let mut location = lock(&self.0);
        if location.is_cancelled {
            drop(location);
            handle.cancel(batch);
        } else if location.moves == number {
            location.handle = handle;
        }
    }

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
        let first = location.moves();
        let second = location.moves();
        location.arrived(second, CallHandle::new(&owner, 2), batch);
        // The thread that made the first move was slower.
        location.arrived(first, CallHandle::new(&owner, 1), batch);
        location.handle().cancel(batch);
        assert_eq!((cancelled(), location.is_cancelled()), (2, true));
        location.handle().cancel(batch);
        let third = location.moves();
        location.arrived(third, CallHandle::new(&owner, 3), batch);
        assert_eq!(cancelled(), 3, "it was cancelled on its way");
    }
}
