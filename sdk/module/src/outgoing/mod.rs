//! Frames on their way to the host. Any thread may send one. Sending never waits for the host. The frames of one thread are written in the
//! order in which it has sent them; log lines may come later than others while the socket is full.
//!
//! - `sending` has the methods that send a frame. There a reply or a request that is over the host's limit becomes an error that names
//!   its size and the limit; so does one for which there is no room, because the host does not read.
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
    /// The frame `log`. If false, log lines go to stderr.
    pub(crate) log: bool,
    /// The frame `starting`. If false, the frame is not sent; so it is from the reply to `init` on.
    pub(crate) starting: bool,
    /// The frame `ready`. If false, only health checks say whether the module is ready.
    pub(crate) ready: bool,
}

impl Outgoing {
    /// A queue with the framing `line`, the limit of the protocol for a frame, and no optional frames.
    pub(crate) fn new(sink: impl Sink + 'static) -> Self {
        Self { queue: Mutex::new(Queue::new()), sink: Box::new(sink), finished: SetOnce::new() }
    }

    /// Sets the limit of a frame's size, in bytes, and the optional frames that the host takes, as it has offered them in `init`. Not
    /// called if the host makes no offer.
    pub(crate) fn set_limits(&self, max_frame_bytes: usize, features: Features) {
        let mut queue = self.lock();
        queue.max_frame_bytes = max_frame_bytes;
        queue.features = features;
    }

    /// Sets the framing of all frames that are sent from now on.
    pub(crate) fn set_framing(&self, framing: Framing) {
        self.lock().framing = framing;
    }

    /// Waits until all frames that were sent before are written, or the host is gone; without limit if the host does not read. No log line
    /// is sent from now on. Other frames still are, but are not waited for.
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
