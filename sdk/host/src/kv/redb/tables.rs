//! The tables of the file: their names and types, how they are created, and the state that is read when a file is opened.

use std::collections::BTreeMap;

use ::redb::{Database, Error, ReadableDatabase as _, ReadableTable, TableDefinition, TableError};

use super::row::{EntryValue, Row};
use super::usage::Usage;

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
/// Single numbers by name; so far only [`REVISION`].
pub(super) const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
/// For each namespace, the number of its keys, and of the bytes of its keys and values. Format 1 does not have this table.
pub(super) const USAGE: TableDefinition<&str, (u64, u64)> = TableDefinition::new("usage");
/// The name of the counter with the revision of the last change.
pub(super) const REVISION: &str = "revision";

/// A value longer than this, in bytes, is stored in parts.
pub(super) const INLINE_BYTES: usize = 4 * 1024;

/// The state of a store when it is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct StoreState {
    /// The revision of the last change.
    pub(super) revision: u64,
    /// The next expiry of a key, in Unix milliseconds; `None` if no key expires.
    pub(super) next_expiry: Option<u64>,
    /// How many bytes all namespaces together are charged for: those of keys and values, plus 64 for each key.
    pub(super) stored: u64,
}

/// The revision of the last change; 0 if there was none.
pub(super) fn last_revision(database: &Database) -> Result<u64, Error> {
    let counters = database.begin_read()?.open_table(COUNTERS)?;
    Ok(counters.get(REVISION)?.map_or(0, |revision| revision.value()))
}

/// Reads the usage of each namespace into `usages`. Returns whether the file has a table of usages.
pub(super) fn read_usages(database: &Database, usages: &mut BTreeMap<String, Usage>) -> Result<bool, Error> {
    let usage = match database.begin_read()?.open_table(USAGE) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(false),
        usage => usage?,
    };
    for row in usage.iter()? {
        let (namespace, usage) = row?;
        usages.insert(namespace.value().to_owned(), Usage::of(usage.value()));
    }
    Ok(true)
}

/// Creates missing tables (all in a new file, that of usages in a file of format 1), and reads the state of the store.
pub(super) fn prepare(database: &Database) -> Result<StoreState, Error> {
    let mut usages = BTreeMap::new();
    if !read_usages(database, &mut usages)? {
        create(database)?;
        read_usages(database, &mut usages)?;
    }
    let stored = usages.values().fold(0, |stored: u64, usage| stored.saturating_add(usage.charged()));
    let expiries = database.begin_read()?.open_table(EXPIRIES)?;
    Ok(StoreState { revision: last_revision(database)?, next_expiry: first_expiry(&expiries)?, stored })
}

/// Creates all tables that are missing, and counts the usages.
fn create(database: &Database) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    {
        let entries = transaction.open_table(ENTRIES)?;
        let parts = transaction.open_table(PARTS)?;
        transaction.open_table(EXPIRIES)?;
        transaction.open_table(COUNTERS)?;
        let mut usage = transaction.open_table(USAGE)?;
        // A file of format 1 has entries already.
        let mut counted: BTreeMap<String, Usage> = BTreeMap::new();
        for entry in entries.iter()? {
            let (at, entry) = entry?;
            let (namespace, key) = at.value();
            let bytes = key.len() as u64 + value_bytes(&parts, Row::of(entry.value()))?;
            counted.entry(namespace.to_owned()).or_default().add(bytes);
        }
        for (namespace, Usage { keys, bytes }) in counted {
            usage.insert(namespace.as_str(), (keys, bytes))?;
        }
    }
    transaction.commit()?;
    Ok(())
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
