//! Frames on their way to the host. Any thread may send one. Sending does not wait for the host; the exception is a full socket for which
//! the system has no writer thread. The frames of one thread are written in the order in which it has sent them; log lines may come later
//! than others while the socket is full.
//!
//! - `sending` has the methods that send a frame. There a reply or a request that is over the host's limit becomes an error that names its
//!   size and the limit. A request or a successful reply for which there is no room, because the host does not read, becomes another error.
//! - `queue` holds the encoded frames that are not written yet, and checks their size.
//! - `writing` decides when frames are written, and by which thread.
//! - `write_buffer`, `buffer_pool` and `log_backlog` are the parts of the queue.

mod buffer_pool;
mod log_backlog;
mod queue;
mod sending;
#[cfg(test)]
mod tests;
mod write_buffer;
mod writing;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ixt_protocol::{Framing, LogFrame};
use tokio::sync::SetOnce;

use crate::log::LogTarget;
use queue::Queue;
pub(crate) use write_buffer::WriteBuffer;
pub(crate) use writing::{Done, Sink};

/// The queue of frames to the host. One for each connection, shared by all its senders.
#[derive(Debug)]
pub(crate) struct Outgoing {
    queue: Mutex<Queue>,
    sink: Box<dyn Sink>,
    /// Set when all frames are written after [`close`](Outgoing::close), or when the host is gone.
    finished: SetOnce<()>,
}

/// The optional frames that the module may send to this host.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Features {
    /// The frame `log`. If false, the caller writes log lines to stderr.
    pub(crate) log: bool,
    /// The frame `starting`. If false, the frame is not sent. Set to false when `Handler::init` is answered.
    pub(crate) starting: bool,
    /// The frame `ready`. If false, only health checks say whether the module is ready.
    pub(crate) ready: bool,
}

impl Outgoing {
    /// A queue without frames, with the framing `line`, the limit [`DEFAULT_MAX_FRAME_BYTES`](ixt_protocol::DEFAULT_MAX_FRAME_BYTES), and
    /// no optional frames.
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        Self { queue: Mutex::new(Queue::new()), sink: Box::new(sink), finished: SetOnce::new() }
    }

    /// Sets the limit of a frame's size, in bytes, and the optional frames that the host takes, as it has offered them in `init`. Frames
    /// that are queued already are not checked again. Not called if the host makes no offer.
    pub(crate) fn set_limits(&self, max_frame_bytes: usize, features: Features) {
        let mut queue = self.lock();
        queue.max_frame_bytes = max_frame_bytes;
        queue.features = features;
    }

    /// Sets the framing of the frames that are sent from now on. Frames that are queued already keep theirs.
    pub(crate) fn set_framing(&self, framing: Framing) {
        self.lock().framing = framing;
    }

    /// Waits until the queue is empty, or the host is gone; without limit if the host does not read. No log line is sent from now on. Other
    /// frames still are; this waits for those that are sent while the queue is not empty. Once the queue was empty, it waits for nothing,
    /// and a second call returns at once.
    pub(crate) async fn close(self: &Arc<Self>) {
        {
            let mut queue = self.lock();
            queue.closing = true;
            if queue.is_written() {
                let _ = self.finished.set(());
            }
        }
        self.flush();
        self.finished.wait().await;
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
