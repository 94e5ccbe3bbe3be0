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
/// two checks, and has not run. Together with the checks and the start of a thread this stays below the 10 ms that RUNTIME.md promises.
pub(super) const STUCK_AFTER: Duration = Duration::from_millis(2);
/// The time between two checks of the watchdog while steps are run, and for [`MAX_IDLE_CHECKS`] checks after that.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(1);
/// After more than this many checks in a row at which no step ran, the watchdog sleeps until it is notified, or until the next deadline.
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
    /// The step that the holder runs, by the value of `asked`. `None` while it reads.
    running: Option<u64>,
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
    /// The number of checks in a row at which no step ran.
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

/// A step that may be stuck.
#[derive(Debug)]
struct Suspect {
    /// As in `running`.
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
            running: None,
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
        self.running = None;
        if self.burst_since.is_some_and(|since| self.ticks - since >= MAX_BURST_TICKS) {
            self.burst_since = None;
            return Next::Read { wait: false };
        }
        match self.urgent.pop_front().or_else(|| self.ready.pop_front()) {
            None => Next::Read { wait: true },
            Some(step) => {
                self.burst_since.get_or_insert(self.ticks);
                self.running = Some(self.asked);
                Next::Run { step, notify: !std::mem::replace(&mut self.watched, true) }
            }
        }
    }

    /// To be called before the holder waits for the host. Returns false if it has to leave instead: it is a thread, and has given the lease
    /// back to the task. Calls `now` only for a thread in place of the task.
    pub(super) fn rest(&mut self, now: impl FnOnce() -> Instant) -> bool {
        self.burst_since = None;
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
        match self.running {
            _ if self.taking_over => {}
            None if self.task_reads() && (!self.ready.is_empty() || has_input()) => {
                self.idle_checks = 0;
                match &mut self.kept_waiting {
                    Some(KeptWaiting { asked, since, woken }) if *asked == self.asked => match woken {
                        // A check may come sooner, and the task may be about to run.
                        None if now.duration_since(*since) < CHECK_INTERVAL => {}
                        None => {
                            *woken = Some((now, waited()));
                            return Check::Wake;
                        }
                        Some((at, before)) => {
                            let without_processor = waited().saturating_sub(*before);
                            if now.duration_since(*at).saturating_sub(without_processor) >= STUCK_AFTER {
                                self.taking_over = true;
                                return Check::TakeOver;
                            }
                        }
                    },
                    waiting => *waiting = Some(KeptWaiting { asked: self.asked, since: now, woken: None }),
                }
            }
            None => {
                self.kept_waiting = None;
                self.idle_checks = if is_idle { self.idle_checks + 1 } else { 0 };
            }
            Some(step) => {
                self.idle_checks = 0;
                match &mut self.suspect {
                    Some(Suspect { step: seen, seen_again }) if *seen == step => match seen_again {
                        None => *seen_again = Some((now, waited())),
                        Some((at, before)) => {
                            let without_processor = waited().saturating_sub(*before);
                            if now.duration_since(*at).saturating_sub(without_processor) >= STUCK_AFTER {
                                self.taking_over = true;
                                return Check::TakeOver;
                            }
                        }
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
        let is_stuck = self.suspect.as_ref().is_some_and(|suspect| self.running == Some(suspect.step));
        let is_kept =
            self.running.is_none() && self.kept_waiting.as_ref().is_some_and(|waiting| waiting.asked == self.asked);
        if self.holder.is_none() || !is_stuck && !is_kept {
            return None;
        }
        if self.task_reads() {
            self.task_is_stuck = is_stuck;
        }
        self.taken_at = Some(now);
        self.kept_waiting = None;
        self.holder = Some(reader);
        self.running = None;
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
        self.running = None;
        self.urgent.drain(..).chain(self.ready.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A lease that thread 1 has.
    fn first<S>() -> ReaderLease<S, u64> {
        let mut lease = ReaderLease::new();
        lease.begin(1, false);
        lease
    }

    /// Repeats the watchdog's check each millisecond, up to `most`, until it returns something else than to wait. Returns that and the
    /// milliseconds.
    fn look(
        lease: &mut ReaderLease<u32, u64>,
        from: Instant,
        most: u32,
        waited: impl Fn(Duration) -> Duration,
    ) -> (Check, u32) {
        for ms in 0..most {
            let passed = CHECK_INTERVAL * ms;
            let look = lease.check(from + passed, || waited(passed), true, || false);
            if !matches!(look, Check::Wait(_)) {
                return (look, ms);
            }
        }
        (Check::Wait(None), most)
    }

    fn never(_: Duration) -> Duration {
        Duration::ZERO
    }

    fn read() -> Next<u32> {
        Next::Read { wait: true }
    }

    /// Lets the watchdog check at each of these ticks.
    fn tick(lease: &mut ReaderLease<u32, u64>, from: Instant, ticks: std::ops::Range<u32>) {
        for tick in ticks {
            let check = lease.check(from + CHECK_INTERVAL * tick, || Duration::ZERO, true, || false);
            assert!(matches!(check, Check::Wait(_)), "{check:?}");
        }
    }

    #[test]
    fn the_holder_runs_the_steps_that_it_schedules_and_other_threads_run_theirs() {
        let mut lease = first();
        assert_eq!(lease.next(1), read());
        assert_eq!(lease.schedule(Some(1), 10, false), None);
        assert_eq!(lease.schedule(None, 20, false), Some(20));
        assert_eq!(lease.schedule(Some(1), 11, false), None);
        assert_eq!(lease.next(1), Next::Run { step: 10, notify: true });
        assert_eq!(lease.next(1), Next::Run { step: 11, notify: false });
        assert_eq!(lease.next(1), read());
        assert_eq!(lease.next(2), Next::Leave);
    }

    #[test]
    fn the_holder_reads_after_each_burst_and_runs_urgent_steps_first() {
        let (mut lease, now) = (first(), Instant::now());
        for handler in 0..3 {
            lease.schedule(Some(1), handler, false);
        }
        assert_eq!(lease.next(1), Next::Run { step: 0, notify: true });
        tick(&mut lease, now, 0..2);
        assert_eq!(lease.next(1), Next::Read { wait: false });
        lease.schedule(Some(1), 10, true);
        lease.schedule(Some(1), 11, true);
        for handler in [10, 11, 1, 2] {
            assert_eq!(lease.next(1), Next::Run { step: handler, notify: false });
        }
        assert_eq!(lease.next(1), read());
    }

    #[test]
    fn the_time_of_many_short_handlers_adds_up_to_a_burst() {
        let (mut lease, now) = (first(), Instant::now());
        let mut steps = 0;
        // A tick after every fifth handler.
        let mut run_until_it_reads = |lease: &mut ReaderLease<u32, u64>| {
            for handler in 0..100 {
                match lease.next(1) {
                    Next::Run { .. } => {
                        steps += 1;
                        if steps % 5 == 0 {
                            tick(lease, now, steps / 5..steps / 5 + 1);
                        }
                    }
                    Next::Read { wait: true } => drop(lease.schedule(Some(1), handler, false)),
                    Next::Read { wait: false } => break,
                    Next::Leave => panic!("it has the lease"),
                }
            }
            steps
        };
        assert_eq!(run_until_it_reads(&mut lease), 10);
        assert_eq!(run_until_it_reads(&mut lease), 20);
        // Time in which it waits for the host doesn't count, and checks within one tick count once.
        lease.schedule(Some(1), 1, false);
        lease.next(1);
        assert_eq!(lease.next(1), read());
        assert!(lease.rest(|| now));
        tick(&mut lease, now, 5..20);
        lease.schedule(Some(1), 1, false);
        assert_eq!(lease.next(1), Next::Run { step: 1, notify: false });
        for _ in 0..10 {
            tick(&mut lease, now, 20..21);
        }
        assert_eq!(lease.next(1), read());
    }

    #[test]
    fn a_thread_that_is_stuck_loses_the_lease_and_the_steps_that_were_ready() {
        let (mut lease, now) = (first(), Instant::now());
        lease.schedule(Some(1), 10, false);
        lease.schedule(Some(1), 11, false);
        assert_eq!(lease.next(1), Next::Run { step: 10, notify: true });
        assert_eq!(look(&mut lease, now, 10, never), (Check::TakeOver, 3));
        let late = now + 3 * CHECK_INTERVAL;
        assert_eq!(
            lease.check(late, || Duration::ZERO, true, || false),
            Check::Wait(Some(CHECK_INTERVAL)),
            "one thread is enough"
        );
        // A step that the stuck thread wakes before the takeover is run elsewhere, like those that were ready before.
        assert_eq!(lease.schedule(Some(1), 12, false), None);
        assert_eq!(lease.take_over(2, now), Some((VecDeque::from([11, 12]), true)));
        assert_eq!(lease.schedule(Some(1), 13, false), Some(13));
        assert_eq!(lease.next(1), Next::Leave);
        assert_eq!(lease.next(2), read());
    }

    #[test]
    fn a_thread_that_came_free_in_time_keeps_the_lease() {
        let (mut lease, now) = (first(), Instant::now());
        lease.schedule(Some(1), 10, false);
        lease.next(1);
        assert_eq!(look(&mut lease, now, 10, never).0, Check::TakeOver);
        lease.schedule(Some(1), 11, false);
        assert_eq!(lease.next(1), Next::Read { wait: false });
        lease.next(1);
        assert_eq!(lease.take_over(2, now), None, "it polls another one now");
        assert_eq!(lease.next(1), read());
    }

    #[test]
    fn a_thread_that_has_no_processor_is_not_stuck() {
        let (mut lease, now) = (first(), Instant::now());
        lease.schedule(Some(1), 10, false);
        lease.next(1);
        assert_eq!(look(&mut lease, now, 100, |passed| passed), (Check::Wait(None), 100));
        // It has one for half of the time.
        assert_eq!(
            look(&mut lease, now + CHECK_INTERVAL * 100, 100, |passed| CHECK_INTERVAL * 100 + passed / 2).0,
            Check::TakeOver
        );
    }

    #[test]
    fn a_takeover_that_no_thread_could_be_started_for_is_tried_again() {
        let (mut lease, now) = (first(), Instant::now());
        lease.schedule(Some(1), 10, false);
        lease.next(1);
        assert_eq!(look(&mut lease, now, 10, never), (Check::TakeOver, 3));
        lease.take_over_later();
        assert_eq!(look(&mut lease, now + CHECK_INTERVAL * 3, 10, never), (Check::TakeOver, 3));
    }

    #[test]
    fn the_watchdog_sleeps_while_no_step_runs() {
        let (mut lease, now) = (first::<u32>(), Instant::now());
        assert_eq!(lease.check(now, || Duration::ZERO, true, || false), Check::Wait(None));
        lease.schedule(Some(1), 10, false);
        lease.next(1);
        lease.next(1);
        let looks = (0..1000)
            .filter(|_| lease.check(now, || Duration::ZERO, true, || false) == Check::Wait(Some(CHECK_INTERVAL)))
            .count();
        assert!(looks > 10 && looks < 200, "{looks}");
        lease.schedule(Some(1), 11, false);
        assert_eq!(lease.next(1), Next::Run { step: 11, notify: true }, "the watchdog sleeps");
    }

    #[test]
    fn a_thread_that_has_read_the_end_leaves_its_steps_to_other_threads() {
        let (mut lease, now) = (first(), Instant::now());
        for (handler, urgent) in [(10, false), (11, false), (20, true)] {
            lease.schedule(Some(1), handler, urgent);
        }
        lease.next(1);
        tick(&mut lease, now, 0..2);
        assert_eq!(lease.next(1), Next::Read { wait: false });
        assert_eq!(lease.retire(), [10, 11]);
        assert_eq!(lease.schedule(Some(1), 12, false), Some(12));
        assert_eq!(lease.next(1), Next::Leave);
    }

    #[test]
    fn the_task_gets_the_lease_back_when_it_is_free() {
        let now = Instant::now();
        let mut lease = ReaderLease::<u32, u64>::new();
        lease.begin(1, true);
        lease.schedule(Some(1), 10, false);
        lease.next(1);
        assert!(lease.rest(|| now), "it has the lease");
        assert_eq!(look(&mut lease, now, 10, never).0, Check::TakeOver);
        assert_eq!(lease.take_over(2, now), Some((VecDeque::new(), true)));
        let late = now + KEEP_FOR;
        assert!(lease.rest(|| late), "the task is in its step");
        assert_eq!(lease.next(1), Next::Leave);
        assert!(lease.rest(|| late - CHECK_INTERVAL), "not at once");
        assert_eq!(lease.next(2), read());
        assert!(!lease.rest(|| late));
        assert_eq!(lease.next(2), Next::Leave);
        assert_eq!(lease.next(1), read());
    }

    #[test]
    fn a_task_that_has_work_and_does_not_run_loses_the_lease() {
        let now = Instant::now();
        let check = |lease: &mut ReaderLease<u32, u64>, ms, has_input| {
            lease.check(now + CHECK_INTERVAL * ms, || Duration::ZERO, true, || has_input)
        };
        let waits = |check| matches!(check, Check::Wait(_));
        let mut lease = ReaderLease::<u32, u64>::new();
        lease.begin(1, true);
        assert!((0..10).all(|ms| waits(check(&mut lease, ms, false))));
        for ms in 0..10 {
            assert!(waits(check(&mut lease, ms, true)));
            // It has run after all.
            assert_eq!(lease.next(1), read());
        }
        assert!((0..10).all(|_| waits(check(&mut lease, 0, true))));
        assert_eq!(check(&mut lease, 1, true), Check::Wake);
        assert!(waits(check(&mut lease, 2, true)));
        assert_eq!(check(&mut lease, 3, true), Check::TakeOver);
        assert_eq!(lease.take_over(2, now), Some((VecDeque::new(), false)));
        assert_eq!(lease.next(1), Next::Leave);
        assert!((0..10).all(|ms| waits(check(&mut lease, ms, true))), "a thread reads");
        assert!(!lease.rest(|| now + KEEP_FOR));
        // Steps that are ready are work, too.
        lease.schedule(Some(1), 10, false);
        assert!(waits(check(&mut lease, 0, false)));
        assert_eq!(check(&mut lease, 1, false), Check::Wake);
        // Its thread had no processor for the half of the time.
        let half = |ms: u32| move || CHECK_INTERVAL * ms / 2;
        assert!((2..5).all(|ms| waits(lease.check(now + CHECK_INTERVAL * ms, half(ms), true, || false))));
        assert_eq!(lease.check(now + CHECK_INTERVAL * 6, half(6), true, || false), Check::TakeOver);
        assert_eq!(lease.next(1), Next::Run { step: 10, notify: true });
        assert_eq!(lease.take_over(3, now), None, "it runs a step now");
    }

    #[test]
    fn the_watchdog_goes_on_while_a_worker_is_busy() {
        let (mut lease, now) = (first::<u32>(), Instant::now());
        lease.keep_watching();
        let mut check = |is_idle| lease.check(now, || Duration::ZERO, is_idle, || false);
        assert!((0..1000).all(|_| check(false) == Check::Wait(Some(CHECK_INTERVAL))));
        assert!((0..1000).any(|_| check(true) == Check::Wait(None)));
    }

    #[test]
    fn the_watchdog_checks_deadlines_in_time() {
        let (mut lease, now) = (first::<u32>(), Instant::now());
        let second = Duration::from_secs(1);
        assert!(lease.wake_at(now + 2 * second));
        assert!(lease.wake_at(now + second));
        assert!(!lease.wake_at(now + 3 * second), "it checks before that anyway");
        assert_eq!(lease.check(now, || Duration::ZERO, true, || false), Check::Wait(Some(second)));
        assert_eq!(lease.check(now + second, || Duration::ZERO, true, || false), Check::Expire);
        assert_eq!(lease.check(now + second, || Duration::ZERO, true, || false), Check::Wait(None));
    }

    /// Checks in every order of the threads' steps that each handler is run exactly once, and that gathered replies are written. The lock
    /// is the model checker's, the lease is the real one.
    #[test]
    fn nothing_is_lost_or_done_twice_when_the_lease_is_taken() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        use loom::sync::{Arc, Mutex};
        use loom::thread;

        /// The number of executions in which the lease was taken: with none, the model would show nothing.
        static TAKEOVERS: AtomicUsize = AtomicUsize::new(0);

        struct World {
            lease: ReaderLease<u32, u64>,
            now: Instant,
            run: Vec<u32>,
            /// As in `Outgoing`: whether something is gathered.
            gathered: bool,
        }

        /// As `Connection::read`, up to where it would wait for the host.
        fn read(world: &Mutex<World>, thread: u64) {
            loop {
                let mut guard = world.lock().unwrap();
                match guard.lease.next(thread) {
                    Next::Leave => return guard.gathered = false,
                    Next::Run { step, .. } => {
                        guard.run.push(step);
                        drop(guard);
                        if step == 10 {
                            // Here it may be stuck. Then it wakes another handler, and replies.
                            let mut guard = world.lock().unwrap();
                            if let Some(other) = guard.lease.schedule(Some(thread), 20, false) {
                                guard.run.push(other);
                            }
                            drop(guard);
                            let mut guard = world.lock().unwrap();
                            guard.gathered = true;
                        }
                    }
                    Next::Read { wait } => {
                        drop(guard);
                        world.lock().unwrap().gathered = false;
                        if wait {
                            return;
                        }
                    }
                }
            }
        }

        /// `wakers` is the number of threads that are never the reader, each of which wakes a handler.
        fn model(wakers: u32) {
            let mut lease = first();
            lease.schedule(Some(1), 10, false);
            lease.schedule(Some(1), 11, false);
            let world = World { lease, now: Instant::now(), run: Vec::new(), gathered: false };
            let world = Arc::new(Mutex::new(world));
            let wakers: Vec<_> = (0..wakers)
                .map(|waker| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || {
                        let mut world = world.lock().unwrap();
                        if let Some(step) = world.lease.schedule(None, 30 + waker, false) {
                            world.run.push(step);
                        }
                    })
                })
                .collect();
            let watchdog = {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    // A step that runs at three checks is stuck.
                    for _ in 0..3 {
                        let check = {
                            let World { lease, now, .. } = &mut *world.lock().unwrap();
                            *now += STUCK_AFTER;
                            lease.check(*now, || Duration::ZERO, true, || false)
                        };
                        if check == Check::TakeOver {
                            let others = {
                                let world = &mut *world.lock().unwrap();
                                world.lease.take_over(2, world.now)
                            };
                            if let Some((others, _)) = others {
                                TAKEOVERS.fetch_add(1, Ordering::Relaxed);
                                world.lock().unwrap().run.extend(others);
                                read(&world, 2);
                            }
                        }
                    }
                })
            };
            read(&world, 1);
            watchdog.join().unwrap();
            let woken = 30..30 + u32::try_from(wakers.len()).unwrap();
            for waker in wakers {
                waker.join().unwrap();
            }
            let world = world.lock().unwrap();
            let mut run = world.run.clone();
            run.sort_unstable();
            assert_eq!(run, [10, 11, 20].into_iter().chain(woken).collect::<Vec<_>>());
            assert!(!world.gathered, "a reply waits for a thread that has left");
        }

        // All orders of two threads. Of three, those in which threads are preempted three times at most, unless `tests/long` asks
        // for more with `LOOM_MAX_PREEMPTIONS`.
        loom::model(|| model(0));
        let mut some = loom::model::Builder::new();
        some.preemption_bound.get_or_insert(3);
        some.check(|| model(1));
        assert!(TAKEOVERS.load(Ordering::Relaxed) > 0);
    }
}
