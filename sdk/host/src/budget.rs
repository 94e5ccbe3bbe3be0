//! Limits of the memory that waiting messages take in a host. Code that keeps a message, or bytes of one, reserves them
//! in a [`Budget`] first. A budget may be a part of a larger one, whose limit holds as well.
//!
//! This file has only the mechanism. The numbers are
//!
//! - `MEMORY_BYTES` in `host/builder.rs`, for all that waits in a host; its parts are `MAX_WAITING_BYTES` in
//!   `module_router/mod.rs`, for one module, and `LINES_BYTES` in `control/server.rs`, for the control socket;
//! - `WORK_BYTES` in `connection/limits.rs`, for the values that modules are writing to the store, with a part for each
//!   connection;
//! - `STORE_BYTES` in `kv/watchers.rs`, for unread changes of watched keys, with the part `NAMESPACE_BYTES`
//!   (`kv/watch.rs`) for a module.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A limit in bytes, and how many bytes are reserved. Any thread may reserve and give back.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The most bytes that [`take`](Self::take) lets be reserved; this number itself still fits.
    limit: usize,
    /// The reserved bytes, those of the parts included. More than `limit` after [`overdraw`](Self::overdraw).
    used: AtomicUsize,
    /// The budget that this one is a part of; `None` if it is a part of none.
    whole: Option<Arc<Budget>>,
    /// Wakes the tasks in [`room`](Self::room): notified when bytes are given back while the budget is over its limit.
    given_back: Notify,
}

/// Reserved bytes. They are given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// Makes a budget that is a part of no other one.
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), whole: None, given_back: Notify::new() })
    }

    /// Makes a part of this budget, with its own limit: what is reserved in the part is reserved in both. The limits of
    /// all parts together may be more than that of the whole.
    pub(crate) fn part(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        let whole = Some(Arc::clone(self));
        Arc::new(Self { limit, used: AtomicUsize::new(0), whole, given_back: Notify::new() })
    }

    /// Reserves these bytes without waiting. `None` if this budget, or one that it is a part of, has fewer left: then
    /// nothing is reserved. 0 bytes always fit.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        self.add(bytes).then(|| Reservation { budget: Arc::clone(self), bytes })
    }

    /// Reserves these bytes even if that is over the limit: for data that is in memory already. Code that would read
    /// more data then waits for [`room`](Self::room).
    pub(crate) fn overdraw(self: &Arc<Self>, bytes: usize) -> Reservation {
        for budget in self.and_wholes() {
            budget.used.fetch_add(bytes, Ordering::Relaxed);
        }
        Reservation { budget: Arc::clone(self), bytes }
    }

    /// Waits until this budget, and then each one that it is a part of, is at or below its limit. All waiting tasks are
    /// woken together, so together they may exceed the limit again. Cancel-safe.
    pub(crate) async fn room(&self) {
        for budget in self.and_wholes() {
            loop {
                let given_back = budget.given_back.notified();
                tokio::pin!(given_back);
                // From here on no notification is missed.
                given_back.as_mut().enable();
                if budget.used.load(Ordering::Relaxed) <= budget.limit {
                    break;
                }
                given_back.await;
            }
        }
    }

    /// How many bytes are reserved in this budget, those of its parts included.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn and_wholes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |budget| budget.whole.as_deref())
    }

    /// Reserves in this budget and those that it is a part of. False if one of them has too little left; then nothing
    /// has changed.
    fn add(&self, bytes: usize) -> bool {
        if bytes == 0 {
            return true;
        }
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_err() {
            return false;
        }
        if self.whole.as_ref().is_none_or(|whole| whole.add(bytes)) {
            return true;
        }
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        for budget in self.and_wholes() {
            let before = budget.used.fetch_sub(bytes, Ordering::Relaxed);
            if before > budget.limit {
                budget.given_back.notify_waiters();
            }
        }
    }
}

impl Reservation {
    /// Sets how many bytes are reserved. Fewer always succeed. False if more are asked for than the budget, or one that
    /// it is a part of, has left: then nothing has changed.
    pub(crate) fn resize(&mut self, bytes: usize) -> bool {
        if bytes > self.bytes {
            if !self.budget.add(bytes - self.bytes) {
                return false;
            }
        } else {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
        true
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_limited_by_its_own_limit_and_by_what_is_left_of_the_whole() {
        let whole = Budget::new(100);
        let (one, other) = (whole.part(60), whole.part(60));
        let first = one.take(60).unwrap();
        assert!(one.take(1).is_none());
        let second = other.take(40).unwrap();
        assert!(other.take(1).is_none(), "the whole is used up");
        assert_eq!((one.used(), other.used(), whole.used()), (60, 40, 100));
        drop(first);
        let mut third = other.take(20).unwrap();
        assert!(!third.resize(21));
        assert!(third.resize(5));
        assert_eq!((one.used(), other.used(), whole.used()), (0, 45, 45));
        drop((second, third));
        assert_eq!((other.used(), whole.used()), (0, 0));
        assert!(one.take(usize::MAX).is_none());
    }

    #[tokio::test]
    async fn room_is_waited_for_after_the_limit_was_exceeded() {
        let budget = Budget::new(100).part(10);
        budget.room().await;
        let (large, small) = (budget.overdraw(20), budget.overdraw(5));
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.room().await }
        });
        tokio::task::yield_now().await;
        drop(small);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(large);
        waiting.await.unwrap();
        let _full = budget.overdraw(10);
        budget.room().await;
    }
}
