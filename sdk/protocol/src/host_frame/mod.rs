//! What a host sends to a module.

mod kv_change;

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::frame::{invalid, object, read_flat, required};
use crate::json_writer::{base64, head, key, number, tail, text, value};
use crate::object::{ATTACH_FROM_BYTES, Attachment, Object};
use crate::quick_json::Scan;
use crate::{
    Base64Error, Base64Text, ErrorBody, Frame, Framing, InvalidJson, RawFrame, Unreadable, decode_base64,
    deserialize_base64, read_json,
};
use kv_change::KV_CHANGE;
pub use kv_change::KvChange;

/// A frame from the host.
#[derive(Debug, Clone)]
pub enum HostFrame<'a> {
    /// The first frame: the module's configuration.
    Init(Init<'a>),
    /// A message for one of the module's services.
    Handle(Handle<'a>),
    /// An event that the module takes: a message to whose sender nothing is answered.
    Event(Handle<'a>),
    /// What became of a service request of the module.
    ServiceResponse(Result<Object<'a>, ErrorBody<'a>>),
    /// Asks how the module is.
    HealthCheck,
    /// Asks the module to finish and exit.
    Shutdown(Shutdown),
    /// Nobody waits any more for the request with this id. Has no reply of its own.
    Cancel,
    /// A key that the module watches has changed. Has no id, and no reply.
    KvChange(KvChange<'a>),
    /// A watch was ended, since the module has not taken its changes: some are lost. Has no id, and no reply.
    KvWatchEnded {
        /// The watch.
        watch: u64,
    },
    /// The module is about to be told to shut down: it gets no new request, and has time for what it has. Has no id, and no reply.
    Draining {
        /// How many milliseconds, at most.
        grace_ms: u64,
    },
}

/// `init`.
#[derive(Debug, Clone)]
pub struct Init<'a> {
    /// The configuration, as JSON.
    pub config: &'a RawValue,
    /// `name:version/instance-NNN`.
    pub module_id: Cow<'a, str>,
    /// What the host can do. A plain host may say nothing.
    pub protocol: Option<ProtocolOffer>,
}

/// What a host says of itself in `init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolOffer {
    /// The protocol's version: 1.
    pub version: u32,
    /// The largest frame that either side may send.
    pub max_frame_bytes: usize,
    /// The framings that the host knows.
    #[serde(default)]
    pub framings: Vec<String>,
    /// The host's optional features.
    #[serde(default)]
    pub features: Vec<String>,
}

/// `handle` and `event`.
#[derive(Debug, Clone, PartialEq)]
pub struct Handle<'a> {
    /// What is asked.
    pub message: Message<'a>,
    /// Who asks, and in which trace.
    pub context: Context<'a>,
}

/// A message to a service (seeds).
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    /// The service's topic.
    pub topic: Cow<'a, str>,
    /// What it carries.
    pub payload: Payload<'a>,
    /// How urgent it is.
    pub priority: Priority,
    /// How many milliseconds the caller still waits.
    pub ttl_ms: Option<u64>,
}

/// A [`Message`] on the wire.
#[derive(Deserialize)]
struct MessageFields<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    /// Absent if it is attached.
    payload: Option<Payload<'a>>,
    #[serde(default)]
    priority: Priority,
    ttl_ms: Option<u64>,
}

/// The payload of a message. What is read is always [`Payload::Bytes`]; whoever passes on a text need not decode it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The bytes: base64 on the wire, or an attachment.
    Bytes(Cow<'a, [u8]>),
    /// The bytes in base64, which goes to the wire as it is.
    Base64(Base64Text<'a>),
}

impl<'a> Payload<'a> {
    /// The bytes.
    ///
    /// # Errors
    ///
    /// If it is text that is not base64.
    pub fn into_bytes(self) -> Result<Cow<'a, [u8]>, Base64Error> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Base64(text) => decode_base64(text.as_str()).map(Cow::Owned),
        }
    }

    /// The same, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Payload<'static> {
        match self {
            Self::Bytes(bytes) => Payload::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Base64(text) => Payload::Base64(text.into_owned()),
        }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Payload<'_> {
        match self {
            Self::Bytes(bytes) => Payload::Bytes(Cow::Borrowed(bytes)),
            Self::Base64(text) => Payload::Base64(text.borrowed()),
        }
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Payload<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(Cow::Owned(bytes))
    }
}

impl<'de> Deserialize<'de> for Payload<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_base64(deserializer).map(|bytes: Vec<u8>| Self::Bytes(Cow::Owned(bytes)))
    }
}

const PAYLOAD: &str = "message.payload";

/// Where a message comes from (seeds).
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Context<'a> {
    /// The same for all messages that one cause sets off.
    #[serde(borrow, default)]
    pub trace_id: Cow<'a, str>,
    /// The caller, `name:version`.
    #[serde(borrow, default)]
    pub source_module: Cow<'a, str>,
    /// When it was sent, in seconds since 1970.
    #[serde(default)]
    pub timestamp: u64,
    /// W3C Trace Context's header of this name, for the module's own spans: within which they are, and whether the trace is recorded.
    /// Empty if the host has no spans.
    #[serde(borrow, default)]
    pub traceparent: Cow<'a, str>,
}

/// How urgent a message is (seeds): 1 to 4 on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub enum Priority {
    /// 1, which is also the seeds' default.
    #[default]
    Low,
    /// 2.
    Normal,
    /// 3.
    High,
    /// 4.
    Critical,
}

impl TryFrom<u64> for Priority {
    type Error = String;

    fn try_from(number: u64) -> Result<Self, String> {
        Ok(match number {
            1 => Self::Low,
            2 => Self::Normal,
            3 => Self::High,
            4 => Self::Critical,
            _ => {
                return Err(format!("{number} is no priority: expected 1 (low), 2 (normal), 3 (high) or 4 (critical)"));
            }
        })
    }
}

impl From<Priority> for u64 {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => 1,
            Priority::Normal => 2,
            Priority::High => 3,
            Priority::Critical => 4,
        }
    }
}

/// `shutdown`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shutdown {
    /// How many milliseconds the module has before the host ends it.
    pub grace_ms: Option<u64>,
}

/// All host frames in one: serde reads this in one pass, without the buffer that a tagged enum needs.
#[derive(Default, Deserialize)]
struct Flat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    id: Option<u64>,
    #[serde(borrow)]
    config: Option<&'a RawValue>,
    #[serde(borrow, default)]
    module_id: Cow<'a, str>,
    protocol: Option<ProtocolOffer>,
    success: Option<bool>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow, default)]
    code: Cow<'a, str>,
    #[serde(borrow)]
    message: Option<MessageOrText<'a>>,
    #[serde(borrow)]
    context: Option<Context<'a>>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
    #[serde(default)]
    retryable: bool,
    grace_ms: Option<u64>,
    #[serde(borrow)]
    attachment: Option<Cow<'a, str>>,
}

/// The `message` of a `handle` or an `event` is an object, that of a `service_response` a text.
enum MessageOrText<'a> {
    Message(MessageFields<'a>),
    Text(Cow<'a, str>),
}

impl<'de: 'a, 'a> Deserialize<'de> for MessageOrText<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MessageOrTextVisitor;

        impl<'de> Visitor<'de> for MessageOrTextVisitor {
            type Value = MessageOrText<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                MessageFields::deserialize(MapAccessDeserializer::new(map)).map(MessageOrText::Message)
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(MessageOrText::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(MessageOrText::Text(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_any(MessageOrTextVisitor)
    }
}

const KV_WATCH_ENDED: &str = "kv_watch_ended";

const DRAINING: &str = "draining";

const KINDS: &[&str] = &[
    "init",
    "handle",
    "event",
    "service_response",
    "health_check",
    "shutdown",
    "cancel",
    KV_CHANGE,
    KV_WATCH_ENDED,
    DRAINING,
];

impl<'a> HostFrame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If it is not one that a module knows; the error tells whether it can be answered.
    pub fn read(frame: impl Into<RawFrame<'a>>) -> Result<Frame<Self>, Unreadable> {
        let mut frame = frame.into();
        Self::read_quickly(&mut frame).map_or_else(|| Self::read_any(frame), Ok)
    }

    /// The frames that come by the thousand, as [`Frame::write`] writes them. `None` says nothing: then the frame is as it was.
    fn read_quickly(frame: &mut RawFrame<'a>) -> Option<Frame<Self>> {
        let mut scan = Scan::new(frame.json);
        scan.literal(br#"{"type":""#)?;
        let kind = if scan.skip(br#"handle","id":"#) {
            Self::Handle
        } else if scan.skip(br#"event","id":"#) {
            Self::Event
        } else {
            scan.literal(br#"service_response","id":"#)?;
            let id = Some(scan.number()?);
            scan.literal(br#","success":true,"data":"#)?;
            let data = Object::scan(scan.value()?, "data", &mut scan, frame)?;
            return Some(Frame { id, body: Self::ServiceResponse(Ok(data)) });
        };
        let id = Some(scan.number()?);
        scan.literal(br#","message":{"topic":""#)?;
        let topic = Cow::Borrowed(scan.text()?);
        let base64 = if scan.skip(br#","payload":""#) { Some(scan.quoted()?) } else { None };
        scan.literal(br#","priority":"#)?;
        let priority = Priority::try_from(scan.number()?).ok()?;
        let ttl_ms = if scan.skip(br#","ttl_ms":"#) { Some(scan.number()?) } else { None };
        scan.literal(br#"},"context":{"trace_id":""#)?;
        let trace_id = Cow::Borrowed(scan.text()?);
        scan.literal(br#","source_module":""#)?;
        let source_module = Cow::Borrowed(scan.text()?);
        scan.literal(br#","timestamp":"#)?;
        let timestamp = scan.number()?;
        let traceparent = if scan.skip(br#","traceparent":""#) { scan.text()? } else { "" };
        let context = Context { trace_id, source_module, timestamp, traceparent: Cow::Borrowed(traceparent) };
        scan.literal(b"}")?;
        let attached = scan.skip(br#","attachment":"message.payload""#);
        scan.literal(b"}")?;
        scan.end()?;
        let payload = match (base64, attached, &mut frame.attachment) {
            (Some(base64), false, None) => Cow::Owned(decode_base64(base64).ok()?),
            (None, true, attachment) => attachment.take()?,
            _ => return None,
        };
        let message = Message { topic, payload: Payload::Bytes(payload), priority, ttl_ms };
        Some(Frame { id, body: kind(Handle { message, context }) })
    }

    /// What each of the two readers makes of a frame, for tests that compare them: of the quick one `None` if it gives up.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    #[allow(clippy::missing_errors_doc, clippy::missing_panics_doc)]
    pub fn read_both_ways(frame: RawFrame<'a>) -> (Option<String>, Result<String, Unreadable>) {
        let mut left = frame.clone();
        let quick = Self::read_quickly(&mut left).map(|frame| format!("{frame:?}"));
        assert!(quick.is_some() || left == frame, "the quick reader has given up, and not left the frame as it was");
        (quick, Self::read_any(frame).map(|frame| format!("{frame:?}")))
    }

    fn read_any(frame: RawFrame<'a>) -> Result<Frame<Self>, Unreadable> {
        let RawFrame { json, attachment, .. } = frame;
        let mut flat: Flat<'a> = match read_flat(json, KINDS) {
            // These have no fields among these, so whatever else stands in them is ignored. A `cancel` above all must not be
            // answered: its id is that of another request.
            Err(Unreadable::Invalid { id, kind, error })
                if matches!(&*kind, "cancel" | "health_check" | KV_CHANGE | KV_WATCH_ENDED | DRAINING) =>
            {
                #[derive(Deserialize)]
                struct Id {
                    id: Option<u64>,
                }
                let Id { id } = read_json(json).map_err(|_| invalid(id, &kind)(error))?;
                Flat { id, kind: kind.into(), ..Flat::default() }
            }
            flat => flat?,
        };
        let id = flat.id;
        if flat.kind == KV_CHANGE {
            let change = KvChange::read(json, attachment).map_err(invalid(id, KV_CHANGE))?;
            return Ok(Frame { id, body: Self::KvChange(change) });
        }
        if flat.kind == KV_WATCH_ENDED {
            #[derive(Deserialize)]
            struct Ended {
                watch: u64,
            }
            let Ended { watch } = read_json(json).map_err(invalid(id, KV_WATCH_ENDED))?;
            return Ok(Frame { id, body: Self::KvWatchEnded { watch } });
        }
        if flat.kind == DRAINING {
            #[derive(Deserialize)]
            struct Draining {
                grace_ms: u64,
            }
            let Draining { grace_ms } = read_json(json).map_err(invalid(id, DRAINING))?;
            return Ok(Frame { id, body: Self::Draining { grace_ms } });
        }
        let attachment = match &*flat.kind {
            "cancel" | "health_check" => None,
            kind => Attachment::new(flat.attachment.take(), attachment).map_err(invalid(id, kind))?,
        };
        let body = match &*flat.kind {
            "init" => Self::Init(Init {
                config: required(object(flat.config, "config").map_err(invalid(id, "init"))?, "config", id, "init")?,
                module_id: flat.module_id,
                protocol: flat.protocol,
            }),
            "handle" => Self::Handle(flat.handle("handle", attachment)?),
            "event" => Self::Event(flat.handle("event", attachment)?),
            "service_response" if required(flat.success, "success", id, "service_response")? => {
                let data = Object::of(flat.data, "data", attachment);
                let data = data.map_err(invalid(id, "service_response"))?;
                Self::ServiceResponse(Ok(required(data, "data", id, "service_response")?))
            }
            "service_response" => Self::ServiceResponse(Err(ErrorBody {
                code: required(Some(flat.code).filter(|code| !code.is_empty()), "code", id, "service_response")?,
                message: match flat.message {
                    Some(MessageOrText::Text(text)) => text,
                    _ => Cow::Borrowed(""),
                },
                details: object(flat.details, "details").map_err(invalid(id, "service_response"))?,
                retryable: flat.retryable,
            })),
            "health_check" => Self::HealthCheck,
            "shutdown" => Self::Shutdown(Shutdown { grace_ms: flat.grace_ms }),
            "cancel" => Self::Cancel,
            kind => return Err(Unreadable::UnknownType { id, kind: kind.to_owned() }),
        };
        Ok(Frame { id, body })
    }
}

impl HostFrame<'_> {
    /// Its type on the wire.
    fn kind(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Handle(_) => "handle",
            Self::Event(_) => "event",
            Self::ServiceResponse(_) => "service_response",
            Self::HealthCheck => "health_check",
            Self::Shutdown(_) => "shutdown",
            Self::Cancel => "cancel",
            Self::KvChange(_) => KV_CHANGE,
            Self::KvWatchEnded { .. } => KV_WATCH_ENDED,
            Self::Draining { .. } => DRAINING,
        }
    }
}

impl<'a> Flat<'a> {
    fn handle(self, kind: &str, attachment: Option<Attachment<'a>>) -> Result<Handle<'a>, Unreadable> {
        let fields = match self.message {
            Some(MessageOrText::Message(fields)) => fields,
            Some(MessageOrText::Text(_)) => {
                let error = InvalidJson { path: "message".to_owned(), message: "expected an object".to_owned() };
                return Err(invalid(self.id, kind)(error));
            }
            None => required(None, "message", self.id, kind)?,
        };
        let MessageFields { topic, payload, priority, ttl_ms } = fields;
        let payload = match attachment {
            None => required(payload, PAYLOAD, self.id, kind)?,
            Some(attachment) => Payload::Bytes(attachment.at(PAYLOAD).map_err(invalid(self.id, kind))?),
        };
        let message = Message { topic, payload, priority, ttl_ms };
        Ok(Handle { message, context: self.context.unwrap_or_default() })
    }
}

impl Context<'_> {
    fn write(&self, output: &mut Vec<u8>) {
        output.extend_from_slice(b"{\"trace_id\":");
        text(&self.trace_id, output);
        key("source_module", output);
        text(&self.source_module, output);
        key("timestamp", output);
        number(self.timestamp, output);
        if !self.traceparent.is_empty() {
            key("traceparent", output);
            text(&self.traceparent, output);
        }
        output.push(b'}');
    }
}

impl Message<'_> {
    /// Appends it, without the payload if that is attached.
    fn write(&self, attached: bool, output: &mut Vec<u8>) {
        output.extend_from_slice(b"{\"topic\":");
        text(&self.topic, output);
        if !attached {
            key("payload", output);
            match &self.payload {
                Payload::Bytes(bytes) => base64(bytes, output),
                Payload::Base64(text) => text.write(output),
            }
        }
        key("priority", output);
        number(self.priority.into(), output);
        if let Some(ttl_ms) = self.ttl_ms {
            key("ttl_ms", output);
            number(ttl_ms, output);
        }
        output.push(b'}');
    }
}

impl Init<'_> {
    fn write(&self, output: &mut Vec<u8>) {
        key("config", output);
        output.extend_from_slice(self.config.get().as_bytes());
        if !self.module_id.is_empty() {
            key("module_id", output);
            text(&self.module_id, output);
        }
        if let Some(protocol) = &self.protocol {
            key("protocol", output);
            value(protocol, output);
        }
    }
}

impl Frame<HostFrame<'_>> {
    /// Appends the frame. Returns its size, as the limit counts it.
    pub fn write(&self, framing: Framing, output: &mut Vec<u8>) -> usize {
        let attachment = match &self.body {
            HostFrame::Handle(Handle { message, .. }) | HostFrame::Event(Handle { message, .. }) => {
                match &message.payload {
                    Payload::Bytes(bytes) if framing == Framing::Length && bytes.len() >= ATTACH_FROM_BYTES => {
                        Some(&**bytes)
                    }
                    _ => None,
                }
            }
            HostFrame::ServiceResponse(Ok(data)) => data.outside(framing).map(|(_, bytes)| bytes),
            HostFrame::KvChange(change) => change.attachment(framing),
            _ => None,
        };
        framing.write(|output| self.write_json(framing, attachment.is_some(), output), attachment, output)
    }

    fn write_json(&self, framing: Framing, attached: bool, output: &mut Vec<u8>) {
        let kind = self.body.kind();
        head(kind, self.id, output);
        let mut path = None;
        match &self.body {
            HostFrame::Init(init) => init.write(output),
            HostFrame::Handle(handle) | HostFrame::Event(handle) => {
                key("message", output);
                handle.message.write(attached, output);
                key("context", output);
                handle.context.write(output);
                path = attached.then_some(Cow::Borrowed(PAYLOAD));
            }
            HostFrame::ServiceResponse(Ok(data)) => {
                output.extend_from_slice(b",\"success\":true");
                path = data.write("data", framing, output);
            }
            HostFrame::ServiceResponse(Err(error)) => {
                output.extend_from_slice(b",\"success\":false");
                error.write(output);
            }
            HostFrame::Shutdown(Shutdown { grace_ms: Some(grace_ms) }) | HostFrame::Draining { grace_ms } => {
                key("grace_ms", output);
                number(*grace_ms, output);
            }
            HostFrame::KvChange(change) => path = change.write(attached, output),
            HostFrame::KvWatchEnded { watch } => {
                key("watch", output);
                number(*watch, output);
            }
            HostFrame::HealthCheck | HostFrame::Shutdown(_) | HostFrame::Cancel => {}
        }
        tail(path.as_deref(), output);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quick_json::tests::almost;

    const FRAMES: &[&str] = &[
        r#"{"type":"handle","id":2,"message":{"topic":"a.b","payload":"aGVsbG8=","priority":1,"ttl_ms":50},"context":{"trace_id":"t","source_module":"m:1.0.0","timestamp":12}}"#,
        r#"{"type":"event","id":3,"message":{"topic":"a","payload":"","priority":4},"context":{"trace_id":"","source_module":"","timestamp":0}}"#,
        r#"{"type":"handle","id":4,"message":{"topic":"a","payload":"","priority":1},"context":{"trace_id":"t","source_module":"","timestamp":0,"traceparent":"00-1-2-01"}}"#,
        r#"{"type":"service_response","id":1,"success":true,"data":{"a":[1,"\u00e4",{}]}}"#,
        r#"{"type":"handle","id":2,"message":{"topic":"t","priority":4},"context":{"trace_id":"","source_module":"","timestamp":0},"attachment":"message.payload"}"#,
        r#"{"type":"service_response","id":1,"success":true,"data":{},"attachment":"data.k"}"#,
    ];

    fn both(text: &str, attachment: Option<&[u8]>) -> (Option<String>, Result<String, Unreadable>) {
        let attachment = attachment.map(Cow::Borrowed);
        HostFrame::read_both_ways(RawFrame { framing: Framing::Length, json: text.as_bytes(), attachment })
    }

    #[test]
    fn what_comes_by_the_thousand_is_read_quickly() {
        for (text, attachment) in FRAMES.iter().zip([None, None, None, None, Some(&b"hi"[..]), Some(&[])]) {
            let (quick, any) = both(text, attachment);
            assert_eq!(quick, Some(any.clone().unwrap()), "{text}");
            let frame =
                RawFrame { framing: Framing::Length, json: text.as_bytes(), attachment: attachment.map(Cow::Borrowed) };
            assert_eq!(format!("{:?}", HostFrame::read(frame).unwrap()), any.unwrap(), "{text}");
        }
    }

    proptest! {
        /// Whatever is wrong with a frame, or unusual: what is read quickly is what serde reads.
        #[test]
        fn what_is_read_quickly_is_the_same(text in almost(FRAMES), attached: bool) {
            if let (Some(quick), any) = both(&text, attached.then_some(b"hi")) {
                prop_assert_eq!(Ok(quick), any, "{}", text);
            }
        }
    }
}
