//! The place of one process of a module: what is wanted of it, and how it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::connection::Connection;
use crate::status::{InstanceStatus, State};

/// What is wanted of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) runs: bool,
    /// The host ends: it is not to be started any more.
    closing: bool,
    /// Another one each time that it is to be started anew.
    pub(crate) round: u64,
}

#[derive(Debug)]
pub(crate) struct Slot {
    id: Arc<str>,
    pub(crate) wanted: watch::Sender<Wanted>,
    status: Mutex<Status>,
    /// Another one for each change of the state.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
pub(crate) struct Status {
    state: State,
    since: Instant,
    pub(crate) pid: Option<u32>,
    pub(crate) connection: Option<u64>,
    pub(crate) restarts: u64,
    pub(crate) health: Option<Health>,
    pub(crate) reason: Option<String>,
    /// What it had written last to stderr then.
    pub(crate) last_lines: Vec<String>,
    /// Of the last time that it was shut down.
    pub(crate) end_reason: Option<String>,
    /// The start that was begun last.
    pub(crate) round: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) healthy: bool,
    pub(crate) data: Value,
}

impl Slot {
    pub(crate) fn new(id: String) -> Self {
        let status = Status {
            state: State::Starting,
            since: Instant::now(),
            pid: None,
            connection: None,
            restarts: 0,
            health: None,
            reason: None,
            last_lines: Vec::new(),
            end_reason: None,
            round: 0,
        };
        let (wanted, changed) =
            (watch::Sender::new(Wanted { runs: true, closing: false, round: 0 }), watch::Sender::new(0));
        Self { id: id.into(), wanted, status: Mutex::new(status), changed }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn state(&self) -> State {
        self.lock().state
    }

    /// Whether there is a process, or will be one by itself.
    pub(crate) fn comes(&self) -> bool {
        self.wanted.borrow().runs && !self.state().is_final()
    }

    pub(crate) fn reason(&self) -> Option<String> {
        self.lock().reason.clone()
    }

    pub(crate) fn status(&self, ready: &[Arc<Connection>]) -> InstanceStatus {
        let status = self.lock();
        let connection = ready.iter().find(|connection| Some(connection.number()) == status.connection);
        InstanceStatus {
            id: self.id.to_string(),
            state: status.state,
            pid: status.pid,
            restarts: status.restarts,
            in_flight: connection.map_or(0, |connection| connection.in_flight() as u64),
            seconds: status.since.elapsed().as_secs_f64(),
            healthy: status.health.as_ref().map(|health| health.healthy),
            health: status.health.as_ref().map(|health| health.data.clone()),
            reason: status.reason.clone(),
            last_lines: status.last_lines.clone(),
        }
    }

    /// It is to be ended, and to stay so.
    pub(crate) fn stop(&self) {
        self.wanted.send_modify(|wanted| wanted.runs = false);
    }

    /// It is to be ended, for the host ends.
    pub(crate) fn close(&self) {
        self.wanted.send_modify(|wanted| {
            wanted.runs = false;
            wanted.closing = true;
        });
    }

    /// It is to be started anew, whatever it is doing. Gives the number of the start that is wanted; nothing, if the host ends.
    pub(crate) fn restart(&self) -> Option<u64> {
        let mut round = None;
        self.wanted.send_modify(|wanted| {
            if !wanted.closing {
                wanted.runs = true;
                wanted.round += 1;
                round = Some(wanted.round);
            }
        });
        round
    }

    /// Waits until a start of this number, or a later one, has succeeded or failed.
    pub(crate) async fn restarted(&self, round: u64) {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let status = self.lock();
                let settled = !matches!(status.state, State::Starting | State::Stopping);
                // It may have been stopped again.
                let stopped = status.state == State::Stopped && !self.wanted.borrow().runs;
                if (status.round >= round && settled) || stopped {
                    return;
                }
            }
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    /// Why it did not end as it should, when it was stopped.
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
}
