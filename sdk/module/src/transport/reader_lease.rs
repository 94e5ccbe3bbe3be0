//! Who reads. The reader reads from the host, and also runs the handlers of the frames: that makes small handlers fast. In a process
//! whose runtime the SDK has made, the reader is a task of that runtime, and otherwise a thread. But a handler may block or compute, and
//! then its reader doesn't read. So reading is a lease: a reader that has run one step for 3 to 5 ms loses it to a new thread, and so does
//! the task if the workers of the runtime have had no time for it for so long. A thread that loses it ends when its handler returns. The
//! task gets it back.
//!
//! ```text
//!               begin              take_over by a new thread
//!    (no one) ────────► Reading ◄────────────────────────────┐
//!                        │   ▲ ▲ rest, after 100 ms: back to │
//!             next: Run  │   │ └──── the task, if it is free  │
//!                        ▼   │ next: Read                    │
//!                       Running ──2 checks, 2 ms──► stuck: steps that
//!                                                   were ready run elsewhere
//!    from any: retire (end of input), end (end of the session) ──► (no one)
//! ```
//!
//! This is only the state: callers pass times and readers. `process_executor` puts it under a lock.
//!
//! With plain tasks of tokio instead, a small call takes 11 to 24 % longer, and a health check waits as long as a handler blocks; with
//! the takeover it takes less than 10 ms (tests/bench/README.md).

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::this_thread::ReaderId;

/// How long a step may go on running after a second check has found it running. Then its reader loses the lease. Time in which its
/// thread has no processor doesn't count, since a new thread would have none either. The same for a task that has had something to do at
/// two checks, and has not run: at the second one a worker is woken for it. Together with the checks and the start of a thread this stays
/// below the 10 ms that RUNTIME.md promises.
pub(super) const STUCK_AFTER: Duration = Duration::from_millis(2);
/// The time between two checks of the watchdog while steps are run, while the task has the lease and a worker is busy, and for
/// [`MAX_IDLE_CHECKS`] checks after that.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(1);
/// After more than this many checks in a row at which there was nothing to watch, the watchdog sleeps until it is notified, or until the
/// next deadline.
const MAX_IDLE_CHECKS: u32 = 200;
/// After running steps for this many ticks without reading, 1 to 2 ms, the reader writes the replies, and reads the frames that have come,
/// before it runs more steps.
pub(super) const MAX_BURST_TICKS: u64 = 2;

/// How long a thread keeps the lease at least before it gives it back to the task: whatever has kept that from running may do so again.
pub(super) const KEEP_FOR: Duration = Duration::from_millis(100);

/// The lease, and the steps that its holder has to run. `S` is a step, `R` the id of a reader. No method blocks, and none runs a step.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(super) struct ReaderLease<S, R = ReaderId> {
    /// The reader. `None` before the first one, and after the reading has ended.
    holder: Option<R>,
    /// The reader that is a task. `None` if all are threads.
    task: Option<R>,
    /// Whether the task has lost the lease in a step that goes on.
    task_is_stuck: bool,
    /// When a thread has last taken the lease.
    taken_at: Option<Instant>,
    /// What the holder does.
    doing: Doing,
    /// How often the watchdog has checked, not counting checks that come sooner than [`CHECK_INTERVAL`] after the one before. A clock that
    /// costs nothing to read.
    ticks: u64,
    /// The check that was counted last.
    ticked_at: Option<Instant>,
    /// At which tick the holder ran its first step since it last waited for the host, or was told to read between steps. `None` if it has
    /// run none since.
    burst_since: Option<u64>,
    /// The steps to run before those in `ready`.
    urgent: VecDeque<S>,
    /// The steps to run in this order. The queue has no limit: `max_concurrency` limits the requests.
    ready: VecDeque<S>,
    /// Whether the watchdog checks every `CHECK_INTERVAL`. If not, it has to be notified when a step begins.
    watched: bool,
    /// The number of checks in a row at which there was nothing to watch: no step ran, and the task was not about to be kept waiting.
    idle_checks: u32,
    /// The step that ran at the last check that found one running. `None` before the first.
    suspect: Option<Suspect>,
    /// How often the holder has asked what to do next.
    asked: u64,
    /// The task, if checks found something to do for it, and it has not run since the first of them. `None` if the last check found
    /// nothing.
    kept_waiting: Option<KeptWaiting>,
    /// Whether a thread was started that will call `take_over`.
    taking_over: bool,
    /// When `Session::expire` has to be called. `None`: never.
    deadline: Option<Instant>,
    /// [`end`](Self::end) was called: the watchdog leaves.
    ended: bool,
}

/// What the holder of the lease does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// It waits for the host.
    Rests,
    /// It takes frames.
    Reads,
    /// It runs the step with this value of `asked`.
    Runs(u64),
    /// After a burst: it reads what has come, and, if it is a task, lets other tasks run. It has more to do.
    Pauses,
}

/// A step that may be stuck.
#[derive(Debug)]
struct Suspect {
    /// As in [`Doing::Runs`].
    step: u64,
    /// When the second check found it, and the thread's time without a processor by then. `None` before that check.
    seen_again: Option<(Instant, Duration)>,
}

/// The task has something to do, and does not run.
#[derive(Debug)]
struct KeptWaiting {
    /// The value of `asked`: if it changes, the task has run.
    asked: u64,
    /// The first check that has found it so.
    since: Instant,
    /// When a worker was woken for it, and the thread's time without a processor by then. `None` before that check.
    woken: Option<(Instant, Duration)>,
}

/// The next thing for a reader to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<S> {
    /// Run this step. With `notify`, notify the watchdog first.
    Run { step: S, notify: bool },
    /// Take frames. With `wait`, no step is ready: wait for the host if no frame has come. Without it, steps have run for
    /// [`MAX_BURST_TICKS`]: write the replies, read the frames that have come, and ask again.
    Read { wait: bool },
    /// End, or wait for the lease: this reader does not have it.
    Leave,
}

/// The next thing for the watchdog to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Start a thread that calls `take_over`.
    TakeOver,
    /// Wake a worker: the task waits, perhaps because the worker that would learn of input is blocked.
    Wake,
    /// Call `Session::expire`.
    Expire,
    /// Check again when notified, or after this time, if there is one.
    Wait(Option<Duration>),
    /// Stop: the session has ended.
    Leave,
}

impl<S, R: Copy + Eq> ReaderLease<S, R> {
    /// A lease that nobody has. Until [`begin`](Self::begin), each step that is scheduled is returned to its caller.
    pub(super) fn new() -> Self {
        Self {
            holder: None,
            task: None,
            task_is_stuck: false,
            taken_at: None,
            doing: Doing::Rests,
            ticks: 0,
            ticked_at: None,
            burst_since: None,
            urgent: VecDeque::new(),
            ready: VecDeque::new(),
            watched: false,
            idle_checks: 0,
            suspect: None,
            asked: 0,
            kept_waiting: None,
            taking_over: false,
            deadline: None,
            ended: false,
        }
    }

    /// Gives the lease to the first reader.
    pub(super) fn begin(&mut self, reader: R, is_task: bool) {
        self.holder = Some(reader);
        self.task = is_task.then_some(reader);
    }

    /// The next thing for this reader to do, which has done the thing before. Urgent steps come first; after [`MAX_BURST_TICKS`] the reader
    /// has to read before the next step.
    pub(super) fn next(&mut self, reader: R) -> Next<S> {
        if self.holder != Some(reader) {
            self.task_is_stuck &= self.task != Some(reader);
            return Next::Leave;
        }
        self.asked += 1;
        self.doing = Doing::Reads;
        if self.burst_since.is_some_and(|since| self.ticks - since >= MAX_BURST_TICKS) {
            self.burst_since = None;
            self.doing = Doing::Pauses;
            return Next::Read { wait: false };
        }
        match self.urgent.pop_front().or_else(|| self.ready.pop_front()) {
            None => Next::Read { wait: true },
            Some(step) => {
                self.burst_since.get_or_insert(self.ticks);
                self.doing = Doing::Runs(self.asked);
                Next::Run { step, notify: !std::mem::replace(&mut self.watched, true) }
            }
        }
    }

    /// To be called before the holder waits for the host. Returns false if it has to leave instead: it is a thread, and has given the lease
    /// back to the task. Calls `now` only for a thread in place of the task.
    pub(super) fn rest(&mut self, now: impl FnOnce() -> Instant) -> bool {
        self.burst_since = None;
        self.doing = Doing::Rests;
        if self.task.is_none() || self.task_reads() || self.task_is_stuck {
            return true;
        }
        let has_kept = self.taken_at.is_none_or(|taken| now().duration_since(taken) >= KEEP_FOR);
        if has_kept {
            self.holder = self.task;
        }
        !has_kept
    }

    /// Whether there is a task, and it has the lease.
    fn task_reads(&self) -> bool {
        self.task.is_some() && self.holder == self.task
    }

    /// Whether the task has the lease, and something to do for which a worker has to run it.
    fn task_is_due(&self, has_input: impl FnOnce() -> bool) -> bool {
        self.task_reads()
            && match self.doing {
                Doing::Rests => has_input(),
                Doing::Pauses => true,
                Doing::Reads | Doing::Runs(_) => false,
            }
    }

    /// Whether the reading has ended.
    pub(super) fn is_over(&self) -> bool {
        self.holder.is_none()
    }

    /// Has the watchdog check every [`CHECK_INTERVAL`] for a while. Returns whether it has to be notified.
    pub(super) fn keep_watching(&mut self) -> bool {
        self.idle_checks = 0;
        !std::mem::replace(&mut self.watched, true)
    }

    /// Queues a step for the holder, if the calling thread is `reader`, and that is the holder. Otherwise returns it: the caller has to run
    /// it on another thread.
    pub(super) fn schedule(&mut self, reader: Option<R>, step: S, urgent: bool) -> Option<S> {
        if reader.is_none() || self.holder != reader {
            return Some(step);
        }
        if urgent { &mut self.urgent } else { &mut self.ready }.push_back(step);
        None
    }

    /// Plans a call of `Session::expire` at this time, unless one is planned earlier. Returns whether the watchdog has to be notified.
    pub(super) fn wake_at(&mut self, time: Instant) -> bool {
        let earlier = self.deadline.is_none_or(|deadline| time < deadline);
        if earlier {
            self.deadline = Some(time);
        }
        earlier
    }

    /// The next thing for the watchdog to do, which asks again when it has done it. `waited` returns how long the holder's thread has waited
    /// for a processor in all its life, `has_input` whether the socket has something to read. `is_idle`: all workers wait, so that one of
    /// them waits for input. [`Check::TakeOver`] is not returned again before `take_over` or `take_over_later` was called.
    pub(super) fn check(
        &mut self,
        now: Instant,
        waited: impl FnOnce() -> Duration,
        is_idle: bool,
        has_input: impl FnOnce() -> bool,
    ) -> Check {
        if self.ended {
            return Check::Leave;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            return Check::Expire;
        }
        if self.ticked_at.is_none_or(|ticked| now.duration_since(ticked) >= CHECK_INTERVAL) {
            self.ticks += 1;
            self.ticked_at = Some(now);
        }
        match self.doing {
            _ if self.taking_over => {}
            _ if self.task_is_due(has_input) => {
                self.idle_checks = 0;
                match &mut self.kept_waiting {
                    Some(KeptWaiting { asked, since, woken }) if *asked == self.asked => match woken {
                        // A check may come sooner, and the task may be about to run.
                        None if now.duration_since(*since) < CHECK_INTERVAL => {}
                        None => {
                            *woken = Some((now, waited()));
                            return Check::Wake;
                        }
                        Some(at) if had_processor_for_long(*at, now, waited()) => {
                            self.taking_over = true;
                            return Check::TakeOver;
                        }
                        Some(_) => {}
                    },
                    waiting => *waiting = Some(KeptWaiting { asked: self.asked, since: now, woken: None }),
                }
            }
            Doing::Rests | Doing::Reads | Doing::Pauses => {
                self.kept_waiting = None;
                self.idle_checks = if is_idle || !self.task_reads() { self.idle_checks + 1 } else { 0 };
            }
            Doing::Runs(step) => {
                self.idle_checks = 0;
                match &mut self.suspect {
                    Some(Suspect { step: seen, seen_again }) if *seen == step => match seen_again {
                        None => *seen_again = Some((now, waited())),
                        Some(at) if had_processor_for_long(*at, now, waited()) => {
                            self.taking_over = true;
                            return Check::TakeOver;
                        }
                        Some(_) => {}
                    },
                    suspect => *suspect = Some(Suspect { step, seen_again: None }),
                }
            }
        }
        if self.idle_checks > MAX_IDLE_CHECKS {
            self.watched = false;
            self.idle_checks = 0;
        }
        let until_deadline = self.deadline.map(|deadline| deadline.duration_since(now));
        Check::Wait(self.watched.then_some(CHECK_INTERVAL).into_iter().chain(until_deadline).min())
    }

    /// Gives the lease to this reader, and returns the steps that were ready for the old holder: the caller has to run them on other
    /// threads, since they may block too; urgent steps are not among them, since this reader runs them. Also returns whether the holder was
    /// stuck in a step. `None`, and the lease stays, if the holder has gone on meanwhile.
    pub(super) fn take_over(&mut self, reader: R, now: Instant) -> Option<(VecDeque<S>, bool)> {
        self.taking_over = false;
        let is_stuck = self.suspect.as_ref().is_some_and(|suspect| self.doing == Doing::Runs(suspect.step));
        let is_kept = self.kept_waiting.as_ref().is_some_and(|waiting| waiting.asked == self.asked);
        if self.holder.is_none() || !is_stuck && !is_kept {
            return None;
        }
        if self.task_reads() {
            self.task_is_stuck = is_stuck;
        }
        self.taken_at = Some(now);
        self.kept_waiting = None;
        self.holder = Some(reader);
        self.doing = Doing::Reads;
        self.burst_since = None;
        Some((std::mem::take(&mut self.ready), is_stuck))
    }

    /// To be called if the thread for a takeover could not be started: some checks later, [`Check::TakeOver`] is returned again.
    pub(super) fn take_over_later(&mut self) {
        self.taking_over = false;
        self.suspect = None;
        self.kept_waiting = None;
    }

    /// Does the same as [`retire`](Self::retire), and ends the watchdog: its next check returns [`Check::Leave`].
    pub(super) fn end(&mut self) -> VecDeque<S> {
        self.ended = true;
        self.retire()
    }

    /// Ends the reading: nobody has the lease, and each step that is scheduled later is returned to its caller. Returns the steps that
    /// were ready, the urgent ones first: the caller has to run them on other threads.
    pub(super) fn retire(&mut self) -> VecDeque<S> {
        self.holder = None;
        self.doing = Doing::Rests;
        self.urgent.drain(..).chain(self.ready.drain(..)).collect()
    }
}

/// Whether a thread has had a processor for [`STUCK_AFTER`] since a time at which it had waited for one so long in all; `waited` is the same
/// now.
fn had_processor_for_long((since, before): (Instant, Duration), now: Instant, waited: Duration) -> bool {
    now.duration_since(since).saturating_sub(waited.saturating_sub(before)) >= STUCK_AFTER
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
