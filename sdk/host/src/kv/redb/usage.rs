//! The number of keys and bytes that a namespace holds, and the bytes that count for its quota.

/// How many bytes each key counts for the quota, in addition to its text and its value.
const KEY_OVERHEAD: u64 = 64;

/// The number of keys and bytes that a namespace holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// How many keys it holds, expired ones that were not removed yet included.
    pub(super) keys: u64,
    /// The bytes of keys and values.
    pub(super) bytes: u64,
}

impl Usage {
    /// A usage as its table has it: the number of keys, and that of bytes.
    pub(super) fn of((keys, bytes): (u64, u64)) -> Self {
        Self { keys, bytes }
    }

    /// The bytes that count for the quota. Each key counts extra, since very many small keys take room too.
    pub(super) fn charged(self) -> u64 {
        self.bytes.saturating_add(self.keys.saturating_mul(KEY_OVERHEAD))
    }

    /// Adds a key that has this number of bytes, with its value. Saturates, since the count in a damaged file may be wrong.
    pub(super) fn add(&mut self, bytes: u64) {
        *self = Self { keys: self.keys.saturating_add(1), bytes: self.bytes.saturating_add(bytes) };
    }

    /// Removes a key that has this number of bytes, with its value.
    pub(super) fn subtract(&mut self, bytes: u64) {
        *self = Self { keys: self.keys.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) };
    }
}
