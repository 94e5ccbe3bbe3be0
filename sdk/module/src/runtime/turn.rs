//! Whose turn it is to read. Handlers are polled by the thread that has read their message, which is what makes small ones
//! fast; but a handler may compute or block, and then this thread doesn't read. So the turn is taken from a thread that has
//! polled one handler for too long, and given to a new one; the old one ends when its handler lets it.
//!
//! This is the state alone, with the time and the threads' numbers given to it; `turns` puts it under a lock.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// A handler that is polled for longer than this, after it was seen at two looks, loses its thread the turn. The time in which
/// the thread would run but has no processor doesn't count: another thread would have none either. With the looks, the time to
/// start a thread, and a busy machine, it stays below the 10 ms that the documentation promises.
pub(crate) const PATIENCE: Duration = Duration::from_millis(2);
/// The time between two looks, while handlers are polled.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(1);
/// After so many looks at which nothing was polled, nobody looks any more until something is.
const QUIET_LOOKS: u32 = 200;
/// After handlers were polled for as long as this, the thread writes what they have answered, and looks whether the host has
/// sent more, even if there are more to poll.
pub(crate) const BURST: Duration = Duration::from_millis(1);

/// The turn, and what its thread has to do. `R` is a handler that is to be polled.
#[derive(Debug)]
pub(crate) struct Turn<R> {
    /// The number of the thread whose turn it is.
    holder: u64,
    /// Since when it polls a handler.
    polling: Option<Instant>,
    /// When it began to poll, since it has waited for the host or looked for more.
    burst: Option<Instant>,
    /// What it has to poll before all else: health checks.
    urgent: VecDeque<R>,
    /// Handlers that it has to poll.
    ready: VecDeque<R>,
    /// Somebody looks every now and then whether it is stuck.
    watched: bool,
    /// At how many looks in a row nothing was polled.
    quiet: u32,
    /// What was polled at the last look.
    suspect: Option<Suspect>,
    /// A thread is on its way to take the turn from one that is stuck.
    taking: bool,
    /// When deadlines have to be looked at.
    deadline: Option<Instant>,
    ended: bool,
}

/// A handler that may be stuck.
#[derive(Debug)]
struct Suspect {
    /// Since when it is polled: tells it from the next one.
    since: Instant,
    /// When it was seen again, and how long its thread had waited for a processor up to then.
    again: Option<(Instant, Duration)>,
}

/// What the thread that reads does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<R> {
    /// Polls this handler. If nobody is `watched`, somebody is to be told to look.
    Poll { handler: R, watched: bool },
    /// Takes what the host has sent, and waits for it if there is none. If it is not to wait, it has polled for some time, and
    /// first writes what was answered.
    Read { wait: bool },
    /// It is not its turn any more.
    Leave,
}

/// What the one who looks does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Starts a thread that [takes](Turn::take) the turn under this number from one that is stuck.
    TakeOver(u64),
    /// Answers the requests whose time is over.
    Expire,
    /// Looks again after this time, or when it is told to.
    Wait(Option<Duration>),
    /// The session has ended.
    Leave,
}

impl<R> Turn<R> {
    /// The turn of the thread with the number 1.
    pub(crate) fn first() -> Self {
        Self {
            holder: 1,
            polling: None,
            burst: None,
            urgent: VecDeque::new(),
            ready: VecDeque::new(),
            watched: false,
            quiet: 0,
            suspect: None,
            taking: false,
            deadline: None,
            ended: false,
        }
    }

    /// What the thread with this number does next; it has done what it was told before. Asks for the time only if that
    /// matters.
    pub(crate) fn next(&mut self, number: u64, now: impl FnOnce() -> Instant) -> Next<R> {
        if self.holder != number {
            return Next::Leave;
        }
        self.polling = None;
        let idle = self.urgent.is_empty() && self.ready.is_empty();
        if idle && self.burst.is_none() {
            return Next::Read { wait: true };
        }
        let now = now();
        if now.duration_since(*self.burst.get_or_insert(now)) >= BURST {
            self.burst = None;
            return Next::Read { wait: false };
        }
        if idle {
            return Next::Read { wait: true };
        }
        match self.urgent.pop_front().or_else(|| self.ready.pop_front()) {
            None => Next::Read { wait: true },
            Some(handler) => {
                self.polling = Some(now);
                Next::Poll { handler, watched: std::mem::replace(&mut self.watched, true) }
            }
        }
    }

    /// The thread has nothing more to do, and waits for the host.
    pub(crate) fn rest(&mut self) {
        self.burst = None;
    }

    /// A handler is to be polled, says the thread with this number: by itself, if it is its turn. Otherwise the handler is
    /// given back, to be polled elsewhere.
    pub(crate) fn schedule(&mut self, number: u64, handler: R, urgent: bool) -> Option<R> {
        if self.holder != number {
            return Some(handler);
        }
        if urgent { &mut self.urgent } else { &mut self.ready }.push_back(handler);
        None
    }

    /// Deadlines are to be looked at by this time. Tells whether that is sooner than was known.
    pub(crate) fn wake_at(&mut self, time: Instant) -> bool {
        let sooner = self.deadline.is_none_or(|deadline| time < deadline);
        if sooner {
            self.deadline = Some(time);
        }
        sooner
    }

    /// What has to be done about a thread that is stuck, or about a deadline. `waited` tells how long the thread that reads has
    /// waited for a processor in its life.
    pub(crate) fn look(&mut self, now: Instant, waited: impl FnOnce() -> Duration) -> Look {
        if self.ended {
            return Look::Leave;
        }
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            return Look::Expire;
        }
        match self.polling {
            None => self.quiet += 1,
            Some(_) if self.taking => {}
            Some(since) => {
                self.quiet = 0;
                match &mut self.suspect {
                    Some(Suspect { since: seen, again }) if *seen == since => match again {
                        None => *again = Some((now, waited())),
                        Some((at, before)) => {
                            let idle = waited().saturating_sub(*before);
                            if now.duration_since(*at).saturating_sub(idle) >= PATIENCE {
                                self.taking = true;
                                return Look::TakeOver(self.holder + 1);
                            }
                        }
                    },
                    suspect => *suspect = Some(Suspect { since, again: None }),
                }
            }
        }
        if self.quiet > QUIET_LOOKS {
            self.watched = false;
            self.quiet = 0;
        }
        let until_deadline = self.deadline.map(|deadline| deadline.duration_since(now));
        Look::Wait(self.watched.then_some(LOOK_EVERY).into_iter().chain(until_deadline).min())
    }

    /// Takes the turn under this number; nothing if there is no need any more. The handlers that the stuck thread had still
    /// to poll are given back, to be polled elsewhere: they may be of the kind that it is stuck in.
    pub(crate) fn take(&mut self, number: u64) -> Option<VecDeque<R>> {
        self.taking = false;
        let stuck = self.suspect.as_ref().is_some_and(|suspect| self.polling == Some(suspect.since));
        if !stuck || self.holder + 1 != number {
            return None;
        }
        self.holder = number;
        self.polling = None;
        self.burst = None;
        Some(std::mem::take(&mut self.ready))
    }

    /// No thread could be started to take the turn: it is tried again, but not at once.
    pub(crate) fn take_later(&mut self) {
        self.taking = false;
        self.suspect = None;
    }

    /// Ends the turns, and gives what the thread had still to poll.
    pub(crate) fn end(&mut self) -> VecDeque<R> {
        self.ended = true;
        self.retire()
    }

    /// Nobody reads any more. What the thread had still to poll is given back, to be polled elsewhere.
    pub(crate) fn retire(&mut self) -> VecDeque<R> {
        self.holder += 1;
        self.polling = None;
        self.urgent.drain(..).chain(self.ready.drain(..)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(turn: &mut Turn<u32>, number: u64, now: Instant) -> Next<u32> {
        turn.next(number, || now)
    }

    /// Looks until there is more to do than to look again: at most for so many milliseconds. Tells how many it took.
    fn look(turn: &mut Turn<u32>, from: Instant, most: u32, waited: impl Fn(Duration) -> Duration) -> (Look, u32) {
        for ms in 0..most {
            let passed = LOOK_EVERY * ms;
            let look = turn.look(from + passed, || waited(passed));
            if !matches!(look, Look::Wait(_)) {
                return (look, ms);
            }
        }
        (Look::Wait(None), most)
    }

    fn never(_: Duration) -> Duration {
        Duration::ZERO
    }

    fn read() -> Next<u32> {
        Next::Read { wait: true }
    }

    #[test]
    fn the_holder_polls_what_it_has_woken_and_others_poll_the_rest() {
        let (mut turn, now) = (Turn::first(), Instant::now());
        assert_eq!(poll(&mut turn, 1, now), read());
        assert_eq!(turn.schedule(1, 10, false), None);
        assert_eq!(turn.schedule(0, 20, false), Some(20));
        assert_eq!(turn.schedule(1, 11, false), None);
        assert_eq!(poll(&mut turn, 1, now), Next::Poll { handler: 10, watched: false });
        assert_eq!(poll(&mut turn, 1, now), Next::Poll { handler: 11, watched: true });
        assert_eq!(poll(&mut turn, 1, now), read());
        assert_eq!(poll(&mut turn, 2, now), Next::Leave);
    }

    #[test]
    fn the_thread_looks_at_the_socket_now_and_then_and_polls_what_is_urgent_first() {
        let (mut turn, now) = (Turn::first(), Instant::now());
        for handler in 0..3 {
            turn.schedule(1, handler, false);
        }
        assert_eq!(poll(&mut turn, 1, now), Next::Poll { handler: 0, watched: false });
        let later = now + BURST;
        assert_eq!(poll(&mut turn, 1, later), Next::Read { wait: false });
        turn.schedule(1, 10, true);
        turn.schedule(1, 11, true);
        for handler in [10, 11, 1, 2] {
            assert_eq!(poll(&mut turn, 1, later), Next::Poll { handler, watched: true });
        }
        assert_eq!(poll(&mut turn, 1, later), read());
    }

    #[test]
    fn many_short_handlers_in_small_batches_take_their_time_together() {
        let (mut turn, mut now) = (Turn::first(), Instant::now());
        let mut polled = 0;
        let mut poll_until_it_looks = |turn: &mut Turn<u32>| {
            for handler in 0..100 {
                match poll(turn, 1, now) {
                    Next::Poll { .. } => {
                        polled += 1;
                        now += BURST / 5;
                    }
                    Next::Read { wait: true } => drop(turn.schedule(1, handler, false)),
                    Next::Read { wait: false } => break,
                    Next::Leave => panic!("it is its turn"),
                }
            }
            std::mem::take(&mut polled)
        };
        assert_eq!(poll_until_it_looks(&mut turn), 5);
        assert_eq!(poll_until_it_looks(&mut turn), 5);
        // What it has waited for the host is not its own time.
        turn.schedule(1, 1, false);
        poll(&mut turn, 1, now);
        turn.rest();
        now += BURST;
        assert_eq!(poll(&mut turn, 1, now), read());
    }

    #[test]
    fn a_thread_that_is_stuck_loses_its_turn_with_what_it_had_to_do() {
        let (mut turn, now) = (Turn::first(), Instant::now());
        turn.schedule(1, 10, false);
        turn.schedule(1, 11, false);
        assert_eq!(poll(&mut turn, 1, now), Next::Poll { handler: 10, watched: false });
        assert_eq!(look(&mut turn, now, 10, never), (Look::TakeOver(2), 3));
        let late = now + 3 * LOOK_EVERY;
        assert_eq!(turn.look(late, || Duration::ZERO), Look::Wait(Some(LOOK_EVERY)), "one thread is enough");
        // What the stuck thread wakes before the turn is taken is polled by others, like what it had still to poll.
        assert_eq!(turn.schedule(1, 12, false), None);
        assert_eq!(turn.take(2), Some(VecDeque::from([11, 12])));
        assert_eq!(turn.schedule(1, 13, false), Some(13));
        assert_eq!(poll(&mut turn, 1, late), Next::Leave);
        assert_eq!(poll(&mut turn, 2, late), read());
    }

    #[test]
    fn a_thread_that_came_free_in_time_keeps_its_turn() {
        let (mut turn, now) = (Turn::first(), Instant::now());
        turn.schedule(1, 10, false);
        poll(&mut turn, 1, now);
        assert_eq!(look(&mut turn, now, 10, never).0, Look::TakeOver(2));
        turn.schedule(1, 11, false);
        poll(&mut turn, 1, now + BURST / 2);
        assert_eq!(turn.take(2), None, "it polls another one now");
        assert_eq!(poll(&mut turn, 1, now), read());
    }

    #[test]
    fn a_thread_that_has_no_processor_is_not_stuck() {
        let (mut turn, now) = (Turn::first(), Instant::now());
        turn.schedule(1, 10, false);
        poll(&mut turn, 1, now);
        assert_eq!(look(&mut turn, now, 100, |passed| passed), (Look::Wait(None), 100));
        // It has one for half of the time.
        assert_eq!(
            look(&mut turn, now + LOOK_EVERY * 100, 100, |passed| LOOK_EVERY * 100 + passed / 2).0,
            Look::TakeOver(2)
        );
    }

    #[test]
    fn a_turn_that_no_thread_could_take_is_taken_later() {
        let (mut turn, now) = (Turn::first(), Instant::now());
        turn.schedule(1, 10, false);
        poll(&mut turn, 1, now);
        assert_eq!(look(&mut turn, now, 10, never), (Look::TakeOver(2), 3));
        turn.take_later();
        assert_eq!(look(&mut turn, now + LOOK_EVERY * 3, 10, never), (Look::TakeOver(2), 3));
    }

    #[test]
    fn nobody_looks_while_nothing_happens() {
        let (mut turn, now) = (Turn::<u32>::first(), Instant::now());
        assert_eq!(turn.look(now, || Duration::ZERO), Look::Wait(None));
        turn.schedule(1, 10, false);
        poll(&mut turn, 1, now);
        poll(&mut turn, 1, now);
        let looks = (0..1000).filter(|_| turn.look(now, || Duration::ZERO) == Look::Wait(Some(LOOK_EVERY))).count();
        assert!(looks > 10 && looks < 200, "{looks}");
        turn.schedule(1, 11, false);
        assert_eq!(poll(&mut turn, 1, now), Next::Poll { handler: 11, watched: false }, "it has to be told");
    }

    #[test]
    fn a_thread_that_has_read_the_end_leaves_what_it_had_to_do_to_others() {
        let (mut turn, now) = (Turn::first(), Instant::now());
        for (handler, urgent) in [(10, false), (11, false), (20, true)] {
            turn.schedule(1, handler, urgent);
        }
        poll(&mut turn, 1, now);
        assert_eq!(poll(&mut turn, 1, now + BURST), Next::Read { wait: false });
        assert_eq!(turn.retire(), [10, 11]);
        assert_eq!(turn.schedule(1, 12, false), Some(12));
        assert_eq!(poll(&mut turn, 1, now), Next::Leave);
    }

    #[test]
    fn deadlines_are_looked_at_in_time() {
        let (mut turn, now) = (Turn::<u32>::first(), Instant::now());
        let second = Duration::from_secs(1);
        assert!(turn.wake_at(now + 2 * second));
        assert!(turn.wake_at(now + second));
        assert!(!turn.wake_at(now + 3 * second), "it looks before that anyway");
        assert_eq!(turn.look(now, || Duration::ZERO), Look::Wait(Some(second)));
        assert_eq!(turn.look(now + second, || Duration::ZERO), Look::Expire);
        assert_eq!(turn.look(now + second, || Duration::ZERO), Look::Wait(None));
    }

    /// Under every order in which the threads can come by: a handler is polled exactly once, and a frame that was deferred
    /// is written. The lock is loom's, the state is the real one.
    #[test]
    fn nothing_is_lost_or_done_twice_when_a_turn_is_taken() {
        use loom::sync::{Arc, Mutex};
        use loom::thread;

        struct World {
            turn: Turn<u32>,
            now: Instant,
            polled: Vec<u32>,
            /// The thread for which frames may be deferred (`outgoing`), and what it has not written.
            deferring: u64,
            unwritten: u32,
        }

        /// As `connection` does it, up to where it would wait for the host.
        fn read(world: &Mutex<World>, number: u64, stuck: impl Fn()) {
            {
                let mut world = world.lock().unwrap();
                world.deferring = number;
                world.unwritten = 0;
            }
            loop {
                let mut guard = world.lock().unwrap();
                let now = guard.now;
                match guard.turn.next(number, || now) {
                    Next::Leave => return guard.unwritten = 0,
                    Next::Poll { handler, .. } => {
                        guard.polled.push(handler);
                        drop(guard);
                        if handler == 10 {
                            stuck();
                            // It wakes another handler, and answers.
                            let mut guard = world.lock().unwrap();
                            if let Some(other) = guard.turn.schedule(number, 20, false) {
                                guard.polled.push(other);
                            }
                            drop(guard);
                            let mut guard = world.lock().unwrap();
                            guard.unwritten += 1;
                            if guard.deferring != number {
                                guard.unwritten = 0;
                            }
                        }
                    }
                    Next::Read { wait } => {
                        drop(guard);
                        world.lock().unwrap().unwritten = 0;
                        if wait {
                            return;
                        }
                    }
                }
            }
        }

        /// `wakers` are threads of nobody's, each of which wakes a handler of its own.
        fn model(wakers: u32) {
            let now = Instant::now();
            let mut turn = Turn::first();
            turn.schedule(1, 10, false);
            turn.schedule(1, 11, false);
            let world = Arc::new(Mutex::new(World { turn, now, polled: Vec::new(), deferring: 0, unwritten: 0 }));
            let wakers: Vec<_> = (0..wakers)
                .map(|waker| {
                    let world = Arc::clone(&world);
                    thread::spawn(move || {
                        let mut world = world.lock().unwrap();
                        if let Some(handler) = world.turn.schedule(0, 30 + waker, false) {
                            world.polled.push(handler);
                        }
                    })
                })
                .collect();
            let watch = {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    let look = {
                        let World { turn, now, .. } = &mut *world.lock().unwrap();
                        turn.look(*now, || Duration::ZERO)
                    };
                    if let Look::TakeOver(number) = look {
                        let others = { world.lock().unwrap().turn.take(number) };
                        if let Some(others) = others {
                            world.lock().unwrap().polled.extend(others);
                            read(&world, number, || ());
                        }
                    }
                })
            };
            // The clock jumps while the handler is polled, so that it counts as stuck.
            read(&world, 1, || {
                let mut world = world.lock().unwrap();
                world.now += PATIENCE;
            });
            watch.join().unwrap();
            let woken = 30..30 + u32::try_from(wakers.len()).unwrap();
            for waker in wakers {
                waker.join().unwrap();
            }
            let world = world.lock().unwrap();
            let mut polled = world.polled.clone();
            polled.sort_unstable();
            assert_eq!(polled, [10, 11, 20].into_iter().chain(woken).collect::<Vec<_>>());
            assert_eq!(world.unwritten, 0, "a reply waits for a thread that has left");
        }

        // All orders of two threads. Of three, those in which threads are preempted three times at most, unless `tests/long` asks
        // for more with `LOOM_MAX_PREEMPTIONS`.
        loom::model(|| model(0));
        let mut some = loom::model::Builder::new();
        some.preemption_bound.get_or_insert(3);
        some.check(|| model(1));
    }
}
