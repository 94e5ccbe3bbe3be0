//! What the frames of both directions have in common: an id, a way to be written, and what can be wrong with one.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::broken_json::{MAX_DEPTH, is_deeper_than, type_and_id};
use crate::json::{MISSING, boundary};
use crate::{InvalidJson, MAX_NAME_BYTES, read_json};

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
    /// Not an object with a `type`: what it was meant to be can't be told.
    NotAFrame(InvalidJson),
    /// A frame of a known type whose fields are wrong, or that isn't JSON. A request is answered `INVALID_INPUT`, and a reply ends
    /// its request with `INTERNAL`.
    Invalid {
        /// The frame's id, if it has one that can be read.
        id: Option<u64>,
        /// Its type.
        kind: String,
        /// What is wrong with it.
        error: InvalidJson,
    },
    /// A frame of a type that this side does not know. A request is answered `UNIMPLEMENTED`.
    UnknownType {
        /// The frame's id, if it has one that can be read.
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

/// Reads a frame as `T`, the flat sum of all frames of one direction. Only if that fails is it looked at again to find out what
/// it was meant to be.
pub(crate) fn read_flat<'a, T: Deserialize<'a>>(json: &'a [u8], known: &[&str]) -> Result<T, Unreadable> {
    if json.trim_ascii_start().first() != Some(&b'{') {
        // serde would take an array as the fields in order.
        let error = InvalidJson { path: String::new(), message: "expected an object".to_owned() };
        return Err(Unreadable::NotAFrame(error));
    }
    let read = if is_deeper_than(json, MAX_DEPTH) { Err(InvalidJson::too_deep()) } else { read_json::<T>(json) };
    read.map_err(|error| match type_and_id(json) {
        None => Unreadable::NotAFrame(error),
        Some((kind, id)) if !known.contains(&&*kind) => {
            Unreadable::UnknownType { id, kind: shortened(kind.into(), MAX_NAME_BYTES).into_owned() }
        }
        Some((kind, id)) => Unreadable::Invalid { id, kind, error },
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

/// A field whose value has to be an object, if it is there.
pub(crate) fn object<'a>(field: Option<&'a RawValue>, name: &str) -> Result<Option<&'a RawValue>, InvalidJson> {
    match field {
        Some(value) if !value.get().starts_with('{') => {
            Err(InvalidJson { path: name.to_owned(), message: "expected an object".to_owned() })
        }
        field => Ok(field),
    }
}

/// A text that may not be longer than this.
pub(crate) fn at_most<'a>(text: Cow<'a, str>, max: usize, name: &str) -> Result<Cow<'a, str>, InvalidJson> {
    match text.len() {
        bytes if bytes > max => {
            let message = format!("has {bytes} bytes, more than the {max} that it may have");
            Err(InvalidJson { path: name.to_owned(), message })
        }
        _ => Ok(text),
    }
}

/// The beginning of a text, if it is longer than this.
pub(crate) fn shortened(text: Cow<'_, str>, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return text;
    }
    let end = boundary(&text, max);
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}
