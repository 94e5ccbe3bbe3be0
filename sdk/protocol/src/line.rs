//! Line framing: one JSON object a line. Whoever reads from a socket puts the bytes in and takes the frames out.

use std::fmt;

/// Cuts a stream of bytes into lines, and never holds much more than the largest frame that is allowed.
#[derive(Debug)]
pub struct LineDecoder {
    max_frame_bytes: usize,
    buffer: Vec<u8>,
    /// The frames before this were given out.
    start: usize,
    /// There is no line end between `start` and here.
    searched: usize,
    /// How much was dropped so far of a line that is too long.
    dropped: Option<usize>,
}

/// A frame was longer than the limit. It was dropped whole; the next one can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameTooLong {
    /// The frame's size.
    pub bytes: usize,
    /// The limit.
    pub max_frame_bytes: usize,
}

impl fmt::Display for FrameTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a frame of {} bytes is over the limit of {} bytes", self.bytes, self.max_frame_bytes)
    }
}

impl std::error::Error for FrameTooLong {}

/// The room that [`LineDecoder::input`] offers at least.
const READ_BYTES: usize = 16 * 1024;

impl LineDecoder {
    /// A decoder for frames of up to `max_frame_bytes`, line ends not counted.
    #[must_use]
    pub fn new(max_frame_bytes: usize) -> Self {
        Self { max_frame_bytes, buffer: Vec::new(), start: 0, searched: 0, dropped: None }
    }

    /// Changes the limit from the next frame on.
    pub fn set_max_frame_bytes(&mut self, max_frame_bytes: usize) {
        self.max_frame_bytes = max_frame_bytes;
    }

    /// Where to append what was read. It has room for some kilobytes, so that it can be read into directly.
    pub fn input(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// The next frame, without its line end, or `None` until more bytes come.
    ///
    /// # Errors
    ///
    /// Once for each frame that was too long, when it has passed.
    pub fn next_frame(&mut self) -> Option<Result<&[u8], FrameTooLong>> {
        let found = memchr::memchr(b'\n', &self.buffer[self.searched..]);
        let Some(offset) = found else {
            self.searched = self.buffer.len();
            let unfinished = self.buffer.len() - self.start;
            if self.dropped.is_some() || unfinished > self.max_frame_bytes {
                // Of a line that is too long only its length is kept.
                self.dropped = Some(self.dropped.unwrap_or(0) + unfinished);
                self.start = self.buffer.len();
            }
            return None;
        };
        let end = self.searched + offset;
        let start = std::mem::replace(&mut self.start, end + 1);
        self.searched = end + 1;
        let bytes = self.dropped.take().unwrap_or(0) + end - start;
        if bytes > self.max_frame_bytes {
            return Some(Err(FrameTooLong { bytes, max_frame_bytes: self.max_frame_bytes }));
        }
        Some(Ok(&self.buffer[start..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in chunks of `size` and returns what comes out.
    fn decode(stream: &[u8], size: usize, max: usize) -> Vec<Result<Vec<u8>, usize>> {
        let mut decoder = LineDecoder::new(max);
        let mut frames = Vec::new();
        for chunk in stream.chunks(size) {
            decoder.input().extend_from_slice(chunk);
            while let Some(frame) = decoder.next_frame() {
                frames.push(frame.map(<[u8]>::to_vec).map_err(|error| error.bytes));
            }
            assert!(decoder.buffer.len() <= max + size, "holds {} bytes", decoder.buffer.len());
        }
        frames
    }

    #[test]
    fn the_size_of_the_chunks_makes_no_difference() {
        let stream = b"one\n\nthree\n0123456789\n0123456789A\nnext\n01234567890123456789\nlast\nrest";
        let expected = vec![
            Ok(b"one".to_vec()),
            Ok(b"".to_vec()),
            Ok(b"three".to_vec()),
            Ok(b"0123456789".to_vec()),
            Err(11),
            Ok(b"next".to_vec()),
            Err(20),
            Ok(b"last".to_vec()),
        ];
        for size in 1..=stream.len() {
            assert_eq!(decode(stream, size, 10), expected, "in chunks of {size}");
        }
    }
}
