//! Writing what several messages have put into sockets' buffers at once.

use std::sync::Arc;

/// The sockets into which frames were put since it began, to be written together: one system call for many small frames.
///
/// Whoever takes several messages in a row, such as all that one read has brought, makes a batch, passes it to each call and reply, and
/// drops or [flushes](Self::flush) it at the end of the row, before waiting for anything. Where there is only one message,
/// [`WriteBatch::none`] is passed, and each frame is written at once.
pub struct WriteBatch {
    /// `None` if nothing is collected.
    sockets: Option<Vec<Arc<dyn Flush>>>,
}

/// A socket with a buffer.
pub trait Flush: Send + Sync {
    /// Writes what is in the buffer, as far as the socket takes it. Must not block.
    fn flush(&self);
}

impl WriteBatch {
    /// A batch that collects sockets until it is flushed or dropped.
    #[must_use]
    pub fn new() -> Self {
        Self { sockets: Some(Vec::new()) }
    }

    /// No batch: nothing is deferred.
    #[must_use]
    pub fn none() -> Self {
        Self { sockets: None }
    }

    /// Leaves the flush of this socket to the batch. False if it does not collect: then the caller has to flush. A socket that is
    /// deferred twice is flushed twice.
    pub fn defer(&mut self, socket: &Arc<impl Flush + 'static>) -> bool {
        let Some(sockets) = &mut self.sockets else { return false };
        sockets.push(Arc::clone(socket) as _);
        true
    }

    /// Flushes the sockets that were deferred. The batch can go on to collect.
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
