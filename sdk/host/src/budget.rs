//! The memory that what waits in a host may take: one limit for the whole, and one for each part of it. Whatever is kept for longer
//! than it is worked on is taken from a budget, with all that belongs to it, and given back when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A limit, and how much of it is used.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
    whole: Option<Arc<Budget>>,
    less: Notify,
}

/// Bytes of a budget. Dropped, they are given back.
#[derive(Debug)]
pub(crate) struct Taken {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), whole: None, less: Notify::new() })
    }

    /// A part of this one: what is taken from it is taken from both.
    pub(crate) fn part(self: &Arc<Self>, limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0), whole: Some(Arc::clone(self)), less: Notify::new() })
    }

    /// Takes so much, if there is so much left of it and of the whole.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        self.add(bytes).then(|| Taken { budget: Arc::clone(self), bytes })
    }

    /// Takes it even if there is not so much left. Whoever does so waits for [room](Budget::room) first.
    pub(crate) fn overdraw(self: &Arc<Self>, bytes: usize) -> Taken {
        for budget in self.and_wholes() {
            budget.used.fetch_add(bytes, Ordering::Relaxed);
        }
        Taken { budget: Arc::clone(self), bytes }
    }

    /// Waits until no more is used of it, and of the whole, than may be. Of those who wait for the same budget, all are woken.
    pub(crate) async fn room(&self) {
        for budget in self.and_wholes() {
            loop {
                let less = budget.less.notified();
                tokio::pin!(less);
                // From here on no notification is missed.
                less.as_mut().enable();
                if budget.used.load(Ordering::Relaxed) <= budget.limit {
                    break;
                }
                less.await;
            }
        }
    }

    /// How much is used.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn and_wholes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |budget| budget.whole.as_deref())
    }

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
                budget.less.notify_waiters();
            }
        }
    }
}

impl Taken {
    /// Takes more, or gives some of it back. False if there is not so much left; then it is as it was.
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

impl Drop for Taken {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_has_no_more_than_its_own_and_what_is_left_of_the_whole() {
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
    async fn whoever_takes_more_than_there_is_waits_before_the_next() {
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
