//! Opens the database, and opens it again after a failure of the disk, after which redb refuses everything.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ::redb::{Builder, CompactionError, Database, Error, StorageBackend, StorageError};

use super::backend::{Fence, Fenced, Overlay};
use super::catch_panic::caught;
use super::tables::{self, StoreState};
use crate::kv::watchers::Written;
use crate::lock;

/// How many bytes of the file redb caches in memory; its default is 1 GiB. Fewer in tests, so that they can exceed it
/// sooner.
const CACHE_BYTES: usize = if cfg!(test) { 1024 * 1024 } else { 16 * 1024 * 1024 };

/// The database of a store, shared by the writer, which reopens it, and all readers.
pub(super) struct StoreFile {
    backend: Arc<dyn StorageBackend>,
    /// The file's path, for messages; `memory` for a store in memory.
    place: String,
    /// The length of the file, in bytes.
    len: Arc<AtomicU64>,
    /// Readers and writers hold this for reading while they use the database. Reopening holds it for writing, and so waits
    /// for them: otherwise a reader could find its database closed each time it retries.
    current: RwLock<OpenDatabase>,
}

/// The database that is open.
pub(super) struct OpenDatabase {
    /// `None` if it could not be opened again.
    database: Option<Database>,
    /// Incremented each time the database is opened again with success.
    pub(super) generation: u64,
    fence: Fence,
}

impl OpenDatabase {
    /// The database.
    ///
    /// # Errors
    ///
    /// `DatabaseClosed` if it could not be opened again.
    pub(super) fn get(&self) -> Result<&Database, Error> {
        self.database.as_ref().ok_or_else(|| StorageError::DatabaseClosed.into())
    }
}

impl StoreFile {
    /// Opens the database for the first time, and creates its tables in a new file. Returns the state of the store too.
    pub(super) fn open(backend: Arc<dyn StorageBackend>, place: String) -> Result<(Self, StoreState), RedbFailure> {
        let fence = Fence::default();
        let len = Arc::default();
        let (database, state) = open(Fenced::new(Arc::clone(&backend), fence.clone(), Arc::clone(&len)))?;
        let current = RwLock::new(OpenDatabase { database: Some(database), generation: 0, fence });
        Ok((Self { backend, place, len, current }, state))
    }

    /// Opens the database again; waits until it is not in use. Returns its state, or `None` if it could not be opened. If it
    /// can't be opened for writing, it is opened on an [`Overlay`], so that it can be read, and the second value is the reason.
    pub(super) fn reopen(&self) -> (Option<StoreState>, Result<(), Arc<str>>) {
        let mut current = self.lock();
        // After a failure, redb must not write what it would write when it is dropped.
        current.fence.shut();
        let before = current.database.take();
        self.drop_broken(before);

        match self.open_fenced(&mut current, &self.backend) {
            Ok(state) => (Some(state), Ok(())),
            Err(reason) => {
                let overlay = Overlay::new(Arc::clone(&self.backend)).map_err(|error| self.reason(&error));
                let state = overlay.and_then(|overlay| self.open_fenced(&mut current, &(Arc::new(overlay) as Arc<_>)));
                (state.ok(), Err(reason))
            }
        }
    }

    /// Opens the database on `backend`, and makes it the current one.
    fn open_fenced(
        &self,
        current: &mut OpenDatabase,
        backend: &Arc<dyn StorageBackend>,
    ) -> Result<StoreState, Arc<str>> {
        let fence = Fence::default();
        let opened = open(Fenced::new(Arc::clone(backend), fence.clone(), Arc::clone(&self.len)));
        let (database, state) = opened.map_err(|failure| self.reason(&failure))?;
        *current = OpenDatabase { database: Some(database), generation: current.generation + 1, fence };
        Ok(state)
    }

    /// The open database. It stays open until the guard is dropped.
    pub(super) fn current(&self) -> RwLockReadGuard<'_, OpenDatabase> {
        lock::read(&self.current)
    }

    /// Runs an operation of redb. An error or a panic becomes a failure, whose reason has the file's path.
    pub(super) fn catch<T>(&self, run: impl FnOnce() -> Result<T, Error>) -> Result<T, StoreFailure> {
        catch(run).map_err(|failure| {
            let of_the_disk =
                matches!(failure, RedbFailure::Error(Error::Io(_) | Error::PreviousIo | Error::DatabaseClosed));
            StoreFailure { reason: self.reason(&failure), of_the_disk }
        })
    }

    /// The text of a failure, with the file's path.
    pub(super) fn reason(&self, failure: &dyn fmt::Display) -> Arc<str> {
        format!("{}: {failure}", self.place).into()
    }

    /// Makes the file as small as possible. Reads and writes wait meanwhile. False if a long read transaction, such as that
    /// of a backup, prevents it now.
    pub(super) fn compact(&self) -> Result<bool, StoreFailure> {
        let mut current = self.lock();
        self.catch(|| {
            let Some(database) = &mut current.database else { return Err(StorageError::DatabaseClosed.into()) };
            match database.compact() {
                Ok(_) => Ok(true),
                Err(CompactionError::TransactionInProgress) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Settles the file; see [`tables::settle`]. The state must be the current one.
    pub(super) fn settle(&self, state: &StoreState) -> Result<(), StoreFailure> {
        let current = self.current();
        self.catch(|| tables::settle(current.get()?, state))
    }

    /// Whether the file has these changes of one transaction.
    pub(super) fn has(&self, written: &[(String, Written)]) -> Result<bool, StoreFailure> {
        let current = self.current();
        self.catch(|| tables::was_committed(current.get()?, written))
    }

    /// The length of the file, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Relaxed)
    }

    /// Closes the database and the file; waits until the database is not in use.
    pub(super) fn close(&self) {
        let database = self.lock().database.take();
        self.drop_broken(database);
        // Unlocks the file, even if a child process that is just being started has a copy of the descriptor. If this fails,
        // closing the descriptor unlocks it.
        let _ = self.backend.close();
    }

    /// Drops a database that may be broken: redb may write, fail or panic then, and that is ignored.
    fn drop_broken(&self, database: Option<Database>) {
        let _ = self.catch(|| {
            drop(database);
            Ok(())
        });
    }

    /// Waits until the database is not in use, and keeps others from using it.
    fn lock(&self) -> RwLockWriteGuard<'_, OpenDatabase> {
        lock::write(&self.current)
    }
}

/// Why an operation on an open store failed.
pub(super) struct StoreFailure {
    /// The reason with the file's path, for people.
    pub(super) reason: Arc<str>,
    /// Whether the disk failed, after which redb refuses everything until the file is opened again. If not, one place of the
    /// file is damaged; then it must not be opened again, since redb would refuse the whole file.
    pub(super) of_the_disk: bool,
}

/// An error or a panic of redb.
pub(super) enum RedbFailure {
    Error(Error),
    Panic(String),
}

impl fmt::Display for RedbFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(Error::Io(error)) => error.fmt(f),
            Self::Error(Error::Corrupted(message)) | Self::Panic(message) => {
                write!(f, "the file is damaged: {message}")
            }
            Self::Error(error) => error.fmt(f),
        }
    }
}

/// Runs an operation of redb. A panic becomes a failure too.
pub(super) fn catch<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, RedbFailure> {
    caught(run).map_err(RedbFailure::Panic)?.map_err(RedbFailure::Error)
}

/// Opens or creates a database, without its tables.
pub(super) fn open_database(backend: impl StorageBackend) -> Result<Database, Error> {
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

/// Opens or creates a database with its tables, and reads the state of the store.
pub(super) fn open(backend: impl StorageBackend) -> Result<(Database, StoreState), RedbFailure> {
    catch(|| {
        let database = open_database(backend)?;
        let state = tables::prepare(&database)?;
        Ok((database, state))
    })
}
