//! The signals that end a command: Ctrl-C (SIGINT), SIGTERM, and SIGHUP, which the system sends when the terminal is closed.
//!
//! A command takes the signals from a queue with [`Interrupts::next`] or [`Interrupts::or`], and decides what each means. After
//! [`Interrupts::new`], SIGINT and SIGTERM end the process at once in two cases: a signal has waited in the queue for more than
//! [`UNRESPONSIVE_AFTER`], so that the command hangs; or the command has called [`Interrupts::end`] or dropped [`Interrupts`], since it has
//! nothing left to do.
//!
//! For `ixt run` without a terminal SIGHUP means something else: it asks for a reload ([`ReloadSignals`]).

use std::collections::VecDeque;
use std::fs::{self, File};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::failure::{Failure, Result};
use crate::lock::lock;

/// A signal that ends the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// SIGINT.
    CtrlC,
    /// SIGTERM.
    Term,
    /// SIGHUP. It is not in the queue, and never ends the process at once.
    HangUp,
}

impl Interrupt {
    /// 128 plus the signal's number, as in shells: 130, 143 or 129.
    fn status(self) -> u8 {
        let signal = match self {
            Self::CtrlC => SIGINT,
            Self::Term => SIGTERM,
            Self::HangUp => SIGHUP,
        };
        128 + u8::try_from(signal).unwrap_or_default()
    }

    /// The failure of a command that this signal has ended.
    fn failure(self) -> Failure {
        Failure::interrupted(self.status())
    }
}

/// A SIGINT or SIGTERM that comes this soon after the same one, with no other between them, is ignored: `timeout` and others send a signal
/// to a process and to its group.
const DUPLICATE_WITHIN: Duration = Duration::from_millis(100);
/// If the oldest signal in the queue is older than this, the command hangs, and the next SIGINT or SIGTERM ends the process.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(1);

/// The signals of one command; each command that builds or runs modules makes one. Before that, signals have the system's effect: they end
/// the process. Once this is dropped, the next SIGINT or SIGTERM ends the process at once, and SIGHUP does nothing.
pub(crate) struct Interrupts {
    /// SIGINT and SIGTERM.
    queue: Arc<SignalQueue>,
    /// SIGHUP, where it ends the command. `None` if it is ignored, or means a reload.
    hang_up: Option<Signal>,
    /// The last signal that was taken, counted or not, except for a SIGHUP that came after another one. `None` before the first.
    first: Option<Interrupt>,
}

/// The SIGHUPs that ask a host to reload its modules, from [`Interrupts::for_host`]. `None`: SIGHUP does not mean a reload here.
pub(crate) struct ReloadSignals(Option<Signal>);

/// The SIGINTs and SIGTERMs that the command has not taken yet. A separate thread adds them, so that signals are seen even if all threads
/// of the runtime are blocked.
#[derive(Default)]
struct SignalQueue {
    received: Mutex<ReceivedSignals>,
    /// Notified when a signal was added.
    added: Notify,
}

/// The content of a [`SignalQueue`].
#[derive(Default)]
struct ReceivedSignals {
    /// The signals that were not taken yet, the oldest first, each with the time at which it came.
    waiting: VecDeque<(Interrupt, Instant)>,
    /// The last signal that was no duplicate, and when it came, to recognize its duplicates.
    last: Option<(Interrupt, Instant)>,
    /// Whether the command takes no more signals: the next one that is no duplicate ends the process.
    is_closed: bool,
}

impl SignalQueue {
    fn lock(&self) -> MutexGuard<'_, ReceivedSignals> {
        lock(&self.received)
    }

    /// Adds a signal that came at `now`. Ignores a duplicate; ends the process with the signal's status if the command takes no signals, or
    /// hangs.
    fn add(&self, interrupt: Interrupt, now: Instant) {
        let mut received = self.lock();
        if received.last.is_some_and(|(last, at)| last == interrupt && now.duration_since(at) < DUPLICATE_WITHIN) {
            return;
        }
        received.last = Some((interrupt, now));
        if received.is_unresponsive(now) {
            process::exit(interrupt.status().into());
        }
        received.waiting.push_back((interrupt, now));
        self.added.notify_one();
    }

    /// Takes the oldest signal, or waits for one. Cancel-safe.
    async fn next(&self) -> Interrupt {
        loop {
            if let Some((interrupt, _)) = self.lock().waiting.pop_front() {
                return interrupt;
            }
            self.added.notified().await;
        }
    }
}

impl ReceivedSignals {
    /// Whether a signal at this time has to end the process.
    fn is_unresponsive(&self, now: Instant) -> bool {
        let oldest = self.waiting.front();
        self.is_closed || oldest.is_some_and(|(_, at)| now.duration_since(*at) > UNRESPONSIVE_AFTER)
    }
}

impl Interrupts {
    /// Takes over SIGINT and SIGTERM, and SIGHUP unless the process was started with SIGHUP ignored, as by `nohup`. From now on they no
    /// longer end the process by themselves. Call it within a runtime, once in a process. Fails if the system has no thread or file for it;
    /// the signals may be taken over even then.
    pub(crate) fn new() -> io::Result<Self> {
        let queue = Arc::<SignalQueue>::default();
        let (mut signals, fills) = (Signals::new([SIGINT, SIGTERM])?, Arc::clone(&queue));
        thread::Builder::new().name("ixt-signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                fills.add(if signal == SIGINT { Interrupt::CtrlC } else { Interrupt::Term }, Instant::now());
            }
        })?;
        let hang_up = if is_hang_up_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { queue, hang_up, first: None })
    }

    /// Like [`Self::new`], for `ixt run`: SIGHUP ends the host if this process has a controlling terminal, and asks for a reload otherwise.
    /// If SIGHUP is ignored, it does neither.
    pub(crate) fn for_host() -> io::Result<(Self, ReloadSignals)> {
        let mut this = Self::new()?;
        let reloads = if has_terminal() { None } else { this.hang_up.take() };
        Ok((this, ReloadSignals(reloads)))
    }

    /// Takes the next signal, or waits for one, without a limit. The signals that come with the end of a terminal count once. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Interrupt {
        loop {
            let interrupt = tokio::select! {
                interrupt = self.queue.next() => interrupt,
                () = received(&mut self.hang_up) => Interrupt::HangUp,
            };
            if self.counts(interrupt) {
                return interrupt;
            }
        }
    }

    /// Whether a signal is a new request to end. The end of a terminal brings several signals: the system, the shell, and often the program
    /// that ends the session each send one. So a SIGHUP counts only as the first signal, and a SIGTERM not right after a SIGHUP.
    fn counts(&mut self, interrupt: Interrupt) -> bool {
        match (self.first.replace(interrupt), interrupt) {
            (Some(first), Interrupt::HangUp) => {
                self.first = Some(first);
                false
            }
            (first, Interrupt::Term) => first != Some(Interrupt::HangUp),
            _ => true,
        }
    }

    /// Call it when nothing is left to do: from now on SIGINT and SIGTERM end the process at once. Fails with the status of the first
    /// SIGINT or SIGTERM that has come and was not taken; a SIGHUP is not looked at.
    pub(crate) fn end(mut self) -> Result<()> {
        let waiting = {
            let mut received = self.queue.lock();
            received.is_closed = true;
            std::mem::take(&mut received.waiting)
        };
        match waiting.into_iter().find(|(interrupt, _)| self.counts(*interrupt)) {
            Some((interrupt, _)) => Err(interrupt.failure()),
            None => Ok(()),
        }
    }

    /// Does the work, and returns its result. If a signal comes first, or waits already, the work is dropped, and the result is a failure
    /// with the signal's status; if both are ready, either may be taken. `work` must be something whose drop ends the processes that it has
    /// started. Can be called again after a failure.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            interrupt = self.next() => Err(interrupt.failure()),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
    }
}

impl ReloadSignals {
    /// Waits for the next SIGHUP, without a limit. Never returns if SIGHUP does not mean a reload. Several that come between two calls, or
    /// before the first, count as one. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        received(&mut self.0).await;
    }
}

/// Waits for the next signal of this kind; forever for `None`.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// Whether SIGHUP is ignored, as after a start by `nohup`. Ask before a handler is set. False if `/proc` does not say.
fn is_hang_up_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|ignored| u64::from_str_radix(ignored.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored & 1 << (SIGHUP - 1) != 0)
}

/// Whether this process has a controlling terminal, and so gets SIGHUP when that is closed. A process in a pipe has one too,
/// whatever stdin and stdout are; one that `setsid`, a service manager or a container without a terminal started has none.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_a_process_and_to_its_group_counts_once() {
        let (queue, start) = (SignalQueue::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        queue.add(Interrupt::Term, start);
        queue.add(Interrupt::Term, after(50));
        queue.add(Interrupt::CtrlC, after(60));
        queue.add(Interrupt::Term, after(300));
        let came: Vec<_> = queue.lock().waiting.iter().map(|(interrupt, _)| *interrupt).collect();
        assert_eq!(came, [Interrupt::Term, Interrupt::CtrlC, Interrupt::Term]);
        assert!(!queue.lock().is_unresponsive(after(1000)) && queue.lock().is_unresponsive(after(1001)));
        queue.lock().waiting.clear();
        assert!(!queue.lock().is_unresponsive(after(5000)));
    }

    #[test]
    fn the_end_of_a_terminal_counts_once() {
        use Interrupt::{CtrlC, HangUp, Term};
        for (signals, counted) in [
            (&[HangUp, Term, HangUp][..], &[HangUp][..]),
            (&[Term, HangUp], &[Term]),
            (&[HangUp, CtrlC], &[HangUp, CtrlC]),
            (&[Term, Term], &[Term, Term]),
            (&[CtrlC, HangUp, CtrlC], &[CtrlC, CtrlC]),
        ] {
            let mut interrupts = Interrupts { queue: Arc::default(), hang_up: None, first: None };
            let counts: Vec<_> = signals.iter().copied().filter(|signal| interrupts.counts(*signal)).collect();
            assert_eq!(counts, counted, "{signals:?}");
        }
    }

    #[test]
    fn the_status_is_that_of_the_signal() {
        let statuses = [Interrupt::CtrlC, Interrupt::Term, Interrupt::HangUp].map(Interrupt::status);
        assert_eq!(statuses, [130, 143, 129]);
    }
}
