//! `success`: the module has done what a request of the host asks for.
//!
//! It has a quick reader. Without it a call of the host takes 7 to 8 % more processor time (tests/bench/README.md, "The quick readers
//! of frames").

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::attachment::Attachment;
use crate::frame_reader::deserialize_optional_object;
use crate::quick_json::QuickReader;
use crate::{InvalidJson, Object, RawFrame};

/// A `success` on the wire.
#[derive(Deserialize)]
pub(super) struct SuccessFields<'a> {
    /// May be absent if the frame's attachment is its only value.
    #[serde(borrow, default, deserialize_with = "deserialize_optional_object")]
    data: Option<&'a RawValue>,
}

/// Makes the `data` from the fields and the attachment. Fails if there is neither.
pub(super) fn from_fields<'a>(
    SuccessFields { data }: SuccessFields<'a>,
    attachment: Option<Attachment<'a>>,
) -> Result<Object<'a>, InvalidJson> {
    Object::from_field(data, "data", attachment)
}

/// Reads the part of the frame after the id, and takes its attachment. `None` if it gives up; `frame` is then unchanged.
pub(super) fn read_quickly<'a>(reader: &mut QuickReader<'a>, frame: &mut RawFrame<'a>) -> Option<Object<'a>> {
    reader.literal(br#","data":"#)?;
    Object::read_quickly(reader.value()?, "data", reader, frame)
}

#[cfg(test)]
pub(super) const EXAMPLES: &[&str] = &[
    r#"{"type":"success","id":2,"data":{"result":"aGVsbG8gd29ybGQ="}}"#,
    r#"{"type":"success","id":0,"data":{"a": [1.5e-3, null, "\n"]}}"#,
    r#"{"type":"success","id":2,"data":{"a":1},"attachment":"data.result"}"#,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::check_module;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_module(&EXAMPLES[..2]);
        check_module(&[r#"{"type":"success","data":{}}"#]);
    }
}
