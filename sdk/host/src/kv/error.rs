//! Why the store did not do what it was asked for, for a module (a code) and for people (a sentence).

use std::fmt;
use std::sync::Arc;

use ixt_protocol::code;

/// Why a [`KvStore`](super::KvStore) did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvError {
    /// The key has no characters.
    EmptyKey,
    /// The key is too long.
    KeyTooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The value is too long.
    ValueTooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// The key has another revision than the one that was expected. Nothing was written.
    RevisionMismatch {
        /// The key.
        key: String,
        /// The revision that was expected; 0 for no key.
        expected: u64,
        /// The revision that it has; 0 if there is no such key.
        actual: u64,
    },
    /// With the value the namespace would hold more than it may. Nothing was written.
    QuotaExceeded {
        /// What it holds: the bytes of its keys and values, and 64 more for each key.
        used: u64,
        /// What it may hold.
        max: u64,
    },
    /// The disk, or what stands in for it, failed, or is full. A write may have been done nonetheless, if only what
    /// would have confirmed it failed.
    Storage {
        /// What failed, and where.
        reason: Arc<str>,
    },
    /// There is no backup.
    Backup {
        /// Where, and why not.
        reason: Arc<str>,
    },
    /// The store was closed.
    Closed,
}

impl KvError {
    /// The code for the answer to the module, one of [`ixt_protocol::code`].
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::EmptyKey | Self::KeyTooLong { .. } | Self::ValueTooLong { .. } => code::INVALID_INPUT,
            Self::RevisionMismatch { .. } => code::ABORTED,
            Self::QuotaExceeded { .. } => code::RESOURCE_EXHAUSTED,
            Self::Backup { .. } => code::FAILED_PRECONDITION,
            Self::Storage { .. } | Self::Closed => code::UNAVAILABLE,
        }
    }

    /// Whether the same request may succeed later, with nothing changed in it.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self, Self::Storage { .. })
    }
}

impl fmt::Display for KvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyKey => f.write_str("the key is empty: it needs at least one character"),
            Self::KeyTooLong { bytes, max } => {
                write!(f, "the key has {bytes} bytes, more than the {max} that a key may have")
            }
            Self::ValueTooLong { bytes, max } => {
                write!(f, "the value has {bytes} bytes, more than the {max} that a value may have: split it")
            }
            Self::RevisionMismatch { key, expected: 0, actual } => {
                write!(f, "the key `{key}` exists, with revision {actual}, but was expected not to")
            }
            Self::RevisionMismatch { key, expected, actual: 0 } => {
                write!(f, "the key `{key}` was expected to have revision {expected}, but there is no such key")
            }
            Self::RevisionMismatch { key, expected, actual } => {
                write!(f, "the key `{key}` has revision {actual}, not {expected}: it was written since; read it again")
            }
            Self::QuotaExceeded { used, max } => write!(
                f,
                "there is no room for the value: the module's keys and values have {used} bytes (64 of them for each key), \
                 and may have {max}: delete some of them, or raise `kv_quota` in the host's configuration"
            ),
            Self::Storage { reason } => write!(f, "the store of keys and values failed: {reason}"),
            Self::Backup { reason } => write!(f, "can't write a backup to {reason}"),
            Self::Closed => f.write_str("the store of keys and values is closed: the host is going away"),
        }
    }
}

impl std::error::Error for KvError {}
