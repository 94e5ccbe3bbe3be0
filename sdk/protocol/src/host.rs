//! What a host sends to a module.

use std::borrow::Cow;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::attachment::{Attached, Attachment, Object};
use crate::frame::{invalid, read_flat, required};
use crate::kv_change::{KV_CHANGE, KvChange};
use crate::{
    Base64Error, ErrorBody, Frame, Framing, InvalidJson, RawFrame, Unreadable, decode_base64, deserialize_base64,
    encode_base64,
};

/// A frame from the host.
#[derive(Debug, Clone)]
pub enum HostFrame<'a> {
    /// The first frame: the module's configuration.
    Init(Init<'a>),
    /// A message for one of the module's services. Boxed, for it is much larger than the others.
    Handle(Box<Handle<'a>>),
    /// An event that the module takes: a message to whose sender nothing is answered.
    Event(Box<Handle<'a>>),
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
#[derive(Serialize, Deserialize)]
struct MessageFields<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    /// Absent if it is attached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    payload: Option<Payload<'a>>,
    #[serde(default)]
    priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

/// The payload of a message. What is read is always [`Payload::Bytes`]; whoever passes on a text need not decode it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload<'a> {
    /// The bytes: base64 on the wire, or an attachment.
    Bytes(Cow<'a, [u8]>),
    /// The bytes in base64, which goes to the wire as it is.
    Base64(Cow<'a, str>),
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
            Self::Base64(text) => decode_base64(&text).map(Cow::Owned),
        }
    }

    /// The same, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Payload<'static> {
        match self {
            Self::Bytes(bytes) => Payload::Bytes(Cow::Owned(bytes.into_owned())),
            Self::Base64(text) => Payload::Base64(Cow::Owned(text.into_owned())),
        }
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Payload<'_> {
        match self {
            Self::Bytes(bytes) => Payload::Bytes(Cow::Borrowed(bytes)),
            Self::Base64(text) => Payload::Base64(Cow::Borrowed(text)),
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

impl Serialize for Payload<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Bytes(bytes) => serializer.serialize_str(&encode_base64(bytes)),
            Self::Base64(text) => serializer.serialize_str(text),
        }
    }
}

impl<'de> Deserialize<'de> for Payload<'_> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize_base64(deserializer).map(|bytes: Vec<u8>| Self::Bytes(Cow::Owned(bytes)))
    }
}

/// A payload of this size or more is attached, where the framing can do that: it costs less than base64.
pub(crate) const ATTACH_FROM_BYTES: usize = 256;
const PAYLOAD: &str = "message.payload";

/// Where a message comes from (seeds).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
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
#[derive(Default, Serialize, Deserialize)]
struct Flat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    config: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    module_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<ProtocolOffer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success: Option<bool>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    code: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    message: Option<MessageOrText<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    context: Option<Context<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    details: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    grace_ms: Option<u64>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    attachment: Option<Cow<'a, str>>,
}

/// The `message` of a `handle` or an `event` is an object, that of a `service_response` a text.
#[derive(Serialize)]
#[serde(untagged)]
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

const KINDS: &[&str] =
    &["init", "handle", "event", "service_response", "health_check", "shutdown", "cancel", KV_CHANGE];

impl<'a> HostFrame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If it is not one that a module knows; the error tells whether it can be answered.
    pub fn read(frame: impl Into<RawFrame<'a>>) -> Result<Frame<Self>, Unreadable> {
        let RawFrame { json, attachment, .. } = frame.into();
        let mut flat: Flat<'a> = match read_flat(json, KINDS) {
            // These have no fields among these, so whatever else stands in them is ignored. A `cancel` above all must not be
            // answered: its id is that of another request.
            Err(Unreadable::Invalid { id, kind, .. }) if matches!(&*kind, "cancel" | "health_check" | KV_CHANGE) => {
                Flat { id, kind: kind.into(), ..Flat::default() }
            }
            flat => flat?,
        };
        let id = flat.id;
        if flat.kind == KV_CHANGE {
            let change = KvChange::read(json, attachment).map_err(invalid(id, KV_CHANGE))?;
            return Ok(Frame { id, body: Self::KvChange(change) });
        }
        let attachment = match &*flat.kind {
            "cancel" | "health_check" => None,
            kind => Attachment::new(flat.attachment.take(), attachment).map_err(invalid(id, kind))?,
        };
        let body = match &*flat.kind {
            "init" => Self::Init(Init {
                config: required(flat.config, "config", id, "init")?,
                module_id: flat.module_id,
                protocol: flat.protocol,
            }),
            "handle" => Self::Handle(flat.handle("handle", attachment.as_ref())?),
            "event" => Self::Event(flat.handle("event", attachment.as_ref())?),
            "service_response" if required(flat.success, "success", id, "service_response")? => {
                let data = Object::read(flat.data, "data", attachment.as_ref());
                let data = data.map_err(invalid(id, "service_response"))?;
                Self::ServiceResponse(Ok(required(data, "data", id, "service_response")?))
            }
            "service_response" => Self::ServiceResponse(Err(ErrorBody {
                code: required(Some(flat.code).filter(|code| !code.is_empty()), "code", id, "service_response")?,
                message: match flat.message {
                    Some(MessageOrText::Text(text)) => text,
                    _ => Cow::Borrowed(""),
                },
                details: flat.details,
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

impl<'a> Flat<'a> {
    fn handle(self, kind: &str, attachment: Option<&Attachment<'a>>) -> Result<Box<Handle<'a>>, Unreadable> {
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
            Some(attachment) => Payload::from(attachment.at(PAYLOAD).map_err(invalid(self.id, kind))?),
        };
        let message = Message { topic, payload, priority, ttl_ms };
        Ok(Box::new(Handle { message, context: self.context.unwrap_or_default() }))
    }
}

impl Frame<HostFrame<'_>> {
    /// Appends the frame. Returns its size, as the limit counts it.
    pub fn write(&self, framing: Framing, output: &mut Vec<u8>) -> usize {
        let mut attachment: Attached<'_> = None;
        let whole;
        let kind = |kind| Flat { kind: Cow::Borrowed(kind), id: self.id, ..Flat::default() };
        let flat = match &self.body {
            HostFrame::Init(init) => Flat {
                config: Some(init.config),
                module_id: init.module_id.clone(),
                protocol: init.protocol.clone(),
                ..kind("init")
            },
            HostFrame::Handle(handle) | HostFrame::Event(handle) => {
                let name = if matches!(self.body, HostFrame::Event(_)) { "event" } else { "handle" };
                let Handle { message, context } = &**handle;
                if let (Framing::Length, Payload::Bytes(bytes)) = (framing, &message.payload)
                    && bytes.len() >= ATTACH_FROM_BYTES
                {
                    attachment = Some((Cow::Borrowed(PAYLOAD), bytes));
                }
                let message = MessageFields {
                    topic: Cow::Borrowed(&message.topic),
                    payload: attachment.is_none().then(|| message.payload.borrowed()),
                    priority: message.priority,
                    ttl_ms: message.ttl_ms,
                };
                Flat { message: Some(MessageOrText::Message(message)), context: Some(context.clone()), ..kind(name) }
            }
            HostFrame::ServiceResponse(Ok(data)) => {
                (whole, attachment) = data.for_wire(framing, "data");
                Flat { success: Some(true), data: Some(&whole), ..kind("service_response") }
            }
            HostFrame::ServiceResponse(Err(error)) => Flat {
                success: Some(false),
                code: Cow::Borrowed(&error.code),
                message: Some(MessageOrText::Text(Cow::Borrowed(&error.message))),
                details: error.details,
                retryable: error.retryable,
                ..kind("service_response")
            },
            HostFrame::HealthCheck => kind("health_check"),
            HostFrame::Shutdown(shutdown) => Flat { grace_ms: shutdown.grace_ms, ..kind("shutdown") },
            HostFrame::Cancel => kind("cancel"),
            HostFrame::KvChange(change) => return change.write(framing, output),
        };
        let (path, attachment) = attachment.unzip();
        framing.write(&Flat { attachment: path, ..flat }, attachment, output)
    }
}
