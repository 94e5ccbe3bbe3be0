//! Locks that ignore poisoning: no code in this crate panics while it holds a lock, so the data behind it is whole even if the standard
//! library calls the lock poisoned.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks the mutex, even if it is poisoned. Blocks until it is free.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
