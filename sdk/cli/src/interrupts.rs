//! The signals that end a command: Ctrl-C, SIGTERM, and SIGHUP, which comes when its terminal is closed. And SIGHUP to a host without a
//! terminal, which is to read its modules anew.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{io, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::exit::{Failure, Result};

/// What is to end a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interrupt {
    CtrlC,
    Term,
    /// The terminal is gone.
    HangUp,
}

impl Interrupt {
    /// The exit status of what was ended by it, as shells have it.
    pub(crate) fn status(self) -> u8 {
        let signal = match self {
            Self::CtrlC => SIGINT,
            Self::Term => SIGTERM,
            Self::HangUp => SIGHUP,
        };
        128 + u8::try_from(signal).unwrap_or_default()
    }
}

/// So soon after another one a signal is the same wish: `timeout`, and others, send it to a process and to its group.
const SAME_WISH: Duration = Duration::from_millis(100);
/// When nobody has got to one for so long, the next one ends the process.
const PATIENCE: Duration = Duration::from_secs(1);

/// The signals that end a command. After this is gone, and when nobody gets to them, the next one ends the process at once.
pub(crate) struct Interrupts {
    wishes: Arc<Wishes>,
    hang_up: Option<Signal>,
    first: Option<Interrupt>,
}

/// The wishes to read all modules anew.
pub(crate) struct Reloads(Option<Signal>);

/// What has come, and nobody has got to. A thread of its own looks for it, whatever the others are at.
#[derive(Default)]
struct Wishes {
    state: Mutex<State>,
    came: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<(Interrupt, Instant)>,
    last: Option<(Interrupt, Instant)>,
    /// Nobody gets to anything any more.
    is_over: bool,
}

impl Wishes {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic happens under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, interrupt: Interrupt, now: Instant) {
        let mut state = self.state();
        if state.last.is_some_and(|(last, then)| last == interrupt && now.duration_since(then) < SAME_WISH) {
            return;
        }
        state.last = Some((interrupt, now));
        if state.is_over || state.waiting.front().is_some_and(|(_, since)| now.duration_since(*since) > PATIENCE) {
            process::exit(interrupt.status().into());
        }
        state.waiting.push_back((interrupt, now));
        self.came.notify_one();
    }

    /// Waits for the next one. Cancel-safe.
    async fn next(&self) -> Interrupt {
        loop {
            if let Some((interrupt, _)) = self.state().waiting.pop_front() {
                return interrupt;
            }
            self.came.notified().await;
        }
    }
}

impl Interrupts {
    /// SIGHUP is one of them.
    pub(crate) fn new() -> io::Result<Self> {
        let wishes = Arc::<Wishes>::default();
        let (mut signals, there) = (Signals::new([SIGINT, SIGTERM])?, Arc::clone(&wishes));
        thread::Builder::new().name("ixt-signals".to_owned()).spawn(move || {
            for signal in signals.forever() {
                there.add(if signal == SIGINT { Interrupt::CtrlC } else { Interrupt::Term }, Instant::now());
            }
        })?;
        let hang_up = if is_hang_up_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        Ok(Self { wishes, hang_up, first: None })
    }

    /// The same for a host: SIGHUP is one of them if it was started on a terminal.
    pub(crate) fn of_host() -> io::Result<(Self, Reloads)> {
        let mut this = Self::new()?;
        let reloads = if has_terminal() { None } else { this.hang_up.take() };
        Ok((this, Reloads(reloads)))
    }

    /// Waits for the next one. Cancel-safe.
    pub(crate) async fn next(&mut self) -> Interrupt {
        loop {
            let interrupt = tokio::select! {
                interrupt = self.wishes.next() => interrupt,
                () = received(&mut self.hang_up) => Interrupt::HangUp,
            };
            if self.is_new(interrupt) {
                return interrupt;
            }
        }
    }

    /// Of a terminal that is closed the system tells, the shell too, and whoever ends the session sends SIGTERM, before or after: that is one
    /// wish.
    fn is_new(&mut self, interrupt: Interrupt) -> bool {
        match (self.first.replace(interrupt), interrupt) {
            (Some(first), Interrupt::HangUp) => {
                self.first = Some(first);
                false
            }
            (first, Interrupt::Term) => first != Some(Interrupt::HangUp),
            _ => true,
        }
    }

    /// There is nothing left to be ended but this process, which the next one does at once; this is that one if it has come already.
    pub(crate) fn end(mut self) -> Result<()> {
        let waiting = {
            let mut state = self.wishes.state();
            state.is_over = true;
            std::mem::take(&mut state.waiting)
        };
        match waiting.into_iter().find(|(interrupt, _)| self.is_new(*interrupt)) {
            Some((interrupt, _)) => Err(Failure::interrupted(interrupt)),
            None => Ok(()),
        }
    }

    /// Does the work, unless interrupted; then the work is dropped, which ends what it has started.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            interrupt = self.next() => Err(Failure::interrupted(interrupt)),
        }
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        self.wishes.state().is_over = true;
    }
}

impl Reloads {
    /// Waits for the next one. Those that come meanwhile are one. Cancel-safe.
    pub(crate) async fn next(&mut self) {
        received(&mut self.0).await;
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// Whether this process was started with SIGHUP ignored, as `nohup` does it.
fn is_hang_up_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = ignored.and_then(|ignored| u64::from_str_radix(ignored.trim(), 16).ok());
    ignored.is_some_and(|ignored| ignored & 1 << (SIGHUP - 1) != 0)
}

/// Whether this process belongs to a terminal, and is told when that is closed. That is so for a pipe to `tee` too, and not for what `setsid`, a
/// service manager or a container without a terminal has started, whatever stdin and stdout are.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_to_a_process_and_to_its_group_is_one_wish() {
        let (wishes, start) = (Wishes::default(), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        wishes.add(Interrupt::Term, start);
        wishes.add(Interrupt::Term, after(50));
        wishes.add(Interrupt::CtrlC, after(60));
        wishes.add(Interrupt::Term, after(300));
        let came: Vec<_> = wishes.state().waiting.iter().map(|(interrupt, _)| *interrupt).collect();
        assert_eq!(came, [Interrupt::Term, Interrupt::CtrlC, Interrupt::Term]);
    }
}
