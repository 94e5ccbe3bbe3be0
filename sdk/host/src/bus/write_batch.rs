//! Batches of socket writes, so that many small frames need one system call.

use std::sync::Arc;

/// Collects the sockets that have to be flushed, since frames were put into their buffers, and flushes them together
/// later.
///
/// Code that handles several messages in a row, such as all that one read has brought, makes one batch, passes it to
/// each call and reply, and [flushes](Self::flush) or drops it at the end, before it waits for anything. For a single
/// message, pass [`WriteBatch::none`]: then each frame is written without waiting for others of a batch.
pub struct WriteBatch {
    /// `None` for [`WriteBatch::none`].
    sockets: Option<Vec<Arc<dyn Flush>>>,
}

/// A socket with a buffer, which [`WriteBatch::defer`] collects.
pub trait Flush: Send + Sync {
    /// Writes as much of the buffer as the socket takes now; the owner writes the rest later by itself. Must not block.
    fn flush(&self);
}

impl WriteBatch {
    /// A batch that collects sockets until it is flushed or dropped. The default is the same.
    #[must_use]
    pub fn new() -> Self {
        Self { sockets: Some(Vec::new()) }
    }

    /// A batch that collects nothing: [`defer`](Self::defer) returns false, and the code that puts a frame flushes the
    /// socket.
    #[must_use]
    pub fn none() -> Self {
        Self { sockets: None }
    }

    /// Collects this socket, to flush it later. False for [`WriteBatch::none`]: then the caller has to flush the
    /// socket, now or in a task. A socket that is deferred twice is flushed twice.
    pub fn defer(&mut self, socket: &Arc<impl Flush + 'static>) -> bool {
        let Some(sockets) = &mut self.sockets else { return false };
        sockets.push(Arc::clone(socket) as _);
        true
    }

    /// Flushes the sockets that were deferred, in their order. The batch can be used again. Does nothing if there are
    /// none, as in a [`WriteBatch::none`]. Does not block.
    pub fn flush(&mut self) {
        for socket in self.sockets.iter_mut().flat_map(|sockets| sockets.drain(..)) {
            socket.flush();
        }
    }
}

impl Default for WriteBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for WriteBatch {
    fn drop(&mut self) {
        self.flush();
    }
}

impl std::fmt::Debug for WriteBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WriteBatch").field("sockets", &self.sockets.as_ref().map(Vec::len)).finish()
    }
}
