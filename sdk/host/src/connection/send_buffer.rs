//! What goes to a module: frames are put into a buffer, and written when a batch of them is complete. Nobody waits for a
//! module that reads slowly but the one who reads from that very module.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ixt_protocol::{Frame, Framing, HostFrame};
use tokio::sync::Notify;

use super::socket_halves::Writer;
use crate::budget::{Budget, Taken};
use crate::bus::{Flush, WriteBatch};

/// With this much that it has not read yet, a module gets no more requests.
pub(crate) const REQUESTS_LIMIT: usize = 8 * 1024 * 1024;
/// With this much, no more events and changes: those can wait, and leave room for requests.
pub(crate) const EVENTS_LIMIT: usize = 1024 * 1024;
/// And with this much, not even responses to its own: they are replaced by an error.
const RESPONSES_LIMIT: usize = 64 * 1024 * 1024;
/// A buffer that has grown to more than this is given back when it is empty.
const KEPT_BYTES: usize = 256 * 1024;

/// Why a frame is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// It is longer than a frame may be.
    TooLong { bytes: usize, max_frame_bytes: usize },
    /// The module does not read what it is sent.
    Full,
    /// The module is gone.
    Closed,
}

#[derive(Debug)]
pub(crate) struct Outgoing {
    stream: Writer,
    state: Mutex<State>,
    /// There is something that was not written at once.
    left: Notify,
    /// There is room again.
    room: Notify,
}

#[derive(Debug)]
struct State {
    framing: Framing,
    max_frame_bytes: usize,
    buffer: Vec<u8>,
    /// What was written of it.
    written: usize,
    /// For what waits in it, if that is much.
    held: Taken,
    /// It is in the batch of a thread, or is left to the task that waits for the socket.
    scheduled: bool,
    closed: bool,
}

impl Outgoing {
    pub(crate) fn new(stream: Writer, framing: Framing, max_frame_bytes: usize, waiting: &Arc<Budget>) -> Self {
        let (buffer, held) = (Vec::new(), waiting.overdraw(0));
        let state = State { framing, max_frame_bytes, buffer, written: 0, held, scheduled: false, closed: false };
        Self { stream, state: Mutex::new(state), left: Notify::new(), room: Notify::new() }
    }

    pub(crate) fn set_framing(&self, framing: Framing) {
        self.lock().framing = framing;
    }

    /// A request: refused where the module has not read what was sent before.
    pub(crate) fn request(
        self: &Arc<Self>,
        frame: &Frame<HostFrame<'_>>,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        self.push(frame, REQUESTS_LIMIT, false, batch)
    }

    /// A request beside others: it may wait a moment for more of them.
    pub(crate) fn request_soon(
        self: &Arc<Self>,
        frame: &Frame<HostFrame<'_>>,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        self.push(frame, REQUESTS_LIMIT, true, batch)
    }

    /// What waits for [room](Outgoing::room) before, so that it is little that waits here: it is not counted.
    pub(crate) fn notify(
        self: &Arc<Self>,
        frame: &Frame<HostFrame<'_>>,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        self.put(frame, REQUESTS_LIMIT, false, false, batch)
    }

    /// A response to a request of the module, or something else that is not to be held back.
    pub(crate) fn respond(
        self: &Arc<Self>,
        frame: &Frame<HostFrame<'_>>,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        self.push(frame, RESPONSES_LIMIT, false, batch)
    }

    /// What has to get through: it is small.
    pub(crate) fn respond_at_last(
        self: &Arc<Self>,
        frame: &Frame<HostFrame<'_>>,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        self.push(frame, usize::MAX, false, batch)
    }

    fn push(
        self: &Arc<Self>,
        frame: &Frame<HostFrame<'_>>,
        limit: usize,
        soon: bool,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        self.put(frame, limit, soon, limit < usize::MAX, batch)
    }

    fn put(
        self: &Arc<Self>,
        frame: &Frame<HostFrame<'_>>,
        limit: usize,
        soon: bool,
        counts: bool,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        if state.waiting() > limit {
            return Err(Refused::Full);
        }
        state.make_room();
        let start = state.buffer.len();
        let framing = state.framing;
        let bytes = frame.write(framing, &mut state.buffer);
        if bytes > state.max_frame_bytes {
            state.buffer.truncate(start);
            return Err(Refused::TooLong { bytes, max_frame_bytes: state.max_frame_bytes });
        }
        if !state.account() && counts {
            state.buffer.truncate(start);
            return Err(Refused::Full);
        }
        if state.scheduled {
            return Ok(());
        }
        state.scheduled = true;
        drop(state);
        if batch.defer(self) {
            return Ok(());
        }
        if soon {
            self.left.notify_one()
        } else {
            self.flush()
        }
        Ok(())
    }

    /// An error if the socket takes no more now.
    fn write(&self) -> io::Result<()> {
        let mut state = self.lock();
        if state.waiting() > 0 && !state.closed {
            match self.stream.write(&state.buffer[state.written..]) {
                Ok(written) => {
                    state.written += written;
                    state.account();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The module is gone; whoever reads from it sees that too, and ends all that waits.
                Err(_) => state.closed = true,
            }
        }
        // A part is all that the socket takes: no need to write once more to learn it.
        if state.waiting() > 0 && !state.closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        state.clear();
        drop(state);
        self.room.notify_waiters();
        Ok(())
    }

    /// Writes what was not written at once. Never ends: it is to be aborted.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            self.left.notified().await;
            // The other tasks that can go on now may have something to send, too.
            tokio::task::yield_now().await;
            if self.write().is_err() {
                self.stream.finish(|| self.write()).await;
            }
        }
    }

    /// Whether the module has read all but so much of what it was sent.
    pub(crate) fn has_room(&self, limit: usize) -> bool {
        let state = self.lock();
        state.closed || state.waiting() <= limit
    }

    /// Waits until it has, or is gone.
    pub(crate) async fn room(&self, limit: usize) {
        while !self.has_room(limit) {
            let room = self.room.notified();
            tokio::pin!(room);
            // From here on no notification is missed.
            room.as_mut().enable();
            if !self.has_room(limit) {
                room.await;
            }
        }
    }

    /// Nothing is written any more.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.clear();
        drop(state);
        self.room.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flush for Outgoing {
    fn flush(&self) {
        if self.write().is_err() {
            self.left.notify_one();
        }
    }
}

impl State {
    fn waiting(&self) -> usize {
        self.buffer.len() - self.written
    }

    /// Lets go what was written, before the buffer grows for what is to be.
    fn make_room(&mut self) {
        if self.written > self.buffer.len() / 2 && self.buffer.capacity() - self.buffer.len() < KEPT_BYTES {
            self.buffer.drain(..std::mem::take(&mut self.written));
        }
    }

    /// What waits is taken from the budget, if it is more than little. False if that has not so much left.
    fn account(&mut self) -> bool {
        let waiting = self.waiting();
        self.held.resize(if waiting > KEPT_BYTES { waiting } else { 0 })
    }

    fn clear(&mut self) {
        self.written = 0;
        self.scheduled = false;
        self.held.resize(0);
        if self.buffer.capacity() > KEPT_BYTES { self.buffer = Vec::new() } else { self.buffer.clear() }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::to_raw_value;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixStream;

    use super::*;
    use crate::connection::socket_halves;

    const WAITING_BYTES: usize = 100 * 1024 * 1024;

    fn response(text: &str) -> Frame<HostFrame<'static>> {
        Frame { id: Some(1), body: HostFrame::ServiceResponse(Ok(to_raw_value(text).unwrap().into())) }
    }

    const HEALTH_CHECK: Frame<HostFrame<'_>> = Frame { id: None, body: HostFrame::HealthCheck };

    /// A module that reads nothing for now, and what it is sent.
    fn module(max_frame_bytes: usize) -> (Arc<Outgoing>, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        let (_, writer) = socket_halves::split(here).unwrap();
        (Arc::new(Outgoing::new(writer, Framing::Line, max_frame_bytes, &Budget::new(WAITING_BYTES))), there)
    }

    #[tokio::test]
    async fn a_module_that_does_not_read_is_sent_no_events_then_no_requests_and_at_last_no_responses() {
        let (outgoing, _there) = module(1 << 20);
        let large = response(&"x".repeat(1_000_000));
        let fill = |limit: usize, send: &dyn Fn() -> Result<(), Refused>| {
            while outgoing.lock().waiting() <= limit {
                send().unwrap();
            }
            assert!(outgoing.lock().waiting() <= limit + (1 << 20), "by one frame at most");
            assert_eq!(send(), Err(Refused::Full));
        };
        fill(REQUESTS_LIMIT, &|| outgoing.request(&large, &mut WriteBatch::none()));
        assert_eq!(outgoing.request_soon(&large, &mut WriteBatch::none()), Err(Refused::Full));
        assert!(!outgoing.has_room(EVENTS_LIMIT) && !outgoing.has_room(REQUESTS_LIMIT));
        fill(RESPONSES_LIMIT, &|| outgoing.respond(&large, &mut WriteBatch::none()));
        assert_eq!(outgoing.respond_at_last(&HEALTH_CHECK, &mut WriteBatch::none()), Ok(()));

        // Whoever waits for room waits until there is some, or nobody reads any more.
        let waiting = tokio::spawn({
            let outgoing = Arc::clone(&outgoing);
            async move { outgoing.room(0).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        outgoing.close();
        waiting.await.unwrap();
        assert_eq!(outgoing.respond(&large, &mut WriteBatch::none()), Err(Refused::Closed));
    }

    #[tokio::test]
    async fn what_waits_is_taken_from_a_budget_until_it_is_read() {
        let budget = Budget::new(2 * 1024 * 1024);
        let (here, mut there) = UnixStream::pair().unwrap();
        let (_reader, writer) = socket_halves::split(here).unwrap();
        let outgoing = Arc::new(Outgoing::new(writer, Framing::Line, 1 << 20, &budget));
        let large = response(&"x".repeat(1_000_000));
        outgoing.respond(&large, &mut WriteBatch::none()).unwrap();
        assert!(budget.used() > 500_000 && budget.used() == outgoing.lock().waiting());
        outgoing.respond(&large, &mut WriteBatch::none()).unwrap();
        assert_eq!(
            outgoing.respond(&large, &mut WriteBatch::none()),
            Err(Refused::Full),
            "although the limit for responses is larger"
        );
        // What tells it so gets through, and does not count.
        outgoing.respond_at_last(&HEALTH_CHECK, &mut WriteBatch::none()).unwrap();
        let running = tokio::spawn(Arc::clone(&outgoing).run());
        let reading = tokio::spawn(async move { tokio::io::copy(&mut there, &mut tokio::io::sink()).await });
        outgoing.room(0).await;
        assert_eq!(budget.used(), 0);
        running.abort();
        reading.abort();
    }

    #[tokio::test]
    async fn nothing_is_sent_of_a_frame_that_is_too_long() {
        let (outgoing, mut there) = module(1000);
        let bytes = response(&"x".repeat(1000)).write(Framing::Line, &mut Vec::new());
        let refused = outgoing.respond(&response(&"x".repeat(1000)), &mut WriteBatch::none());
        assert_eq!(refused, Err(Refused::TooLong { bytes, max_frame_bytes: 1000 }));
        let longest = response(&"x".repeat(2000 - bytes));
        outgoing.respond(&longest, &mut WriteBatch::none()).unwrap();
        drop(outgoing);
        let (mut read, mut expected) = (Vec::new(), Vec::new());
        there.read_to_end(&mut read).await.unwrap();
        assert_eq!(longest.write(Framing::Line, &mut expected), 1000);
        assert!(read == expected);
    }

    /// Frames that are sent by one step of a thread go out in one write, at its end; those that may wait, when the task gets
    /// to them.
    #[tokio::test]
    async fn a_batch_is_written_at_its_end() {
        let (outgoing, _there) = module(1000);
        let mut batch = WriteBatch::new();
        for _ in 0..2 {
            outgoing.respond(&response(""), &mut batch).unwrap();
        }
        assert!(outgoing.lock().waiting() > 0);
        drop(batch);
        assert_eq!(outgoing.lock().waiting(), 0);
        outgoing.request_soon(&response(""), &mut WriteBatch::none()).unwrap();
        assert!(outgoing.lock().waiting() > 0);
        let running = tokio::spawn(Arc::clone(&outgoing).run());
        outgoing.room(0).await;
        running.abort();
    }

    #[tokio::test]
    async fn what_the_socket_does_not_take_at_once_is_written_as_it_is_read() {
        const FRAMES: u64 = 100;
        let text = "x".repeat(100_000);
        let (here, mut there) = UnixStream::pair().unwrap();
        let (_reader, writer) = socket_halves::split(here).unwrap();
        let outgoing = Arc::new(Outgoing::new(writer, Framing::Line, 1 << 20, &Budget::new(WAITING_BYTES)));
        let running = tokio::spawn(Arc::clone(&outgoing).run());
        let mut frames = Vec::new();
        for id in 0..FRAMES {
            let frame = Frame { id: Some(id), ..response(&text) };
            frame.write(Framing::Line, &mut frames);
            outgoing.respond(&frame, &mut WriteBatch::none()).unwrap();
        }
        assert!(!outgoing.has_room(EVENTS_LIMIT));
        let mut read = vec![0; frames.len()];
        there.read_exact(&mut read).await.unwrap();
        assert!(read == frames);
        outgoing.room(0).await;

        // The next one is written at once again.
        outgoing.respond(&HEALTH_CHECK, &mut WriteBatch::none()).unwrap();
        assert!(outgoing.has_room(0));
        assert!(there.read_u8().await.is_ok());

        // What all that has needed is given back.
        assert!(outgoing.lock().buffer.capacity() <= KEPT_BYTES);

        drop(there);
        let closed = || outgoing.respond(&HEALTH_CHECK, &mut WriteBatch::none());
        assert_eq!((closed(), closed()), (Ok(()), Err(Refused::Closed)));
        running.abort();
    }
}
