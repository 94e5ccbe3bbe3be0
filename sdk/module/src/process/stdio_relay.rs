//! Keeps `println!` from panicking while a module shuts down. The host reads the module's stdout and stderr. Once the host is gone,
//! printing fails and `println!` panics, which would end `Handler::shutdown` early. So when the host is gone, both streams go through a
//! pipe to a thread, which writes to the old stream, and drops the output when that fails. In any other shutdown only a stream without a
//! reader does.

use std::fs::File;
use std::io::{self, PipeReader, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{dup2_stderr, dup2_stdout};

use crate::log::log_error;

/// How long [`Relays::end`] waits for each relay to pass on its last output.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// The relays of a process: at most one each for stdout and stderr.
#[derive(Debug, Default)]
pub(crate) struct Relays(Mutex<Running>);

/// The relays that run.
#[derive(Debug, Default)]
struct Running {
    relays: Vec<Relay>,
    /// Whether [`Relays::end`] was called. Then no relay is started.
    ended: bool,
}

/// A stream of the process that goes through a pipe to a thread.
#[derive(Debug)]
struct Relay {
    stream: Stream,
    /// The file that the stream had before.
    target: File,
    /// Disconnected when the thread has passed on all output.
    done: Receiver<()>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Stdout,
    Stderr,
}

impl Relays {
    /// Starts the relays that don't run yet; with `only_broken`, only those of streams that have no reader any more. Leaves out a stream
    /// that is closed. Logs an error if a relay can't be started. Does nothing after [`end`](Self::end).
    pub(crate) fn start(&self, only_broken: bool) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.ended {
            return;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let runs = running.relays.iter().any(|relay| relay.stream == stream);
            // If the stream is closed, there is nothing to relay.
            let Ok(target) = stream.duplicate() else { continue };
            if runs || only_broken && !is_broken(&target) {
                continue;
            }
            match Relay::start(stream, target) {
                Ok(relay) => running.relays.push(relay),
                Err(error) => log_error(format!(
                    "output of the shutdown can't be relayed, so that printing it fails if the host is gone: {error}"
                )),
            }
        }
    }

    /// Ends the relays: passes on the output so far, and gives the streams back their files. A stream without a reader gets `/dev/null`.
    /// Blocks until that is done, for a second at most for each stream; the thread then goes on with what is left. A second call does
    /// nothing.
    pub(crate) fn end(&self) {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.ended = true;
        for relay in running.relays.drain(..) {
            relay.end();
        }
    }
}

impl Relay {
    /// Puts a pipe in place of the stream, and starts the thread that passes its output on to `target`, the old stream. After an error the
    /// stream is as it was.
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

    /// Gives the stream back its file, and waits until the thread has passed on what was printed, for [`MAX_WAIT`] at most.
    fn end(self) {
        let Self { stream, target, done } = self;
        let restored = if is_broken(&target) {
            File::options().write(true).open("/dev/null").and_then(|nowhere| stream.replace(nowhere))
        } else {
            stream.replace(target)
        };
        // The thread ends when the last writer closes the pipe. It may take longer: processes that the module has started may keep the
        // pipe open, and the target may be full.
        if restored.is_ok() {
            let _ = done.recv_timeout(MAX_WAIT);
        }
    }
}

impl Stream {
    /// Another descriptor of the stream's file. An error if the stream is closed.
    fn duplicate(self) -> io::Result<OwnedFd> {
        match self {
            Self::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            Self::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        }
    }

    /// Puts another file in place of the stream's.
    fn replace(self, by: impl AsFd) -> io::Result<()> {
        match self {
            Self::Stdout => dup2_stdout(by)?,
            Self::Stderr => dup2_stderr(by)?,
        }
        Ok(())
    }
}

/// Copies up to the end of the input. After a write has failed, drops the rest.
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

/// Whether the other end of a pipe or socket is closed. False for a file.
fn is_broken(target: &impl AsFd) -> bool {
    let mut target = [PollFd::new(target, PollFlags::empty())];
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    matches!(poll(&mut target, Some(&now)), Ok(1..))
}
