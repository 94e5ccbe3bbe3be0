//! The executor of a process: the reader lease behind a lock. The reader, the watchdog and every thread that wakes a task use it. The
//! reader runs the steps that it has scheduled itself. Steps that other threads schedule run on tokio's blocking pool, and so do first
//! steps of a topic that has blocked the reader within the last 30 seconds, and steps that were ready when the reader got stuck, except for
//! urgent ones.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::reader_lease::{Check, Next, ReaderLease};
use crate::clock::Clock;
use crate::requests::{Executor, Step, StepClass};
use crate::this_thread::{self, ReaderId};

/// The lease of a process, and what wakes the watchdog. Made before the session, which schedules its steps with it.
#[derive(Debug)]
pub(crate) struct ProcessExecutor {
    lease: Mutex<ReaderLease<Step>>,
    /// Notified when the watchdog has to check at once.
    watchdog: Condvar,
    /// Notified when the task has the lease again, and when the reading has ended.
    returned: Notify,
    /// The kernel's id of the thread that ran the reader last. 0 before the first one.
    reader_tid: AtomicI32,
    /// Has the blocking pool.
    tokio: Handle,
}

impl ProcessExecutor {
    /// A lease that nobody has: steps run on the blocking pool of `tokio` until a reader begins.
    pub(crate) fn new(tokio: Handle) -> Self {
        Self {
            lease: Mutex::new(ReaderLease::new()),
            watchdog: Condvar::new(),
            returned: Notify::new(),
            reader_tid: AtomicI32::new(0),
            tokio,
        }
    }

    /// Gives the lease to the first reader, which is a task or a thread.
    pub(super) fn begin(&self, reader: ReaderId, is_task: bool) {
        self.lock().begin(reader, is_task);
    }

    /// Notes that this thread runs the reader now, for the watchdog.
    pub(super) fn runs_here(&self) {
        self.reader_tid.store(this_thread::tid(), Ordering::Relaxed);
    }

    /// The next thing for this reader to do: see [`ReaderLease::next`].
    pub(super) fn next(&self, reader: ReaderId) -> Next<Step> {
        let next = self.lock().next(reader);
        if matches!(next, Next::Run { notify: true, .. }) {
            self.watchdog.notify_one();
        }
        next
    }

    /// To be called before the reader waits for the host. Returns false if it has to leave instead: see [`ReaderLease::rest`].
    pub(super) fn rest(&self) -> bool {
        let stays = self.lock().rest(Instant::now);
        if !stays {
            self.returned.notify_one();
        }
        stays
    }

    /// Waits until the task, which has lost the lease, may have it again. Returns false if the reading has ended.
    pub(super) async fn returned(&self) -> bool {
        self.returned.notified().await;
        !self.lock().is_over()
    }

    /// Has the watchdog check every millisecond for a while, if it does not do so already.
    pub(super) fn keep_watching(&self) {
        if self.lock().keep_watching() {
            self.watchdog.notify_one();
        }
    }

    /// What the watchdog has to do. [`Check::Wait`] has been waited for. For the watchdog's thread only. `is_idle` and `has_input`: see
    /// [`ReaderLease::check`].
    pub(super) fn check(&self, is_idle: bool, has_input: impl FnOnce() -> bool) -> Check {
        let mut lease = self.lock();
        let check = lease.check(Instant::now(), || self.waited_for_processor(), is_idle, has_input);
        match check {
            Check::Wait(None) => drop(self.watchdog.wait(lease)),
            Check::Wait(Some(time)) => drop(self.watchdog.wait_timeout(lease, time)),
            _ => {}
        }
        check
    }

    /// Makes this reader, which is a thread, the holder, and hands the steps that were ready to tokio's blocking pool; it runs urgent ones
    /// itself. Returns whether the old reader is stuck in a step (otherwise it is a task that no worker has time for); `None` if it is
    /// neither any more: the thread then has to end.
    pub(super) fn take_over(&self, reader: ReaderId) -> Option<bool> {
        let (ready, was_stuck) = self.lock().take_over(reader, Instant::now())?;
        self.run_all_elsewhere(ready);
        Some(was_stuck)
    }

    /// To be called when no thread could be started for a takeover: see [`ReaderLease::take_over_later`].
    pub(super) fn take_over_later(&self) {
        self.lock().take_over_later();
    }

    /// Ends the reading: the host has closed the connection. Steps that were ready run on tokio's blocking pool, and so do all later ones.
    pub(super) fn retire(&self) {
        let ready = self.lock().retire();
        self.returned.notify_one();
        self.run_all_elsewhere(ready);
    }

    /// Ends the watchdog, and the reader when it returns from its handler.
    pub(super) fn end(&self) {
        let ready = self.lock().end();
        self.watchdog.notify_one();
        self.returned.notify_one();
        self.run_all_elsewhere(ready);
    }

    /// How long the reader's thread has waited for a processor in its life: the second figure of `/proc/…/schedstat` on Linux. Zero without that
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

impl Clock for ProcessExecutor {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wake_at(&self, time: Instant) {
        if self.lock().wake_at(time) {
            self.watchdog.notify_one();
        }
    }
}

impl Executor for ProcessExecutor {
    fn schedule(&self, step: Step, class: StepClass) {
        if class == StepClass::Blocking {
            return self.run_elsewhere(step);
        }
        let step = self.lock().schedule(this_thread::reader(), step, class == StepClass::Urgent);
        if let Some(step) = step {
            self.run_elsewhere(step);
        }
    }
}
