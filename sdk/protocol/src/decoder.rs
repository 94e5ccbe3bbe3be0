//! Cuts a stream of bytes into frames. The reader of a socket appends the bytes to [`FrameDecoder::input`], and then takes frames
//! from [`FrameDecoder::next_frame`] until there is none. Host and module have one decoder for each connection.
//!
//! If all frames are taken after each read, the decoder holds at most one frame of the largest size and the bytes of one read. Its
//! buffer grows by doubling, so that its capacity may be a few times as large. It drops the bytes of a frame over the limit, and
//! keeps only its size. A large attachment is read into a separate buffer, which the receiver can keep without a copy.

use std::borrow::Cow;
use std::fmt;

use crate::framing::ATTACHED;
use crate::{Framing, RawFrame};

#[cfg(test)]
mod tests;

/// Why [`FrameDecoder::next_frame`] could not return a frame. The frame was skipped, and the frames after it can be read. A module
/// logs this. For a host it could have been a reply: it treats the frame like
/// [`Unreadable::NotAFrame`](crate::Unreadable::NotAFrame).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FramingError {
    /// The frame was longer than the limit, and was skipped to its end.
    TooLong {
        /// The frame's size, in bytes, as the limit counts it: without the line's end or the first length.
        bytes: usize,
        /// The limit, in bytes.
        max_frame_bytes: usize,
    },
    /// The frame has an attachment, and the length of its JSON is larger than the rest of the frame, or the frame is too short to
    /// have that length.
    Attachment {
        /// The frame's size, in bytes, as the limit counts it.
        bytes: usize,
        /// The length of the JSON, in bytes, as the frame has it; 0 if the frame is too short to have it.
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

/// Cuts a stream of bytes into frames: those that come in one direction of one connection. After each read the caller takes frames
/// until there is none. An error does not end the stream. Nothing marks the end of the stream: an unfinished frame is dropped with
/// the decoder.
#[derive(Debug)]
pub struct FrameDecoder {
    /// The limit of a frame's size, in bytes, without the line's end or the first length.
    max_frame_bytes: usize,
    expected: Expected,
    /// The bytes that were read: first those of frames that `next_frame` has returned, then the others. `input` removes the former.
    buffer: Vec<u8>,
    /// Where in `buffer` the next frame begins. `next_frame` has returned the frames before this.
    start: usize,
    /// `buffer` has no line end between `start` and this index.
    searched: usize,
    /// The frame over the limit that is being skipped; `None` if there is none.
    skipped: Option<Skipped>,
    /// How many bytes of the frame at `start` have not come yet. 0 for a line, and if the frame's length is not known.
    missing: usize,
    /// The large attachment that is being read; `None` if there is none. `buffer` then ends with the JSON of its frame.
    large: Option<Large>,
    /// How many times in a row `input` has found `buffer` empty with a capacity over [`KEPT_BYTES`], of which no more than that had
    /// been used.
    times_oversized: u32,
    /// The most bytes that `input` has found in `buffer` since it was last empty.
    peak: usize,
}

/// The framing of the next frame.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Expected {
    /// Not known yet: recognized by the first frame.
    Unknown,
    /// [`Framing::Line`], until a frame begins with a length. From then on the framing is known.
    LineUntilLength,
    /// Known: the decoder does not look at the fourth byte.
    Known(Framing),
}

/// A frame whose JSON has arrived, and whose attachment is being read into a separate buffer.
#[derive(Debug)]
struct Large {
    /// Where in [`FrameDecoder::buffer`] the frame's JSON ends. It begins at [`FrameDecoder::start`].
    json_end: usize,
    /// The bytes of the attachment that have come. Bytes of the next frames may follow them.
    attachment: Vec<u8>,
    /// The size of the whole attachment, in bytes.
    bytes: usize,
}

/// A frame over the limit, whose end has not come yet.
#[derive(Debug)]
struct Skipped {
    /// The frame's size, in bytes. For a line, whose size is not known before its end: the bytes of it that were skipped.
    bytes: usize,
    /// How many of its bytes have not come yet. Always 0 for a line.
    left: usize,
}

/// The spare capacity that [`FrameDecoder::input`] offers at least, in bytes, unless a large attachment is being read.
const READ_BYTES: usize = 64 * 1024;
/// An unfinished frame of up to this many bytes is moved to the front of the buffer before each read. A larger one is moved only when
/// there is no room behind it, so that a frame that comes in many pieces is not copied for each piece.
const MOVED_BYTES: usize = 4 * 1024;
/// The capacity that the buffer may keep for good, in bytes. With more, the buffer counts as oversized.
const KEPT_BYTES: usize = 256 * 1024;
/// An oversized buffer is freed when it was empty this many times in a row without having held more than [`KEPT_BYTES`].
const KEPT_TIMES: u32 = 16;
/// A buffer of more than this capacity, in bytes, is freed the first time that `input` finds it empty.
const KEPT_AT_MOST: usize = 4 * 1024 * 1024;
/// An attachment is read into a separate buffer if at least this many bytes of it have not come when its frame's JSON has arrived.
const LARGE_BYTES: usize = 32 * 1024;

impl FrameDecoder {
    /// A decoder for frames of up to `max_frame_bytes`, with the attachment, but without the line's end or the first length. It
    /// recognizes the framing of the stream by the fourth byte of the first frame. A module begins with
    /// [`DEFAULT_MAX_FRAME_BYTES`](crate::DEFAULT_MAX_FRAME_BYTES), a host with the limit that it offers in `init`.
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

    /// Changes the limit, in bytes, for all frames that [`next_frame`](Self::next_frame) has not returned yet. A module calls it
    /// when it has read `init`, before it asks for the next frame. A frame whose attachment is being read into a separate buffer
    /// keeps the old one. It must not be called while a frame over the old limit is being skipped: with a higher limit, the rest of
    /// a line would be returned as a frame.
    pub fn set_max_frame_bytes(&mut self, max_frame_bytes: usize) {
        self.max_frame_bytes = max_frame_bytes;
    }

    /// The framing of the last frame that [`next_frame`](Self::next_frame) has begun to read, or the one that was set since. After
    /// [`expect_length`](Self::expect_length) it is [`Framing::Line`] until the first frame with a length. `None` if nothing was
    /// set or expected, and `next_frame` has not seen the fourth byte of the stream yet.
    #[must_use]
    pub fn framing(&self) -> Option<Framing> {
        match self.expected {
            Expected::Unknown => None,
            Expected::LineUntilLength => Some(Framing::Line),
            Expected::Known(framing) => Some(framing),
        }
    }

    /// Sets the framing of all frames that [`next_frame`](Self::next_frame) has not returned yet, also of one that has come in
    /// part. From then on no framing is recognized. A host calls it when the module has picked a framing in its reply to `init`,
    /// since all later frames of the module are in that framing.
    pub fn set_framing(&mut self, framing: Framing) {
        self.expected = Expected::Known(framing);
    }

    /// Expects that the sender changes from [`Framing::Line`] to [`Framing::Length`]: lines may still come, until the first frame
    /// with a length. All frames after it must have lengths. A module calls it when it has picked [`Framing::Length`], since the
    /// host changes only when it has read the reply to `init`. No effect if the framing is [`Framing::Length`] already.
    pub fn expect_length(&mut self) {
        if self.framing() != Some(Framing::Length) {
            self.expected = Expected::LineUntilLength;
        }
    }

    /// The buffer to which the caller appends the bytes that it has read. It may hold earlier bytes already, which the caller must
    /// not change. After that the caller calls [`next_frame`](Self::next_frame) until that returns `None`. If it calls this again
    /// instead, nothing is lost, but the buffer grows.
    ///
    /// The buffer has spare capacity, so that a socket can be read into it directly: at least 64 KiB, or the missing bytes of the
    /// unfinished frame if these are more. The caller may append more bytes than that. While a large attachment is read, this is
    /// the attachment's buffer, and the spare capacity is just its missing bytes, so that one read does not bring bytes of the next
    /// frame.
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

    /// Frees the buffer, which must be empty, if it has more than [`KEPT_AT_MOST`], or was oversized [`KEPT_TIMES`] times in a row.
    fn free_if_unused(&mut self) {
        let (kept, peak) = (self.buffer.capacity(), std::mem::take(&mut self.peak));
        self.times_oversized = if kept > KEPT_BYTES && peak <= KEPT_BYTES { self.times_oversized + 1 } else { 0 };
        if kept > KEPT_AT_MOST || self.times_oversized >= KEPT_TIMES {
            self.buffer = Vec::new();
            self.times_oversized = 0;
        }
    }

    /// Whether the buffer holds no bytes of an unread frame, and has a capacity of more than 256 KiB, which an earlier large frame
    /// needed. Then [`shrink`](Self::shrink) frees it.
    #[must_use]
    pub fn is_oversized(&self) -> bool {
        self.large.is_none() && self.start == self.buffer.len() && self.buffer.capacity() > KEPT_BYTES
    }

    /// Frees the buffer if it [is oversized](Self::is_oversized); otherwise does nothing. No bytes are lost.
    ///
    /// The decoder does the same by itself, in [`input`](Self::input): after 16 times in a row that the buffer was empty and had
    /// not needed the capacity, or at once with more than 4 MiB. A caller that expects no reads for a while calls this, so that an
    /// idle connection does not keep the memory.
    pub fn shrink(&mut self) {
        if self.is_oversized() {
            self.buffer = Vec::new();
            (self.start, self.searched, self.peak, self.times_oversized) = (0, 0, 0, 0);
        }
    }

    /// The memory that the unfinished frame needs, in bytes; 0 if there is none, or if it is over the limit and so is skipped. To
    /// be called when [`next_frame`](Self::next_frame) has returned `None`. The host uses it to limit the memory of all connections
    /// together.
    ///
    /// In [`Framing::Length`] this is about the size of the frame, as soon as its length has come; before that, the number of bytes
    /// that have come. The size of a line is not known before its end: up to 256 KiB this is the number of bytes that have come,
    /// beyond that it is the limit.
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

    /// The next frame, which borrows from the buffer until the next call of a method. `None` if more bytes have to come first:
    /// also, while the framing is still to be recognized, if fewer than four bytes have come. Calling it again without new bytes
    /// returns `None` again. Does not check that the frame is JSON: an empty line is a frame with empty JSON.
    ///
    /// # Errors
    ///
    /// Once for each frame that is over the limit or whose lengths contradict each other, when its last byte has come. The next call
    /// continues with the frame after it.
    pub fn next_frame(&mut self) -> Option<Result<RawFrame<'_>, FramingError>> {
        if self.large.is_some() {
            return self.next_large();
        }
        match self.expected {
            Expected::Known(Framing::Line) => self.next_line(),
            Expected::Known(Framing::Length) => self.next_length(),
            // A line that is being skipped: its next bytes are not the beginning of a frame.
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

    /// [`next_frame`](Self::next_frame) in [`Framing::Line`].
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

    /// [`next_frame`](Self::next_frame) in [`Framing::Length`], unless a large attachment is being read.
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
    /// Begins to read an attachment into a separate buffer, if the JSON of its frame has arrived. Otherwise does nothing. The frame has
    /// `bytes` bytes from `start` on, which is behind its first length.
    fn begin_large(&mut self, start: usize, bytes: usize) {
        let here = &self.buffer[start..];
        let Some((json, rest)) = here.split_first_chunk() else { return };
        let json = u32::from_le_bytes(*json) as usize;
        // If the lengths contradict each other, the frame is read as a whole first, and then refused.
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

    /// The buffer of the attachment. Its capacity is the attachment's size, so that no byte of the next frame is read into it. If
    /// it is full already, since the caller has not called [`next_frame`](Self::next_frame), it gets more capacity.
    fn large_input(&mut self) -> &mut Vec<u8> {
        let input = self.large.as_mut().map_or(&mut self.buffer, |large| &mut large.attachment);
        if input.len() == input.capacity() {
            input.reserve(READ_BYTES);
        }
        input
    }

    /// The frame with the large attachment. `None` until all of the attachment has come.
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

/// Splits what follows the first length of a frame with an attachment: the length of its JSON, the JSON, the attachment.
///
/// # Errors
///
/// [`FramingError::Attachment`] if it is too short for that length, or for the JSON.
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
