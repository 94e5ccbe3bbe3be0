//! What the frames of both directions have in common: an id, a way to be written, and what can be wrong with one.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;

use crate::json::MISSING;
use crate::{InvalidJson, read_json};

/// A frame: what it says, and the id by which a reply finds its request.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame<T> {
    /// Chosen by whoever asks, repeated by whoever answers. A module that answers one request at a time may leave it
    /// out.
    pub id: Option<u64>,
    /// What the frame says.
    pub body: T,
}

/// JSON that is not a frame this side can work with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Not an object with a `type` and a usable `id`: there is nobody to answer, so it is only logged.
    NotAFrame(InvalidJson),
    /// A frame of a known type whose fields are wrong. A request is answered `INVALID_INPUT`.
    Invalid {
        /// The frame's id.
        id: Option<u64>,
        /// Its type.
        kind: String,
        /// What is wrong with it.
        error: InvalidJson,
    },
    /// A frame of a type that this side does not know. A request is answered `UNIMPLEMENTED`.
    UnknownType {
        /// The frame's id.
        id: Option<u64>,
        /// Its type.
        kind: String,
    },
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

/// The two fields that every frame has.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    id: Option<u64>,
}

/// Reads a frame as `T`, the flat sum of all frames of one direction. Only if that fails is it read again to find out
/// what it was meant to be.
pub(crate) fn read_flat<'a, T: Deserialize<'a>>(json: &'a [u8], known: &[&str]) -> Result<T, Unreadable> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        // serde would take an array as the fields in order.
        let error = InvalidJson { path: String::new(), message: "expected an object".to_owned() };
        return Err(Unreadable::NotAFrame(error));
    }
    read_json::<T>(json).map_err(|error| match read_json::<Head<'_>>(json) {
        Err(error) => Unreadable::NotAFrame(error),
        Ok(head) if !known.contains(&&*head.kind) => {
            Unreadable::UnknownType { id: head.id, kind: head.kind.into_owned() }
        }
        Ok(head) => Unreadable::Invalid { id: head.id, kind: head.kind.into_owned(), error },
    })
}

/// A field that this type of frame must have.
pub(crate) fn required<T>(field: Option<T>, name: &str, id: Option<u64>, kind: &str) -> Result<T, Unreadable> {
    field.ok_or_else(|| invalid(id, kind)(InvalidJson { path: name.to_owned(), message: MISSING.to_owned() }))
}

/// What is wrong with a frame of this type.
pub(crate) fn invalid(id: Option<u64>, kind: &str) -> impl Fn(InvalidJson) -> Unreadable {
    move |error| Unreadable::Invalid { id, kind: kind.to_owned(), error }
}
