//! A running process of a module, from its start to its end.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ixt_protocol::{
    Context, DEFAULT_MAX_FRAME_BYTES, Handle, HostFrame, Init, Message, PROTOCOL_VERSION, Priority, ProtocolOffer,
    Shutdown,
};
use serde_json::value::RawValue;
use tokio::process::Command;
use tokio::time::timeout;

use crate::connection::Connection;
use crate::process::{Output, Process};
use crate::socket::Socket;
use crate::{CallError, Config, ConfigError, ErrorReply, Module};

/// How long a module has to connect once its process was started.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a module has to answer `init`.
const INIT_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a module has to finish after `shutdown`.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);
/// How long to wait for the exit status of a module that has closed its connection.
const EXIT_GRACE: Duration = Duration::from_secs(5);

/// A process of a module that has answered `init`. Dropped, it is killed with everything it has started.
#[derive(Debug)]
pub struct Instance {
    id: String,
    source: String,
    connection: Connection,
    process: Process,
}

/// Why a module did not start. Nothing of it is left running.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is not complete.
    Config(ConfigError),
    /// The socket for the module could not be made.
    Socket {
        /// Its path, or the directory for it.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
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
    /// The module can't be talked to.
    Connection {
        /// The module's id.
        module: String,
        /// Why not.
        error: CallError,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Socket { path, error } => {
                write!(f, "can't make a socket for the module in {}: {error}", path.display())
            }
            Self::Spawn { program, error } => write!(f, "can't start {}: {error}", program.display()),
            Self::Exited { module, step, status } => {
                write!(f, "{module} ended before it {step}: {}", describe(*status))
            }
            Self::TimedOut { module, step, after } => {
                write!(f, "{module} was ended: after {} s it had not {step}", after.as_secs())
            }
            Self::Refused { module, reply } => write!(f, "{module} could not initialize: {reply}"),
            Self::Connection { module, error } => write!(f, "{module} could not initialize: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// Why a module did not end as it should. It has ended all the same.
#[derive(Debug)]
#[non_exhaustive]
pub enum ShutdownError {
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
            Self::Status(status) => write!(f, "the module shut down, but {}", describe(*status)),
            Self::TimedOut(grace) => {
                write!(f, "the module did not shut down within {} s and was ended", grace.as_secs())
            }
        }
    }
}

impl std::error::Error for ShutdownError {}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => format!("it ended with {status}"),
    }
}

impl Instance {
    /// Starts `program` as a process of the module, and waits until it has answered `init`.
    ///
    /// `output` is called with each line that the process writes to stdout or stderr.
    ///
    /// # Errors
    ///
    /// If the process can't be started, ends, doesn't connect or doesn't accept its configuration.
    pub async fn start(
        module: &Module,
        program: &Path,
        config: &Config<'_>,
        output: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, StartError> {
        let config = config.to_json()?;
        let output: Output = Arc::new(output);
        let id = module.instance_id(1);

        let socket = Socket::new().map_err(|(path, error)| StartError::Socket { path, error })?;
        let mut command = Command::new(program);
        command.current_dir(module.dir()).env("IXT_IPC_SOCKET", socket.path()).env("IXT_MODULE_ID", &id);
        let mut process = Process::spawn(command, &output)
            .map_err(|error| StartError::Spawn { program: program.to_owned(), error })?;

        match start(&mut process, socket, &id, &config, output).await {
            Ok(connection) => {
                let source = format!("{}:{}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
                Ok(Self { id, source, connection, process })
            }
            Err(error) => {
                // A module that refused `init` exits by itself, and may have more to say on stderr.
                let _ = process.end(EXIT_GRACE).await;
                Err(error)
            }
        }
    }

    /// The instance's id, `name:version/instance-NNN`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Calls one of the module's services, and waits as long as it takes.
    ///
    /// # Errors
    ///
    /// The module's own error reply, or that it is gone.
    pub async fn call(&mut self, topic: &str, payload: &[u8]) -> Result<Box<RawValue>, CallError> {
        let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let handle = Handle {
            message: Message { topic: topic.into(), payload: payload.into(), priority: Priority::Normal, ttl_ms: None },
            context: Context {
                trace_id: format!("{:032x}", fastrand::u128(..)).into(),
                source_module: self.source.as_str().into(),
                timestamp,
            },
        };
        let when = if self.connection.is_closed() {
            format!("had ended before `{topic}` was called")
        } else {
            format!("ended while it handled `{topic}`")
        };
        match self.connection.request(HostFrame::Handle(Box::new(handle))).await {
            Err(CallError::Gone { reason }) => {
                let reason = match timeout(EXIT_GRACE, self.process.wait()).await {
                    Ok(Ok(status)) => format!("{} {when}: {}", self.id, describe(status)),
                    _ => format!("the connection of {} {when}: {reason}, but its process still runs", self.id),
                };
                Err(CallError::Gone { reason })
            }
            reply => reply,
        }
    }

    /// Asks the module how it is.
    ///
    /// # Errors
    ///
    /// That it is gone, or answers with an error.
    pub async fn health_check(&self) -> Result<Box<RawValue>, CallError> {
        self.connection.request(HostFrame::HealthCheck).await
    }

    /// Shuts the module down: asks it to, and ends it if it doesn't.
    ///
    /// # Errors
    ///
    /// If it did not end by itself, or not well. It has ended in any case.
    pub async fn shutdown(mut self) -> Result<(), ShutdownError> {
        let grace_ms = u64::try_from(SHUTDOWN_GRACE.as_millis()).ok();
        let request = self.connection.request(HostFrame::Shutdown(Shutdown { grace_ms }));
        let reply = timeout(SHUTDOWN_GRACE, request).await;
        let status = self.process.end(if reply.is_ok() { EXIT_GRACE } else { Duration::ZERO }).await;
        match (reply, status) {
            (Err(_), _) => Err(ShutdownError::TimedOut(SHUTDOWN_GRACE)),
            (Ok(Err(error)), _) => Err(ShutdownError::Reply(error)),
            (Ok(Ok(_)), Ok(status)) if !status.success() => Err(ShutdownError::Status(status)),
            (Ok(Ok(_)), _) => Ok(()),
        }
    }
}

/// Waits for the connection and sends `init`.
async fn start(
    process: &mut Process,
    socket: Socket,
    id: &str,
    config: &RawValue,
    output: Output,
) -> Result<Connection, StartError> {
    let module = || id.to_owned();
    let timed_out = |step, after| StartError::TimedOut { module: module(), step, after };
    let exited = |step, status| StartError::Exited { module: module(), step, status };

    let stream = tokio::select! {
        accepted = timeout(CONNECT_TIMEOUT, socket.accept()) => {
            let accepted = accepted.map_err(|_| timed_out("connected to its host", CONNECT_TIMEOUT))?;
            accepted.map_err(|error| StartError::Socket { path: socket.path(), error })?
        }
        Ok(status) = process.wait() => return Err(exited("connected to its host", status)),
    };

    drop(socket);
    let complain = move |complaint: String| output(&format!("(host) {complaint}"));
    let connection = Connection::new(stream, DEFAULT_MAX_FRAME_BYTES, complain);
    let init = connection.request(HostFrame::Init(Init {
        config,
        module_id: id.into(),
        protocol: Some(ProtocolOffer {
            version: PROTOCOL_VERSION,
            max_frame_bytes: DEFAULT_MAX_FRAME_BYTES,
            framings: vec!["line".to_owned()],
            features: Vec::new(),
        }),
    }));
    // Not raced against the process's end: a refusal is in the socket before the process exits, and has to win.
    match timeout(INIT_TIMEOUT, init).await {
        Ok(Ok(_)) => Ok(connection),
        Ok(Err(CallError::Replied(reply))) => Err(StartError::Refused { module: module(), reply }),
        Ok(Err(error)) => Err(match timeout(EXIT_GRACE, process.wait()).await {
            Ok(Ok(status)) => exited("answered `init`", status),
            _ => StartError::Connection { module: module(), error },
        }),
        Err(_) => Err(timed_out("answered `init`", INIT_TIMEOUT)),
    }
}
