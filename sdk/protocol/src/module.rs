//! What a module sends to its host.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::attachment::{Attached, Attachment, Object};
use crate::frame::{invalid, read_flat, required};
use crate::{Frame, Framing, RawFrame, Unreadable};

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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallContext<'a> {
    /// The same for all messages that one cause sets off.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub trace_id: Cow<'a, str>,
    /// The id of the host's request that the module is handling, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
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

#[derive(Default, Serialize, Deserialize)]
struct Flat<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u64>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    service: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    method: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    context: Option<CallContext<'a>>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    level: Option<LogLevel>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    code: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    message: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    details: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    retryable: bool,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    fields: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    trace_id: Cow<'a, str>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    attachment: Option<Cow<'a, str>>,
}

const KINDS: &[&str] = &["success", "error", "service_request", "cancel", "log"];

impl<'a> ModuleFrame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If it is not one that a host knows.
    pub fn read(frame: impl Into<RawFrame<'a>>) -> Result<Frame<Self>, Unreadable> {
        let RawFrame { json, attachment, .. } = frame.into();
        let mut flat: Flat<'a> = read_flat(json, KINDS)?;
        let id = flat.id;
        let attachment = Attachment::new(flat.attachment.take(), attachment).map_err(invalid(id, &flat.kind))?;
        let object = |object: Option<&'a RawValue>, name: &str, kind: &str| {
            let object = Object::read(object, name, attachment.as_ref()).map_err(invalid(id, kind))?;
            required(object, name, id, kind)
        };
        let body = match &*flat.kind {
            "success" => Self::Success { data: object(flat.data, "data", "success")? },
            "error" => Self::Error(ErrorBody {
                code: required(Some(flat.code).filter(|code| !code.is_empty()), "code", id, "error")?,
                message: flat.message,
                details: flat.details,
                retryable: flat.retryable,
            }),
            "service_request" => {
                let text = |text: Cow<'a, str>, name| {
                    required(Some(text).filter(|text| !text.is_empty()), name, id, "service_request")
                };
                Self::ServiceRequest(ServiceRequest {
                    service: text(flat.service, "service")?,
                    method: text(flat.method, "method")?,
                    params: object(flat.params, "params", "service_request")?,
                    context: flat.context.unwrap_or_default(),
                })
            }
            "cancel" => Self::Cancel,
            "log" => Self::Log(Log {
                level: required(flat.level, "level", id, "log")?,
                message: flat.message,
                fields: flat.fields,
                trace_id: flat.trace_id,
            }),
            kind => return Err(Unreadable::UnknownType { id, kind: kind.to_owned() }),
        };
        Ok(Frame { id, body })
    }
}

impl Frame<ModuleFrame<'_>> {
    /// Appends the frame. Returns its size, as the limit counts it.
    pub fn write(&self, framing: Framing, output: &mut Vec<u8>) -> usize {
        let mut attachment: Attached<'_> = None;
        let whole;
        let kind = |kind| Flat { kind: Cow::Borrowed(kind), id: self.id, ..Flat::default() };
        let flat = match &self.body {
            ModuleFrame::Success { data } => {
                (whole, attachment) = data.for_wire(framing, "data");
                Flat { data: Some(&whole), ..kind("success") }
            }
            ModuleFrame::Error(error) => Flat {
                code: Cow::Borrowed(&error.code),
                message: Cow::Borrowed(&error.message),
                details: error.details,
                retryable: error.retryable,
                ..kind("error")
            },
            ModuleFrame::ServiceRequest(request) => {
                (whole, attachment) = request.params.for_wire(framing, "params");
                Flat {
                    service: Cow::Borrowed(&request.service),
                    method: Cow::Borrowed(&request.method),
                    params: Some(&whole),
                    context: Some(request.context.clone()).filter(|context| *context != CallContext::default()),
                    ..kind("service_request")
                }
            }
            ModuleFrame::Cancel => kind("cancel"),
            ModuleFrame::Log(log) => Flat {
                level: Some(log.level),
                message: Cow::Borrowed(&log.message),
                fields: log.fields,
                trace_id: Cow::Borrowed(&log.trace_id),
                ..kind("log")
            },
        };
        let (path, attachment) = attachment.unzip();
        framing.write(&Flat { attachment: path, ..flat }, attachment, output)
    }
}
