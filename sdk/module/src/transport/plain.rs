//! The plain way to serve a connection, which only [`compare`](crate::compare) uses: one tokio task reads, and each step of a handler is
//! a task. A handler that blocks delays all other handlers.

use std::os::unix::net::UnixStream;
use std::sync::{Arc, OnceLock, Weak};

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, FrameDecoder};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use crate::clock::Clock;
use crate::requests::{Executor, Step, StepClass};
use crate::session::Session;
use crate::this_thread;

/// Runs each step as a task of tokio, whatever its class. For each deadline, another task sleeps until then.
#[derive(Debug)]
pub(crate) struct PlainExecutor {
    tokio: Handle,
    session: OnceLock<Weak<Session>>,
}

impl PlainExecutor {
    /// An executor without a session. Until [`start`](Self::start) is called, [`wake_at`](Clock::wake_at) does nothing.
    pub(crate) fn new(tokio: Handle) -> Self {
        Self { tokio, session: OnceLock::new() }
    }

    /// Starts the task that reads until the host closes the connection, and returns. `tokio` should have one thread.
    pub(crate) fn start(self: &Arc<Self>, session: &Arc<Session>, stream: Arc<UnixStream>) {
        let _ = self.session.set(Arc::downgrade(session));
        let session = Arc::clone(session);
        self.tokio.spawn(async move {
            #[expect(
                deprecated,
                reason = "its successor is unsafe code; the socket stays open for as long as this task"
            )]
            let socket = AsyncFd::with_interest(stream, Interest::READABLE).expect("the runtime has its I/O driver");
            let mut decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
            loop {
                session.log_scope().run(|| session.take_frames(&mut decoder, usize::MAX));
                // Lets the tasks of these frames run, so that their replies are written together.
                tokio::task::yield_now().await;
                session.outgoing().flush_at_rest();
                let Ok(mut ready) = socket.readable().await else { break };
                match recv(socket.get_ref(), spare_capacity(decoder.input()), RecvFlags::DONTWAIT) {
                    Err(Errno::AGAIN) => ready.clear_ready(),
                    Ok((1.., _)) => {}
                    _ => break,
                }
            }
            session.outgoing().flush();
            session.host_gone();
        });
    }
}

impl Clock for PlainExecutor {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wake_at(&self, time: Instant) {
        let Some(session) = self.session.get().map(Weak::clone) else { return };
        self.tokio.spawn(async move {
            sleep_until(time).await;
            if let Some(session) = session.upgrade()
                && let Some(next) = session.expire(Instant::now())
            {
                session.wake_at(next);
            }
        });
    }
}

impl Executor for PlainExecutor {
    fn schedule(&self, step: Step, _: StepClass) {
        self.tokio.spawn(async move {
            // The task that reads writes the frames of steps on its thread.
            let gathers = this_thread::gathers();
            this_thread::set_gathers(true);
            step.run();
            this_thread::set_gathers(gathers);
        });
    }
}
