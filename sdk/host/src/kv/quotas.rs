//! How many bytes each module may keep in the store.

use std::collections::BTreeMap;

/// The default quota of a namespace in a file: 256 MiB.
pub const FILE_QUOTA: u64 = 256 * 1024 * 1024;
/// The default quota of a namespace in memory: 32 MiB.
pub const MEMORY_QUOTA: u64 = 32 * 1024 * 1024;

/// The quotas of the namespaces, in bytes of keys and values, plus 64 for each key. A write beyond its quota fails with
/// [`KvError::QuotaExceeded`](super::KvError::QuotaExceeded), unless it takes no more room than what it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// The quota of a namespace that has none of its own.
    pub each: u64,
    /// Quotas of single namespaces.
    pub namespaces: BTreeMap<String, u64>,
}

impl Quotas {
    /// The same quota for all namespaces.
    #[must_use]
    pub fn each(bytes: u64) -> Self {
        Self { each: bytes, namespaces: BTreeMap::new() }
    }

    pub(super) fn of(&self, namespace: &str) -> u64 {
        self.namespaces.get(namespace).copied().unwrap_or(self.each)
    }
}
