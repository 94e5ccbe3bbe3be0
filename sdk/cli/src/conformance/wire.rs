//! The host's end of the socket, written from PROTOCOL.md and not from the crate that the SDK is made of: a mistake there
//! would otherwise be on both sides, and not be seen.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ixt_host::text::harmless;
use serde_json::{Map, Value};

/// The limit that `init` tells.
pub(super) const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The bit of a length that says that there is an attachment.
const ATTACHED: u32 = 1 << 31;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Line,
    Length,
}

/// What came.
pub(super) enum Received {
    Frame(Map<String, Value>),
    /// Why it is none.
    NoFrame(String),
    Closed,
    TimedOut,
}

pub(super) struct Wire {
    stream: UnixStream,
    pub(super) framing: Framing,
    buffer: Vec<u8>,
    /// There is no line end before this.
    searched: usize,
}

impl Wire {
    pub(super) fn new(stream: UnixStream, framing: Framing, patience: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(patience))?;
        Ok(Self { stream, framing, buffer: Vec::new(), searched: 0 })
    }

    /// Sends bytes as they are.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a frame, or what stands in its place.
    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let bytes = self.framed(frame);
        self.send_raw(&bytes)
    }

    /// A frame as it goes over the wire.
    pub(super) fn framed(&self, frame: &[u8]) -> Vec<u8> {
        match self.framing {
            Framing::Line => [frame, b"\n"].concat(),
            Framing::Length => [&length(frame.len()).to_le_bytes(), frame].concat(),
        }
    }

    /// Sends a frame with an attachment.
    pub(super) fn send_attached(&mut self, frame: &[u8], attachment: &[u8]) -> io::Result<()> {
        let whole = length(4 + frame.len() + attachment.len()) | ATTACHED;
        let bytes = [&whole.to_le_bytes(), &length(frame.len()).to_le_bytes(), frame, attachment].concat();
        self.send_raw(&bytes)
    }

    /// Sends no more, but still reads.
    pub(super) fn close_output(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Neither sends nor reads any more, as a host that is gone.
    pub(super) fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// What comes next, if it comes before this.
    pub(super) fn receive(&mut self, deadline: Instant) -> Received {
        loop {
            // First, so that one who sends without end does not keep it here for ever.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Received::TimedOut;
            }
            if let Some(received) = self.take() {
                return received;
            }
            let mut chunk = vec![0; 256 * 1024];
            match self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut chunk)) {
                Ok(0) if self.buffer.is_empty() => return Received::Closed,
                Ok(0) => {
                    let unfinished = std::mem::take(&mut self.buffer);
                    return Received::NoFrame(format!("a frame without an end: {}", shown(&unfinished)));
                }
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A process that was killed leaves a connection that is reset.
                Err(_) => return Received::Closed,
            }
        }
    }

    /// What is there already.
    fn take(&mut self) -> Option<Received> {
        match self.framing {
            Framing::Line => {
                let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
                let Some(end) = found.map(|offset| self.searched + offset) else {
                    self.searched = self.buffer.len();
                    return (self.buffer.len() > MAX_FRAME_BYTES).then(|| self.too_long(self.buffer.len()));
                };
                let line: Vec<u8> = self.buffer.drain(..=end).take(end).collect();
                self.searched = 0;
                Some(if line.len() > MAX_FRAME_BYTES { self.too_long(line.len()) } else { read(&line, None) })
            }
            Framing::Length => {
                let head = u32::from_le_bytes(*self.buffer.first_chunk()?);
                let bytes = (head & !ATTACHED) as usize;
                if bytes > MAX_FRAME_BYTES {
                    return Some(self.too_long(bytes));
                }
                if self.buffer.len() < 4 + bytes {
                    return None;
                }
                let frame: Vec<u8> = self.buffer.drain(..4 + bytes).skip(4).collect();
                if head & ATTACHED == 0 {
                    return Some(read(&frame, None));
                }
                let parts = frame
                    .split_first_chunk()
                    .and_then(|(json_bytes, rest)| rest.split_at_checked(u32::from_le_bytes(*json_bytes) as usize));
                Some(match parts {
                    Some((json, attachment)) => read(json, Some(attachment)),
                    None => Received::NoFrame(format!("a frame whose inner length is over its own: {}", shown(&frame))),
                })
            }
        }
    }

    /// Nothing after it can be told apart: the rest is dropped.
    fn too_long(&mut self, bytes: usize) -> Received {
        let begin = shown(&self.buffer);
        self.buffer.clear();
        self.searched = 0;
        Received::NoFrame(format!("a frame of at least {bytes} bytes, over the limit of {MAX_FRAME_BYTES}: {begin}"))
    }
}

/// A length as the wire has it. Nothing here comes near to what four bytes can hold.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX) & !ATTACHED
}

/// A frame with its attachment in place.
fn read(json: &[u8], attachment: Option<&[u8]>) -> Received {
    let mut frame = match serde_json::from_slice(json) {
        Ok(Value::Object(frame)) => frame,
        Ok(_) => return Received::NoFrame(format!("no JSON object: {}", shown(json))),
        Err(error) => return Received::NoFrame(format!("no JSON ({error}): {}", shown(json))),
    };
    let Some(attachment) = attachment else { return Received::Frame(frame) };
    let path = frame.remove("attachment");
    match path.as_ref().and_then(Value::as_str).and_then(|path| path.split_once('.')) {
        Some((outer, key)) => {
            let outer = frame.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            match outer.as_object_mut() {
                Some(outer) => {
                    outer.insert(key.to_owned(), Value::from(BASE64_STANDARD.encode(attachment)));
                    Received::Frame(frame)
                }
                None => Received::NoFrame(format!("an attachment for what is no object: {}", shown(json))),
            }
        }
        None => Received::NoFrame(format!("an attachment whose path `attachment` does not name: {}", shown(json))),
    }
}

/// The beginning of something, for people.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 300;
    let text = harmless(&String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]));
    if bytes.len() > SHOWN { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}
