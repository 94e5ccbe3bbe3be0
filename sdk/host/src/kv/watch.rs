//! A watch: a channel for changes of keys. Changes that were not read yet are merged by key; if they still take too much
//! memory, the watch ends. So a slow reader of a watch neither blocks the store nor takes its memory. `watchers` is the list
//! of a store's watches.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::budget::{Budget, Reservation};
use crate::lock::lock;

/// How many bytes of unread changes, with their keys, the watches of one namespace may have together: 16 MiB. Each watch
/// from [`Watch::channel`] has as many for itself.
pub(super) const NAMESPACE_BYTES: usize = 2 * super::MAX_VALUE_BYTES;
/// The memory, in bytes, that a change takes in addition to its key and its value.
const OVERHEAD_BYTES: usize = 256;

/// From this number of unread changes on, it is worth looking for those that cancel out: of a key that was created and
/// removed since.
const CANCEL_OUT_FROM: usize = 1024;

/// A change of a key: it was written, was removed, or has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The whole key, with the prefix of the watch.
    pub key: String,
    /// The revision of the change; a removal or an expiry has one of its own.
    pub revision: u64,
    /// The new value; `None` if the key was removed or has expired.
    pub value: Option<Arc<[u8]>>,
}

/// Receives the changes of keys. From [`KvStore::watch`](super::KvStore::watch). Dropping it ends the watch.
///
/// Of several unread changes of one key only the last is kept. Changes of different keys come in the order of the first
/// unread change of each key. If 1,024 or more are unread, or they take too much memory, a key that was created and
/// removed since may be left out. If they still take too much memory, the watch ends: see [`Watch::is_overrun`]. The limit
/// is 16 MiB, in a [`RedbStore`](super::RedbStore) for all watches of a namespace together, and 32 MiB for all of the store.
pub struct Watch {
    shared: Arc<WatchState>,
}

/// The sending side of a [`Watch`], which a store keeps. Dropping it ends the watch, once the unread changes are read.
pub struct WatchSender {
    shared: Arc<WatchState>,
}

/// What a watch and its sender share.
struct WatchState {
    pending: Mutex<PendingChanges>,
    /// Wakes the reader in [`Watch::next`]: a change has arrived, or the watch has ended.
    arrived: Notify,
}

/// The changes that the reader of the watch has not got yet.
struct PendingChanges {
    /// The unread changes, in the order in which they are to be read.
    changes: BTreeMap<u64, PendingChange>,
    /// The number of each key's change in `changes`.
    places: HashMap<String, u64>,
    next_place: u64,
    /// At this number of unread changes, those that cancel out are looked for the next time.
    look_through_at: usize,
    /// The memory that the changes have reserved.
    held: Reservation,
    /// How many bytes the changes take.
    bytes: usize,
    /// Whether further changes are ignored: the watch was dropped or overrun, or its sender was dropped.
    closed: bool,
    /// Whether that is because the changes took too much memory: then they are lost.
    overrun: bool,
}

/// An unread change.
struct PendingChange {
    change: Change,
    /// Whether the reader of the watch knows the key: it existed before the first of the changes that were merged into this one.
    known: bool,
}

impl PendingChange {
    fn bytes(&self) -> usize {
        bytes(&self.change)
    }
}

/// The memory that a change takes, in bytes. Its key is stored twice.
fn bytes(change: &Change) -> usize {
    OVERHEAD_BYTES + 2 * change.key.len() + change.value.as_ref().map_or(0, |value| value.len())
}

impl Watch {
    /// Makes a watch and its sender, for a store. The limit of its unread changes is 16 MiB, for this watch alone.
    ///
    /// ```
    /// use ixt_host::kv::{Change, Watch};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let (sender, mut watch) = Watch::channel();
    /// sender.send(Change { key: "a".to_owned(), revision: 1, value: None }, true);
    /// drop(sender);
    /// assert_eq!(watch.next().await.map(|change| change.revision), Some(1));
    /// assert_eq!(watch.next().await, None);
    /// # }
    /// ```
    #[must_use]
    pub fn channel() -> (WatchSender, Self) {
        Self::within(&Budget::new(NAMESPACE_BYTES))
    }

    /// Like [`channel`](Self::channel), with a budget for the unread changes.
    pub(super) fn within(budget: &Arc<Budget>) -> (WatchSender, Self) {
        let pending = Mutex::new(PendingChanges {
            changes: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            look_through_at: CANCEL_OUT_FROM,
            held: budget.overdraw(0),
            bytes: 0,
            closed: false,
            overrun: false,
        });
        let shared = Arc::new(WatchState { pending, arrived: Notify::new() });
        (WatchSender { shared: Arc::clone(&shared) }, Self { shared })
    }

    /// Whether the watch has ended because its unread changes took too much memory. All of them are lost: to go on,
    /// watch again, and then read the keys. False while the watch goes on, and if the store was closed.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.shared.lock().overrun
    }

    /// Waits for the next change. Returns `None` once the watch has ended, because the store was closed or the watch was
    /// [overrun](Self::is_overrun), and no change is left; then each further call does too. Cancel-safe: a change that was not returned is
    /// not lost.
    pub async fn next(&mut self) -> Option<Change> {
        loop {
            {
                let mut pending = self.shared.lock();
                if let Some((_, waiting)) = pending.changes.pop_first() {
                    pending.places.remove(&waiting.change.key);
                    pending.bytes -= waiting.bytes();
                    pending.account();
                    return Some(waiting.change);
                }
                if pending.closed {
                    return None;
                }
            }
            self.shared.arrived.notified().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // The store drops the sender only when it looks at it again. The values are dropped now.
        self.shared.lock().close();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("waiting", &self.shared.lock().changes.len()).finish()
    }
}

impl WatchSender {
    /// Delivers a change, without blocking; to be called in the order of revisions. `existed` is whether the key
    /// existed before the change, or had expired without that being delivered. Does nothing if the watch was dropped or
    /// has ended; ends the watch if the unread changes take too much memory.
    pub fn send(&self, change: Change, existed: bool) {
        let mut pending = self.shared.lock();
        if !pending.closed {
            pending.put(change, existed);
            drop(pending);
            self.shared.arrived.notify_one();
        }
    }

    /// Whether the watch was dropped or has ended, so that the store can drop this. Once true, it stays true.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.lock().closed
    }
}

impl Drop for WatchSender {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.arrived.notify_one();
    }
}

impl fmt::Debug for WatchSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSender").field("closed", &self.is_closed()).finish_non_exhaustive()
    }
}

impl WatchState {
    fn lock(&self) -> MutexGuard<'_, PendingChanges> {
        lock(&self.pending)
    }
}

impl PendingChanges {
    /// Adds a change, or merges it with the unread one of its key.
    fn put(&mut self, change: Change, existed: bool) {
        if let Some(waiting) = self.places.get(&change.key).and_then(|place| self.changes.get_mut(place)) {
            let (before, after) = (waiting.bytes(), bytes(&change));
            waiting.change = change;
            self.bytes = self.bytes + after - before;
            return self.bound();
        }
        if self.changes.len() >= self.look_through_at {
            self.cancel_out();
        }
        self.places.insert(change.key.clone(), self.next_place);
        self.bytes += bytes(&change);
        self.changes.insert(self.next_place, PendingChange { change, known: existed });
        self.next_place += 1;
        self.bound();
    }

    /// Ends the watch if the unread changes take too much memory.
    fn bound(&mut self) {
        if self.account() {
            return;
        }
        self.cancel_out();
        if !self.account() {
            self.close();
            self.overrun = true;
        }
    }

    /// Adjusts the reservation to `bytes`. False if the budget has too little left; then nothing has changed.
    fn account(&mut self) -> bool {
        self.held.resize(self.bytes)
    }

    /// Drops the unread changes, and takes no more.
    fn close(&mut self) {
        (self.changes, self.places, self.bytes) = (BTreeMap::new(), HashMap::new(), 0);
        self.held.resize(0);
        self.closed = true;
    }

    /// Drops the changes of keys that the reader does not know and that do not exist any more. What remains are keys that
    /// exist, or existed when the watch was last read: never more than the store has held, however many come and go.
    fn cancel_out(&mut self) {
        let Self { changes, places, bytes, .. } = self;
        changes.retain(|_, waiting| {
            let keep = waiting.known || waiting.change.value.is_some();
            if !keep {
                places.remove(&waiting.change.key);
                *bytes -= waiting.bytes();
            }
            keep
        });
        // The next look is at twice as many, so that the looks take little time for each change.
        self.look_through_at = (2 * self.changes.len()).max(CANCEL_OUT_FROM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, revision: u64, value: Option<&[u8]>) -> Change {
        Change { key: key.to_owned(), revision, value: value.map(Arc::from) }
    }

    #[tokio::test]
    async fn changes_of_keys_that_came_and_went_do_not_pile_up() {
        let (sender, mut watch) = Watch::channel();
        sender.send(change("known", 1, None), true);
        for revision in 0..100_000 {
            let key = format!("passing-{revision}");
            sender.send(change(&key, revision, Some(b"x")), false);
            sender.send(change(&key, revision, None), true);
        }
        sender.send(change("stays", 2, Some(b"y")), false);
        let waiting = watch.shared.lock().changes.len();
        assert!(waiting <= CANCEL_OUT_FROM, "{waiting} changes wait");

        drop(sender);
        let mut read = Vec::new();
        while let Some(change) = watch.next().await {
            read.push(change);
        }
        assert_eq!(read.first(), Some(&change("known", 1, None)), "the reader knew that key");
        assert_eq!(read.last(), Some(&change("stays", 2, Some(b"y"))));
    }

    #[tokio::test]
    async fn a_key_that_changes_all_the_time_keeps_its_place() {
        let (sender, mut watch) = Watch::channel();
        sender.send(change("busy", 1, Some(b"1")), false);
        sender.send(change("other", 2, Some(b"2")), false);
        sender.send(change("busy", 3, Some(b"3")), true);
        assert_eq!(watch.next().await, Some(change("busy", 3, Some(b"3"))));
        sender.send(change("busy", 4, Some(b"4")), true);
        assert_eq!(watch.next().await, Some(change("other", 2, Some(b"2"))));
    }
}
