//! The errors of a process's start, which [`Host::ready`](crate::Host::ready) returns, and of its shutdown.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use ixt_manifest::text::harmless;
use rustix::io::Errno;

use crate::call_error::{CallError, ErrorReply};
use crate::program::ProgramError;

/// Why a process of a module did not start, with its last lines. Nothing of the process is left running.
#[derive(Debug)]
pub struct StartError {
    kind: StartErrorKind,
    /// See [`StartError::last_lines`].
    tail: Vec<String>,
}

impl StartError {
    /// An error without last lines.
    pub(crate) fn new(kind: StartErrorKind) -> Self {
        Self { kind, tail: Vec::new() }
    }

    /// Sets [`StartError::last_lines`].
    pub(crate) fn with_last_lines(self, tail: Vec<String>) -> Self {
        Self { tail, ..self }
    }

    /// Why the process did not start, without its last lines.
    #[must_use]
    pub fn kind(&self) -> &StartErrorKind {
        &self.kind
    }

    /// The last lines that the process wrote to stderr, and the last errors of its log: together at most 20, oldest
    /// first, each cut after 2 KiB. An error of the log may have several lines itself. Empty if there was no process,
    /// or it wrote none. They are as the process wrote them: `Display` of this error escapes control characters.
    #[must_use]
    pub fn last_lines(&self) -> &[String] {
        &self.tail
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if !self.tail.is_empty() {
            f.write_str("; its last lines were:")?;
        }
        self.tail.iter().try_for_each(|line| write!(f, "\n    {}", harmless(line)))
    }
}

/// What kept a process from starting.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// The host could not make the socket for the process, or not accept a connection on it. This is the host's
    /// failure, not the module's: the host tries again each second, and this does not count as a restart. On a restart
    /// by hand of a process that was ready, the restart fails instead.
    Socket {
        /// The path of the socket, or of the directory for it.
        path: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The file that was to be checked before the start is missing, unreadable, or not the one that the manifest
    /// declares. It is [`ProgramError::Unreadable`] or [`ProgramError::Different`]. A missing program that need not be
    /// checked is [`Spawn`](Self::Spawn).
    Program(ProgramError),
    /// The system could not start the program, or not set the resource limits of its process. If it lacks open files,
    /// processes or memory for that, the host tries again as after [`Socket`](Self::Socket).
    Spawn {
        /// The path of the program, or its name, as in [`Program::path`](crate::Program::path).
        program: PathBuf,
        /// The system's error.
        error: io::Error,
    },
    /// The process ended by itself before it had connected, before it had replied to `init`, or, if it was started
    /// beside the process that it replaces, before it was ready for calls.
    Exited {
        /// The id of the process, `name:version/instance-NNN`.
        module: String,
        /// What the process had not done yet: `connected to its host`, `` answered `init` ``, or
        /// `said that it takes calls` (for a process beside the one that it replaces).
        step: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// The process did not connect, did not reply to `init`, or, if it was started beside the process that it replaces,
    /// did not become ready for calls in time. It was ended.
    TimedOut {
        /// The id of the process, `name:version/instance-NNN`.
        module: String,
        /// What the process has not done, as in [`Exited`](Self::Exited).
        step: &'static str,
        /// How long it had: the timeout, or more if it has asked for more by `starting` frames.
        after: Duration,
    },
    /// The module replied to `init` with an error, or with something that the host can't accept.
    Refused {
        /// The id of the process, `name:version/instance-NNN`.
        module: String,
        /// The module's error, or the host's about the reply.
        reply: ErrorReply,
    },
    /// The module was stopped, or the host was shut down, before the process was ready.
    /// [`Host::ready`](crate::Host::ready) never returns this.
    Stopped {
        /// The id of the process, `name:version/instance-NNN`.
        module: String,
    },
    /// The process closed its connection before it was ready, and had not exited when the exit grace was over; or
    /// `init`, with the configuration, is longer than a frame may be.
    Connection {
        /// The id of the process, `name:version/instance-NNN`.
        module: String,
        /// How the connection failed.
        error: CallError,
    },
}

impl StartErrorKind {
    /// Whether the host is to blame and not the module: no more files can be opened, there are too many processes, no
    /// memory is left, or a socket can't be made. The start is then repeated each second, and does not count as a
    /// restart; a new replica of a restart by hand fails instead, if the old one was ready.
    pub(crate) fn is_shortage(&self) -> bool {
        let of_the_system = |error: &io::Error| {
            let errno = Errno::from_io_error(error);
            errno.is_some_and(|errno| [Errno::MFILE, Errno::NFILE, Errno::AGAIN, Errno::NOMEM].contains(&errno))
        };
        match self {
            Self::Socket { .. } => true,
            Self::Spawn { error, .. } | Self::Program(ProgramError::Unreadable { error, .. }) => of_the_system(error),
            _ => false,
        }
    }
}

impl fmt::Display for StartErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { path, error } => {
                write!(f, "can't make a socket for the module in {}: {error}", path.display())
            }
            Self::Program(error) => error.fmt(f),
            Self::Spawn { program, error } => write!(f, "can't start {}: {error}", program.display()),
            Self::Exited { module, step, status } => {
                write!(f, "{module} ended before it {step}: {}", describe(*status))
            }
            Self::TimedOut { module, step, after } => {
                write!(f, "{module} was ended: after {} it had not {step}", humantime::format_duration(*after))
            }
            Self::Refused { module, reply } => write!(f, "{module} could not initialize: {reply}"),
            Self::Stopped { module } => write!(f, "{module} was stopped before it was ready"),
            Self::Connection { module, error } => write!(f, "{module} could not initialize: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// Why a process did not shut down as it should. It has ended all the same.
#[derive(Debug)]
pub(crate) enum ShutdownError {
    /// The process replied to `shutdown` with an error; or it hung up without a reply, and its status is not known.
    Reply(CallError),
    /// The process ended without a reply to `shutdown`, or with another status than 0, such as by a signal because it
    /// did not exit in time.
    Status(ExitStatus),
    /// The process did not reply to `shutdown` within this time, and was ended by signals.
    TimedOut(Duration),
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(error) => write!(f, "the module could not shut down: {error}"),
            Self::Status(status) if status.success() => {
                write!(f, "the module ended without a reply to `shutdown`: {}", describe(*status))
            }
            Self::Status(status) => write!(f, "the module did not shut down well: {}", describe(*status)),
            Self::TimedOut(grace) => {
                write!(f, "the module did not shut down within {} and was ended", humantime::format_duration(*grace))
            }
        }
    }
}

impl std::error::Error for ShutdownError {}

/// How a process has ended, as a clause without a full stop, such as `it exited with status 1`.
pub(crate) fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => format!("it ended with {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_files_is_no_fault_of_the_program_that_it_could_not_look_at() {
        let program = |errno: Errno| {
            let error = io::Error::from(errno);
            StartErrorKind::Program(ProgramError::Unreadable { path: "program".into(), error })
        };
        assert!(program(Errno::MFILE).is_shortage() && !program(Errno::NOENT).is_shortage());
    }

    #[test]
    fn an_exit_without_a_reply_to_shutdown_is_an_error_even_with_status_0() {
        let message = ShutdownError::Status(ExitStatus::default()).to_string();
        assert_eq!(message, "the module ended without a reply to `shutdown`: it exited with status 0");
    }
}
