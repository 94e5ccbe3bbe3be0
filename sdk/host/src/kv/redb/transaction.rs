//! The changes that can be made within one write transaction. Each also changes the parts of the value, the expiries, the revision and the
//! usage of the namespace.

use std::collections::BTreeMap;

use ::redb::{Error, ReadableTable, Table, WriteTransaction};

use super::expiry::{expiry, is_over, now};
use super::row::{EntryValue, Row, seal};
use super::snapshot::Stored;
use super::tables::{
    self, ENTRIES, EXPIRIES, EntryKey, ExpiryKey, INLINE_BYTES, PARTS, StoreState, first_expiry, value_bytes,
};
use super::usage::Usage;
use crate::kv::watchers::Written;
use crate::kv::{Entry, KvError, Quotas, SetOptions};

/// The length of a part of a value, in bytes: with redb's overhead it fits in a page of 64 KiB, and does not need one of
/// twice that size.
const PART_BYTES: usize = 64 * 1024 - 64;
/// How many expired keys one call of `expire` removes at most, so that writes do not wait long for that.
const EXPIRED_AT_ONCE: usize = 1000;

/// The tables of a write transaction, and what it changes in the state of the store.
pub(super) struct WriteTables<'transaction> {
    transaction: &'transaction WriteTransaction,
    entries: Table<'transaction, EntryKey, EntryValue>,
    parts: Table<'transaction, (u64, u32), &'static [u8]>,
    expiries: Table<'transaction, ExpiryKey, ()>,
    /// The state before the transaction.
    before: &'transaction StoreState,
    /// The usage of each namespace that this transaction may have changed.
    usages: BTreeMap<String, Usage>,
    /// The time of the current write, in Unix milliseconds. A transaction is open for a while, in which keys expire.
    now: u64,
    /// The revision of the last change.
    revision: u64,
    /// The changes of this transaction, with their namespaces.
    written: Vec<(String, Written)>,
}

/// An entry that is about to be replaced or removed.
#[derive(Clone, Copy)]
struct ReplacedEntry {
    revision: u64,
    expiry: Option<u64>,
    parts: u32,
    /// The bytes of its key and value.
    bytes: u64,
}

impl ReplacedEntry {
    /// The entry of this key, as its table has it.
    fn of(
        key: &str,
        entry: (u64, Option<u64>, u32, &[u8]),
        parts: &impl ReadableTable<(u64, u32), &'static [u8]>,
    ) -> Result<Self, Error> {
        let row = Row::of(entry);
        let bytes = key.len() as u64 + value_bytes(parts, row)?;
        Ok(Self { revision: row.revision, expiry: row.expiry, parts: row.parts, bytes })
    }
}

/// The outcome of a transaction.
pub(super) struct TransactionOutcome {
    /// The changes of this transaction, with their namespaces.
    pub(super) written: Vec<(String, Written)>,
    /// The revision of the last change, in this transaction or before.
    pub(super) revision: u64,
    next_expiry: Option<u64>,
    usages: BTreeMap<String, Usage>,
    reserved: Option<u64>,
}

impl TransactionOutcome {
    /// Makes the state that of the store after the transaction was committed.
    pub(super) fn apply(self, state: &mut StoreState) {
        state.revision = self.revision;
        state.next_expiry = self.next_expiry;
        state.reserved = self.reserved;
        for (namespace, usage) in self.usages {
            state.set_usage(namespace, usage);
        }
    }
}

impl<'transaction> WriteTables<'transaction> {
    /// Opens the tables. `before` is the state of the store.
    pub(super) fn open(
        transaction: &'transaction WriteTransaction,
        before: &'transaction StoreState,
    ) -> Result<Self, Error> {
        Ok(Self {
            transaction,
            entries: transaction.open_table(ENTRIES)?,
            parts: transaction.open_table(PARTS)?,
            expiries: transaction.open_table(EXPIRIES)?,
            before,
            usages: BTreeMap::new(),
            now: now(),
            revision: before.revision,
            written: Vec::new(),
        })
    }

    /// Writes a value, which is taken out of `value`, and returns the revision. The inner error is for the store's
    /// caller: another revision was expected, or the quota is exceeded; then nothing was written. The outer error is
    /// one of redb.
    pub(super) fn set(
        &mut self,
        namespace: &str,
        key: &str,
        value: &mut Vec<u8>,
        options: SetOptions,
        quotas: &Quotas,
    ) -> Result<Result<u64, KvError>, Error> {
        self.read_clock();
        if let Err(mismatch) = self.check(namespace, key, options.expected_revision)? {
            return Ok(Err(mismatch));
        }
        let bytes = (key.len() + value.len()) as u64;
        if let Err(exceeded) = self.check_quota(namespace, key, bytes, quotas)? {
            return Ok(Err(exceeded));
        }
        let expiry = options.ttl.map(|ttl| expiry(self.now, ttl));
        let revision = self.revision + 1;
        // For watches the key exists even if it has expired: they did not get the expiry yet.
        let existed = self.insert(namespace, key, value, revision, expiry)?;
        self.wrote(namespace, key, Some(std::mem::take(value)), existed);
        Ok(Ok(revision))
    }

    /// Inserts an entry of another store, with its revision and expiry. It is not a change for watches.
    pub(super) fn copy(&mut self, namespace: &str, key: &str, stored: &Stored) -> Result<(), Error> {
        let Stored { entry: Entry { value, revision }, expiry } = stored;
        // It may have parts of the same revision, so they are removed before.
        self.remove_entry(namespace, key)?;
        self.insert(namespace, key, value, *revision, *expiry)?;
        self.revision = self.revision.max(*revision);
        Ok(())
    }

    /// Writes an entry and its parts in place of an earlier one, whose revision must be another one. Returns whether there was one.
    fn insert(
        &mut self,
        namespace: &str,
        key: &str,
        value: &[u8],
        revision: u64,
        expiry: Option<u64>,
    ) -> Result<bool, Error> {
        let (inline, in_parts) = if value.len() > INLINE_BYTES { (&[][..], value) } else { (value, &[][..]) };
        let mut parts = 0;
        for part in in_parts.chunks(PART_BYTES) {
            self.parts.insert((revision, parts), part)?;
            parts += 1;
        }
        let (checksum, parts) = seal(namespace, key, (revision, expiry, parts), value);
        let inline = [inline, &checksum].concat();
        // What it replaces is not looked up before: each step through the tree takes as long as the insertion.
        let replaced = self.entries.insert((namespace, key), (revision, expiry, parts, inline.as_slice()))?;
        let replaced = replaced.map(|entry| ReplacedEntry::of(key, entry.value(), &self.parts)).transpose()?;
        let existed = replaced.is_some();
        self.forget(namespace, key, replaced)?;
        if let Some(at) = expiry {
            self.expiries.insert((at, namespace, key), ())?;
        }
        self.usage(namespace).add((key.len() + value.len()) as u64);
        Ok(existed)
    }

    /// Checks that a key and its value, together of `bytes`, fit in the quota. Removes expired keys of all namespaces if they do not. A
    /// value that takes no more room than the one that it replaces always fits.
    fn check_quota(
        &mut self,
        namespace: &str,
        key: &str,
        bytes: u64,
        quotas: &Quotas,
    ) -> Result<Result<(), KvError>, Error> {
        let max = quotas.of(namespace);
        let mut beside_all = *self.usage(namespace);
        beside_all.add(bytes);
        if beside_all.charged() <= max {
            // It fits even if it replaces nothing.
            return Ok(Ok(()));
        }
        loop {
            let before = self.before(namespace, key)?;
            let used = *self.usage(namespace);
            let mut with_it = used;
            if let Some(before) = before {
                with_it.subtract(before.bytes);
            }
            with_it.add(bytes);
            if with_it.charged() <= max || with_it.charged() <= used.charged() {
                return Ok(Ok(()));
            }
            // Expired keys that were not removed yet must not count.
            if self.expire()? == 0 {
                return Ok(Err(KvError::QuotaExceeded { used: used.charged(), max }));
            }
        }
    }

    /// Removes a key. Returns the revision of the removal, or 0 if the key did not exist. The errors are as for
    /// [`set`](Self::set).
    pub(super) fn delete(
        &mut self,
        namespace: &str,
        key: &str,
        expected: Option<u64>,
    ) -> Result<Result<u64, KvError>, Error> {
        self.read_clock();
        if let Err(mismatch) = self.check(namespace, key, expected)? {
            return Ok(Err(mismatch));
        }
        // An expired key does not exist; `expire` removes it.
        if self.revision_of(namespace, key)? == 0 {
            return Ok(Ok(0));
        }
        self.remove(namespace, key)?;
        Ok(Ok(self.revision))
    }

    /// Removes up to [`EXPIRED_AT_ONCE`] expired keys, the earliest first, and returns how many.
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

    /// Ends the changes. If `written` of the outcome is empty, the transaction need not be committed.
    pub(super) fn finish(self) -> Result<TransactionOutcome, Error> {
        let mut reserved = self.before.reserved;
        if self.revision > self.before.revision && reserved.is_none_or(|reserved| reserved < self.revision) {
            reserved = Some(tables::reserve(self.transaction, self.revision)?);
        }
        let next_expiry = first_expiry(&self.expiries)?;
        let Self { written, revision, usages, .. } = self;
        Ok(TransactionOutcome { written, revision, next_expiry, usages, reserved })
    }

    /// Begins the next write. For those of one transaction the time never goes back, even if the clock is set.
    fn read_clock(&mut self) {
        self.now = self.now.max(now());
    }

    /// Removes a key, expired or not, and records the change. In a damaged file there may be no such key.
    fn remove(&mut self, namespace: &str, key: &str) -> Result<(), Error> {
        let existed = self.remove_entry(namespace, key)?;
        self.wrote(namespace, key, None, existed);
        Ok(())
    }

    /// Removes a key, expired or not. Returns whether there was one.
    fn remove_entry(&mut self, namespace: &str, key: &str) -> Result<bool, Error> {
        let removed = self.entries.remove((namespace, key))?;
        let removed = removed.map(|entry| ReplacedEntry::of(key, entry.value(), &self.parts)).transpose()?;
        let existed = removed.is_some();
        self.forget(namespace, key, removed)?;
        Ok(existed)
    }

    /// The entry that a key has now, expired or not.
    fn before(&self, namespace: &str, key: &str) -> Result<Option<ReplacedEntry>, Error> {
        self.entries.get((namespace, key))?.map(|entry| ReplacedEntry::of(key, entry.value(), &self.parts)).transpose()
    }

    /// Removes the parts, the expiry and the usage of an entry that was removed or is about to be replaced.
    fn forget(&mut self, namespace: &str, key: &str, before: Option<ReplacedEntry>) -> Result<(), Error> {
        let Some(ReplacedEntry { revision, expiry, parts, bytes }) = before else { return Ok(()) };
        for part in 0..parts {
            // The number of parts may be damaged.
            if self.parts.remove((revision, part))?.is_none() {
                break;
            }
        }
        if let Some(at) = expiry {
            self.expiries.remove((at, namespace, key))?;
        }
        self.usage(namespace).subtract(bytes);
        Ok(())
    }

    /// The usage of a namespace at this point of the transaction.
    fn usage(&mut self, namespace: &str) -> &mut Usage {
        if !self.usages.contains_key(namespace) {
            self.usages.insert(namespace.to_owned(), self.before.usage(namespace));
        }
        self.usages.get_mut(namespace).expect("it was just inserted")
    }

    /// Records a change with the next revision.
    fn wrote(&mut self, namespace: &str, key: &str, value: Option<Vec<u8>>, existed: bool) {
        self.revision += 1;
        let written = Written { key: key.to_owned(), revision: self.revision, value, existed };
        self.written.push((namespace.to_owned(), written));
    }

    /// Checks that a key has the expected revision, if one is expected.
    fn check(&self, namespace: &str, key: &str, expected: Option<u64>) -> Result<Result<(), KvError>, Error> {
        let Some(expected) = expected else { return Ok(Ok(())) };
        let actual = self.revision_of(namespace, key)?;
        let mismatch = || KvError::RevisionMismatch { key: key.to_owned(), expected, actual };
        Ok(if actual == expected { Ok(()) } else { Err(mismatch()) })
    }

    /// The revision of a key; 0 if it does not exist or has expired.
    fn revision_of(&self, namespace: &str, key: &str) -> Result<u64, Error> {
        let Some(entry) = self.entries.get((namespace, key))? else { return Ok(0) };
        let (revision, expiry, ..) = entry.value();
        Ok(if is_over(expiry, self.now) { 0 } else { revision })
    }
}
