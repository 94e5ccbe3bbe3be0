//! Check and repair of a store that no host uses.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::{Error, StorageBackend};

use super::backend::Overlay;
use super::directory::{DataDir, sync_directory};
use super::file::{RedbFailure, catch, open_database};
use super::open_error::{OpenError, failed_to_open, plain_reason};
use super::salvage::{Damage, read_all};
use super::snapshot::{Snapshot, Stored};
use super::store_copy::StoreCopy;
use super::tables;
use super::usage::Usage;

/// The result of [`RedbStore::check`](super::RedbStore::check).
#[derive(Debug)]
#[non_exhaustive]
pub struct Inspection {
    /// How many readable keys each namespace has, expired ones that were not removed yet included. A namespace without any is left out.
    pub keys: BTreeMap<String, u64>,
    /// A sentence for each damage that was found, without a full stop, none twice: 100 at most, and then one with the number of further
    /// ones. Empty if nothing is damaged.
    pub damage: Vec<String>,
}

/// The result of [`RedbStore::repair`](super::RedbStore::repair).
#[derive(Debug)]
#[non_exhaustive]
pub struct Repair {
    /// How many keys each namespace has in the store's file now, expired ones that were not removed yet included. A namespace without any
    /// is left out.
    pub keys: BTreeMap<String, u64>,
    /// As in [`Inspection::damage`]. Empty if nothing was damaged; then nothing was changed.
    pub damage: Vec<String>,
    /// The path of the damaged file now, in the same directory. `None` if nothing was damaged.
    pub aside: Option<PathBuf>,
}

/// See [`RedbStore::check`](super::RedbStore::check).
pub(super) fn check(directory: &Path) -> Result<Inspection, OpenError> {
    let DataDir { path, backend, .. } = DataDir::open(directory)?;
    let (inspection, _) = read(&(backend as Arc<_>), &path, &mut |_, _, _| Ok(()))?;
    Ok(inspection)
}

/// See [`RedbStore::repair`](super::RedbStore::repair). Reads a damaged store twice: to find the damage, and to copy
/// the rest.
pub(super) fn repair(directory: &Path) -> Result<Repair, OpenError> {
    let data = DataDir::open(directory)?;
    let (path, backend): (_, Arc<dyn StorageBackend>) = (data.path.clone(), Arc::clone(&data.backend) as Arc<_>);
    let (Inspection { keys, damage }, _) = read(&backend, &path, &mut |_, _, _| Ok(()))?;
    if damage.is_empty() {
        return Ok(Repair { keys, damage, aside: None });
    }
    let failed = |source| OpenError::Directory { directory: directory.to_owned(), source };
    let new = tempfile::Builder::new().prefix("kv.redb.").suffix(".part").tempfile_in(directory).map_err(failed)?;
    let not_written = |failure| failed_to_open(new.path(), failure);
    let mut copy = StoreCopy::to(new.reopen().map_err(failed)?).map_err(not_written)?;
    let (Inspection { keys, damage }, revision) =
        read(&backend, &path, &mut |namespace, key, stored| copy.put(namespace, key, stored).map_err(not_written))?;
    copy.finish(revision).map_err(not_written)?;
    new.as_file().sync_all().map_err(failed)?;
    data.mark()?;
    // The damaged file gets a second name first, so that at each moment there is a file with the store's name.
    let aside = put_aside(&path).map_err(failed)?;
    new.persist(&path).map_err(|error| failed(error.error))?;
    sync_directory(directory).map_err(failed)?;
    Ok(Repair { keys, damage, aside: Some(aside) })
}

/// Gives a file a second name, with the first number that is free, and returns that path.
fn put_aside(path: &Path) -> io::Result<PathBuf> {
    let mut number = 1;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".damaged-{number}"));
        match fs::hard_link(path, &name) {
            Ok(()) => return Ok(name.into()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Reads everything, and calls `visit` with each entry that is not damaged. Writes nothing to the file. Also returns the
/// revision of the last change, or 0 if it can't be read.
fn read(
    backend: &Arc<dyn StorageBackend>,
    path: &Path,
    visit: &mut dyn FnMut(&str, &str, Stored) -> Result<(), OpenError>,
) -> Result<(Inspection, u64), OpenError> {
    let mut damage = Damage::default();
    let mut keys = BTreeMap::new();
    let mut revision = 0;
    let overlay = Overlay::new(Arc::clone(backend));
    let overlay = overlay.map_err(|source| OpenError::File { path: path.to_owned(), source })?;
    match catch(|| open_database(overlay)) {
        Err(failure) => match failed_to_open(path, failure) {
            OpenError::Damaged { reason, .. } => damage.add(format!("nothing of it can be read: {reason}")),
            error => return Err(error),
        },
        Ok(mut database) => {
            revision = catch(|| tables::last_revision(&database)).unwrap_or_default();
            let mut usages = BTreeMap::new();
            // Namespaces whose usage was read before a failure are known, and so are those of a file that is not settled.
            let settled = catch(|| tables::read_usages(&database, &mut usages)).is_ok_and(|settled| settled);
            let namespaces: Vec<String> = usages.keys().cloned().collect();
            match catch(|| Snapshot::of(&database)) {
                Ok(snapshot) => read_all(&snapshot, &namespaces, &mut damage, &mut |namespace, key, stored| {
                    *keys.entry(namespace.to_owned()).or_insert(0) += 1;
                    visit(namespace, key, stored)
                })?,
                // The host was killed before it had created the tables.
                Err(RedbFailure::Error(Error::TableDoesNotExist(_))) => {}
                Err(failure) => damage.add(format!("nothing of it can be read: {}", plain_reason(&failure))),
            }
            if settled {
                compare(&keys, &usages, &mut damage);
            }
            let integrity = catch(|| Ok(database.check_integrity()?));
            if damage.is_none() && !integrity.is_ok_and(|whole| whole) {
                damage.add("parts of the file are not what was written there, though every key can be read".to_owned());
            }
            let _ = catch(|| {
                drop(database);
                Ok(())
            });
        }
    }
    Ok((Inspection { keys, damage: damage.into_lines() }, revision))
}

/// Compares the numbers of keys that were found and counted, and adds differences to the damage.
fn compare(found: &BTreeMap<String, u64>, counted: &BTreeMap<String, Usage>, damage: &mut Damage) {
    for (namespace, Usage { keys, .. }) in counted {
        let whole = found.get(namespace).copied().unwrap_or_default();
        if whole < *keys {
            damage.add(format!("{} of the {keys} keys of `{namespace}` are lost", keys - whole));
        } else if whole > *keys {
            damage.add(format!("`{namespace}` has {whole} keys, and {keys} were counted"));
        }
    }
    for (namespace, whole) in found.iter().filter(|(namespace, _)| !counted.contains_key(*namespace)) {
        damage.add(format!("`{namespace}` has {whole} keys, which were not counted"));
    }
}
