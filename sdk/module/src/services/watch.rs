//! Keys that are watched. The thread that reads from the host brings each change to its watch, where it waits for whoever asks
//! for it. Of each key there is only the last change, and if more waits than may, the watch ends.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ixt_protocol::KvChange;
use serde::de::DeserializeOwned;

use crate::Result;
use crate::services::call::Calls;
use crate::services::kv::stored_json;

/// So much of what was not taken may wait in a watch, with the keys.
const WAITING_BYTES: usize = 32 * 1024 * 1024;
/// What a change takes beside its key and its value.
const OVERHEAD_BYTES: usize = 256;

/// A key has another value, or none any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The revision that the change has made, as in [`Entry`](crate::kv::Entry).
    pub revision: u64,
    /// What is there now; `None` if the key was deleted or its time is over.
    pub value: Option<Vec<u8>>,
}

impl Change {
    /// What it takes while it waits. Its key stands there twice more.
    fn bytes(&self) -> usize {
        OVERHEAD_BYTES + 3 * self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }

    /// The value as JSON; `None` if there is none any more.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it is not JSON of this type: it was the module that has written it.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.value.as_deref().map(stored_json).transpose()
    }
}

/// The changes of all keys that begin alike, made by [`Kv::watch`](crate::Kv::watch). Dropped, it ends.
///
/// It belongs to the module and not to the request in which it was begun, so a handler may keep it, or give it to a task:
///
/// ```
/// # use ixt_sdk::{Caller, Result, Runtime};
/// # async fn example(runtime: Runtime) -> Result<()> {
/// let mut watch = runtime.kv().watch("prices/").await?;
/// for key in runtime.kv().list("prices/").await? {
///     // What was there before is not told by the watch.
/// }
/// tokio::spawn(async move {
///     while let Some(change) = watch.next().await {
///         match change.to_json::<u64>()? {
///             Some(price) => println!("{} is {price}", change.key),
///             None => println!("{} is gone", change.key),
///         }
///     }
///     Ok::<_, ixt_sdk::Error>(())
/// });
/// # Ok(())
/// # }
/// ```
pub struct Watch {
    id: u64,
    changes: Arc<Changes>,
    calls: Arc<Calls>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn new(id: u64, changes: Arc<Changes>, calls: Arc<Calls>) -> Self {
        Self { id, changes, calls }
    }

    /// Whether it has ended because its changes were not taken: 32 MiB waited here, or as much as the host keeps. Some are lost, and
    /// whoever needs them watches anew, and reads the keys again.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.changes.lock().overrun
    }

    /// The next change; `None` if the host is gone, the module has ended, or the watch [is overrun](Watch::is_overrun). Of one key only the last change that has not been
    /// taken is kept: they tell what is there now, and not all that was in between. Cancel-safe: a future that is dropped
    /// has taken nothing.
    pub async fn next(&mut self) -> Option<Change> {
        poll_fn(|cx| self.changes.poll(cx)).await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.calls.unwatch(self.id);
    }
}

/// What the host has told and nobody has taken yet.
#[derive(Debug, Default)]
pub(crate) struct Changes(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    /// The keys of `last`, the one that has waited longest first.
    keys: VecDeque<String>,
    last: HashMap<String, Change>,
    bytes: usize,
    overrun: bool,
    /// Who waits for the next one. There is only one, since [`Watch::next`] takes the watch for itself.
    waker: Option<Waker>,
    closed: bool,
}

impl Changes {
    pub(crate) fn push(&self, change: KvChange<'_>) {
        let KvChange { watch: _, key, revision, value } = change;
        let change = Change { key: key.into_owned(), revision, value: value.map(std::borrow::Cow::into_owned) };
        let mut pending = self.lock();
        if pending.overrun {
            return;
        }
        pending.bytes += change.bytes();
        if let Some(last) = pending.last.get_mut(&change.key) {
            let before = std::mem::replace(last, change);
            pending.bytes -= before.bytes();
        } else {
            pending.keys.push_back(change.key.clone());
            pending.last.insert(change.key.clone(), change);
        }
        if pending.bytes > WAITING_BYTES {
            drop(pending);
            return self.lose();
        }
        wake(pending);
    }

    /// Not all of them will be given out, so that none is.
    pub(crate) fn lose(&self) {
        let mut pending = self.lock();
        *pending = Pending { closed: true, overrun: true, waker: pending.waker.take(), ..Pending::default() };
        wake(pending);
    }

    /// There will be no more. What waits is still given out.
    pub(crate) fn close(&self) {
        let mut pending = self.lock();
        pending.closed = true;
        wake(pending);
    }

    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Change>> {
        let mut pending = self.lock();
        if let Some(key) = pending.keys.pop_front() {
            let change = pending.last.remove(&key);
            pending.bytes -= change.as_ref().map_or(0, Change::bytes);
            return Poll::Ready(change);
        }
        if pending.closed {
            return Poll::Ready(None);
        }
        let before = pending.waker.replace(cx.waker().clone());
        drop(pending);
        // Outside of the lock, as everything of others'.
        drop(before);
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing that can panic happens under this lock, but for a waker's `clone`, before which nothing has changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes whoever waits, without the lock: it may come back at once.
fn wake(mut pending: MutexGuard<'_, Pending>) {
    let waker = pending.waker.take();
    drop(pending);
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, revision: u64) -> KvChange<'_> {
        KvChange { watch: 1, key: key.into(), revision, value: None }
    }

    #[test]
    fn of_each_key_the_last_change_waits_in_the_order_in_which_the_keys_came() {
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
                // One that was taken waits at the end again.
                changes.push(self::change("b", 6));
            }
        }
        let expected = [("b", 5), ("a", 2), ("c", 4), ("b", 6)];
        assert_eq!(taken, expected.map(|(key, revision)| (key.to_owned(), revision)));
        assert_eq!(changes.poll(&mut cx), Poll::Ready(None), "it is closed");
        assert!(changes.lock().last.is_empty());
    }

    #[test]
    fn one_whose_changes_are_not_taken_ends_and_holds_nothing() {
        let changes = Changes::default();
        let large = |key: &'static str| KvChange { value: Some(vec![0; WAITING_BYTES / 2].into()), ..change(key, 1) };
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..5 {
            changes.push(large("a"));
        }
        assert!(matches!(changes.poll(&mut cx), Poll::Ready(Some(_))), "of one key there is one change");
        changes.push(large("a"));
        assert!(!changes.lock().overrun);
        changes.push(large("b"));
        assert!(changes.lock().overrun);
        changes.push(change("c", 1));
        assert_eq!(changes.poll(&mut cx), Poll::Ready(None));
        assert!(changes.lock().last.is_empty());
    }

    #[test]
    fn whoever_waits_hears_of_a_change_and_of_the_end() {
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
