//! Where one frame ends and the next begins, in both framings. Whoever reads from a socket puts the bytes in and takes the
//! frames out.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How frames follow one another on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Framing {
    /// A JSON object a line.
    #[default]
    Line,
    /// The length in four bytes, then the JSON object, and perhaps bytes that stand outside of it.
    Length,
}

/// The largest limit of a frame's size with which a length can be told from text: its fourth byte is then below 0x09, which
/// no JSON text holds.
pub const MAX_LENGTH_FRAME_BYTES: usize = 0x0900_0000 - 1;

/// The bit of a length that says that the frame has an attachment.
const ATTACHED: u32 = 1 << 31;

impl Framing {
    /// The name in `init`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::Length => "length",
        }
    }

    /// Appends a frame whose JSON `write` appends, and returns its size as the limit counts it. An attachment needs
    /// [`Framing::Length`].
    pub(crate) fn write(
        self,
        write: impl FnOnce(&mut Vec<u8>),
        attachment: Option<&[u8]>,
        output: &mut Vec<u8>,
    ) -> usize {
        let bytes = self.write_before_attachment(write, attachment.map(<[u8]>::len), output);
        output.extend_from_slice(attachment.unwrap_or_default());
        bytes
    }

    /// The same without the attachment, of which only the size is needed.
    pub(crate) fn write_before_attachment(
        self,
        write: impl FnOnce(&mut Vec<u8>),
        attachment: Option<usize>,
        output: &mut Vec<u8>,
    ) -> usize {
        let start = output.len();
        let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX) & !ATTACHED;
        match (self, attachment) {
            (Self::Line, _) => {
                write(output);
                // What is passed on as it came may have line ends between its values, where any space will do: within
                // strings there are none.
                let mut from = start;
                while let Some(at) = memchr::memchr(b'\n', &output[from..]) {
                    output[from + at] = b' ';
                    from += at + 1;
                }
                output.push(b'\n');
                output.len() - start - 1
            }
            (Self::Length, None) => {
                output.extend_from_slice(&[0; 4]);
                write(output);
                let bytes = output.len() - start - 4;
                output[start..start + 4].copy_from_slice(&length(bytes).to_le_bytes());
                bytes
            }
            (Self::Length, Some(attachment)) => {
                output.extend_from_slice(&[0; 8]);
                write(output);
                let json = output.len() - start - 8;
                let bytes = 4 + json + attachment;
                output[start..start + 4].copy_from_slice(&(length(bytes) | ATTACHED).to_le_bytes());
                output[start + 4..start + 8].copy_from_slice(&length(json).to_le_bytes());
                bytes
            }
        }
    }
}

impl FromStr for Framing {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        [Self::Line, Self::Length].into_iter().find(|framing| framing.as_str() == name).ok_or(())
    }
}

/// A frame as it was on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawFrame<'a> {
    /// How it came.
    pub framing: Framing,
    /// The JSON object.
    pub json: &'a [u8],
    /// The bytes outside of it: owned, if they are so many that they are not worth a copy.
    pub attachment: Option<Cow<'a, [u8]>>,
}

/// A line.
impl<'a> From<&'a [u8]> for RawFrame<'a> {
    fn from(json: &'a [u8]) -> Self {
        Self { framing: Framing::Line, json, attachment: None }
    }
}

/// A frame that can't be read, though the next one can.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// It was longer than the limit, and was dropped whole.
    TooLong {
        /// The frame's size.
        bytes: usize,
        /// The limit.
        max_frame_bytes: usize,
    },
    /// It says that its JSON is longer than the frame as a whole.
    Attachment {
        /// The frame's size.
        bytes: usize,
        /// What it says is the size of its JSON.
        json_bytes: usize,
    },
}

impl fmt::Display for FramingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, max_frame_bytes } => {
                write!(f, "a frame of {bytes} bytes is over the limit of {max_frame_bytes} bytes")
            }
            Self::Attachment { bytes, json_bytes } => {
                write!(f, "a frame of {bytes} bytes says that {json_bytes} of them are its JSON")
            }
        }
    }
}

impl std::error::Error for FramingError {}

/// Cuts a stream of bytes into frames, and never holds much more than the largest frame that is allowed.
#[derive(Debug)]
pub struct Decoder {
    max_frame_bytes: usize,
    mode: Mode,
    buffer: Vec<u8>,
    /// The frames before this were given out.
    start: usize,
    /// There is no line end between `start` and here.
    searched: usize,
    /// A frame that is too long, and of which only the size is kept.
    dropped: Option<Dropped>,
    /// How much more the frame needs that has begun.
    missing: usize,
    /// A large attachment that is being read, straight into where it is to stay.
    large: Option<Large>,
    /// How often in a row the buffer was empty, and larger than what had been in it.
    oversized: u32,
    /// The most that was in the buffer since it was empty.
    peak: usize,
}

#[derive(Debug)]
struct Large {
    /// Where the frame's JSON stands in the buffer, up to its end.
    json: usize,
    attachment: Vec<u8>,
    /// How long the attachment will be.
    bytes: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    /// The first frame tells.
    Unknown,
    /// Lines, until the first frame that begins with a length.
    UntilLength,
    Known(Framing),
}

#[derive(Debug)]
struct Dropped {
    bytes: usize,
    /// How much is still to come; not known of a line.
    left: usize,
}

/// The room that [`Decoder::input`] offers at least.
const READ_BYTES: usize = 64 * 1024;
/// What there is of an unfinished frame is moved to the front of the buffer, if it is no more than this.
const MOVED_BYTES: usize = 4 * 1024;
/// A buffer that has grown to more than this is given back after some time in which so much was not needed.
const KEPT_BYTES: usize = 256 * 1024;
/// That time, counted in the times at which it was empty.
const KEPT_TIMES: u32 = 16;
/// A buffer that has grown to more than this is given back as soon as it is empty.
const KEPT_AT_MOST: usize = 4 * 1024 * 1024;
/// An attachment of which so much is still to come is read straight into where it is to stay.
const LARGE_BYTES: usize = 32 * 1024;

impl Decoder {
    /// A decoder for frames of up to `max_frame_bytes`, which finds out from the first of them how they are framed.
    #[must_use]
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            max_frame_bytes,
            mode: Mode::Unknown,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            dropped: None,
            missing: 0,
            large: None,
            oversized: 0,
            peak: 0,
        }
    }

    /// Changes the limit from the next frame on.
    pub fn set_max_frame_bytes(&mut self, max_frame_bytes: usize) {
        self.max_frame_bytes = max_frame_bytes;
    }

    /// How the frames come; `None` as long as there was none.
    #[must_use]
    pub fn framing(&self) -> Option<Framing> {
        match self.mode {
            Mode::Unknown => None,
            Mode::UntilLength => Some(Framing::Line),
            Mode::Known(framing) => Some(framing),
        }
    }

    /// From the next frame on, frames come like this.
    pub fn set_framing(&mut self, framing: Framing) {
        self.mode = Mode::Known(framing);
    }

    /// The other side was asked to change to [`Framing::Length`], which it does when it has read that.
    pub fn expect_length(&mut self) {
        if self.framing() != Some(Framing::Length) {
            self.mode = Mode::UntilLength;
        }
    }

    /// Where to append what was read. It has room for some kilobytes, so that it can be read into directly.
    pub fn input(&mut self) -> &mut Vec<u8> {
        if self.large.is_some() {
            return self.large_input();
        }
        self.peak = self.peak.max(self.buffer.len());
        let room = self.missing.max(READ_BYTES);
        // What is there of an unfinished frame may be much: then it is moved only where there is no room behind it.
        if self.buffer.len() - self.start <= MOVED_BYTES || self.buffer.capacity() - self.buffer.len() < room {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        if self.buffer.is_empty() {
            self.shrink();
        }
        self.buffer.reserve(room);
        &mut self.buffer
    }

    /// The buffer is empty: what a few large frames have needed is not kept for ever.
    fn shrink(&mut self) {
        let (kept, peak) = (self.buffer.capacity(), std::mem::take(&mut self.peak));
        self.oversized = if kept > KEPT_BYTES && peak <= KEPT_BYTES { self.oversized + 1 } else { 0 };
        if kept > KEPT_AT_MOST || self.oversized >= KEPT_TIMES {
            self.buffer = Vec::new();
            self.oversized = 0;
        }
    }

    /// Whether it keeps a buffer that has grown for a large frame, though nothing is in it.
    #[must_use]
    pub fn holds_spare(&self) -> bool {
        self.large.is_none() && self.start == self.buffer.len() && self.buffer.capacity() > KEPT_BYTES
    }

    /// Gives such a buffer back. Without this, it is kept until some smaller frames have come: right for one who is about to
    /// be sent more, but not for one who is not.
    pub fn release_spare(&mut self) {
        if self.holds_spare() {
            self.buffer = Vec::new();
            (self.start, self.searched, self.peak, self.oversized) = (0, 0, 0, 0);
        }
    }

    /// How many bytes the frame takes that has come in part: as far as is known, and at least as many as have come. Of a line that
    /// is longer than 256 KiB it is as many as it may have.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        if let Some(large) = &self.large {
            return large.json + large.bytes - self.start;
        }
        if self.dropped.is_some() {
            return 0;
        }
        match self.buffer.len() - self.start + self.missing {
            few if few <= KEPT_BYTES || self.framing() != Some(Framing::Line) => few,
            _ => self.max_frame_bytes,
        }
    }

    /// The next frame, or `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// Once for each frame that can't be read, when it has passed.
    pub fn next_frame(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        if self.large.is_some() {
            return self.next_large();
        }
        match self.mode {
            Mode::Known(Framing::Line) => self.next_line(),
            Mode::Known(Framing::Length) => self.next_length(),
            // In the middle of a line.
            Mode::UntilLength if self.dropped.is_some() => self.next_line(),
            mode => {
                let fourth = *self.buffer.get(self.start + 3)?;
                // No text holds such a byte. The first frame has no attachment, so that its fourth byte may be any letter.
                let fourth = if mode == Mode::UntilLength { fourth & 0x7F } else { fourth };
                if fourth < 0x09 {
                    self.mode = Mode::Known(Framing::Length);
                    self.next_length()
                } else {
                    if mode == Mode::Unknown {
                        self.mode = Mode::Known(Framing::Line);
                    }
                    self.next_line()
                }
            }
        }
    }

    fn next_line(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        self.searched = self.searched.max(self.start);
        let found = memchr::memchr(b'\n', &self.buffer[self.searched..]);
        let Some(offset) = found else {
            self.searched = self.buffer.len();
            let unfinished = self.buffer.len() - self.start;
            if self.dropped.is_some() || unfinished > self.max_frame_bytes {
                // Of a line that is too long only its length is kept.
                self.dropped.get_or_insert(Dropped { bytes: 0, left: 0 }).bytes += unfinished;
                self.start = self.buffer.len();
            }
            return None;
        };
        let end = self.searched + offset;
        let start = std::mem::replace(&mut self.start, end + 1);
        self.searched = end + 1;
        let bytes = self.dropped.take().map_or(0, |dropped| dropped.bytes) + end - start;
        if bytes > self.max_frame_bytes {
            return Some(Err(FramingError::TooLong { bytes, max_frame_bytes: self.max_frame_bytes }));
        }
        Some(Ok(self.buffer[start..end].into()))
    }

    fn next_length(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        if self.dropped.is_none() {
            let head = u32::from_le_bytes(*self.buffer[self.start..].first_chunk()?);
            let bytes = (head & !ATTACHED) as usize;
            if bytes <= self.max_frame_bytes {
                let start = self.start + 4;
                self.missing = (start + bytes).saturating_sub(self.buffer.len());
                if self.missing > 0 {
                    if head & ATTACHED != 0 && self.missing >= LARGE_BYTES {
                        self.begin_large(start, bytes);
                    }
                    return None;
                }
                self.start = start + bytes;
                let frame = &self.buffer[start..self.start];
                let framing = Framing::Length;
                return Some(match head & ATTACHED {
                    0 => Ok(RawFrame { framing, json: frame, attachment: None }),
                    _ => attached(frame),
                });
            }
            self.dropped = Some(Dropped { bytes, left: bytes });
            self.start += 4;
        }
        let dropped = self.dropped.as_mut()?;
        let here = dropped.left.min(self.buffer.len() - self.start);
        self.start += here;
        dropped.left -= here;
        if dropped.left > 0 {
            return None;
        }
        let bytes = dropped.bytes;
        self.dropped = None;
        Some(Err(FramingError::TooLong { bytes, max_frame_bytes: self.max_frame_bytes }))
    }
}

impl Decoder {
    /// A frame of so many bytes has begun here, much of whose attachment is still to come. If its JSON is there, the attachment
    /// is read into a buffer of its own.
    fn begin_large(&mut self, start: usize, bytes: usize) {
        let here = &self.buffer[start..];
        let Some((json, rest)) = here.split_first_chunk() else { return };
        let json = u32::from_le_bytes(*json) as usize;
        // What contradicts itself is found out when it is whole.
        if let Some(bytes) = (bytes - 4).checked_sub(json)
            && let Some(begun) = rest.get(json..)
        {
            let mut attachment = Vec::new();
            attachment.reserve_exact(bytes);
            attachment.extend_from_slice(begun);
            self.large = Some(Large { json: start + 4 + json, attachment, bytes });
            self.start = start + 4;
            self.buffer.truncate(start + 4 + json);
            self.missing = 0;
        }
    }

    /// It has room for what is still to come, and no more: what follows belongs to the next frame.
    fn large_input(&mut self) -> &mut Vec<u8> {
        let input = self.large.as_mut().map_or(&mut self.buffer, |large| &mut large.attachment);
        if input.len() == input.capacity() {
            input.reserve(READ_BYTES);
        }
        input
    }

    fn next_large(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        let Large { json, mut attachment, bytes } =
            self.large.take_if(|large| large.attachment.len() >= large.bytes)?;
        // What has come after it belongs to the next frame.
        self.buffer.extend_from_slice(&attachment[bytes..]);
        attachment.truncate(bytes);
        let start = std::mem::replace(&mut self.start, json);
        let json = &self.buffer[start..json];
        Some(Ok(RawFrame { framing: Framing::Length, json, attachment: Some(Cow::Owned(attachment)) }))
    }
}

/// Takes a frame with an attachment apart.
fn attached(frame: &[u8]) -> Result<RawFrame<'_>, FramingError> {
    let parts = frame.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest));
    match parts.map(|(json_bytes, rest)| (json_bytes, rest.split_at_checked(json_bytes))) {
        Some((_, Some((json, attachment)))) => {
            Ok(RawFrame { framing: Framing::Length, json, attachment: Some(Cow::Borrowed(attachment)) })
        }
        Some((json_bytes, None)) => Err(FramingError::Attachment { bytes: frame.len(), json_bytes }),
        None => Err(FramingError::Attachment { bytes: frame.len(), json_bytes: 0 }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DEFAULT_MAX_FRAME_BYTES;

    type Owned = Result<(Vec<u8>, Option<Vec<u8>>), FramingError>;

    /// A frame without an attachment.
    fn json(text: &str) -> Owned {
        Ok(text).map(|text| (text.into(), None))
    }

    /// What comes out of a stream that arrives in chunks of a size.
    fn decode(stream: &[u8], size: usize, max: usize, mode: Mode) -> Vec<Owned> {
        let mut decoder = Decoder { mode, ..Decoder::new(max) };
        let mut frames = Vec::new();
        for chunk in stream.chunks(size) {
            decoder.input().extend_from_slice(chunk);
            while let Some(frame) = decoder.next_frame() {
                frames.push(frame.map(|frame| (frame.json.to_vec(), frame.attachment.map(Cow::into_owned))));
            }
            let held = decoder.buffer.len() - decoder.start;
            assert!(held <= max + size + 4, "holds {held} bytes");
            assert!(decoder.buffer.capacity() <= 3 * (max + size + READ_BYTES), "{}", decoder.buffer.capacity());
        }
        frames
    }

    fn too_long(bytes: usize) -> Owned {
        Err(FramingError::TooLong { bytes, max_frame_bytes: 10 })
    }

    #[test]
    fn the_size_of_the_chunks_makes_no_difference_to_lines() {
        let stream = b"one\n\nthree\n0123456789\n0123456789A\nnext\n01234567890123456789\nlast\nrest";
        let expected = [
            json("one"),
            json(""),
            json("three"),
            json("0123456789"),
            too_long(11),
            json("next"),
            too_long(20),
            json("last"),
        ];
        for size in 1..=stream.len() {
            assert_eq!(decode(stream, size, 10, Mode::Unknown), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn the_size_of_the_chunks_makes_no_difference_to_lengths() {
        let mut stream = Vec::new();
        for text in ["one", "", "0123456789", "0123456789A", "next", "01234567890123456789"] {
            stream.extend_from_slice(&u32::try_from(text.len()).unwrap().to_le_bytes());
            stream.extend_from_slice(text.as_bytes());
        }
        // With an attachment, with an empty one, and two that contradict themselves.
        for frame in [&b"\x02\0\0\0{}\n\0"[..], b"\x02\0\0\0{}", b"\x02\0\0\0{", b"\x02"] {
            stream.extend_from_slice(&(u32::try_from(frame.len()).unwrap() | ATTACHED).to_le_bytes());
            stream.extend_from_slice(frame);
        }
        stream.extend_from_slice(b"\x04\0\0\0last\x09\0\0\0rest");
        let expected = [
            json("one"),
            json(""),
            json("0123456789"),
            too_long(11),
            json("next"),
            too_long(20),
            Ok((b"{}".to_vec(), Some(b"\n\0".to_vec()))),
            Ok((b"{}".to_vec(), Some(Vec::new()))),
            Err(FramingError::Attachment { bytes: 5, json_bytes: 2 }),
            Err(FramingError::Attachment { bytes: 1, json_bytes: 0 }),
            json("last"),
        ];
        for size in 1..=stream.len() {
            assert_eq!(decode(&stream, size, 10, Mode::Unknown), expected, "in chunks of {size}");
        }
    }

    #[test]
    fn lines_come_until_the_first_length() {
        let stream = b"{\"a\":1}\n\n0123456789A\n{}\r\n\x02\0\0\0{}\x06\0\0\x80\x02\0\0\0{}\x02\0\0\0{}";
        let expected = [
            json("{\"a\":1}"),
            json(""),
            too_long(11),
            json("{}\r"),
            json("{}"),
            Ok((b"{}".to_vec(), Some(Vec::new()))),
            json("{}"),
        ];
        for size in 1..=stream.len() {
            assert_eq!(decode(stream, size, 10, Mode::UntilLength), expected, "in chunks of {size}");
        }
        // The first length may have an attachment.
        let stream = b"{\"a\":1}\n\x06\0\0\x80\x02\0\0\0{}";
        let expected = [json("{\"a\":1}"), Ok((b"{}".to_vec(), Some(Vec::new())))];
        assert_eq!(decode(stream, 1, 10, Mode::UntilLength), expected);
    }

    #[test]
    fn json_that_is_passed_on_with_line_ends_is_still_one_line() {
        let json = |output: &mut Vec<u8>| output.extend_from_slice(b"{\n  \"a\": \"\\n\"\n}");
        let mut line = Vec::new();
        Framing::Line.write(json, None, &mut line);
        assert_eq!(line, b"{   \"a\": \"\\n\" }\n");
    }

    #[test]
    fn a_frame_with_a_length_says_its_size_that_of_its_json_and_whether_bytes_follow() {
        let mut stream = b"before".to_vec();
        let json = |output: &mut Vec<u8>| output.extend_from_slice(b"{\"a\":1}");
        assert_eq!(Framing::Length.write(json, Some(b"hi!"), &mut stream), 4 + 7 + 3);
        assert_eq!(stream, b"before\x0e\0\0\x80\x07\0\0\0{\"a\":1}hi!");
        stream.clear();
        // What is attached may be written by others.
        assert_eq!(Framing::Length.write_before_attachment(json, Some(300), &mut stream), 4 + 7 + 300);
        assert_eq!(stream, b"\x37\x01\0\x80\x07\0\0\0{\"a\":1}");
        stream.clear();
        assert_eq!(Framing::Length.write(json, None, &mut stream), 7);
        assert_eq!(stream, b"\x07\0\0\0{\"a\":1}");
    }

    #[test]
    fn the_names_and_limits_are_those_of_the_document() {
        assert_eq!((Framing::Line.as_str(), Framing::Length.as_str()), ("line", "length"));
        assert_eq!(
            ["line", "length", "Line"].map(|name| name.parse().ok()),
            [Some(Framing::Line), Some(Framing::Length), None]
        );
        assert_eq!((DEFAULT_MAX_FRAME_BYTES, MAX_LENGTH_FRAME_BYTES), (16_777_216, 150_994_943));
        // The last byte of a length is none of which JSON text consists: not even a tab.
        assert_eq!(u32::try_from(MAX_LENGTH_FRAME_BYTES).unwrap().to_le_bytes()[3], b'\t' - 1);
        assert_eq!(u32::try_from(MAX_LENGTH_FRAME_BYTES + 1).unwrap().to_le_bytes()[3], b'\t');
    }

    #[test]
    fn what_is_written_is_read() {
        for (framing, attachment) in
            [(Framing::Line, None), (Framing::Length, None), (Framing::Length, Some(&b"\x00\nraw"[..]))]
        {
            let mut stream = Vec::new();
            let text = |output: &mut Vec<u8>| output.extend_from_slice(b"\"text\"");
            let bytes = framing.write(text, attachment, &mut stream);
            let again = framing.write(text, attachment, &mut stream);
            assert_eq!(bytes, again);
            let mode = Mode::Known(framing);
            let frame = Ok((b"\"text\"".to_vec(), attachment.map(<[u8]>::to_vec)));
            assert_eq!(decode(&stream, 1, bytes, mode), [frame.clone(), frame], "{framing:?}");
            let too_long = FramingError::TooLong { bytes, max_frame_bytes: bytes - 1 };
            assert_eq!(decode(&stream, 1, bytes - 1, mode)[0], Err(too_long), "the limit counts what is written");
        }
    }

    #[test]
    fn a_decoder_knows_the_framing_from_the_first_frame_on() {
        let mut decoder = Decoder::new(10);
        assert_eq!((decoder.framing(), decoder.next_frame()), (None, None));
        decoder.input().extend_from_slice(b"{\"a\":1}\n");
        assert!(decoder.next_frame().is_some());
        assert_eq!(decoder.framing(), Some(Framing::Line));
        decoder.expect_length();
        assert_eq!(decoder.framing(), Some(Framing::Line), "until a length comes");
        decoder.input().extend_from_slice(b"{ }\n\x02\0\0\0{}");
        assert_eq!(decoder.next_frame(), Some(Ok((&b"{ }"[..]).into())));
        assert!(decoder.next_frame().is_some_and(|frame| frame.unwrap().framing == Framing::Length));
        assert_eq!(decoder.framing(), Some(Framing::Length));
        decoder.expect_length();
        // No line, though its length looks like one.
        decoder.set_max_frame_bytes(usize::MAX);
        decoder.input().extend_from_slice(b"{{{\x0a{{\n");
        assert_eq!(decoder.next_frame(), None);
        assert_eq!(decoder.framing(), Some(Framing::Length));
    }

    #[test]
    fn a_limit_holds_from_the_next_frame_on() {
        let mut decoder = Decoder::new(10);
        decoder.input().extend_from_slice(b"0123456789A\n0123456789A\n");
        let error = decoder.next_frame().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "a frame of 11 bytes is over the limit of 10 bytes");
        decoder.set_max_frame_bytes(11);
        assert!(decoder.next_frame().unwrap().is_ok());
        let error = FramingError::Attachment { bytes: 5, json_bytes: 7 };
        assert_eq!(error.to_string(), "a frame of 5 bytes says that 7 of them are its JSON");
    }

    /// A large unfinished frame is moved only when there is no room behind it, and then its buffer does not grow.
    #[test]
    fn what_has_come_of_a_large_frame_stays_where_it_is_as_long_as_there_is_room() {
        let mut decoder = Decoder::new(DEFAULT_MAX_FRAME_BYTES);
        decoder.input().reserve_exact(4 * READ_BYTES);
        let first = vec![b'x'; 2 * READ_BYTES];
        decoder.input().extend(first.iter().chain(b"\n").chain(&[b'x'; MOVED_BYTES + 1]));
        assert!(decoder.next_frame().is_some());
        let capacity = decoder.input().capacity();
        let mut unfinished = MOVED_BYTES + 1;
        assert_eq!(decoder.input().len(), first.len() + 1 + unfinished, "not moved");
        while decoder.input().len() > unfinished {
            decoder.input().extend_from_slice(&[b'x'; 1000]);
            unfinished += 1000;
            assert!(unfinished < capacity, "never moved");
        }
        assert_eq!(decoder.input().capacity(), capacity, "moved, and not copied into a larger one");
        assert!(first.len() + 1 + unfinished > capacity - READ_BYTES, "moved only when there was no more room");
        // What is small is moved each time.
        let mut decoder = Decoder::new(DEFAULT_MAX_FRAME_BYTES);
        decoder.input().extend_from_slice(b"{}\n");
        decoder.input().extend_from_slice(&[b'x'; MOVED_BYTES]);
        assert!(decoder.next_frame().is_some());
        assert_eq!(decoder.input().len(), MOVED_BYTES);
    }

    #[test]
    fn a_large_attachment_is_read_straight_into_where_it_stays() {
        let frame = |attachment: &[u8], stream: &mut Vec<u8>| {
            Framing::Length.write(|output| output.extend_from_slice(b"{}"), Some(attachment), stream);
        };
        let (large, small) = (vec![7; 3 * LARGE_BYTES], vec![8; 300]);
        let mut stream = Vec::new();
        frame(&large, &mut stream);
        frame(&small, &mut stream);
        frame(&large, &mut stream);
        let expected = [&large, &small, &large].map(|bytes| Ok((b"{}".to_vec(), Some(bytes.clone()))));
        for size in [1, 9, 10, 11, 1000, LARGE_BYTES, stream.len()] {
            let mode = Mode::Known(Framing::Length);
            assert_eq!(decode(&stream, size, 4 * LARGE_BYTES, mode), expected, "in chunks of {size}");
        }
        // As a socket gives it.
        let mut decoder = Decoder::new(4 * LARGE_BYTES);
        decoder.set_framing(Framing::Length);
        decoder.input().extend_from_slice(&stream[..100]);
        assert!(decoder.next_frame().is_none());
        let input = decoder.input();
        assert_eq!(input.capacity(), large.len());
        let at = input.as_ptr();
        input.extend_from_slice(&stream[100..8 + 2 + large.len()]);
        let Some(Ok(RawFrame { attachment: Some(Cow::Owned(attachment)), .. })) = decoder.next_frame() else {
            panic!("not owned")
        };
        assert_eq!((attachment.as_ptr(), attachment), (at, large));
    }

    #[test]
    fn what_a_large_frame_has_needed_is_given_back_in_time() {
        let mut decoder = Decoder::new(DEFAULT_MAX_FRAME_BYTES);
        let mut line = |bytes: usize| {
            let input = decoder.input();
            let kept = input.capacity();
            input.extend(std::iter::repeat_n(b'x', bytes).chain([b'\n']));
            assert!(decoder.next_frame().is_some());
            kept
        };
        line(1 << 20);
        assert!((0..KEPT_TIMES).all(|_| line(10) > 1 << 20), "it may be needed again");
        line(1 << 20);
        assert!((0..=KEPT_TIMES + 1).map(|_| line(10)).last() < Some(KEPT_BYTES));
        line(8 << 20);
        assert!(line(10) < KEPT_BYTES, "so much is not kept at all");
    }

    #[test]
    fn what_a_large_frame_has_needed_can_be_given_back_at_once_but_nothing_unfinished() {
        let mut decoder = Decoder::new(DEFAULT_MAX_FRAME_BYTES);
        decoder.input().extend(std::iter::repeat_n(b'x', 1 << 20).chain([b'\n']));
        assert!(decoder.next_frame().is_some());
        decoder.input().push(b'x');
        assert!(!decoder.holds_spare());
        decoder.release_spare();
        decoder.input().push(b'\n');
        assert_eq!(decoder.next_frame(), Some(Ok((&b"x"[..]).into())));
        assert!(decoder.holds_spare());
        decoder.release_spare();
        assert!(!decoder.holds_spare() && decoder.input().capacity() < KEPT_BYTES);

        // Of a large attachment the buffer has only the JSON, here none.
        let mut decoder = Decoder::new(DEFAULT_MAX_FRAME_BYTES);
        decoder.set_framing(Framing::Length);
        let attachment = vec![7; 2 * LARGE_BYTES];
        let mut stream = Vec::new();
        Framing::Length.write(|output| output.extend_from_slice(&vec![b' '; 1 << 20]), None, &mut stream);
        Framing::Length.write(|_| {}, Some(&attachment), &mut stream);
        let (first, rest) = stream.split_at((1 << 20) + 4 + 8);
        decoder.input().extend_from_slice(first);
        assert!(decoder.next_frame().is_some() && decoder.next_frame().is_none());
        decoder.release_spare();
        decoder.input().extend_from_slice(rest);
        let frame = RawFrame { framing: Framing::Length, json: b"", attachment: Some(attachment.into()) };
        assert_eq!(decoder.next_frame(), Some(Ok(frame)));
    }
}
