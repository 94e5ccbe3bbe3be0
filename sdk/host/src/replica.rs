//! A replica of a module: its status, and the switch that stops it. A [`ReplicaTask`](crate::supervisor) runs it; the
//! router, the supervisor and the host's status read it. In the public API it is an instance; the `Instance` in
//! `supervisor/` is one process of it.
//!
//! A replica has one process after the other:
//!
//! ```text
//!             the replica that this one replaces has ended, or may run beside it
//!                  │
//!                  v           replied to `init`              retire()
//!   ┌────────> Starting ─────────────────────> Ready ──────────────────────> Draining
//!   │              │                             │  its calls go to another      │
//!   │ after a      │ did not start               │  replica from here on         │ has finished its requests and
//!   │ pause        v                             │                               │ exited, or was killed
//!   └────────── Backoff <────────────────────────┘                               v
//!                  │         ended, hung, or failed its health checks         Stopped
//!                  │ instead, if the `RestartPolicy` allows no more restarts     ^
//!                  v                                                             │
//!               Failed ──────────────────────────────────────────────────────────┘
//!                                        retire() (from Starting and Backoff too)
//! ```
//!
//! If a replica replaces one that was ready, and its first start fails, it stays in `Starting` until the supervisor
//! retires it, and the module goes back to the other one. Nothing comes after `Stopped`: a restart by hand makes a new
//! replica.

use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::lock::lock;
use crate::release::Release;
use crate::status::{InstanceState, InstanceStatus};

/// The part of a replica that its task shares with others. Only the task changes the state, except for
/// [`abort`](Self::abort).
#[derive(Debug)]
pub(crate) struct Replica {
    /// `name:version/instance-NNN`.
    id: Arc<str>,
    /// Its number within the module, from 1: the `NNN` of its id. It is free again when the router has forgotten the
    /// replica.
    number: u32,
    /// What its processes are started from. It never changes.
    release: Arc<Release>,
    /// Whether [`retire`](Self::retire) was called.
    retired: watch::Sender<bool>,
    status: Mutex<ReplicaStatus>,
    /// Incremented by each [`set`](Self::set).
    changed: watch::Sender<u64>,
    task: Mutex<TaskState>,
}

/// The state of the task that runs the replica.
#[derive(Debug, Default)]
enum TaskState {
    /// It has not been spawned yet.
    #[default]
    NotYet,
    /// It was spawned, and may have ended.
    Runs(AbortHandle),
    /// It was aborted, or is aborted as soon as it is spawned.
    Aborted,
}

/// The fields are those of [`InstanceStatus`], except where a comment says more.
#[derive(Debug)]
pub(crate) struct ReplicaStatus {
    state: InstanceState,
    /// When `state` was reached.
    since: Instant,
    pub(crate) pid: Option<u32>,
    /// The last text of the process's `starting` frames. Kept when it is ready; `None` again at the next start.
    pub(crate) starting: Option<String>,
    /// The connection with the process, from when it is ready until it has ended. `None` while it starts.
    pub(crate) connection: Option<Arc<Connection>>,
    pub(crate) restarts: u64,
    /// Whether it has ended too often, so that it is only started again after the longest pause. Calls do not wait for
    /// it then. False while it is ready.
    pub(crate) keeps_ending: bool,
    /// The last health check of the process; `None` until the first one has a result after the process became ready.
    pub(crate) health: Option<HealthReport>,
    pub(crate) reason: Option<String>,
    /// The last lines of the process that ended for `reason`.
    pub(crate) last_lines: Vec<String>,
    /// What went wrong when the process was shut down; `None` if nothing did, or no process was shut down.
    pub(crate) end_reason: Option<String>,
}

/// The result of a health check.
#[derive(Debug, Clone)]
pub(crate) struct HealthReport {
    /// Whether the check has passed.
    pub(crate) healthy: bool,
    /// The module's report; null if there is none, or none that is kept.
    pub(crate) data: Value,
}

impl Replica {
    /// A replica in the state `Starting`, without a task. The router adds it to its list, the supervisor runs it.
    pub(crate) fn new(release: Arc<Release>, number: u32) -> Self {
        let status = ReplicaStatus {
            state: InstanceState::Starting,
            since: Instant::now(),
            pid: None,
            starting: None,
            connection: None,
            restarts: 0,
            keeps_ending: false,
            health: None,
            reason: None,
            last_lines: Vec::new(),
            end_reason: None,
        };
        let (retired, changed) = (watch::Sender::new(false), watch::Sender::new(0));
        let id = release.module().instance_id(number).into();
        Self { id, number, release, retired, status: Mutex::new(status), changed, task: Mutex::default() }
    }

    /// `name:version/instance-NNN`.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Its number within the module, from 1.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What its processes are started from.
    pub(crate) fn release(&self) -> &Arc<Release> {
        &self.release
    }

    /// Its state at this moment.
    pub(crate) fn state(&self) -> InstanceState {
        self.lock().state
    }

    /// Whether it has a process, or will soon have one without a restart by hand. Calls may wait for it then. False
    /// once it was told to stop, has failed, or is started again only after the longest pause.
    pub(crate) fn comes(&self) -> bool {
        let status = self.lock();
        !self.is_retired() && !status.state.is_final() && !status.keeps_ending
    }

    /// Whether [`retire`](Self::retire) was called. It is true before the state changes, and stays true.
    pub(crate) fn is_retired(&self) -> bool {
        *self.retired.borrow()
    }

    /// See [`InstanceStatus::reason`].
    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    /// Its status for [`Host::status`](crate::Host::status).
    pub(crate) fn status(&self) -> InstanceStatus {
        let status = self.lock();
        InstanceStatus {
            id: self.id.to_string(),
            state: status.state,
            takes_calls: status.state == InstanceState::Ready
                && status.connection.as_ref().is_some_and(|connection| connection.is_ready()),
            starting: status.starting.clone().filter(|_| status.state == InstanceState::Starting),
            pid: status.pid,
            restarts: status.restarts,
            in_flight: status.connection.as_ref().map_or(0, |connection| connection.in_flight() as u64),
            seconds: status.since.elapsed().as_secs_f64(),
            healthy: status.health.as_ref().map(|health| health.healthy),
            health: status.health.as_ref().map(|health| health.data.clone()),
            reason: status.reason.clone(),
            last_lines: status.last_lines.clone(),
        }
    }

    /// Makes it stop for good: its task lets the process finish its requests, and ends it. Returns at once;
    /// [`stopped`](Self::stopped) waits. Further calls do nothing.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// Waits until [`retire`](Self::retire) is called. Cancel-safe.
    pub(crate) async fn retired(&self) {
        // The sender belongs to `self`, so that this can't fail.
        let _ = self.retired.subscribe().wait_for(|retired| *retired).await;
    }

    /// See [`ReplicaStatus::end_reason`].
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.lock().end_reason.clone()
    }

    /// Waits until `goal` is true for the state; returns at once if it is. A state that lasts for a moment may be
    /// missed. Cancel-safe.
    pub(crate) async fn reaches(&self, goal: impl Fn(InstanceState) -> bool) {
        let mut changed = self.changed.subscribe();
        while !goal(self.state()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until its state is `Stopped`: then no process of it is left, unless the host was dropped, which kills it
    /// at this moment. Cancel-safe.
    pub(crate) async fn stopped(&self) {
        self.reaches(|state| state == InstanceState::Stopped).await;
    }

    /// Sets the state, changes other fields of the status with `change`, and wakes the tasks that wait for a state.
    pub(crate) fn set(&self, state: InstanceState, change: impl FnOnce(&mut ReplicaStatus)) {
        {
            let mut status = self.lock();
            if status.state != state {
                status.since = Instant::now();
            }
            status.state = state;
            change(&mut status);
        }
        self.changed.send_modify(|changed| *changed += 1);
    }

    /// Locks the status, to read it or to change fields that no task waits for. To change the state use
    /// [`set`](Self::set).
    pub(crate) fn lock(&self) -> MutexGuard<'_, ReplicaStatus> {
        lock(&self.status)
    }

    /// Sets the task that runs it, so that it can be aborted. The supervisor calls this once, when it has spawned the
    /// task. If [`abort`](Self::abort) was called before, the task is aborted at once.
    pub(crate) fn runs_as(&self, task: AbortHandle) {
        match &mut *lock(&self.task) {
            // The host was dropped meanwhile.
            TaskState::Aborted => task.abort(),
            place => *place = TaskState::Runs(task),
        }
    }

    /// Aborts its task, which kills the process at once, and sets the state to `Stopped`. Called when the host is
    /// dropped.
    pub(crate) fn abort(&self) {
        {
            let mut task = lock(&self.task);
            if let TaskState::Runs(task) = std::mem::replace(&mut *task, TaskState::Aborted) {
                task.abort();
            }
        }
        // Wakes the tasks that wait until it has stopped.
        self.set(InstanceState::Stopped, |status| status.connection = None);
    }
}
