//! A stored value with its revision, and a change of one, as [`Kv`](crate::Kv) and [`Watch`](crate::kv::Watch) return them.

use ixt_protocol::{InvalidJson, read_json};
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// A stored value with its revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value; may be empty.
    pub value: Vec<u8>,
    /// The revision: a number above 0 that each write of the key changes. Use it with `expected_revision`. Compare revisions for equality
    /// only: their order means nothing.
    pub revision: u64,
}

impl Entry {
    /// Reads the value as JSON.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it is not JSON of this type; the message does not quote the value. Not `INVALID_INPUT`: the module has written the
    /// value, not the caller of its service.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<T> {
        stored_json(&self.value)
    }
}

/// A change of a key: it was written, deleted, or has expired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: String,
    /// The revision that the change has made; see [`Entry::revision`](crate::kv::Entry::revision). A removal and an expiry have one too.
    pub revision: u64,
    /// The new value; `None` if the key was deleted or has expired.
    pub value: Option<Vec<u8>>,
}

impl Change {
    /// Reads the new value as JSON; `None` if the key was deleted or has expired.
    ///
    /// # Errors
    ///
    /// `INTERNAL` if it is not JSON of this type, as for [`Entry::to_json`](crate::kv::Entry::to_json).
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        self.value.as_deref().map(stored_json).transpose()
    }
}

/// Reads a stored value as JSON. The error names the place of the mistake, but does not quote the value.
fn stored_json<T: DeserializeOwned>(value: &[u8]) -> Result<T> {
    let wrong = |invalid: InvalidJson| format!("the stored value is wrong: {}", invalid.without_value());
    read_json(value).map_err(|invalid| Error::internal(wrong(invalid)))
}
