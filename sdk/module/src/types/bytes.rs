//! The manifest's type `bytes` in Rust.

use std::fmt;
use std::ops::Deref;

use ixt_protocol::{deserialize_base64, serialize_base64};
use serde::{Deserialize, Serialize};

/// A value of the manifest's type `bytes`: base64 text in JSON (RFC 4648, padded), bytes in Rust. May be empty. It has no limit but those
/// of the manifest and of a frame.
///
/// In a declared response that is a record, the first field of this type (or of a newtype of it) with at least 64 bytes is sent raw,
/// without base64, if the host and the module have negotiated that. "First" is by key, and fields within other values don't count. In a
/// [`Response`](crate::Response), [`with_bytes`](crate::Response::with_bytes) does that. Its `Debug` shows the size only.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Bytes(Vec<u8>);

impl Bytes {
    /// Takes the bytes out, without a copy.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<Bytes> for Vec<u8> {
    fn from(bytes: Bytes) -> Self {
        bytes.0
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl<const N: usize> From<&[u8; N]> for Bytes {
    fn from(bytes: &[u8; N]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({} bytes)", self.0.len())
    }
}

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serialize_base64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        deserialize_base64(deserializer)
    }
}
