//! `service_response`: the host's response to a service request of the module: its `data`, or an error.
//!
//! A success has a quick reader. Without it a call from module to module takes 2 to 3 % more processor time (tests/bench/README.md, "The
//! quick readers of frames").

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::attachment::Attachment;
use crate::frame_reader::deserialize_optional_object;
use crate::json_writer;
use crate::quick_json::QuickReader;
use crate::{ErrorBody, Framing, InvalidJson, Object, RawFrame};

/// A `service_response` on the wire. If `success` is true, `data` is there, unless an attachment is its only value, and the other
/// fields have no effect; one of a wrong type is an error all the same. Otherwise those of [`ErrorBody`] are there, `code` at
/// least.
#[derive(Deserialize)]
pub(super) struct ServiceResponseFields<'a> {
    success: bool,
    #[serde(borrow, default, deserialize_with = "deserialize_optional_object")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "deserialize_optional_object")]
    details: Option<&'a RawValue>,
    #[serde(default)]
    retryable: bool,
}

/// Makes the response from the fields and the attachment, which is ignored for an error. Fails if `data` or `code` is missing. The
/// limits of a module's `error` do not hold here: the host may send a longer code or message.
pub(super) fn from_fields<'a>(
    fields: ServiceResponseFields<'a>,
    attachment: Option<Attachment<'a>>,
) -> Result<Result<Object<'a>, ErrorBody<'a>>, InvalidJson> {
    let ServiceResponseFields { success, data, code, message, details, retryable } = fields;
    if success {
        return Object::from_field(data, "data", attachment).map(Ok);
    }
    if code.is_empty() {
        return Err(InvalidJson::missing("code"));
    }
    Ok(Err(ErrorBody { code, message, details, retryable }))
}

/// Reads the part of a success after the id. `None` if it gives up, as it does for errors; `frame` is then unchanged.
pub(super) fn read_quickly<'a>(reader: &mut QuickReader<'a>, frame: &mut RawFrame<'a>) -> Option<Object<'a>> {
    reader.literal(br#","success":true,"data":"#)?;
    Object::read_quickly(reader.value()?, "data", reader, frame)
}

/// Appends the fields. If bytes of `data` are left out as the frame's attachment, returns their path.
pub(super) fn write(
    response: &Result<Object<'_>, ErrorBody<'_>>,
    framing: Framing,
    output: &mut Vec<u8>,
) -> Option<Cow<'static, str>> {
    match response {
        Ok(data) => {
            output.extend_from_slice(b",\"success\":true");
            data.write("data", framing, output)
        }
        Err(error) => {
            output.extend_from_slice(b",\"success\":false");
            json_writer::fields(error, output)
        }
    }
}

#[cfg(test)]
pub(super) const EXAMPLES: &[&str] = &[
    r#"{"type":"service_response","id":2,"success":true,"data":{"result":"aGVsbG8gd29ybGQ="}}"#,
    r#"{"type":"service_response","id":0,"success":true,"data":{"a": [1.5e-3, null, "\n"]}}"#,
    r#"{"type":"service_response","id":2,"success":true,"data":{"a":1},"attachment":"data.result"}"#,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::check_host;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_host(&EXAMPLES[..2]);
        check_host(&[
            r#"{"type":"service_response","id":1,"success":true,"data":{"a":[1,"\u00e4",{}]}}"#,
            r#"{"type":"service_response","id":2,"success":false,"code":"NOT_FOUND"}"#,
            r#"{"type":"service_response","id":2,"success":false,"code":"C","message":"m","details":{"a":1},"retryable":true}"#,
        ]);
    }
}
