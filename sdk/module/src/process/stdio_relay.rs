//! What a module prints while it ends. Its host reads stdout and stderr; when that is gone, a `println!` fails, and panics in the
//! middle of whatever prints: in `Handler::shutdown` the rest of the cleanup would be lost. So both are led through a thread that
//! passes on what it can, and for which nobody's end is an error.

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::log_error;

/// At the end, so long the log has to take what was printed.
const PATIENCE: Duration = Duration::from_secs(1);

/// The relays of a process.
#[derive(Debug, Default)]
pub(crate) struct Relays(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: Vec<Relay>,
    /// The module has ended: what its process still prints is no business of this.
    ended: bool,
}

/// One that runs.
#[derive(Debug)]
struct Relay {
    stream: Stream,
    /// Where it leads to.
    target: File,
    /// Told when all is passed on.
    done: Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Relays {
    /// From now on nobody who prints is harmed, whoever reads it. With `only_broken`, that goes for what nobody reads any more.
    pub(crate) fn start(&self, only_broken: bool) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.ended {
            return;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let runs = state.running.iter().any(|relay| relay.stream == stream);
            // One that was closed can't be printed to anyway.
            let Ok(target) = stream.duplicate() else { continue };
            if runs || only_broken && !is_broken(&target) {
                continue;
            }
            match Relay::start(stream, target) {
                Ok(relay) => state.running.push(relay),
                Err(error) => log_error(format!("what is printed from here on may be lost with its reader: {error}")),
            }
        }
    }

    /// All is as it was before, once what was printed is passed on.
    pub(crate) fn end(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended = true;
        for relay in state.running.drain(..) {
            relay.end();
        }
    }
}

impl Relay {
    fn start(stream: Stream, target: OwnedFd) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let (sender, done) = mpsc::channel();
        let target = File::from(target);
        let to = target.try_clone()?;
        let work = move || {
            pass_on(reader, to);
            drop(sender);
        };
        thread::Builder::new().name("ixt-print".to_owned()).spawn(work)?;
        stream.replace(&writer)?;
        Ok(Self { stream, target, done })
    }

    fn end(self) {
        let Self { stream, target, done } = self;
        let restored = if is_broken(&target) {
            File::options().write(true).open("/dev/null").and_then(|nowhere| stream.replace(nowhere))
        } else {
            stream.replace(target)
        };
        // Now nobody has the other end of the pipe but what the module has started meanwhile, which is not waited for. Neither
        // is a log that takes nothing.
        if restored.is_ok() {
            let _ = done.recv_timeout(PATIENCE);
        }
    }
}

impl Stream {
    fn duplicate(self) -> io::Result<OwnedFd> {
        match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        }
    }

    fn replace(self, by: impl AsFd) -> io::Result<()> {
        match self {
            Self::Stdout => dup2_stdout(by)?,
            Self::Stderr => dup2_stderr(by)?,
        }
        Ok(())
    }
}

/// Passes on what comes, to its end; what can't be passed on is dropped.
fn pass_on(mut from: PipeReader, mut to: File) {
    let (mut buffer, mut is_gone) = (vec![0; 16 * 1024], false);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return,
            Ok(bytes) => is_gone = is_gone || to.write_all(&buffer[..bytes]).is_err(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Whether nobody reads any more what is written there.
fn is_broken(target: &impl AsFd) -> bool {
    let mut target = [PollFd::new(target, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut target, Some(&now)), Ok(1..))
}
