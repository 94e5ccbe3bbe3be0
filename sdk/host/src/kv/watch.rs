//! Changes for whoever watches keys: what a slow watcher has not taken yet is conflated, and if that is more than may wait, the
//! watch ends. So it neither holds up the store nor takes its memory.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::budget::{Budget, Reservation};

/// So much of what was not taken may wait, with the keys: of those who watch one module's keys, and of all.
const WAITING_BYTES_OF_ONE: usize = 2 * super::MAX_VALUE_BYTES;
const WAITING_BYTES: usize = 4 * super::MAX_VALUE_BYTES;
/// What a change takes beside its key and its value.
const OVERHEAD_BYTES: usize = 256;

/// How many changes may wait before it is worth looking for ones that cancel out.
const CANCEL_OUT_FROM: usize = 1024;

/// One key was written, removed, or has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The revision of the change.
    pub revision: u64,
    /// What was written; `None` if the key is gone.
    pub value: Option<Arc<[u8]>>,
}

/// The changes of keys, from [`KvStore::watch`](super::KvStore::watch). Dropped, it watches no longer.
///
/// Of changes of one key that wait, only the last is kept. Changes of different keys come in the order in which the keys
/// began to wait. When very many wait, a key that has come and gone in the meantime may not be told of at all. When more than some
/// megabytes wait, the watch ends: see [`Watch::is_overrun`].
pub struct Watch {
    shared: Arc<Shared>,
}

/// The other end of a [`Watch`], for backends. Dropped, it ends the watch.
pub struct WatchSender {
    shared: Arc<Shared>,
}

struct Shared {
    pending: Mutex<Pending>,
    arrived: Notify,
}

struct Pending {
    /// In the order in which they are to be taken.
    changes: BTreeMap<u64, Waiting>,
    /// Where each key waits.
    places: HashMap<String, u64>,
    next_place: u64,
    /// How many changes may wait before they are looked through again.
    look_through_at: usize,
    held: Reservation,
    /// What they take.
    bytes: usize,
    closed: bool,
    overrun: bool,
}

struct Waiting {
    change: Change,
    /// Whether the watcher knows the key: it was there before the first of the changes that this stands for.
    known: bool,
}

impl Waiting {
    fn bytes(&self) -> usize {
        bytes(&self.change)
    }
}

/// What a change takes. A key stands there twice.
fn bytes(change: &Change) -> usize {
    OVERHEAD_BYTES + 2 * change.key.len() + change.value.as_ref().map_or(0, |value| value.len())
}

impl Watch {
    /// A watch, and what fills it.
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
        Self::within(&Budget::new(WAITING_BYTES_OF_ONE))
    }

    /// The same, whose changes take what waits from this budget.
    fn within(budget: &Arc<Budget>) -> (WatchSender, Self) {
        let pending = Mutex::new(Pending {
            changes: BTreeMap::new(),
            places: HashMap::new(),
            next_place: 0,
            look_through_at: CANCEL_OUT_FROM,
            held: budget.overdraw(0),
            bytes: 0,
            closed: false,
            overrun: false,
        });
        let shared = Arc::new(Shared { pending, arrived: Notify::new() });
        (WatchSender { shared: Arc::clone(&shared) }, Self { shared })
    }

    /// Whether it has ended because more changes waited than may. Some of them are lost: whoever needs them watches anew, and then
    /// reads the keys.
    #[must_use]
    pub fn is_overrun(&self) -> bool {
        self.shared.lock().overrun
    }

    /// The next change; `None` when there are none left and the store was closed, or the watch was ended. Cancel-safe: what isn't
    /// returned is not lost.
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
        // The sender stays until the store comes by to look; the values needn't.
        self.shared.lock().close();
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("waiting", &self.shared.lock().changes.len()).finish()
    }
}

impl WatchSender {
    /// Lets the watcher know; never waits. `existed` is whether there was something under the key before the change.
    pub fn send(&self, change: Change, existed: bool) {
        let mut pending = self.shared.lock();
        if !pending.closed {
            pending.put(change, existed);
            drop(pending);
            self.shared.arrived.notify_one();
        }
    }

    /// Whether the watch was dropped.
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Nothing that holds the lock can panic halfway through a change.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pending {
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
        self.changes.insert(self.next_place, Waiting { change, known: existed });
        self.next_place += 1;
        self.bound();
    }

    /// Ends the watch, if more waits than may.
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

    fn account(&mut self) -> bool {
        self.held.resize(self.bytes)
    }

    /// Forgets what waits, and takes no more.
    fn close(&mut self) {
        (self.changes, self.places, self.bytes) = (BTreeMap::new(), HashMap::new(), 0);
        self.held.resize(0);
        self.closed = true;
    }

    /// Forgets keys that the watcher doesn't know and that are gone again. What remains is of keys that are there, or
    /// were when the watcher last looked: never more than the store held, however many come and go.
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
        // The next time when as many again have come, so that looking costs little for each.
        self.look_through_at = (2 * self.changes.len()).max(CANCEL_OUT_FROM);
    }
}

/// Everyone who watches a store.
pub(super) struct Watchers {
    by_namespace: Mutex<HashMap<String, Watching>>,
    waiting: Arc<Budget>,
}

/// Those who watch one namespace.
struct Watching {
    watchers: Vec<Watcher>,
    waiting: Arc<Budget>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { by_namespace: Mutex::default(), waiting: Budget::new(WAITING_BYTES) }
    }
}

/// A change that nobody may be interested in: its value is shared only if somebody is.
pub(super) struct Written {
    pub(super) key: String,
    pub(super) revision: u64,
    pub(super) value: Option<Vec<u8>>,
    /// Whether there was something under the key before.
    pub(super) existed: bool,
}

struct Watcher {
    prefix: String,
    sender: WatchSender,
}

impl Watchers {
    pub(super) fn watch(&self, namespace: &str, prefix: &str) -> Watch {
        let mut all = self.lock();
        // Those who left, so that watching again and again leaves nothing behind where nothing is written.
        all.retain(|_, watching| {
            watching.watchers.retain(|watcher| !watcher.sender.is_closed());
            !watching.watchers.is_empty()
        });
        let of_one = || Watching { watchers: Vec::new(), waiting: self.waiting.part(WAITING_BYTES_OF_ONE) };
        let watching = all.entry(namespace.to_owned()).or_insert_with(of_one);
        let (sender, watch) = Watch::within(&watching.waiting);
        watching.watchers.push(Watcher { prefix: prefix.to_owned(), sender });
        watch
    }

    pub(super) fn publish(&self, namespace: &str, written: Written) {
        if let Some(Watching { watchers, .. }) = self.lock().get_mut(namespace) {
            watchers.retain(|watcher| !watcher.sender.is_closed());
            if watchers.iter().any(|watcher| written.key.starts_with(&watcher.prefix)) {
                let Written { key, revision, value, existed } = written;
                let change = Change { key, revision, value: value.map(Arc::from) };
                for watcher in watchers.iter().filter(|watcher| change.key.starts_with(&watcher.prefix)) {
                    watcher.sender.send(change.clone(), existed);
                }
            }
        }
    }

    /// Ends all watches.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Watching>> {
        self.by_namespace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &str, revision: u64, value: Option<&[u8]>) -> Change {
        Change { key: key.to_owned(), revision, value: value.map(Arc::from) }
    }

    #[tokio::test]
    async fn keys_that_came_and_went_do_not_pile_up() {
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
        let mut told = Vec::new();
        while let Some(change) = watch.next().await {
            told.push(change);
        }
        assert_eq!(told.first(), Some(&change("known", 1, None)), "the watcher knew that key");
        assert_eq!(told.last(), Some(&change("stays", 2, Some(b"y"))));
    }

    #[tokio::test]
    async fn a_watch_of_which_too_much_waits_ends_and_holds_nothing() {
        let watchers = Watchers::default();
        let (mut slow, mut other) = (watchers.watch("m", ""), watchers.watch("m", "small"));
        let write = |key: String, bytes: usize| {
            watchers.publish("m", Written { key, revision: 1, value: Some(vec![0; bytes]), existed: false });
        };
        write("small".to_owned(), 1);
        for number in 0..4 {
            assert!(!slow.is_overrun(), "{number}");
            write(number.to_string(), WAITING_BYTES_OF_ONE / 4);
        }
        assert!(slow.is_overrun());
        assert_eq!(slow.next().await, None);
        assert!(watchers.waiting.used() < 1000, "what waits for the other one");
        assert!(!other.is_overrun());
        assert_eq!(other.next().await.map(|change| change.key), Some("small".to_owned()));
        // The same key again and again is one change.
        let mut again = watchers.watch("m", "");
        for _ in 0..10 {
            write("key".to_owned(), crate::kv::MAX_VALUE_BYTES);
        }
        assert_eq!(again.next().await.map(|change| change.key), Some("key".to_owned()));
        drop((slow, other, again));
        assert_eq!(watchers.waiting.used(), 0);
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

    #[test]
    fn who_left_is_forgotten_where_nothing_is_written() {
        let watchers = Watchers::default();
        for _ in 0..100 {
            drop(watchers.watch("a", ""));
            drop(watchers.watch("b", ""));
        }
        let _watch = watchers.watch("c", "");
        let namespaces: Vec<String> = watchers.lock().keys().cloned().collect();
        assert_eq!(namespaces, ["c"]);
    }
}
