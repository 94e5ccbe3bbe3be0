//! The [`Turn`] under a lock, shared by the threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::thread::gettid;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::runtime::executor::{Executor, How, Step};
use crate::runtime::outgoing::reader_number;
use crate::runtime::turn::{Look, Next, Turn};

#[derive(Debug)]
pub(crate) struct Turns {
    turn: Mutex<Turn<Step>>,
    /// Told when there is something new to look at.
    look: Condvar,
    /// The system's number of the thread that reads.
    reader: AtomicI32,
    tokio: Handle,
}

impl Turns {
    pub(crate) fn new(tokio: Handle) -> Self {
        Self { turn: Mutex::new(Turn::first()), look: Condvar::new(), reader: AtomicI32::new(0), tokio }
    }

    /// What the thread with this number does next.
    pub(crate) fn next(&self, number: u64) -> Next<Step> {
        let next = self.lock().next(number, Instant::now);
        if matches!(next, Next::Poll { watched: false, .. }) {
            self.look.notify_one();
        }
        next
    }

    /// The thread that reads waits for the host.
    pub(crate) fn rest(&self) {
        self.lock().rest();
    }

    /// This thread reads.
    pub(crate) fn reads(&self) {
        self.reader.store(gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    }

    /// How long the thread that reads has waited for a processor: the second figure of Linux's `schedstat`. Where there is none,
    /// a thread that has no processor is taken for one that is stuck.
    fn waited(&self) -> Duration {
        let thread = self.reader.load(Ordering::Relaxed);
        let figures = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
        let waited = figures.split_ascii_whitespace().nth(1).and_then(|nanoseconds| nanoseconds.parse().ok());
        waited.map_or(Duration::ZERO, Duration::from_nanos)
    }

    /// Waits until something has to be done.
    pub(crate) fn look(&self) -> Look {
        let mut turn = self.lock();
        loop {
            turn = match turn.look(Instant::now(), || self.waited()) {
                Look::Wait(None) => self.look.wait(turn).unwrap_or_else(PoisonError::into_inner),
                Look::Wait(Some(time)) => self.look.wait_timeout(turn, time).unwrap_or_else(PoisonError::into_inner).0,
                look => return look,
            };
        }
    }

    /// Takes the turn under this number. False if there is no need any more.
    pub(crate) fn take(&self, number: u64) -> bool {
        let others = self.lock().take(number);
        let taken = others.is_some();
        self.poll_all_elsewhere(others.into_iter().flatten());
        taken
    }

    /// No thread could be started to take the turn.
    pub(crate) fn take_later(&self) {
        self.lock().take_later();
    }

    /// Ends the turns.
    pub(crate) fn end(&self) {
        let ready = self.lock().end();
        self.look.notify_one();
        self.poll_all_elsewhere(ready);
    }

    /// Nobody reads any more.
    pub(crate) fn retire(&self) {
        let ready = self.lock().retire();
        self.poll_all_elsewhere(ready);
    }

    fn poll_all_elsewhere(&self, handlers: impl IntoIterator<Item = Step>) {
        for handler in handlers {
            self.poll_elsewhere(handler);
        }
    }

    /// On a thread of tokio's that may block: so none of these holds up another.
    fn poll_elsewhere(&self, handler: Step) {
        // If the system has no thread left, tokio panics and drops the handler, whose request is then answered.
        let spawn = || drop(self.tokio.spawn_blocking(move || handler.run()));
        let _ = catch_unwind(AssertUnwindSafe(spawn));
    }

    fn lock(&self) -> MutexGuard<'_, Turn<Step>> {
        // Nothing that can panic half done happens under this lock.
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for Turns {
    fn schedule(&self, step: Step, how: How) {
        if how == How::Slow {
            return self.poll_elsewhere(step);
        }
        let other = self.lock().schedule(reader_number(), step, how == How::Urgent);
        if let Some(step) = other {
            self.poll_elsewhere(step);
        }
    }

    fn wake_at(&self, time: Instant) {
        if self.lock().wake_at(time) {
            self.look.notify_one();
        }
    }
}
