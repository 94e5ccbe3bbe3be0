//! How entries lie in redb's tables, and what is done to them within one transaction.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ::redb::{
    Database, Error, ReadOnlyTable, ReadableDatabase as _, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::cache::Moment;
use super::row::{EntryValue, Row, seal};
use crate::kv::watch::Written;
use crate::kv::{Entry, KvError, MAX_PAGE_KEYS, Page, Quotas, SetOptions};

/// Namespace and key.
pub(super) type EntryKey = (&'static str, &'static str);
/// When it expires in Unix milliseconds, namespace and key: the first of them is the next.
type ExpiryKey = (u64, &'static str, &'static str);

const ENTRIES: TableDefinition<EntryKey, EntryValue> = TableDefinition::new("entries");
/// Large values, by revision and in order. Not beside the keys: redb writes anew, at each change, all that lies in one leaf.
const PARTS: TableDefinition<(u64, u32), &[u8]> = TableDefinition::new("parts");
const EXPIRIES: TableDefinition<ExpiryKey, ()> = TableDefinition::new("expiries");
const COUNTERS: TableDefinition<&str, u64> = TableDefinition::new("counters");
/// How many keys each namespace has, and how many bytes they and their values have. Not in format 1.
const USAGE: TableDefinition<&str, (u64, u64)> = TableDefinition::new("usage");
/// The revision of the last write.
const REVISION: &str = "revision";

/// A value longer than this goes in parts.
pub(super) const INLINE_BYTES: usize = 4 * 1024;
/// How long a part is: with what redb puts beside it, it takes a page of 64 KiB, and not one of twice as much.
const PART_BYTES: usize = 64 * 1024 - 64;
/// What a key takes beside its own text and its value, about.
const KEY_OVERHEAD: u64 = 64;

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

/// How much a namespace holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) keys: u64,
    /// Of keys and values.
    pub(super) bytes: u64,
}

impl Usage {
    fn of((keys, bytes): (u64, u64)) -> Self {
        Self { keys, bytes }
    }

    /// What it is charged for: very many small keys take room too.
    pub(super) fn charged(self) -> u64 {
        self.bytes.saturating_add(self.keys.saturating_mul(KEY_OVERHEAD))
    }

    // A count that is wrong, in a damaged file, is no reason to panic.
    fn add(&mut self, bytes: u64) {
        *self = Self { keys: self.keys.saturating_add(1), bytes: self.bytes.saturating_add(bytes) };
    }

    fn subtract(&mut self, bytes: u64) {
        *self = Self { keys: self.keys.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) };
    }
}

/// What a database that was opened begins with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Beginning {
    pub(super) revision: u64,
    pub(super) next_expiry: Option<u64>,
    /// What all namespaces are charged for.
    pub(super) stored: u64,
}

/// The revision of the last write.
pub(super) fn last_revision(database: &Database) -> Result<u64, Error> {
    let counters = database.begin_read()?.open_table(COUNTERS)?;
    Ok(counters.get(REVISION)?.map_or(0, |revision| revision.value()))
}

/// Reads how much each namespace holds; whether that was counted.
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

/// Creates the tables in a new file, those that an older format lacks too, and reads where an old one was.
pub(super) fn begin(database: &Database) -> Result<Beginning, Error> {
    let mut usages = BTreeMap::new();
    if !read_usages(database, &mut usages)? {
        create(database)?;
        read_usages(database, &mut usages)?;
    }
    let stored = usages.values().fold(0, |stored: u64, usage| stored.saturating_add(usage.charged()));
    let expiries = database.begin_read()?.open_table(EXPIRIES)?;
    Ok(Beginning { revision: last_revision(database)?, next_expiry: first_expiry(&expiries)?, stored })
}

fn create(database: &Database) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    {
        let entries = transaction.open_table(ENTRIES)?;
        let parts = transaction.open_table(PARTS)?;
        transaction.open_table(EXPIRIES)?;
        transaction.open_table(COUNTERS)?;
        let mut usage = transaction.open_table(USAGE)?;
        // Of format 1, which did not count.
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

/// How long a value is. Its parts are equally long, except for the last one.
fn value_bytes(parts: &impl ReadableTable<(u64, u32), &'static [u8]>, row: Row<'_>) -> Result<u64, Error> {
    let part_bytes =
        |part| Ok::<_, Error>(parts.get((row.revision, part))?.map_or(0, |part| part.value().len() as u64));
    Ok(row.inline.len() as u64
        + match row.parts {
            0 => 0,
            1 => part_bytes(0)?,
            number => part_bytes(0)? * u64::from(number - 1) + part_bytes(number - 1)?,
        })
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
    pub(super) entries: ReadOnlyTable<EntryKey, EntryValue>,
    parts: ReadOnlyTable<(u64, u32), &'static [u8]>,
}

impl Snapshot {
    pub(super) fn of(database: &Database, moment: Moment) -> Result<Self, Error> {
        // The tables keep the transaction alive.
        let transaction = database.begin_read()?;
        Ok(Self { moment, entries: transaction.open_table(ENTRIES)?, parts: transaction.open_table(PARTS)? })
    }

    /// An entry as a whole.
    pub(super) fn stored(&self, namespace: &str, key: &str, row: Row<'_>) -> Result<Stored, Error> {
        let mut value = row.inline.to_vec();
        let mut missing = row.parts;
        // If the number of parts is damaged, it may be any.
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

    pub(super) fn get(&self, namespace: &str, key: &str) -> Result<Option<Stored>, Error> {
        let Some(entry) = self.entries.get((namespace, key))? else { return Ok(None) };
        let row = Row::of(entry.value());
        if is_over(row.expiry, now()) {
            return Ok(None);
        }
        self.stored(namespace, key, row).map(Some)
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
    usage: Table<'transaction, &'static str, (u64, u64)>,
    /// Of the namespaces of this transaction, before and after it.
    usages: BTreeMap<String, [Usage; 2]>,
    now: u64,
    revision: u64,
    written: Vec<(String, Written)>,
}

/// What belongs to an entry that is replaced or removed.
#[derive(Clone, Copy)]
struct Before {
    revision: u64,
    expiry: Option<u64>,
    parts: u32,
    /// Of the key and the value.
    bytes: u64,
}

/// What a transaction has done.
pub(super) struct Done {
    /// The revision of the last write, of this transaction or before.
    pub(super) revision: u64,
    /// The writes, with their namespaces.
    pub(super) written: Vec<(String, Written)>,
    pub(super) next_expiry: Option<u64>,
    /// What all namespaces were charged for, of those that were written, and are now.
    pub(super) stored: [u64; 2],
}

impl<'transaction> Tables<'transaction> {
    /// The next write gets the revision behind the given one.
    pub(super) fn open(transaction: &'transaction WriteTransaction, revision: u64) -> Result<Self, Error> {
        Ok(Self {
            entries: transaction.open_table(ENTRIES)?,
            parts: transaction.open_table(PARTS)?,
            expiries: transaction.open_table(EXPIRIES)?,
            counters: transaction.open_table(COUNTERS)?,
            usage: transaction.open_table(USAGE)?,
            usages: BTreeMap::new(),
            now: now(),
            revision,
            written: Vec::new(),
        })
    }

    /// Puts a value in; the revision, unless it has another one than expected, or there is no room for it. Takes the value
    /// if it does.
    pub(super) fn set(
        &mut self,
        namespace: &str,
        key: &str,
        value: &mut Vec<u8>,
        options: SetOptions,
        quotas: &Quotas,
    ) -> Result<Result<u64, KvError>, Error> {
        if let Err(mismatch) = self.check(namespace, key, options.expected_revision)? {
            return Ok(Err(mismatch));
        }
        let bytes = (key.len() + value.len()) as u64;
        if let Err(exceeded) = self.check_quota(namespace, key, bytes, quotas)? {
            return Ok(Err(exceeded));
        }
        let expiry = options.ttl.map(|ttl| expiry(self.now, ttl));
        let revision = self.revision + 1;
        let before = self.before(namespace, key)?;
        // For watchers it was there also if its time is over: they were not told so yet.
        let existed = before.is_some();
        self.forget(namespace, key, before)?;
        self.insert(namespace, key, value, revision, expiry)?;
        self.wrote(namespace, key, Some(std::mem::take(value)), existed);
        Ok(Ok(revision))
    }

    /// Puts in an entry of another store, as it is there. Nobody watches.
    pub(super) fn copy(&mut self, namespace: &str, key: &str, stored: &Stored) -> Result<(), Error> {
        let Stored { entry: Entry { value, revision }, expiry } = stored;
        let before = self.before(namespace, key)?;
        self.forget(namespace, key, before)?;
        self.insert(namespace, key, value, *revision, *expiry)?;
        self.revision = self.revision.max(*revision);
        Ok(())
    }

    fn insert(
        &mut self,
        namespace: &str,
        key: &str,
        value: &[u8],
        revision: u64,
        expiry: Option<u64>,
    ) -> Result<(), Error> {
        let (inline, in_parts) = if value.len() > INLINE_BYTES { (&[][..], value) } else { (value, &[][..]) };
        let mut parts = 0;
        for part in in_parts.chunks(PART_BYTES) {
            self.parts.insert((revision, parts), part)?;
            parts += 1;
        }
        let (checksum, parts) = seal(namespace, key, (revision, expiry, parts), value);
        let inline = [inline, &checksum].concat();
        self.entries.insert((namespace, key), (revision, expiry, parts, inline.as_slice()))?;
        if let Some(at) = expiry {
            self.expiries.insert((at, namespace, key), ())?;
        }
        self.usage(namespace)?.add((key.len() + value.len()) as u64);
        Ok(())
    }

    /// Whether there is room for so many bytes of a key and its value. What takes no more than before always has it.
    fn check_quota(
        &mut self,
        namespace: &str,
        key: &str,
        bytes: u64,
        quotas: &Quotas,
    ) -> Result<Result<(), KvError>, Error> {
        let max = quotas.of(namespace);
        loop {
            let before = self.before(namespace, key)?;
            let used = *self.usage(namespace)?;
            let mut with_it = used;
            if let Some(before) = before {
                with_it.subtract(before.bytes);
            }
            with_it.add(bytes);
            if with_it.charged() <= max || with_it.charged() <= used.charged() {
                return Ok(Ok(()));
            }
            // What has expired is to take no room, also if it is not its turn yet.
            if self.expire()? == 0 {
                return Ok(Err(KvError::QuotaExceeded { used: used.charged(), max }));
            }
        }
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

    /// Removes keys the time of which is over, if not all then the first; how many.
    pub(super) fn expire(&mut self) -> Result<usize, Error> {
        for expired in 0..EXPIRED_AT_ONCE {
            let Some((at, _)) = self.expiries.first()? else { return Ok(expired) };
            let (expiry, namespace, key) = at.value();
            if !is_over(Some(expiry), self.now) {
                return Ok(expired);
            }
            let (namespace, key) = (namespace.to_owned(), key.to_owned());
            drop(at);
            self.expiries.remove((expiry, namespace.as_str(), key.as_str()))?;
            self.remove(&namespace, &key)?;
        }
        Ok(EXPIRED_AT_ONCE)
    }

    /// What is to be known when the transaction is committed; if nothing was written, it needn't be.
    pub(super) fn finish(mut self) -> Result<Done, Error> {
        let mut stored = [0; 2];
        for (namespace, [before, now]) in &self.usages {
            stored = [stored[0] + before.charged(), stored[1] + now.charged()];
            match now {
                Usage { keys: 0, .. } => self.usage.remove(namespace.as_str())?,
                Usage { keys, bytes } => self.usage.insert(namespace.as_str(), (*keys, *bytes))?,
            };
        }
        if self.counters.get(REVISION)?.is_none_or(|last| last.value() < self.revision) {
            self.counters.insert(REVISION, self.revision)?;
        }
        let next_expiry = first_expiry(&self.expiries)?;
        Ok(Done { revision: self.revision, written: self.written, next_expiry, stored })
    }

    fn remove(&mut self, namespace: &str, key: &str) -> Result<(), Error> {
        let before = self.before(namespace, key)?;
        self.entries.remove((namespace, key))?;
        self.forget(namespace, key, before)?;
        self.wrote(namespace, key, None, true);
        Ok(())
    }

    /// What is there now.
    fn before(&self, namespace: &str, key: &str) -> Result<Option<Before>, Error> {
        let Some(entry) = self.entries.get((namespace, key))? else { return Ok(None) };
        let row = Row::of(entry.value());
        let bytes = key.len() as u64 + value_bytes(&self.parts, row)?;
        Ok(Some(Before { revision: row.revision, expiry: row.expiry, parts: row.parts, bytes }))
    }

    /// Removes what belongs to an entry that is there no more, or is about to be replaced.
    fn forget(&mut self, namespace: &str, key: &str, before: Option<Before>) -> Result<(), Error> {
        let Some(Before { revision, expiry, parts, bytes }) = before else { return Ok(()) };
        for part in 0..parts {
            // In a damaged file there may be fewer than it says.
            if self.parts.remove((revision, part))?.is_none() {
                break;
            }
        }
        if let Some(at) = expiry {
            self.expiries.remove((at, namespace, key))?;
        }
        self.usage(namespace)?.subtract(bytes);
        Ok(())
    }

    /// How much a namespace holds by now.
    fn usage(&mut self, namespace: &str) -> Result<&mut Usage, Error> {
        if !self.usages.contains_key(namespace) {
            let before = self.usage.get(namespace)?.map_or_else(Usage::default, |usage| Usage::of(usage.value()));
            self.usages.insert(namespace.to_owned(), [before; 2]);
        }
        let [_, now] = self.usages.entry(namespace.to_owned()).or_default();
        Ok(now)
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
