//! The threads of a process that is connected to its host. The reader reads, and runs the handlers of what it has read; the
//! watchdog replaces it while it is stuck in one, and looks at the deadlines.

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

/// The frames that are taken before their handlers are run. Few, so that what one handler has touched is still in the processor's
/// cache for the next.
pub(crate) const BATCH_FRAMES: usize = 4;
/// The frames that are taken when handlers have just been run for [`MAX_BURST`](super::reader_lease::MAX_BURST). The most that a health
/// check or a `cancel` is overtaken by.
const LARGE_BATCH_FRAMES: usize = 64;

/// When the host has sent nothing for this long, the buffers of large frames are freed.
const RELEASE_BUFFERS_AFTER: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

pub(crate) struct Connection {
    session: Arc<Session>,
    executor: Arc<ThreadExecutor>,
    stream: Arc<UnixStream>,
    tokio: Handle,
    /// Locked by the reader while it reads, but not while it runs handlers.
    input: Mutex<Input>,
}

struct Input {
    decoder: FrameDecoder,
    /// The last read has filled the buffer, so that there is probably more.
    filled: bool,
}

impl Connection {
    /// Starts the reader and the watchdog.
    ///
    /// # Errors
    ///
    /// If the system has no thread for one of them.
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

    /// Ends the threads; those that run the author's code end when it returns.
    pub(crate) fn end(&self) {
        self.executor.end();
        // The reader sees the end of the input.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Starts a thread. If it panics, the session ends: it can't go on without it.
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Arc<Self>) + Send + 'static) -> io::Result<()> {
        let this = Arc::clone(self);
        let work = move || {
            if catch_unwind(AssertUnwindSafe(|| work(&this))).is_err() {
                this.session.fail();
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }

    /// Reads and runs handlers, for as long as this thread has the lease.
    fn read(&self) {
        let _tokio = self.tokio.enter();
        let outgoing = self.session.outgoing();
        outgoing.set_reader(thread::current().id());
        // What the reader before has gathered.
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

    /// Takes frames from the buffer. If there are none, writes the replies and reads, waiting for the host if `wait`. False at the end
    /// of the input.
    fn take_frames(&self, wait: bool) -> bool {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let outgoing = self.session.outgoing();
        if !wait {
            // Handlers have run for a while: their callers shouldn't wait for those of the next batch.
            outgoing.flush();
        }
        if self.session.take_frames(&mut input.decoder, if wait { BATCH_FRAMES } else { LARGE_BATCH_FRAMES }) {
            return true;
        }
        // The replies to what comes now go out in the same write.
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

    /// Waits for input. False if there was none in this time.
    fn is_readable_within(&self, time: Timespec) -> bool {
        let mut stream = [PollFd::new(&self.stream, PollFlags::IN)];
        // After an error the read that follows fails as well.
        !matches!(poll(&mut stream, Some(&time)), Ok(0))
    }

    /// Reads into the decoder's buffer. False at the end of the input, and after an error; `None` if there is nothing now.
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

    /// The watchdog.
    fn watch(self: &Arc<Self>) {
        let mut logged = false;
        loop {
            match self.executor.check() {
                Check::TakeOver => match self.spawn("ixt-read", Self::take_over) {
                    Ok(()) => logged = false,
                    Err(error) => {
                        self.executor.take_over_later();
                        // It is tried again every few milliseconds, but logged once.
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

    fn take_over(self: &Arc<Self>) {
        if self.executor.take_over() {
            self.session.reader_is_stuck();
            self.read();
        }
    }
}
