//! `service_request`: a module's request to one of the host's services.
//!
//! It has a quick reader. Without it a call from module to module takes 4 to 5 % more processor time (tests/bench/README.md, "The
//! quick readers of frames").

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::attachment::Attachment;
use crate::frame_reader::deserialize_optional_object;
use crate::json_writer::{key, number, text};
use crate::quick_json::QuickReader;
use crate::text_limits::{at_most, required_at_most};
use crate::{Framing, InvalidJson, MAX_NAME_BYTES, MAX_TRACE_ID_BYTES, Object, RawFrame};

/// `service_request`: a module's request to one of the host's services. The frame's id is the module's own number; no other service
/// request that waits may have it. The host answers a request whose id still waits, and one beyond 16,384 that wait, with
/// `RESOURCE_EXHAUSTED`. Without an id, the response has none either, and the request can't be cancelled.
#[derive(Debug, Clone)]
pub struct ServiceRequest<'a> {
    /// The host's service, such as `message_bus` or `kv_store`: 1 to 256 bytes. The host answers one that it does not have with
    /// `UNIMPLEMENTED`.
    pub service: Cow<'a, str>,
    /// The service's method, such as `send`: 1 to 256 bytes. The host answers one that the service does not have with
    /// `UNIMPLEMENTED`.
    pub method: Cow<'a, str>,
    /// The parameters of the method. The host answers wrong ones with `INVALID_INPUT`.
    pub params: Object<'a>,
    /// The host's request during which the module makes this one, and its trace.
    pub context: CallContext<'a>,
}

/// The field `context` of a `service_request`: the host's request during which the module makes it, and its trace. Absent on the wire if
/// it has neither.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct CallContext<'a> {
    /// The id of the trace that the request belongs to, up to 256 bytes. Empty if there is none. For a call or an event, the host
    /// takes the trace of `parent` instead, if the module has that request; and it makes a new id if there is neither.
    #[serde(borrow, default)]
    pub trace_id: Cow<'a, str>,
    /// The id of the host's request during which the module makes this one. `None` if it makes it outside of requests; of a module
    /// without ids the host then takes the request that the module has. If the module has no request with this id, the call
    /// inherits nothing.
    pub parent: Option<u64>,
}

/// A [`ServiceRequest`] on the wire.
#[derive(Deserialize)]
pub(super) struct ServiceRequestFields<'a> {
    #[serde(borrow, default)]
    service: Cow<'a, str>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    /// May be absent if the frame's attachment is its only value.
    #[serde(borrow, default, deserialize_with = "deserialize_optional_object")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default)]
    context: Option<CallContext<'a>>,
}

impl<'a> ServiceRequest<'a> {
    /// Makes it from the fields and the attachment. Fails if a name is absent, empty or too long, or if there are no parameters.
    pub(super) fn from_fields(
        ServiceRequestFields { service, method, params, context }: ServiceRequestFields<'a>,
        attachment: Option<Attachment<'a>>,
    ) -> Result<Self, InvalidJson> {
        let CallContext { trace_id, parent } = context.unwrap_or_default();
        Ok(Self {
            service: required_at_most(service, MAX_NAME_BYTES, "service")?,
            method: required_at_most(method, MAX_NAME_BYTES, "method")?,
            params: Object::from_field(params, "params", attachment)?,
            context: CallContext { trace_id: at_most(trace_id, MAX_TRACE_ID_BYTES, "context.trace_id")?, parent },
        })
    }

    /// Reads the part of the frame after the id, and takes its attachment. `None` if it gives up; `frame` is then unchanged.
    pub(super) fn read_quickly(reader: &mut QuickReader<'a>, frame: &mut RawFrame<'a>) -> Option<Self> {
        let is_name = |text: &&str| (1..=MAX_NAME_BYTES).contains(&text.len());
        reader.literal(br#","service":""#)?;
        let service = Cow::Borrowed(reader.text().filter(is_name)?);
        reader.literal(br#","method":""#)?;
        let method = Cow::Borrowed(reader.text().filter(is_name)?);
        reader.literal(br#","params":"#)?;
        let params = reader.value()?;
        let mut context = CallContext::default();
        if reader.skip(br#","context":{"trace_id":""#) {
            context.trace_id = Cow::Borrowed(reader.text().filter(|id| id.len() <= MAX_TRACE_ID_BYTES)?);
            if reader.skip(br#","parent":"#) {
                context.parent = Some(reader.number()?);
            }
            reader.literal(b"}")?;
        }
        let params = Object::read_quickly(params, "params", reader, frame)?;
        Some(Self { service, method, params, context })
    }

    /// Appends the fields. If bytes of `params` are left out as the frame's attachment, returns their path.
    pub(super) fn write(&self, framing: Framing, output: &mut Vec<u8>) -> Option<Cow<'static, str>> {
        let Self { service, method, params, context: CallContext { trace_id, parent } } = self;
        key("service", output);
        text(service, output);
        key("method", output);
        text(method, output);
        let attachment_path = params.write("params", framing, output);
        if trace_id.is_empty() && parent.is_none() {
            return attachment_path;
        }
        key("context", output);
        output.push(b'{');
        if !trace_id.is_empty() {
            output.extend_from_slice(b"\"trace_id\":");
            text(trace_id, output);
        }
        if let Some(parent) = parent {
            output.extend_from_slice(if trace_id.is_empty() { b"\"parent\":" } else { b",\"parent\":" });
            number(*parent, output);
        }
        output.push(b'}');
        attachment_path
    }
}

#[cfg(test)]
pub(super) const QUICK_EXAMPLES: &[&str] = &[
    r#"{"type":"service_request","id":1,"service":"message_bus","method":"send","params":{"topic":"a"},"context":{"trace_id":"t","parent":2}}"#,
    r#"{"type":"service_request","id":1,"service":"s","method":"m","params":{},"attachment":"params.payload"}"#,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::check_module;

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_module(&QUICK_EXAMPLES[..1]);
        check_module(&[
            r#"{"type":"service_request","id":1,"service":"s","method":"m","params":{}}"#,
            r#"{"type":"service_request","id":1,"service":"s","method":"m","params":{},"context":{"trace_id":"t"}}"#,
            r#"{"type":"service_request","id":1,"service":"s","method":"m","params":{},"context":{"parent":2}}"#,
        ]);
    }
}
