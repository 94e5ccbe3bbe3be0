//! The built-in store: one redb file in the host's data directory, or the same in memory.
//!
//! One thread writes and one reads. Each takes all requests that wait at once, so that writes share one wait for the disk.
//! Tasks only send requests and await the replies. Small values that were read recently come from a cache, without a
//! thread. The bytes that wait to be written and the number of reads that wait are limited; beyond the limit, callers
//! wait in turn. (With an error instead, every caller would need the same retry loop, and each call has a deadline
//! anyway.)
//!
//! From the top down: `writer` (with its `inbox`) and `reader` are the threads, `cache` holds the recently read values; `transaction` and
//! `snapshot` write and read the `tables`, whose entries are encoded by `row`; `usage` counts what a namespace holds, and
//! `expiry` is about times to live; `file` opens the database, and opens it again after a failure, on a `backend`;
//! `catch_panic` makes an error of a panic of redb; `directory` checks and locks the data directory; `compaction` decides
//! when to shrink the file. `backup`, `offline` (check and repair), `salvage` and `store_copy` read and copy whole stores.

mod backend;
mod backup;
mod cache;
mod catch_panic;
mod compaction;
mod directory;
mod expiry;
mod file;
mod inbox;
mod offline;
mod open_error;
mod reader;
mod row;
mod salvage;
mod snapshot;
mod store_copy;
mod tables;
#[cfg(test)]
mod tests;
mod transaction;
mod usage;
mod writer;

use std::fmt;
use std::future::ready;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};

use ::redb::backends::InMemoryBackend;
use ::redb::{Error, StorageBackend};
use tokio::sync::{Semaphore, oneshot};

use self::cache::{CacheEpoch, ValueCache};
pub use self::catch_panic::quiet_panics;
use self::directory::DataDir;
use self::file::StoreFile;
use self::inbox::{WriteKind, WriteRequest, WriterCommand};
pub use self::offline::{Inspection, Repair};
pub use self::open_error::OpenError;
use self::open_error::failed_to_open;
use self::reader::{ReadRequest, Reader, TypedRead};
use self::snapshot::Snapshot;
use self::writer::Writer;
use super::watchers::Watchers;
use super::{
    Entry, FILE_QUOTA, KvError, KvFuture, KvStore, MEMORY_QUOTA, Page, Quotas, SetOptions, Watch, check_key,
    check_prefix, check_value,
};
use crate::lock::lock;

/// How many bytes of namespaces, keys and values may wait to be written. Beyond it, writes wait for their turn. Fewer
/// in tests, so that they can reach the limit sooner.
const WAITING_BYTES: usize = if cfg!(test) { 16 * 1024 * 1024 } else { 64 * 1024 * 1024 };
/// How many of these bytes a write takes in addition to those of its namespace, key and value.
const WRITE_OVERHEAD: usize = 512;
/// How many reads may wait for the reader. Beyond it, reads wait for their turn.
const WAITING_READS: usize = 4096;

/// A [`KvStore`] in a file, or in memory.
///
/// Dropping it writes what was accepted, ends the watches and closes the file, and blocks until that is done. Writes
/// and reads whose turn has not come, because too many wait, fail with [`KvError::Closed`]; a backup that still reads
/// entries ends without a file. [`close`](KvStore::close) does nothing.
///
/// When the disk is full, writes fail with [`KvError::Storage`]; reads go on, and writes succeed again when there is
/// room. After such a failure, and after a crash, the file is opened again, which may read all of it once.
pub struct RedbStore {
    /// The values that were read recently, for reads without the reader thread.
    cache: Arc<ValueCache>,
    /// A permit for each of [`WAITING_READS`].
    reads: Arc<Semaphore>,
    requests: Sender<ReadRequest>,
    /// A permit for each of [`WAITING_BYTES`].
    writes: Arc<Semaphore>,
    commands: Sender<WriterCommand>,
    watchers: Arc<Watchers>,
    file: Arc<StoreFile>,
    /// The threads that write backups.
    backups: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// The threads; `None` once they were waited for.
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens the store in a data directory. Creates the directory and the store if they do not exist, for this user
    /// alone (modes 700 and 600), and locks the store until it is dropped: until then a second call fails, in this
    /// process too. Each namespace has the quota [`FILE_QUOTA`]. Blocks on the disk: call it before tasks begin, or
    /// where blocking is allowed.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]. The most frequent one is that another host uses the directory.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(directory, Quotas::each(FILE_QUOTA))
    }

    /// Like [`open`](Self::open), with other quotas.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn open_with(directory: impl AsRef<Path>, quotas: Quotas) -> Result<Self, OpenError> {
        let DataDir { path, backend, .. } = DataDir::create(directory.as_ref())?;
        Self::with_backend(backend, &path, quotas)
    }

    /// A store in memory, which is lost when it is dropped. Each namespace has the quota [`MEMORY_QUOTA`].
    ///
    /// # Errors
    ///
    /// [`OpenError::Thread`] if the system has no threads for it.
    pub fn ephemeral() -> Result<Self, OpenError> {
        Self::ephemeral_with(Quotas::each(MEMORY_QUOTA))
    }

    /// Like [`ephemeral`](Self::ephemeral), with other quotas.
    ///
    /// # Errors
    ///
    /// [`OpenError::Thread`] if the system has no threads for it.
    pub fn ephemeral_with(quotas: Quotas) -> Result<Self, OpenError> {
        Self::with_backend(Arc::new(InMemoryBackend::new()), Path::new("memory"), quotas)
    }

    /// Reads everything in a data directory that no host uses, and reports what is damaged. Changes nothing. Blocks on
    /// the disk.
    ///
    /// # Errors
    ///
    /// If the store can't be read for another reason than damage, which is in [`Inspection::damage`]. The most frequent
    /// one is that a host uses the directory.
    pub fn check(directory: impl AsRef<Path>) -> Result<Inspection, OpenError> {
        offline::check(directory.as_ref())
    }

    /// Copies everything that can be read in a damaged store to a new file, which replaces the damaged one, and keeps
    /// the damaged file beside it as `kv.redb.damaged-1`, or with the next free number. Keys keep their revisions and
    /// expiries. Quotas are not checked. A store without damage is left as it is. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// If a host uses the directory, there is no store in it, or the new file can't be written. The damaged file is
    /// then still the store's, unless only the last step, syncing the directory, has failed.
    pub fn repair(directory: impl AsRef<Path>) -> Result<Repair, OpenError> {
        offline::repair(directory.as_ref())
    }

    /// Opens the database on `backend` and starts the threads. `path` is for messages.
    fn with_backend(backend: Arc<dyn StorageBackend>, path: &Path, quotas: Quotas) -> Result<Self, OpenError> {
        let opened = StoreFile::open(backend, path.display().to_string());
        let (file, state) = opened.map_err(|failure| failed_to_open(path, failure))?;
        let file = Arc::new(file);
        let cache = Arc::new(ValueCache::default());
        let watchers = Arc::new(Watchers::default());
        let (commands, to_write) = channel();
        let (requests, to_read) = channel();
        let writer = Writer::new(Arc::clone(&file), Arc::clone(&cache), Arc::clone(&watchers), to_write, quotas, state);
        let reader =
            Reader { file: Arc::clone(&file), cache: Arc::clone(&cache), requests: to_read, writer: commands.clone() };
        let mut store = Self {
            cache,
            reads: Arc::new(Semaphore::new(WAITING_READS)),
            requests,
            writes: Arc::new(Semaphore::new(WAITING_BYTES)),
            commands,
            watchers,
            file,
            backups: Arc::default(),
            reader: None,
            writer: None,
        };
        // If the second can't be started, dropping the store ends the first.
        store.writer = Some(start("ixt-kv-writer", || writer.run())?);
        store.reader = Some(start("ixt-kv-reader", || reader.run())?);
        Ok(store)
    }

    /// Sends a query to the reader, and waits for the result. With a `key`, checks it before. [`KvError::Closed`] if
    /// the store is dropped first.
    fn read<T: Send + 'static>(
        &self,
        key: Option<&str>,
        query: impl Fn(&Snapshot, CacheEpoch) -> Result<T, Error> + Send + 'static,
    ) -> KvFuture<T> {
        let wrong_key = key.and_then(|key| check_key(key).err());
        let (reads, requests) = (Arc::clone(&self.reads), self.requests.clone());
        Box::pin(async move {
            if let Some(error) = wrong_key {
                return Err(error);
            }
            let permit = reads.acquire_owned().await.map_err(|_| KvError::Closed)?;
            let (reply, answer) = oneshot::channel();
            requests
                .send(Some(Box::new(TypedRead { query, reply: Some(reply), _permit: permit })))
                .map_err(|_| KvError::Closed)?;
            answer.await.map_err(|_| KvError::Closed)?
        })
    }

    /// Sends a write to the writer, and waits for the revision; 0 if there was nothing to remove. [`KvError::Closed`] if the store is
    /// dropped before the write was sent.
    fn write(&self, namespace: &str, key: &str, kind: WriteKind) -> KvFuture<u64> {
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        let (writes, commands) = (Arc::clone(&self.writes), self.commands.clone());
        Box::pin(async move {
            check_key(&key)?;
            let value_bytes = match &kind {
                WriteKind::Set { value, .. } => {
                    check_value(value)?;
                    value.len()
                }
                WriteKind::Delete { .. } => 0,
            };
            let bytes = (WRITE_OVERHEAD + namespace.len() + key.len() + value_bytes).min(WAITING_BYTES);
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
            let permit = writes.acquire_many_owned(permits).await.map_err(|_| KvError::Closed)?;
            let (reply, answer) = oneshot::channel();
            let write = WriteRequest { namespace, key, kind, reply, _permit: permit };
            commands.send(WriterCommand::Write(write)).map_err(|_| KvError::Closed)?;
            answer.await.map_err(|_| KvError::Closed)?
        })
    }
}

impl KvStore for RedbStore {
    fn get(&self, namespace: &str, key: &str) -> KvFuture<Option<Entry>> {
        let at = Arc::new((namespace.to_owned(), key.to_owned()));
        let (asked, cache) = (Arc::clone(&at), Arc::clone(&self.cache));
        let read = self.read(Some(key), move |snapshot, epoch| {
            let (namespace, key) = &*asked;
            let stored = snapshot.get(namespace, key)?;
            Ok(stored.map(|stored| {
                cache.keep(epoch, namespace, key, &stored);
                stored.entry
            }))
        });
        let cache = Arc::clone(&self.cache);
        Box::pin(async move {
            match cache.get(&at.0, &at.1) {
                Some(entry) => Ok(Some(entry)),
                None => read.await,
            }
        })
    }

    fn set(&self, namespace: &str, key: &str, value: Vec<u8>, options: SetOptions) -> KvFuture<u64> {
        self.write(namespace, key, WriteKind::Set { value, options })
    }

    fn delete(&self, namespace: &str, key: &str, expected_revision: Option<u64>) -> KvFuture<bool> {
        let deleted = self.write(namespace, key, WriteKind::Delete { expected_revision });
        Box::pin(async move { Ok(deleted.await? != 0) })
    }

    fn exists(&self, namespace: &str, key: &str) -> KvFuture<bool> {
        let (namespace, owned) = (namespace.to_owned(), key.to_owned());
        self.read(Some(key), move |snapshot, _| snapshot.exists(&namespace, &owned))
    }

    fn list(&self, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> KvFuture<Page> {
        let (namespace, prefix, after) = (namespace.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        self.read(None, move |snapshot, _| snapshot.list(&namespace, &prefix, after.as_deref(), limit))
    }

    fn watch(&self, namespace: &str, prefix: &str) -> KvFuture<Watch> {
        Box::pin(ready(check_prefix(prefix).map(|()| self.watchers.watch(namespace, prefix))))
    }

    fn backup(&self, path: &Path) -> KvFuture<u64> {
        let (file, reads, backups) = (Arc::clone(&self.file), Arc::clone(&self.reads), Arc::clone(&self.backups));
        let path = path.to_owned();
        Box::pin(async move {
            let (reply, answer) = oneshot::channel();
            // In another thread, since a backup takes long.
            let run = move || drop(reply.send(backup::backup(&file, &path, &reads)));
            let thread = Builder::new().name("ixt-kv-backup".to_owned()).spawn(run);
            let thread = thread.map_err(|error| KvError::Backup { reason: error.to_string().into() })?;
            {
                let mut backups = lock(&backups);
                backups.retain(|backup| !backup.is_finished());
                backups.push(thread);
            }
            answer.await.map_err(|_| KvError::Closed)?
        })
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // Requests that wait for a permit fail; those that have one were sent before these commands. The reader ends first,
        // since it may need the writer.
        self.reads.close();
        self.writes.close();
        let _ = self.requests.send(None);
        let ended = self.reader.take().map(JoinHandle::join);
        // Backups notice that the store is closed, and leave no file behind.
        let backups = std::mem::take(&mut *lock(&self.backups));
        for backup in backups {
            let _ = backup.join();
        }
        let _ = self.commands.send(WriterCommand::Close);
        let _ = (ended, self.writer.take().map(JoinHandle::join));
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

/// Starts a thread of the store.
fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    Builder::new().name(name.to_owned()).spawn(run).map_err(OpenError::Thread)
}
