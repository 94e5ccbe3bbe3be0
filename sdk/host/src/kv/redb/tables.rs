//! The tables of the file: their names and types, how they are created, and the state that is read when a file is opened.

use std::collections::BTreeMap;

use ::redb::{Database, Error, ReadableDatabase as _, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::catch_panic::caught;
use super::row::{EntryValue, Row};
use super::usage::Usage;
use crate::kv::watchers::Written;

/// The key of [`ENTRIES`]: namespace and key.
pub(super) type EntryKey = (&'static str, &'static str);
/// The key of [`EXPIRIES`]: expiry in Unix milliseconds, namespace and key. The first one is the next to expire.
pub(super) type ExpiryKey = (u64, &'static str, &'static str);

/// For each key, its entry, which `row` encodes. A large value is in [`PARTS`].
pub(super) const ENTRIES: TableDefinition<EntryKey, EntryValue> = TableDefinition::new("entries");
/// The parts of large values, by revision and index. They are not in [`ENTRIES`], since redb rewrites a whole leaf of a
/// table at each change in it.
pub(super) const PARTS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("parts");
/// The keys that expire. An entry here has no value.
pub(super) const EXPIRIES: TableDefinition<ExpiryKey, ()> = TableDefinition::new("expiries");
/// Single numbers by name: [`REVISION`] and [`SETTLED`].
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
/// For each namespace, the number of its keys, and of the bytes of its keys and values, as of the last time that the file was settled.
/// Format 1 does not have this table.
const USAGE: TableDefinition<&str, (u64, u64)> = TableDefinition::new("usage");
/// The name of a counter: no revision after it was ever used. In a settled file it is the revision of the last change.
const REVISION: &str = "revision";
/// The name of a counter that is there, with any value, if the file is settled.
const SETTLED: &str = "settled";

/// A value longer than this, in bytes, is stored in parts.
pub(super) const INLINE_BYTES: usize = 4 * 1024;

/// How many revisions one commit reserves. After a crash the next revision is higher by up to this number than it would have been.
const RESERVED_REVISIONS: u64 = 10_000;

/// The revision, the usages and the next expiry of a store. The writer keeps them in memory. The file has the revision and the usages only
/// when it is settled, since each commit would have to write two pages more for them.
#[derive(Debug)]
pub(super) struct StoreState {
    /// The revision of the last change.
    pub(super) revision: u64,
    /// The next expiry of a key, in Unix milliseconds; `None` if no key expires.
    pub(super) next_expiry: Option<u64>,
    /// The usage of each namespace that has keys.
    pub(super) usages: BTreeMap<String, Usage>,
    /// Whether the usages are exact. If not, the file is damaged, so that its keys could not be counted when it was opened.
    pub(super) exact: bool,
    /// How many bytes all namespaces together are charged for: those of keys and values, plus 64 for each key.
    pub(super) stored: u64,
    /// The file's [`REVISION`], a limit of the revisions. `None` if the file has the last revision instead: the next change has to reserve
    /// further ones.
    pub(super) reserved: Option<u64>,
}

impl StoreState {
    /// The usage of a namespace.
    pub(super) fn usage(&self, namespace: &str) -> Usage {
        self.usages.get(namespace).copied().unwrap_or_default()
    }

    /// Sets the usage of a namespace.
    pub(super) fn set_usage(&mut self, namespace: String, usage: Usage) {
        let before = match usage.keys {
            0 => self.usages.remove(&namespace),
            _ => self.usages.insert(namespace, usage),
        };
        self.stored = self.stored.saturating_add(usage.charged()).saturating_sub(before.unwrap_or_default().charged());
    }
}

/// Reserves the next revisions: writes a limit above `revision`, up to which revisions may be used from now on, and that the file is not
/// settled. Returns the limit. This is necessary with the first change after the file was settled, and with the first beyond the limit.
pub(super) fn reserve(transaction: &WriteTransaction, revision: u64) -> Result<u64, Error> {
    let mut counters = transaction.open_table(COUNTERS)?;
    let reserved = revision.saturating_add(RESERVED_REVISIONS);
    counters.insert(REVISION, reserved)?;
    counters.remove(SETTLED)?;
    Ok(reserved)
}

/// Settles the file: writes the revision and the usages, and which pages are in use, as closing it does. If the host is killed afterwards,
/// opening the file need not read all of it; and if the file is damaged too, redb still opens it, so that the rest can be salvaged. A file
/// whose usages are not exact is not marked as settled: its keys are counted when it is opened the next time.
pub(super) fn settle(database: &Database, state: &StoreState) -> Result<(), Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_quick_repair(true);
    {
        let mut usage = transaction.open_table(USAGE)?;
        usage.retain(|namespace, _| state.usages.contains_key(namespace))?;
        for (namespace, Usage { keys, bytes }) in &state.usages {
            usage.insert(namespace.as_str(), (*keys, *bytes))?;
        }
        let mut counters = transaction.open_table(COUNTERS)?;
        counters.insert(REVISION, state.revision)?;
        if state.exact {
            counters.insert(SETTLED, 1)?;
        }
    }
    Ok(transaction.commit()?)
}

/// No revision after this one was ever used; 0 if there was no change.
pub(super) fn last_revision(database: &Database) -> Result<u64, Error> {
    let counters = database.begin_read()?.open_table(COUNTERS)?;
    Ok(counters.get(REVISION)?.map_or(0, |revision| revision.value()))
}

/// Reads the usage of each namespace into `usages`, as of when the file was settled last. Returns whether it is settled now. An error if
/// there is no such table, as in a file of format 1.
pub(super) fn read_usages(database: &Database, usages: &mut BTreeMap<String, Usage>) -> Result<bool, Error> {
    let transaction = database.begin_read()?;
    for row in transaction.open_table(USAGE)?.iter()? {
        let (namespace, usage) = row?;
        usages.insert(namespace.value().to_owned(), Usage::of(usage.value()));
    }
    Ok(transaction.open_table(COUNTERS)?.get(SETTLED)?.is_some())
}

/// Creates missing tables, and reads the state of the store. If the file is not settled, reads all keys for that, which takes a fraction of
/// what redb takes to open such a file.
pub(super) fn prepare(database: &Database) -> Result<StoreState, Error> {
    create(database)?;
    let mut usages = BTreeMap::new();
    let settled = read_usages(database, &mut usages)?;
    let mut exact = true;
    if !settled {
        match caught(|| count_usages(database)) {
            Ok(Ok(counted)) => usages = counted,
            // The file is damaged. The usages of when it was settled last are near enough.
            Err(_) | Ok(Err(Error::Corrupted(_))) => exact = false,
            Ok(Err(error)) => return Err(error),
        }
    }
    let revision = last_revision(database)?;
    let expiries = database.begin_read()?.open_table(EXPIRIES)?;
    Ok(StoreState {
        revision,
        next_expiry: first_expiry(&expiries)?,
        stored: usages.values().fold(0, |stored: u64, usage| stored.saturating_add(usage.charged())),
        usages,
        exact,
        reserved: (!settled).then_some(revision),
    })
}

/// Creates all tables that are missing: all in a new file, that of usages in a file of format 1.
fn create(database: &Database) -> Result<(), Error> {
    match database.begin_read()?.open_table(USAGE) {
        Err(TableError::TableDoesNotExist(_)) => {}
        usage => return Ok(usage.map(drop)?),
    }
    let transaction = database.begin_write()?;
    transaction.open_table(ENTRIES)?;
    transaction.open_table(PARTS)?;
    transaction.open_table(EXPIRIES)?;
    transaction.open_table(COUNTERS)?;
    transaction.open_table(USAGE)?;
    Ok(transaction.commit()?)
}

/// Counts what each namespace holds.
fn count_usages(database: &Database) -> Result<BTreeMap<String, Usage>, Error> {
    let transaction = database.begin_read()?;
    let parts = transaction.open_table(PARTS)?;
    let mut usages: BTreeMap<String, Usage> = BTreeMap::new();
    for entry in transaction.open_table(ENTRIES)?.iter()? {
        let (at, entry) = entry?;
        let (namespace, key) = at.value();
        let bytes = key.len() as u64 + value_bytes(&parts, Row::of(entry.value()))?;
        match usages.get_mut(namespace) {
            Some(usage) => usage.add(bytes),
            None => usages.entry(namespace.to_owned()).or_default().add(bytes),
        }
    }
    Ok(usages)
}

/// Whether a transaction with these changes was committed; it was as a whole or not at all. If it has left no trace, since it only removed
/// keys again that it had added, it counts as not committed.
pub(super) fn was_committed(database: &Database, written: &[(String, Written)]) -> Result<bool, Error> {
    let entries = database.begin_read()?.open_table(ENTRIES)?;
    // For each key, whether it existed before, and the last change.
    let mut changed = BTreeMap::new();
    for (namespace, change) in written {
        changed.entry((&**namespace, &*change.key)).or_insert((change.existed, change)).1 = change;
    }
    for (at, (existed, change)) in changed {
        let revision = entries.get(at)?.map(|entry| entry.value().0);
        match change.value {
            Some(_) => return Ok(revision == Some(change.revision)),
            None if existed => return Ok(revision.is_none()),
            None => {}
        }
    }
    Ok(false)
}

/// The length of a row's value, in bytes. All of its parts are equally long, except for the last.
pub(super) fn value_bytes(parts: &impl ReadableTable<(u64, u32), &'static [u8]>, row: Row<'_>) -> Result<u64, Error> {
    let part_bytes =
        |part| Ok::<_, Error>(parts.get((row.revision, part))?.map_or(0, |part| part.value().len() as u64));
    Ok(row.inline.len() as u64
        + match row.parts {
            0 => 0,
            1 => part_bytes(0)?,
            number => part_bytes(0)? * u64::from(number - 1) + part_bytes(number - 1)?,
        })
}

/// The next expiry of a key, in Unix milliseconds; `None` if no key expires.
pub(super) fn first_expiry(expiries: &impl ReadableTable<ExpiryKey, ()>) -> Result<Option<u64>, Error> {
    Ok(expiries.first()?.map(|(key, _)| key.value().0))
}
