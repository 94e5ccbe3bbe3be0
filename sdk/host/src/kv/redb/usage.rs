//! How much a namespace holds, and what it is charged for.

/// What each key is charged for in addition to its text and its value, in bytes.
const KEY_OVERHEAD: u64 = 64;

/// How much a namespace holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) keys: u64,
    /// The bytes of keys and values.
    pub(super) bytes: u64,
}

impl Usage {
    pub(super) fn of((keys, bytes): (u64, u64)) -> Self {
        Self { keys, bytes }
    }

    /// What counts for the quota, in bytes: very many small keys take room too.
    pub(super) fn charged(self) -> u64 {
        self.bytes.saturating_add(self.keys.saturating_mul(KEY_OVERHEAD))
    }

    // Saturating: a wrong count in a damaged file must not panic.
    pub(super) fn add(&mut self, bytes: u64) {
        *self = Self { keys: self.keys.saturating_add(1), bytes: self.bytes.saturating_add(bytes) };
    }

    pub(super) fn subtract(&mut self, bytes: u64) {
        *self = Self { keys: self.keys.saturating_sub(1), bytes: self.bytes.saturating_sub(bytes) };
    }
}
