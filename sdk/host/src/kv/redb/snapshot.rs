//! A snapshot: the entries of a store as of one moment. Everything is read from one.

use std::ops::Bound;

use ::redb::{Database, Error, ReadOnlyTable, ReadableDatabase as _};

use super::expiry::{is_over, now};
use super::row::{EntryValue, Row};
use super::tables::{ENTRIES, EntryKey, PARTS};
use crate::kv::{Entry, MAX_PAGE_KEYS, Page};

/// An entry with its expiry.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// The whole value, and its revision.
    pub(super) entry: Entry,
    /// When the key expires, in Unix milliseconds; `None`: never.
    pub(super) expiry: Option<u64>,
}

/// A read transaction. While it exists, redb keeps what it reads, and the file can't be compacted.
pub(super) struct Snapshot {
    /// The entries of all namespaces, expired ones included.
    pub(super) entries: ReadOnlyTable<EntryKey, EntryValue>,
    parts: ReadOnlyTable<(u64, u32), &'static [u8]>,
}

impl Snapshot {
    /// A snapshot of the last committed state.
    pub(super) fn of(database: &Database) -> Result<Self, Error> {
        // The tables keep the transaction open.
        let transaction = database.begin_read()?;
        Ok(Self { entries: transaction.open_table(ENTRIES)?, parts: transaction.open_table(PARTS)? })
    }

    /// The entry of a row, with its whole value. An error if parts are missing or the checksum does not match.
    pub(super) fn stored(&self, namespace: &str, key: &str, row: Row<'_>) -> Result<Stored, Error> {
        let mut value = row.inline.to_vec();
        let mut missing = row.parts;
        // The number of parts may be damaged, and so very large.
        for part in self.parts.range((row.revision, 0)..(row.revision, row.parts))? {
            value.extend_from_slice(part?.1.value());
            missing = missing.saturating_sub(1);
        }
        if missing > 0 {
            return Err(Error::Corrupted(format!("parts of the value of `{key}` are missing")));
        }
        row.check(namespace, key, &value)?;
        Ok(Stored { entry: Entry { value, revision: row.revision }, expiry: row.expiry })
    }

    /// Reads a key; `None` if it does not exist or has expired. An error if its value is damaged.
    pub(super) fn get(&self, namespace: &str, key: &str) -> Result<Option<Stored>, Error> {
        let Some(entry) = self.entries.get((namespace, key))? else { return Ok(None) };
        let row = Row::of(entry.value());
        if is_over(row.expiry, now()) {
            return Ok(None);
        }
        self.stored(namespace, key, row).map(Some)
    }

    /// Whether a key exists and has not expired. Does not read its value, which may be damaged.
    pub(super) fn exists(&self, namespace: &str, key: &str) -> Result<bool, Error> {
        let entry = self.entries.get((namespace, key))?;
        Ok(entry.is_some_and(|entry| !is_over(entry.value().1, now())))
    }

    /// See [`KvStore::list`](crate::kv::KvStore::list).
    pub(super) fn list(&self, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> Result<Page, Error> {
        let limit = limit.clamp(1, MAX_PAGE_KEYS);
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded((namespace, after)),
            _ => Bound::Included((namespace, prefix)),
        };
        let now = now();
        let mut page = Page::default();
        for entry in self.entries.range::<(&str, &str)>((from, Bound::Unbounded))? {
            let (at, entry) = entry?;
            let (of, key) = at.value();
            if of != namespace || !key.starts_with(prefix) {
                break;
            }
            if is_over(entry.value().1, now) {
                continue;
            }
            if page.keys.len() == limit {
                page.next = page.keys.last().cloned();
                break;
            }
            page.keys.push(key.to_owned());
        }
        Ok(page)
    }
}
