//! Whose turn it is to read. Handlers are polled by the thread that has read their message, which is what makes small ones
//! fast; but a handler may compute or block, and then this thread doesn't read. So the turn is taken from a thread that has
//! polled one handler for too long, and given to a new one; the old one ends when its handler lets it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_task::Runnable;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::runtime::executor::{Executor, run};
use crate::runtime::outgoing::reader_number;

/// A handler that is polled for longer than this loses its thread the turn. With the time between two looks at it, the time
/// to start a thread, and a busy machine, it stays below the 10 ms that the documentation promises.
const PATIENCE: Duration = Duration::from_millis(3);
/// The time between two looks, while handlers are polled.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// After so many looks at which nothing was polled, nobody looks any more until something is.
const QUIET_LOOKS: u32 = 100;
/// Handlers that together take longer than this, before the thread reads again, are polled elsewhere.
const BURST: Duration = Duration::from_millis(1);

/// The turn, and what its thread has to do.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Mutex<State>,
    /// Told when there is something new to look at.
    look: Condvar,
    tokio: Handle,
}

#[derive(Debug)]
struct State {
    /// The number of the thread whose turn it is.
    holder: u64,
    /// Since when it polls a handler.
    polling: Option<Instant>,
    /// When it began to poll, since it has read.
    burst: Option<Instant>,
    /// Handlers that it has to poll.
    ready: VecDeque<Runnable>,
    /// Somebody looks every now and then whether it is stuck.
    watched: bool,
    /// A thread is on its way to take the turn from one that is stuck.
    taking: bool,
    /// When deadlines have to be looked at.
    deadline: Option<Instant>,
    ended: bool,
}

/// What the thread that reads does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// Polls this handler.
    Poll(Runnable),
    /// Takes the next frame.
    Read,
    /// It is not its turn any more.
    Leave,
}

/// What the one who looks does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// Starts a thread that [takes](Turns::take) the turn under this number from one that is stuck.
    TakeOver(u64),
    /// Answers the requests whose time is over.
    Expire,
    /// The session has ended.
    Leave,
}

impl Turns {
    /// The first turn has the number 1.
    pub(crate) fn new(tokio: Handle) -> Self {
        let state = State {
            holder: 1,
            polling: None,
            burst: None,
            ready: VecDeque::new(),
            watched: false,
            taking: false,
            deadline: None,
            ended: false,
        };
        Self { state: Mutex::new(state), look: Condvar::new(), tokio }
    }

    /// What the thread with this number does next; it has done what it was told before.
    pub(crate) fn next(&self, number: u64) -> Next {
        let mut state = self.lock();
        if state.holder != number {
            return Next::Leave;
        }
        state.polling = None;
        if state.ready.is_empty() {
            return Next::Read;
        }
        let now = Instant::now();
        let burst = *state.burst.get_or_insert(now);
        if now.duration_since(burst) >= BURST {
            let ready = std::mem::take(&mut state.ready);
            drop(state);
            for runnable in ready {
                self.poll_elsewhere(runnable);
            }
            return Next::Read;
        }
        state.polling = Some(now);
        if !state.watched {
            state.watched = true;
            self.look.notify_one();
        }
        state.ready.pop_front().map_or(Next::Read, Next::Poll)
    }

    /// The thread is about to wait for the host.
    pub(crate) fn waits(&self) {
        self.lock().burst = None;
    }

    /// Waits until something has to be done about a thread that is stuck or about a deadline.
    pub(crate) fn look(&self) -> Look {
        let mut quiet = 0;
        let mut state = self.lock();
        loop {
            if state.ended {
                return Look::Leave;
            }
            let now = Instant::now();
            if state.deadline.is_some_and(|deadline| deadline <= now) {
                state.deadline = None;
                return Look::Expire;
            }
            match state.polling {
                Some(since) if !state.taking && now.duration_since(since) >= PATIENCE => {
                    state.taking = true;
                    return Look::TakeOver(state.holder + 1);
                }
                Some(_) => quiet = 0,
                None => quiet += 1,
            }
            if quiet > QUIET_LOOKS {
                state.watched = false;
                quiet = 0;
            }
            let until_deadline = state.deadline.map(|deadline| deadline.duration_since(now));
            let wait = if state.watched { Some(LOOK_EVERY) } else { None };
            state = match wait.into_iter().chain(until_deadline).min() {
                Some(time) => self.look.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.look.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    /// Takes the turn under this number. False if there is no need any more.
    pub(crate) fn take(&self, number: u64) -> bool {
        let mut state = self.lock();
        state.taking = false;
        let stuck = state.polling.is_some_and(|since| since.elapsed() >= PATIENCE);
        if !stuck || state.holder + 1 != number {
            return false;
        }
        state.holder = number;
        state.polling = None;
        state.burst = None;
        true
    }

    /// No thread could be started to take the turn.
    pub(crate) fn take_later(&self) {
        let mut state = self.lock();
        state.taking = false;
        // Not at once again.
        state.polling = state.polling.map(|_| Instant::now());
    }

    /// Ends the turns.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.holder += 1;
        let ready = std::mem::take(&mut state.ready);
        drop(state);
        self.look.notify_one();
        for runnable in ready {
            self.poll_elsewhere(runnable);
        }
    }

    /// On a thread of tokio's that may block: so none of these holds up another.
    fn poll_elsewhere(&self, runnable: Runnable) {
        self.tokio.spawn_blocking(move || run(runnable));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic half done happens under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Executor for Turns {
    fn schedule(&self, runnable: Runnable) {
        let mut state = self.lock();
        // What the thread that reads has woken, it polls next. It was not asked before the lock: its turn may be taken.
        if state.holder == reader_number() {
            state.ready.push_back(runnable);
        } else {
            drop(state);
            self.poll_elsewhere(runnable);
        }
    }

    fn wake_at(&self, time: Instant) {
        let mut state = self.lock();
        if state.deadline.is_none_or(|deadline| time < deadline) {
            state.deadline = Some(time);
            self.look.notify_one();
        }
    }
}
