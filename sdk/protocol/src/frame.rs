//! What the frames of both directions have in common: the id, and why a frame cannot be read.

use std::fmt;

use crate::InvalidJson;

/// A frame: what it says, and the id that ties a reply to its request.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<T> {
    /// The id. The sender of a request chooses it, and the reply to that request has the same one; a `cancel` has the id of the
    /// request that it cancels. `None` in frames that belong to no request, such as `log`, and in all replies of a module that
    /// handles one request at a time and uses no ids. Host and module number their requests independently.
    pub id: Option<u64>,
    /// What the frame says.
    pub body: T,
}

/// Why a frame cannot be read, as far as it can be known: that decides what the receiver can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not an object with one `type` that is a string. What was meant is unknown, so it cannot be answered. A module skips it.
    /// A host ends all requests that the module has with `INTERNAL`, because it could have been the reply to any of them.
    NotAFrame(InvalidJson),
    /// Its type is known, and its fields are wrong or its JSON is broken. If it is a request, the receiver answers `INVALID_INPUT`.
    /// If it is a reply or a response, the request with its id ends with `INTERNAL`. Any other frame is skipped.
    Invalid {
        /// The frame's `id`. `None` if it has none, several, or one that is not an unsigned integer of 64 bits.
        id: Option<u64>,
        /// The frame's `type`.
        kind: String,
        /// What is wrong, with the path of the field. Of a `kv_change` it never quotes a value.
        error: InvalidJson,
    },
    /// Its type is not known to this side. If it has an id, the receiver answers `UNIMPLEMENTED`; a host does so only if none of its
    /// own requests has this id, and otherwise takes it for that request's reply, with a mistake in its type.
    UnknownType {
        /// The frame's `id`. `None` if it has none, several, or one that is not an unsigned integer of 64 bits.
        id: Option<u64>,
        /// The frame's `type`, cut after 256 bytes.
        kind: String,
    },
}

impl Unreadable {
    /// The same error without the values that were found in the fields.
    pub(crate) fn without_values(self) -> Self {
        match self {
            Self::Invalid { id, kind, error } => Self::Invalid { id, kind, error: error.without_value() },
            other => other,
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFrame(error) => write!(f, "not a frame: {error}"),
            Self::Invalid { kind, error, .. } => write!(f, "a `{kind}` frame is wrong: {error}"),
            Self::UnknownType { kind, .. } => write!(f, "frames of type `{kind}` are not known here"),
        }
    }
}

impl std::error::Error for Unreadable {}
