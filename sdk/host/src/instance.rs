//! A running process of a module, from its start to its end.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use ixt_manifest::text::harmless;
use ixt_protocol::{Framing, LogLevel};
use rustix::io::Errno;
use tokio::sync::watch;

use crate::budget::Budget;
use crate::connection::{
    Connection, ConnectionLimits, HostRequest, InitOptions, Services as _, StartProgress, with_extensible_timeout,
};
use crate::descent;
use crate::module_router::ModuleRouter;
use crate::process::{Output, Process};
use crate::program::Launch;
use crate::replica::Replica;
use crate::services::{Backends, HostServices};
use crate::settings::Settings;
use crate::socket::Socket;
use crate::standstill::timeout;
use crate::{CallError, ErrorReply, ProgramError};

/// A process of a module that has answered `init`. Dropped, it is killed with everything it has started.
#[derive(Debug)]
pub(crate) struct Instance {
    connection: Arc<Connection>,
    process: Process,
    output: Arc<Output>,
}

/// A request for which nobody waits any more is overdue after so many times the time that a health check has.
pub(crate) const OVERDUE_HEALTH_TIMEOUTS: u32 = 3;

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

    pub(crate) fn with_last_lines(kind: StartErrorKind, tail: Vec<String>) -> Self {
        Self { kind, tail }
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

impl Instance {
    /// Starts a process of the module, and waits until it has answered `init`. `spawned` is told its number.
    pub(crate) async fn start(
        router: &Arc<ModuleRouter>,
        replica: &Replica,
        backends: &Backends,
        settings: &Settings,
        spawned: impl Fn(Option<u32>),
    ) -> Result<Self, StartError> {
        let (release, id) = (replica.release(), replica.id());
        let launch = release.program().launch(release.module()).await;
        let Launch { mut command, checked } =
            launch.map_err(|error| StartError::new(StartErrorKind::Program(error)))?;
        let socket = backends
            .machine
            .socket()
            .map_err(|(path, error)| StartError::new(StartErrorKind::Socket { path, error }))?;
        command.env("IXT_IPC_SOCKET", socket.path());
        let output = Arc::new(Output::new(backends.logs.clone(), Arc::clone(id)));
        let limits = &release.manifest().limits;
        let mut process = Process::spawn(command, limits, &output, &backends.machine)
            .map_err(|error| StartErrorKind::Spawn { program: release.program().path().to_owned(), error })
            .map_err(StartError::new)?;
        drop(checked);
        spawned(process.pid());
        let services = HostServices::new(backends.clone(), Arc::clone(release), Arc::clone(id), Arc::clone(&output));
        let connected = tokio::select! {
            connected = connect(&mut process, socket, router.waiting(), replica, services, backends.clone(), settings) => {
                connected
            }
            () = replica.retired() => Err(StartError::new(StartErrorKind::Stopped { module: id.to_string() })),
        };
        match connected {
            Ok(connection) => Ok(Self { connection, process, output }),
            Err(mut error) => {
                // A module that refused `init` exits by itself, and may have more to say on stderr.
                let is_stopped = matches!(error.kind, StartErrorKind::Stopped { .. });
                let patience = if is_stopped { Duration::ZERO } else { settings.exit_grace };
                let _ = process.end(patience, settings.exit_grace).await;
                process.output().await;
                error.tail = output.tail();
                Err(error)
            }
        }
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// See [`StartError::last_lines`].
    pub(crate) fn tail(&self) -> Vec<String> {
        self.output.tail()
    }

    /// Waits until the process has ended. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        let _ = self.process.wait().await;
    }

    /// Ends the process. Gives its status, if it has ended by itself.
    pub(crate) async fn end(&mut self, patience: Duration, settings: &Settings) -> Option<ExitStatus> {
        let by_itself = timeout(patience, self.process.wait()).await.is_ok();
        let status = self.process.end(Duration::ZERO, settings.exit_grace).await;
        status.ok().filter(|_| by_itself)
    }

    /// Waits until the output of a process that has ended was passed on.
    pub(crate) async fn output(&mut self) {
        self.process.output().await;
    }

    /// Shuts the module down: asks it to, and ends it if it doesn't. It has ended in any case.
    pub(crate) async fn shutdown(mut self, settings: &Settings) -> Result<(), ShutdownError> {
        let Settings { shutdown_grace, exit_grace, .. } = *settings;
        let grace_ms = u64::try_from(shutdown_grace.as_millis()).unwrap_or(u64::MAX);
        let mut ask = pin!(self.connection.ask(HostRequest::Shutdown { grace_ms }, Duration::MAX));
        let reply = tokio::select! {
            reply = timeout(shutdown_grace, &mut ask) => reply.ok(),
            () = self.connection.closed() => {
                // What it had to say it has said; the reply may have come in this moment.
                let gone = CallError::Gone { reason: "it has hung up".to_owned() };
                Some(timeout(Duration::ZERO, ask).await.unwrap_or(Err(gone)))
            }
        };
        let status = self.process.end(if reply.is_some() { exit_grace } else { Duration::ZERO }, exit_grace).await;
        // What it has said before it ended is in the socket, and counts. A child may hold that open.
        let _ = timeout(exit_grace, self.connection.closed()).await;
        let how = status.as_ref().ok().filter(|status| !status.success());
        self.connection.close(&how.map_or_else(|| "it was shut down".to_owned(), |status| describe(*status)));
        self.process.output().await;
        match (reply, status) {
            (None, _) => Err(ShutdownError::TimedOut(shutdown_grace)),
            (Some(Ok(_)), Ok(status)) if status.success() => Ok(()),
            (Some(Ok(_)), Err(_)) => Ok(()),
            (Some(Err(error @ CallError::Replied(_))), _) | (Some(Err(error)), Err(_)) => {
                Err(ShutdownError::Reply(error))
            }
            (Some(Ok(_) | Err(_)), Ok(status)) => Err(ShutdownError::Status(status)),
        }
    }
}

/// A process that is dropped takes its connection with it: whoever waits is answered.
impl Drop for Instance {
    fn drop(&mut self) {
        self.connection.close("its host has ended");
    }
}

/// Waits for the connection and sends `init`.
async fn connect(
    process: &mut Process,
    socket: Socket,
    waiting: &Arc<Budget>,
    replica: &Replica,
    services: HostServices,
    Backends { spans, call_log, connections, logs, .. }: Backends,
    settings: &Settings,
) -> Result<Arc<Connection>, StartError> {
    let Settings { exit_grace, max_frame_bytes, health_timeout, .. } = *settings;
    let (release, id) = (replica.release(), replica.id());
    let (connect_timeout, init_timeout) = (release.connect_timeout(settings), release.init_timeout(settings));
    let module = || id.to_string();
    let timed_out = |step, after| StartError::new(StartErrorKind::TimedOut { module: module(), step, after });
    let exited = |step, status| StartError::new(StartErrorKind::Exited { module: module(), step, status });
    let refused = |pid| {
        let other = descent::describe(pid);
        services.complain(&format!("turned {other} away from its socket: it was not started for it"));
    };
    let started = process.pid();
    let stream = tokio::select! {
        accepted = timeout(connect_timeout, socket.accept(started, refused)) => {
            let accepted = accepted.map_err(|_| timed_out("connected to its host", connect_timeout))?;
            accepted.map_err(|error| StartError::new(StartErrorKind::Socket { path: socket.path(), error }))?
        }
        Ok(status) = process.wait() => return Err(exited("connected to its host", status)),
    };
    drop(socket);
    let framing = release.manifest().process.framing.as_ref().and_then(|framing| framing.parse().ok());
    let (progress, told) = watch::channel(StartProgress::default());
    let hello = InitOptions { config: release.config(), framing: framing.unwrap_or(Framing::Line), progress };
    let limits = ConnectionLimits {
        max_frame_bytes,
        waiting: Arc::clone(waiting),
        shared: connections,
        overdue_after: OVERDUE_HEALTH_TIMEOUTS * health_timeout,
    };
    let opened = Connection::open(stream, Arc::clone(id), hello, limits, services, spans, call_log);
    // Not raced against the process's end: a refusal is in the socket before the process exits, and has to win.
    let tell = |message: &str| {
        replica.lock().starting = Some(message.to_owned());
        logs.host(LogLevel::Info, id, format!("is starting: {message}"));
    };
    match with_extensible_timeout(init_timeout, told, tell, opened).await {
        Ok(Ok(connection)) => Ok(connection),
        Ok(Err(CallError::Replied(reply))) => Err(StartError::new(StartErrorKind::Refused { module: module(), reply })),
        Ok(Err(error)) => Err(match timeout(exit_grace, process.wait()).await {
            Ok(Ok(status)) => exited("answered `init`", status),
            _ => StartError::new(StartErrorKind::Connection { module: module(), error }),
        }),
        Err(after) => Err(timed_out("answered `init`", after)),
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
