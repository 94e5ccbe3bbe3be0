//! Locks of which a panic elsewhere makes no difference: no code in this crate panics while it holds one, so that what a lock
//! guards is whole even if the standard library calls it poisoned.

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
