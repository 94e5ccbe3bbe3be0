//! Reads JSON by serde, so that an error names the path of the key where the mistake is. Frames, configurations and payloads
//! are all read by [`read_json`].

use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;

/// Why JSON could not be read: it is not JSON, or not of the type that was expected. Displays as `` `path`: message``.
///
/// The message may quote the value that was found; [`without_value`](Self::without_value) removes it. Path and message have at
/// most 1024 bytes and an ellipsis each: of a longer text the beginning and the end are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidJson {
    /// Where the mistake is: keys joined by dots, list indices in brackets, as in `items[1].name`. Empty for the value as a whole. Of
    /// text that is not JSON it is the value that was being read, and the message has line and column.
    pub path: String,
    /// What is wrong there, such as `missing` or `invalid type: string "two", expected u32`.
    pub message: String,
}

impl InvalidJson {
    /// An error with this message at this path.
    pub(crate) fn at(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into() }
    }

    /// The error of a key that must be there and is not: `missing`, at the key's path.
    #[must_use]
    pub fn missing(path: &str) -> Self {
        Self::at(path, MISSING)
    }

    /// The error of lists and objects that are nested deeper than 127 levels.
    pub(crate) fn too_deep() -> Self {
        Self::at("", TOO_DEEP)
    }

    /// The same error without the value that was found, for values that may be secret. Of a message with `, expected `, only that
    /// and what follows stays; of one that begins with `not `, the part before the first colon. Any other message stays as it is.
    #[must_use]
    pub fn without_value(mut self) -> Self {
        if let Some(expected) = self.message.rfind(", expected ") {
            self.message.drain(..expected + 2);
        } else if let Some(not) = self.message.strip_prefix("not ") {
            // Of `not base64: …` and `not a duration such as "250ms": …` the reason may quote the value.
            let end = not.find(": ").unwrap_or(not.len());
            self.message = format!("not {}", &not[..end]);
        }
        self
    }

    /// The same error for a value that is itself at the path `parent` of a larger one.
    #[must_use]
    pub fn under(mut self, parent: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => parent.to_owned(),
            path if parent.is_empty() => path.to_owned(),
            path if path.starts_with('[') => format!("{parent}{path}"),
            path => format!("{parent}.{path}"),
        };
        self
    }
}

impl fmt::Display for InvalidJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "`{}`: {}", self.path, self.message) }
    }
}

impl std::error::Error for InvalidJson {}

/// Reads one JSON value from text; nothing but whitespace may follow it.
///
/// ```
/// # use serde::Deserialize;
/// #[derive(Debug, Deserialize)]
/// struct Order { items: Vec<u32> }
///
/// let error = ixt_protocol::read_json::<Order>(br#"{ "items": [1, "two"] }"#).unwrap_err();
/// assert_eq!(error.to_string(), "`items[1]`: invalid type: string \"two\", expected u32");
/// ```
///
/// # Errors
///
/// If the text is not JSON in UTF-8, or not of this type. The error names the path of the mistake.
pub fn read_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidJson> {
    // Checking the whole text for UTF-8 at once is faster than string by string. Keeping track of the path costs time, so that
    // the text is read again for it when the first attempt has failed.
    let read = std::str::from_utf8(json).ok().and_then(|text| serde_json::from_str(text).ok());
    read.map_or_else(
        || {
            let mut deserializer = serde_json::Deserializer::from_slice(json);
            let value = serde_path_to_error::deserialize(&mut deserializer).map_err(invalid)?;
            deserializer.end().map_err(|error| InvalidJson { path: String::new(), message: error.to_string() })?;
            Ok(value)
        },
        Ok,
    )
}

/// `serde_json` stops at this depth.
const TOO_DEEP: &str = "lists and objects are more than 127 deep within one another";

/// The message for a key that must be there and is not.
const MISSING: &str = "missing";

/// The limit of a path's and of a message's length, in bytes. Both may quote text from outside, of any length.
const MAX_TOLD_BYTES: usize = 1024;

/// The text, or its beginning and its end if it is over the limit.
fn told(text: String) -> String {
    const HALF: usize = MAX_TOLD_BYTES / 2;
    if text.len() <= MAX_TOLD_BYTES {
        return text;
    }
    let mut start = text.len() - HALF;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    format!("{}…{}", &text[..boundary(&text, HALF)], &text[start..])
}

/// The last boundary between two characters at or before `at`.
pub(crate) fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn invalid(error: serde_path_to_error::Error<serde_json::Error>) -> InvalidJson {
    let mut path = error.path().to_string();
    // An unknown segment (a key that could not be read) is shown as `?`, which tells nobody anything.
    if matches!(error.path().iter().next_back(), None | Some(serde_path_to_error::Segment::Unknown)) {
        path.pop();
        path.truncate(path.trim_end_matches('.').len());
    }
    let path = told(path);
    let message = without_place(&error.into_inner());
    // serde's path ends at the object that lacks the field.
    match message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(field) => InvalidJson::missing(field).under(&path),
        None => InvalidJson { path, message },
    }
}

/// The message of serde's error, without line and column where the path tells the place.
pub(crate) fn without_place(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    if message.starts_with("recursion limit exceeded") {
        return TOO_DEEP.to_owned();
    }
    if error.classify() == Category::Data
        && let Some(end) = message.rfind(" at line ")
    {
        // Nobody sees the frame, so that its columns tell nothing.
        message.truncate(end);
    }
    // Names of Rust types mean nothing to most readers.
    for (rust, plain) in [("expected i64", "expected an integer of 64 bits"), ("expected f64", "expected a number")] {
        if let Some(rest) = message.strip_suffix(rust) {
            message = format!("{rest}{plain}");
        }
    }
    told(message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_after_the_value_is_an_error_with_its_place() {
        let error = read_json::<u32>(b"1 2").unwrap_err();
        assert_eq!(error.to_string(), "trailing characters at line 1 column 3");
    }

    #[test]
    fn a_field_that_is_missing_is_named_by_the_path() {
        #[derive(Debug, Deserialize)]
        struct Item {
            #[allow(dead_code)]
            id: u32,
        }
        let error = read_json::<Vec<Item>>(b"[{}]").unwrap_err();
        assert_eq!(error.to_string(), "`[0].id`: missing");
        assert_eq!(read_json::<Item>(b"{}").unwrap_err().to_string(), "`id`: missing");
    }

    #[test]
    fn of_a_text_from_outside_beginning_and_end_are_told() {
        let json = format!("{{\"{}\":\"{}\"}}", "k".repeat(5000), "\u{e4}".repeat(5000));
        let error = read_json::<std::collections::BTreeMap<String, u32>>(json.as_bytes()).unwrap_err();
        assert!(error.path.len() < 1100 && error.message.len() < 1100, "{error}");
        assert!(error.message.starts_with("invalid type: string \"\u{e4}"), "{error}");
        assert!(error.message.ends_with("\u{e4}\", expected u32"), "{error}");
    }

    #[test]
    fn what_is_too_deep_is_told_so() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read_json::<serde_json::Value>(deep(127).as_bytes()).is_ok());
        let error = read_json::<serde_json::Value>(deep(128).as_bytes()).unwrap_err();
        assert!(error.message.ends_with("lists and objects are more than 127 deep within one another"), "{error}");
    }

    #[test]
    fn a_path_goes_under_its_parent() {
        let at = |path: &str| InvalidJson { path: path.to_owned(), message: String::new() }.under("config").path;
        assert_eq!(at(""), "config");
        assert_eq!(at("[3]"), "config[3]");
        assert_eq!(at("a.b"), "config.a.b");
    }
}
