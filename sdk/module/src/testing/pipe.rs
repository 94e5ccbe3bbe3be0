//! A module between two buffers: bytes of the host go in, and what the module answers comes out. There is no socket, no
//! thread and no host in between, and nothing runs but what the caller lets run: for tests of bytes that no host sends,
//! for fuzzing, and to count instructions.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, Decoder};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::outgoing::{Done, Outgoing, Sink, WriteBuffer};
use crate::requests::{Executor, Step, StepClass};
use crate::session::{DEFAULT_GRACE, Session};
use crate::transport::connection::BATCH_FRAMES;
use crate::{Launcher, Result};

/// A module without a host: the caller is the host, with the bytes of `PROTOCOL.md`.
///
/// ```
/// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/documentation/greeter.rs"));
/// # fn main() -> Result<()> {
/// use ixt_sdk::testing::Pipe;
///
/// let mut pipe = Pipe::new(module::<Greeter>())?;
/// pipe.exchange(b"{\"type\":\"init\",\"id\":1,\"config\":{}}\n");
/// let reply = pipe.exchange(b"{\"type\":\"health_check\",\"id\":2}\n");
/// assert!(reply.starts_with(b"{\"type\":\"success\",\"id\":2,"));
/// # Ok(())
/// # }
/// ```
pub struct Pipe {
    session: Arc<Session>,
    decoder: Decoder,
    steps: Arc<Steps>,
    output: Output,
    /// Its clock stands still, except in [`Pipe::wait`]. The last to be dropped: tasks of the session run on it.
    runtime: tokio::runtime::Runtime,
}

/// What is to be run, in the order in which it came.
#[derive(Debug, Default)]
struct Steps {
    queue: Mutex<VecDeque<Step>>,
    deadline: Mutex<Option<Instant>>,
    /// One of the two was changed.
    changed: Notify,
}

impl Executor for Steps {
    fn schedule(&self, step: Step, _: StepClass) {
        lock(&self.queue).push_back(step);
        self.changed.notify_one();
    }
}

impl Clock for Steps {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wake_at(&self, time: Instant) {
        let mut deadline = lock(&self.deadline);
        *deadline = Some(deadline.map_or(time, |deadline| deadline.min(time)));
        self.changed.notify_one();
    }
}

impl Steps {
    fn next(&self) -> Option<Step> {
        lock(&self.queue).pop_front()
    }

    /// The deadlines that have to be looked at now.
    fn is_due(&self) -> bool {
        lock(&self.deadline).take_if(|deadline| *deadline <= Instant::now()).is_some()
    }
}

/// The way out.
#[derive(Debug, Default, Clone)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Sink for Output {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let length = bytes.iter().map(|slice| slice.len()).sum();
        let mut output = lock(&self.0);
        output.reserve(length);
        for slice in bytes {
            output.extend_from_slice(slice);
        }
        Ok(length)
    }

    fn write_later(&self, bytes: WriteBuffer, _: usize, done: Done) {
        // A buffer is never full.
        done(bytes, Ok(()));
    }
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Pipe {
    /// A module that waits for `init`, which is the caller's to send.
    ///
    /// # Errors
    ///
    /// If the system gives no clock and no poll to wait on.
    pub fn new<M: crate::__private::Module>(module: Launcher<M>) -> Result<Self> {
        let Launcher { starter, limits } = module;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let (steps, output) = (Arc::new(Steps::default()), Output::default());
        let outgoing = Arc::new(Outgoing::new(output.clone()));
        let session = {
            // It looks at the clock.
            let _runtime = runtime.enter();
            let executor = Arc::clone(&steps) as _;
            Session::new(Box::new(starter), String::new(), limits, executor, outgoing, runtime.handle().clone())
        };
        Ok(Self { session: Arc::new(session), decoder: Decoder::new(DEFAULT_MAX_FRAME_BYTES), steps, output, runtime })
    }

    /// Gives the module bytes of the host, lets run what needs not wait, and takes what the module has written. The bytes
    /// may be of several frames, or of a part of one.
    pub fn exchange(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        self.gather_writes();
        let Self { session, decoder, steps, runtime, .. } = self;
        let _runtime = runtime.enter();
        session.log_scope().run(|| {
            while !bytes.is_empty() {
                // As much as would be read from a socket.
                let room = decoder.input();
                let (chunk, rest) = bytes.split_at(bytes.len().min(room.capacity() - room.len()));
                room.extend_from_slice(chunk);
                bytes = rest;
                while session.take_frames(decoder, BATCH_FRAMES) {
                    run(steps);
                }
            }
            run(steps);
        });
        self.take_output()
    }

    /// Lets this much time pass, at once, in which deadlines end, timers ring and tasks of the module run. Takes what the
    /// module has written in it.
    pub fn wait(&mut self, time: Duration) -> Vec<u8> {
        self.gather_writes();
        self.runtime.block_on(async {
            let end = Instant::now() + time;
            tokio::select! {
                biased;
                never = drive(&self.session, &self.steps) => match never {},
                () = sleep_until(end) => {}
            }
        });
        self.take_output()
    }

    /// Closes the connection, as a host that dies does, and lets the module end. Takes the last that it has written, or
    /// `None` if it has not ended in the time that it has for that.
    pub fn hang_up(self) -> Option<Vec<u8>> {
        self.gather_writes();
        let ended = self.runtime.block_on(async {
            self.session.host_gone();
            tokio::select! {
                biased;
                never = drive(&self.session, &self.steps) => match never {},
                _ = self.session.ended() => true,
                () = tokio::time::sleep(3 * DEFAULT_GRACE) => false,
            }
        });
        ended.then(|| self.take_output())
    }

    /// Makes the caller's thread the reader, which writes when it has handled all.
    fn gather_writes(&self) {
        self.session.outgoing().set_reader(std::thread::current().id());
    }

    fn take_output(&self) -> Vec<u8> {
        self.session.outgoing().end_reader();
        std::mem::take(&mut *lock(&self.output.0))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Each holds what it is queued in.
        while let Some(step) = self.steps.next() {
            drop(step);
        }
    }
}

/// Runs all that can be run now.
fn run(steps: &Steps) {
    while let Some(step) = steps.next() {
        step.run();
    }
}

/// Runs whatever there is to run, at its time.
async fn drive(session: &Arc<Session>, steps: &Steps) -> std::convert::Infallible {
    loop {
        if steps.is_due()
            && let Some(next) = session.expire(Instant::now())
        {
            steps.wake_at(next);
        }
        // Not those that they set off: tokio stops whoever doesn't let it have a turn.
        let waiting = lock(&steps.queue).len();
        session.log_scope().run(|| std::iter::from_fn(|| steps.next()).take(waiting).for_each(Step::run));
        session.outgoing().flush();
        if waiting > 0 {
            tokio::task::yield_now().await;
            continue;
        }
        let deadline = *lock(&steps.deadline);
        tokio::select! {
            () = steps.changed.notified() => {}
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {}
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is done under these locks is done whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
