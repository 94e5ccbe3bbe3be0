//! How entries lie in redb's tables, and what is done to them within one transaction.

use std::ops::Bound;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redb::{
    Database, Error, ReadOnlyTable, ReadableDatabase as _, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::recent::Moment;
use crate::kv::watch::Written;
use crate::kv::{Entry, KvError, MAX_PAGE_KEYS, Page, SetOptions};

/// Namespace and key.
type EntryKey = (&'static str, &'static str);
/// Revision, when it expires, how many parts the value has in `PARTS`, and the value if it has none there.
type EntryValue = (u64, Option<u64>, u32, &'static [u8]);
/// When it expires in Unix milliseconds, namespace and key: the first of them is the next.
type ExpiryKey = (u64, &'static str, &'static str);

const ENTRIES: TableDefinition<EntryKey, EntryValue> = TableDefinition::new("entries");
/// Large values, by revision and in order. Not beside the keys: redb writes anew, at each change, all that lies in one leaf.
const PARTS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("parts");
const EXPIRIES: TableDefinition<ExpiryKey, ()> = TableDefinition::new("expiries");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
/// The revision of the last write.
const REVISION: &str = "revision";

/// A value longer than this goes in parts.
pub(super) const INLINE_BYTES: usize = 4 * 1024;
/// How long a part is.
const PART_BYTES: usize = 64 * 1024;

/// How many expired keys one transaction removes at most, so that writes don't wait for many more.
const EXPIRED_AT_ONCE: usize = 1000;

/// The time of the wall clock, in Unix milliseconds.
pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// When something expires that is to live this long; never earlier, so rounded up.
fn expiry(now: u64, ttl: Duration) -> u64 {
    now.saturating_add(u64::try_from(ttl.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
}

pub(super) fn is_over(expiry: Option<u64>, now: u64) -> bool {
    expiry.is_some_and(|at| at <= now)
}

/// What a database that was opened begins with.
pub(super) struct Beginning {
    pub(super) revision: u64,
    pub(super) next_expiry: Option<u64>,
}

/// Creates the tables in a new file, and reads where an old one was.
pub(super) fn begin(database: &Database) -> Result<Beginning, Error> {
    let transaction = database.begin_read()?;
    match transaction.open_table(COUNTERS) {
        Ok(counters) => {
            let revision = counters.get(REVISION)?.map_or(0, |revision| revision.value());
            let next_expiry = first_expiry(&transaction.open_table(EXPIRIES)?)?;
            Ok(Beginning { revision, next_expiry })
        }
        Err(TableError::TableDoesNotExist(_)) => {
            let transaction = database.begin_write()?;
            transaction.open_table(ENTRIES)?;
            transaction.open_table(PARTS)?;
            transaction.open_table(EXPIRIES)?;
            transaction.open_table(COUNTERS)?;
            transaction.commit()?;
            Ok(Beginning { revision: 0, next_expiry: None })
        }
        Err(error) => Err(error.into()),
    }
}

fn first_expiry(expiries: &impl ReadableTable<ExpiryKey, ()>) -> Result<Option<u64>, Error> {
    Ok(expiries.first()?.map(|(key, _)| key.value().0))
}

/// An entry, and when it expires.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) entry: Entry,
    pub(super) expiry: Option<u64>,
}

/// The entries as they were at one moment.
pub(super) struct Snapshot {
    pub(super) moment: Moment,
    entries: ReadOnlyTable<EntryKey, EntryValue>,
    parts: ReadOnlyTable<(u64, u32), &'static [u8]>,
}

impl Snapshot {
    pub(super) fn of(database: &Database, moment: Moment) -> Result<Self, Error> {
        // The tables keep the transaction alive.
        let transaction = database.begin_read()?;
        Ok(Self { moment, entries: transaction.open_table(ENTRIES)?, parts: transaction.open_table(PARTS)? })
    }

    pub(super) fn get(&self, namespace: &str, key: &str) -> Result<Option<Stored>, Error> {
        let Some(entry) = self.entries.get((namespace, key))? else { return Ok(None) };
        let (revision, expiry, parts, inline) = entry.value();
        if is_over(expiry, now()) {
            return Ok(None);
        }
        let mut value = inline.to_vec();
        for part in self.parts.range((revision, 0)..(revision, parts))? {
            value.extend_from_slice(part?.1.value());
        }
        Ok(Some(Stored { entry: Entry { value, revision }, expiry }))
    }

    pub(super) fn exists(&self, namespace: &str, key: &str) -> Result<bool, Error> {
        let entry = self.entries.get((namespace, key))?;
        Ok(entry.is_some_and(|entry| !is_over(entry.value().1, now())))
    }

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

/// The tables in a transaction that writes.
pub(super) struct Tables<'transaction> {
    entries: Table<'transaction, EntryKey, EntryValue>,
    parts: Table<'transaction, (u64, u32), &'static [u8]>,
    expiries: Table<'transaction, ExpiryKey, ()>,
    counters: Table<'transaction, &'static str, u64>,
    now: u64,
    revision: u64,
    written: Vec<(String, Written)>,
}

/// What else belonged to an entry.
#[derive(Clone, Copy)]
struct Before {
    revision: u64,
    expiry: Option<u64>,
    parts: u32,
}

impl Before {
    fn of((revision, expiry, parts, _): (u64, Option<u64>, u32, &[u8])) -> Self {
        Self { revision, expiry, parts }
    }
}

/// What a transaction has done.
pub(super) struct Done {
    /// The revision of the last write, of this transaction or before.
    pub(super) revision: u64,
    /// The writes, with their namespaces.
    pub(super) written: Vec<(String, Written)>,
    pub(super) next_expiry: Option<u64>,
}

impl<'transaction> Tables<'transaction> {
    /// The next write gets the revision behind the given one.
    pub(super) fn open(transaction: &'transaction WriteTransaction, revision: u64) -> Result<Self, Error> {
        Ok(Self {
            entries: transaction.open_table(ENTRIES)?,
            parts: transaction.open_table(PARTS)?,
            expiries: transaction.open_table(EXPIRIES)?,
            counters: transaction.open_table(COUNTERS)?,
            now: now(),
            revision,
            written: Vec::new(),
        })
    }

    /// Puts a value in; the revision, unless it has another one than expected. Takes the value if it does.
    pub(super) fn set(
        &mut self,
        namespace: &str,
        key: &str,
        value: &mut Vec<u8>,
        options: SetOptions,
    ) -> Result<Result<u64, KvError>, Error> {
        if let Err(mismatch) = self.check(namespace, key, options.expected_revision)? {
            return Ok(Err(mismatch));
        }
        let expiry = options.ttl.map(|ttl| expiry(self.now, ttl));
        let revision = self.revision + 1;
        let (inline, in_parts) = if value.len() > INLINE_BYTES { (&[][..], &value[..]) } else { (&value[..], &[][..]) };
        let mut parts = 0;
        for part in in_parts.chunks(PART_BYTES) {
            self.parts.insert((revision, parts), part)?;
            parts += 1;
        }
        let before = self.entries.insert((namespace, key), (revision, expiry, parts, inline))?;
        let before = before.map(|entry| Before::of(entry.value()));
        // For watchers it was there also if its time is over: they were not told so yet.
        let existed = before.is_some();
        self.forget(namespace, key, before)?;
        if let Some(at) = expiry {
            self.expiries.insert((at, namespace, key), ())?;
        }
        self.wrote(namespace, key, Some(std::mem::take(value)), existed);
        Ok(Ok(revision))
    }

    /// Removes a key; the revision of that, or 0 if there was none.
    pub(super) fn delete(
        &mut self,
        namespace: &str,
        key: &str,
        expected: Option<u64>,
    ) -> Result<Result<u64, KvError>, Error> {
        if let Err(mismatch) = self.check(namespace, key, expected)? {
            return Ok(Err(mismatch));
        }
        // What has expired is not there, and is removed when it's its turn.
        if self.revision_of(namespace, key)? == 0 {
            return Ok(Ok(0));
        }
        self.remove(namespace, key)?;
        Ok(Ok(self.revision))
    }

    /// Removes keys the time of which is over, if not all then the first.
    pub(super) fn expire(&mut self) -> Result<(), Error> {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some((at, _)) = self.expiries.first()? else { break };
            let (expiry, namespace, key) = at.value();
            if !is_over(Some(expiry), self.now) {
                break;
            }
            let (namespace, key) = (namespace.to_owned(), key.to_owned());
            drop(at);
            self.expiries.remove((expiry, namespace.as_str(), key.as_str()))?;
            self.remove(&namespace, &key)?;
        }
        Ok(())
    }

    /// What is to be known when the transaction is committed; if nothing was written, it needn't be.
    pub(super) fn finish(mut self) -> Result<Done, Error> {
        if !self.written.is_empty() {
            self.counters.insert(REVISION, self.revision)?;
        }
        let next_expiry = first_expiry(&self.expiries)?;
        Ok(Done { revision: self.revision, written: self.written, next_expiry })
    }

    fn remove(&mut self, namespace: &str, key: &str) -> Result<(), Error> {
        let before = self.entries.remove((namespace, key))?.map(|entry| Before::of(entry.value()));
        self.forget(namespace, key, before)?;
        self.wrote(namespace, key, None, true);
        Ok(())
    }

    /// Removes what belonged to an entry that is there no more.
    fn forget(&mut self, namespace: &str, key: &str, before: Option<Before>) -> Result<(), Error> {
        let Some(Before { revision, expiry, parts }) = before else { return Ok(()) };
        for part in 0..parts {
            self.parts.remove((revision, part))?;
        }
        if let Some(at) = expiry {
            self.expiries.remove((at, namespace, key))?;
        }
        Ok(())
    }

    fn wrote(&mut self, namespace: &str, key: &str, value: Option<Vec<u8>>, existed: bool) {
        self.revision += 1;
        let written = Written { key: key.to_owned(), revision: self.revision, value, existed };
        self.written.push((namespace.to_owned(), written));
    }

    fn check(&self, namespace: &str, key: &str, expected: Option<u64>) -> Result<Result<(), KvError>, Error> {
        let Some(expected) = expected else { return Ok(Ok(())) };
        let actual = self.revision_of(namespace, key)?;
        let mismatch = || KvError::RevisionMismatch { key: key.to_owned(), expected, actual };
        Ok(if actual == expected { Ok(()) } else { Err(mismatch()) })
    }

    /// 0 if there is none.
    fn revision_of(&self, namespace: &str, key: &str) -> Result<u64, Error> {
        let Some(entry) = self.entries.get((namespace, key))? else { return Ok(0) };
        let (revision, expiry, ..) = entry.value();
        Ok(if is_over(expiry, self.now) { 0 } else { revision })
    }
}
