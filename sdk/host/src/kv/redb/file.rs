//! The database and what it lies in: opened, and opened anew after it has failed, for redb then refuses everything.

use std::fmt;
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ::redb::{Builder, CompactionError, Database, Error, StorageBackend};

use super::backend::{Fence, Fenced, Overlay};
use super::catch_panic::caught;
use super::tables::{self, StoreState};
use crate::lock;

/// How much of the file is kept in memory; redb's own default is 1 GiB. Little in tests, so that they needn't write much to
/// have more than that.
const CACHE_BYTES: usize = if cfg!(test) { 1024 * 1024 } else { 16 * 1024 * 1024 };

/// The database, for the writer, who opens it anew, and the reader.
pub(super) struct File {
    backend: Arc<dyn StorageBackend>,
    /// For people.
    place: String,
    /// Whoever reads or writes holds this meanwhile, and whoever opens the file anew waits for them, and they for it: else
    /// a read could find it closed, or have it closed under its hands, as often as it is tried again.
    current: RwLock<OpenDatabase>,
}

/// What is open.
pub(super) struct OpenDatabase {
    /// `None` if nothing could be opened any more.
    pub(super) database: Option<Database>,
    /// Grows each time that it is opened.
    pub(super) generation: u64,
    fence: Fence,
}

impl File {
    /// Opens it for the first time.
    pub(super) fn open(backend: Arc<dyn StorageBackend>, place: String) -> Result<(Self, StoreState), RedbFailure> {
        let fence = Fence::default();
        let (database, beginning) = open(Fenced::new(Arc::clone(&backend), fence.clone()))?;
        let current = RwLock::new(OpenDatabase { database: Some(database), generation: 0, fence });
        Ok((Self { backend, place, current }, beginning))
    }

    /// Opens it anew, when nobody uses it. If it can't be opened for writing, it is opened so that what it holds can be
    /// read, and the reason is the error.
    pub(super) fn reopen(&self) -> (Option<StoreState>, Result<(), Arc<str>>) {
        let mut current = self.lock();
        // What redb would write when it is dropped is not to be trusted after a failure.
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

    /// What is open, and stays it until this is dropped.
    pub(super) fn current(&self) -> RwLockReadGuard<'_, OpenDatabase> {
        lock::read(&self.current)
    }

    /// Does something with redb, and says why it failed.
    pub(super) fn catch<T>(&self, run: impl FnOnce() -> Result<T, Error>) -> Result<T, StoreFailure> {
        catch(run).map_err(|failure| {
            let of_the_disk =
                matches!(failure, RedbFailure::Error(Error::Io(_) | Error::PreviousIo | Error::DatabaseClosed));
            StoreFailure { reason: self.reason(&failure), of_the_disk }
        })
    }

    pub(super) fn reason(&self, failure: &dyn fmt::Display) -> Arc<str> {
        format!("{}: {failure}", self.place).into()
    }

    /// Makes the file as small as it can be, while nobody else uses it. `false` if that has to wait: there is a transaction
    /// that reads for longer, as a backup does.
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

    /// Writes which pages are in use, as is done when the file is closed. If the host is killed after that, the file needn't be
    /// read as a whole when it is opened; and if it is damaged too, redb still opens it, so that the rest can be saved.
    pub(super) fn settle(&self) -> Result<(), StoreFailure> {
        let current = self.current();
        self.catch(|| {
            let Some(database) = &current.database else { return Err(::redb::StorageError::DatabaseClosed.into()) };
            let mut transaction = database.begin_write()?;
            transaction.set_quick_repair(true);
            Ok(transaction.commit()?)
        })
    }

    /// How long the file is.
    pub(super) fn len(&self) -> u64 {
        self.backend.len().unwrap_or_default()
    }

    /// Closes the file; nobody else has the database any more.
    pub(super) fn close(&self) {
        let database = self.lock().database.take();
        self.drop_broken(database);
        // Gives up the lock even if a child process is just being started that has a copy of the descriptor. If that
        // fails, closing the descriptor does it.
        let _ = self.backend.close();
    }

    /// A database writes when it is dropped, and may panic then too.
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

/// Why something that is open did not do what it was to.
pub(super) struct StoreFailure {
    /// For people.
    pub(super) reason: Arc<str>,
    /// Whether the disk failed, after which redb does nothing more before it is opened anew. Else the file is damaged at
    /// one place; it mustn't be opened anew for that, for redb would then refuse all of it.
    pub(super) of_the_disk: bool,
}

/// Why redb did not do something.
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

/// A panic is a failure too.
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
