//! The queue of a watch's changes. The reader of the connection pushes them, and the author's code takes them. The queue is bounded: if
//! the author's code is too slow, the watch ends as overrun.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ixt_protocol::KvChange;

use super::stored::Change;

/// How many bytes one watch may have queued, as [`bytes_of`] counts them: 32 MiB. Beyond it the watch is overrun.
const MAX_QUEUED_BYTES: usize = 32 * 1024 * 1024;
/// Roughly the memory that the queue needs for each change besides key and value, in bytes.
const OVERHEAD_BYTES: usize = 256;

/// The memory of a queued change, in bytes. The key counts three times: it is in `keys`, in `last`, and in the change.
fn bytes_of(change: &Change) -> usize {
    OVERHEAD_BYTES + 3 * change.key.len() + change.value.as_ref().map_or(0, Vec::len)
}

/// The changes of one watch that were not taken yet. Only the last change of each key is kept. No method waits, except for the lock.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<Queued>);

/// The queue of [`Changes`], behind its lock. Empty once the watch is overrun.
#[derive(Debug, Default)]
struct Queued {
    /// The keys of `last`, in the order in which their changes are taken.
    keys: VecDeque<String>,
    /// By key: its last change, until it is taken.
    last: HashMap<String, Change>,
    /// The sum of `bytes_of` over `last`.
    bytes: usize,
    /// Changes were lost. `closed` is then true too.
    overrun: bool,
    /// The task that waits in `Watch::next`. There is one at most, since that takes `&mut self`.
    waker: Option<Waker>,
    /// No more changes will come: those in the queue are the last.
    closed: bool,
}

impl Changes {
    /// Adds a change. It replaces a queued one of the same key, which keeps its place in the order. If more than 32 MiB are queued then,
    /// the watch is overrun. Does nothing if it is overrun already.
    pub(crate) fn push(&self, change: KvChange<'_>) {
        let KvChange { watch: _, key, revision, value } = change;
        let change = Change { key: key.into_owned(), revision, value: value.map(std::borrow::Cow::into_owned) };
        let mut queued = self.lock();
        if queued.overrun {
            return;
        }
        queued.bytes += bytes_of(&change);
        if let Some(last) = queued.last.get_mut(&change.key) {
            let before = std::mem::replace(last, change);
            queued.bytes -= bytes_of(&before);
        } else {
            queued.keys.push_back(change.key.clone());
            queued.last.insert(change.key.clone(), change);
        }
        if queued.bytes > MAX_QUEUED_BYTES {
            drop(queued);
            return self.lose();
        }
        wake(queued);
    }

    /// Ends the watch as overrun, and drops the queued changes: without the lost ones they would mislead. Called when the queue is full,
    /// and when the host has sent `kv_watch_ended`. A full queue is not reported to the host: it goes on sending until the `Watch` is
    /// dropped.
    pub(crate) fn lose(&self) {
        let mut queued = self.lock();
        *queued = Queued { closed: true, overrun: true, waker: queued.waker.take(), ..Queued::default() };
        wake(queued);
    }

    /// Ends the watch: the host is gone, or the session has ended. The queued changes can still be taken; after them [`poll`](Self::poll)
    /// returns `None`.
    pub(crate) fn close(&self) {
        let mut queued = self.lock();
        queued.closed = true;
        wake(queued);
    }

    /// Whether the watch was ended because changes were lost. It stays true.
    pub(crate) fn is_overrun(&self) -> bool {
        self.lock().overrun
    }

    /// Takes the next change; `None` when the watch has ended and no change is queued. `Pending` if none is queued yet: `cx` is woken by
    /// the next change or the end.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let mut queued = self.lock();
        if let Some(key) = queued.keys.pop_front() {
            let change = queued.last.remove(&key);
            queued.bytes -= change.as_ref().map_or(0, bytes_of);
            return Poll::Ready(change);
        }
        if queued.closed {
            return Poll::Ready(None);
        }
        let before = queued.waker.replace(cx.waker().clone());
        drop(queued);
        // Not under the lock: the destructor of a waker may run any code.
        drop(before);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Queued> {
        // Only a waker's `clone` can panic under this lock. It runs before anything is changed, so that a poisoned lock does no harm.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Releases the lock, and then wakes the task that waits: waking may poll the watch at once.
fn wake(mut queued: MutexGuard<'_, Queued>) {
    let waker = queued.waker.take();
    drop(queued);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn change(key: &str, revision: u64) -> KvChange<'_> {
        KvChange { watch: 1, key: key.into(), revision, value: None }
    }

    #[test]
    fn only_the_last_change_of_each_key_is_kept_in_the_order_of_the_keys() {
        let changes = Changes::default();
        for (key, revision) in [("b", 1), ("a", 2), ("b", 3), ("c", 4), ("b", 5)] {
            changes.push(change(key, revision));
        }
        changes.close();
        let mut cx = Context::from_waker(Waker::noop());
        let mut taken = Vec::new();
        while let Poll::Ready(Some(change)) = changes.poll(&mut cx) {
            taken.push((change.key, change.revision));
            if taken.len() == 1 {
                // After its change was taken, the next change of a key is queued at the end.
                changes.push(self::change("b", 6));
            }
        }
        let expected = [("b", 5), ("a", 2), ("c", 4), ("b", 6)];
        assert_eq!(taken, expected.map(|(key, revision)| (key.to_owned(), revision)));
        assert_eq!(changes.poll(&mut cx), Poll::Ready(None), "it is closed");
        assert!(changes.lock().last.is_empty());
    }

    #[test]
    fn a_watch_whose_changes_are_not_taken_ends_and_holds_nothing() {
        let changes = Changes::default();
        let large =
            |key: &'static str| KvChange { value: Some(vec![0; MAX_QUEUED_BYTES / 2].into()), ..change(key, 1) };
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..5 {
            changes.push(large("a"));
        }
        assert!(matches!(changes.poll(&mut cx), Poll::Ready(Some(_))), "one key has one change");
        changes.push(large("a"));
        assert!(!changes.is_overrun());
        changes.push(large("b"));
        assert!(changes.is_overrun());
        changes.push(change("c", 1));
        assert_eq!(changes.poll(&mut cx), Poll::Ready(None));
        assert!(changes.lock().last.is_empty());
    }

    #[test]
    fn the_task_that_waits_is_woken_by_a_change_and_by_the_end() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        struct Count(AtomicUsize);
        impl std::task::Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        let changes = Changes::default();
        assert_eq!(changes.poll(&mut cx), Poll::Pending);
        changes.push(change("a", 1));
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(matches!(changes.poll(&mut cx), Poll::Ready(Some(_))));
        assert_eq!(changes.poll(&mut cx), Poll::Pending);
        changes.close();
        assert_eq!(count.0.load(Ordering::Relaxed), 2);
        assert_eq!(changes.poll(&mut cx), Poll::Ready(None));
    }
}
