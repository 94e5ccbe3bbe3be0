//! The executor of a process: the reader lease behind a lock. The reader, the watchdog and every thread that wakes a task use it. The
//! reader runs the steps that it has scheduled itself. Steps that other threads schedule run on tokio's blocking pool, and so do first
//! steps of a topic that has blocked the reader within the last 30 seconds, and steps that were ready when the reader got stuck, except for
//! urgent ones.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::thread::gettid;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::reader_lease::{Check, Next, ReaderLease};
use crate::clock::Clock;
use crate::requests::{Executor, Step, StepClass};
use crate::thread_id::current_thread_id;

/// The lease of a process, and what wakes the watchdog. Made before the session, which schedules its steps with it.
#[derive(Debug)]
pub(crate) struct ThreadExecutor {
    lease: Mutex<ReaderLease<Step>>,
    /// Notified when the watchdog has to check at once.
    watchdog: Condvar,
    /// The kernel's id of the reader's thread. 0 before the first one.
    reader_tid: AtomicI32,
    /// Has the blocking pool.
    tokio: Handle,
}

impl ThreadExecutor {
    /// A lease that no thread has: steps run on the blocking pool of `tokio` until `Connection::start` starts the reader.
    pub(crate) fn new(tokio: Handle) -> Self {
        Self { lease: Mutex::new(ReaderLease::new()), watchdog: Condvar::new(), reader_tid: AtomicI32::new(0), tokio }
    }

    /// Makes this thread the first reader.
    pub(super) fn begin(&self) {
        self.set_reader_tid();
        self.lock().begin(current_thread_id());
    }

    /// The next thing for this thread to do: see [`ReaderLease::next`].
    pub(super) fn next(&self) -> Next<Step> {
        let next = self.lock().next(current_thread_id(), Instant::now);
        if matches!(next, Next::Run { notify: true, .. }) {
            self.watchdog.notify_one();
        }
        next
    }

    /// To be called before the reader waits for the host: see [`ReaderLease::rest`].
    pub(super) fn rest(&self) {
        self.lock().rest();
    }

    /// Blocks until the watchdog has something to do, and returns it. Never returns [`Check::Wait`]. For the watchdog's thread only.
    pub(super) fn check(&self) -> Check {
        let mut lease = self.lock();
        loop {
            lease = match lease.check(Instant::now(), || self.waited_for_processor()) {
                Check::Wait(None) => self.watchdog.wait(lease).unwrap_or_else(PoisonError::into_inner),
                Check::Wait(Some(time)) => {
                    self.watchdog.wait_timeout(lease, time).unwrap_or_else(PoisonError::into_inner).0
                }
                check => return check,
            };
        }
    }

    /// Makes this thread the reader, and hands the steps that were ready to tokio's blocking pool; it runs urgent ones itself. Returns
    /// false if the old reader is not stuck any more: this thread then has to end.
    pub(super) fn take_over(&self) -> bool {
        let ready = self.lock().take_over(current_thread_id());
        if ready.is_some() {
            self.set_reader_tid();
        }
        let taken = ready.is_some();
        self.run_all_elsewhere(ready.into_iter().flatten());
        taken
    }

    /// To be called when no thread could be started for a takeover: see [`ReaderLease::take_over_later`].
    pub(super) fn take_over_later(&self) {
        self.lock().take_over_later();
    }

    /// Ends the reading: the host has closed the connection. Steps that were ready run on tokio's blocking pool, and so do all later ones.
    pub(super) fn retire(&self) {
        let ready = self.lock().retire();
        self.run_all_elsewhere(ready);
    }

    /// Ends the watchdog, and the reader when it returns from its handler.
    pub(super) fn end(&self) {
        let ready = self.lock().end();
        self.watchdog.notify_one();
        self.run_all_elsewhere(ready);
    }

    /// Notes that the calling thread is the reader, for the watchdog.
    fn set_reader_tid(&self) {
        self.reader_tid.store(gettid().as_raw_nonzero().get(), Ordering::Relaxed);
    }

    /// How long the reader has waited for a processor in its life: the second figure of `/proc/…/schedstat` on Linux. Zero without that
    /// file: then a thread that gets no processor counts as stuck.
    fn waited_for_processor(&self) -> Duration {
        let thread = self.reader_tid.load(Ordering::Relaxed);
        let figures = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
        let waited = figures.split_ascii_whitespace().nth(1).and_then(|nanoseconds| nanoseconds.parse().ok());
        waited.map_or(Duration::ZERO, Duration::from_nanos)
    }

    fn run_all_elsewhere(&self, steps: impl IntoIterator<Item = Step>) {
        for step in steps {
            self.run_elsewhere(step);
        }
    }

    /// Runs a step on a thread of tokio's blocking pool, where it may block.
    fn run_elsewhere(&self, step: Step) {
        // If the system has no thread left, tokio panics and drops the step, which then replies with an error.
        let spawn = || drop(self.tokio.spawn_blocking(move || step.run()));
        let _ = catch_unwind(AssertUnwindSafe(spawn));
    }

    fn lock(&self) -> MutexGuard<'_, ReaderLease<Step>> {
        // Nothing under this lock can panic and leave it half changed.
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Clock for ThreadExecutor {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wake_at(&self, time: Instant) {
        if self.lock().wake_at(time) {
            self.watchdog.notify_one();
        }
    }
}

impl Executor for ThreadExecutor {
    fn schedule(&self, step: Step, class: StepClass) {
        if class == StepClass::Blocking {
            return self.run_elsewhere(step);
        }
        let step = self.lock().schedule(current_thread_id(), step, class == StepClass::Urgent);
        if let Some(step) = step {
            self.run_elsewhere(step);
        }
    }
}
