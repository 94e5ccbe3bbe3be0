//! Writes the JSON of the frames that go by the thousand, in the form that `serde_json` gives to the others.

use serde::Serialize;

use crate::base64_text::append_base64;
use crate::quick_json::plain;

const SERIALIZES: &str = "what frames hold is JSON, and a Vec takes everything";

/// Appends a text in quotes.
pub(crate) fn text(text: &str, output: &mut Vec<u8>) {
    if plain(text.as_bytes()) == text.len() { plain_text(text, output) } else { value(&text, output) }
}

/// The same of one that is plain.
pub(crate) fn plain_text(text: &str, output: &mut Vec<u8>) {
    output.push(b'"');
    output.extend_from_slice(text.as_bytes());
    output.push(b'"');
}

/// Appends bytes as base64 in quotes.
pub(crate) fn base64(bytes: &[u8], output: &mut Vec<u8>) {
    output.push(b'"');
    append_base64(bytes, output);
    output.push(b'"');
}

/// Appends a number.
pub(crate) fn number(number: u64, output: &mut Vec<u8>) {
    value(&number, output);
}

/// Appends any value.
pub(crate) fn value(value: &impl Serialize, output: &mut Vec<u8>) {
    serde_json::to_writer(output, value).expect(SERIALIZES);
}

/// Appends a field after another one: a key in ASCII, without what would have to be escaped, and the colon.
#[inline]
pub(crate) fn key(key: &str, output: &mut Vec<u8>) {
    output.extend_from_slice(b",\"");
    output.extend_from_slice(key.as_bytes());
    output.extend_from_slice(b"\":");
}

/// Appends the beginning of a frame: its type, and its id.
pub(crate) fn head(kind: &str, id: Option<u64>, output: &mut Vec<u8>) {
    output.extend_from_slice(b"{\"type\":\"");
    output.extend_from_slice(kind.as_bytes());
    match id {
        None => output.push(b'"'),
        Some(id) => {
            output.extend_from_slice(b"\",\"id\":");
            number(id, output);
        }
    }
}

/// Appends the end of a frame: the path of what its attachment stands for, if it has one.
pub(crate) fn tail(path: Option<&str>, output: &mut Vec<u8>) {
    if let Some(path) = path {
        key("attachment", output);
        text(path, output);
    }
    output.push(b'}');
}
