//! The status of a host's modules and processes, for people (`ixt ps`) and for programs (JSON).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::TopicStats;

/// The state of a process of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// The process is being started: it has not connected, or has not replied to `init`.
    Starting,
    /// It has replied to `init`. It gets calls, unless it says that it is not ready (see
    /// [`InstanceStatus::takes_calls`]).
    Ready,
    /// It has ended, and is started again after a pause.
    Backoff,
    /// It is being shut down: it gets no new requests, and finishes those that it has.
    Draining,
    /// It has ended on request, and is not started again until the module is restarted by hand.
    Stopped,
    /// It has ended too often (see [`RestartPolicy::give_up`](crate::RestartPolicy::give_up)), and is not started again until the
    /// module is restarted by hand.
    Failed,
}

impl InstanceState {
    /// Whether it only leaves this state when somebody restarts the module.
    pub(crate) fn is_final(self) -> bool {
        matches!(self, Self::Stopped | Self::Failed)
    }

    /// The name in lower case, as in JSON.
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

impl fmt::Display for InstanceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The status of a module.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModuleStatus {
    /// The module's name.
    pub name: String,
    /// The version of the newest release of which a process has been ready, or of the one being started if none has.
    pub version: String,
    /// Its processes, in a fixed order. During a restart the old and the new process are both listed.
    pub instances: Vec<InstanceStatus>,
    /// What it has counted for each service that it provides and each event that it takes.
    pub topics: Vec<TopicStats>,
    /// How many calls wait for this module: for a process that is ready, or in the queue of a process that handles one
    /// request at a time.
    pub calls_waiting: u64,
    /// How many events wait for this module.
    pub events_waiting: u64,
    /// How many events were dropped since the host was started, because too many waited or no process was to come.
    pub events_dropped: u64,
}

impl ModuleStatus {
    /// Whether at least one process takes calls.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.instances.iter().any(|instance| instance.takes_calls)
    }
}

/// The status of a process of a module. It stays the same entry when the process ends and is started again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceStatus {
    /// The id: `name:version/instance-NNN`.
    pub id: String,
    /// The state.
    pub state: InstanceState,
    /// Whether it gets calls and events: its state is `ready`, and it has not said that it is not ready.
    #[serde(default)]
    pub takes_calls: bool,
    /// What it says that it does before it is ready, from its last `starting` frame. `None` if it has sent none, or is
    /// not starting.
    #[serde(default)]
    pub starting: Option<String>,
    /// The process id, or `None` if there is no process now.
    pub pid: Option<u32>,
    /// How many times it was started again since its first start. A restart by hand begins at 0.
    pub restarts: u64,
    /// How many requests it has been sent and not replied to.
    pub in_flight: u64,
    /// For how many seconds it has been in this state.
    pub seconds: f64,
    /// The result of the last health check, or `None` if none has been made since it became ready.
    pub healthy: Option<bool>,
    /// The module's own health report from its last health check, with the SDK's values under `ixt`. `None` before the
    /// first check; `null` if the report could not be read or was over 64 KiB.
    pub health: Option<Value>,
    /// Why the last process ended or did not start. Kept after the next start. `None` if none has ended yet.
    pub reason: Option<String>,
    /// The last lines that this process wrote to stderr, and the last errors of its log: at most 20 of up to 2 KiB.
    pub last_lines: Vec<String>,
}
