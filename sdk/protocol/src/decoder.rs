//! Cuts a stream of bytes into frames. The reader of a socket appends the bytes to [`FrameDecoder::input`], and takes frames from
//! [`FrameDecoder::next_frame`] until there is none.
//!
//! The decoder never holds much more than the largest frame that is allowed. Of a frame over the limit it keeps only the size. A
//! large attachment goes into a buffer of its own, so that it can be handed on without a copy.

use std::borrow::Cow;
use std::fmt;

use crate::framing::ATTACHED;
use crate::{Framing, RawFrame};

#[cfg(test)]
mod tests;

/// Why a frame could not be read. The frames after it can be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// The frame was longer than the limit, and was skipped to its end.
    TooLong {
        /// The frame's size, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        max_frame_bytes: usize,
    },
    /// The frame claims that its JSON is longer than the frame as a whole. It was skipped.
    Attachment {
        /// The frame's size, in bytes.
        bytes: usize,
        /// The size of its JSON that it claims, in bytes.
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

/// Cuts a stream of bytes into frames.
#[derive(Debug)]
pub struct FrameDecoder {
    /// The limit of a frame's size, in bytes.
    max_frame_bytes: usize,
    expected: Expected,
    /// What was read and not given out yet, after frames that were.
    buffer: Vec<u8>,
    /// Where in `buffer` the next frame begins. The frames before this were given out.
    start: usize,
    /// There is no line end in `buffer` between `start` and here.
    searched: usize,
    /// The frame over the limit that is being skipped.
    skipped: Option<Skipped>,
    /// How many bytes of the frame at `start` are still to come: as far as its length was read, otherwise 0.
    missing: usize,
    /// The large attachment that is being read.
    large: Option<Large>,
    /// How often in a row `buffer` was empty and had room for more than [`KEPT_BYTES`] that had not been used.
    times_oversized: u32,
    /// The most bytes that were in `buffer` since it was last empty.
    peak: usize,
}

/// In which framing the next frame is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    /// The first frame of the stream tells.
    Unknown,
    /// [`Framing::Line`], until a frame begins with a length.
    LineUntilLength,
    Known(Framing),
}

/// A frame whose JSON has arrived, and whose attachment is being read into a buffer of its own.
#[derive(Debug)]
struct Large {
    /// Where in [`FrameDecoder::buffer`] the frame's JSON ends. It begins at [`FrameDecoder::start`].
    json_end: usize,
    /// What there is of the attachment. Bytes of the frames after it may follow.
    attachment: Vec<u8>,
    /// The size of the whole attachment.
    bytes: usize,
}

/// A frame over the limit.
#[derive(Debug)]
struct Skipped {
    /// The frame's size. Of a line: as much as has been skipped of it.
    bytes: usize,
    /// How many of its bytes are still to come. Of a line that is not known, and this is 0.
    left: usize,
}

/// The room for one read that [`FrameDecoder::input`] offers at least, unless it reads a large attachment.
const READ_BYTES: usize = 64 * 1024;
/// An unfinished frame of up to this size is moved to the front of the buffer before each read. A larger one is moved only when
/// there is no room behind it, so that a frame that comes in many pieces is not copied for each of them.
const MOVED_BYTES: usize = 4 * 1024;
/// The capacity that the buffer may keep for good. Above it, the buffer counts as oversized.
const KEPT_BYTES: usize = 256 * 1024;
/// An oversized buffer is freed when it was empty this many times without having needed its size.
const KEPT_TIMES: u32 = 16;
/// A buffer of more than this capacity is freed as soon as it is empty.
const KEPT_AT_MOST: usize = 4 * 1024 * 1024;
/// An attachment is read into a buffer of its own if at least this much of it is still to come when its frame's JSON has arrived.
const LARGE_BYTES: usize = 32 * 1024;

impl FrameDecoder {
    /// A decoder for frames of up to `max_frame_bytes`, without the line's end or the first length. It recognizes their framing by
    /// the first of them.
    #[must_use]
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            max_frame_bytes,
            expected: Expected::Unknown,
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            skipped: None,
            missing: 0,
            large: None,
            times_oversized: 0,
            peak: 0,
        }
    }

    /// Changes the limit for the frames that [`next_frame`](Self::next_frame) has not given out yet.
    pub fn set_max_frame_bytes(&mut self, max_frame_bytes: usize) {
        self.max_frame_bytes = max_frame_bytes;
    }

    /// The framing of the last frame, or the one that was set. `None` before the first frame, if none was set.
    #[must_use]
    pub fn framing(&self) -> Option<Framing> {
        match self.expected {
            Expected::Unknown => None,
            Expected::LineUntilLength => Some(Framing::Line),
            Expected::Known(framing) => Some(framing),
        }
    }

    /// Sets the framing of all frames that [`next_frame`](Self::next_frame) has not given out yet.
    pub fn set_framing(&mut self, framing: Framing) {
        self.expected = Expected::Known(framing);
    }

    /// To be called when the other side was asked to change to [`Framing::Length`]: frames may still come as lines, until the
    /// first one with a length. From then on all have lengths. No effect if they have lengths already.
    pub fn expect_length(&mut self) {
        if self.framing() != Some(Framing::Length) {
            self.expected = Expected::LineUntilLength;
        }
    }

    /// The buffer to which the caller appends what it has read; it must not change the bytes that are in it. Then it calls
    /// [`next_frame`](Self::next_frame) until that returns `None`.
    ///
    /// The buffer has spare capacity, so that a socket can be read into it directly: at least 64 KiB, or what the frame that has
    /// begun still needs if that is more. While a large attachment is read, the spare capacity is exactly what is missing of it.
    pub fn input(&mut self) -> &mut Vec<u8> {
        if self.large.is_some() {
            return self.large_input();
        }
        self.peak = self.peak.max(self.buffer.len());
        let room = self.missing.max(READ_BYTES);
        if self.buffer.len() - self.start <= MOVED_BYTES || self.buffer.capacity() - self.buffer.len() < room {
            self.buffer.drain(..self.start);
            self.searched = self.searched.saturating_sub(self.start);
            self.start = 0;
        }
        if self.buffer.is_empty() {
            self.free_if_unused();
        }
        self.buffer.reserve(room);
        &mut self.buffer
    }

    /// Frees the buffer, which is empty, if it is too large to be kept, or has not been needed at its size for some time.
    fn free_if_unused(&mut self) {
        let (kept, peak) = (self.buffer.capacity(), std::mem::take(&mut self.peak));
        self.times_oversized = if kept > KEPT_BYTES && peak <= KEPT_BYTES { self.times_oversized + 1 } else { 0 };
        if kept > KEPT_AT_MOST || self.times_oversized >= KEPT_TIMES {
            self.buffer = Vec::new();
            self.times_oversized = 0;
        }
    }

    /// Whether the buffer is empty and has a capacity of more than 256 KiB, because of a large frame.
    #[must_use]
    pub fn is_oversized(&self) -> bool {
        self.large.is_none() && self.start == self.buffer.len() && self.buffer.capacity() > KEPT_BYTES
    }

    /// Frees the buffer if it [is oversized](Self::is_oversized); otherwise does nothing. No bytes are lost.
    ///
    /// The decoder does the same by itself after 16 reads that did not need the capacity. Who expects no further reads calls
    /// this, so that an idle connection does not keep the memory.
    pub fn shrink(&mut self) {
        if self.is_oversized() {
            self.buffer = Vec::new();
            (self.start, self.searched, self.peak, self.times_oversized) = (0, 0, 0, 0);
        }
    }

    /// The size of the frame that has come in part, in bytes; 0 if there is none, or if the frame is over the limit.
    ///
    /// With lengths this is the size that the frame says it has. A line does not say its size: up to 256 KiB this is how much of
    /// it has come, and from then on the limit.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        if let Some(large) = &self.large {
            return large.json_end + large.bytes - self.start;
        }
        if self.skipped.is_some() {
            return 0;
        }
        match self.buffer.len() - self.start + self.missing {
            few if few <= KEPT_BYTES || self.framing() != Some(Framing::Line) => few,
            _ => self.max_frame_bytes,
        }
    }

    /// The next frame, or `None` until more bytes have come.
    ///
    /// # Errors
    ///
    /// Once for each frame that is over the limit or contradicts itself, when all of it has passed. The next call goes on with the
    /// frame after it.
    pub fn next_frame(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        if self.large.is_some() {
            return self.next_large();
        }
        match self.expected {
            Expected::Known(Framing::Line) => self.next_line(),
            Expected::Known(Framing::Length) => self.next_length(),
            // In the middle of a line.
            Expected::LineUntilLength if self.skipped.is_some() => self.next_line(),
            expected => {
                let fourth = *self.buffer.get(self.start + 3)?;
                // The fourth byte of a length is below 0x09, without the bit for an attachment. No JSON text has such a byte. The
                // very first frame has no attachment, so there the bit is part of the text: a letter that is not ASCII.
                let fourth = if expected == Expected::LineUntilLength { fourth & 0x7F } else { fourth };
                if fourth < 0x09 {
                    self.expected = Expected::Known(Framing::Length);
                    self.next_length()
                } else {
                    if expected == Expected::Unknown {
                        self.expected = Expected::Known(Framing::Line);
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
            if self.skipped.is_some() || unfinished > self.max_frame_bytes {
                self.skipped.get_or_insert(Skipped { bytes: 0, left: 0 }).bytes += unfinished;
                self.start = self.buffer.len();
            }
            return None;
        };
        let end = self.searched + offset;
        let start = std::mem::replace(&mut self.start, end + 1);
        self.searched = end + 1;
        let bytes = self.skipped.take().map_or(0, |skipped| skipped.bytes) + end - start;
        if bytes > self.max_frame_bytes {
            return Some(Err(FramingError::TooLong { bytes, max_frame_bytes: self.max_frame_bytes }));
        }
        Some(Ok(self.buffer[start..end].into()))
    }

    fn next_length(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        if self.skipped.is_none() {
            let length = u32::from_le_bytes(*self.buffer[self.start..].first_chunk()?);
            let bytes = (length & !ATTACHED) as usize;
            if bytes <= self.max_frame_bytes {
                let start = self.start + 4;
                self.missing = (start + bytes).saturating_sub(self.buffer.len());
                if self.missing > 0 {
                    if length & ATTACHED != 0 && self.missing >= LARGE_BYTES {
                        self.begin_large(start, bytes);
                    }
                    return None;
                }
                self.start = start + bytes;
                let frame = &self.buffer[start..self.start];
                let framing = Framing::Length;
                return Some(match length & ATTACHED {
                    0 => Ok(RawFrame { framing, json: frame, attachment: None }),
                    _ => with_attachment(frame),
                });
            }
            self.skipped = Some(Skipped { bytes, left: bytes });
            self.start += 4;
        }
        let skipped = self.skipped.as_mut()?;
        let here = skipped.left.min(self.buffer.len() - self.start);
        self.start += here;
        skipped.left -= here;
        if skipped.left > 0 {
            return None;
        }
        let bytes = skipped.bytes;
        self.skipped = None;
        Some(Err(FramingError::TooLong { bytes, max_frame_bytes: self.max_frame_bytes }))
    }
}

/// Reading of large attachments.
impl FrameDecoder {
    /// Begins to read the attachment of the frame that begins at `start` and has `bytes` bytes into a buffer of its own, if the
    /// frame's JSON has arrived. Otherwise does nothing.
    fn begin_large(&mut self, start: usize, bytes: usize) {
        let here = &self.buffer[start..];
        let Some((json, rest)) = here.split_first_chunk() else { return };
        let json = u32::from_le_bytes(*json) as usize;
        // A frame that contradicts itself is read as a whole first, and then refused.
        if let Some(bytes) = (bytes - 4).checked_sub(json)
            && let Some(begun) = rest.get(json..)
        {
            let mut attachment = Vec::new();
            attachment.reserve_exact(bytes);
            attachment.extend_from_slice(begun);
            self.large = Some(Large { json_end: start + 4 + json, attachment, bytes });
            self.start = start + 4;
            self.buffer.truncate(start + 4 + json);
            self.missing = 0;
        }
    }

    /// The attachment's buffer. Its capacity is the attachment's size, so that no byte of the next frame is read into it.
    fn large_input(&mut self) -> &mut Vec<u8> {
        let input = self.large.as_mut().map_or(&mut self.buffer, |large| &mut large.attachment);
        if input.len() == input.capacity() {
            input.reserve(READ_BYTES);
        }
        input
    }

    /// The frame with the large attachment, once all of that is there.
    fn next_large(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        let Large { json_end, mut attachment, bytes } =
            self.large.take_if(|large| large.attachment.len() >= large.bytes)?;
        // A caller that ignores the capacity may have appended bytes of the next frame.
        self.buffer.extend_from_slice(&attachment[bytes..]);
        attachment.truncate(bytes);
        let start = std::mem::replace(&mut self.start, json_end);
        let json = &self.buffer[start..json_end];
        Some(Ok(RawFrame { framing: Framing::Length, json, attachment: Some(Cow::Owned(attachment)) }))
    }
}

/// Splits a frame with an attachment: the length of its JSON, the JSON, the attachment.
fn with_attachment(frame: &[u8]) -> Result<RawFrame<'_>, FramingError> {
    let parts = frame.split_first_chunk().map(|(length, rest)| (u32::from_le_bytes(*length) as usize, rest));
    match parts.map(|(json_bytes, rest)| (json_bytes, rest.split_at_checked(json_bytes))) {
        Some((_, Some((json, attachment)))) => {
            Ok(RawFrame { framing: Framing::Length, json, attachment: Some(Cow::Borrowed(attachment)) })
        }
        Some((json_bytes, None)) => Err(FramingError::Attachment { bytes: frame.len(), json_bytes }),
        None => Err(FramingError::Attachment { bytes: frame.len(), json_bytes: 0 }),
    }
}
