//! Appends the JSON of frames to a buffer, byte for byte as `serde_json` would write it. Strings and base64 are written by hand:
//! most need no escapes, and then copying is several times faster than serde's search for characters to escape.

use std::borrow::Cow;

use serde::Serialize;

use crate::base64_text::append_base64;
use crate::plain_text::is_plain;

const INFALLIBLE: &str = "frames consist of JSON, and writing to a Vec cannot fail";

/// Appends a string in quotes, with escapes where `serde_json` writes them.
pub(crate) fn text(text: &str, output: &mut Vec<u8>) {
    if is_plain(text) { plain_text(text, output) } else { value(&text, output) }
}

/// Appends a string in quotes. It must be [plain](is_plain): it is not checked.
pub(crate) fn plain_text(text: &str, output: &mut Vec<u8>) {
    output.push(b'"');
    output.extend_from_slice(text.as_bytes());
    output.push(b'"');
}

/// Appends bytes as a base64 string in quotes.
pub(crate) fn base64(bytes: &[u8], output: &mut Vec<u8>) {
    output.push(b'"');
    append_base64(bytes, output);
    output.push(b'"');
}

/// Appends a number.
pub(crate) fn number(number: u64, output: &mut Vec<u8>) {
    value(&number, output);
}

/// Appends any value, by serde.
///
/// # Panics
///
/// If the value can't be serialized as JSON, such as a map whose keys are not strings. Frames have no such values.
pub(crate) fn value(value: &impl Serialize, output: &mut Vec<u8>) {
    serde_json::to_writer(output, value).expect(INFALLIBLE);
}

/// Appends the key of a field that is not the first one of its object: comma, key, colon. The key must need no escapes.
#[inline]
pub(crate) fn key(key: &str, output: &mut Vec<u8>) {
    output.extend_from_slice(b",\"");
    output.extend_from_slice(key.as_bytes());
    output.extend_from_slice(b"\":");
}

/// Appends all fields of a struct, by serde, to an object that is open and has a field already. `body` must serialize as a JSON
/// object. Returns `None`, since these fields have no attachment: the writers of other frames return the path of theirs.
pub(crate) fn fields(body: &impl Serialize, output: &mut Vec<u8>) -> Option<Cow<'static, str>> {
    let start = output.len();
    value(body, output);
    // Removes the struct's own braces: the object is open, and [`close`] ends it.
    output.pop();
    if output.len() == start + 1 {
        output.pop();
    } else {
        output[start] = b',';
    }
    None
}

/// Appends the beginning of a frame: `type`, and `id` if there is one. The object stays open until [`close`]. The type must need no
/// escapes.
pub(crate) fn open(frame_type: &str, id: Option<u64>, output: &mut Vec<u8>) {
    output.extend_from_slice(b"{\"type\":\"");
    output.extend_from_slice(frame_type.as_bytes());
    match id {
        None => output.push(b'"'),
        Some(id) => {
            output.extend_from_slice(b"\",\"id\":");
            number(id, output);
        }
    }
}

/// Appends the end of a frame: the path of the field that the attachment stands for, if there is one, and the closing brace.
pub(crate) fn close(attachment_path: Option<&str>, output: &mut Vec<u8>) {
    if let Some(path) = attachment_path {
        key("attachment", output);
        text(path, output);
    }
    output.push(b'}');
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_fields_of_a_struct_continue_an_open_object() {
        for (body, written) in [(json!({}), "{\"type\":\"t\"}"), (json!({"a": {}}), "{\"type\":\"t\",\"a\":{}}")] {
            let mut output = Vec::new();
            open("t", None, &mut output);
            fields(&body, &mut output);
            close(None, &mut output);
            assert_eq!(String::from_utf8(output).unwrap(), written);
        }
    }
}
