//! The errors of a store, each with a code for modules and a sentence for people.

use std::fmt;
use std::sync::Arc;

use ixt_protocol::code;

/// Why a [`KvStore`](super::KvStore) method failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KvError {
    /// The key is empty.
    EmptyKey,
    /// The key is too long.
    KeyTooLong {
        /// The length of the key, in bytes.
        bytes: usize,
        /// The limit: [`MAX_KEY_BYTES`](super::MAX_KEY_BYTES).
        max: usize,
    },
    /// The value is too long.
    ValueTooLong {
        /// The length of the value, in bytes.
        bytes: usize,
        /// The limit: [`MAX_VALUE_BYTES`](super::MAX_VALUE_BYTES).
        max: usize,
    },
    /// The key does not have the expected revision. Nothing was written or removed.
    RevisionMismatch {
        /// The key.
        key: String,
        /// The expected revision; 0 if the key was expected not to exist.
        expected: u64,
        /// The revision that the key has; 0 if it does not exist.
        actual: u64,
    },
    /// With the value, the namespace would exceed its quota. Nothing was written.
    QuotaExceeded {
        /// How many bytes the namespace uses now, without the new value: those of its keys and values, plus 64 for each
        /// key.
        used: u64,
        /// The quota, in bytes.
        max: u64,
    },
    /// The storage failed or can't be reached, the disk is full, or what was to be read is damaged. A write may have
    /// been made all the same, if only its confirmation failed.
    Storage {
        /// What failed, for people. A [`RedbStore`](super::RedbStore) begins it with the file's path, or with `memory`.
        reason: Arc<str>,
    },
    /// The backup's file could not be written, exists already, or the store has no backups. (If the store can't be
    /// read, it is [`Storage`](Self::Storage).)
    Backup {
        /// The path of the file, and why it could not be written, for people.
        reason: Arc<str>,
    },
    /// The store is closed, or was closed before the request was done.
    Closed,
}

impl KvError {
    /// The error code for a module, one of [`ixt_protocol::code`].
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

    /// Whether the module is told that the same request may succeed later: true for [`Storage`](Self::Storage) alone.
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
