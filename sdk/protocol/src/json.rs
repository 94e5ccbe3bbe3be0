//! Reads JSON by serde, with errors that name the path of the wrong key. [`read_json`] reads frames, configurations and payloads.

use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;

/// Why JSON could not be read: it is not JSON, or not of the expected type. Displays as `` `path`: message``, or as the message alone if
/// the path is empty.
///
/// The message may quote the wrong value; [`without_value`](Self::without_value) removes it. If the error is from reading JSON, a
/// path or a message of more than 1,024 bytes is abridged: it keeps at most its first and its last 512 bytes, with `…` between
/// them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidJson {
    /// Where the mistake is: keys joined by dots, list indices in brackets, as in `items[1].name`. Empty for the value as a whole. If
    /// the text is not JSON, this is the path of the value that was being read, and the message has line and column.
    pub path: String,
    /// What is wrong at the path, for people, such as `missing` or `invalid type: string "two", expected u32`.
    pub message: String,
}

impl InvalidJson {
    /// An error with this message at this path, neither of which is abridged.
    pub(crate) fn at(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), message: message.into() }
    }

    /// The error of a required key that is absent: the message `missing`, at the path `path` of the key.
    #[must_use]
    pub fn missing(path: &str) -> Self {
        Self::at(path, MISSING)
    }

    /// The error of lists and objects that are nested more than 127 levels deep.
    pub(crate) fn too_deep() -> Self {
        Self::at("", TOO_DEEP)
    }

    /// The same error without the wrong value, which may be secret. Keeps the part of the message from the last `expected` on; or,
    /// if it has none and begins with `not `, the part before the first colon. Any other message stays as it is, and so does the
    /// path, whose keys may be the sender's. To be called before an error about a configuration or a stored value is logged.
    #[must_use]
    pub fn without_value(mut self) -> Self {
        if let Some(expected) = self.message.rfind(", expected ") {
            self.message.drain(..expected + 2);
        } else if let Some(not) = self.message.strip_prefix("not ") {
            // In `not base64: …` and `not a duration such as "250ms": …` the reason behind the colon may quote the value.
            let end = not.find(": ").unwrap_or(not.len());
            self.message = format!("not {}", &not[..end]);
        }
        self
    }

    /// The same error, seen from a larger value that has this one at the path `parent`. An empty `parent` changes nothing.
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

/// Reads one JSON value from text. Nothing but whitespace may stand around it. If that fails, it is read once more, to find the
/// path of the mistake.
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
/// If the text is not JSON in UTF-8, or not of this type, or nested more than 127 levels deep in what `T` reads. The error names
/// the path of the mistake.
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

/// The message for lists and objects that are nested more deeply than `serde_json` reads, or a frame may be.
const TOO_DEEP: &str = "lists and objects are more than 127 deep within one another";

/// The message for a required key that is absent.
const MISSING: &str = "missing";

/// A path or a message of more bytes than this is abridged. Both may quote text of the sender, which may be long.
const MAX_QUOTED_BYTES: usize = 1024;

/// The text, or at most its first and its last 512 bytes with `…` between them if it has more than [`MAX_QUOTED_BYTES`].
fn abridged(text: String) -> String {
    const HALF: usize = MAX_QUOTED_BYTES / 2;
    if text.len() <= MAX_QUOTED_BYTES {
        return text;
    }
    let mut start = text.len() - HALF;
    while !text.is_char_boundary(start) {
        start += 1;
    }
    format!("{}…{}", &text[..boundary(&text, HALF)], &text[start..])
}

/// The last boundary between two characters at or before `at`, which must be within the text.
pub(crate) fn boundary(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The error with the path that serde has kept track of.
fn invalid(error: serde_path_to_error::Error<serde_json::Error>) -> InvalidJson {
    let mut path = error.path().to_string();
    // serde shows a key that could not be read as `?`, which would not help.
    if matches!(error.path().iter().next_back(), None | Some(serde_path_to_error::Segment::Unknown)) {
        path.pop();
        path.truncate(path.trim_end_matches('.').len());
    }
    let path = abridged(path);
    let message = without_place(&error.into_inner());
    // serde's path of a missing field is that of the object: the field's name is added.
    match message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(field) => InvalidJson::missing(field).under(&path),
        None => InvalidJson { path, message },
    }
}

/// The message of serde's error, abridged. Without line and column if the text is JSON: then the path is enough.
pub(crate) fn without_place(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    if message.starts_with("recursion limit exceeded") {
        return TOO_DEEP.to_owned();
    }
    if error.classify() == Category::Data
        && let Some(end) = message.rfind(" at line ")
    {
        // The reader of the message does not have the frame at hand to count columns in.
        message.truncate(end);
    }
    // Module authors who write in other languages read these messages.
    for (rust, plain) in [("expected i64", "expected an integer of 64 bits"), ("expected f64", "expected a number")] {
        if let Some(rest) = message.strip_suffix(rust) {
            message = format!("{rest}{plain}");
        }
    }
    abridged(message)
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
    fn a_long_path_or_message_keeps_its_beginning_and_its_end() {
        let json = format!("{{\"{}\":\"{}\"}}", "k".repeat(5000), "\u{e4}".repeat(5000));
        let error = read_json::<std::collections::BTreeMap<String, u32>>(json.as_bytes()).unwrap_err();
        assert!(error.path.len() < 1100 && error.message.len() < 1100, "{error}");
        assert!(error.message.starts_with("invalid type: string \"\u{e4}"), "{error}");
        assert!(error.message.ends_with("\u{e4}\", expected u32"), "{error}");
    }

    #[test]
    fn an_error_says_that_json_is_nested_too_deeply() {
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
