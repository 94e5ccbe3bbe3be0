//! Locks that ignore poisoning: code in this crate is not meant to panic while it holds a lock. If it does all the same, the data behind
//! the lock is used as it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the mutex, even if it is poisoned. Blocks until it is free, without a limit: a thread that has it locked already must not call
/// this.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
