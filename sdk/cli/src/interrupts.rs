//! The signals that end a command: Ctrl-C, SIGTERM, and SIGHUP, which comes when its terminal is closed. And SIGHUP to a host without a
//! terminal, which is to read its modules anew.

use std::fs::{self, File};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::{io, process};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use tokio::signal::unix::{Signal, SignalKind, signal};

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
    fn signal(self) -> i32 {
        match self {
            Self::CtrlC => SIGINT,
            Self::Term => SIGTERM,
            Self::HangUp => SIGHUP,
        }
    }

    /// The exit status of what was ended by it, as shells have it.
    pub(crate) fn status(self) -> u8 {
        128 + u8::try_from(self.signal()).unwrap_or_default()
    }
}

/// The signals that end a command, as long as this is there. Before and after, and when this does not get to them, the second one ends the
/// process at once, as it does any program.
pub(crate) struct Interrupts {
    int: Signal,
    term: Signal,
    hang_up: Option<Signal>,
    first: Option<Interrupt>,
    /// One has come that this has not got to; the next one ends the process.
    unseen: Arc<AtomicBool>,
    /// The number of the one that has come last.
    last: Arc<AtomicUsize>,
}

/// The wishes to read all modules anew.
pub(crate) struct Reloads(Option<Signal>);

impl Interrupts {
    /// SIGHUP is one of them.
    pub(crate) fn new() -> io::Result<Self> {
        let (unseen, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        for interrupt in [Interrupt::CtrlC, Interrupt::Term] {
            let (signal, status) = (interrupt.signal(), interrupt.status().into());
            // In this order: the second one finds what the first one has left. It exits, for a signal does not end process 1 of a container.
            flag::register_conditional_shutdown(signal, status, Arc::clone(&unseen))?;
            flag::register_usize(signal, Arc::clone(&last), usize::try_from(signal).unwrap_or_default())?;
            flag::register(signal, Arc::clone(&unseen))?;
        }
        let hang_up = if is_hang_up_ignored() { None } else { Some(signal(SignalKind::hangup())?) };
        let (int, term) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { int, term, hang_up, first: None, unseen, last })
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
                _ = self.int.recv() => Interrupt::CtrlC,
                _ = self.term.recv() => Interrupt::Term,
                () = received(&mut self.hang_up) => Interrupt::HangUp,
            };
            self.unseen.store(false, Ordering::SeqCst);
            match (self.first.replace(interrupt), interrupt) {
                // Of a terminal that is closed the system tells, the shell too, and whoever ends the session sends SIGTERM, before or after:
                // that is one wish.
                (Some(first), Interrupt::HangUp) => self.first = Some(first),
                (Some(Interrupt::HangUp), Interrupt::Term) => {}
                (_, interrupt) => return interrupt,
            }
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
        // One that has come in the last moment is not waited for any more: it is as if it had come after this.
        if self.unseen.swap(true, Ordering::SeqCst) {
            process::exit(128 + i32::try_from(self.last.load(Ordering::SeqCst)).unwrap_or_default());
        }
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
