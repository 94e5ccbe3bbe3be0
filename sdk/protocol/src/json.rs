//! Reading JSON so that a mistake is told with the path of the key where it is. Frames, configurations and payloads are
//! all read through here.

use std::fmt;

use serde::Deserialize;
use serde_json::error::Category;

/// JSON that is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidJson {
    /// Where: keys joined by dots, list indices in brackets. Empty if it is the value as a whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl InvalidJson {
    /// The same without what was found instead: that may be a secret, or none of the reader's business.
    #[must_use]
    pub fn without_value(mut self) -> Self {
        if let Some(expected) = self.message.rfind(", expected ") {
            self.message.drain(..expected + 2);
        } else if let Some(not) = self.message.strip_prefix("not ") {
            // "not base64: …", "not a duration such as "250ms": …": the reason may quote the value.
            let end = not.find(": ").unwrap_or(not.len());
            self.message = format!("not {}", &not[..end]);
        }
        self
    }

    /// The same, for a value that is itself at `parent`.
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

/// Reads JSON text.
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
/// If the text is not JSON, or not of this type.
pub fn read_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, InvalidJson> {
    // That it is UTF-8 is found out faster for all of it than string by string. Keeping track of the path costs time, so that
    // is done only for those who need it.
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

/// What is wrong with a key that is not there.
pub(crate) const MISSING: &str = "missing";

fn invalid(error: serde_path_to_error::Error<serde_json::Error>) -> InvalidJson {
    let path = match error.path().to_string() {
        whole if whole == "." => String::new(),
        path => path,
    };
    let message = without_place(&error.into_inner());
    // serde's path ends at the object that lacks the field.
    match message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        Some(field) => InvalidJson { path: field.to_owned(), message: MISSING.to_owned() }.under(&path),
        None => InvalidJson { path, message },
    }
}

/// What is wrong, for people who see the path.
pub(crate) fn without_place(error: &serde_json::Error) -> String {
    let mut message = error.to_string();
    if error.classify() == Category::Data
        && let Some(end) = message.rfind(" at line ")
    {
        // The path says where better than a column of a frame that nobody sees.
        message.truncate(end);
    }
    // For people who don't write Rust.
    for (rust, plain) in [("expected i64", "expected an integer of 64 bits"), ("expected f64", "expected a number")] {
        if let Some(rest) = message.strip_suffix(rust) {
            message = format!("{rest}{plain}");
        }
    }
    message
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
    fn a_path_goes_under_its_parent() {
        let at = |path: &str| InvalidJson { path: path.to_owned(), message: String::new() }.under("config").path;
        assert_eq!(at(""), "config");
        assert_eq!(at("[3]"), "config[3]");
        assert_eq!(at("a.b"), "config.a.b");
    }
}
