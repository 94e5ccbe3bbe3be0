//! The frames that a module sends. Each type of frame with fields has a file here, with its fields, its reader, its examples, and
//! its writer, unless its fields are an object or an error alone, which `object` and `json_writer` write; `cancel` has no fields.
//! This file chooses by the type, and between the quick reader and serde. `sdk_info` is not a frame, but a part of the reply to
//! `init`. What a host does with each frame is in `connection/incoming.rs` of the host.
//!
//! To add a type, see "Add a frame type" in CONTRIBUTING.md.

mod error;
mod log;
mod ready;
mod sdk_info;
mod service_request;
mod starting;
mod success;

pub use log::{LogFrame, LogLevel};
pub use ready::Readiness;
pub use sdk_info::SdkInfo;
pub use service_request::{CallContext, ServiceRequest};
pub use starting::StartingFrame;

use crate::frame_reader::FrameReader;
use crate::quick_json::{QuickReader, is_on};
#[cfg(any(test, feature = "fuzzing"))]
use crate::quick_json::{ReadBothWays, read_both_ways};
use crate::{ErrorBody, Frame, Framing, Object, RawFrame, Unreadable, json_writer};

/// The body of a frame from a module: its type and its fields.
///
/// `success` and `error` are replies: each has the id of the host's request that it answers, or none if the module uses no ids.
/// `service_request` is a request to the host, with an id that the module chooses, or none. The host sends exactly one
/// `service_response` with that id, unless the module sends `cancel` before. The other frames have no reply.
///
/// More types may be added. [`frame_type`](Self::frame_type) names the type of a variant that a receiver does not handle.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModuleFrame<'a> {
    /// `success`: the module has done what the host's request asks for.
    Success {
        /// The result. To a `handle` it is the response that the module's manifest declares, or any object if it declares none; to
        /// an `event` and a `shutdown` the host ignores it. To `init` it may have [`SdkInfo`] under `ixt`. To `health_check` it has
        /// `healthy`, a boolean, and may have `ready`, a boolean that is `true` if absent.
        data: Object<'a>,
    },
    /// `error`: the module could not do what the host's request asks for. As the reply to `init` it fails the start.
    Error(ErrorBody<'a>),
    /// `service_request`: calls a method of one of the host's services.
    ServiceRequest(ServiceRequest<'a>),
    /// `cancel`: the module no longer waits for the response to its service request with this id. The host then sends none, but one
    /// may be on its way already. The host also cancels the call of another module that the request asked for; what it does in the
    /// store may still be done. A `cancel` without an id, or with that of no request that waits, does nothing.
    Cancel,
    /// `log`: a line for the host's log. Has no id.
    Log(LogFrame<'a>),
    /// `starting`: the module has not answered `init` yet, and needs more time for that. Has no id.
    Starting(StartingFrame<'a>),
    /// `ready`: whether the module takes new calls and events. Has no id.
    Ready(Readiness),
}

impl<'a> ModuleFrame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If it is not a frame of a module, or if its fields are wrong. The variant of [`Unreadable`] decides how a host answers. A
    /// `message` or a `trace_id` of a `log` that is too long is no error: see [`MAX_MESSAGE_BYTES`](crate::MAX_MESSAGE_BYTES) and
    /// [`MAX_TRACE_ID_BYTES`](crate::MAX_TRACE_ID_BYTES). Where a type of frame can't have an attachment, one is ignored. Bytes
    /// without the field `attachment`, or the field without bytes, are an error, except in a `cancel`.
    pub fn read(frame: impl Into<RawFrame<'a>>) -> Result<Frame<Self>, Unreadable> {
        let mut frame = frame.into();
        Self::read_quickly(&mut frame).map_or_else(|| Self::read_by_serde(frame), Ok)
    }

    /// Reads a `success` or a `service_request` in the form in which this crate writes it. `None` for any other frame or form;
    /// `frame` is then unchanged.
    fn read_quickly(frame: &mut RawFrame<'a>) -> Option<Frame<Self>> {
        let mut reader = QuickReader::of_text(std::str::from_utf8(frame.json).ok()?);
        reader.literal(br#"{"type":""#)?;
        if is_on("success") && reader.skip(br#"success","id":"#) {
            let id = Some(reader.number()?);
            let data = success::read_quickly(&mut reader, frame)?;
            return Some(Frame { id, body: Self::Success { data } });
        }
        if !is_on("service_request") {
            return None;
        }
        reader.literal(br#"service_request","id":"#)?;
        let id = Some(reader.number()?);
        Some(Frame { id, body: Self::ServiceRequest(ServiceRequest::read_quickly(&mut reader, frame)?) })
    }

    /// Reads any frame, in any form.
    fn read_by_serde(frame: RawFrame<'a>) -> Result<Frame<Self>, Unreadable> {
        let reader = FrameReader::new(frame)?;
        match reader.frame_type() {
            "success" => {
                reader.read(|fields, attachment| Ok(Self::Success { data: success::from_fields(fields, attachment)? }))
            }
            "error" => reader.read(|error, _| Ok(Self::Error(error::checked(error)?))),
            "service_request" => reader
                .read(|fields, attachment| Ok(Self::ServiceRequest(ServiceRequest::from_fields(fields, attachment)?))),
            "cancel" => reader.read_id(Self::Cancel),
            "log" => reader.read(|log: LogFrame<'a>, _| Ok(Self::Log(log.cut()))),
            "starting" => reader.read(|starting: StartingFrame<'a>, _| Ok(Self::Starting(starting.limited()))),
            "ready" => reader.read(|ready, _| Ok(Self::Ready(ready))),
            _ => Err(reader.unknown()),
        }
    }

    /// What the quick reader and serde make of a frame: see `ReadBothWays`.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub fn read_both_ways(frame: RawFrame<'a>) -> ReadBothWays {
        read_both_ways(frame, Self::read_quickly, Self::read_by_serde)
    }

    /// The object that the frame carries, the only part that can have an attachment: the `data` of a `success`, or the `params` of a
    /// `service_request`. `None` for the other types of frames.
    #[must_use]
    pub fn object(&self) -> Option<&Object<'_>> {
        match self {
            Self::Success { data: object } | Self::ServiceRequest(ServiceRequest { params: object, .. }) => {
                Some(object)
            }
            Self::Error(_) | Self::Cancel | Self::Log(_) | Self::Starting(_) | Self::Ready(_) => None,
        }
    }

    /// The attachment that [`Frame::write_before_attachment`] has left out; `framing` is the one that it was called with. `None` if
    /// the frame has no attachment in that framing. Copies the bytes only if they are borrowed.
    #[must_use]
    pub fn into_attachment(self, framing: Framing) -> Option<Vec<u8>> {
        match self {
            Self::Success { data: object } | Self::ServiceRequest(ServiceRequest { params: object, .. }) => {
                object.into_attachment(framing)
            }
            Self::Error(_) | Self::Cancel | Self::Log(_) | Self::Starting(_) | Self::Ready(_) => None,
        }
    }

    /// The frame's `type` on the wire.
    #[must_use]
    pub fn frame_type(&self) -> &'static str {
        match self {
            Self::Success { .. } => "success",
            Self::Error(_) => "error",
            Self::ServiceRequest(_) => "service_request",
            Self::Cancel => "cancel",
            Self::Log(_) => "log",
            Self::Starting(_) => "starting",
            Self::Ready(_) => "ready",
        }
    }
}

impl Frame<ModuleFrame<'_>> {
    /// Appends the frame in this framing. Returns its size in bytes, without the line's end or the first length. The caller
    /// compares it with the limit of the connection: a frame over the limit must not be sent, and the caller removes it from
    /// `output` again. No limit is checked here.
    pub fn write(&self, framing: Framing, output: &mut Vec<u8>) -> usize {
        let (bytes, attachment) = self.write_before_attachment(framing, output);
        output.extend_from_slice(attachment.unwrap_or_default());
        bytes
    }

    /// Appends the frame without its attachment. Returns the size that [`write`](Self::write) returns, which counts the attachment,
    /// and the attachment; `None` if there is none in this framing. The caller sends the attachment right behind, and so need not
    /// copy it.
    pub fn write_before_attachment(&self, framing: Framing, output: &mut Vec<u8>) -> (usize, Option<&[u8]>) {
        let attachment = self.body.object().and_then(|object| object.attachment(framing)).map(|(_, bytes)| bytes);
        let json = |output: &mut Vec<u8>| self.write_json(framing, output);
        (framing.write_before_attachment(json, attachment.map(<[u8]>::len), output), attachment)
    }

    /// Appends the frame's JSON, without what is attached in this framing.
    fn write_json(&self, framing: Framing, output: &mut Vec<u8>) {
        json_writer::open(self.body.frame_type(), self.id, output);
        let attachment_path = match &self.body {
            ModuleFrame::Success { data } => data.write("data", framing, output),
            ModuleFrame::ServiceRequest(request) => request.write(framing, output),
            ModuleFrame::Error(error) => json_writer::fields(error, output),
            ModuleFrame::Log(log) => json_writer::fields(log, output),
            ModuleFrame::Starting(starting) => json_writer::fields(starting, output),
            ModuleFrame::Ready(ready) => json_writer::fields(ready, output),
            ModuleFrame::Cancel => None,
        };
        json_writer::close(attachment_path.as_deref(), output);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::quick_json::tests::almost;

    fn both(text: &str, attachment: Option<&[u8]>) -> ReadBothWays {
        let attachment = attachment.map(Cow::Borrowed);
        ModuleFrame::read_both_ways(RawFrame { framing: Framing::Length, json: text.as_bytes(), attachment })
    }

    /// The examples that are to be read quickly.
    fn quick() -> Vec<&'static str> {
        [success::EXAMPLES, service_request::QUICK_EXAMPLES].concat()
    }

    #[test]
    fn the_most_frequent_frames_are_read_quickly() {
        for text in quick() {
            let attachment = text.contains("\"attachment\"").then_some(&b"hi"[..]);
            let (quick, any) = both(text, attachment);
            assert_eq!(quick, Some(any.unwrap()), "{text}");
        }
    }

    proptest! {
        /// For wrong and unusual frames too, the quick reader returns what serde returns, or gives up.
        #[test]
        fn what_is_read_quickly_is_the_same(text in almost(quick()), attached: bool) {
            if let (Some(quick), any) = both(&text, attached.then_some(b"hi")) {
                prop_assert_eq!(Ok(quick), any, "{}", text);
            }
        }
    }
}
