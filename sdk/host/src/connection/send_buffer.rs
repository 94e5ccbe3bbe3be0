//! The buffer of what is sent to a module. Frames are put into it; it is written to the socket at once, at the end of a batch, or by a
//! task, when the socket takes no more or more frames may follow at once. Putting a frame never waits. It is refused if too many bytes are
//! unread or they take too much memory, where the limit depends on the [`FrameClass`].

use std::io;
use std::sync::{Arc, Mutex};

use ixt_protocol::{Frame, Framing, HostFrame};
use tokio::sync::Notify;

use super::socket_halves::Writer;
use crate::budget::{Budget, Reservation};
use crate::bus::{Flush, WriteBatch};
use crate::lock::lock;

/// The capacity that the buffer keeps when it is empty, in bytes. Unread bytes are taken from the budget only if they are more than this.
const KEPT_BYTES: usize = 256 * 1024;

/// The purpose of a frame, which decides how many unread bytes may be before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameClass {
    /// An event, a change of a watched key, or `draining`. The sender of the first two waits for [room](SendBuffer::room) before it puts
    /// the frame. The limit is that of requests, but it is not refused for lack of memory.
    Event,
    /// A request or a `cancel`.
    HostRequest,
    /// A call to a concurrent module that has other requests: its write may be delayed a moment, to be made together with others.
    RequestBesideOthers,
    /// A response to a call of the module.
    Response,
    /// `init`, or a small frame. It is refused only if the connection is closed, or it is longer than a frame may be.
    Essential,
}

impl FrameClass {
    /// The most unread bytes, those of the module's socket not included, that may be before a frame of this class: 8 MiB, 64 MiB for a
    /// response, no limit for an essential frame. With more, it is refused.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::Event | Self::HostRequest | Self::RequestBesideOthers => 8 * 1024 * 1024,
            Self::Response => 64 * 1024 * 1024,
            Self::Essential => usize::MAX,
        }
    }

    /// Whether a frame is refused if the budget has too little left for the unread bytes.
    fn needs_memory(self) -> bool {
        !matches!(self, Self::Event | Self::Essential)
    }
}

/// Events and changes wait while the module has more unread bytes than this, so that there is room for requests.
pub(super) const EVENT_ROOM: usize = 1024 * 1024;

/// Why a frame was not put into the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The frame is longer than a frame may be on this connection.
    TooLong { bytes: usize, max_frame_bytes: usize },
    /// The module has more unread bytes than the limit of the frame's class.
    Full,
    /// What waits for the module, or for all modules, takes as much memory as it may.
    NoMemory,
    /// The connection is closed, by the host or the module.
    Closed,
}

/// What is to be sent to one module. Any thread may put frames; [`run`](Self::run) writes what the socket does not take
/// at once.
#[derive(Debug)]
pub(crate) struct SendBuffer {
    socket: Writer,
    buffer: Mutex<Buffer>,
    /// Wakes the task that writes what the socket did not take.
    left: Notify,
    /// Wakes the tasks in [`room`](Self::room).
    emptied: Notify,
}

/// The frames that the socket has not taken yet.
#[derive(Debug)]
struct Buffer {
    framing: Framing,
    max_frame_bytes: usize,
    bytes: Vec<u8>,
    /// How many of `bytes` the socket has taken.
    written: usize,
    /// The reservation of the unread bytes, if they are more than [`KEPT_BYTES`].
    memory: Reservation,
    /// Whether a write is scheduled, by a batch or the task.
    is_scheduled: bool,
    is_closed: bool,
}

impl SendBuffer {
    /// An empty buffer for this socket. `memory` is the budget from which unread bytes are taken.
    pub(crate) fn new(socket: Writer, framing: Framing, max_frame_bytes: usize, memory: &Arc<Budget>) -> Self {
        let memory = memory.overdraw(0);
        let bytes = Vec::new();
        let buffer =
            Buffer { framing, max_frame_bytes, bytes, written: 0, memory, is_scheduled: false, is_closed: false };
        Self { socket, buffer: Mutex::new(buffer), left: Notify::new(), emptied: Notify::new() }
    }

    /// Sets the framing of the frames that are put from now on.
    pub(crate) fn set_framing(&self, framing: Framing) {
        lock(&self.buffer).framing = framing;
    }

    /// Puts a frame into the buffer, and has it written: at the end of the batch, at once, or, for
    /// [`FrameClass::RequestBesideOthers`], by the task. Never waits.
    ///
    /// # Errors
    ///
    /// Why the frame was refused; then nothing of it is sent.
    pub(crate) fn put(
        self: &Arc<Self>,
        class: FrameClass,
        frame: &Frame<HostFrame<'_>>,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        if !lock(&self.buffer).put(class, frame)? || batch.defer(self) {
            return Ok(());
        }
        if class == FrameClass::RequestBesideOthers {
            self.left.notify_one();
        } else {
            self.flush();
        }
        Ok(())
    }

    /// Writes as much as the socket takes now. Returns `WouldBlock` if something is left; then the task has to be
    /// woken. `Ok` also if the connection is closed.
    fn write(&self) -> io::Result<()> {
        let mut buffer = lock(&self.buffer);
        if buffer.unread() > 0 && !buffer.is_closed {
            match self.socket.write(&buffer.bytes[buffer.written..]) {
                Ok(written) => {
                    buffer.written += written;
                    buffer.account();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The module has closed its socket. The reader sees that too, and ends the requests.
                Err(_) => buffer.is_closed = true,
            }
        }
        // The socket has taken a part: another attempt would only return `WouldBlock`.
        if buffer.unread() > 0 && !buffer.is_closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer.clear();
        drop(buffer);
        self.emptied.notify_waiters();
        Ok(())
    }

    /// The task that writes what the socket did not take at once. It never ends;
    /// [`Connection::close`](super::Connection::close) aborts it.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.left.notified().await;
            // Other tasks that can run now may put more frames, which are then written too.
            tokio::task::yield_now().await;
            if self.write().is_err() {
                self.socket.finish(|| self.write()).await;
            }
        }
    }

    /// Whether the module has at most `limit` unread bytes. True also for a closed connection.
    pub(crate) fn has_room(&self, limit: usize) -> bool {
        let buffer = lock(&self.buffer);
        buffer.is_closed || buffer.unread() <= limit
    }

    /// Returns at once if [`has_room`](Self::has_room) is true. Otherwise waits until the socket has taken all bytes, or the connection is
    /// closed. Cancel-safe.
    pub(crate) async fn room(&self, limit: usize) {
        while !self.has_room(limit) {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // From here on no notification is missed.
            emptied.as_mut().enable();
            if !self.has_room(limit) {
                emptied.await;
            }
        }
    }

    /// Drops what the socket has not taken, and refuses every further frame. Does nothing more if called again.
    pub(crate) fn close(&self) {
        let mut buffer = lock(&self.buffer);
        buffer.is_closed = true;
        buffer.clear();
        drop(buffer);
        self.emptied.notify_waiters();
    }
}

impl Flush for SendBuffer {
    fn flush(&self) {
        if self.write().is_err() {
            self.left.notify_one();
        }
    }
}

impl Buffer {
    /// Puts a frame. True if no write is scheduled, so that the caller has to schedule one.
    fn put(&mut self, class: FrameClass, frame: &Frame<HostFrame<'_>>) -> Result<bool, Refused> {
        if self.is_closed {
            return Err(Refused::Closed);
        }
        if self.unread() > class.limit() {
            return Err(Refused::Full);
        }
        self.compact();
        let start = self.bytes.len();
        let bytes = frame.write(self.framing, &mut self.bytes);
        if bytes > self.max_frame_bytes {
            self.bytes.truncate(start);
            return Err(Refused::TooLong { bytes, max_frame_bytes: self.max_frame_bytes });
        }
        if !self.account() && class.needs_memory() {
            self.bytes.truncate(start);
            return Err(Refused::NoMemory);
        }
        Ok(!std::mem::replace(&mut self.is_scheduled, true))
    }

    fn unread(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Removes the bytes that were written, if the buffer would otherwise have to grow for the next frame.
    fn compact(&mut self) {
        if self.written > self.bytes.len() / 2 && self.bytes.capacity() - self.bytes.len() < KEPT_BYTES {
            self.bytes.drain(..std::mem::take(&mut self.written));
        }
    }

    /// Adjusts the reservation to the number of unread bytes. False if the budget has too little left; nothing has changed then.
    fn account(&mut self) -> bool {
        let unread = self.unread();
        self.memory.resize(if unread > KEPT_BYTES { unread } else { 0 })
    }

    /// Empties the buffer, and frees its memory beyond [`KEPT_BYTES`].
    fn clear(&mut self) {
        self.written = 0;
        self.is_scheduled = false;
        self.memory.resize(0);
        if self.bytes.capacity() > KEPT_BYTES { self.bytes = Vec::new() } else { self.bytes.clear() }
    }
}

#[cfg(test)]
mod tests {
    use ixt_protocol::Object;
    use serde_json::json;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;
    use crate::connection::socket_halves;

    const WAITING_BYTES: usize = 100 * 1024 * 1024;

    fn response(text: &str) -> Frame<HostFrame<'static>> {
        Frame { id: Some(1), body: HostFrame::ServiceResponse(Ok(Object::serialize(&json!({ "a": text })).unwrap())) }
    }

    const HEALTH_CHECK: Frame<HostFrame<'_>> = Frame { id: None, body: HostFrame::HealthCheck };

    /// The buffer for a module that reads nothing, and the module's end of the socket.
    fn module(max_frame_bytes: usize) -> (Arc<SendBuffer>, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        let (_, writer) = socket_halves::split(here).unwrap();
        (Arc::new(SendBuffer::new(writer, Framing::Line, max_frame_bytes, &Budget::new(WAITING_BYTES))), there)
    }

    #[tokio::test]
    async fn a_module_that_does_not_read_is_sent_no_events_then_no_requests_and_at_last_no_responses() {
        let (buffer, _there) = module(1 << 20);
        let large = response(&"x".repeat(1_000_000));
        let fill = |limit: usize, send: &dyn Fn() -> Result<(), Refused>| {
            while lock(&buffer.buffer).unread() <= limit {
                send().unwrap();
            }
            assert!(lock(&buffer.buffer).unread() <= limit + (1 << 20), "by one frame at most");
            assert_eq!(send(), Err(Refused::Full));
        };
        fill(FrameClass::HostRequest.limit(), &|| buffer.put(FrameClass::HostRequest, &large, &mut WriteBatch::none()));
        assert_eq!(buffer.put(FrameClass::RequestBesideOthers, &large, &mut WriteBatch::none()), Err(Refused::Full));
        assert!(!buffer.has_room(EVENT_ROOM) && !buffer.has_room(FrameClass::HostRequest.limit()));
        fill(FrameClass::Response.limit(), &|| buffer.put(FrameClass::Response, &large, &mut WriteBatch::none()));
        assert_eq!(buffer.put(FrameClass::Essential, &HEALTH_CHECK, &mut WriteBatch::none()), Ok(()));

        // A task waits for room until there is room, or the connection is closed.
        let waiting = tokio::spawn({
            let buffer = Arc::clone(&buffer);
            async move { buffer.room(0).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        buffer.close();
        waiting.await.unwrap();
        assert_eq!(buffer.put(FrameClass::Response, &large, &mut WriteBatch::none()), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn what_waits_is_taken_from_a_budget_until_it_is_read() {
        let budget = Budget::new(2 * 1024 * 1024);
        let (here, mut there) = UnixStream::pair().unwrap();
        let (_reader, writer) = socket_halves::split(here).unwrap();
        let buffer = Arc::new(SendBuffer::new(writer, Framing::Line, 1 << 20, &budget));
        let large = response(&"x".repeat(1_000_000));
        buffer.put(FrameClass::Response, &large, &mut WriteBatch::none()).unwrap();
        assert!(budget.used() > 500_000 && budget.used() == lock(&buffer.buffer).unread());
        buffer.put(FrameClass::Response, &large, &mut WriteBatch::none()).unwrap();
        assert_eq!(
            buffer.put(FrameClass::Response, &large, &mut WriteBatch::none()),
            Err(Refused::NoMemory),
            "although the limit for responses is larger"
        );
        // The error that is sent instead gets through, and takes no memory of the budget.
        buffer.put(FrameClass::Essential, &HEALTH_CHECK, &mut WriteBatch::none()).unwrap();
        let running = tokio::spawn(Arc::clone(&buffer).run());
        let reading = tokio::spawn(async move { tokio::io::copy(&mut there, &mut tokio::io::sink()).await });
        buffer.room(0).await;
        assert_eq!(budget.used(), 0);
        running.abort();
        reading.abort();
    }

    #[tokio::test]
    async fn nothing_is_sent_of_a_frame_that_is_too_long() {
        let (buffer, mut there) = module(1000);
        let bytes = response(&"x".repeat(1000)).write(Framing::Line, &mut Vec::new());
        let refused = buffer.put(FrameClass::Response, &response(&"x".repeat(1000)), &mut WriteBatch::none());
        assert_eq!(refused, Err(Refused::TooLong { bytes, max_frame_bytes: 1000 }));
        let longest = response(&"x".repeat(2000 - bytes));
        buffer.put(FrameClass::Response, &longest, &mut WriteBatch::none()).unwrap();
        drop(buffer);
        let (mut read, mut expected) = (Vec::new(), Vec::new());
        there.read_to_end(&mut read).await.unwrap();
        assert_eq!(longest.write(Framing::Line, &mut expected), 1000);
        assert!(read == expected);
    }

    /// Frames of one batch are written together when it ends; a request beside others is written by the task.
    #[tokio::test]
    async fn a_batch_is_written_at_its_end() {
        let (buffer, _there) = module(1000);
        let mut batch = WriteBatch::new();
        for _ in 0..2 {
            buffer.put(FrameClass::Response, &response(""), &mut batch).unwrap();
        }
        assert!(lock(&buffer.buffer).unread() > 0);
        drop(batch);
        assert_eq!(lock(&buffer.buffer).unread(), 0);
        buffer.put(FrameClass::RequestBesideOthers, &response(""), &mut WriteBatch::none()).unwrap();
        assert!(lock(&buffer.buffer).unread() > 0);
        let running = tokio::spawn(Arc::clone(&buffer).run());
        buffer.room(0).await;
        running.abort();
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_at_once_is_written_as_it_is_read() {
        const FRAMES: u64 = 100;
        let text = "x".repeat(100_000);
        let (here, mut there) = UnixStream::pair().unwrap();
        let (_reader, writer) = socket_halves::split(here).unwrap();
        let buffer = Arc::new(SendBuffer::new(writer, Framing::Line, 1 << 20, &Budget::new(WAITING_BYTES)));
        let running = tokio::spawn(Arc::clone(&buffer).run());
        let mut frames = Vec::new();
        for id in 0..FRAMES {
            let frame = Frame { id: Some(id), ..response(&text) };
            frame.write(Framing::Line, &mut frames);
            buffer.put(FrameClass::Response, &frame, &mut WriteBatch::none()).unwrap();
        }
        assert!(!buffer.has_room(EVENT_ROOM));
        let mut read = vec![0; frames.len()];
        there.read_exact(&mut read).await.unwrap();
        assert!(read == frames);
        buffer.room(0).await;

        // The next frame is written at once again.
        buffer.put(FrameClass::Response, &HEALTH_CHECK, &mut WriteBatch::none()).unwrap();
        assert!(buffer.has_room(0));
        assert!(there.read_u8().await.is_ok());

        // The memory that was needed for all these frames is freed.
        assert!(lock(&buffer.buffer).bytes.capacity() <= KEPT_BYTES);

        drop(there);
        let closed = || buffer.put(FrameClass::Response, &HEALTH_CHECK, &mut WriteBatch::none());
        assert_eq!((closed(), closed()), (Ok(()), Err(Refused::Closed)));
        running.abort();
    }
}
