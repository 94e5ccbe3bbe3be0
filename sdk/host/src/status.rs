//! How a host and its modules are, for people and programs.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TopicStats;

/// What a process of a module is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is being started, or initializes.
    Starting,
    /// It takes calls.
    Ready,
    /// It has ended, and will be started again after a while.
    Backoff,
    /// It is to end, gets nothing new, and finishes what it has begun.
    Draining,
    /// It was stopped, and stays so until it is restarted by hand.
    Stopped,
    /// It has ended too often, and stays so until it is restarted by hand.
    Failed,
}

impl State {
    /// Whether it stays so by itself.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }

    /// The name, in lower case.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Backoff => "backoff",
            Self::Draining => "draining",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How a module is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModuleStatus {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its processes.
    pub instances: Vec<InstanceStatus>,
    /// Its services, and the events that it takes.
    pub topics: Vec<TopicStats>,
    /// How many calls wait for it: for a process that is ready, or until one that handles one request at a time is done.
    pub calls_waiting: u64,
    /// How many events wait for it.
    pub events_waiting: u64,
    /// How many events it did not get.
    pub events_dropped: u64,
}

impl ModuleStatus {
    /// Whether it takes calls: one of its processes at least does.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.instances.iter().any(|instance| instance.takes_calls)
    }
}

/// How a process of a module is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceStatus {
    /// `name:version/instance-NNN`.
    pub id: String,
    /// What it is doing.
    pub state: State,
    /// Whether it gets calls and events: its state is `ready`, and it does not say that it is not.
    #[serde(default)]
    pub takes_calls: bool,
    /// What it says that it is doing before it is ready, if it says so.
    #[serde(default)]
    pub starting: Option<String>,
    /// The process, if there is one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// How many requests it has not answered.
    pub in_flight: u64,
    /// For how many seconds it has been in this state.
    pub seconds: f64,
    /// What the last health check gave; `None` before the first one.
    pub healthy: Option<bool>,
    /// What the module has said of its health, and its SDK under `ixt`.
    pub health: Option<Value>,
    /// Why it was ended or has ended, the last time.
    pub reason: Option<String>,
    /// What it had written last to stderr then, and the last errors of its log.
    pub last_lines: Vec<String>,
}
