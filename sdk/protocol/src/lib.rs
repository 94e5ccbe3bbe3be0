//! The wire between an IXT host and its modules: the types of frames, and how a stream of bytes is cut into frames. The host
//! (`ixt-host`) and the SDK (`ixt-sdk`) both use this crate. It does no I/O: it turns bytes into frames, and frames into bytes.
//! Nothing in it blocks or waits. Sockets, and what host and module do with a frame, are in the folders `connection` of the host
//! and `transport` and `session` of the SDK.
//!
//! - [`FrameDecoder`] cuts a stream of bytes into [`RawFrame`]s, in either [`Framing`], up to a limit of their size.
//! - [`HostFrame`] is the body of a frame that a host sends, [`ModuleFrame`] of one that a module sends. `read` makes a [`Frame`]
//!   with such a body from a [`RawFrame`], and [`Frame::write`] appends it to a buffer.
//! - [`Unreadable`] says why a frame can't be read, and whether its sender can be answered.
//!
//! The limits of texts ([`MAX_NAME_BYTES`], [`MAX_TRACE_ID_BYTES`], [`MAX_MESSAGE_BYTES`]) hold for the frames of a module. They
//! are checked when a frame is read, not when it is written.
//!
//! `PROTOCOL.md` beside this crate describes the wire for people, and for SDKs in other languages. The examples in that document
//! are test vectors of this crate.
//!
//! A module's side of one request:
//!
//! ```
//! use ixt_protocol::{Frame, HostFrame, FrameDecoder, Framing, ModuleFrame, Object, DEFAULT_MAX_FRAME_BYTES};
//!
//! let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
//! decoder.input().extend_from_slice(br#"{"type":"handle","id":7,"message":{"topic":"greet","payload":"aGk="}}"#);
//! assert!(decoder.next_frame().is_none(), "the line has no end yet");
//! decoder.input().push(b'\n');
//!
//! let request = HostFrame::read(decoder.next_frame().unwrap()?)?;
//! let HostFrame::Handle(handle) = request.body else { panic!("not a handle") };
//! assert_eq!(handle.message.topic, "greet");
//! assert_eq!(&*handle.message.payload.into_bytes()?, b"hi");
//!
//! let data = Object::serialize(&serde_json::json!({ "result": 42 }))?;
//! let mut output = Vec::new();
//! Frame { id: request.id, body: ModuleFrame::Success { data } }.write(Framing::Line, &mut output);
//! assert_eq!(output, b"{\"type\":\"success\",\"id\":7,\"data\":{\"result\":42}}\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod attachment;
mod base64_text;
mod broken_json;
pub mod code;
mod decoder;
mod error_body;
#[cfg(test)]
mod examples;
mod frame;
mod frame_reader;
mod framing;
mod host_frame;
mod json;
mod json_writer;
mod module_frame;
mod object;
mod object_reader;
mod payload;
mod plain_text;
mod priority;
mod quick_json;
mod text_limits;

pub use attachment::ATTACH_FROM_BYTES;
pub use base64_text::{Base64Error, decode_base64, deserialize_base64, encode_base64, serialize_base64};
pub use decoder::{FrameDecoder, FramingError};
pub use error_body::ErrorBody;
pub use frame::{Frame, Unreadable};
pub use framing::{Framing, MAX_LENGTH_FRAME_BYTES, RawFrame, UnknownFraming};
pub use host_frame::{
    Draining, Handle, HandleContext, HandleMessage, HostFrame, Init, KvChange, KvWatchEnded, ProtocolOffer, Shutdown,
};
pub use json::{InvalidJson, read_json};
pub use module_frame::{
    CallContext, LogFrame, LogLevel, ModuleFrame, Readiness, SdkInfo, ServiceRequest, StartingFrame,
};
pub use object::Object;
pub use payload::{Base64Text, WirePayload};
pub use priority::{Priority, UnknownPriority};

/// The version of the protocol that this crate implements. Host and module must have the same one: a module refuses `init` with
/// another version, and a host refuses a reply to `init` with another one. The start then fails. An `init` or a reply that names no
/// version is accepted.
pub const PROTOCOL_VERSION: u32 = 1;

/// The limit of `service` and `method` of a `service_request`, and of `code` of a module's `error`, in bytes of UTF-8. A frame with
/// a longer one, or with an empty one, can't be read ([`Unreadable::Invalid`]). A topic has no limit, but the host's log cuts it
/// after this many bytes.
pub const MAX_NAME_BYTES: usize = 256;

/// The limit of a `trace_id` in a module's frame, in bytes of UTF-8. A `service_request` with a longer one can't be read
/// ([`Unreadable::Invalid`]). That of a `log` is cut when the frame is read, between two characters. In the frames of a host it has
/// no limit.
pub const MAX_TRACE_ID_BYTES: usize = 256;

/// The limit of the `message` of a module's `error` and `starting`, in bytes of UTF-8: 64 KiB. A longer one is cut when the frame
/// is read, between two characters, and nothing marks the cut. The `message` of a `log` is read as a whole: the host's log cuts it
/// after 64 KiB, and says how long it was.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// The longest time for which one `starting` frame can ask, in milliseconds: an hour. A longer time is replaced by this one when
/// the frame is read. A module may send several frames, one after the other.
pub const MAX_EXTEND_MS: u64 = 60 * 60 * 1000;

/// The limit of a frame's size, in bytes, if the host's `init` sets no other, and for `init` itself: 16 MiB, with the attachment,
/// but without the line's end or the first length. A frame of exactly this size is allowed. It holds in both directions. A receiver
/// skips a larger frame ([`FramingError::TooLong`]); a sender compares the size that [`Frame::write`] returns, and does not send a
/// larger frame.
pub const DEFAULT_MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
