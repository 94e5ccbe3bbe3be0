//! Why a process of a module did not start, or did not end as it should.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use ixt_manifest::text::harmless;
use rustix::io::Errno;

use crate::{CallError, ErrorReply, ProgramError};

/// Why a module did not start. Nothing of it is left running.
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

    pub(crate) fn with_last_lines(self, tail: Vec<String>) -> Self {
        Self { tail, ..self }
    }

    /// What it was.
    #[must_use]
    pub fn kind(&self) -> &StartErrorKind {
        &self.kind
    }

    /// The last lines that the process wrote to stderr, and the last errors of its log.
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

/// What kept a module from starting.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartErrorKind {
    /// The socket for the module could not be made.
    Socket {
        /// Its path, or the directory for it.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The program is not the one that the manifest was written for.
    Program(ProgramError),
    /// The program could not be started.
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The process ended before it had connected, or before it had answered `init`.
    Exited {
        /// The module's id.
        module: String,
        /// What it had not done yet.
        step: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// The process runs, but did not connect or did not answer `init` in time.
    TimedOut {
        /// The module's id.
        module: String,
        /// What it has not done.
        step: &'static str,
        /// How long was waited.
        after: Duration,
    },
    /// The module answered `init` with an error.
    Refused {
        /// The module's id.
        module: String,
        /// The answer.
        reply: ErrorReply,
    },
    /// It was told to end before it was ready.
    Stopped {
        /// The module's id.
        module: String,
    },
    /// The module can't be talked to.
    Connection {
        /// The module's id.
        module: String,
        /// Why not.
        error: CallError,
    },
}

impl StartErrorKind {
    /// Whether it was not the module's doing: the host has no more files, processes or memory, or no place for a socket.
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

/// Why a module did not end as it should. It has ended all the same.
#[derive(Debug)]
pub(crate) enum ShutdownError {
    /// It answered `shutdown` with an error, or not at all.
    Reply(CallError),
    /// It did not exit with success.
    Status(ExitStatus),
    /// It did not answer within this time, and was killed.
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

/// How a process has ended.
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
