//! The threads of a process that is connected to its host. The reader reads frames and runs their handlers. The watchdog replaces the
//! reader while it is stuck in a handler, and ends requests and calls at their deadlines. How often it checks, and when it replaces the
//! reader, is in `reader_lease`.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, FrameDecoder};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::reader_lease::{Check, Next};
use super::thread_executor::ThreadExecutor;
use crate::clock::Clock as _;
use crate::log::log_error;
use crate::session::Session;
use crate::thread_id::current_thread_id;

/// How many frames the reader takes at most before it runs their handlers. Few, so that one handler finds the memory that the last one has
/// used in the processor's cache.
pub(crate) const BATCH_FRAMES: usize = 4;
/// How many frames it takes at most after it has run handlers for [`MAX_BURST`](super::reader_lease::MAX_BURST). Health checks and
/// cancels among them take effect before the handlers of the others begin.
const LARGE_BATCH_FRAMES: usize = 64;

/// When the host has sent nothing for this time, 200 ms, the buffers of large frames are freed.
const RELEASE_BUFFERS_AFTER: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// What the reader and the watchdog of a process share.
pub(crate) struct Connection {
    session: Arc<Session>,
    executor: Arc<ThreadExecutor>,
    stream: Arc<UnixStream>,
    /// Entered by the reader, so that handlers can spawn tasks.
    tokio: Handle,
    /// Locked by the reader while it reads. Not locked while it runs handlers, so that another thread can take over.
    input: Mutex<Input>,
}

/// The bytes that the reader has read.
struct Input {
    decoder: FrameDecoder,
    /// Whether the last read has filled the buffer, so that the socket probably has more.
    filled: bool,
}

impl Connection {
    /// Starts the reader and the watchdog, and returns. They end after [`end`](Self::end); the reader also at the end of the input, and
    /// when another thread has replaced it.
    ///
    /// # Errors
    ///
    /// If the system has no thread for one of them. If only the watchdog could not be started, the reader goes on.
    pub(crate) fn start(
        session: Arc<Session>,
        executor: Arc<ThreadExecutor>,
        stream: Arc<UnixStream>,
        tokio: Handle,
    ) -> io::Result<Arc<Self>> {
        let input = Mutex::new(Input { decoder: FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES), filled: false });
        let connection = Arc::new(Self { session, executor, stream, tokio, input });
        connection.spawn("ixt-read", |this| {
            this.executor.begin();
            this.read();
        })?;
        connection.spawn("ixt-watch", Self::watch)?;
        Ok(connection)
    }

    /// Ends the threads, and closes the stream. Does not wait: a thread that runs the author's code ends when that returns. To be called
    /// after the session has ended.
    pub(crate) fn end(&self) {
        self.executor.end();
        // The reader sees the end of the input.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Starts a thread. If it panics, the session ends as failed.
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Arc<Self>) + Send + 'static) -> io::Result<()> {
        let this = Arc::clone(self);
        let work = move || {
            if catch_unwind(AssertUnwindSafe(|| work(&this))).is_err() {
                this.session.fail();
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }

    /// Reads frames and runs handlers while this thread has the lease.
    fn read(&self) {
        let _tokio = self.tokio.enter();
        let outgoing = self.session.outgoing();
        outgoing.set_reader(current_thread_id());
        // Frames that the reader before this one has gathered.
        outgoing.flush();
        self.session.log_scope().run(|| {
            loop {
                match self.executor.next() {
                    Next::Run { step, .. } => {
                        self.session.polls(step.request());
                        step.run();
                    }
                    Next::Read { wait } => {
                        if !self.take_frames(wait) {
                            self.executor.retire();
                            outgoing.end_reader();
                            return self.session.host_gone();
                        }
                    }
                    Next::Leave => return outgoing.flush(),
                }
            }
        });
    }

    /// Takes frames from the buffer, or, if it has none, reads more. With `wait` (no step is ready) it writes the gathered replies before
    /// it waits for the host. Without `wait` it writes them first, and reads only what the socket has. Returns false at the end of the
    /// input and after an error of the socket.
    fn take_frames(&self, wait: bool) -> bool {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let outgoing = self.session.outgoing();
        if !wait {
            // Handlers have run for 1 ms: their callers shouldn't wait for the next handlers too.
            outgoing.flush();
        }
        if self.session.take_frames(&mut input.decoder, if wait { BATCH_FRAMES } else { LARGE_BATCH_FRAMES }) {
            return true;
        }
        // Before the replies are written: those to the frames that are read now go out in the same write.
        if std::mem::take(&mut input.filled)
            && let Some(is_open) = self.receive(&mut input, RecvFlags::DONTWAIT)
        {
            return is_open;
        }
        outgoing.flush_at_rest();
        if !wait {
            return self.receive(&mut input, RecvFlags::DONTWAIT).unwrap_or(true);
        }
        self.executor.rest();
        if (input.decoder.is_oversized() || outgoing.uses_pool()) && !self.is_readable_within(RELEASE_BUFFERS_AFTER) {
            input.decoder.shrink();
            outgoing.release_pool();
        }
        self.receive(&mut input, RecvFlags::empty()).unwrap_or(true)
    }

    /// Waits for input. Returns false if there is none within this time.
    fn is_readable_within(&self, time: Timespec) -> bool {
        let mut stream = [PollFd::new(&self.stream, PollFlags::IN)];
        // After an error, the next read fails too, and ends the connection.
        !matches!(poll(&mut stream, Some(&time)), Ok(0))
    }

    /// Reads into the decoder's buffer. Returns false at the end of the input and after an error, and `None` if the socket has nothing
    /// now and `flags` say not to wait.
    fn receive(&self, input: &mut Input, flags: RecvFlags) -> Option<bool> {
        loop {
            let buffer = input.decoder.input();
            match recv(&self.stream, spare_capacity(buffer), flags) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return None,
                read => {
                    input.filled = buffer.len() == buffer.capacity();
                    return Some(matches!(read, Ok((1.., _))));
                }
            }
        }
    }

    /// Runs the watchdog, until [`end`](Self::end) is called.
    fn watch(self: &Arc<Self>) {
        let mut logged = false;
        loop {
            match self.executor.check() {
                Check::TakeOver => match self.spawn("ixt-read", Self::take_over) {
                    Ok(()) => logged = false,
                    Err(error) => {
                        self.executor.take_over_later();
                        // The watchdog tries again every few milliseconds, and logs this once.
                        if !std::mem::replace(&mut logged, true) {
                            let message = format!("a handler blocks its thread, and no other can be started: {error}");
                            self.session.log_scope().run(|| log_error(message));
                        }
                    }
                },
                Check::Expire => {
                    if let Some(next) = self.session.expire(Instant::now()) {
                        self.executor.wake_at(next);
                    }
                }
                Check::Wait(_) => {}
                Check::Leave => return,
            }
        }
    }

    /// The work of a thread that the watchdog has started: becomes the reader, if the old one is still stuck. Otherwise returns at once.
    fn take_over(self: &Arc<Self>) {
        if self.executor.take_over() {
            self.session.reader_is_stuck();
            self.read();
        }
    }
}
