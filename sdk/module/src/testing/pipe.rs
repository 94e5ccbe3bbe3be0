//! A module between two buffers: the bytes of a host go in, the bytes of the module come out. Without a socket, threads and a host: the
//! module runs only while the caller calls a method. For tests with bytes that no host would send, for fuzzing, and to count instructions.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, FrameDecoder};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::error::Result;
use crate::launcher::Launcher;
use crate::outgoing::{Done, Outgoing, Sink, WriteBuffer};
use crate::requests::{Executor, Step, StepClass};
use crate::session::{DEFAULT_GRACE, Session};
use crate::transport::connection::BATCH_FRAMES;

/// A module without a host: the caller writes and reads the bytes of `PROTOCOL.md` itself. Its clock stands still except in
/// [`wait`](Self::wait) and [`hang_up`](Self::hang_up). An `async` handler that blocks its thread blocks the caller. Not for use within a
/// tokio runtime: [`wait`](Self::wait), [`hang_up`](Self::hang_up) and dropping it panic there.
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
    decoder: FrameDecoder,
    steps: Arc<Steps>,
    output: Output,
    /// Its clock is paused, and moves only in [`Pipe::wait`] and [`Pipe::hang_up`]. Dropped last: tasks of the session run on it.
    runtime: tokio::runtime::Runtime,
}

/// The queue of steps, in the order in which they were scheduled.
#[derive(Debug, Default)]
struct Steps {
    queue: Mutex<VecDeque<Step>>,
    /// When `Session::expire` has to be called. `None`: never.
    deadline: Mutex<Option<Instant>>,
    /// Notified when one of the two was changed.
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

    /// Whether `Session::expire` has to be called now. Removes the deadline if so.
    fn is_due(&self) -> bool {
        lock(&self.deadline).take_if(|deadline| *deadline <= Instant::now()).is_some()
    }
}

/// The bytes of the module.
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
        // Never called: a buffer is never full.
        done(bytes, Ok(()));
    }

    fn gathers(&self) -> bool {
        true
    }

    fn flush_soon(&self) {
        // Each method of `Pipe` flushes at its end.
    }
}

impl std::fmt::Debug for Pipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pipe").finish_non_exhaustive()
    }
}

impl Pipe {
    /// Makes the module, which waits for `init`. It has the limits and middleware of `module`; `IXT_MAX_CONCURRENCY` is not read.
    ///
    /// # Errors
    ///
    /// If the tokio runtime can't be built.
    pub fn new<M: crate::module::Module>(module: Launcher<M>) -> Result<Self> {
        let Launcher { starter, limits } = module;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
        let (steps, output) = (Arc::new(Steps::default()), Output::default());
        let outgoing = Arc::new(Outgoing::new(output.clone()));
        let session = {
            // The session reads the runtime's clock.
            let _runtime = runtime.enter();
            let executor = Arc::clone(&steps) as _;
            Session::new(Box::new(starter), String::new(), limits, executor, outgoing, runtime.handle().clone())
        };
        Ok(Self {
            session: Arc::new(session),
            decoder: FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES),
            steps,
            output,
            runtime,
        })
    }

    /// Passes bytes of the host to the module, and runs its steps until none is ready. Returns the bytes that the module has written; empty
    /// if none. `bytes` may hold several frames, or a part of one, or nothing. Timers, tasks of tokio and the shutdown go on only in
    /// [`wait`](Self::wait) and [`hang_up`](Self::hang_up).
    pub fn exchange(&mut self, mut bytes: &[u8]) -> Vec<u8> {
        let Self { session, decoder, steps, runtime, .. } = self;
        let _runtime = runtime.enter();
        session.log_scope().run(|| {
            while !bytes.is_empty() {
                // In chunks, as from a socket.
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

    /// Advances the clock by this time, and runs the module's steps, timers, deadlines and tasks of that time. It waits only for threads of
    /// `ixt_sdk::blocking`, while which the clock stands still. Returns the bytes that the module has written; empty if none.
    pub fn wait(&mut self, time: Duration) -> Vec<u8> {
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

    /// Closes the connection, as when the host dies, and runs the module to its end. Returns the last bytes that it has written, or `None`
    /// if it has not ended within 15 seconds of its clock, three times its grace period.
    pub fn hang_up(self) -> Option<Vec<u8>> {
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

    /// Writes the gathered replies, and returns all bytes since the last call.
    fn take_output(&self) -> Vec<u8> {
        self.session.outgoing().flush();
        std::mem::take(&mut *lock(&self.output.0))
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // A step refers to the queue that it is in: without this, neither would be freed.
        while let Some(step) = self.steps.next() {
            drop(step);
        }
    }
}

/// Runs all steps in the queue, and those that they schedule.
fn run(steps: &Steps) {
    while let Some(step) = steps.next() {
        step.run();
    }
}

/// Runs steps and deadlines as their time comes, without end.
async fn drive(session: &Arc<Session>, steps: &Steps) -> std::convert::Infallible {
    loop {
        if steps.is_due()
            && let Some(next) = session.expire(Instant::now())
        {
            steps.wake_at(next);
        }
        // Only the steps in the queue now, then a yield to tokio: steps may schedule others without end.
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
    // Nothing under these locks can panic and leave the data half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
