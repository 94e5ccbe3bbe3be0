//! A module in one task, without a socket or a thread of its own: frames come and go as bytes in channels, and time is
//! tokio's, which a test can stop.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, PoisonError};

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, Decoder};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};

use crate::module::Start;
use crate::runtime::chunks::Chunks;
use crate::runtime::executor::{Executor, How, Step};
use crate::runtime::outgoing::{Done, Sink};
use crate::runtime::session::{End, Session};
use crate::runtime::{Limits, Outgoing};

/// What the task has to do.
#[derive(Debug)]
struct Single {
    ready: mpsc::UnboundedSender<Step>,
    deadline: Mutex<Option<Instant>>,
    earlier: Notify,
}

impl Executor for Single {
    fn schedule(&self, step: Step, _: How) {
        // When the task has ended, nothing runs any more.
        let _ = self.ready.send(step);
    }

    fn wake_at(&self, time: Instant) {
        let mut deadline = self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
        if deadline.is_none_or(|deadline| time < deadline) {
            *deadline = Some(time);
            self.earlier.notify_one();
        }
    }
}

impl Single {
    /// Waits until deadlines have to be looked at.
    async fn expiry(&self) {
        loop {
            let deadline = *self.deadline.lock().unwrap_or_else(PoisonError::into_inner);
            match deadline {
                None => self.earlier.notified().await,
                Some(deadline) => tokio::select! {
                    () = sleep_until(deadline) => break,
                    () = self.earlier.notified() => {}
                },
            }
        }
        *self.deadline.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The way out.
#[derive(Debug)]
struct Channel(mpsc::UnboundedSender<Vec<u8>>);

impl Sink for Channel {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes = bytes.iter().map(|slice| &**slice).collect::<Vec<_>>().concat();
        let length = bytes.len();
        self.0.send(bytes).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(length)
    }

    fn write_later(&self, bytes: Chunks, _: usize, done: Done) {
        // A channel is never full.
        done(bytes, Ok(()));
    }
}

/// The host's end of a module's connection.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Bytes for the module; dropped, the host is gone.
    pub(crate) to_module: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes from the module.
    pub(crate) from_module: mpsc::UnboundedReceiver<Vec<u8>>,
}

/// Runs a module. The future is to be polled until it ends; it does when the module has shut down.
pub(crate) fn connect(
    module: Box<dyn Start>,
    module_id: String,
    limits: Limits,
    tokio: Handle,
) -> (Wire, impl Future<Output = End>) {
    let (to_module, mut input) = mpsc::unbounded_channel::<Vec<u8>>();
    let (output, from_module) = mpsc::unbounded_channel();
    let (ready, mut steps) = mpsc::unbounded_channel();
    let executor = Arc::new(Single { ready, deadline: Mutex::default(), earlier: Notify::new() });
    let outgoing = Arc::new(Outgoing::new(Channel(output)));
    let session = Arc::new(Session::new(module, module_id, limits, Arc::clone(&executor) as _, outgoing, tokio));
    let module = async move {
        let mut decoder = Decoder::new(DEFAULT_MAX_FRAME_BYTES);
        let mut host_gone = false;
        let mut ended = std::pin::pin!(session.ended());
        loop {
            tokio::select! {
                biased;
                Some(step) = steps.recv() => session.scope().run(|| step.run()),
                chunk = input.recv(), if !host_gone => match chunk {
                    None => {
                        host_gone = true;
                        session.host_gone();
                    }
                    Some(chunk) => {
                        decoder.input().extend(chunk);
                        session.scope().run(|| session.take_frames(&mut decoder, usize::MAX));
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
