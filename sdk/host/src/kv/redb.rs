//! The store that comes with the host: one redb file in the host's data directory, or the same in memory.
//!
//! One thread writes and one reads, each taking all that waits at once; tasks only send and wait. What was read not long ago
//! they have at once. What may wait is limited,
//! writes by their bytes, reads by their number; who comes when the limit is reached waits in turn. (An error instead
//! would have every caller write the same loop; each has a deadline of its own anyway.)

mod backend;
mod file;
mod reader;
mod recent;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

use std::fmt;
use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use ::redb::backends::{FileBackend, InMemoryBackend};
use ::redb::{DatabaseError, Error, StorageBackend};
use tokio::sync::{Semaphore, oneshot};

use self::file::{File, OpenFailure};
use self::reader::{Asked, Reader, Request};
use self::recent::Recent;
use self::tables::Snapshot;
use self::writer::{Command, Kind, Write, Writer};
use super::watch::Watchers;
use super::{Entry, KvError, KvFuture, KvStore, Page, SetOptions, Watch, check_key, check_value};

/// The file in the data directory.
const FILE_NAME: &str = "kv.redb";
/// How many bytes of keys and values may wait to be written. Fewer in tests, so that they needn't write as many.
const WAITING_BYTES: usize = if cfg!(test) { 16 * 1024 * 1024 } else { 64 * 1024 * 1024 };
/// What a write takes of that beside its text and bytes.
const WRITE_OVERHEAD: usize = 512;
/// How many reads may wait.
const WAITING_READS: usize = 4096;

/// A [`KvStore`] in a file, or in memory.
///
/// Dropped, it writes what was accepted, ends the watches and gives up the file; that waits for the disk.
///
/// When the disk is full, writes fail with [`KvError::Storage`], what is there can still be read, and when there is room
/// again writes succeed again. Each write that fails so costs reading the file once, for it is then opened anew; the first
/// opening after a crash costs the same.
pub struct RedbStore {
    recent: Arc<Recent>,
    reads: Arc<Semaphore>,
    requests: Sender<Request>,
    writes: Arc<Semaphore>,
    commands: Sender<Command>,
    watchers: Arc<Watchers>,
    reader: Option<JoinHandle<()>>,
    writer: Option<JoinHandle<()>>,
}

/// Why a [`RedbStore`] could not be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another host has this data directory open.
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The data directory could not be created.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file could not be opened, created, read or written.
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file is damaged, or is no file of this store.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The system has no thread for the store.
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { directory } => write!(
                f,
                "the data directory {} is in use by another host: end that one, or give this one another data directory",
                directory.display()
            ),
            Self::Directory { directory, source } => write!(
                f,
                "cannot create the data directory {}: {source}: give one that can be written to",
                directory.display()
            ),
            Self::File { path, source } => write!(
                f,
                "cannot open the store of keys and values in {}: {source}: give a data directory that can be written to",
                path.display()
            ),
            Self::Damaged { path, reason } => write!(
                f,
                "{} is damaged, or is not a store of keys and values of this version: {reason}: put a copy in its place, \
                 or move it away to begin with an empty one",
                path.display()
            ),
            Self::Thread(source) => write!(f, "cannot start a thread for the store of keys and values: {source}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { source, .. } | Self::File { source, .. } | Self::Thread(source) => Some(source),
            Self::InUse { .. } | Self::Damaged { .. } => None,
        }
    }
}

impl RedbStore {
    /// Opens the store in a data directory, or creates it there, the directory too, for this user alone. Waits for the
    /// disk: call it before the tasks begin, or where blocking is no matter.
    ///
    /// # Errors
    ///
    /// See [`OpenError`]: above all, another host may use the directory.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, OpenError> {
        let directory = directory.as_ref();
        let failed = |source| OpenError::Directory { directory: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;

        let path = directory.join(FILE_NAME);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|source| OpenError::File { path: path.clone(), source })?;
        let backend = FileBackend::new(file).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { directory: directory.to_owned() },
            error => failed_to_open(&path, OpenFailure::Error(error.into())),
        })?;
        Self::with_backend(Arc::new(backend), &path)
    }

    /// A store in memory, gone when it is dropped.
    ///
    /// # Errors
    ///
    /// If the system has no threads for it.
    pub fn ephemeral() -> Result<Self, OpenError> {
        Self::with_backend(Arc::new(InMemoryBackend::new()), Path::new("memory"))
    }

    fn with_backend(backend: Arc<dyn StorageBackend>, path: &Path) -> Result<Self, OpenError> {
        let opened = File::open(backend, path.display().to_string());
        let (file, beginning) = opened.map_err(|failure| failed_to_open(path, failure))?;
        let file = Arc::new(file);
        let recent = Arc::new(Recent::default());
        let watchers = Arc::new(Watchers::default());
        let (commands, to_write) = channel();
        let (requests, to_read) = channel();
        let writer = Writer::new(Arc::clone(&file), Arc::clone(&recent), Arc::clone(&watchers), to_write, &beginning);
        let reader = Reader { file, recent: Arc::clone(&recent), requests: to_read, writer: commands.clone() };
        let mut store = Self {
            recent,
            reads: Arc::new(Semaphore::new(WAITING_READS)),
            requests,
            writes: Arc::new(Semaphore::new(WAITING_BYTES)),
            commands,
            watchers,
            reader: None,
            writer: None,
        };
        // If the second can't be started, dropping the store ends the first.
        store.writer = Some(start("ixt-kv-writer", || writer.run())?);
        store.reader = Some(start("ixt-kv-reader", || reader.run())?);
        Ok(store)
    }

    fn read<T: Send + 'static>(
        &self,
        key: Option<&str>,
        query: impl Fn(&Snapshot) -> Result<T, Error> + Send + 'static,
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
                .send(Some(Box::new(Asked { query, reply: Some(reply), _permit: permit })))
                .map_err(|_| KvError::Closed)?;
            answer.await.map_err(|_| KvError::Closed)?
        })
    }

    fn write(&self, namespace: &str, key: &str, kind: Kind) -> KvFuture<u64> {
        let (namespace, key) = (namespace.to_owned(), key.to_owned());
        let (writes, commands) = (Arc::clone(&self.writes), self.commands.clone());
        Box::pin(async move {
            check_key(&key)?;
            let value_bytes = match &kind {
                Kind::Set { value, .. } => {
                    check_value(value)?;
                    value.len()
                }
                Kind::Delete { .. } => 0,
            };
            let bytes = (WRITE_OVERHEAD + namespace.len() + key.len() + value_bytes).min(WAITING_BYTES);
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
            let permit = writes.acquire_many_owned(permits).await.map_err(|_| KvError::Closed)?;
            let (reply, answer) = oneshot::channel();
            let write = Write { namespace, key, kind, reply, _permit: permit };
            commands.send(Command::Write(write)).map_err(|_| KvError::Closed)?;
            answer.await.map_err(|_| KvError::Closed)?
        })
    }
}

impl KvStore for RedbStore {
    fn get(&self, namespace: &str, key: &str) -> KvFuture<Option<Entry>> {
        let at = Arc::new((namespace.to_owned(), key.to_owned()));
        let (asked, recent) = (Arc::clone(&at), Arc::clone(&self.recent));
        let read = self.read(Some(key), move |snapshot| {
            let (namespace, key) = &*asked;
            let stored = snapshot.get(namespace, key)?;
            Ok(stored.map(|stored| {
                recent.keep(snapshot.moment, namespace, key, &stored);
                stored.entry
            }))
        });
        let recent = Arc::clone(&self.recent);
        Box::pin(async move {
            match recent.get(&at.0, &at.1) {
                Some(entry) => Ok(Some(entry)),
                None => read.await,
            }
        })
    }

    fn set(&self, namespace: &str, key: &str, value: Vec<u8>, options: SetOptions) -> KvFuture<u64> {
        self.write(namespace, key, Kind::Set { value, options })
    }

    fn delete(&self, namespace: &str, key: &str, expected_revision: Option<u64>) -> KvFuture<bool> {
        let deleted = self.write(namespace, key, Kind::Delete { expected_revision });
        Box::pin(async move { Ok(deleted.await? != 0) })
    }

    fn exists(&self, namespace: &str, key: &str) -> KvFuture<bool> {
        let (namespace, owned) = (namespace.to_owned(), key.to_owned());
        self.read(Some(key), move |snapshot| snapshot.exists(&namespace, &owned))
    }

    fn list(&self, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> KvFuture<Page> {
        let (namespace, prefix, after) = (namespace.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        self.read(None, move |snapshot| snapshot.list(&namespace, &prefix, after.as_deref(), limit))
    }

    fn watch(&self, namespace: &str, prefix: &str) -> Watch {
        self.watchers.watch(namespace, prefix)
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        // Who waits to be accepted isn't any more; who was accepted comes before these commands. The reader ends first:
        // it may need the writer.
        self.reads.close();
        self.writes.close();
        let _ = self.requests.send(None);
        let ended = self.reader.take().map(JoinHandle::join);
        let _ = self.commands.send(Command::Close);
        let _ = (ended, self.writer.take().map(JoinHandle::join));
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, OpenError> {
    Builder::new().name(name.to_owned()).spawn(run).map_err(OpenError::Thread)
}

fn failed_to_open(path: &Path, failure: OpenFailure) -> OpenError {
    let path = path.to_owned();
    match failure {
        // redb says so of a file that begins with something else, or ends early.
        OpenFailure::Error(Error::Io(source))
            if !matches!(source.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
        {
            OpenError::File { path, source }
        }
        OpenFailure::Error(Error::Io(_)) => OpenError::Damaged { path, reason: "it begins or ends wrong".to_owned() },
        OpenFailure::Error(error) => OpenError::Damaged { path, reason: error.to_string() },
        OpenFailure::Panic(reason) => OpenError::Damaged { path, reason },
    }
}
