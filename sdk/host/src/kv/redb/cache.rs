//! A cache of small values that were read recently, so that reading one again needs no thread.
//!
//! It only holds values that were committed last. The writer removes the keys that it is about to commit. A value that was
//! read during a write, or from a snapshot before one, is not added: the reader takes the [`CacheEpoch`] before its
//! snapshot and passes it with the value.

use std::sync::{Mutex, MutexGuard};

use foldhash::HashMap;

use super::expiry::{is_over, now};
use super::snapshot::Stored;
use super::tables::INLINE_BYTES;
use crate::kv::Entry;
use crate::lock::lock;

/// About how many bytes of keys and values are kept.
const KEPT_BYTES: usize = 8 * 1024 * 1024;
/// The memory, in bytes, that an entry takes in addition to its key and value.
const OVERHEAD_BYTES: usize = 128;

/// The cache, shared by the store, the reader and the writer.
#[derive(Default)]
pub(super) struct ValueCache(Mutex<CacheContents>);

/// The cached values, and the epoch to which they belong.
#[derive(Default)]
struct CacheContents {
    epoch: CacheEpoch,
    /// The values, in two generations. A value that is read is moved to the young one. When the young one has half of
    /// [`KEPT_BYTES`], the old one is dropped and the young one becomes the old one.
    young: Generation,
    old: Generation,
}

/// A number that grows with each write: odd during a write, even between two writes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheEpoch(u64);

/// Values with their total size.
#[derive(Default)]
struct Generation {
    by_namespace: HashMap<String, HashMap<String, Stored>>,
    bytes: usize,
}

impl ValueCache {
    /// A value, if it is cached and has not expired. `None` says nothing about whether the key exists.
    pub(super) fn get(&self, namespace: &str, key: &str) -> Option<Entry> {
        let mut state = self.lock();
        if let Some(stored) = state.old.take(namespace, key) {
            state.put(namespace, key, stored);
        }
        let stored = state.young.by_namespace.get(namespace)?.get(key)?;
        (!is_over(stored.expiry, now())).then(|| stored.entry.clone())
    }

    /// The current epoch. The reader takes it before a snapshot whose values are to be cached.
    pub(super) fn epoch(&self) -> CacheEpoch {
        self.lock().epoch
    }

    /// Caches a value that was read from a snapshot of this epoch. Does nothing if there has been a write since, or if the
    /// value is longer than [`INLINE_BYTES`].
    pub(super) fn keep(&self, epoch: CacheEpoch, namespace: &str, key: &str, stored: &Stored) {
        let mut state = self.lock();
        if epoch == state.epoch && epoch.0.is_multiple_of(2) && stored.entry.value.len() <= INLINE_BYTES {
            state.put(namespace, key, stored.clone());
        }
    }

    /// Begins a write: removes the keys that are about to be committed. Until [`end_write`](Self::end_write) or
    /// [`clear`](Self::clear), nothing is cached.
    pub(super) fn begin_write<'a>(&self, written: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut state = self.lock();
        state.epoch.0 |= 1;
        for (namespace, key) in written {
            state.young.take(namespace, key);
            state.old.take(namespace, key);
        }
    }

    /// Ends a write, which was committed.
    pub(super) fn end_write(&self) {
        let mut state = self.lock();
        state.epoch.0 = (state.epoch.0 | 1) + 1;
    }

    /// Empties the cache, since the database was opened again and may hold other values.
    pub(super) fn clear(&self) {
        let mut state = self.lock();
        *state = CacheContents { epoch: CacheEpoch((state.epoch.0 | 1) + 1), ..CacheContents::default() };
    }

    fn lock(&self) -> MutexGuard<'_, CacheContents> {
        lock(&self.0)
    }
}

impl CacheContents {
    fn put(&mut self, namespace: &str, key: &str, stored: Stored) {
        if self.young.bytes >= KEPT_BYTES / 2 {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.put(namespace, key, stored);
    }
}

impl Generation {
    fn put(&mut self, namespace: &str, key: &str, stored: Stored) {
        self.take(namespace, key);
        self.bytes += bytes(key, &stored);
        if !self.by_namespace.contains_key(namespace) {
            self.by_namespace.insert(namespace.to_owned(), HashMap::default());
        }
        if let Some(values) = self.by_namespace.get_mut(namespace) {
            values.insert(key.to_owned(), stored);
        }
    }

    fn take(&mut self, namespace: &str, key: &str) -> Option<Stored> {
        let stored = self.by_namespace.get_mut(namespace)?.remove(key)?;
        self.bytes -= bytes(key, &stored);
        Some(stored)
    }
}

/// The memory that an entry takes, in bytes.
fn bytes(key: &str, stored: &Stored) -> usize {
    OVERHEAD_BYTES + key.len() + stored.entry.value.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(value: Vec<u8>) -> Stored {
        Stored { entry: Entry { value, revision: 1 }, expiry: None }
    }

    #[test]
    fn a_value_that_was_read_during_a_write_or_before_it_is_not_kept() {
        let cache = ValueCache::default();
        let before = cache.epoch();
        cache.keep(before, "space", "key", &stored(vec![1]));
        assert!(cache.get("space", "key").is_some());

        cache.begin_write([("space", "key")].into_iter());
        assert_eq!(cache.get("space", "key"), None);
        let within = cache.epoch();
        cache.keep(within, "space", "key", &stored(vec![2]));
        cache.end_write();
        cache.keep(within, "space", "key", &stored(vec![2]));
        cache.keep(before, "space", "key", &stored(vec![2]));
        assert_eq!(cache.get("space", "key"), None);

        let after = cache.epoch();
        cache.clear();
        cache.keep(after, "space", "key", &stored(vec![3]));
        assert_eq!(cache.get("space", "key"), None);
        cache.keep(cache.epoch(), "space", "key", &stored(vec![4]));
        assert_eq!(cache.get("space", "key").unwrap().value, [4]);
    }

    #[test]
    fn its_size_is_limited_and_values_that_are_read_stay() {
        let cache = ValueCache::default();
        cache.keep(cache.epoch(), "space", "large", &stored(vec![0; INLINE_BYTES + 1]));
        assert_eq!(cache.get("space", "large"), None);
        cache.keep(cache.epoch(), "space", "first", &stored(vec![0]));
        cache.keep(cache.epoch(), "space", "second", &stored(vec![0]));
        for number in 0..3 * KEPT_BYTES / INLINE_BYTES {
            cache.keep(cache.epoch(), "space", &number.to_string(), &stored(vec![0; INLINE_BYTES]));
            assert!(cache.get("space", "first").is_some(), "{number}");
        }
        assert_eq!(cache.get("space", "second"), None);
        let state = cache.lock();
        let kept = state.young.bytes + state.old.bytes;
        assert!((KEPT_BYTES / 2..KEPT_BYTES + 2 * INLINE_BYTES).contains(&kept), "{kept}");
    }
}
