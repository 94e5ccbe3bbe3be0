//! Why a process of a module did not start, or did not end as it should.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use ixt_manifest::text::harmless;
use rustix::io::Errno;

use crate::call_error::{CallError, ErrorReply};
use crate::program::ProgramError;

/// Why a process of a module did not start. Nothing of it is left running.
#[derive(Debug)]
pub struct StartError {
    kind: StartErrorKind,
    /// See [`StartError::last_lines`].
    tail: Vec<String>,
}

impl StartError {
    pub(crate) fn new(kind: StartErrorKind) -> Self {
        Self { kind, tail: Vec::new() }
    }

    /// Adds the last lines of the process.
    pub(crate) fn with_last_lines(self, tail: Vec<String>) -> Self {
        Self { tail, ..self }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> &StartErrorKind {
        &self.kind
    }

    /// The last lines that the process wrote to stderr, and the last errors of its log: at most 20 of up to 2 KiB.
    /// Empty if there was no process.
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
    /// The module's socket could not be made or accepted on. This is the host's failure, not the module's.
    Socket {
        /// Its path, or the directory for it.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The program is missing, unreadable, or not the one that the manifest declares.
    Program(ProgramError),
    /// The system could not start the program.
    Spawn {
        /// The program.
        program: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The process ended before it had connected, or before it had replied to `init`.
    Exited {
        /// The id of the process.
        module: String,
        /// What it had not done yet, as the end of a sentence: that it connected, or answered `init`.
        step: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// The process did not connect, or did not reply to `init`, in time. It was ended.
    TimedOut {
        /// The id of the process.
        module: String,
        /// What it has not done.
        step: &'static str,
        /// The timeout.
        after: Duration,
    },
    /// The module replied to `init` with an error.
    Refused {
        /// The id of the process.
        module: String,
        /// The module's error.
        reply: ErrorReply,
    },
    /// The module was stopped before the process was ready.
    Stopped {
        /// The id of the process.
        module: String,
    },
    /// The connection failed before the process was ready: what it sent was no reply to `init`, or it closed the
    /// connection and ran on.
    Connection {
        /// The id of the process.
        module: String,
        /// How the connection failed.
        error: CallError,
    },
}

impl StartErrorKind {
    /// Whether the host is to blame and not the module: it has no more open files, processes or memory, or no place for
    /// a socket.
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
    /// It replied to `shutdown` with an error, or not at all.
    Reply(CallError),
    /// It did not exit with status 0.
    Status(ExitStatus),
    /// It did not reply to `shutdown` within this time, and was killed.
    TimedOut(Duration),
}

impl fmt::Display for ShutdownError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply(error) => write!(f, "the module could not shut down: {error}"),
            Self::Status(status) => write!(f, "the module did not shut down well: {}", describe(*status)),
            Self::TimedOut(grace) => {
                write!(f, "the module did not shut down within {} and was ended", humantime::format_duration(*grace))
            }
        }
    }
}

impl std::error::Error for ShutdownError {}

/// How a process has ended, as a sentence.
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
}
