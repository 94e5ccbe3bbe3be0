//! What a module sends to its host.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::frame::{at_most, invalid, object, read_flat, required, shortened};
use crate::json_writer::{head, key, number, tail, text};
use crate::object::{Attachment, Object};
use crate::quick_json::Scan;
use crate::{
    Frame, Framing, MAX_EXTEND_MS, MAX_MESSAGE_BYTES, MAX_NAME_BYTES, MAX_TRACE_ID_BYTES, RawFrame, Unreadable,
};

/// A frame from a module: a reply to a request of the host, or a request of its own.
#[derive(Debug, Clone)]
pub enum ModuleFrame<'a> {
    /// The request was done.
    Success {
        /// What it gives, a JSON object (seeds: `success(data)`).
        data: Object<'a>,
    },
    /// The request failed.
    Error(ErrorBody<'a>),
    /// Asks the host for one of its services.
    ServiceRequest(ServiceRequest<'a>),
    /// Nobody waits any more for the service request with this id. Has no reply of its own.
    Cancel,
    /// A line for the log. Has no reply.
    Log(Log<'a>),
    /// The module has not answered `init` yet, and needs more time for that. Has no reply.
    Starting(Starting<'a>),
    /// Whether the module takes new calls and events. Has no reply.
    Ready {
        /// False: not now.
        ready: bool,
    },
}

/// `starting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starting<'a> {
    /// What the module is doing, for people.
    pub message: Cow<'a, str>,
    /// How many milliseconds from now on the host is to wait at least: 0 to [`MAX_EXTEND_MS`].
    pub extend_ms: u64,
}

/// `log`.
#[derive(Debug, Clone)]
pub struct Log<'a> {
    /// How much it matters.
    pub level: LogLevel,
    /// What happened.
    pub message: Cow<'a, str>,
    /// More about it, a JSON object.
    pub fields: Option<&'a RawValue>,
    /// The trace of the message that was handled, or empty.
    pub trace_id: Cow<'a, str>,
}

/// How much a log line matters: the levels of the crates `log` and `tracing`, by their names in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Every detail.
    Trace,
    /// What helps to find a mistake.
    Debug,
    /// What is as it should be.
    Info,
    /// What may be wrong.
    Warn,
    /// What is wrong.
    Error,
}

impl LogLevel {
    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// `service_request`.
#[derive(Debug, Clone)]
pub struct ServiceRequest<'a> {
    /// Which service of the host: `message_bus`, `event_bus` and so on.
    pub service: Cow<'a, str>,
    /// Which method of it.
    pub method: Cow<'a, str>,
    /// What the method takes, a JSON object.
    pub params: Object<'a>,
    /// What it is part of.
    pub context: CallContext<'a>,
}

/// What a request of a module is part of.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
pub struct CallContext<'a> {
    /// The same for all messages that one cause sets off.
    #[serde(borrow, default)]
    pub trace_id: Cow<'a, str>,
    /// The id of the host's request that the module is handling, if it is one.
    pub parent: Option<u64>,
}

/// Why a request failed (seeds: `error(code, message, details)`).
#[derive(Debug, Clone)]
pub struct ErrorBody<'a> {
    /// What kind of failure it is: one of [`code`](crate::code), or the service's own.
    pub code: Cow<'a, str>,
    /// What went wrong, for people.
    pub message: Cow<'a, str>,
    /// More about it, a JSON object.
    pub details: Option<&'a RawValue>,
    /// Whether the same request may do better later.
    pub retryable: bool,
}

impl<'a> ErrorBody<'a> {
    /// An error without details.
    pub fn new(code: &'a str, message: impl Into<Cow<'a, str>>, retryable: bool) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into(), details: None, retryable }
    }
}

/// What an SDK says of itself in the `ixt` object of its reply to `init`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SdkInfo {
    /// The version of the protocol that the module speaks.
    pub protocol: u32,
    /// The SDK's name and version.
    pub sdk: String,
    /// How many requests the module handles at once; more wait in its queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrency: Option<usize>,
    /// Which of the framings that the host offers is in force from each side's next frame on. Absent, it stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub framing: Option<String>,
    /// Which of the features that the host offers the module uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

#[derive(Default, Deserialize)]
struct Flat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    id: Option<u64>,
    #[serde(borrow, default)]
    service: Cow<'a, str>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    context: Option<CallContext<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    level: Option<LogLevel>,
    #[serde(borrow, default)]
    code: Cow<'a, str>,
    #[serde(borrow, default)]
    message: Cow<'a, str>,
    #[serde(borrow)]
    details: Option<&'a RawValue>,
    #[serde(default)]
    retryable: bool,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    #[serde(borrow, default)]
    trace_id: Cow<'a, str>,
    #[serde(default)]
    extend_ms: u64,
    ready: Option<bool>,
    #[serde(borrow)]
    attachment: Option<Cow<'a, str>>,
}

const KINDS: &[&str] = &["success", "error", "service_request", "cancel", "log", "starting", "ready"];

impl<'a> ModuleFrame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If it is not one that a host knows.
    pub fn read(frame: impl Into<RawFrame<'a>>) -> Result<Frame<Self>, Unreadable> {
        let mut frame = frame.into();
        Self::read_quickly(&mut frame).map_or_else(|| Self::read_any(frame), Ok)
    }

    /// The frames that come by the thousand, as [`Frame::write`] writes them. `None` says nothing: then the frame is as it was.
    fn read_quickly(frame: &mut RawFrame<'a>) -> Option<Frame<Self>> {
        let mut scan = Scan::of_text(std::str::from_utf8(frame.json).ok()?);
        scan.literal(br#"{"type":""#)?;
        if scan.skip(br#"success","id":"#) {
            let id = Some(scan.number()?);
            scan.literal(br#","data":"#)?;
            let data = Object::scan(scan.value()?, "data", &mut scan, frame)?;
            return Some(Frame { id, body: Self::Success { data } });
        }
        let is_name = |text: &&str| (1..=MAX_NAME_BYTES).contains(&text.len());
        scan.literal(br#"service_request","id":"#)?;
        let id = Some(scan.number()?);
        scan.literal(br#","service":""#)?;
        let service = Cow::Borrowed(scan.text().filter(is_name)?);
        scan.literal(br#","method":""#)?;
        let method = Cow::Borrowed(scan.text().filter(is_name)?);
        scan.literal(br#","params":"#)?;
        let params = scan.value()?;
        let mut context = CallContext::default();
        if scan.skip(br#","context":{"trace_id":""#) {
            context.trace_id = Cow::Borrowed(scan.text().filter(|id| id.len() <= MAX_TRACE_ID_BYTES)?);
            if scan.skip(br#","parent":"#) {
                context.parent = Some(scan.number()?);
            }
            scan.literal(b"}")?;
        }
        let params = Object::scan(params, "params", &mut scan, frame)?;
        Some(Frame { id, body: Self::ServiceRequest(ServiceRequest { service, method, params, context }) })
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
        let mut flat: Flat<'a> = read_flat(json, KINDS)?;
        let id = flat.id;
        let kind = std::mem::take(&mut flat.kind);
        let wrong = invalid(id, &kind);
        let attachment = Attachment::new(flat.attachment.take(), attachment).map_err(&wrong)?;
        let whole = |json: Option<&'a RawValue>, name: &str| {
            required(Object::of(json, name, attachment).map_err(&wrong)?, name, id, &kind)
        };
        let name = |text: Cow<'a, str>, name: &str| {
            let text = at_most(text, MAX_NAME_BYTES, name).map_err(&wrong)?;
            required(Some(text).filter(|text| !text.is_empty()), name, id, &kind)
        };
        let body = match &*kind {
            "success" => Self::Success { data: whole(flat.data, "data")? },
            "error" => Self::Error(ErrorBody {
                code: name(flat.code, "code")?,
                message: shortened(flat.message, MAX_MESSAGE_BYTES),
                details: object(flat.details, "details").map_err(&wrong)?,
                retryable: flat.retryable,
            }),
            "service_request" => {
                let CallContext { trace_id, parent } = flat.context.unwrap_or_default();
                let trace_id = at_most(trace_id, MAX_TRACE_ID_BYTES, "context.trace_id").map_err(&wrong)?;
                Self::ServiceRequest(ServiceRequest {
                    service: name(flat.service, "service")?,
                    method: name(flat.method, "method")?,
                    params: whole(flat.params, "params")?,
                    context: CallContext { trace_id, parent },
                })
            }
            "cancel" => Self::Cancel,
            "log" => Self::Log(Log {
                level: required(flat.level, "level", id, "log")?,
                message: shortened(flat.message, MAX_MESSAGE_BYTES),
                fields: object(flat.fields, "fields").map_err(&wrong)?,
                trace_id: shortened(flat.trace_id, MAX_TRACE_ID_BYTES),
            }),
            "starting" => Self::Starting(Starting {
                message: shortened(flat.message, MAX_MESSAGE_BYTES),
                extend_ms: flat.extend_ms.min(MAX_EXTEND_MS),
            }),
            "ready" => Self::Ready { ready: required(flat.ready, "ready", id, "ready")? },
            kind => return Err(Unreadable::UnknownType { id, kind: kind.to_owned() }),
        };
        Ok(Frame { id, body })
    }
}

impl CallContext<'_> {
    /// Appends it, if it says anything.
    fn write(&self, output: &mut Vec<u8>) {
        let Self { trace_id, parent } = self;
        if trace_id.is_empty() && parent.is_none() {
            return;
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
    }
}

impl ModuleFrame<'_> {
    /// The object that it carries, if it is of a type with one.
    #[must_use]
    pub fn object(&self) -> Option<&Object<'_>> {
        match self {
            Self::Success { data: object } | Self::ServiceRequest(ServiceRequest { params: object, .. }) => {
                Some(object)
            }
            Self::Error(_) | Self::Cancel | Self::Log(_) | Self::Starting(_) | Self::Ready { .. } => None,
        }
    }

    /// What [`Frame::write_before_attachment`] has left out, without copying it.
    #[must_use]
    pub fn into_attachment(self, framing: Framing) -> Option<Vec<u8>> {
        match self {
            Self::Success { data: object } | Self::ServiceRequest(ServiceRequest { params: object, .. }) => {
                object.into_attachment(framing)
            }
            Self::Error(_) | Self::Cancel | Self::Log(_) | Self::Starting(_) | Self::Ready { .. } => None,
        }
    }

    /// Its type on the wire.
    fn kind(&self) -> &'static str {
        match self {
            Self::Success { .. } => "success",
            Self::Error(_) => "error",
            Self::ServiceRequest(_) => "service_request",
            Self::Cancel => "cancel",
            Self::Log(_) => "log",
            Self::Starting(_) => "starting",
            Self::Ready { .. } => "ready",
        }
    }
}

impl ErrorBody<'_> {
    /// Appends its fields.
    pub(crate) fn write(&self, output: &mut Vec<u8>) {
        for (name, value) in [("code", &self.code), ("message", &self.message)] {
            if !value.is_empty() {
                key(name, output);
                text(value, output);
            }
        }
        if let Some(details) = self.details {
            key("details", output);
            output.extend_from_slice(details.get().as_bytes());
        }
        if self.retryable {
            output.extend_from_slice(b",\"retryable\":true");
        }
    }
}

impl Log<'_> {
    /// Appends its fields.
    fn write(&self, output: &mut Vec<u8>) {
        key("level", output);
        text(self.level.as_str(), output);
        if !self.message.is_empty() {
            key("message", output);
            text(&self.message, output);
        }
        if let Some(fields) = self.fields {
            key("fields", output);
            output.extend_from_slice(fields.get().as_bytes());
        }
        if !self.trace_id.is_empty() {
            key("trace_id", output);
            text(&self.trace_id, output);
        }
    }
}

impl Starting<'_> {
    /// Appends its fields.
    fn write(&self, output: &mut Vec<u8>) {
        if !self.message.is_empty() {
            key("message", output);
            text(&self.message, output);
        }
        if self.extend_ms > 0 {
            key("extend_ms", output);
            number(self.extend_ms, output);
        }
    }
}

impl Frame<ModuleFrame<'_>> {
    /// Appends the frame. Returns its size, as the limit counts it.
    pub fn write(&self, framing: Framing, output: &mut Vec<u8>) -> usize {
        let (bytes, attachment) = self.write_before_attachment(framing, output);
        output.extend_from_slice(attachment.unwrap_or_default());
        bytes
    }

    /// The same for whoever writes the attachment, if there is one, behind it without copying it: it is returned.
    pub fn write_before_attachment(&self, framing: Framing, output: &mut Vec<u8>) -> (usize, Option<&[u8]>) {
        let attachment = self.body.object().and_then(|object| object.outside(framing)).map(|(_, bytes)| bytes);
        let json = |output: &mut Vec<u8>| self.write_json(framing, output);
        (framing.write_before_attachment(json, attachment.map(<[u8]>::len), output), attachment)
    }

    fn write_json(&self, framing: Framing, output: &mut Vec<u8>) {
        head(self.body.kind(), self.id, output);
        let mut path = None;
        match &self.body {
            ModuleFrame::Success { data } => path = data.write("data", framing, output),
            ModuleFrame::Error(error) => error.write(output),
            ModuleFrame::ServiceRequest(ServiceRequest { service, method, params, context }) => {
                key("service", output);
                text(service, output);
                key("method", output);
                text(method, output);
                path = params.write("params", framing, output);
                context.write(output);
            }
            ModuleFrame::Cancel => {}
            ModuleFrame::Log(log) => log.write(output),
            ModuleFrame::Starting(starting) => starting.write(output),
            ModuleFrame::Ready { ready } => {
                output.extend_from_slice(if *ready { b",\"ready\":true" } else { b",\"ready\":false" });
            }
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
        r#"{"type":"success","id":2,"data":{"result":"aGVsbG8gd29ybGQ="}}"#,
        r#"{"type":"success","id":0,"data":{"a": [1.5e-3, null, "\n"]}}"#,
        r#"{"type":"service_request","id":1,"service":"message_bus","method":"send","params":{"topic":"a"},"context":{"trace_id":"t","parent":2}}"#,
        r#"{"type":"success","id":2,"data":{"a":1},"attachment":"data.result"}"#,
        r#"{"type":"service_request","id":1,"service":"s","method":"m","params":{},"attachment":"params.payload"}"#,
    ];

    fn both(text: &str, attachment: Option<&[u8]>) -> (Option<String>, Result<String, Unreadable>) {
        let attachment = attachment.map(Cow::Borrowed);
        ModuleFrame::read_both_ways(RawFrame { framing: Framing::Length, json: text.as_bytes(), attachment })
    }

    #[test]
    fn what_comes_by_the_thousand_is_read_quickly() {
        for (text, attachment) in FRAMES.iter().zip([None, None, None, Some(&b"hi"[..]), Some(&[])]) {
            let (quick, any) = both(text, attachment);
            assert_eq!(quick, Some(any.clone().unwrap()), "{text}");
            let frame =
                RawFrame { framing: Framing::Length, json: text.as_bytes(), attachment: attachment.map(Cow::Borrowed) };
            assert_eq!(format!("{:?}", ModuleFrame::read(frame).unwrap()), any.unwrap(), "{text}");
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
