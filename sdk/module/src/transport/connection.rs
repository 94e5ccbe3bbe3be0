//! A process's connection to its host. The reader reads frames and runs their handlers. The watchdog replaces the reader while it is stuck
//! in a handler, ends requests and calls at their deadlines, and writes what other threads have gathered for too long. How often it checks,
//! and when it replaces the reader, is in `reader_lease`.
//!
//! The first reader is a task on the workers of the runtime that `Launcher::run` makes: what it reads for the author's tasks wakes them on
//! the same thread. On a runtime of the author it is a thread: nothing tells when the workers of such a runtime are busy, or have nothing
//! more to run. A reader that replaces another one is always a thread.

use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, FrameDecoder};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};
use tokio::runtime::Handle;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout};

use super::process_executor::ProcessExecutor;
use super::reader_lease::{Check, Next};
use super::workers::Workers;
use crate::clock::Clock as _;
use crate::log::log_error;
use crate::session::Session;
use crate::this_thread::{ReaderId, Reading};

/// How many frames the reader takes at most before it runs their handlers. Few, so that one handler finds the memory that the last one has
/// used in the processor's cache.
pub(crate) const BATCH_FRAMES: usize = 4;
/// How many frames it takes at most after it has run handlers for 1 to 2 ms (`MAX_BURST_TICKS`). Health checks and
/// cancels among them take effect before the handlers of the others begin.
const LARGE_BATCH_FRAMES: usize = 64;

/// When the host has sent nothing for this time, 200 ms, the buffers of large frames are freed.
const RELEASE_BUFFERS_AFTER: Duration = Duration::from_millis(200);

/// What the readers and the watchdog of a process share.
pub(crate) struct Connection {
    session: Arc<Session>,
    executor: Arc<ProcessExecutor>,
    stream: Arc<UnixStream>,
    /// Entered by readers that are threads, so that handlers can spawn tasks.
    tokio: Handle,
    /// The threads on which the reader is a task. `None` if all readers are threads.
    workers: Option<Arc<Workers>>,
    /// Locked by the reader while it reads. Not locked while it runs handlers, so that another one can take over.
    decoder: Mutex<FrameDecoder>,
}

/// Why a reader does not go on.
#[derive(Debug, PartialEq, Eq)]
enum Stop {
    /// It has nothing to do before the host sends more. The socket was empty.
    Rest,
    /// Its handlers have run for 1 to 2 ms.
    Pause,
    /// It does not have the lease any more.
    Leave,
    /// The host is gone.
    Closed,
}

/// Ends the session as failed if the task that has this panics.
struct FailOnPanic<'a>(&'a Session);

impl Drop for FailOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.fail();
        }
    }
}

impl Connection {
    /// A connection that nobody reads. `workers` are those of `tokio`, if the SDK has made it: they gather frames for it from now on.
    pub(crate) fn new(
        session: Arc<Session>,
        executor: Arc<ProcessExecutor>,
        stream: Arc<UnixStream>,
        tokio: Handle,
        workers: Option<Arc<Workers>>,
    ) -> Arc<Self> {
        let decoder = Mutex::new(FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES));
        if let Some(workers) = &workers {
            workers.connect(Arc::clone(&executor), Arc::clone(session.outgoing()), &tokio);
        }
        Arc::new(Self { session, executor, stream, tokio, workers, decoder })
    }

    /// Starts the reader, and returns: a task if there are workers, and otherwise a thread. It ends after [`end`](Self::end), at the end of
    /// the input, and, if it is a thread, when another one has replaced it.
    ///
    /// # Errors
    ///
    /// If the socket can't be registered with the runtime, or the system has no thread.
    pub(crate) fn start_reader(self: &Arc<Self>) -> io::Result<()> {
        let reader = ReaderId::new();
        self.executor.begin(reader, self.workers.is_some());
        if self.workers.is_none() {
            return self.spawn("ixt-read", move |this| this.read_in_thread(reader));
        }
        let _tokio = self.tokio.enter();
        #[expect(deprecated, reason = "its successor is unsafe code; the socket stays open for as long as the task")]
        let socket = AsyncFd::with_interest(Arc::clone(&self.stream), Interest::READABLE)?;
        let this = Arc::clone(self);
        // Without tokio's budget: it is meant for one task, and would have all handlers of a turn share it.
        self.tokio.spawn(unconstrained(async move {
            let _guard = FailOnPanic(&this.session);
            this.read_in_task(reader, &socket).await;
        }));
        Ok(())
    }

    /// Starts a thread for the watchdog: see [`watch`](Self::watch).
    ///
    /// # Errors
    ///
    /// If the system has no thread.
    pub(crate) fn start_watchdog(self: &Arc<Self>) -> io::Result<()> {
        self.spawn("ixt-watch", Self::watch)
    }

    /// Ends the readers and the watchdog, and closes the stream. Does not wait: a thread that runs the author's code ends when that
    /// returns. To be called after the session has ended.
    pub(crate) fn end(&self) {
        self.executor.end();
        if let Some(workers) = &self.workers {
            workers.release_reserve();
        }
        // The reader sees the end of the input.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Starts a thread. If it panics, the session ends as failed.
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Arc<Self>) + Send + 'static) -> io::Result<()> {
        let this = Arc::clone(self);
        thread::Builder::new().name(name.to_owned()).spawn(move || this.fail_on_panic(|| work(&this))).map(drop)
    }

    fn fail_on_panic(&self, work: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            self.session.fail();
        }
    }

    /// The reader that is a task: reads frames and runs handlers until the reading ends. Waits while a thread has its lease.
    async fn read_in_task(&self, reader: ReaderId, socket: &AsyncFd<Arc<UnixStream>>) {
        let mut holds_buffers = false;
        loop {
            if holds_buffers && timeout(RELEASE_BUFFERS_AFTER, readable(socket)).await.is_err() {
                self.release_buffers();
            }
            let Ok(mut ready) = readable(socket).await else { return self.close() };
            match self.run(reader, &mut true, &mut holds_buffers) {
                // The socket was empty. This does nothing if it has got more since.
                Stop::Rest => ready.clear_ready(),
                Stop::Pause => {
                    drop(ready);
                    tokio::task::yield_now().await;
                }
                Stop::Leave => {
                    drop(ready);
                    if !self.executor.returned().await {
                        return;
                    }
                }
                Stop::Closed => return self.close(),
            }
        }
    }

    /// A reader that is a thread: reads frames and runs handlers while it has the lease.
    fn read_in_thread(&self, reader: ReaderId) {
        let _tokio = self.tokio.enter();
        let (mut has_input, mut holds_buffers) = (true, false);
        loop {
            match self.run(reader, &mut has_input, &mut holds_buffers) {
                Stop::Pause => {}
                Stop::Leave => return,
                Stop::Rest if self.wait_for_input(&mut has_input, holds_buffers) => {}
                Stop::Rest | Stop::Closed => return self.close(),
            }
        }
    }

    /// Ends the reading: the host has closed the connection.
    fn close(&self) {
        self.executor.retire();
        self.session.log_scope().run(|| self.session.host_gone());
    }

    /// Takes frames and runs handlers as long as there are any. `has_input` is whether the socket may have something to read, before and
    /// after; `holds_buffers` is set to whether there are buffers for large frames, which should be freed if the host sends nothing for
    /// long.
    fn run(&self, reader: ReaderId, has_input: &mut bool, holds_buffers: &mut bool) -> Stop {
        let _reading = Reading::begin(reader);
        self.executor.runs_here();
        self.session.log_scope().run(|| {
            loop {
                let stop = match self.executor.next(reader) {
                    Next::Run { step, .. } => {
                        self.session.polls(step.request());
                        step.run();
                        continue;
                    }
                    Next::Read { wait } => self.take_frames(wait, has_input, holds_buffers),
                    Next::Leave => Some(Stop::Leave),
                };
                match stop {
                    None => {}
                    Some(Stop::Rest) if self.executor.rest() => return Stop::Rest,
                    Some(Stop::Rest) => return Stop::Leave,
                    Some(stop) => {
                        self.session.outgoing().flush();
                        return stop;
                    }
                }
            }
        })
    }

    /// Takes frames from the buffer, or, if it has none, reads what the socket has, without waiting. With `wait` no step is ready: if there
    /// is nothing to read either, the gathered replies are written, and the reader rests. Without it they are written first, and the
    /// reader pauses.
    fn take_frames(&self, wait: bool, has_input: &mut bool, holds_buffers: &mut bool) -> Option<Stop> {
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        let outgoing = self.session.outgoing();
        if !wait {
            // Handlers have run for 1 to 2 ms: their callers shouldn't wait for the next handlers too.
            outgoing.flush();
            if !self.session.take_frames(&mut decoder, LARGE_BATCH_FRAMES) {
                if !self.receive(&mut decoder, has_input, RecvFlags::DONTWAIT) {
                    return Some(Stop::Closed);
                }
                self.session.take_frames(&mut decoder, LARGE_BATCH_FRAMES);
            }
            return Some(Stop::Pause);
        }
        if self.session.take_frames(&mut decoder, BATCH_FRAMES) {
            return None;
        }
        // Before the replies are written: those to the frames that are read now go out in the same write.
        if *has_input {
            let is_open = self.receive(&mut decoder, has_input, RecvFlags::DONTWAIT);
            return (!is_open).then_some(Stop::Closed);
        }
        *holds_buffers = outgoing.flush_at_rest() || decoder.is_oversized();
        Some(Stop::Rest)
    }

    /// Waits for the host, and reads what it has sent. Returns false at the end of the input and after an error of the socket.
    fn wait_for_input(&self, has_input: &mut bool, holds_buffers: bool) -> bool {
        if holds_buffers && !self.is_readable_within(RELEASE_BUFFERS_AFTER) {
            self.release_buffers();
        }
        let mut decoder = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        self.receive(&mut decoder, has_input, RecvFlags::empty())
    }

    /// Frees the buffers for large frames.
    fn release_buffers(&self) {
        // Locked while another reader reads, which then needs it.
        if let Ok(mut decoder) = self.decoder.try_lock() {
            decoder.shrink();
        }
        self.session.outgoing().release_pool();
    }

    /// Waits for input. Returns false if there is none within this time.
    fn is_readable_within(&self, time: Duration) -> bool {
        let mut stream = [PollFd::new(&self.stream, PollFlags::IN)];
        let time = Timespec::try_from(time).ok();
        // After an error, the next read fails too, and ends the connection.
        !matches!(poll(&mut stream, time.as_ref()), Ok(0))
    }

    /// Reads into the decoder's buffer. Sets whether the socket may have more: it does if the buffer is full. Returns false at the end of
    /// the input and after an error.
    fn receive(&self, decoder: &mut FrameDecoder, has_input: &mut bool, flags: RecvFlags) -> bool {
        loop {
            let buffer = decoder.input();
            let read = recv(&self.stream, spare_capacity(buffer), flags);
            *has_input = buffer.len() == buffer.capacity();
            match read {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return true,
                read => return matches!(read, Ok((1.., _))),
            }
        }
    }

    /// Runs the watchdog, until [`end`](Self::end) is called. If it panics, the session ends as failed.
    pub(crate) fn watch(self: &Arc<Self>) {
        self.fail_on_panic(|| self.run_watchdog());
    }

    fn run_watchdog(self: &Arc<Self>) {
        let mut logged = false;
        loop {
            self.session.outgoing().flush_stale();
            let is_idle = self.workers.as_ref().is_none_or(|workers| workers.are_idle());
            match self.executor.check(is_idle, || self.is_readable_within(Duration::ZERO)) {
                Check::Wake => self.wake_worker(),
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

    /// Wakes a worker that waits, if there is one. When it finds nothing to run, it waits for input and timers of the runtime, for which
    /// nobody else may wait: it may have left that to a worker that is blocked now.
    fn wake_worker(&self) {
        drop(self.tokio.spawn(async {}));
    }

    /// The work of a thread that the watchdog has started: becomes the reader, if the old one is still stuck. Otherwise returns at once.
    fn take_over(self: &Arc<Self>) {
        let reader = ReaderId::new();
        let Some(was_stuck) = self.executor.take_over(reader) else { return };
        if was_stuck {
            self.session.reader_is_stuck();
        }
        if let Some(workers) = &self.workers {
            workers.release_reserve();
            self.wake_worker();
        }
        self.read_in_thread(reader);
    }
}

/// Waits until the socket has something to read, or is closed. For one task: a second one would keep the first from being woken.
async fn readable(socket: &AsyncFd<Arc<UnixStream>>) -> io::Result<AsyncFdReadyGuard<'_, Arc<UnixStream>>> {
    // Cheaper than `AsyncFd::readable`, which keeps a list of those that wait.
    poll_fn(|cx| socket.poll_read_ready(cx)).await
}
