//! The connection of a process to its host: one thread at a time reads, and polls the handlers of what it has read;
//! another looks whether it is stuck, and at the deadlines.

use std::io::{self, IoSlice, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, Decoder};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::log_error;
use crate::runtime::chunks::Chunks;
use crate::runtime::executor::Executor as _;
use crate::runtime::outgoing::{Done, Sink, read_as};
use crate::runtime::session::Session;
use crate::runtime::turn::{Look, Next};
use crate::runtime::turns::Turns;

/// So many frames are taken before their handlers are polled: few, so that what one has used is at hand for the next.
pub(crate) const BATCH: usize = 4;
/// So many are taken when the handlers take their time: what bypasses them overtakes so many.
const LARGE_BATCH: usize = 64;

/// When the host has sent nothing for so long, what large frames were in is given back.
const SPARE_FOR: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// The way out.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<UnixStream>,
    /// The thread that waits when the socket is full: of its own, since the others may be waiting for the host's answer.
    writer: OnceLock<Sender<Job>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Socket {
    pub(crate) fn new(stream: &Arc<UnixStream>) -> Self {
        Self { stream: Arc::clone(stream), writer: OnceLock::new() }
    }

    /// Its thread, started when it is first needed.
    fn writer(&self) -> &Sender<Job> {
        self.writer.get_or_init(|| {
            let (jobs, queue) = mpsc::channel::<Job>();
            let work = move || queue.into_iter().for_each(|job| job());
            // If there is no thread, nobody takes a job from the channel, and it comes back.
            let _ = thread::Builder::new().name("ixt-write".to_owned()).spawn(work);
            jobs
        })
    }
}

impl Sink for Socket {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            match sendmsg(&self.stream, bytes, &mut SendAncillaryBuffer::default(), flags) {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                sent => return Ok(sent?),
            }
        }
    }

    fn write_later(&self, bytes: Chunks, from: usize, done: Done) {
        let stream = Arc::clone(&self.stream);
        let job: Job = Box::new(move || {
            let written = bytes.slices(from).try_for_each(|slice| (&*stream).write_all(slice));
            done(bytes, written);
        });
        if let Err(mpsc::SendError(job)) = self.writer().send(job) {
            job();
        }
    }
}

/// A connection that is served.
pub(crate) struct Connection {
    session: Arc<Session>,
    turns: Arc<Turns>,
    stream: Arc<UnixStream>,
    tokio: Handle,
    /// Held by the thread whose turn it is, but not while it polls.
    input: Mutex<Input>,
}

struct Input {
    decoder: Decoder,
    /// There was no room for more when it was last read.
    filled: bool,
}

impl Connection {
    /// Starts the threads.
    ///
    /// # Errors
    ///
    /// If that is not possible.
    pub(crate) fn start(
        session: Arc<Session>,
        turns: Arc<Turns>,
        stream: Arc<UnixStream>,
        tokio: Handle,
    ) -> io::Result<Arc<Self>> {
        let input = Mutex::new(Input { decoder: Decoder::new(DEFAULT_MAX_FRAME_BYTES), filled: false });
        let connection = Arc::new(Self { session, turns, stream, tokio, input });
        connection.read_as(1)?;
        connection.spawn("ixt-watch", Self::watch)?;
        Ok(connection)
    }

    /// Ends the threads, as soon as they don't run the author's code.
    pub(crate) fn end(&self) {
        self.turns.end();
        // The thread that reads sees an end.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    /// Lets a new thread read, under this number.
    fn read_as(self: &Arc<Self>, number: u64) -> io::Result<()> {
        self.spawn("ixt-read", move |this| {
            if number == 1 || this.turns.take(number) {
                if number > 1 {
                    this.session.is_stuck();
                }
                let _tokio = this.tokio.enter();
                read_as(number);
                this.turns.reads();
                this.session.scope().run(|| this.read(number));
            }
        })
    }

    /// Without its threads, a session can't go on.
    fn spawn(self: &Arc<Self>, name: &str, work: impl FnOnce(&Arc<Self>) + Send + 'static) -> io::Result<()> {
        let this = Arc::clone(self);
        let work = move || {
            if catch_unwind(AssertUnwindSafe(|| work(&this))).is_err() {
                this.session.fail();
            }
        };
        thread::Builder::new().name(name.to_owned()).spawn(work).map(drop)
    }

    fn read(&self, number: u64) {
        let outgoing = self.session.outgoing();
        outgoing.defer_for(number);
        // What the thread before has not written.
        outgoing.flush();
        loop {
            match self.turns.next(number) {
                Next::Poll { handler, .. } => handler.run(),
                Next::Read { wait } => {
                    if !self.take_frames(wait) {
                        self.turns.retire();
                        outgoing.flush();
                        // From here on, this is a thread like any other: what it sends is written at once.
                        read_as(0);
                        return self.session.host_gone();
                    }
                }
                Next::Leave => return outgoing.flush(),
            }
        }
    }

    /// Takes some frames. If there are none: writes, then reads, and waits for that if there is nothing else to do. False at
    /// the end.
    fn take_frames(&self, wait: bool) -> bool {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        if !wait {
            // Who waits for these need not wait for the others.
            self.session.outgoing().flush();
        }
        if self.session.take_frames(&mut input.decoder, if wait { BATCH } else { LARGE_BATCH }) {
            return true;
        }
        // There is probably more, to be answered in the same write.
        if std::mem::take(&mut input.filled)
            && let Some(open) = self.receive(&mut input, RecvFlags::DONTWAIT)
        {
            return open;
        }
        let outgoing = self.session.outgoing();
        let find_out = outgoing.end_of_input();
        if find_out || !wait {
            let more = self.receive(&mut input, RecvFlags::DONTWAIT);
            if find_out {
                outgoing.learn(more.is_some());
            }
            if more.is_some() || !wait {
                return more.unwrap_or(true);
            }
        }
        self.turns.rest();
        if (input.decoder.holds_spare() || outgoing.holds_spare()) && !self.is_readable_within(SPARE_FOR) {
            input.decoder.release_spare();
            outgoing.release_spare();
        }
        self.receive(&mut input, RecvFlags::empty()).unwrap_or(true)
    }

    /// Waits for bytes of the host. False if there were none in this time.
    fn is_readable_within(&self, time: Timespec) -> bool {
        let mut stream = [PollFd::new(&self.stream, PollFlags::IN)];
        // An error is that of the next read, too.
        !matches!(poll(&mut stream, Some(&time)), Ok(0))
    }

    /// Reads. False at the end, `None` if there is nothing now.
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

    fn watch(self: &Arc<Self>) {
        let mut told = false;
        loop {
            match self.turns.look() {
                Look::TakeOver(number) => match self.read_as(number) {
                    Ok(()) => told = false,
                    Err(error) => {
                        self.turns.take_later();
                        // It is tried again every few milliseconds.
                        if !std::mem::replace(&mut told, true) {
                            let message = format!("a handler blocks its thread, and no other can be started: {error}");
                            self.session.scope().run(|| log_error(message));
                        }
                    }
                },
                Look::Expire => {
                    if let Some(next) = self.session.expire(Instant::now()) {
                        self.turns.wake_at(next);
                    }
                }
                Look::Wait(_) => {}
                Look::Leave => return,
            }
        }
    }
}
