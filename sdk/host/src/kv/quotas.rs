//! Quotas: how many bytes each module may keep in a [`RedbStore`](super::RedbStore). `redb/usage.rs` counts them.

use std::collections::BTreeMap;

/// The quota of a namespace of a store in a file, unless another one is set: 256 MiB.
pub const FILE_QUOTA: u64 = 256 * 1024 * 1024;
/// The quota of a namespace of a store in memory, unless another one is set: 32 MiB.
pub const MEMORY_QUOTA: u64 = 32 * 1024 * 1024;

/// The quotas of the namespaces, in bytes. The bytes of keys and values count, plus 64 for each key; expired keys do not
/// count. A write beyond the quota fails with [`KvError::QuotaExceeded`](super::KvError::QuotaExceeded), unless it takes no
/// more room than the value that it replaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// The quota of each namespace that is not in `namespaces`. With 0 no key can be added; one that exists can be replaced by a value that
    /// is not longer.
    pub each: u64,
    /// The quotas of single namespaces, by their names; one that is not in use has no effect.
    pub namespaces: BTreeMap<String, u64>,
}

impl Quotas {
    /// The same quota for each namespace. `bytes` is for one, not for all together.
    #[must_use]
    pub fn each(bytes: u64) -> Self {
        Self { each: bytes, namespaces: BTreeMap::new() }
    }

    /// The quota of a namespace.
    pub(super) fn of(&self, namespace: &str) -> u64 {
        self.namespaces.get(namespace).copied().unwrap_or(self.each)
    }
}
