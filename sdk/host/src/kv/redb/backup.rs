//! A backup: a copy of a store that is in use, as of one moment. [`RedbStore`](super::RedbStore) runs it on a separate
//! thread.

use std::fs;
use std::io;
use std::path::Path;

use tokio::sync::Semaphore;

use super::directory::sync_directory;
use super::file::{RedbFailure, StoreFile, catch};
use super::salvage::{Damage, read_all};
use super::snapshot::Snapshot;
use super::store_copy::StoreCopy;
use super::tables;
use crate::kv::KvError;

/// Writes all entries, with expired ones that were not removed yet, to a new file at `path`, and returns their number.
/// Blocks. Ends early with [`KvError::Closed`] when the store is closed, which closes the semaphore `open`. After an
/// error there is no file at `path`, unless only the last step, syncing its directory, has failed. If an entry is
/// damaged, the error is [`KvError::Storage`].
pub(super) fn backup(file: &StoreFile, path: &Path, open: &Semaphore) -> Result<u64, KvError> {
    let failed = |what: String| KvError::Backup { reason: format!("{}: {what}", path.display()).into() };
    let not_written = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => failed("there is something by that name, and nothing is replaced".to_owned()),
        _ => failed(error.to_string()),
    };
    // Checked before the work begins. Renaming the finished file checks it again.
    if fs::symlink_metadata(path).is_ok() {
        return Err(not_written(io::ErrorKind::AlreadyExists.into()));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let not_read = |failure: &dyn std::fmt::Display| KvError::Storage { reason: file.reason(failure) };
    let (snapshot, revision) = {
        // Released at once, so that opening the file again need not wait for the backup.
        let current = file.current();
        let Ok(database) = current.get() else { return Err(not_read(&"it is not open")) };
        let read = catch(|| Ok((Snapshot::of(database)?, tables::last_revision(database)?)));
        read.map_err(|failure| not_read(&failure))?
    };
    // Readable for this user alone.
    let new =
        tempfile::Builder::new().prefix("kv.redb.").suffix(".part").tempfile_in(directory).map_err(not_written)?;
    let not_copied = |failure: RedbFailure| failed(failure.to_string());
    let mut copy = StoreCopy::to(new.reopen().map_err(not_written)?).map_err(not_copied)?;
    let mut damage = Damage::default();
    read_all(&snapshot, &[], &mut damage, &mut |namespace, key, stored| {
        if open.is_closed() {
            return Err(KvError::Closed);
        }
        copy.put(namespace, key, stored).map_err(not_copied)
    })?;
    if let Some(first) = damage.listed.first() {
        return Err(not_read(&format!("{first}: `ixt kv check` and `ixt kv repair` help when the host is stopped")));
    }
    let keys = copy.keys;
    copy.finish(revision).map_err(not_copied)?;
    new.as_file().sync_all().map_err(not_written)?;
    new.persist_noclobber(path).map_err(|error| not_written(error.error))?;
    sync_directory(directory).map_err(not_written)?;
    Ok(keys)
}
