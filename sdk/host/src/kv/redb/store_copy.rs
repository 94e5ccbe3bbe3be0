//! Writes entries to a new store file, for backups and repairs.

use std::fs;

use ::redb::Database;
use ::redb::backends::FileBackend;

use super::file::{RedbFailure, catch, open};
use super::snapshot::Stored;
use super::tables::{self, StoreState};
use super::transaction::WriteTables;

/// A transaction is committed when it has this number of bytes.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// A transaction is also committed when it has this number of keys.
const BATCH_KEYS: usize = 1000;

/// A store file that is being written.
pub(super) struct StoreCopy {
    database: Database,
    /// The entries for the next transaction, each with namespace and key.
    waiting: Vec<(String, String, Stored)>,
    /// The bytes of `waiting`.
    bytes: usize,
    state: StoreState,
    /// The number of entries so far.
    pub(super) keys: u64,
}

impl StoreCopy {
    /// Creates a store in an empty file.
    pub(super) fn to(file: fs::File) -> Result<Self, RedbFailure> {
        let backend = catch(|| Ok(FileBackend::new(file)?))?;
        let (database, state) = open(backend)?;
        Ok(Self { database, waiting: Vec::new(), bytes: 0, state, keys: 0 })
    }

    /// Adds an entry, with its revision and expiry.
    pub(super) fn put(&mut self, namespace: &str, key: &str, stored: Stored) -> Result<(), RedbFailure> {
        self.bytes += namespace.len() + key.len() + stored.entry.value.len();
        self.waiting.push((namespace.to_owned(), key.to_owned(), stored));
        self.keys += 1;
        if self.bytes >= BATCH_BYTES || self.waiting.len() >= BATCH_KEYS { self.flush() } else { Ok(()) }
    }

    /// Writes the rest and closes the file. The next change of the copied store will have a revision after `revision` and
    /// after those of all entries.
    pub(super) fn finish(mut self, revision: u64) -> Result<(), RedbFailure> {
        self.flush()?;
        self.state.revision = self.state.revision.max(revision);
        catch(|| {
            tables::settle(&self.database, &self.state)?;
            drop(self.database);
            Ok(())
        })
    }

    fn flush(&mut self) -> Result<(), RedbFailure> {
        self.bytes = 0;
        let waiting = std::mem::take(&mut self.waiting);
        let outcome = catch(|| {
            let transaction = self.database.begin_write()?;
            let mut tables = WriteTables::open(&transaction, &self.state)?;
            for (namespace, key, stored) in &waiting {
                tables.copy(namespace, key, stored)?;
            }
            let outcome = tables.finish()?;
            transaction.commit()?;
            Ok(outcome)
        })?;
        outcome.apply(&mut self.state);
        Ok(())
    }
}
