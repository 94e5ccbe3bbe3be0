//! What goes to a module: frames are put into a buffer, which is written to the socket at once, at the end of a batch, or by a task
//! when the socket takes more. Putting a frame never waits; how much may pile up depends on what the frame is.

use std::io;
use std::sync::{Arc, Mutex};

use ixt_protocol::{Frame, Framing, HostFrame};
use tokio::sync::Notify;

use super::socket_halves::Writer;
use crate::budget::{Budget, Reservation};
use crate::bus::{Flush, WriteBatch};
use crate::lock::lock;

/// The capacity of the buffer that is kept when it is empty, in bytes. Also, only what is unread beyond it is taken from the budget.
const KEPT_BYTES: usize = 256 * 1024;

/// What a frame is for, and with it, how much unread data it may be put behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameClass {
    /// Events and changes, which can wait elsewhere: their sender waits for [room](SendBuffer::room) before. Refused only as requests
    /// are.
    Event,
    /// Requests.
    HostRequest,
    /// A request beside others that the module has: it may wait a moment, to be written together with more of them.
    RequestBesideOthers,
    /// Responses to the module's own calls.
    Response,
    /// Small frames that have to get through.
    Essential,
}

impl FrameClass {
    /// A frame is refused if the module has more unread bytes than this.
    pub(crate) const fn limit(self) -> usize {
        match self {
            Self::Event | Self::HostRequest | Self::RequestBesideOthers => 8 * 1024 * 1024,
            Self::Response => 64 * 1024 * 1024,
            Self::Essential => usize::MAX,
        }
    }

    /// Whether a frame is refused if the memory that it takes is over the budget.
    fn needs_memory(self) -> bool {
        !matches!(self, Self::Event | Self::Essential)
    }
}

/// With more unread bytes than this, no events and changes are put: they leave room for requests.
pub(super) const EVENT_ROOM: usize = 1024 * 1024;

/// Why a frame is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The frame is longer than the connection's frames may be.
    TooLong { bytes: usize, max_frame_bytes: usize },
    /// The module does not read what it is sent.
    Full,
    /// The connection is closed.
    Closed,
}

#[derive(Debug)]
pub(crate) struct SendBuffer {
    socket: Writer,
    buffer: Mutex<Buffer>,
    /// Wakes the task that writes what is left.
    left: Notify,
    /// Wakes those that wait for room.
    emptied: Notify,
}

#[derive(Debug)]
struct Buffer {
    framing: Framing,
    max_frame_bytes: usize,
    bytes: Vec<u8>,
    /// How many of the bytes the socket has taken.
    written: usize,
    /// The memory of the unread bytes, if they are more than [`KEPT_BYTES`].
    memory: Reservation,
    /// Somebody will write it: a batch, or the task.
    is_scheduled: bool,
    is_closed: bool,
}

impl SendBuffer {
    pub(crate) fn new(socket: Writer, framing: Framing, max_frame_bytes: usize, memory: &Arc<Budget>) -> Self {
        let memory = memory.overdraw(0);
        let bytes = Vec::new();
        let buffer =
            Buffer { framing, max_frame_bytes, bytes, written: 0, memory, is_scheduled: false, is_closed: false };
        Self { socket, buffer: Mutex::new(buffer), left: Notify::new(), emptied: Notify::new() }
    }

    /// The framing of the frames that are put from now on.
    pub(crate) fn set_framing(&self, framing: Framing) {
        lock(&self.buffer).framing = framing;
    }

    /// Puts a frame. An error means that nothing of it is sent.
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

    /// Writes what the socket takes now. `WouldBlock` if something is left; the task has to be woken then.
    fn write(&self) -> io::Result<()> {
        let mut buffer = lock(&self.buffer);
        if buffer.unread() > 0 && !buffer.is_closed {
            match self.socket.write(&buffer.bytes[buffer.written..]) {
                Ok(written) => {
                    buffer.written += written;
                    buffer.account();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The module is gone. The reader sees that too, and ends what waits.
                Err(_) => buffer.is_closed = true,
            }
        }
        // A part is all that the socket takes: there is no need to write once more to learn it.
        if buffer.unread() > 0 && !buffer.is_closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        buffer.clear();
        drop(buffer);
        self.emptied.notify_waiters();
        Ok(())
    }

    /// The task that writes what is left. It never ends: it has to be aborted.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.left.notified().await;
            // Other tasks that can run now may have something to send, too.
            tokio::task::yield_now().await;
            if self.write().is_err() {
                self.socket.finish(|| self.write()).await;
            }
        }
    }

    /// Whether the module has at most this many unread bytes, or the connection is closed.
    pub(crate) fn has_room(&self, limit: usize) -> bool {
        let buffer = lock(&self.buffer);
        buffer.is_closed || buffer.unread() <= limit
    }

    /// Waits until [there is room](Self::has_room). Cancel-safe.
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

    /// Drops what is unread, and refuses every further frame.
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
    /// True if nobody has been told yet to write it; the caller has to.
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
            return Err(Refused::Full);
        }
        Ok(!std::mem::replace(&mut self.is_scheduled, true))
    }

    fn unread(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Removes what was written, before the buffer grows for what is to be.
    fn compact(&mut self) {
        if self.written > self.bytes.len() / 2 && self.bytes.capacity() - self.bytes.len() < KEPT_BYTES {
            self.bytes.drain(..std::mem::take(&mut self.written));
        }
    }

    /// Takes the memory of the unread bytes from the budget, or gives it back. False if the budget has not so much left; nothing has
    /// changed then.
    fn account(&mut self) -> bool {
        let unread = self.unread();
        self.memory.resize(if unread > KEPT_BYTES { unread } else { 0 })
    }

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

    /// A module that reads nothing for now, and what it is sent.
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

        // Whoever waits for room waits until there is some, or nobody reads any more.
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
            Err(Refused::Full),
            "although the limit for responses is larger"
        );
        // What tells it so gets through, and does not count.
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

    /// Frames that are sent by one step of a thread go out in one write, at its end; those that may wait, when the task gets
    /// to them.
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

        // The next one is written at once again.
        buffer.put(FrameClass::Response, &HEALTH_CHECK, &mut WriteBatch::none()).unwrap();
        assert!(buffer.has_room(0));
        assert!(there.read_u8().await.is_ok());

        // What all that has needed is given back.
        assert!(lock(&buffer.buffer).bytes.capacity() <= KEPT_BYTES);

        drop(there);
        let closed = || buffer.put(FrameClass::Response, &HEALTH_CHECK, &mut WriteBatch::none());
        assert_eq!((closed(), closed()), (Ok(()), Err(Refused::Closed)));
        running.abort();
    }
}
