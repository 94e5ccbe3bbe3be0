//! The frames that are not written yet. A frame is encoded when it is queued, in the framing of that moment. Small frames are encoded into
//! one buffer, one behind the other; a large one has a buffer of its own, and so has its attachment.

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, ErrorBody, Frame, Framing, LogFrame, LogLevel, ModuleFrame, code};
use serde_json::value::to_raw_value;

use super::Features;
use super::buffer_pool::BufferPool;
use super::log_backlog::LogBacklog;
use super::write_buffer::WriteBuffer;
use crate::error::Error;

/// A frame whose object (the data of a reply, the parameters of a request) has at least this many bytes, its attachment included, is
/// encoded outside of the lock, and not copied.
pub(super) const LARGE_BYTES: usize = 16 * 1024;
/// About the most bytes that a frame has besides its object: for the capacity of its buffer, which grows if it is too small.
const ENVELOPE_BYTES: usize = 256;

/// Which thread writes now.
///
/// ```text
///           write                 socket full
///   Idle ───────────► Writing ─────────────────► Full
///    ▲                 │   ▲                      │
///    └─────────────────┘   └──────────────────────┘
///       nothing left         the sink's thread has written the rest
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// None.
    Idle,
    /// A thread that has sent a frame, the reader, or the sink's thread after [`Full`](Self::Full). It writes until the queue is empty, or
    /// the socket is full.
    Writing,
    /// The sink's thread, which waits for the socket. When it has written the rest, it continues with the queue.
    Full,
}

/// The frames that are not written yet, and all that decides how the next one is sent. Behind the lock of
/// [`Outgoing`](super::Outgoing).
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct Queue {
    /// The framing of the next frame.
    pub(super) framing: Framing,
    /// The host's limit of a frame's size, in bytes, without the line's end or the first length.
    pub(super) max_frame_bytes: usize,
    /// Encoded frames, without those that a thread is writing now.
    pub(super) unwritten: WriteBuffer,
    /// Which thread writes now.
    pub(super) writer: Writer,
    /// Whether [`Sink::flush_soon`](super::Sink::flush_soon) was called and [`flush_stale`](super::Outgoing::flush_stale) has not found
    /// an empty queue since.
    pub(super) flush_planned: bool,
    /// Whether the oldest frame was there already at the last call of [`flush_stale`](super::Outgoing::flush_stale).
    pub(super) is_stale: bool,
    /// The buffers for large frames.
    pub(super) pool: BufferPool,
    /// [`close`](super::Outgoing::close) was called.
    pub(super) closing: bool,
    /// Writing has failed: the host is gone, and frames are dropped. Once true, it stays true.
    pub(super) gone: bool,
    /// Log lines that were sent while the socket was full. Empty when no thread writes.
    pub(super) logs: LogBacklog,
    /// The optional frames. All false before `init` has come, and if the host has made no offer.
    pub(super) features: Features,
    /// The last value of [`Runtime::set_ready`](crate::Runtime::set_ready); true before the first.
    pub(super) ready: bool,
}

/// Why a frame was not queued.
pub(super) enum NotQueued {
    /// It is over the host's limit for a frame: its size in bytes.
    TooLarge(usize),
    /// Too much waits to be written.
    NoRoom,
}

/// The capacity of the buffer for a large frame without its attachment, in bytes. An estimate: the buffer grows if it is too small.
pub(super) fn capacity_for(frame: &Frame<ModuleFrame<'_>>, framing: Framing) -> usize {
    let object = frame.body.object().map_or(0, |object| match framing {
        // The attachment is in it, as base64.
        Framing::Line => object.bytes().div_ceil(3) * 4,
        Framing::Length => object.json().len(),
    });
    object + ENVELOPE_BYTES
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            framing: Framing::Line,
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            unwritten: WriteBuffer::default(),
            writer: Writer::Idle,
            flush_planned: false,
            is_stale: false,
            pool: BufferPool::default(),
            closing: false,
            gone: false,
            logs: LogBacklog::default(),
            features: Features::default(),
            ready: true,
        }
    }

    /// Whether nothing is left to write, and no thread is writing.
    pub(super) fn is_written(&self) -> bool {
        self.writer == Writer::Idle && self.unwritten.is_empty()
    }

    /// Encodes and queues a frame, without writing it: the caller then calls [`written`](super::Outgoing::written) or
    /// [`write_now`](super::Outgoing::write_now). If the host is gone, drops the frame and returns `Ok`.
    ///
    /// # Errors
    ///
    /// If the frame is over the host's limit. It is then not queued.
    pub(super) fn append(&mut self, frame: &Frame<ModuleFrame<'_>>) -> Result<(), NotQueued> {
        self.append_within(frame, Some(self.max_frame_bytes))
    }

    /// Does the same as [`append`](Self::append) with this limit in bytes, or with none.
    fn append_within(&mut self, frame: &Frame<ModuleFrame<'_>>, limit: Option<usize>) -> Result<(), NotQueued> {
        if self.gone {
            return Ok(());
        }
        let start = self.unwritten.last.len();
        let bytes = frame.write(self.framing, &mut self.unwritten.last);
        if limit.is_some_and(|limit| bytes > limit) {
            self.unwritten.last.truncate(start);
            return Err(NotQueued::TooLarge(bytes));
        }
        Ok(())
    }

    /// Queues a large frame: `chunk` is the frame without its attachment, encoded, and `bytes` is the size of the whole frame. The error is
    /// that of [`append`](Self::append).
    pub(super) fn append_large(
        &mut self,
        chunk: Vec<u8>,
        attachment: Option<Vec<u8>>,
        bytes: usize,
    ) -> Result<(), NotQueued> {
        if bytes > self.max_frame_bytes {
            return Err(NotQueued::TooLarge(bytes));
        }
        let pooled = chunk.capacity() >= LARGE_BYTES;
        self.unwritten.push(chunk, pooled);
        if let Some(attachment) = attachment {
            // Not pooled: often it is the buffer that a request was read into. The next request is read into it if it is free by then.
            self.unwritten.push(attachment, false);
        }
        Ok(())
    }

    /// Queues an error reply; an empty code becomes `INTERNAL`. With `limit` as `None` it may be larger than the host's limit.
    pub(super) fn append_error(
        &mut self,
        id: Option<u64>,
        error: &Error,
        limit: Option<usize>,
    ) -> Result<(), NotQueued> {
        let details =
            (!error.details().is_empty()).then(|| to_raw_value(error.details()).expect("a map of JSON values is JSON"));
        let body = ModuleFrame::Error(ErrorBody {
            code: if error.code().is_empty() { code::INTERNAL } else { error.code() }.into(),
            message: error.message().into(),
            details: details.as_deref(),
            retryable: error.is_retryable(),
        });
        self.append_within(&Frame { id, body }, limit)
    }

    /// Empties a buffer that was written, and puts its chunks that came from the pool back.
    pub(super) fn recycle(&mut self, buffer: &mut WriteBuffer) {
        buffer.clear().for_each(|chunk| self.pool.put(chunk));
    }

    /// Moves the log lines from the backlog into the queue, behind a line that says how many were dropped, if any. Does nothing if the
    /// backlog is empty, even if lines were dropped: they count the next time.
    pub(super) fn take_log_backlog(&mut self) {
        if self.logs.is_empty() {
            return;
        }
        let (dropped, lines) = self.logs.take();
        if dropped > 0 {
            let message = format!("{dropped} log lines were dropped here: the host did not read them fast enough");
            let log = LogFrame { level: LogLevel::Warn, message: message.into(), fields: None, trace_id: "".into() };
            let _ = self.append(&Frame { id: None, body: ModuleFrame::Log(log) });
        }
        for line in lines {
            self.unwritten.last.extend(line);
        }
    }
}
