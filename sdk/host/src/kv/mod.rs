//! The key-value store that the host keeps for its modules: the trait of a backend, and the built-in one.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ixt_host::kv::{KvStore, RedbStore, SetOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store: Arc<dyn KvStore> = Arc::new(RedbStore::ephemeral()?);
//! let mut watch = store.watch("orders", "open/").await?;
//!
//! let revision = store.set("orders", "open/1", b"apples".to_vec(), SetOptions::default()).await?;
//! let entry = store.get("orders", "open/1").await?;
//! assert_eq!(entry.map(|entry| (entry.value, entry.revision)), Some((b"apples".to_vec(), revision)));
//! assert_eq!(watch.next().await.map(|change| change.key), Some("open/1".to_owned()));
//! # Ok(())
//! # }
//! ```
//!
//! - [`KvStore`] is the trait of a backend. [`RedbStore`] keeps one file in the host's data directory, or keeps
//!   everything in memory.
//! - [`Watch`] receives changes as they are made.
//! - With the feature `conformance` there is `kv::conformance`, a test of all that `KvStore` promises, for authors of
//!   backends.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod quotas;
mod redb;
mod watch;
mod watchers;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

pub use error::KvError;
pub use quotas::{FILE_QUOTA, MEMORY_QUOTA, Quotas};
pub use redb::{Inspection, OpenError, RedbStore, Repair, quiet_panics};
pub use watch::{Change, Watch, WatchSender};

/// The longest key, in bytes of UTF-8. The shortest has 1.
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value, in bytes: 8 MiB.
pub const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;
/// The largest number of keys in one page of [`KvStore::list`].
pub const MAX_PAGE_KEYS: usize = 1000;

/// The result of a [`KvStore`] method. Nothing happens before it is polled. If it is dropped before it completes, a
/// write may still be made.
pub type KvFuture<T> = Pin<Box<dyn Future<Output = Result<T, KvError>> + Send>>;

/// A key-value store with namespaces, of which each module has one.
///
/// Keys are text of 1 to [`MAX_KEY_BYTES`] bytes, values are bytes, at most [`MAX_VALUE_BYTES`]. A write that has
/// returned `Ok` survives a crash of the machine, unless the store is in memory, and every later read sees it.
///
/// Each write, also a removal, has a revision: a number that is greater than those of all earlier writes in the store,
/// and is never used again.
///
/// Each method can fail with [`KvError::Storage`] and [`KvError::Closed`], and those that take a key with
/// [`KvError::EmptyKey`] and [`KvError::KeyTooLong`].
pub trait KvStore: Send + Sync + 'static {
    /// Reads a key: its value and the revision of its last write, or `None` if it does not exist.
    fn get(&self, namespace: &str, key: &str) -> KvFuture<Option<Entry>>;

    /// Writes a key, and returns the revision of the write. Replaces the value and the time to live.
    ///
    /// Fails with [`KvError::RevisionMismatch`] if another revision was expected, with [`KvError::ValueTooLong`], and
    /// with [`KvError::QuotaExceeded`] in a store with quotas. Then nothing was written.
    fn set(&self, namespace: &str, key: &str, value: Vec<u8>, options: SetOptions) -> KvFuture<u64>;

    /// Removes a key, and returns whether it existed. With an `expected_revision`, only if the key has that revision,
    /// where 0 stands for a key that does not exist.
    ///
    /// Fails with [`KvError::RevisionMismatch`] if the key has another revision.
    fn delete(&self, namespace: &str, key: &str, expected_revision: Option<u64>) -> KvFuture<bool>;

    /// Whether a key exists.
    fn exists(&self, namespace: &str, key: &str) -> KvFuture<bool>;

    /// Lists the keys with a prefix, sorted by their bytes; with `after` only the keys that come after it. Returns at
    /// most `limit` keys, where 0 is taken as 1 and more than [`MAX_PAGE_KEYS`] as that.
    fn list(&self, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> KvFuture<Page>;

    /// Watches the keys with a prefix. The watch has each change made after this future has completed, also an expiry, and may
    /// have changes made while it ran. To learn the current state too, read it after the future has completed: no change is missed
    /// then.
    ///
    /// The changes of one key come in the order of their revisions. A change may come before or after the future of its write
    /// completes.
    fn watch(&self, namespace: &str, prefix: &str) -> KvFuture<Watch>;

    /// Writes everything that the store holds now to a new file, and returns the number of keys. The store can be used
    /// meanwhile. Only the host's user may read the file.
    ///
    /// Fails with [`KvError::Backup`] if the file can't be written or exists already, and, as this default
    /// implementation does, in a store without backups.
    fn backup(&self, path: &Path) -> KvFuture<u64> {
        let reason = format!("{}: this store has no backups in a file", path.display()).into();
        Box::pin(async move { Err(KvError::Backup { reason }) })
    }

    /// Ends the store's work: what was accepted is written, and all watches end. Afterwards each method may fail with
    /// [`KvError::Closed`]. A host that is shut down calls this once, after all modules have ended, and waits up to 5 s.
    ///
    /// This default implementation does nothing.
    fn close(&self) -> KvFuture<()> {
        Box::pin(async { Ok(()) })
    }
}

/// A value with the revision of its last write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// The revision.
    pub revision: u64,
}

/// Options of a write. The default writes unconditionally and without expiry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// The time to live: the key expires after it, by the wall clock, with a resolution of a millisecond, also if the
    /// host is not running. `None`: never.
    pub ttl: Option<Duration>,
    /// Write only if the key has this revision, where 0 stands for a key that does not exist. `None`: write in any
    /// case.
    pub expected_revision: Option<u64>,
}

/// A part of a list of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, sorted by their bytes.
    pub keys: Vec<String>,
    /// The `after` for the next page, or `None` if this is the last one.
    pub next: Option<String>,
}

/// Checks a key. For backends to call first.
///
/// # Errors
///
/// [`KvError::EmptyKey`] and [`KvError::KeyTooLong`].
pub fn check_key(key: &str) -> Result<(), KvError> {
    match key.len() {
        0 => Err(KvError::EmptyKey),
        1..=MAX_KEY_BYTES => Ok(()),
        bytes => Err(KvError::KeyTooLong { bytes, max: MAX_KEY_BYTES }),
    }
}

/// Checks a prefix: like a key, but it may be empty.
///
/// # Errors
///
/// [`KvError::KeyTooLong`].
pub fn check_prefix(prefix: &str) -> Result<(), KvError> {
    if prefix.is_empty() { Ok(()) } else { check_key(prefix) }
}

/// Checks the length of a value.
///
/// # Errors
///
/// [`KvError::ValueTooLong`].
pub fn check_value(value: &[u8]) -> Result<(), KvError> {
    match value.len() {
        0..=MAX_VALUE_BYTES => Ok(()),
        bytes => Err(KvError::ValueTooLong { bytes, max: MAX_VALUE_BYTES }),
    }
}
