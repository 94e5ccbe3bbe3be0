//! Frames on their way to the host.
//!
//! Who sends a frame also writes it, without waiting. What the socket doesn't take at once is left to the sink's thread, which may
//! wait. The reader of the connection is the exception: it gathers the replies to all that it has read, and writes them together
//! when it has no more input, or when 128 KiB are gathered. Small frames are copied one behind the other, large ones are written
//! from where they were encoded.
//!
//! ```text
//!           write                 socket full
//!   Idle ───────────► Writing ─────────────────► Full
//!    ▲                 │   ▲                      │
//!    └─────────────────┘   └──────────────────────┘
//!       nothing left         the sink's thread has written the rest
//! ```

mod buffer_pool;
mod log_backlog;
#[cfg(test)]
mod tests;
mod write_buffer;

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use ixt_protocol::{
    DEFAULT_MAX_FRAME_BYTES, ErrorBody, Frame, Framing, LogFrame, LogLevel, ModuleFrame, Readiness, StartingFrame, code,
};
use serde_json::value::to_raw_value;
use tokio::sync::SetOnce;

use crate::error::{Error, Result};
use crate::log::{LogTarget, log_error};
use crate::reply::Reply;
use buffer_pool::BufferPool;
use log_backlog::LogBacklog;
pub(crate) use write_buffer::WriteBuffer;

/// The queue of frames to the host, shared by everything that sends.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: Mutex<Queue>,
    sink: Box<dyn Sink>,
    /// Set when all is written after [`close`](Outgoing::close), or when nothing can be written any more.
    finished: SetOnce<()>,
}

/// What frames are written to.
pub(crate) trait Sink: Debug + Send + Sync {
    /// Writes as much as it takes without waiting, and returns the number of bytes.
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Writes the bytes from the byte `from` on, on a thread that may wait; then calls `done` with the buffer and the result.
    fn write_later(&self, bytes: WriteBuffer, from: usize, done: Done);
}

pub(crate) type Done = Box<dyn FnOnce(WriteBuffer, io::Result<()>) + Send>;

#[derive(Debug)]
struct Queue {
    framing: Framing,
    /// The host's limit.
    max_frame_bytes: usize,
    unwritten: WriteBuffer,
    writer: Writer,
    /// The reader of the connection. What this thread sends is written at its next [`flush`](Outgoing::flush).
    reader: Option<ThreadId>,
    pool: BufferPool,
    /// [`close`](Outgoing::close) was called.
    closing: bool,
    /// Writing has failed: the host is gone, and frames are dropped.
    gone: bool,
    logs: LogBacklog,
    features: Features,
    /// Whether the module takes calls, as set last by its author.
    ready: bool,
}

/// The optional frames that the host takes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Features {
    /// `log`.
    pub(crate) log: bool,
    /// `starting`, up to the reply to `init`.
    pub(crate) starting: bool,
    /// `ready`.
    pub(crate) ready: bool,
}

/// Who writes at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    Idle,
    /// A thread is writing, and goes on until the buffer is empty.
    Writing,
    /// The socket is full. The sink's thread waits for it, and then goes on.
    Full,
}

/// A frame that is larger than this is not copied, and is encoded outside of the lock.
const LARGE_BYTES: usize = 16 * 1024;
/// The reader writes before the end of its input when this much is gathered: about what a socket takes.
const BATCH_BYTES: usize = 128 * 1024;
/// The most chunks in one system call.
const MAX_SLICES: usize = 16;
/// With more than this unwritten, replies and requests are refused: the host does not read. What is being written doesn't count.
const MAX_UNWRITTEN_BYTES: usize = 64 * 1024 * 1024;
/// A write buffer with more capacity than this is freed after it was written.
const MAX_KEPT_BYTES: usize = 64 * 1024;
/// Enough for all of a frame but its data.
const ENVELOPE_BYTES: usize = 256;

/// The size of a frame that is over the host's limit. It was not queued.
struct TooLarge(usize);

impl Outgoing {
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        let queue = Queue {
            framing: Framing::Line,
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            unwritten: WriteBuffer::default(),
            writer: Writer::Idle,
            reader: None,
            pool: BufferPool::default(),
            closing: false,
            gone: false,
            logs: LogBacklog::default(),
            features: Features::default(),
            ready: true,
        };
        Self { queue: Mutex::new(queue), sink: Box::new(sink), finished: SetOnce::new() }
    }

    /// Names the reader, in place of an earlier one. It has to [`flush`](Self::flush) whenever it would wait.
    pub(crate) fn set_reader(&self, reader: ThreadId) {
        self.lock().reader = Some(reader);
    }

    /// Writes what the calling thread has gathered as the reader, which it ceases to be.
    pub(crate) fn end_reader(self: &Arc<Self>) {
        let mut queue = self.lock();
        queue.reader.take_if(|reader| *reader == thread::current().id());
        self.write_now(queue);
    }

    /// Takes over what the host has said in `init`.
    pub(crate) fn set_limits(&self, max_frame_bytes: usize, features: Features) {
        let mut queue = self.lock();
        queue.max_frame_bytes = max_frame_bytes;
        queue.features = features;
    }

    /// Sets the framing of all frames from now on.
    pub(crate) fn set_framing(&self, framing: Framing) {
        self.lock().framing = framing;
    }

    /// Sends a frame other than a reply.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` if it is over the host's limit, or, for a request, if the host does not read.
    pub(crate) fn send(self: &Arc<Self>, frame: Frame<ModuleFrame<'_>>) -> Result<()> {
        if matches!(frame.body, ModuleFrame::ServiceRequest(_)) {
            self.check_room()?;
        }
        let (queue, queued) = self.push(frame);
        if let Err(TooLarge(bytes)) = queued {
            let max = queue.max_frame_bytes;
            let message = format!("the request of {bytes} bytes is over the limit of {max} bytes for a frame");
            let error = Error::new(code::RESOURCE_EXHAUSTED, message);
            return Err(error.detail("bytes", bytes).detail("max_frame_bytes", max));
        }
        self.written(queue);
        Ok(())
    }

    /// Sends the reply to a request. A reply that is too large, or for which there is no room, becomes an error.
    pub(crate) fn reply(self: &Arc<Self>, id: Option<u64>, reply: Result<Reply>) {
        // An error is sent in any case: it is small.
        let reply = reply.and_then(|reply| self.check_room().map(|()| reply));
        let (mut queue, queued) = match reply {
            Ok(reply) => self.push(Frame { id, body: ModuleFrame::Success { data: reply.into_object() } }),
            Err(error) => {
                let mut queue = self.lock();
                let limit = queue.max_frame_bytes;
                let queued = queue.append_error(id, &error, Some(limit));
                (queue, queued)
            }
        };
        if let Err(TooLarge(bytes)) = queued {
            let max = queue.max_frame_bytes;
            let message = format!("the reply of {bytes} bytes is over the limit of {max} bytes for a frame");
            let error = Error::internal(&message).detail("bytes", bytes).detail("max_frame_bytes", max);
            // Without the limit: a request that has no reply is worse than a frame that is too long.
            let _ = queue.append_error(id, &error, None);
            self.written(queue);
            return log_error(message);
        }
        self.written(queue);
    }

    /// Fails if the host has left too much unread.
    fn check_room(&self) -> Result<()> {
        if self.lock().unwritten.len() <= MAX_UNWRITTEN_BYTES {
            return Ok(());
        }
        let message = format!("the host does not read: {} MiB wait for it", MAX_UNWRITTEN_BYTES >> 20);
        Err(Error::new(code::RESOURCE_EXHAUSTED, message).retryable())
    }

    /// Replies to `init`. Returns true if a success was queued; then `open` was called before the host can have read it, and all
    /// later frames have the framing `next`, if there is one. A reply that is over the host's limit is sent as an error.
    pub(crate) fn reply_to_init(
        self: &Arc<Self>,
        id: Option<u64>,
        reply: Result<Reply>,
        next: Option<Framing>,
        open: impl FnOnce(),
    ) -> bool {
        let mut queue = self.lock();
        // The backlog is encoded in the framing from before.
        queue.take_log_backlog();
        queue.features.starting = false;
        let queued = match &reply {
            Ok(reply) => {
                queue.append(&Frame { id, body: ModuleFrame::Success { data: reply.clone().into_object() } }).is_ok()
            }
            Err(_) => false,
        };
        if !queued {
            drop(queue);
            self.reply(id, reply);
            return false;
        }
        open();
        if let Some(framing) = next {
            queue.framing = framing;
        }
        self.written(queue);
        true
    }

    /// Sends a log line, or keeps it in the backlog while the socket is full. False if the host takes no log lines, or none any more.
    pub(crate) fn log(self: &Arc<Self>, log: LogFrame<'_>) -> bool {
        let mut queue = self.lock();
        if !queue.features.log || queue.gone || queue.closing {
            return false;
        }
        let level = log.level;
        let mut line = Vec::new();
        let encode = |log: LogFrame<'_>, line: &mut Vec<u8>| {
            Frame { id: None, body: ModuleFrame::Log(log) }.write(queue.framing, line)
        };
        if encode(log.clone(), &mut line) > queue.max_frame_bytes {
            // The beginning of the message alone. JSON may need six bytes for one.
            let room = (queue.max_frame_bytes / 8).saturating_sub(64);
            let start: String = log.message.chars().take(room / 4).collect();
            let message = format!("{start} … ({} bytes)", log.message.len());
            line.clear();
            encode(LogFrame { message: message.into(), fields: None, ..log }, &mut line);
        }
        if queue.writer == Writer::Full {
            queue.logs.push(line);
        } else {
            queue.unwritten.last.extend(line);
            if level == LogLevel::Error {
                // It may be the last line before the process dies.
                self.write_now(queue);
            } else {
                self.written(queue);
            }
        }
        true
    }

    /// Sends `starting`. Does nothing if the host doesn't know the frame, or `init` has been answered.
    pub(crate) fn starting(self: &Arc<Self>, message: &str, extend_ms: u64) {
        let mut queue = self.lock();
        if !queue.features.starting {
            return;
        }
        let frame = |message| Frame { id: None, body: ModuleFrame::Starting(StartingFrame { message, extend_ms }) };
        // If the message is too long, the extension is still sent.
        if queue.append(&frame(message.into())).is_err() {
            let _ = queue.append(&frame("".into()));
        }
        self.write_now(queue);
    }

    /// Sends `ready` if the value is another than before, and the host knows the frame.
    pub(crate) fn set_ready(self: &Arc<Self>, ready: bool) {
        let mut queue = self.lock();
        if std::mem::replace(&mut queue.ready, ready) != ready && queue.features.ready {
            let _ = queue.append(&Frame { id: None, body: ModuleFrame::Ready(Readiness { ready }) });
            self.write_now(queue);
        }
    }

    /// Whether the module is not ready, and only its health check can tell the host.
    pub(crate) fn health_must_tell_unready(&self) -> bool {
        let queue = self.lock();
        !queue.ready && !queue.features.ready
    }

    /// Ends the connection once all is written that was queued before.
    pub(crate) async fn close(self: &Arc<Self>) {
        {
            let mut queue = self.lock();
            queue.closing = true;
            if queue.writer == Writer::Idle && queue.unwritten.is_empty() {
                let _ = self.finished.set(());
            }
        }
        self.flush();
        self.finished.wait().await;
    }

    /// Queues a frame. Frames from `LARGE_BYTES` on are encoded without the lock.
    fn push(&self, frame: Frame<ModuleFrame<'_>>) -> (MutexGuard<'_, Queue>, Result<(), TooLarge>) {
        let mut queue = self.lock();
        if frame.body.object().is_none_or(|object| object.bytes() < LARGE_BYTES) || queue.gone {
            let queued = queue.append(&frame);
            return (queue, queued);
        }
        let framing = queue.framing;
        let capacity = capacity_for(&frame, framing);
        let mut chunk = if capacity >= LARGE_BYTES { queue.pool.take(capacity) } else { Vec::with_capacity(capacity) };
        drop(queue);
        let (bytes, _) = frame.write_before_attachment(framing, &mut chunk);
        queue = self.lock();
        let queued = if queue.framing == framing {
            queue.append_large(chunk, frame.body.into_attachment(framing), bytes)
        } else {
            // The reply to `init` went out meanwhile, and the framing has changed.
            queue.append(&frame)
        };
        (queue, queued)
    }

    /// A frame was queued: writes it, unless somebody writes already, or the reader goes on gathering.
    fn written<'a>(self: &'a Arc<Self>, queue: MutexGuard<'a, Queue>) {
        if queue.writer != Writer::Idle {
            return;
        }
        let is_gathered = queue.reader.is_some_and(|reader| reader == thread::current().id());
        if !is_gathered || queue.unwritten.len() >= BATCH_BYTES {
            self.write(queue);
        }
    }

    /// Writes what is queued, also what the reader has gathered.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.write_now(self.lock());
    }

    /// The connection has nothing to do at the moment: writes what is queued, and lets the pool age.
    pub(crate) fn flush_at_rest(self: &Arc<Self>) {
        let mut queue = self.lock();
        queue.pool.age();
        self.write_now(queue);
    }

    /// Whether the pool holds buffers, or will when they are written.
    pub(crate) fn uses_pool(&self) -> bool {
        self.lock().pool.is_in_use()
    }

    /// Frees the buffers of the pool.
    pub(crate) fn release_pool(&self) {
        self.lock().pool.release();
    }

    fn write_now<'a>(self: &'a Arc<Self>, queue: MutexGuard<'a, Queue>) {
        if queue.writer == Writer::Idle {
            self.write(queue);
        }
    }

    /// Writes until nothing is left, or leaves it to the sink's thread. The caller is the writer, or becomes it.
    fn write<'a>(self: &'a Arc<Self>, mut queue: MutexGuard<'a, Queue>) {
        let mut spare = WriteBuffer::default();
        loop {
            queue.take_log_backlog();
            if queue.unwritten.is_empty() || queue.gone {
                queue.writer = Writer::Idle;
                drop(queue.unwritten.clear());
                let capacity = spare.last.capacity();
                if capacity > queue.unwritten.last.capacity() && capacity <= MAX_KEPT_BYTES {
                    queue.unwritten = spare;
                }
                if queue.closing || queue.gone {
                    let _ = self.finished.set(());
                }
                return;
            }
            queue.writer = Writer::Writing;
            let mut buffer = std::mem::replace(&mut queue.unwritten, std::mem::take(&mut spare));
            drop(queue);
            let (written, all) = (self.try_write(&buffer), buffer.len());
            queue = self.lock();
            match written {
                Ok(written) if written < all => {
                    queue.writer = Writer::Full;
                    drop(queue);
                    let this = Arc::clone(self);
                    let done = move |mut buffer: WriteBuffer, result: io::Result<()>| {
                        let mut queue = this.lock();
                        queue.gone |= result.is_err();
                        queue.recycle(&mut buffer);
                        this.write(queue);
                    };
                    return self.sink.write_later(buffer, written, Box::new(done));
                }
                Ok(_) => {}
                // The host is gone. The reader finds that out as well, and ends the session.
                Err(_) => queue.gone = true,
            }
            queue.recycle(&mut buffer);
            spare = buffer;
        }
    }

    /// Writes as much as the sink takes without waiting.
    fn try_write(&self, buffer: &WriteBuffer) -> io::Result<usize> {
        let (mut written, all) = (0, buffer.len());
        while written < all {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = slices
                .iter_mut()
                .zip(buffer.slices(written))
                .map(|(slice, chunk)| *slice = IoSlice::new(chunk))
                .count();
            let offered: usize = slices[..filled].iter().map(|slice| slice.len()).sum();
            let taken = self.sink.try_write(&slices[..filled])?;
            written += taken;
            if taken < offered {
                break;
            }
        }
        Ok(written)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing under this lock can panic and leave it half changed.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LogTarget for Outgoing {
    fn send_log(self: Arc<Self>, line: LogFrame<'_>) -> bool {
        self.log(line)
    }
}

/// The capacity that a large frame needs, without its attachment.
fn capacity_for(frame: &Frame<ModuleFrame<'_>>, framing: Framing) -> usize {
    let object = frame.body.object().map_or(0, |object| match framing {
        // The attachment is in it, as base64.
        Framing::Line => object.bytes().div_ceil(3) * 4,
        Framing::Length => object.json().len(),
    });
    object + ENVELOPE_BYTES
}

impl Queue {
    fn append(&mut self, frame: &Frame<ModuleFrame<'_>>) -> Result<(), TooLarge> {
        self.append_within(frame, Some(self.max_frame_bytes))
    }

    fn append_within(&mut self, frame: &Frame<ModuleFrame<'_>>, limit: Option<usize>) -> Result<(), TooLarge> {
        if self.gone {
            return Ok(());
        }
        let start = self.unwritten.last.len();
        let bytes = frame.write(self.framing, &mut self.unwritten.last);
        if limit.is_some_and(|limit| bytes > limit) {
            self.unwritten.last.truncate(start);
            return Err(TooLarge(bytes));
        }
        Ok(())
    }

    /// Appends a frame of `bytes` bytes that is encoded already, but for its attachment.
    fn append_large(&mut self, chunk: Vec<u8>, attachment: Option<Vec<u8>>, bytes: usize) -> Result<(), TooLarge> {
        if bytes > self.max_frame_bytes {
            return Err(TooLarge(bytes));
        }
        let pooled = chunk.capacity() >= LARGE_BYTES;
        self.unwritten.push(chunk, pooled);
        if let Some(attachment) = attachment {
            // Not pooled: often it is the buffer that a request was read into, which the next one is read into if it is free by then.
            self.unwritten.push(attachment, false);
        }
        Ok(())
    }

    fn append_error(&mut self, id: Option<u64>, error: &Error, limit: Option<usize>) -> Result<(), TooLarge> {
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

    /// Empties a buffer that was written, and takes its large chunks back into the pool.
    fn recycle(&mut self, buffer: &mut WriteBuffer) {
        buffer.clear().for_each(|chunk| self.pool.put(chunk));
    }

    /// Queues the log lines from the backlog, behind a line that says how many were dropped.
    fn take_log_backlog(&mut self) {
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
