//! One process of a module, and those that follow it when it ends: what is wanted of it, and what it is doing.
//!
//! ```text
//!             may run beside it, or it has ended: the replica that this one replaces
//!                  │
//!                  v          it is ready                    it is to end
//!   ┌────────> Starting ─────────────────────> Ready ──────────────────────> Draining
//!   │              │                             │  its calls go to another      │
//!   │ after a      │ it did not start            │  replica from here on         │ it has answered what it had,
//!   │ pause        v                             │                               │ and has ended, or was ended
//!   └────────── Backoff <────────────────────────┘                               v
//!                  │         it ended, hangs, or is not well                  Stopped
//!                  │ too often, with `give_up`                                   ^
//!                  v                                                             │
//!               Failed ──────────────────────────────────────────────────────────┘
//!                                                  it is to end (from Starting and Backoff, too)
//! ```
//!
//! [`Phase`](life) is this as a type. A replica that replaces another one and does not start ends, and the other goes on. Nothing comes
//! after `Stopped`: a restart is a replica of its own.
//!
//! Who holds whom: a [`ModuleRouter`](crate::module_router) has its replicas; each has a task, a [`Life`], which holds the [`Release`] that its
//! processes are started from, and the [`Instance`](crate::instance) that runs; that has the process and its connection.

mod health;
mod life;
mod restarts;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::release::Release;
use crate::status::{InstanceStatus, State};

pub(crate) use life::{Life, Predecessor};

#[derive(Debug)]
pub(crate) struct Replica {
    id: Arc<str>,
    /// Of the module's replicas, from 1.
    number: u32,
    release: Arc<Release>,
    /// Whether it is to end, and to stay so.
    retired: watch::Sender<bool>,
    status: Mutex<Status>,
    /// Another one for each change of the status.
    changed: watch::Sender<u64>,
    task: Mutex<Task>,
}

/// What runs a replica.
#[derive(Debug, Default)]
enum Task {
    #[default]
    NotYet,
    Runs(AbortHandle),
    /// It is not to run any more.
    Aborted,
}

#[derive(Debug)]
pub(crate) struct Status {
    state: State,
    since: Instant,
    pub(crate) pid: Option<u32>,
    /// What it says that it is doing.
    pub(crate) starting: Option<String>,
    pub(crate) connection: Option<Arc<Connection>>,
    pub(crate) restarts: u64,
    /// It ends again and again, and is started again after the longest pause.
    pub(crate) keeps_ending: bool,
    pub(crate) health: Option<Health>,
    pub(crate) reason: Option<String>,
    /// What it had written last to stderr then.
    pub(crate) last_lines: Vec<String>,
    /// Why it did not end as it should, when it was told to.
    pub(crate) end_reason: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) healthy: bool,
    pub(crate) data: Value,
}

impl Replica {
    pub(crate) fn new(release: Arc<Release>, number: u32) -> Self {
        let status = Status {
            state: State::Starting,
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

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    pub(crate) fn release(&self) -> &Arc<Release> {
        &self.release
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state
    }

    /// Whether there is a process, or will be one soon, by itself.
    pub(crate) fn comes(&self) -> bool {
        let status = self.lock();
        !self.is_retired() && !status.state.is_final() && !status.keeps_ending
    }

    pub(crate) fn is_retired(&self) -> bool {
        *self.retired.borrow()
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    pub(crate) fn status(&self) -> InstanceStatus {
        let status = self.lock();
        InstanceStatus {
            id: self.id.to_string(),
            state: status.state,
            takes_calls: status.state == State::Ready
                && status.connection.as_ref().is_some_and(|connection| connection.is_ready()),
            starting: status.starting.clone().filter(|_| status.state == State::Starting),
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

    /// It is to end, and to stay so.
    pub(crate) fn retire(&self) {
        self.retired.send_replace(true);
    }

    /// Waits until it is to end. Cancel-safe.
    pub(crate) async fn retired(&self) {
        // Its sender is this one's.
        let _ = self.retired.subscribe().wait_for(|retired| *retired).await;
    }

    /// Why it did not end as it should, when it was told to.
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.lock().end_reason.clone()
    }

    /// Waits until the state is one of these.
    pub(crate) async fn reaches(&self, goal: impl Fn(State) -> bool) {
        let mut changed = self.changed.subscribe();
        while !goal(self.state()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until it has ended for good.
    pub(crate) async fn stopped(&self) {
        self.reaches(|state| state == State::Stopped).await;
    }

    pub(crate) fn set(&self, state: State, change: impl FnOnce(&mut Status)) {
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

    pub(crate) fn lock(&self) -> MutexGuard<'_, Status> {
        // Nothing that can panic happens under this lock.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What runs it, to be ended with its host.
    pub(crate) fn runs_as(&self, task: AbortHandle) {
        match &mut *self.task.lock().unwrap_or_else(PoisonError::into_inner) {
            // The host was dropped in this moment.
            Task::Aborted => task.abort(),
            place => *place = Task::Runs(task),
        }
    }

    /// Ends it at once, with its process.
    pub(crate) fn abort(&self) {
        {
            let mut task = self.task.lock().unwrap_or_else(PoisonError::into_inner);
            if let Task::Runs(task) = std::mem::replace(&mut *task, Task::Aborted) {
                task.abort();
            }
        }
        // Nobody is to wait for it.
        self.set(State::Stopped, |status| status.connection = None);
    }
}
