//! A module in one task, without a socket and without threads of its own; for `testing::Host` and `testing::serve`. Bytes come and
//! go through channels. Time is tokio's, which a test can stop. An `async` handler that blocks its thread blocks the module.
//! Methods of `blocking` services, and the work of `ixt_sdk::blocking`, run on tokio's blocking pool.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, FrameDecoder};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::module::Start;
use crate::outgoing::{Done, Outgoing, Sink, WriteBuffer};
use crate::requests::{Executor, Limits, Step, StepClass};
use crate::session::{End, Session};

/// The queue of the task, which runs all steps in the order in which they were scheduled.
#[derive(Debug)]
struct TaskExecutor {
    /// Has no limit.
    steps: mpsc::UnboundedSender<Step>,
    /// When `Session::expire` has to be called. `None`: never.
    deadline: Mutex<Option<Instant>>,
    /// Notified when `deadline` has become earlier.
    earlier: Notify,
}

impl Clock for TaskExecutor {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wake_at(&self, time: Instant) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        if deadline.is_none_or(|deadline| time < deadline) {
            *deadline = Some(time);
            self.earlier.notify_one();
        }
    }
}

impl Executor for TaskExecutor {
    fn schedule(&self, step: Step, _: StepClass) {
        // Fails after the end of the task: then no step runs any more.
        let _ = self.steps.send(step);
    }
}

impl TaskExecutor {
    /// Waits until `Session::expire` has to be called, and forgets that time. Cancel-safe.
    async fn expiry(&self) {
        loop {
            let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
            match deadline {
                None => self.earlier.notified().await,
                Some(deadline) => tokio::select! {
                    biased;
                    () = sleep_until(deadline) => break,
                    () = self.earlier.notified() => {}
                },
            }
        }
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The channel for the module's bytes, which is never full. Weak, so that it closes when the module's task ends, even if the author still
/// holds contexts.
#[derive(Debug)]
struct Channel(mpsc::WeakUnboundedSender<Vec<u8>>);

impl Sink for Channel {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = bytes.iter().map(|slice| &**slice).collect::<Vec<_>>().concat();
        let length = bytes.len();
        self.0.upgrade().and_then(|channel| channel.send(bytes).ok()).ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(length)
    }

    fn write_later(&self, bytes: WriteBuffer, _: usize, done: Done) {
        done(bytes, Ok(()));
    }

    fn gathers(&self) -> bool {
        false
    }

    fn flush_soon(&self) {}
}

/// The host's end of the connection. Neither channel has a limit.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Bytes for the module, in pieces of any size. Dropping it closes the connection.
    pub(crate) to_module: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes from the module. Ends when the module's future has ended or is dropped.
    pub(crate) from_module: mpsc::UnboundedReceiver<Vec<u8>>,
}

/// Connects a module with a host in the same process. Returns the host's end, and the future that runs the module until its session has
/// ended. Nothing runs before the future is polled. Once the future has ended or is dropped, sending to the module fails. If the future
/// is dropped, no handler is polled any more; blocking methods that run, and tasks and threads of the author, go on.
pub(crate) fn connect(
    module: Box<dyn Start>,
    module_id: String,
    limits: Limits,
    tokio: Handle,
) -> (Wire, impl Future<Output = End>) {
    let (to_module, mut input) = mpsc::unbounded_channel::<Vec<u8>>();
    let (output, from_module) = mpsc::unbounded_channel();
    let (sender, mut steps) = mpsc::unbounded_channel();
    let executor = Arc::new(TaskExecutor { steps: sender, deadline: Mutex::default(), earlier: Notify::new() });
    let outgoing = Arc::new(Outgoing::new(Channel(output.downgrade())));
    let session = Arc::new(Session::new(module, module_id, limits, Arc::clone(&executor) as _, outgoing, tokio));
    let module = async move {
        let _output = output;
        let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
        let mut host_gone = false;
        let mut ended = std::pin::pin!(session.ended());
        loop {
            tokio::select! {
                biased;
                Some(step) = steps.recv() => session.log_scope().run(|| step.run()),
                chunk = input.recv(), if !host_gone => match chunk {
                    None => {
                        host_gone = true;
                        session.host_gone();
                    }
                    Some(chunk) => {
                        decoder.input().extend(chunk);
                        session.log_scope().run(|| session.take_frames(&mut decoder, usize::MAX));
                    }
                },
                () = executor.expiry() => {
                    if let Some(next) = session.expire(Instant::now()) {
                        executor.wake_at(next);
                    }
                }
                end = &mut ended => return end,
            }
        }
    };
    (Wire { to_module, from_module }, module)
}
