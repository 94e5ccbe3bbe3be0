//! When frames are written, and by which thread.
//!
//! Most threads that send a frame also write it, at once and without waiting, unless another thread writes. If the socket takes only a
//! part, the sink's thread writes the rest: that thread may wait. Frames that are sent meanwhile are queued, and the thread that writes
//! takes them too.
//!
//! Two kinds of threads gather the frames that they send, and write them together:
//!
//! - the reader of the connection: when all that it has read is handled and the socket has no more for it, after it has run handlers for
//!   1 to 2 ms, and before it leaves the connection to another thread;
//! - the workers of the runtime that `Launcher::run` has made: when they have no more tasks to run.
//!
//! What is gathered is written before that when it is 128 KiB, or when it has waited for 1 to 2 ms, since a thread may compute or block
//! for long. A log line of the level `error`, `starting` and `ready` are written at once, with all that is gathered before them, unless
//! another thread writes.

use std::fmt::Debug;
use std::io::{self, IoSlice};
use std::sync::{Arc, MutexGuard};

use super::Outgoing;
use super::queue::{Queue, Writer};
use super::write_buffer::WriteBuffer;

/// So many bytes are gathered at most: about as many as a socket takes at once.
const BATCH_BYTES: usize = 128 * 1024;
/// How many chunks are written by one system call at most.
const MAX_SLICES: usize = 16;
/// When the queue is empty, the buffer that was written last is put back for the next frames, but freed if it has more capacity than this,
/// in bytes.
const MAX_KEPT_BYTES: usize = 64 * 1024;

/// The way out for bytes: a socket, or a channel or buffer in tests. One thread at a time calls it: see [`Writer`].
pub(crate) trait Sink: Debug + Send + Sync {
    /// Writes as many of the bytes as it can without waiting, in their order. Returns their number, which is 0 if the sink is full. After
    /// an error nothing more is written: the host is gone.
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Writes all bytes from the index `from` on, and then calls `done` with the buffer and the result: on another thread, which may wait,
    /// or, if no thread can be started, on this one before it returns.
    fn write_later(&self, bytes: WriteBuffer, from: usize, done: Done);
    /// Whether the calling thread flushes by itself what it sends now, soon and all at once.
    fn gathers(&self) -> bool;
    /// Has [`Outgoing::flush_stale`] called about once a millisecond, from now on until it returns false. Called when a frame was gathered.
    fn flush_soon(&self);
}

/// The function that [`Sink::write_later`] calls at the end.
pub(crate) type Done = Box<dyn FnOnce(WriteBuffer, io::Result<()>) + Send>;

impl Outgoing {
    /// To be called when a frame was queued: writes the queue, unless another thread is writing, or this one gathers.
    pub(super) fn written<'a>(self: &'a Arc<Self>, mut queue: MutexGuard<'a, Queue>) {
        if !self.sink.gathers() || queue.unwritten.len() >= BATCH_BYTES || queue.closing {
            return self.write_now(queue);
        }
        if queue.writer == Writer::Idle && !std::mem::replace(&mut queue.flush_planned, true) {
            drop(queue);
            self.sink.flush_soon();
        }
    }

    /// Writes the queue if its oldest frame was there at the last call of this already, unless another thread is writing. Returns whether
    /// this has to be called again.
    pub(crate) fn flush_stale(self: &Arc<Self>) -> bool {
        let mut queue = self.lock();
        let is_waiting = !queue.unwritten.is_empty();
        queue.flush_planned = is_waiting;
        if std::mem::replace(&mut queue.is_stale, is_waiting) && is_waiting {
            self.write_now(queue);
        }
        is_waiting
    }

    /// Writes the queue, unless another thread is writing. To be called by a thread that gathers, before it waits, and by `close`.
    pub(crate) fn flush(self: &Arc<Self>) {
        self.write_now(self.lock());
    }

    /// To be called by the reader when the socket has no more input: writes the queue, and counts this for the pool, which frees its
    /// buffers when it was not used for long. Returns whether the pool holds buffers, or will when those that are being written come back.
    pub(crate) fn flush_at_rest(self: &Arc<Self>) -> bool {
        let mut queue = self.lock();
        queue.pool.age();
        let uses_pool = queue.pool.is_in_use();
        self.write_now(queue);
        uses_pool
    }

    /// Frees the buffers of the pool.
    pub(crate) fn release_pool(&self) {
        self.lock().pool.release();
    }

    /// Writes the queue, unless another thread is writing: that one takes these frames too.
    pub(super) fn write_now<'a>(self: &'a Arc<Self>, queue: MutexGuard<'a, Queue>) {
        if queue.writer == Writer::Idle {
            self.write(queue);
        }
    }

    /// Writes until the queue is empty, or leaves the rest to the sink's thread. The calling thread must be the writer, or become it:
    /// `queue.writer` is not [`Writer::Writing`] on another thread.
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
            queue.is_stale = false;
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
                // The host is gone. The reader will find that out too, and end the session.
                Err(_) => queue.gone = true,
            }
            queue.recycle(&mut buffer);
            spare = buffer;
        }
    }

    /// Writes as many bytes as the sink takes without waiting, and returns their number.
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
}
