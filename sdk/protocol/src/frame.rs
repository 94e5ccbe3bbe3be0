//! What the frames of both directions have in common: the id, and why a frame cannot be read.

use std::fmt;

use crate::InvalidJson;

/// A frame: what it says, and the id by which a reply finds its request.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<T> {
    /// The id. The side that sends a request chooses it, and the reply repeats it. `None` in frames that have no reply and are
    /// none, and in all frames of a module that handles one request at a time and uses no ids.
    pub id: Option<u64>,
    /// What the frame says.
    pub body: T,
}

/// Why a frame cannot be read, and what can be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not an object with one `type` that is a string, so that nobody can know what was meant. It cannot be answered.
    NotAFrame(InvalidJson),
    /// Its type is known, and its fields are wrong or its JSON is broken. A request is answered `INVALID_INPUT`; a reply ends its
    /// request with `INTERNAL`.
    Invalid {
        /// The frame's `id`. `None` if it has none, several, or one that is not an unsigned integer of 64 bits.
        id: Option<u64>,
        /// The frame's `type`.
        kind: String,
        /// What is wrong, with the path of the field.
        error: InvalidJson,
    },
    /// Its type is not known to this side. It is answered `UNIMPLEMENTED` if it has an id.
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
