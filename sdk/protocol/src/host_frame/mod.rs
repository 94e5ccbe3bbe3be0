//! The frames that a host sends. Each type of frame with fields has a file here, with its fields, its reader, its writer and its
//! examples; `event` shares that of `handle`, and `cancel` and `health_check` have no fields. This file chooses by the type, and
//! between the quick reader and serde. What a module does with each frame is in `session/` of the SDK.
//!
//! To add a type, see "Add a frame type" in CONTRIBUTING.md.

mod draining;
mod handle;
mod init;
mod kv_change;
mod kv_watch_ended;
mod service_response;
mod shutdown;

pub use draining::Draining;
pub use handle::{Handle, HandleContext, HandleMessage};
pub use init::{Init, ProtocolOffer};
pub use kv_change::KvChange;
pub use kv_watch_ended::KvWatchEnded;
pub use shutdown::Shutdown;

use crate::frame_reader::FrameReader;
use crate::quick_json::{QuickReader, is_on};
#[cfg(any(test, feature = "fuzzing"))]
use crate::quick_json::{ReadBothWays, read_both_ways};
use crate::{ErrorBody, Frame, Framing, Object, RawFrame, Unreadable, json_writer};

/// The body of a frame from the host: its type and its fields.
///
/// `init`, `handle`, `event`, `health_check` and `shutdown` are requests: each has an id, and the module must send exactly one
/// reply with the same id, or without an id if it uses none. The other frames have no reply.
///
/// More types may be added. [`frame_type`](Self::frame_type) names the type of a variant that a receiver does not handle.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum HostFrame<'a> {
    /// `init`, the first frame of a connection: the module's configuration.
    Init(Init<'a>),
    /// `handle`: a request to one of the module's services. Its reply goes back to the caller.
    Handle(Handle<'a>),
    /// `event`: an event that the module subscribes to. A `success` says that the module has handled it; its `data` is ignored.
    /// After an `error` the host does not send the event again; only a durable one that is refused with `UNAVAILABLE`, retryable,
    /// by a module that shuts down is sent again. The publisher does not see the reply.
    Event(Handle<'a>),
    /// `service_response`: the response to a service request of the module, with that request's id, or without one if the request
    /// has none: its `data`, or an error.
    ServiceResponse(Result<Object<'a>, ErrorBody<'a>>),
    /// `health_check`: asks whether the module works, at an interval. The `data` of a `success` has the answer, `healthy`, a
    /// boolean; an `error`, or no such boolean, counts as not healthy.
    HealthCheck,
    /// `shutdown`: asks the module to finish its requests and to exit.
    Shutdown(Shutdown),
    /// `cancel`: the caller of the request with this id no longer waits, because it gave up or the time is over. The module must
    /// answer that request all the same, by `CANCELLED` or otherwise. Not sent to a module that uses no ids.
    Cancel,
    /// `kv_change`: a key that the module watches has changed. Has no id.
    KvChange(KvChange<'a>),
    /// `kv_watch_ended`: the host has ended a watch. Has no id.
    KvWatchEnded(KvWatchEnded),
    /// `draining`: the host sends no new calls and events; `shutdown` follows. Has no id.
    Draining(Draining),
}

impl<'a> HostFrame<'a> {
    /// Reads a frame.
    ///
    /// # Errors
    ///
    /// If it is not a frame of a host, or if its fields are wrong. The variant of [`Unreadable`] decides how a module answers. A
    /// value of a `kv_change` is never in the error, since the module logs it. Where a type of frame can't have an attachment, one
    /// is ignored. Bytes without the field `attachment`, or the field without bytes, are an error, except in a `health_check` or a
    /// `cancel`.
    pub fn read(frame: impl Into<RawFrame<'a>>) -> Result<Frame<Self>, Unreadable> {
        let mut frame = frame.into();
        Self::read_quickly(&mut frame).map_or_else(|| Self::read_by_serde(frame), Ok)
    }

    /// Reads a `handle`, an `event`, or a `service_response` with a success, in the form in which this crate writes it. `None` for any
    /// other frame or form; `frame` is then unchanged.
    fn read_quickly(frame: &mut RawFrame<'a>) -> Option<Frame<Self>> {
        let mut reader = QuickReader::new(frame.json);
        reader.literal(br#"{"type":""#)?;
        if is_on("service_response") && reader.skip(br#"service_response","id":"#) {
            let id = Some(reader.number()?);
            let data = service_response::read_quickly(&mut reader, frame)?;
            return Some(Frame { id, body: Self::ServiceResponse(Ok(data)) });
        }
        if !is_on("handle") {
            return None;
        }
        let body = if reader.skip(br#"handle","id":"#) {
            Self::Handle
        } else {
            reader.literal(br#"event","id":"#)?;
            Self::Event
        };
        let id = Some(reader.number()?);
        Some(Frame { id, body: body(Handle::read_quickly(&mut reader, frame)?) })
    }

    /// Reads any frame, in any form.
    fn read_by_serde(frame: RawFrame<'a>) -> Result<Frame<Self>, Unreadable> {
        let reader = FrameReader::new(frame)?;
        match reader.frame_type() {
            "init" => reader.read(|init, _| Ok(Self::Init(init))),
            "handle" => reader.read(|fields, attachment| Ok(Self::Handle(Handle::from_fields(fields, attachment)?))),
            "event" => reader.read(|fields, attachment| Ok(Self::Event(Handle::from_fields(fields, attachment)?))),
            "service_response" => reader.read(|fields, attachment| {
                Ok(Self::ServiceResponse(service_response::from_fields(fields, attachment)?))
            }),
            "health_check" => reader.read_id(Self::HealthCheck),
            "shutdown" => reader.read(|shutdown, _| Ok(Self::Shutdown(shutdown))),
            "cancel" => reader.read_id(Self::Cancel),
            // The module logs this error, and a value that it stores does not belong into its log.
            "kv_change" => reader
                .read(|fields, attachment| Ok(Self::KvChange(KvChange::from_fields(fields, attachment)?)))
                .map_err(Unreadable::without_values),
            "kv_watch_ended" => reader.read(|ended, _| Ok(Self::KvWatchEnded(ended))),
            "draining" => reader.read(|draining, _| Ok(Self::Draining(draining))),
            _ => Err(reader.unknown()),
        }
    }

    /// What the quick reader and serde make of a frame: see `ReadBothWays`.
    #[cfg(any(test, feature = "fuzzing"))]
    #[doc(hidden)]
    pub fn read_both_ways(frame: RawFrame<'a>) -> ReadBothWays {
        read_both_ways(frame, Self::read_quickly, Self::read_by_serde)
    }

    /// The frame's `type` on the wire.
    #[must_use]
    pub fn frame_type(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Handle(_) => "handle",
            Self::Event(_) => "event",
            Self::ServiceResponse(_) => "service_response",
            Self::HealthCheck => "health_check",
            Self::Shutdown(_) => "shutdown",
            Self::Cancel => "cancel",
            Self::KvChange(_) => "kv_change",
            Self::KvWatchEnded(_) => "kv_watch_ended",
            Self::Draining(_) => "draining",
        }
    }
}

impl Frame<HostFrame<'_>> {
    /// Appends the frame in this framing. Returns its size in bytes, without the line's end or the first length. The caller
    /// compares it with the limit of the connection: a frame over the limit must not be sent, and the caller removes it from
    /// `output` again. No limit is checked here.
    pub fn write(&self, framing: Framing, output: &mut Vec<u8>) -> usize {
        let attachment = match &self.body {
            HostFrame::Handle(handle) | HostFrame::Event(handle) => handle.attachment(framing),
            HostFrame::ServiceResponse(Ok(data)) => data.attachment(framing).map(|(_, bytes)| bytes),
            HostFrame::KvChange(change) => change.attachment(framing),
            HostFrame::Init(_)
            | HostFrame::ServiceResponse(Err(_))
            | HostFrame::HealthCheck
            | HostFrame::Shutdown(_)
            | HostFrame::Cancel
            | HostFrame::KvWatchEnded(_)
            | HostFrame::Draining(_) => None,
        };
        framing.write(|output| self.write_json(framing, output), attachment, output)
    }

    /// Appends the frame's JSON, without what is attached in this framing.
    fn write_json(&self, framing: Framing, output: &mut Vec<u8>) {
        json_writer::open(self.body.frame_type(), self.id, output);
        let attachment_path = match &self.body {
            HostFrame::Handle(handle) | HostFrame::Event(handle) => handle.write(framing, output),
            HostFrame::ServiceResponse(response) => service_response::write(response, framing, output),
            HostFrame::KvChange(change) => change.write(framing, output),
            HostFrame::Init(init) => json_writer::fields(init, output),
            HostFrame::Shutdown(shutdown) => json_writer::fields(shutdown, output),
            HostFrame::KvWatchEnded(ended) => json_writer::fields(ended, output),
            HostFrame::Draining(draining) => json_writer::fields(draining, output),
            HostFrame::HealthCheck | HostFrame::Cancel => None,
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
        HostFrame::read_both_ways(RawFrame { framing: Framing::Length, json: text.as_bytes(), attachment })
    }

    #[test]
    fn the_most_frequent_frames_are_read_quickly() {
        for text in handle::EXAMPLES.iter().chain(service_response::EXAMPLES) {
            let attachment = text.contains("\"attachment\"").then_some(&b"hi"[..]);
            let (quick, any) = both(text, attachment);
            assert_eq!(quick, Some(any.unwrap()), "{text}");
        }
    }

    proptest! {
        /// For wrong and unusual frames too, the quick reader returns what serde returns, or gives up.
        #[test]
        fn what_is_read_quickly_is_the_same(text in almost([handle::EXAMPLES, service_response::EXAMPLES].concat()), attached: bool) {
            if let (Some(quick), any) = both(&text, attached.then_some(b"hi")) {
                prop_assert_eq!(Ok(quick), any, "{}", text);
            }
        }
    }
}
