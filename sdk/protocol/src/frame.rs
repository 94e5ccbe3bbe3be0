//! What the frames of both directions have in common: the id, and the reasons why a frame can't be read.

use std::fmt;

use crate::InvalidJson;

/// A frame: its id, which ties a reply to its request, and the rest of it, its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<T> {
    /// The id. The sender of a request chooses it, and the reply or response to that request has the same one; a `cancel` has the
    /// id of the request that it cancels. `None` in frames that belong to no request, such as `log`, in the replies of a module
    /// that uses no ids, and in service requests that can't be cancelled. Host and module number their requests independently of
    /// each other. Reading checks that it is an unsigned integer of 64 bits, and reads `null` as `None`; it does not check that a
    /// frame of this type has one.
    pub id: Option<u64>,
    /// The type of the frame and its other fields: a [`HostFrame`](crate::HostFrame) or a [`ModuleFrame`](crate::ModuleFrame).
    pub body: T,
}

/// Why a frame can't be read. The variant decides whether and how the receiver answers; PROTOCOL.md, "Errors", has the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not an object with exactly one `type` that is a string. What the sender meant is unknown, so the receiver can't
    /// answer. A module logs it and skips it. For a host it could have been the reply to any request that the module has, so all of
    /// these end with `INTERNAL`. The host also ends the process of a module that uses no ids. Before the reply to `init`, the
    /// start fails.
    NotAFrame(InvalidJson),
    /// Its type is known, and its fields are wrong, its JSON is broken, or it is nested too deeply. If it is a request, the
    /// receiver answers `INVALID_INPUT`; a module skips one without an id, other than `init`. If it is a reply or a response, the
    /// request with its id ends with `INTERNAL`; it is skipped if there is no such request. A reply without an id ends the request
    /// that a module without ids has, or all requests of a module that uses ids. If it is the reply to `init`, the start fails. Any
    /// other frame is skipped.
    Invalid {
        /// The frame's `id`. `None` if it has none, several, or one that is not an unsigned integer of 64 bits.
        id: Option<u64>,
        /// The frame's `type`, one that this side knows.
        kind: String,
        /// What is wrong, with the path of the field. It may quote the wrong value, which may be secret, but not that of a
        /// `kv_change`.
        error: InvalidJson,
    },
    /// This side does not know its type. If it has an id, the receiver answers `UNIMPLEMENTED`. But if a request of the host has
    /// this id, the host takes the frame for the reply to that request, with a slip in its type, and ends the request with
    /// `INTERNAL`. Without an id a module skips it. A host skips it if the module uses ids, and otherwise does as with
    /// [`Self::NotAFrame`]. Before the reply to `init`, with or without an id, the start fails.
    UnknownType {
        /// The frame's `id`. `None` if it has none, several, or one that is not an unsigned integer of 64 bits.
        id: Option<u64>,
        /// The frame's `type`, cut after 256 bytes, between two characters.
        kind: String,
    },
}

impl Unreadable {
    /// The same error without the wrong values, which may be secret. Changes only [`Self::Invalid`]; see
    /// [`InvalidJson::without_value`].
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
