//! How much each module may keep.

use std::collections::BTreeMap;

/// What a namespace may hold in a file, unless something else is said.
pub const FILE_QUOTA: u64 = 256 * 1024 * 1024;
/// What it may hold in memory.
pub const MEMORY_QUOTA: u64 = 32 * 1024 * 1024;

/// How much each namespace may hold: bytes of keys and values, and 64 for each key. A write beyond that fails with
/// [`KvError::QuotaExceeded`](super::KvError::QuotaExceeded); one that takes no more room than what it replaces does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// One of which nothing else is said.
    pub each: u64,
    /// Others.
    pub namespaces: BTreeMap<String, u64>,
}

impl Quotas {
    /// The same for all.
    #[must_use]
    pub fn each(bytes: u64) -> Self {
        Self { each: bytes, namespaces: BTreeMap::new() }
    }

    pub(super) fn of(&self, namespace: &str) -> u64 {
        self.namespaces.get(namespace).copied().unwrap_or(self.each)
    }
}
