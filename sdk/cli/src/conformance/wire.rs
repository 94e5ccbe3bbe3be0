//! The host's end of the socket: cuts bytes into frames, in both framings, and waits for them. It is written from
//! PROTOCOL.md, without `ixt-protocol`: a mistake in that crate would be on both sides of the socket, and no check
//! would find it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ixt_host::text::harmless;
use serde_json::{Map, Value};

/// The largest frame that is read, in bytes, with its attachment. It is also what `init` offers by default. A larger
/// one is [`Incoming::NoFrame`].
pub(super) const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;
/// The bit in the length of a frame which says that it has an attachment.
const ATTACHED: u32 = 1 << 31;

/// How frames are delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// A line end after each frame.
    Line,
    /// Four bytes with the length before each frame.
    Length,
}

/// What a module has sent next.
pub(super) enum Incoming {
    /// A frame. An attachment is in it as base64, in the place that it names.
    Frame(Map<String, Value>),
    /// Bytes that are not a frame, also one that is too long or has no end; the text says why and shows them.
    NoFrame(String),
    /// The end of the connection, also a broken one.
    Closed,
    /// No whole frame came before the deadline. What has come of one is kept for the next call.
    TimedOut,
}

/// The host's end of a connection. Its methods block the thread.
pub(super) struct HostWire {
    stream: UnixStream,
    /// The framing in both directions. A check may change it between two frames.
    pub(super) framing: Framing,
    /// The bytes that were received after the last frame.
    buffer: Vec<u8>,
    /// How many bytes at the beginning of the buffer were searched for a line end and have none.
    searched: usize,
}

impl HostWire {
    /// Each write fails with [`ErrorKind::WouldBlock`] if the module reads nothing for `write_timeout`, which must not
    /// be 0.
    pub(super) fn new(stream: UnixStream, framing: Framing, write_timeout: Duration) -> io::Result<Self> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(write_timeout))?;
        Ok(Self { stream, framing, buffer: Vec::new(), searched: 0 })
    }

    /// Sends bytes as they are, without framing. Waits until the system has taken all of them.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Sends a frame, or other bytes in the place of one, in the current framing.
    pub(super) fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        let bytes = self.framed(frame);
        self.send_raw(&bytes)
    }

    /// The bytes of a frame on the wire, in the current framing.
    pub(super) fn framed(&self, frame: &[u8]) -> Vec<u8> {
        match self.framing {
            Framing::Line => [frame, b"\n"].concat(),
            Framing::Length => [&length(frame.len()).to_le_bytes(), frame].concat(),
        }
    }

    /// Sends a frame with an attachment. Only for the framing `length`, whatever the current one is.
    pub(super) fn send_attached(&mut self, frame: &[u8], attachment: &[u8]) -> io::Result<()> {
        let whole = length(4 + frame.len() + attachment.len()) | ATTACHED;
        let bytes = [&whole.to_le_bytes(), &length(frame.len()).to_le_bytes(), frame, attachment].concat();
        self.send_raw(&bytes)
    }

    /// Closes the host's end: nothing more can be sent, but replies are still read.
    pub(super) fn close_output(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Closes the connection in both directions, as when a host ends.
    pub(super) fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Waits for the next frame, until the deadline. If that has passed, returns [`Incoming::TimedOut`] even if a frame
    /// has come.
    pub(super) fn receive(&mut self, deadline: Instant) -> Incoming {
        loop {
            // The deadline is checked first: a module that sends without end must not keep a caller going.
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Incoming::TimedOut;
            }
            if let Some(received) = self.take() {
                return received;
            }
            let mut chunk = vec![0; 256 * 1024];
            match self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut chunk)) {
                Ok(0) if self.buffer.is_empty() => return Incoming::Closed,
                Ok(0) => {
                    let unfinished = std::mem::take(&mut self.buffer);
                    self.searched = 0;
                    return Incoming::NoFrame(format!("a frame without an end: {}", shown(&unfinished)));
                }
                Ok(read) => self.buffer.extend_from_slice(&chunk[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // A process that was killed leaves a connection that is reset.
                Err(_) => return Incoming::Closed,
            }
        }
    }

    /// Takes the next frame out of the buffer. `None` if it is not complete yet.
    fn take(&mut self) -> Option<Incoming> {
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
                    None => Incoming::NoFrame(format!("a frame whose inner length is over its own: {}", shown(&frame))),
                })
            }
        }
    }

    /// Reports a frame over the limit. All bytes that have come are dropped, also later frames among them: a check
    /// fails with this anyway.
    fn too_long(&mut self, bytes: usize) -> Incoming {
        let begin = shown(&self.buffer);
        self.buffer.clear();
        self.searched = 0;
        Incoming::NoFrame(format!("a frame of at least {bytes} bytes, over the limit of {MAX_FRAME_BYTES}: {begin}"))
    }
}

/// A length in 31 bits, as on the wire. The frames of the checks are far shorter than that.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX) & !ATTACHED
}

/// Parses a frame, and puts its attachment, if there is one, in the place that the frame names.
fn read(json: &[u8], attachment: Option<&[u8]>) -> Incoming {
    let mut frame = match serde_json::from_slice(json) {
        Ok(Value::Object(frame)) => frame,
        Ok(_) => return Incoming::NoFrame(format!("no JSON object: {}", shown(json))),
        Err(error) => return Incoming::NoFrame(format!("no JSON ({error}): {}", shown(json))),
    };
    let Some(attachment) = attachment else { return Incoming::Frame(frame) };
    let path = frame.remove("attachment");
    match path.as_ref().and_then(Value::as_str).and_then(|path| path.split_once('.')) {
        Some((outer, key)) => {
            let outer = frame.entry(outer).or_insert_with(|| Value::Object(Map::new()));
            match outer.as_object_mut() {
                Some(outer) => {
                    outer.insert(key.to_owned(), Value::from(BASE64_STANDARD.encode(attachment)));
                    Incoming::Frame(frame)
                }
                None => Incoming::NoFrame(format!("an attachment for what is no object: {}", shown(json))),
            }
        }
        None => Incoming::NoFrame(format!("an attachment whose path `attachment` does not name: {}", shown(json))),
    }
}

/// At most the first 300 bytes, for people, with the number of all bytes if there are more.
pub(super) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 300;
    let text = harmless(&String::from_utf8_lossy(&bytes[..bytes.len().min(SHOWN)]));
    if bytes.len() > SHOWN { format!("{text}… ({} bytes)", bytes.len()) } else { text }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// The host's end, and the module's.
    fn pair(framing: Framing) -> (HostWire, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        (HostWire::new(here, framing, LONG).unwrap(), there)
    }

    /// What the host receives if the module sends these bytes and then closes the connection.
    fn received(framing: Framing, bytes: &[u8]) -> Vec<String> {
        let (mut wire, mut module) = pair(framing);
        let mut all = Vec::new();
        std::thread::scope(|scope| {
            // More than fits into the socket's buffer.
            scope.spawn(move || {
                let _ = module.write_all(bytes);
            });
            loop {
                match wire.receive(Instant::now() + LONG) {
                    Incoming::Frame(frame) => all.push(Value::Object(frame).to_string()),
                    Incoming::NoFrame(why) => all.push(why),
                    Incoming::Closed => break,
                    Incoming::TimedOut => panic!("nothing came"),
                }
            }
        });
        all
    }

    fn with_length(bytes: &[u8]) -> Vec<u8> {
        [&length(bytes.len()).to_le_bytes(), bytes].concat()
    }

    #[test]
    fn lines_and_lengths_are_told_apart() {
        assert_eq!(received(Framing::Line, b"{\"a\":1}\n{\"b\":2}\n"), ["{\"a\":1}", "{\"b\":2}"]);
        let frames = [with_length(b"{\"a\":\"\\n\"}"), with_length(b"{}")].concat();
        assert_eq!(received(Framing::Length, &frames), ["{\"a\":\"\\n\"}", "{}"]);
        let (wire, _module) = pair(Framing::Length);
        assert_eq!(wire.framed(b"{}"), with_length(b"{}"));
    }

    #[test]
    fn what_is_no_frame_is_told_with_the_reason() {
        for (bytes, says) in [
            (&b"hello\n"[..], "no JSON ("),
            (b"[]\n", "no JSON object: []"),
            (b"{\"a\":", "a frame without an end: {\"a\":"),
        ] {
            let [why] = received(Framing::Line, bytes).try_into().unwrap();
            assert!(why.starts_with(says), "{why}");
        }
        let too_long = length(MAX_FRAME_BYTES + 1).to_le_bytes();
        let [why] = received(Framing::Length, &too_long).try_into().unwrap();
        assert!(why.starts_with("a frame of at least 16777217 bytes, over the limit of 16777216"), "{why}");
        let line = vec![b'x'; MAX_FRAME_BYTES + 1];
        let why = &received(Framing::Line, &line)[0];
        assert!(why.starts_with("a frame of at least 16777217 bytes"), "{why}");
    }

    #[test]
    fn an_attachment_stands_where_its_path_says() {
        let (mut wire, mut module) = pair(Framing::Length);
        wire.send_attached(b"{\"attachment\":\"data.bytes\"}", b"\x00\xff").unwrap();
        wire.close_output();
        let mut sent = Vec::new();
        module.read_to_end(&mut sent).unwrap();
        assert_eq!(received(Framing::Length, &sent), [json!({ "data": { "bytes": "AP8=" } }).to_string()]);
        for (json, says) in [
            (&b"{}"[..], "an attachment whose path `attachment` does not name"),
            (b"{\"attachment\":\"bytes\"}", "an attachment whose path `attachment` does not name"),
            (b"{\"attachment\":\"data.bytes\",\"data\":5}", "an attachment for what is no object"),
        ] {
            let inner = [&length(json.len()).to_le_bytes()[..], json, b"x"].concat();
            let whole = [&(length(inner.len()) | ATTACHED).to_le_bytes()[..], &inner].concat();
            let [why] = received(Framing::Length, &whole).try_into().unwrap();
            assert!(why.starts_with(says), "{why}");
        }
    }

    #[test]
    fn a_module_that_sends_nothing_is_not_waited_for_longer_than_the_deadline() {
        let (mut wire, mut module) = pair(Framing::Line);
        module.write_all(b"{\"a\"").unwrap();
        assert!(matches!(wire.receive(Instant::now() + Duration::from_millis(1)), Incoming::TimedOut));
        module.write_all(b":1}\n").unwrap();
        assert!(matches!(wire.receive(Instant::now() + LONG), Incoming::Frame(_)), "nothing is lost");
    }
}
