//! The store of keys and values that the host keeps for its modules: what a backend has to do, and the one that comes
//! with the host.
//!
//! ```
//! use std::sync::Arc;
//!
//! use ixt_host::kv::{KvStore, RedbStore, SetOptions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store: Arc<dyn KvStore> = Arc::new(RedbStore::ephemeral()?);
//! let mut watch = store.watch("orders", "open/");
//!
//! let revision = store.set("orders", "open/1", b"apples".to_vec(), SetOptions::default()).await?;
//! let entry = store.get("orders", "open/1").await?;
//! assert_eq!(entry.map(|entry| (entry.value, entry.revision)), Some((b"apples".to_vec(), revision)));
//! assert_eq!(watch.next().await.map(|change| change.key), Some("open/1".to_owned()));
//! # Ok(())
//! # }
//! ```
//!
//! - [`KvStore`] is what the host asks for; [`RedbStore`] keeps a file in the host's data directory, or nothing at all.
//! - [`Watch`] tells of changes as they come.
//! - The feature `conformance` brings `kv::conformance`, for whoever writes another backend: all that `KvStore` promises,
//!   as a function that panics where a store does something else.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod error;
mod quotas;
mod redb;
mod watch;

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

pub use error::KvError;
pub use quotas::{FILE_QUOTA, MEMORY_QUOTA, Quotas};
pub use redb::{Inspection, OpenError, RedbStore, Repair, quiet_panics};
pub use watch::{Change, Watch, WatchSender};

/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value.
pub const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;
/// How many keys one answer of [`KvStore::list`] may have.
pub const MAX_PAGE_KEYS: usize = 1000;

/// What a [`KvStore`] answers with, some time later. Nothing is done before it is awaited; if it is dropped while it is
/// awaited, a write may still be done.
pub type KvFuture<T> = Pin<Box<dyn Future<Output = Result<T, KvError>> + Send>>;

/// Keys and values in namespaces, one of which belongs to each module.
///
/// Keys are text of 1 to [`MAX_KEY_BYTES`] bytes, values bytes of at most [`MAX_VALUE_BYTES`]. What is answered is so: a
/// write that was acknowledged survives a crash of the machine, and whoever reads afterwards sees it.
///
/// Every write, a removal too, has a revision: a number greater than that of any write before it, never used again.
///
/// Any method may fail with [`KvError::Storage`] or [`KvError::Closed`], and with those for a wrong key.
pub trait KvStore: Send + Sync + 'static {
    /// The value under a key, and the revision of its last write; `None` if there is none.
    fn get(&self, namespace: &str, key: &str) -> KvFuture<Option<Entry>>;

    /// Puts a value under a key, in place of what was there, its time to live included. Answers with the revision.
    ///
    /// Fails with [`KvError::RevisionMismatch`] if another revision was expected, with [`KvError::ValueTooLong`], and with
    /// [`KvError::QuotaExceeded`] where the store has quotas.
    fn set(&self, namespace: &str, key: &str, value: Vec<u8>, options: SetOptions) -> KvFuture<u64>;

    /// Removes a key, if it has the expected revision (0: if there is none). Answers whether there was one.
    ///
    /// Fails with [`KvError::RevisionMismatch`] if another revision was expected.
    fn delete(&self, namespace: &str, key: &str, expected_revision: Option<u64>) -> KvFuture<bool>;

    /// Whether there is something under a key.
    fn exists(&self, namespace: &str, key: &str) -> KvFuture<bool>;

    /// The keys that begin with a prefix, sorted by their bytes; only those behind `after`. At most `limit` of them, which
    /// is taken as at least 1 and at most [`MAX_PAGE_KEYS`].
    fn list(&self, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> KvFuture<Page>;

    /// What will change from now on among the keys that begin with a prefix. What is there now is no change: whoever wants
    /// that too asks for it after this, and misses nothing.
    ///
    /// A write is told of before it is answered.
    fn watch(&self, namespace: &str, prefix: &str) -> Watch;

    /// Writes all that there is now to a new file, while the store is used, and answers with the number of keys. Only its user
    /// can read the file. A store may have no such thing.
    ///
    /// Fails with [`KvError::Backup`] if the file can't be written, or if there is one already: nothing is replaced.
    fn backup(&self, path: &Path) -> KvFuture<u64> {
        let reason = format!("{}: this store has no backups in a file", path.display()).into();
        Box::pin(async move { Err(KvError::Backup { reason }) })
    }
}

/// A value, and the revision of its last write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Vec<u8>,
    /// The revision.
    pub revision: u64,
}

/// How to write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// The key is gone when this is over; by the clock on the wall, in milliseconds, across restarts too.
    pub ttl: Option<Duration>,
    /// Write only if this is the key's revision, or, for 0, if there is no such key.
    pub expected_revision: Option<u64>,
}

/// Some of the keys that were asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, sorted.
    pub keys: Vec<String>,
    /// What to give as `after` for those that follow; `None` if none do.
    pub next: Option<String>,
}

/// Whether a key is one, for a backend to call before all else.
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

/// Whether a text can be the beginning of a key, or the empty text, which is that of all: for whoever lets others ask.
///
/// # Errors
///
/// [`KvError::KeyTooLong`].
pub fn check_prefix(prefix: &str) -> Result<(), KvError> {
    if prefix.is_empty() { Ok(()) } else { check_key(prefix) }
}

/// Whether a value is one.
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
