//! The methods that send a frame. They queue it; `writing` writes it. Two limits are checked here. A frame over the host's limit is not
//! sent: a request fails with `RESOURCE_EXHAUSTED`; a reply becomes the error `INTERNAL`, which is also logged, and is sent whatever its
//! size; `starting` is sent without its message. If more than 64 MiB wait to be written, requests fail with `RESOURCE_EXHAUSTED`, and
//! successful replies except that to `init` become that error. Log lines have other limits: see
//! `Outgoing::log`.

use std::sync::{Arc, MutexGuard};

use ixt_protocol::{Frame, Framing, LogFrame, LogLevel, ModuleFrame, Readiness, StartingFrame, code};

use super::Outgoing;
use super::queue::{LARGE_BYTES, NotQueued, Queue, Writer, capacity_for};
use crate::error::{Error, Result};
use crate::log::log_error;
use crate::reply::Reply;

/// With more unwritten bytes than this, the host counts as not reading: service requests, which publishing an event is too, fail,
/// and successful replies become errors. The bytes that a thread is writing don't count. `cancel`, `log`, `starting`, `ready`,
/// error replies and the reply to `init` are queued beyond it.
pub(super) const MAX_UNWRITTEN_BYTES: usize = 64 * 1024 * 1024;

impl Outgoing {
    /// Sends a `service_request` or a `cancel`. If the host is gone, drops it and returns `Ok`.
    ///
    /// # Errors
    ///
    /// `RESOURCE_EXHAUSTED` for a `service_request` that is over the host's limit, or, retryable, if the host does not read.
    pub(crate) fn send(self: &Arc<Self>, frame: Frame<ModuleFrame<'_>>) -> Result<()> {
        let (queue, queued) = self.push(frame);
        match queued {
            Ok(()) => {
                self.written(queue);
                Ok(())
            }
            Err(NotQueued::NoRoom) => Err(no_room()),
            Err(NotQueued::TooLarge(bytes)) => {
                let max = queue.max_frame_bytes;
                let message = format!("the request of {bytes} bytes is over the limit of {max} bytes for a frame");
                let error = Error::new(code::RESOURCE_EXHAUSTED, message);
                Err(error.detail("bytes", bytes).detail("max_frame_bytes", max))
            }
        }
    }

    /// Sends the reply to a request; `id` is the host's, `None` if it has sent none. A success or an error over the host's limit becomes
    /// the error `INTERNAL`, which is sent whatever its size; if the host does not read, a success becomes `RESOURCE_EXHAUSTED`, retryable.
    /// If the host is gone, drops the reply. Does not check that the request has no reply yet.
    pub(crate) fn reply(self: &Arc<Self>, id: Option<u64>, reply: Result<Reply>) {
        let (mut queue, mut queued) = match reply {
            Ok(reply) => self.push(Frame { id, body: ModuleFrame::Success { data: reply.into_object() } }),
            Err(error) => {
                let mut queue = self.lock();
                let limit = queue.max_frame_bytes;
                let queued = queue.append_error(id, &error, Some(limit));
                (queue, queued)
            }
        };
        if let Err(NotQueued::NoRoom) = queued {
            // An error is sent even if there is no room for more: it is small.
            let limit = queue.max_frame_bytes;
            queued = queue.append_error(id, &no_room(), Some(limit));
        }
        if let Err(NotQueued::TooLarge(bytes)) = queued {
            let max = queue.max_frame_bytes;
            let message = format!("the reply of {bytes} bytes is over the limit of {max} bytes for a frame");
            let error = Error::internal(&message).detail("bytes", bytes).detail("max_frame_bytes", max);
            // Without the limit: a request without a reply is worse than a frame over the limit.
            let _ = queue.append_error(id, &error, None);
            self.written(queue);
            return log_error(message);
        }
        self.written(queue);
    }

    /// Sends the reply to `init`. Returns whether it is a success. Before the host can read a success, `open` is called, under the lock of
    /// the queue; all frames after it have the framing `next`, if there is one. With an error, `open` is not called, and the framing stays.
    /// A reply over the host's limit becomes an error. No `starting` is sent after this.
    pub(crate) fn reply_to_init(
        self: &Arc<Self>,
        id: Option<u64>,
        reply: Result<Reply>,
        next: Option<Framing>,
        open: impl FnOnce(),
    ) -> bool {
        let mut queue = self.lock();
        // Before the framing changes: the lines of the backlog are encoded already.
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

    /// Sends a log line, or keeps it in the backlog while the socket is full. Returns false, and drops the line, if the host takes no log
    /// lines, is gone, or [`close`](Self::close) was called. True does not mean that the line is written: the backlog drops its oldest
    /// lines. A line over the host's limit is cut, and loses its fields. Unless another thread writes, a line of the level `error` is
    /// written at once.
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
            // A character has up to 4 bytes, and in JSON each byte may need 6.
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
                // It may be the last line before the process ends.
                self.write_now(queue);
            } else {
                self.written(queue);
            }
        }
        true
    }

    /// Sends `starting`, which is written at once unless another thread writes; `extend_ms` is not checked. Does nothing if the host
    /// doesn't know the frame, or `init` has been answered. If the frame is over the host's limit, its message is left out.
    pub(crate) fn starting(self: &Arc<Self>, message: &str, extend_ms: u64) {
        let mut queue = self.lock();
        if !queue.features.starting {
            return;
        }
        let frame = |message| Frame { id: None, body: ModuleFrame::Starting(StartingFrame { message, extend_ms }) };
        if queue.append(&frame(message.into())).is_err() {
            let _ = queue.append(&frame("".into()));
        }
        self.write_now(queue);
    }

    /// Sends `ready`, if the value has changed and the host knows the frame. It is written at once unless another thread writes. The value
    /// is kept in any case; it is true at first.
    pub(crate) fn set_ready(self: &Arc<Self>, ready: bool) {
        let mut queue = self.lock();
        if std::mem::replace(&mut queue.ready, ready) != ready && queue.features.ready {
            let _ = queue.append(&Frame { id: None, body: ModuleFrame::Ready(Readiness { ready }) });
            self.write_now(queue);
        }
    }

    /// Whether the module is not ready and the host doesn't know the frame `ready`, so that the report of a health check has to say it.
    pub(crate) fn health_must_say_unready(&self) -> bool {
        let queue = self.lock();
        !queue.ready && !queue.features.ready
    }

    /// Queues a frame, and returns the locked queue, and whether the frame was queued. The caller then writes it. Encodes a large frame while
    /// the queue is unlocked.
    fn push(&self, frame: Frame<ModuleFrame<'_>>) -> (MutexGuard<'_, Queue>, Result<(), NotQueued>) {
        let mut queue = self.lock();
        let needs_room = matches!(frame.body, ModuleFrame::ServiceRequest(_) | ModuleFrame::Success { .. });
        if needs_room && queue.unwritten.len() > MAX_UNWRITTEN_BYTES {
            return (queue, Err(NotQueued::NoRoom));
        }
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
            // The reply to `init` was sent meanwhile, and has changed the framing.
            queue.append(&frame)
        };
        (queue, queued)
    }
}

/// The error of a request or reply for which there is no room, since more than [`MAX_UNWRITTEN_BYTES`] wait.
fn no_room() -> Error {
    let message = format!("the host does not read: {} MiB wait for it", MAX_UNWRITTEN_BYTES >> 20);
    Error::new(code::RESOURCE_EXHAUSTED, message).retryable()
}
