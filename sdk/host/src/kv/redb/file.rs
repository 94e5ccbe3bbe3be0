//! The database and the file in which it lies: opened, and opened again after a failure, since redb refuses everything
//! after one.

use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ::redb::{Builder, CompactionError, Database, Error, StorageBackend};

use super::backend::{Fence, Fenced, Overlay};
use super::catch_panic::caught;
use super::tables::{self, StoreState};
use crate::lock;

/// How much of the file redb caches, in bytes; its default is 1 GiB. Little in tests, so that they need not write much
/// to exceed it.
const CACHE_BYTES: usize = if cfg!(test) { 1024 * 1024 } else { 16 * 1024 * 1024 };

/// The database of a store, shared by the writer, which reopens it, and all readers.
pub(super) struct StoreFile {
    backend: Arc<dyn StorageBackend>,
    /// The file's name for messages.
    place: String,
    /// Readers and writers hold this for reading while they use the database. Reopening holds it for writing, so that
    /// it waits for them: otherwise a read could have the database closed under its hands each time that it retries.
    current: RwLock<OpenDatabase>,
}

/// The database that is open.
pub(super) struct OpenDatabase {
    /// `None` if it could not be opened again.
    pub(super) database: Option<Database>,
    /// Incremented each time that it is opened.
    pub(super) generation: u64,
    fence: Fence,
}

impl StoreFile {
    /// Opens the database for the first time, and creates its tables in a new file.
    pub(super) fn open(backend: Arc<dyn StorageBackend>, place: String) -> Result<(Self, StoreState), RedbFailure> {
        let fence = Fence::default();
        let (database, beginning) = open(Fenced::new(Arc::clone(&backend), fence.clone()))?;
        let current = RwLock::new(OpenDatabase { database: Some(database), generation: 0, fence });
        Ok((Self { backend, place, current }, beginning))
    }

    /// Opens the database again, when nobody uses it. If it can't be opened for writing, it is opened so that it can be
    /// read, and the reason is returned as the error.
    pub(super) fn reopen(&self) -> (Option<StoreState>, Result<(), Arc<str>>) {
        let mut current = self.lock();
        // After a failure, what redb would write when it is dropped is not to be trusted.
        current.fence.shut();
        let before = current.database.take();
        self.drop_broken(before);

        match self.open_fenced(&mut current, &self.backend) {
            Ok(beginning) => (Some(beginning), Ok(())),
            Err(reason) => {
                let overlay = Overlay::new(Arc::clone(&self.backend)).map_err(|error| self.reason(&error));
                let beginning =
                    overlay.and_then(|overlay| self.open_fenced(&mut current, &(Arc::new(overlay) as Arc<_>)));
                (beginning.ok(), Err(reason))
            }
        }
    }

    fn open_fenced(
        &self,
        current: &mut OpenDatabase,
        backend: &Arc<dyn StorageBackend>,
    ) -> Result<StoreState, Arc<str>> {
        let fence = Fence::default();
        let opened = open(Fenced::new(Arc::clone(backend), fence.clone()));
        let (database, beginning) = opened.map_err(|failure| self.reason(&failure))?;
        *current = OpenDatabase { database: Some(database), generation: current.generation + 1, fence };
        Ok(beginning)
    }

    /// The open database. It stays open until the guard is dropped.
    pub(super) fn current(&self) -> RwLockReadGuard<'_, OpenDatabase> {
        lock::read(&self.current)
    }

    /// Runs an operation of redb, and turns an error or a panic into the reason, with the file's name.
    pub(super) fn catch<T>(&self, run: impl FnOnce() -> Result<T, Error>) -> Result<T, StoreFailure> {
        catch(run).map_err(|failure| {
            let of_the_disk =
                matches!(failure, RedbFailure::Error(Error::Io(_) | Error::PreviousIo | Error::DatabaseClosed));
            StoreFailure { reason: self.reason(&failure), of_the_disk }
        })
    }

    /// The text of a failure, with the file's name.
    pub(super) fn reason(&self, failure: &dyn fmt::Display) -> Arc<str> {
        format!("{}: {failure}", self.place).into()
    }

    /// Makes the file as small as possible; nobody can use it meanwhile. `false` if a long read transaction, such as a
    /// backup's, prevents that now.
    pub(super) fn compact(&self) -> Result<bool, StoreFailure> {
        let mut current = self.lock();
        self.catch(|| {
            let Some(database) = &mut current.database else { return Err(::redb::StorageError::DatabaseClosed.into()) };
            match database.compact() {
                Ok(_) => Ok(true),
                Err(CompactionError::TransactionInProgress) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Writes which pages are in use, as closing the file does. If the host is killed afterwards, opening the file need
    /// not read all of it; and if it is damaged too, redb still opens it, so that the rest can be salvaged.
    pub(super) fn settle(&self) -> Result<(), StoreFailure> {
        let current = self.current();
        self.catch(|| {
            let Some(database) = &current.database else { return Err(::redb::StorageError::DatabaseClosed.into()) };
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            Ok(transaction.commit()?)
        })
    }

    /// The length of the file, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.backend.len().unwrap_or_default()
    }

    /// Closes the file, when nobody uses the database any more.
    pub(super) fn close(&self) {
        let database = self.lock().database.take();
        self.drop_broken(database);
        // Gives up the lock, even if a child process that is just being started has a copy of the descriptor. If this
        // fails, closing the descriptor does it.
        let _ = self.backend.close();
    }

    /// Drops a database, which may write and panic.
    fn drop_broken(&self, database: Option<Database>) {
        let _ = self.catch(|| {
            drop(database);
            Ok(())
        });
    }

    fn lock(&self) -> RwLockWriteGuard<'_, OpenDatabase> {
        lock::write(&self.current)
    }
}

/// Why an operation on an open store failed.
pub(super) struct StoreFailure {
    /// The reason, for people.
    pub(super) reason: Arc<str>,
    /// Whether the disk failed, after which redb refuses everything until it is opened again. Otherwise one place of
    /// the file is damaged; then it must not be reopened, for redb would refuse the whole file.
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

/// Runs an operation of redb. A panic is a failure too.
pub(super) fn catch<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, RedbFailure> {
    caught(run).map_err(RedbFailure::Panic)?.map_err(RedbFailure::Error)
}

pub(super) fn open_database(backend: impl StorageBackend) -> Result<Database, Error> {
    Ok(Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

pub(super) fn open(backend: impl StorageBackend) -> Result<(Database, StoreState), RedbFailure> {
    catch(|| {
        let database = open_database(backend)?;
        let beginning = tables::begin(&database)?;
        Ok((database, beginning))
    })
}
