//! The watches of a store: passes each change to those with a matching prefix, and limits the memory of unread changes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use super::watch::{Change, NAMESPACE_BYTES, Watch, WatchSender};
use crate::budget::Budget;
use crate::lock::lock;

/// How many bytes of unread changes, with their keys, all watches of a store may have together: 32 MiB. A watch whose
/// next change goes beyond it ends.
const STORE_BYTES: usize = 4 * super::MAX_VALUE_BYTES;

/// All watches of a store. Any thread may use it; nothing in it waits for a reader of a watch.
pub(super) struct Watchers {
    by_namespace: Mutex<HashMap<String, NamespaceWatchers>>,
    /// The budget of [`STORE_BYTES`].
    waiting: Arc<Budget>,
}

/// The watches of one namespace, and the budget of their unread changes.
struct NamespaceWatchers {
    watchers: Vec<Watcher>,
    waiting: Arc<Budget>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { by_namespace: Mutex::default(), waiting: Budget::new(STORE_BYTES) }
    }
}

/// A change, for the watches. Its value is copied into shared memory only if there is a watch of the key.
pub(super) struct Written {
    pub(super) key: String,
    /// The revision of the change.
    pub(super) revision: u64,
    /// The new value; `None` if the key was removed or has expired.
    pub(super) value: Option<Vec<u8>>,
    /// Whether the key existed before the change, or had expired without a change for that.
    pub(super) existed: bool,
}

/// A watch: the prefix of its keys, and the end to which changes go.
struct Watcher {
    prefix: String,
    sender: WatchSender,
}

impl Watchers {
    /// Adds a watch of the keys of a namespace that begin with `prefix`.
    pub(super) fn watch(&self, namespace: &str, prefix: &str) -> Watch {
        let mut all = self.lock();
        // Removes the dropped watches of all namespaces: otherwise they would pile up in those where nothing is written.
        all.retain(|_, watching| {
            watching.watchers.retain(|watcher| !watcher.sender.is_closed());
            !watching.watchers.is_empty()
        });
        let of_one = || NamespaceWatchers { watchers: Vec::new(), waiting: self.waiting.part(NAMESPACE_BYTES) };
        let watching = all.entry(namespace.to_owned()).or_insert_with(of_one);
        let (sender, watch) = Watch::within(&watching.waiting);
        watching.watchers.push(Watcher { prefix: prefix.to_owned(), sender });
        watch
    }

    /// Passes a change to the watches of its key, without waiting for their readers. To be called in the order of
    /// revisions. Watches that were dropped are removed.
    pub(super) fn publish(&self, namespace: &str, written: Written) {
        if let Some(NamespaceWatchers { watchers, .. }) = self.lock().get_mut(namespace) {
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

    /// Ends all watches that there are, once their unread changes are read.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, NamespaceWatchers>> {
        lock(&self.by_namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_watch_with_too_many_unread_bytes_ends_and_holds_nothing() {
        let watchers = Watchers::default();
        let (mut slow, mut other) = (watchers.watch("m", ""), watchers.watch("m", "small"));
        let write = |key: String, bytes: usize| {
            watchers.publish("m", Written { key, revision: 1, value: Some(vec![0; bytes]), existed: false });
        };
        write("small".to_owned(), 1);
        for number in 0..4 {
            assert!(!slow.is_overrun(), "{number}");
            write(number.to_string(), NAMESPACE_BYTES / 4);
        }
        assert!(slow.is_overrun());
        assert_eq!(slow.next().await, None);
        assert!(watchers.waiting.used() < 1000, "the change for the other watch");
        assert!(!other.is_overrun());
        assert_eq!(other.next().await.map(|change| change.key), Some("small".to_owned()));
        // Many changes of one key are one unread change.
        let mut again = watchers.watch("m", "");
        for _ in 0..10 {
            write("key".to_owned(), crate::kv::MAX_VALUE_BYTES);
        }
        assert_eq!(again.next().await.map(|change| change.key), Some("key".to_owned()));
        drop((slow, other, again));
        assert_eq!(watchers.waiting.used(), 0);
    }

    #[test]
    fn dropped_watches_are_removed_where_nothing_is_written() {
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
