//! The task that runs one replica, from its first start until it has stopped for good.
//!
//! The task is a loop over [`Phase`]s; their transitions are drawn in [`replica`](crate::replica). It keeps the
//! replica's status up to date, and adds the connection to the module's router while the process takes calls.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::LogLevel;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::call_error::CallError;
use crate::module_router::ModuleRouter;
use crate::replica::Replica;
use crate::services::Backends;
use crate::settings::{RestartPolicy, Settings};
use crate::standstill;
use crate::status::InstanceState;
use crate::supervisor::instance::Instance;
use crate::supervisor::restart_backoff::RestartBackoff;
use crate::supervisor::start_error::{StartError, StartErrorKind, describe};

/// Runs a replica. The [`Supervisor`](crate::supervisor::Supervisor) spawns [`run`](Self::run), once.
pub(crate) struct ReplicaTask {
    pub(super) router: Arc<ModuleRouter>,
    pub(super) replica: Arc<Replica>,
    pub(super) backends: Backends,
    pub(super) settings: Arc<Settings>,
    /// The replica that this one replaces; `None` if there is none, and once this one has taken over.
    predecessor: Option<Predecessor>,
    restarts: RestartBackoff,
    /// Where the result of the first start goes, success or error; `None` once it was sent. Dropped unsent if the
    /// replica is told to stop before.
    first: Option<oneshot::Sender<Result<(), StartError>>>,
}

/// The replica that a new one replaces.
pub(crate) struct Predecessor {
    pub(crate) replica: Arc<Replica>,
    /// Whether the old replica serves until the new one is ready for calls. Otherwise it ends before the new one is
    /// started.
    pub(crate) overlaps: bool,
    /// Whether the old replica was ready. Then the new one has one attempt to start, and if that fails the module goes
    /// back to the release of the old one. Otherwise a start that fails is repeated, as for any replica.
    pub(crate) served: bool,
}

/// What a replica is doing.
enum Phase {
    /// A process is started, until it has replied to `init` and, if it overlaps with a predecessor, is ready for calls.
    Starting,
    /// The process takes calls.
    Ready(Instance),
    /// The process gets no new requests, finishes those that it has, and is shut down.
    Draining(Instance),
    /// There is no process; one is started after this pause.
    Backoff(Duration),
    /// There is no process, and none is started until the module is restarted by hand.
    Failed,
    /// The replica has ended for good.
    Stopped,
}

/// The pause before the next start if the host itself lacks something for a start.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);

/// Why there is no process, although the replica is not to stop: it did not start, or it has ended.
struct UnexpectedEnd {
    /// A sentence for the status, the log and the callers of lost requests.
    reason: String,
    /// The last lines of a process that did not start. Those of one that was ready are taken from `ended`.
    last_lines: Vec<String>,
    /// The process, if it had been ready. Its requests end with the reason after the replica's state was changed.
    ended: Option<Instance>,
}

impl ReplicaTask {
    /// The task of `replica`, one of those of `router`. `first` receives the result of the first start.
    pub(crate) fn new(
        router: Arc<ModuleRouter>,
        replica: Arc<Replica>,
        backends: Backends,
        settings: Arc<Settings>,
        predecessor: Option<Predecessor>,
        first: oneshot::Sender<Result<(), StartError>>,
    ) -> Self {
        let restarts = RestartBackoff::new(settings.restart.clone());
        Self { router, replica, backends, settings, predecessor, restarts, first: Some(first) }
    }

    /// Runs the replica until it has stopped. If it must not overlap with its predecessor, this stops that one first.
    pub(crate) async fn run(mut self) {
        if let Some(predecessor) = &self.predecessor
            && !predecessor.overlaps
        {
            predecessor.replica.retire();
            predecessor.replica.stopped().await;
        }
        let mut phase = Phase::Starting;
        loop {
            phase = match phase {
                Phase::Starting => self.start().await,
                Phase::Ready(instance) => self.serve(instance).await,
                Phase::Draining(instance) => self.drain(instance).await,
                Phase::Backoff(pause) => self.pause(pause).await,
                Phase::Failed => self.fail().await,
                Phase::Stopped => return self.stop(),
            };
        }
    }

    /// Starts a process. After a failed start the next phase is [`Phase::Backoff`] or [`Phase::Failed`]; but if the
    /// predecessor was ready, this waits until the supervisor tells the replica to stop, and returns
    /// [`Phase::Stopped`].
    async fn start(&mut self) -> Phase {
        if self.replica.is_retired() {
            return Phase::Stopped;
        }
        self.replica.set(InstanceState::Starting, |status| {
            status.pid = None;
            status.starting = None;
        });
        let started = |pid| self.replica.set(InstanceState::Starting, |status| status.pid = pid);
        let started = Instance::start(&self.router, &self.replica, &self.backends, &self.settings, started).await;
        let started = match started {
            Ok(instance) => self.warmed_up(instance).await,
            error => error,
        };
        let error = match started {
            Ok(instance) => return Phase::Ready(instance),
            Err(error) if matches!(error.kind(), StartErrorKind::Stopped { .. }) => return Phase::Stopped,
            Err(error) => error,
        };
        let (reason, last_lines) = (error.kind().to_string(), error.last_lines().to_vec());
        let is_shortage = error.kind().is_shortage();
        if let Some(first) = self.first.take() {
            let _ = first.send(Err(error));
        }
        if self.predecessor.as_ref().is_some_and(|predecessor| predecessor.served) {
            // The predecessor goes on, or is started again. The supervisor has received the error, and stops this
            // replica.
            self.replica.set(InstanceState::Starting, |status| {
                status.pid = None;
                status.reason = Some(reason);
                status.last_lines = last_lines;
            });
            self.replica.retired().await;
            return Phase::Stopped;
        }
        if is_shortage {
            self.lacks(&reason);
            return Phase::Backoff(SHORTAGE_PAUSE);
        }
        self.ended(UnexpectedEnd { reason, last_lines, ended: None }, false).await
    }

    /// If the process overlaps with its predecessor, waits until it is ready for calls; until then the predecessor
    /// serves. A process that says nothing about it is ready. The limit is the timeout of `init`, once more. Without an
    /// overlap this returns at once. On an error the process has ended.
    async fn warmed_up(&self, mut instance: Instance) -> Result<Instance, StartError> {
        if !self.predecessor.as_ref().is_some_and(|predecessor| predecessor.overlaps) {
            return Ok(instance);
        }
        let (connection, module) = (Arc::clone(instance.connection()), self.replica.id().to_string());
        let patience = self.replica.release().init_timeout(&self.settings);
        let step = "said that it takes calls";
        let mut patience_of_end = Duration::ZERO;
        let failed = tokio::select! {
            biased;
            () = connection.ready() => return Ok(instance),
            () = self.replica.retired() => Some(StartErrorKind::Stopped { module: module.clone() }),
            () = connection.closed() => None,
            () = instance.wait() => None,
            () = sleep(patience) => Some(StartErrorKind::TimedOut { module: module.clone(), step, after: patience }),
        };
        if failed.is_none() {
            patience_of_end = self.settings.exit_grace;
        }
        let status = instance.end(patience_of_end, &self.settings).await;
        let kind = failed.unwrap_or_else(|| match status {
            Some(status) => StartErrorKind::Exited { module, step, status },
            None => {
                let error = CallError::Gone { reason: "it has closed its connection".to_owned() };
                StartErrorKind::Connection { module, error }
            }
        });
        instance.output().await;
        Err(StartError::new(kind).with_last_lines(instance.tail()))
    }

    /// Lets the process take calls, and checks its health, until the replica is told to stop, the process has ended or
    /// closed its connection, or it has failed its health checks. In the last two cases the process has ended when this
    /// returns.
    async fn serve(&mut self, mut instance: Instance) -> Phase {
        let connection = Arc::clone(instance.connection());
        // Before the state is `ready`: a caller that sees this state expects that calls arrive. From here on the
        // predecessor gets no new calls.
        let predecessor = self.predecessor.take().map(|predecessor| predecessor.replica);
        self.router.add(&connection, self.replica.release(), predecessor.as_deref());
        self.replica.set(InstanceState::Ready, |status| {
            status.connection = Some(Arc::clone(&connection));
            status.health = None;
            status.keeps_ending = false;
        });
        if let Some(predecessor) = predecessor {
            predecessor.retire();
        }
        self.log(LogLevel::Info, format!("is ready (pid {})", instance.pid().unwrap_or_default()));
        if let Some(first) = self.first.take() {
            let _ = first.send(Ok(()));
        }
        let since = Instant::now();
        let unwell = tokio::select! {
            biased;
            () = self.replica.retired() => return Phase::Draining(instance),
            // Either of the two may come alone: a process may close its connection and run on, or end while a child
            // keeps the connection open.
            () = connection.closed() => None,
            () = instance.wait() => None,
            unwell = self.check_health(&connection) => Some(unwell),
        };
        self.router.remove(&connection);
        let settings = &self.settings;
        let reason = match unwell {
            Some(unwell) => {
                instance.end(Duration::ZERO, settings).await;
                unwell
            }
            None => {
                let end_reason = connection.end_reason();
                let patience = if end_reason.is_some() { Duration::ZERO } else { settings.exit_grace };
                let status = instance.end(patience, settings).await;
                // Replies that it wrote before it ended are still in the socket, and go to their callers. A child may
                // hold the socket open, so this does not wait longer than the exit grace.
                let _ = timeout(settings.exit_grace, connection.closed()).await;
                let hung_up = || "it has closed its connection, and was ended".to_owned();
                end_reason.unwrap_or_else(|| status.map_or_else(hung_up, describe))
            }
        };
        self.restarts.was_ready_for(since.elapsed());
        // The process had a call that was lost with another process before: probably that call is to blame, not the
        // module.
        let is_blameless = connection.has_retried_call();
        self.ended(UnexpectedEnd { reason, last_lines: Vec::new(), ended: Some(instance) }, is_blameless).await
    }

    /// Ends a process in order: it gets no new requests, has the shutdown grace to finish those whose callers wait, and
    /// is shut down. What went wrong is in the status, as the `end_reason`.
    async fn drain(&mut self, mut instance: Instance) -> Phase {
        let connection = Arc::clone(instance.connection());
        self.replica.set(InstanceState::Draining, |_| {});
        self.router.remove(&connection);
        let grace = self.settings.shutdown_grace;
        connection.tell_draining(grace);
        let is_done = tokio::select! {
            biased;
            () = connection.drained() => true,
            () = connection.closed() => true,
            () = instance.wait() => true,
            () = standstill::sleep(grace) => false,
        };
        if !is_done {
            let (left, grace) = (connection.waited_for(), humantime::format_duration(grace));
            let message = format!("is shut down with {left} requests that it has not replied to within {grace}");
            self.log(LogLevel::Warn, message);
        }
        match instance.shutdown(&self.settings).await {
            Ok(()) => self.log(LogLevel::Info, "has ended".to_owned()),
            Err(error) => {
                self.log(LogLevel::Warn, error.to_string());
                self.replica.set(InstanceState::Draining, |status| status.end_reason = Some(error.to_string()));
            }
        }
        Phase::Stopped
    }

    /// Records why there is no process, logs it, and decides whether and when the next one is started. With
    /// `is_blameless` the end does not count for the limit of restarts.
    async fn ended(&mut self, end: UnexpectedEnd, is_blameless: bool) -> Phase {
        let UnexpectedEnd { reason, last_lines, ended } = end;
        let next = self.restarts.next(is_blameless);
        let state = if next.is_some() { InstanceState::Backoff } else { InstanceState::Failed };
        self.replica.set(state, |status| {
            status.pid = None;
            status.connection = None;
            status.restarts += u64::from(next.is_some());
            status.keeps_ending = self.restarts.keep_failing();
            status.reason = Some(reason.clone());
            status.last_lines.clone_from(&last_lines);
        });
        // Only now: a call that is tried again is routed by the new state.
        if let Some(mut ended) = ended {
            ended.connection().close(&reason);
            ended.output().await;
            self.replica.lock().last_lines = ended.tail();
        }
        let last_lines = match &self.replica.lock().last_lines[..] {
            [] => String::new(),
            lines => format!("; its last lines were:\n{}", lines.join("\n")),
        };
        let RestartPolicy { intensity, window, .. } = self.settings.restart;
        let (name, within) = (self.router.name(), humantime::format_duration(window));
        let fate = match next {
            None if intensity == 0 => String::new(),
            None => format!(
                "; it has failed, after {intensity} restarts within {within}, and is not started again (when the \
                 cause is removed: ixt restart {name})"
            ),
            Some(pause) if self.restarts.keep_failing() => format!(
                "; it was restarted {intensity} times within {within}, so that it is started again only after {}, and its calls \
                 are refused until then (to try at once: ixt restart {name})",
                humantime::format_duration(pause)
            ),
            Some(pause) => format!("; it is started again in {} ms", pause.as_millis()),
        };
        self.log(LogLevel::Error, format!("{reason}{fate}{last_lines}"));
        next.map_or(Phase::Failed, Phase::Backoff)
    }

    /// Waits until the next start, or until the replica is told to stop. Before that, calls that wait for a process are
    /// refused if none will be started soon.
    async fn pause(&mut self, pause: Duration) -> Phase {
        self.router.refuse_parked_in_vain();
        tokio::select! {
            biased;
            () = self.replica.retired() => Phase::Stopped,
            () = sleep(pause) => Phase::Starting,
        }
    }

    /// If no other replica can take them, refuses the calls and drops the events that wait. Then reports the failure to
    /// [`Host::failed`](crate::Host::failed), and waits until the replica is told to stop.
    async fn fail(&mut self) -> Phase {
        self.router.given_up();
        let failure = self.replica.reason().unwrap_or_default();
        self.router.has_failed(&format!("`{}` has failed: {failure}", self.router.name()));
        self.replica.retired().await;
        Phase::Stopped
    }

    /// Marks the replica as stopped. If no other replica can take them, refuses the calls and drops the events that
    /// wait.
    fn stop(self) {
        self.replica.set(InstanceState::Stopped, |status| {
            status.pid = None;
            status.connection = None;
        });
        // Ends the wait for the first start, if that was not made.
        drop(self.first);
        self.router.given_up();
    }

    /// Records that the host itself lacks what a start needs (open files, processes, memory, a place for a socket). It
    /// is logged once as long as the reason is the same, and does not count as a restart.
    fn lacks(&self, reason: &str) {
        let reason = format!("the host itself lacks what it needs: {reason}");
        if self.replica.reason().as_ref() != Some(&reason) {
            self.log(LogLevel::Error, format!("{reason}; it tries again every {} s", SHORTAGE_PAUSE.as_secs()));
        }
        self.replica.set(InstanceState::Backoff, |status| {
            status.pid = None;
            status.reason = Some(reason);
            status.last_lines.clear();
        });
    }

    /// Logs a line of the host about this replica.
    pub(super) fn log(&self, level: LogLevel, message: String) {
        self.backends.logs.host(level, self.replica.id(), message);
    }
}
