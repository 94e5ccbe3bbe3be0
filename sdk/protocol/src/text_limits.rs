//! Limits of the strings in frames. A string over its limit is either refused, or cut where refusing the frame would lose what
//! has happened.

use std::borrow::Cow;

use crate::InvalidJson;
use crate::json::boundary;

/// The text in the field `path`.
///
/// # Errors
///
/// If it has more than `max` bytes.
pub(crate) fn at_most<'a>(text: Cow<'a, str>, max: usize, path: &str) -> Result<Cow<'a, str>, InvalidJson> {
    match text.len() {
        bytes if bytes > max => {
            Err(InvalidJson::at(path, format!("has {bytes} bytes, more than the {max} that it may have")))
        }
        _ => Ok(text),
    }
}

/// The text in the field `path`, which must be there and not empty.
///
/// # Errors
///
/// If it is empty, or has more than `max` bytes.
pub(crate) fn required_at_most<'a>(text: Cow<'a, str>, max: usize, path: &str) -> Result<Cow<'a, str>, InvalidJson> {
    if text.is_empty() { Err(InvalidJson::missing(path)) } else { at_most(text, max, path) }
}

/// The text, or its first `max` bytes: one less than that, or two or three, if the cut would split a character.
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
