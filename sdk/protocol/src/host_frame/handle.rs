//! `handle` and `event`: a request to a module. The two have the same fields.
//!
//! Both have a quick reader. Without it a module needs 44 to 51 % more processor time for a request of a lean client, and a call of
//! the host takes 12 to 15 % more (tests/bench/README.md, "The quick readers of frames").

use std::borrow::Cow;

use serde::Deserialize;

use crate::attachment::{ATTACH_FROM_BYTES, Attachment};
use crate::frame_reader::deserialize_fields;
use crate::json_writer::{base64, key, number, text};
use crate::quick_json::QuickReader;
use crate::{Framing, InvalidJson, Priority, RawFrame, WirePayload, decode_base64};

/// `handle` and `event`: a request to a module. Which of the two it is, is the variant of [`HostFrame`](crate::HostFrame).
#[derive(Debug, Clone, PartialEq)]
pub struct Handle<'a> {
    /// The topic, the payload, and how urgent it is.
    pub message: HandleMessage<'a>,
    /// Who has sent the message, in which trace, and when the host made the frame.
    pub context: HandleContext<'a>,
}

/// The field `message` of a `handle` or an `event`: what the module has to do, and how urgent it is.
#[derive(Debug, Clone, PartialEq)]
pub struct HandleMessage<'a> {
    /// The topic of the service or of the event. Of any length, and any text: the module answers one that it does not know with
    /// `UNKNOWN_TOPIC`.
    pub topic: Cow<'a, str>,
    /// The payload; may be empty. In [`Framing::Length`], 64 bytes or more are written as an attachment.
    pub payload: WirePayload<'a>,
    /// How urgent it is; [`Priority::Low`] if the frame names no priority.
    pub priority: Priority,
    /// How many milliseconds are left for the request, counted from when the host makes the frame and rounded up. 0: the time is
    /// over. `None`: there is no deadline. When the time is over, the host answers the caller of a `handle` with
    /// `DEADLINE_EXCEEDED`, and ignores what the module's reply says. The module must reply all the same.
    pub ttl_ms: Option<u64>,
}

/// The field `context` of a `handle` or an `event`: where the message comes from. On the wire every field may be absent, and so may
/// the whole object.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct HandleContext<'a> {
    /// The id of the trace that the message belongs to: all calls and events that follow from one first call have the same. Empty if
    /// there is none.
    #[serde(borrow, default)]
    pub trace_id: Cow<'a, str>,
    /// Who sends the message, as `name:version`: a module, or the host itself. Empty if the host does not say it.
    #[serde(borrow, default)]
    pub source_module: Cow<'a, str>,
    /// When the host made the frame, in seconds since 1970: not when the caller has called, or the event was published. 0 if the
    /// host does not say it.
    #[serde(default)]
    pub timestamp: u64,
    /// The header `traceparent` of W3C's Trace Context: the host's span of this request, which becomes the parent of the module's
    /// own spans, and whether the trace is recorded. Empty if the host makes no spans. It is not checked when the frame is read.
    #[serde(borrow, default)]
    pub traceparent: Cow<'a, str>,
}

/// The path of the payload, the only value of the frame that can be attached.
const PAYLOAD: &str = "message.payload";

/// A [`Handle`] on the wire.
#[derive(Deserialize)]
pub(super) struct HandleFields<'a> {
    #[serde(borrow, deserialize_with = "deserialize_fields")]
    message: MessageFields<'a>,
    #[serde(borrow, default)]
    context: Option<HandleContext<'a>>,
}

/// A [`HandleMessage`] on the wire.
#[derive(Deserialize)]
struct MessageFields<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    /// Absent if it is attached.
    payload: Option<WirePayload<'a>>,
    #[serde(default)]
    priority: Priority,
    ttl_ms: Option<u64>,
}

impl<'a> Handle<'a> {
    /// Makes it from the fields and the attachment. Fails if the payload is absent, or if the attachment stands for another field.
    /// An attached payload counts if there are both.
    pub(super) fn from_fields(
        HandleFields { message, context }: HandleFields<'a>,
        attachment: Option<Attachment<'a>>,
    ) -> Result<Self, InvalidJson> {
        let MessageFields { topic, payload, priority, ttl_ms } = message;
        let payload = match attachment {
            None => payload.ok_or_else(|| InvalidJson::missing(PAYLOAD))?,
            Some(attachment) => WirePayload::Bytes(attachment.at(PAYLOAD)?),
        };
        Ok(Self { message: HandleMessage { topic, payload, priority, ttl_ms }, context: context.unwrap_or_default() })
    }

    /// Reads the part of the frame after the id, and takes its attachment. `None` if it gives up; `frame` is then unchanged.
    pub(super) fn read_quickly(reader: &mut QuickReader<'a>, frame: &mut RawFrame<'a>) -> Option<Self> {
        reader.literal(br#","message":{"topic":""#)?;
        let topic = Cow::Borrowed(reader.text()?);
        let base64 = if reader.skip(br#","payload":""#) { Some(reader.quoted()?) } else { None };
        reader.literal(br#","priority":"#)?;
        let priority = Priority::try_from(reader.number()?).ok()?;
        let ttl_ms = if reader.skip(br#","ttl_ms":"#) { Some(reader.number()?) } else { None };
        reader.literal(br#"},"context":{"trace_id":""#)?;
        let trace_id = Cow::Borrowed(reader.text()?);
        reader.literal(br#","source_module":""#)?;
        let source_module = Cow::Borrowed(reader.text()?);
        reader.literal(br#","timestamp":"#)?;
        let timestamp = reader.number()?;
        let traceparent = if reader.skip(br#","traceparent":""#) { reader.text()? } else { "" };
        reader.literal(b"}")?;
        let attached = reader.skip(br#","attachment":"message.payload""#);
        reader.literal(b"}")?;
        reader.end()?;
        let payload = match (base64, attached, &mut frame.attachment) {
            (Some(base64), false, None) => Cow::Owned(decode_base64(base64).ok()?),
            (None, true, attachment) => attachment.take()?,
            _ => return None,
        };
        let message = HandleMessage { topic, payload: WirePayload::Bytes(payload), priority, ttl_ms };
        let context = HandleContext { trace_id, source_module, timestamp, traceparent: Cow::Borrowed(traceparent) };
        Some(Self { message, context })
    }

    /// The payload, if it is sent as the frame's attachment in this framing; `None` if it is sent as base64.
    pub(super) fn attachment(&self, framing: Framing) -> Option<&[u8]> {
        match &self.message.payload {
            WirePayload::Bytes(bytes) if framing == Framing::Length && bytes.len() >= ATTACH_FROM_BYTES => Some(bytes),
            _ => None,
        }
    }

    /// Appends the fields. Returns the path of the payload if it is left out as the attachment, otherwise `None`.
    pub(super) fn write(&self, framing: Framing, output: &mut Vec<u8>) -> Option<Cow<'static, str>> {
        let Self { message: HandleMessage { topic, payload, priority, ttl_ms }, context } = self;
        let is_attached = self.attachment(framing).is_some();
        key("message", output);
        output.extend_from_slice(b"{\"topic\":");
        text(topic, output);
        if !is_attached {
            key("payload", output);
            match payload {
                WirePayload::Bytes(bytes) => base64(bytes, output),
                WirePayload::Base64(text) => text.write(output),
            }
        }
        key("priority", output);
        number((*priority).into(), output);
        if let Some(ttl_ms) = ttl_ms {
            key("ttl_ms", output);
            number(*ttl_ms, output);
        }
        output.push(b'}');
        let HandleContext { trace_id, source_module, timestamp, traceparent } = context;
        key("context", output);
        output.extend_from_slice(b"{\"trace_id\":");
        text(trace_id, output);
        key("source_module", output);
        text(source_module, output);
        key("timestamp", output);
        number(*timestamp, output);
        if !traceparent.is_empty() {
            key("traceparent", output);
            text(traceparent, output);
        }
        output.push(b'}');
        is_attached.then_some(Cow::Borrowed(PAYLOAD))
    }
}

#[cfg(test)]
pub(super) const EXAMPLES: &[&str] = &[
    r#"{"type":"handle","id":2,"message":{"topic":"a.b","payload":"aGVsbG8=","priority":1,"ttl_ms":50},"context":{"trace_id":"t","source_module":"m:1.0.0","timestamp":12}}"#,
    r#"{"type":"event","id":3,"message":{"topic":"a","payload":"","priority":4},"context":{"trace_id":"","source_module":"","timestamp":0}}"#,
    r#"{"type":"handle","id":4,"message":{"topic":"a","payload":"","priority":1},"context":{"trace_id":"t","source_module":"","timestamp":0,"traceparent":"00-1-2-01"}}"#,
    r#"{"type":"handle","id":2,"message":{"topic":"t","priority":4},"context":{"trace_id":"","source_module":"","timestamp":0},"attachment":"message.payload"}"#,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::examples::check_host;
    use crate::{Frame, HostFrame};

    #[test]
    fn examples_are_written_as_they_were_read() {
        check_host(&EXAMPLES[..3]);
    }

    #[test]
    fn absent_fields_have_their_defaults() {
        let frame = HostFrame::read(&br#"{"message":{"topic":"t","payload":""},"type":"handle"}"#[..]).unwrap();
        let message =
            HandleMessage { topic: "t".into(), payload: vec![].into(), priority: Priority::Low, ttl_ms: None };
        let HostFrame::Handle(handle) = frame.body else { panic!("not a handle") };
        assert_eq!((frame.id, handle), (None, Handle { message, context: HandleContext::default() }));
    }

    #[test]
    fn a_payload_that_came_as_text_is_not_attached() {
        let payload = WirePayload::Base64("aGk=".repeat(100).into());
        let message = HandleMessage { topic: "t".into(), payload, priority: Priority::Low, ttl_ms: None };
        let frame = Frame { id: None, body: HostFrame::Handle(Handle { message, context: HandleContext::default() }) };
        let (mut line, mut length) = (Vec::new(), Vec::new());
        frame.write(Framing::Line, &mut line);
        frame.write(Framing::Length, &mut length);
        assert_eq!(line[..line.len() - 1], length[4..]);
    }
}
