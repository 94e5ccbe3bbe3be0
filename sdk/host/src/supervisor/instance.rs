//! A process of a module together with its connection, from its start, which ends with the reply to `init`, to its
//! shutdown. (In the public API, such as [`InstanceStatus`](crate::InstanceStatus), an instance is what is a replica
//! here.)

use std::pin::pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::Framing;
use tokio::sync::watch;

use crate::budget::Budget;
use crate::call_error::CallError;
use crate::connection::{
    Connection, ConnectionLimits, HostRequest, InitOptions, ModuleSocket, Services as _, StartProgress,
    with_extensible_timeout,
};
use crate::logs::{ProcessOutput, RateLimitedLog};
use crate::module_router::ModuleRouter;
use crate::processes::ancestry;
use crate::program::LaunchCommand;
use crate::release::Release;
use crate::replica::Replica;
use crate::services::{Backends, HostServices};
use crate::settings::Settings;
use crate::socket::Socket;
use crate::standstill::timeout;
use crate::supervisor::process::{ChildProcess, ModuleProcess};
use crate::supervisor::start_error::{ShutdownError, StartError, StartErrorKind, describe};

/// A process that has replied to `init`. Dropping it kills the process and everything that it has started at once, and
/// ends the requests that it has as lost.
#[derive(Debug)]
pub(crate) struct Instance {
    connection: Arc<Connection>,
    process: ModuleProcess,
    output: Arc<ProcessOutput>,
}

/// A request of a process that handles many at once is overdue this many health timeouts after its caller gave up,
/// unless it was answered by then. Health checks fail while a request is overdue.
pub(crate) const OVERDUE_HEALTH_TIMEOUTS: u32 = 3;

impl Instance {
    /// Starts a process of the replica's release, and waits until it has replied to `init`. `spawned` is called once,
    /// with the process id, when the process runs; `None` is that of a simulated one. After an error no process is
    /// left: it has `exit_grace` to exit by itself, or none if the replica was told to stop, before it gets SIGTERM. If
    /// the future is dropped, the process is killed.
    ///
    /// # Errors
    ///
    /// Why the process did not start; [`StartErrorKind::Stopped`] if the replica was told to stop meanwhile.
    pub(crate) async fn start(
        router: &Arc<ModuleRouter>,
        replica: &Replica,
        backends: &Backends,
        settings: &Settings,
        spawned: impl Fn(Option<u32>),
    ) -> Result<Self, StartError> {
        let (release, id) = (replica.release(), replica.id());
        let output = Arc::new(ProcessOutput::new(backends.logs.clone(), Arc::clone(id)));
        let (mut process, socket) = spawn(release, &output, backends).await?;
        spawned(process.pid());
        let services = HostServices::new(backends.clone(), Arc::clone(release), Arc::clone(id), Arc::clone(&output));
        let connected = tokio::select! {
            biased;
            connected = connect(&mut process, socket, router.waiting(), replica, services, backends.clone(), settings) => {
                connected
            }
            () = replica.retired() => Err(StartError::new(StartErrorKind::Stopped { module: id.to_string() })),
        };
        match connected {
            Ok(connection) => Ok(Self { connection, process, output }),
            Err(error) => {
                // A module that refused `init` exits by itself, and may still write to stderr.
                let is_stopped = matches!(error.kind(), StartErrorKind::Stopped { .. });
                let patience = if is_stopped { Duration::ZERO } else { settings.exit_grace };
                let _ = process.end(patience, settings.exit_grace).await;
                process.output().await;
                Err(error.with_last_lines(output.tail()))
            }
        }
    }

    /// The connection with the process. It may be closed already.
    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// The process id; `None` once the process was waited for, and for a simulated one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// The last lines of its stderr and the last errors of its log until now: see [`StartError::last_lines`].
    pub(crate) fn tail(&self) -> Vec<String> {
        self.output.tail()
    }

    /// Waits until the process itself has ended. Cancel-safe.
    pub(crate) async fn wait(&mut self) {
        let _ = self.process.wait().await;
    }

    /// Ends the process without `shutdown`: waits `patience` for it to end by itself, then sends SIGTERM and, after the
    /// exit grace, SIGKILL. What it leaves behind is ended too. Returns its status if it ended within `patience`,
    /// otherwise `None`. Its requests stay open until the connection is closed.
    pub(crate) async fn end(&mut self, patience: Duration, settings: &Settings) -> Option<ExitStatus> {
        let by_itself = timeout(patience, self.process.wait()).await.is_ok();
        let status = self.process.end(Duration::ZERO, settings.exit_grace).await;
        status.ok().filter(|_| by_itself)
    }

    /// Waits until the output of a process that has ended is in the log, for 2 s at most.
    pub(crate) async fn output(&mut self) {
        self.process.output().await;
    }

    /// Shuts the process down: sends `shutdown`, and waits for the reply within `shutdown_grace`, then for the exit
    /// within `exit_grace`. If one of them does not come in time, the process gets SIGTERM and, after another
    /// `exit_grace`, SIGKILL. In any case it has ended when this returns, and requests that are left are lost.
    ///
    /// # Errors
    ///
    /// What the process did not do as it should. For the status and the log: nothing has to be done about it.
    pub(crate) async fn shutdown(mut self, settings: &Settings) -> Result<(), ShutdownError> {
        let Settings { shutdown_grace, exit_grace, .. } = *settings;
        let grace_ms = u64::try_from(shutdown_grace.as_millis()).unwrap_or(u64::MAX);
        let mut ask = pin!(self.connection.ask(HostRequest::Shutdown { grace_ms }, Duration::MAX));
        let reply = tokio::select! {
            biased;
            reply = timeout(shutdown_grace, &mut ask) => reply.ok(),
            () = self.connection.closed() => {
                // Nothing more will come, but the reply may have come just before.
                let gone = CallError::Gone { reason: "it has hung up".to_owned() };
                Some(timeout(Duration::ZERO, ask).await.unwrap_or(Err(gone)))
            }
        };
        let status = self.process.end(if reply.is_some() { exit_grace } else { Duration::ZERO }, exit_grace).await;
        // Replies that it wrote before it ended are still in the socket, and go to their callers. A child may hold the
        // socket open, so this does not wait longer than the exit grace.
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

/// Closing the connection ends the requests. The process is killed when its field is dropped.
impl Drop for Instance {
    fn drop(&mut self) {
        self.connection.close("its host has ended");
    }
}

/// The socket of a process that was just started.
enum ProcessSocket {
    /// The process has yet to connect.
    Listening(Socket),
    /// The process is simulated, and connected from the beginning.
    #[cfg(test)]
    Connected(ModuleSocket),
}

/// Starts a process of the release, with a socket for it. Checks the program before. Does not wait for the process to
/// connect.
async fn spawn(
    release: &Release,
    output: &Arc<ProcessOutput>,
    backends: &Backends,
) -> Result<(ModuleProcess, ProcessSocket), StartError> {
    let resources = &backends.resources;
    #[cfg(test)]
    if let Some(simulation) = &resources.simulation {
        let (process, socket) = simulation.start(release.manifest().module.name.as_str(), output.instance());
        return Ok((ModuleProcess::Simulated(process), ProcessSocket::Connected(ModuleSocket::Simulated(socket))));
    }
    let launch = release.program().launch(release.module()).await;
    let LaunchCommand { mut command, verified } =
        launch.map_err(|error| StartError::new(StartErrorKind::Program(error)))?;
    let socket = resources.socket().map_err(|(path, error)| StartError::new(StartErrorKind::Socket { path, error }))?;
    command.env("IXT_IPC_SOCKET", socket.path());
    let process = ChildProcess::spawn(command, &release.manifest().limits, output, resources)
        .map_err(|error| StartErrorKind::Spawn { program: release.program().path().to_owned(), error })
        .map_err(StartError::new)?;
    drop(verified);
    Ok((ModuleProcess::Child(process), ProcessSocket::Listening(socket)))
}

/// Waits until the process has connected, sends `init`, and waits for the reply; both within their timeouts. On an
/// error the process may run on: the caller ends it.
async fn connect(
    process: &mut ModuleProcess,
    socket: ProcessSocket,
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
        let other = ancestry::describe(pid);
        services
            .complain(&format!("turned {other} away from its socket: that process was not started for this module"));
    };
    let started = process.pid();
    let connected: ModuleSocket = match socket {
        ProcessSocket::Listening(socket) => tokio::select! {
            accepted = timeout(connect_timeout, socket.accept(started, refused)) => {
                let accepted = accepted.map_err(|_| timed_out("connected to its host", connect_timeout))?;
                accepted.map_err(|error| StartError::new(StartErrorKind::Socket { path: socket.path(), error }))?.into()
            }
            Ok(status) = process.wait() => return Err(exited("connected to its host", status)),
        },
        #[cfg(test)]
        ProcessSocket::Connected(socket) => socket,
    };
    let framing = release.manifest().process.framing.as_ref().and_then(|framing| framing.parse().ok());
    let (progress, told) = watch::channel(StartProgress::default());
    let hello = InitOptions { config: release.config(), framing: framing.unwrap_or(Framing::Line), progress };
    let limits = ConnectionLimits {
        max_frame_bytes,
        waiting: Arc::clone(waiting),
        shared: connections,
        overdue_after: OVERDUE_HEALTH_TIMEOUTS * health_timeout,
    };
    let opened = Connection::open(connected, Arc::clone(id), hello, limits, services, spans, call_log);
    // This does not wait for the end of the process too: a refusal of `init` is in the socket before the process exits,
    // and is the better reason.
    let log = RateLimitedLog::new(logs, Arc::clone(id), "its start");
    let tell = |message: &str| {
        replica.lock().starting = Some(message.to_owned());
        log.info(format!("is starting: {message}"));
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
