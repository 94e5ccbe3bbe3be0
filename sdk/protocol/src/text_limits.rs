//! Checks the limits of the strings in frames of a module, when they are read; the limits themselves are constants in `lib.rs`. A
//! frame with a name over its limit is refused. A text that says what has happened, such as the message of an error, is cut
//! instead, so that it is not lost.

use std::borrow::Cow;

use crate::InvalidJson;
use crate::json::boundary;

/// Returns the text of the field `path` unchanged.
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

/// Returns the text of the field `path` unchanged. An absent field counts as an empty text.
///
/// # Errors
///
/// If it is empty, or has more than `max` bytes.
pub(crate) fn required_at_most<'a>(text: Cow<'a, str>, max: usize, path: &str) -> Result<Cow<'a, str>, InvalidJson> {
    if text.is_empty() { Err(InvalidJson::missing(path)) } else { at_most(text, max, path) }
}

/// Returns the text, or its first `max` bytes if it is longer: up to three bytes less if the cut would split a character. Adds no
/// mark that it was cut.
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
