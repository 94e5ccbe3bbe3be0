//! Which thread reads from the host. It also runs the handlers of what it has read, which is what makes small ones fast. But a
//! handler may block or compute, and then its thread doesn't read. So reading is a lease: it is taken from a thread that has run one
//! step for too long, and given to a new thread. The old thread ends when its handler returns.
//!
//! ```text
//!               begin                take_over by a new thread
//!    (nobody) ────────► Reading ◄──────────────────────┐
//!                        │   ▲                         │
//!             next: Run  │   │ next: Read              │
//!                        ▼   │                         │
//!                       Running ──2 checks, 2 ms──► stuck: steps that
//!                                                   were ready run elsewhere
//!    from any: retire (end of input), end (end of the session) ──► nobody reads
//! ```
//!
//! This is the state alone; times and threads are handed in. `thread_executor` puts it under a lock.
//!
//! What it is worth: without the takeover a health check waits as long as the handler blocks; with it, below 10 ms
//! (tests/bench/README.md).

use std::collections::VecDeque;
use std::thread::ThreadId;
use std::time::Duration;

use tokio::time::Instant;

/// How long a step must run, after the check that has seen it for the second time, before the lease is taken from its thread. Time in
/// which the thread has no processor doesn't count, since a new thread would have none either. Together with the checks and the
/// start of a thread it stays below the 10 ms that RUNTIME.md promises.
pub(super) const STUCK_AFTER: Duration = Duration::from_millis(2);
/// The time between two checks of the watchdog while steps are run.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(1);
/// After this many checks in a row without a step that runs, the watchdog sleeps until it is notified.
const MAX_IDLE_CHECKS: u32 = 200;
/// After running steps for this long without reading, the reader writes the replies, and reads what there is, before it goes on.
pub(super) const MAX_BURST: Duration = Duration::from_millis(1);

/// The lease, and the steps that its holder has to run. `S` is a step, `T` names a thread.
#[derive(Debug)]
pub(super) struct ReaderLease<S, T = ThreadId> {
    /// `None` before the first thread has begun, and when nobody reads any more.
    holder: Option<T>,
    /// Since when the holder runs the current step; `None` while it reads.
    running_since: Option<Instant>,
    /// When it ran its first step since it last waited for the host, or was told to look for more input.
    burst_since: Option<Instant>,
    /// Steps that come before all others.
    urgent: VecDeque<S>,
    ready: VecDeque<S>,
    /// The watchdog checks every `CHECK_INTERVAL`. Otherwise it has to be notified when a step begins.
    watched: bool,
    /// Checks in a row at which no step ran.
    idle_checks: u32,
    /// The step that ran at the last check.
    suspect: Option<Suspect>,
    /// A thread was started that will call `take_over`.
    taking_over: bool,
    /// When deadlines are to be looked at.
    deadline: Option<Instant>,
    ended: bool,
}

/// A step that may be stuck.
#[derive(Debug)]
struct Suspect {
    /// When the step began, which tells it from others.
    since: Instant,
    /// The second check that saw it: when, and how long its thread had waited for a processor until then.
    seen_again: Option<(Instant, Duration)>,
}

/// What the holder does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<S> {
    /// Run this step. With `notify`, notify the watchdog first.
    Run { step: S, notify: bool },
    /// Take frames. With `wait`, wait for the host if there is none. Without, more steps are ready: write the replies, read what has
    /// come, and ask again.
    Read { wait: bool },
    /// Stop: another thread has the lease.
    Leave,
}

/// What the watchdog does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Start a thread that calls `take_over`.
    TakeOver,
    /// End what is over its deadline.
    Expire,
    /// Check again after this time, `None` for ever, or when it is notified.
    Wait(Option<Duration>),
    /// Stop: the session has ended.
    Leave,
}

impl<S, T: Copy + Eq> ReaderLease<S, T> {
    pub(super) fn new() -> Self {
        Self {
            holder: None,
            running_since: None,
            burst_since: None,
            urgent: VecDeque::new(),
            ready: VecDeque::new(),
            watched: false,
            idle_checks: 0,
            suspect: None,
            taking_over: false,
            deadline: None,
            ended: false,
        }
    }

    /// The first thread takes the lease.
    pub(super) fn begin(&mut self, thread: T) {
        self.holder = Some(thread);
    }

    /// What this thread does next; it has done what it was told before. Asks for the time only if it matters.
    pub(super) fn next(&mut self, thread: T, now: impl FnOnce() -> Instant) -> Next<S> {
        if self.holder != Some(thread) {
            return Next::Leave;
        }
        self.running_since = None;
        let idle = self.urgent.is_empty() && self.ready.is_empty();
        if idle && self.burst_since.is_none() {
            return Next::Read { wait: true };
        }
        let now = now();
        if now.duration_since(*self.burst_since.get_or_insert(now)) >= MAX_BURST {
            self.burst_since = None;
            return Next::Read { wait: false };
        }
        if idle {
            return Next::Read { wait: true };
        }
        match self.urgent.pop_front().or_else(|| self.ready.pop_front()) {
            None => Next::Read { wait: true },
            Some(step) => {
                self.running_since = Some(now);
                Next::Run { step, notify: !std::mem::replace(&mut self.watched, true) }
            }
        }
    }

    /// The holder is about to wait for the host.
    pub(super) fn rest(&mut self) {
        self.burst_since = None;
    }

    /// Queues a step for the holder, if this thread is the holder. Otherwise returns it, to be run elsewhere.
    pub(super) fn schedule(&mut self, thread: T, step: S, urgent: bool) -> Option<S> {
        if self.holder != Some(thread) {
            return Some(step);
        }
        if urgent { &mut self.urgent } else { &mut self.ready }.push_back(step);
        None
    }

    /// Sets when deadlines are to be looked at, unless that is planned earlier already. True if the watchdog has to be notified.
    pub(super) fn wake_at(&mut self, time: Instant) -> bool {
        let earlier = self.deadline.is_none_or(|deadline| time < deadline);
        if earlier {
            self.deadline = Some(time);
        }
        earlier
    }

    /// What the watchdog does now. `waited` returns how long the holder has waited for a processor in all its life.
    pub(super) fn check(&mut self, now: Instant, waited: impl FnOnce() -> Duration) -> Check {
        if self.ended {
            return Check::Leave;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            return Check::Expire;
        }
        match self.running_since {
            None => self.idle_checks += 1,
            Some(_) if self.taking_over => {}
            Some(since) => {
                self.idle_checks = 0;
                match &mut self.suspect {
                    Some(Suspect { since: seen, seen_again }) if *seen == since => match seen_again {
                        None => *seen_again = Some((now, waited())),
                        Some((at, before)) => {
                            let without_processor = waited().saturating_sub(*before);
                            if now.duration_since(*at).saturating_sub(without_processor) >= STUCK_AFTER {
                                self.taking_over = true;
                                return Check::TakeOver;
                            }
                        }
                    },
                    suspect => *suspect = Some(Suspect { since, seen_again: None }),
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

    /// Gives the lease to this thread, if the holder is still stuck. Returns the steps that were ready for the old holder: they are to be
    /// run elsewhere, since they may block as well.
    pub(super) fn take_over(&mut self, thread: T) -> Option<VecDeque<S>> {
        self.taking_over = false;
        let is_stuck = self.suspect.as_ref().is_some_and(|suspect| self.running_since == Some(suspect.since));
        if !is_stuck {
            return None;
        }
        self.holder = Some(thread);
        self.running_since = None;
        self.burst_since = None;
        Some(std::mem::take(&mut self.ready))
    }

    /// The thread for a takeover could not be started: it is tried again some checks later.
    pub(super) fn take_over_later(&mut self) {
        self.taking_over = false;
        self.suspect = None;
    }

    /// Ends the session's reading, and stops the watchdog. Returns the steps that were ready, to be run elsewhere.
    pub(super) fn end(&mut self) -> VecDeque<S> {
        self.ended = true;
        self.retire()
    }

    /// Nobody reads any more. Returns the steps that were ready, to be run elsewhere.
    pub(super) fn retire(&mut self) -> VecDeque<S> {
        self.holder = None;
        self.running_since = None;
        self.urgent.drain(..).chain(self.ready.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lease of the thread 1.
    fn first<S>() -> ReaderLease<S, u64> {
        let mut lease = ReaderLease::new();
        lease.begin(1);
        lease
    }

    fn poll(lease: &mut ReaderLease<u32, u64>, number: u64, now: Instant) -> Next<u32> {
        lease.next(number, || now)
    }

    /// Looks until there is more to do than to look again: at most for so many milliseconds. Tells how many it took.
    fn look(
        lease: &mut ReaderLease<u32, u64>,
        from: Instant,
        most: u32,
        waited: impl Fn(Duration) -> Duration,
    ) -> (Check, u32) {
        for ms in 0..most {
            let passed = CHECK_INTERVAL * ms;
            let look = lease.check(from + passed, || waited(passed));
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

    #[test]
    fn the_holder_polls_what_it_has_woken_and_others_poll_the_rest() {
        let (mut lease, now) = (first(), Instant::now());
        assert_eq!(poll(&mut lease, 1, now), read());
        assert_eq!(lease.schedule(1, 10, false), None);
        assert_eq!(lease.schedule(0, 20, false), Some(20));
        assert_eq!(lease.schedule(1, 11, false), None);
        assert_eq!(poll(&mut lease, 1, now), Next::Run { step: 10, notify: true });
        assert_eq!(poll(&mut lease, 1, now), Next::Run { step: 11, notify: false });
        assert_eq!(poll(&mut lease, 1, now), read());
        assert_eq!(poll(&mut lease, 2, now), Next::Leave);
    }

    #[test]
    fn the_thread_looks_at_the_socket_now_and_then_and_polls_what_is_urgent_first() {
        let (mut lease, now) = (first(), Instant::now());
        for handler in 0..3 {
            lease.schedule(1, handler, false);
        }
        assert_eq!(poll(&mut lease, 1, now), Next::Run { step: 0, notify: true });
        let later = now + MAX_BURST;
        assert_eq!(poll(&mut lease, 1, later), Next::Read { wait: false });
        lease.schedule(1, 10, true);
        lease.schedule(1, 11, true);
        for handler in [10, 11, 1, 2] {
            assert_eq!(poll(&mut lease, 1, later), Next::Run { step: handler, notify: false });
        }
        assert_eq!(poll(&mut lease, 1, later), read());
    }

    #[test]
    fn many_short_handlers_in_small_batches_take_their_time_together() {
        let (mut lease, mut now) = (first(), Instant::now());
        let mut polled = 0;
        let mut poll_until_it_looks = |lease: &mut ReaderLease<u32, u64>| {
            for handler in 0..100 {
                match poll(lease, 1, now) {
                    Next::Run { .. } => {
                        polled += 1;
                        now += MAX_BURST / 5;
                    }
                    Next::Read { wait: true } => drop(lease.schedule(1, handler, false)),
                    Next::Read { wait: false } => break,
                    Next::Leave => panic!("it has the lease"),
                }
            }
            std::mem::take(&mut polled)
        };
        assert_eq!(poll_until_it_looks(&mut lease), 5);
        assert_eq!(poll_until_it_looks(&mut lease), 5);
        // What it has waited for the host is not its own time.
        lease.schedule(1, 1, false);
        poll(&mut lease, 1, now);
        lease.rest();
        now += MAX_BURST;
        assert_eq!(poll(&mut lease, 1, now), read());
    }

    #[test]
    fn a_thread_that_is_stuck_loses_the_lease_and_the_steps_that_were_ready() {
        let (mut lease, now) = (first(), Instant::now());
        lease.schedule(1, 10, false);
        lease.schedule(1, 11, false);
        assert_eq!(poll(&mut lease, 1, now), Next::Run { step: 10, notify: true });
        assert_eq!(look(&mut lease, now, 10, never), (Check::TakeOver, 3));
        let late = now + 3 * CHECK_INTERVAL;
        assert_eq!(lease.check(late, || Duration::ZERO), Check::Wait(Some(CHECK_INTERVAL)), "one thread is enough");
        // A step that the stuck thread wakes before the takeover is run elsewhere, like those that were ready before.
        assert_eq!(lease.schedule(1, 12, false), None);
        assert_eq!(lease.take_over(2), Some(VecDeque::from([11, 12])));
        assert_eq!(lease.schedule(1, 13, false), Some(13));
        assert_eq!(poll(&mut lease, 1, late), Next::Leave);
        assert_eq!(poll(&mut lease, 2, late), read());
    }

    #[test]
    fn a_thread_that_came_free_in_time_keeps_the_lease() {
        let (mut lease, now) = (first(), Instant::now());
        lease.schedule(1, 10, false);
        poll(&mut lease, 1, now);
        assert_eq!(look(&mut lease, now, 10, never).0, Check::TakeOver);
        lease.schedule(1, 11, false);
        poll(&mut lease, 1, now + MAX_BURST / 2);
        assert_eq!(lease.take_over(2), None, "it polls another one now");
        assert_eq!(poll(&mut lease, 1, now), read());
    }

    #[test]
    fn a_thread_that_has_no_processor_is_not_stuck() {
        let (mut lease, now) = (first(), Instant::now());
        lease.schedule(1, 10, false);
        poll(&mut lease, 1, now);
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
        lease.schedule(1, 10, false);
        poll(&mut lease, 1, now);
        assert_eq!(look(&mut lease, now, 10, never), (Check::TakeOver, 3));
        lease.take_over_later();
        assert_eq!(look(&mut lease, now + CHECK_INTERVAL * 3, 10, never), (Check::TakeOver, 3));
    }

    #[test]
    fn nobody_looks_while_nothing_happens() {
        let (mut lease, now) = (first::<u32>(), Instant::now());
        assert_eq!(lease.check(now, || Duration::ZERO), Check::Wait(None));
        lease.schedule(1, 10, false);
        poll(&mut lease, 1, now);
        poll(&mut lease, 1, now);
        let looks =
            (0..1000).filter(|_| lease.check(now, || Duration::ZERO) == Check::Wait(Some(CHECK_INTERVAL))).count();
        assert!(looks > 10 && looks < 200, "{looks}");
        lease.schedule(1, 11, false);
        assert_eq!(poll(&mut lease, 1, now), Next::Run { step: 11, notify: true }, "it has to be told");
    }

    #[test]
    fn a_thread_that_has_read_the_end_leaves_what_it_had_to_do_to_others() {
        let (mut lease, now) = (first(), Instant::now());
        for (handler, urgent) in [(10, false), (11, false), (20, true)] {
            lease.schedule(1, handler, urgent);
        }
        poll(&mut lease, 1, now);
        assert_eq!(poll(&mut lease, 1, now + MAX_BURST), Next::Read { wait: false });
        assert_eq!(lease.retire(), [10, 11]);
        assert_eq!(lease.schedule(1, 12, false), Some(12));
        assert_eq!(poll(&mut lease, 1, now), Next::Leave);
    }

    #[test]
    fn deadlines_are_looked_at_in_time() {
        let (mut lease, now) = (first::<u32>(), Instant::now());
        let second = Duration::from_secs(1);
        assert!(lease.wake_at(now + 2 * second));
        assert!(lease.wake_at(now + second));
        assert!(!lease.wake_at(now + 3 * second), "it looks before that anyway");
        assert_eq!(lease.check(now, || Duration::ZERO), Check::Wait(Some(second)));
        assert_eq!(lease.check(now + second, || Duration::ZERO), Check::Expire);
        assert_eq!(lease.check(now + second, || Duration::ZERO), Check::Wait(None));
    }

    /// In every order of the threads' steps: each handler is run exactly once, and what the reader has gathered is written. The lock is
    /// the model checker's, the lease is the real one.
    #[test]
    fn nothing_is_lost_or_done_twice_when_the_lease_is_taken() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        use loom::sync::{Arc, Mutex};
        use loom::thread;

        /// The executions in which the lease was taken: without any, the model would show nothing.
        static TAKEOVERS: AtomicUsize = AtomicUsize::new(0);

        struct World {
            lease: ReaderLease<u32, u64>,
            now: Instant,
            run: Vec<u32>,
            /// As in `Outgoing`: the thread that gathers what it writes, and whether something is gathered.
            reader: u64,
            gathered: bool,
        }

        /// As `Connection::read`, up to where it would wait for the host.
        fn read(world: &Mutex<World>, thread: u64) {
            {
                let mut world = world.lock().unwrap();
                world.reader = thread;
                world.gathered = false;
            }
            loop {
                let mut guard = world.lock().unwrap();
                let now = guard.now;
                match guard.lease.next(thread, || now) {
                    Next::Leave => return guard.gathered = false,
                    Next::Run { step, .. } => {
                        guard.run.push(step);
                        drop(guard);
                        if step == 10 {
                            // Here it may be stuck. Then it wakes another handler, and replies.
                            let mut guard = world.lock().unwrap();
                            if let Some(other) = guard.lease.schedule(thread, 20, false) {
                                guard.run.push(other);
                            }
                            drop(guard);
                            let mut guard = world.lock().unwrap();
                            guard.gathered |= guard.reader == thread;
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

        /// `wakers` are threads that are never the reader, each of which wakes a handler.
        fn model(wakers: u32) {
            let mut lease = first();
            lease.schedule(1, 10, false);
            lease.schedule(1, 11, false);
            let world = World { lease, now: Instant::now(), run: Vec::new(), reader: 0, gathered: false };
            let world = Arc::new(Mutex::new(world));
            let wakers: Vec<_> = (0..wakers)
                .map(|waker| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || {
                        let mut world = world.lock().unwrap();
                        if let Some(step) = world.lease.schedule(0, 30 + waker, false) {
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
                            lease.check(*now, || Duration::ZERO)
                        };
                        if check == Check::TakeOver {
                            let others = { world.lock().unwrap().lease.take_over(2) };
                            if let Some(others) = others {
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
