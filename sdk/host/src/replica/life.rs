//! What a replica does, from one [`Phase`] to the next.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::LogLevel;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

use crate::instance::{Instance, StartError, StartErrorKind, describe};
use crate::module_router::ModuleRouter;
use crate::replica::Replica;
use crate::replica::restarts::Restarts;
use crate::services::Backends;
use crate::settings::Settings;
use crate::standstill;
use crate::status::State;
use crate::{CallError, Restart};

/// What runs a replica.
pub(crate) struct Life {
    pub(super) router: Arc<ModuleRouter>,
    pub(super) replica: Arc<Replica>,
    pub(super) backends: Backends,
    pub(super) settings: Arc<Settings>,
    predecessor: Option<Predecessor>,
    restarts: Restarts,
    /// Who waits for the first attempt to start it.
    first: Option<oneshot::Sender<Result<(), StartError>>>,
}

/// The replica that is replaced.
pub(crate) struct Predecessor {
    pub(crate) replica: Arc<Replica>,
    /// Whether it goes on until the new one is ready. Otherwise it ends first.
    pub(crate) overlaps: bool,
    /// Whether there is something to go back to: then the new one has one attempt to start.
    pub(crate) served: bool,
}

/// What a replica is doing: see the diagram of this [module](super).
enum Phase {
    /// A process is being started, until it has answered `init`.
    Starting,
    /// It takes calls.
    Ready(Instance),
    /// It is to end, and finishes what it has begun.
    Draining(Instance),
    /// There is no process, and one is started after this time.
    Backoff(Duration),
    /// There is none, and none is started by itself.
    Failed,
    /// It has ended for good.
    Stopped,
}

/// How long a host that lacks something waits before it tries again.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);

/// Why there is no process any more that was wanted.
struct End {
    reason: String,
    last_lines: Vec<String>,
    /// The one that has ended. Those who wait for it are told when it is known what becomes of it.
    ended: Option<Instance>,
}

impl Life {
    pub(crate) fn new(
        router: Arc<ModuleRouter>,
        replica: Arc<Replica>,
        backends: Backends,
        settings: Arc<Settings>,
        predecessor: Option<Predecessor>,
        first: oneshot::Sender<Result<(), StartError>>,
    ) -> Self {
        let restarts = Restarts::new(settings.restart.clone());
        Self { router, replica, backends, settings, predecessor, restarts, first: Some(first) }
    }

    /// Until it has ended for good.
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

    async fn start(&mut self) -> Phase {
        if self.replica.is_retired() {
            return Phase::Stopped;
        }
        self.replica.set(State::Starting, |status| {
            status.pid = None;
            status.starting = None;
        });
        let started = |pid| self.replica.set(State::Starting, |status| status.pid = pid);
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
            // The other one goes on, or is started again; whoever asked for this one is told, and ends it.
            self.replica.set(State::Starting, |status| {
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
        self.ended(End { reason, last_lines, ended: None }, false).await
    }

    /// One that takes over from another process does so when it takes calls, and not while it says that it does not.
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
        Err(StartError::with_last_lines(kind, instance.tail()))
    }

    /// The time in which the process is ready.
    async fn serve(&mut self, mut instance: Instance) -> Phase {
        let connection = Arc::clone(instance.connection());
        // First this: whoever sees that it is ready may call it. From here on the one that it replaces gets nothing more.
        let predecessor = self.predecessor.take().map(|predecessor| predecessor.replica);
        self.router.add(&connection, self.replica.release(), predecessor.as_deref());
        self.replica.set(State::Ready, |status| {
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
            // Either of both: a process may close its connection and live on, or leave it to a child.
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
                // What it has said before it ended is in the socket, and counts. A child may hold that open.
                let _ = timeout(settings.exit_grace, connection.closed()).await;
                let hung_up = || "it has closed its connection, and was ended".to_owned();
                end_reason.unwrap_or_else(|| status.map_or_else(hung_up, describe))
            }
        };
        self.restarts.was_ready_for(since.elapsed());
        // A call that ends one process after the other is to blame, and not the module.
        let is_blameless = connection.has_retried_call();
        self.ended(End { reason, last_lines: Vec::new(), ended: Some(instance) }, is_blameless).await
    }

    /// It gets nothing new, and finishes what it has begun.
    async fn drain(&mut self, mut instance: Instance) -> Phase {
        let connection = Arc::clone(instance.connection());
        self.replica.set(State::Draining, |_| {});
        self.router.remove(&connection);
        let grace = self.settings.shutdown_grace;
        connection.tell_draining(grace);
        let is_done = tokio::select! {
            () = connection.drained() => true,
            () = connection.closed() => true,
            () = instance.wait() => true,
            () = standstill::sleep(grace) => false,
        };
        if !is_done {
            let (left, grace) = (connection.waited_for(), humantime::format_duration(grace));
            let message = format!("is told to end with {left} requests that it has not answered within {grace}");
            self.log(LogLevel::Warn, message);
        }
        match instance.shutdown(&self.settings).await {
            Ok(()) => self.log(LogLevel::Info, "has ended".to_owned()),
            Err(error) => {
                self.log(LogLevel::Warn, error.to_string());
                self.replica.set(State::Draining, |status| status.end_reason = Some(error.to_string()));
            }
        }
        Phase::Stopped
    }

    /// A process has ended that was to run. Tells why, and what becomes of it.
    async fn ended(&mut self, end: End, is_blameless: bool) -> Phase {
        let End { reason, last_lines, ended } = end;
        let next = self.restarts.next(is_blameless);
        let state = if next.is_some() { State::Backoff } else { State::Failed };
        self.replica.set(state, |status| {
            status.pid = None;
            status.connection = None;
            status.restarts += u64::from(next.is_some());
            status.keeps_ending = self.restarts.keep_failing();
            status.reason = Some(reason.clone());
            status.last_lines.clone_from(&last_lines);
        });
        // Now that it is known what becomes of it, those who wait for it are told.
        if let Some(mut ended) = ended {
            ended.connection().close(&reason);
            ended.output().await;
            self.replica.lock().last_lines = ended.tail();
        }
        let last_lines = match &self.replica.lock().last_lines[..] {
            [] => String::new(),
            lines => format!("; its last lines were:\n{}", lines.join("\n")),
        };
        let Restart { intensity, window, .. } = self.settings.restart;
        let (name, within) = (self.router.name(), humantime::format_duration(window));
        let fate = match next {
            None if intensity == 0 => String::new(),
            None => format!(
                "; it has failed, after {intensity} restarts within {within}, and is not started again (see why, then: ixt \
                 restart {name})"
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

    async fn pause(&mut self, pause: Duration) -> Phase {
        self.router.refuse_parked_in_vain();
        tokio::select! {
            () = sleep(pause) => Phase::Starting,
            () = self.replica.retired() => Phase::Stopped,
        }
    }

    async fn fail(&mut self) -> Phase {
        self.router.given_up();
        let failure = self.replica.reason().unwrap_or_default();
        self.router.has_failed(&format!("`{}` has failed: {failure}", self.router.name()));
        self.replica.retired().await;
        Phase::Stopped
    }

    fn stop(self) {
        self.replica.set(State::Stopped, |status| {
            status.pid = None;
            status.connection = None;
        });
        // Nobody is to wait for it.
        drop(self.first);
        self.router.given_up();
    }

    /// The host lacks what it needs to start it: that is not the module's doing, and does not count.
    fn lacks(&self, reason: &str) {
        let reason = format!("the host itself lacks what it needs: {reason}");
        // Once, as long as it lasts.
        if self.replica.reason().as_ref() != Some(&reason) {
            self.log(LogLevel::Error, format!("{reason}; it tries again every {} s", SHORTAGE_PAUSE.as_secs()));
        }
        self.replica.set(State::Backoff, |status| {
            status.pid = None;
            status.reason = Some(reason);
            status.last_lines.clear();
        });
    }

    pub(super) fn log(&self, level: LogLevel, message: String) {
        self.backends.logs.host(level, self.replica.id(), message);
    }
}
