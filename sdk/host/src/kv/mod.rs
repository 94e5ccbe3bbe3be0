//! The key-value store of the host's modules: [`KvStore`], the trait of a store, and [`RedbStore`], the built-in one, which keeps one file
//! in the host's data directory or keeps everything in memory. [`HostBuilder::kv`](crate::HostBuilder::kv) sets another one.
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
//! # How to implement a store
//!
//! 1. Start from `tests/support/remote_store.rs` of the repository, a whole store in one file that uses this API alone;
//!    `tests/remote_store.rs` runs the conformance suite on it.
//! 2. Check the arguments first: [`check_key`] in each method with a key, [`check_value`] in `set`, [`check_prefix`] in `watch`. Copy them
//!    into the future, which is boxed and borrows nothing ([`KvFuture`]). It must not block: slow work is for a thread or another task.
//! 3. Give each `set`, each `delete` of a key that exists, and each expiry the next revision of the whole store. Never use one again, not
//!    even after a restart, or after a failed write that may have been made. Compare `expected_revision` and write in one step.
//! 4. Treat a key whose time to live is over as one that does not exist, at once. Remove it later, with a revision, for the watches.
//! 5. For `watch`, make a [`Watch::channel`], return the [`Watch`], and keep the [`WatchSender`] with the namespace and the prefix. After
//!    each change [send](WatchSender::send) it to the senders with a matching prefix, in the order of revisions. Drop those that are
//!    [closed](WatchSender::is_closed), and drop all of them when the store is closed, which ends the watches.
//! 6. Fail with [`KvError::Storage`] if the storage can't be reached or fails, and with [`KvError::Closed`] after
//!    [`close`](KvStore::close). [Quotas](KvError::QuotaExceeded) and [backups](KvStore::backup) are optional.
//! 7. Run `kv::conformance::check` (feature `conformance`) on it. It tests all of this except failures of the storage, quotas, backups,
//!    `close`, restarts, and that writes survive a crash.

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

/// The longest key, in bytes of UTF-8. The shortest has 1 byte. A longer key is refused with [`KvError::KeyTooLong`],
/// an empty one with [`KvError::EmptyKey`].
pub const MAX_KEY_BYTES: usize = 1024;
/// The longest value, in bytes: 8 MiB. A longer value is refused with [`KvError::ValueTooLong`].
pub const MAX_VALUE_BYTES: usize = 8 * 1024 * 1024;
/// The largest number of keys in one page of [`KvStore::list`]. A larger limit is taken as this.
pub const MAX_PAGE_KEYS: usize = 1000;

/// The future that a [`KvStore`] method returns. It borrows nothing. Nothing is read or written before it is first
/// polled. If it is dropped before it completes, a write may still be made, and a backup may go on. It has no timeout.
pub type KvFuture<T> = Pin<Box<dyn Future<Output = Result<T, KvError>> + Send>>;

/// A key-value store with namespaces. A host uses one namespace for each module, with the module's name.
///
/// Keys are text of 1 to [`MAX_KEY_BYTES`] bytes, of any characters. Values are bytes, at most [`MAX_VALUE_BYTES`], and may be
/// empty. A write that has returned `Ok` survives a crash of the machine, unless the store is in memory, and every later
/// read sees it.
///
/// Each change of a key (a write, a removal, an expiry) has a revision: a number from 1, greater than those of all earlier
/// changes in the store, in any namespace, and never used again.
///
/// Each method can fail with [`KvError::Storage`] and [`KvError::Closed`], and those that take a key with
/// [`KvError::EmptyKey`] and [`KvError::KeyTooLong`].
pub trait KvStore: Send + Sync + 'static {
    /// Reads a key: its value and the revision of its last write, or `None` if it does not exist or has expired.
    fn get(&self, namespace: &str, key: &str) -> KvFuture<Option<Entry>>;

    /// Writes a key, and returns the revision of the write. Replaces the value and the time to live of the key, if it
    /// exists.
    ///
    /// Fails with [`KvError::RevisionMismatch`] if the key does not have the expected revision, with
    /// [`KvError::ValueTooLong`], and with [`KvError::QuotaExceeded`] in a store with quotas. Then nothing was written.
    fn set(&self, namespace: &str, key: &str, value: Vec<u8>, options: SetOptions) -> KvFuture<u64>;

    /// Removes a key, and returns whether it existed; an expired key did not. With an `expected_revision`, only if the
    /// key has that revision, where 0 stands for a key that does not exist: the result is then false.
    ///
    /// Fails with [`KvError::RevisionMismatch`] if the key does not have the expected revision. Then it stays.
    fn delete(&self, namespace: &str, key: &str, expected_revision: Option<u64>) -> KvFuture<bool>;

    /// Whether a key exists, and has not expired.
    fn exists(&self, namespace: &str, key: &str) -> KvFuture<bool>;

    /// Lists the keys that begin with `prefix`, which may be empty, sorted by their bytes. With `after`, only the keys
    /// that come after it; it need not exist, and may be before the prefix. Neither `prefix` nor `after` is limited in
    /// length. Returns at most `limit` keys, where 0 is taken as 1 and more than [`MAX_PAGE_KEYS`] as that.
    /// [`Page::next`] is the `after` for the next page. Each page is read by itself: a key that changes between two
    /// pages may or may not be listed.
    fn list(&self, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> KvFuture<Page>;

    /// Watches the keys that begin with `prefix`, which may be empty. The watch receives each change made after this future has completed,
    /// also an expiry; it may receive changes made since the call of this method. To get the current values too, read them after the future
    /// has completed: then no change is missed.
    ///
    /// The changes of one key come in the order of their revisions. A change may come before or after the future of its
    /// write completes. What happens when the watch is not read is described at [`Watch`].
    ///
    /// May fail with [`KvError::KeyTooLong`] if the prefix is longer than a key can be.
    fn watch(&self, namespace: &str, prefix: &str) -> KvFuture<Watch>;

    /// Writes everything that the store holds at one moment to a new file, and returns the number of keys. The store can be
    /// used meanwhile. Only the host's user may read the file. A relative path is relative to the host's working directory.
    ///
    /// Fails with [`KvError::Backup`] if the file can't be written or exists already, and with [`KvError::Storage`] if
    /// the store can't be read, such as a damaged entry. A file that exists is left as it is. This default
    /// implementation fails always: the store has no backups.
    fn backup(&self, path: &Path) -> KvFuture<u64> {
        let reason = format!("{}: this store has no backups in a file", path.display()).into();
        Box::pin(async move { Err(KvError::Backup { reason }) })
    }

    /// Ends the store's work: what was accepted is written, and all watches end. Afterwards each method may fail with
    /// [`KvError::Closed`]. A host that is shut down calls this once, after all modules have ended, and waits up to 5 s.
    /// A host that is dropped does not call it.
    ///
    /// This default implementation does nothing, for a store that does all of this when it is dropped, such as
    /// [`RedbStore`].
    fn close(&self) -> KvFuture<()> {
        Box::pin(async { Ok(()) })
    }
}

/// A value with the revision of its last write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// The revision of the key's last write.
    pub revision: u64,
}

/// Options of a write. The default writes unconditionally and without expiry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// The time to live: after it the key expires, by the wall clock, even while the host does not run. It is rounded
    /// up to milliseconds. Zero: the key expires at once, but the write has a revision. `None`: it never expires, even
    /// if it was to before.
    pub ttl: Option<Duration>,
    /// Write only if the key has this revision, where 0 stands for a key that does not exist. `None`: write in any
    /// case.
    pub expected_revision: Option<u64>,
}

/// A part of a list of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys, sorted by their bytes, none twice. Empty if there are none.
    pub keys: Vec<String>,
    /// The `after` for the next page: the last of `keys`. `None` if no more keys follow.
    pub next: Option<String>,
}

/// Checks the length of a key: 1 to [`MAX_KEY_BYTES`] bytes. Each method of a store that takes a key calls this first.
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

/// Checks the length of a prefix, which may be empty and is at most as long as a key. Each method of a store that
/// watches a prefix calls this first.
///
/// # Errors
///
/// [`KvError::KeyTooLong`] if it is longer.
pub fn check_prefix(prefix: &str) -> Result<(), KvError> {
    if prefix.is_empty() { Ok(()) } else { check_key(prefix) }
}

/// Checks the length of a value, which may be empty, and has at most [`MAX_VALUE_BYTES`]. [`KvStore::set`] calls this first.
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
