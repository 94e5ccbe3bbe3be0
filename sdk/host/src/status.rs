//! The status of a host's modules and processes, as [`Host::status`](crate::Host::status) returns it: for people
//! (`ixt ps`) and for programs (JSON).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stats::TopicStats;

/// The state of a process of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceState {
    /// It waits for its turn to be started; or its process has not connected yet, or not replied to `init`. If it was
    /// started beside the process that it replaces, it may also have replied to `init`, and is not ready for calls yet;
    /// or its start has failed, and it is about to be removed.
    Starting,
    /// The process has replied to `init`. It gets calls, unless it says that it is not ready (see
    /// [`InstanceStatus::takes_calls`]).
    Ready,
    /// It has ended or could not be started, and is started again after a pause: see
    /// [`RestartPolicy`](crate::RestartPolicy).
    Backoff,
    /// It is being shut down: it gets no new requests, and finishes those that it has.
    Draining,
    /// It was shut down by [`Host::stop`](crate::Host::stop), with the host, or because another process has replaced
    /// it; in the last case it is about to be removed. It is not started again itself: a restart of the module by hand
    /// makes a new entry.
    Stopped,
    /// It has ended or could not be started, and is not started again until the module is restarted by hand, because
    /// the [`RestartPolicy`](crate::RestartPolicy) says so: with `give_up` after too many restarts, with an `intensity`
    /// of 0 at once.
    Failed,
}

impl InstanceState {
    /// Whether only a restart by hand leads out of this state.
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
    /// The version of the newest release of which a process has become ready. If no process was ready when a start or
    /// restart began, it is the version of the release that was to be started, whether or not that went well.
    pub version: String,
    /// Its processes, in a fixed order. During a restart by hand both are listed, the new one directly after the one
    /// that it replaces. A stopped module keeps its entries.
    pub instances: Vec<InstanceStatus>,
    /// The counts for each service that it provides and each event that it takes, sorted by topic. If two have the same
    /// topic, the service comes first. Topics of earlier releases since the host started stay, and those of a release
    /// that the bus has refused.
    pub topics: Vec<TopicStats>,
    /// How many calls wait for this module: until a process is ready, or in the queue of a process that handles one
    /// request at a time. Events in such a queue count here too.
    pub calls_waiting: u64,
    /// The number of events that wait until a process of this module takes them.
    pub events_waiting: u64,
    /// The number of events for this module that were dropped since the host was started: because the queue was full,
    /// the memory limit was reached, the module was stopped or had failed, or a new release no longer takes them; or
    /// because their process ended before it had handled them, unless they are durable.
    pub events_dropped: u64,
}

impl ModuleStatus {
    /// Whether at least one process [takes calls](InstanceStatus::takes_calls).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.instances.iter().any(|instance| instance.takes_calls)
    }
}

/// The status of one of a module's processes. When the process ends and is started again, it is the same entry; a
/// restart by hand makes a new entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct InstanceStatus {
    /// The id: `name:version/instance-NNN`. `NNN` counts from `001` within the module, and has more digits from 1000
    /// on. A new entry gets the lowest number that is free.
    pub id: String,
    /// What it is doing now.
    pub state: InstanceState,
    /// Whether it gets calls and events: its state is `ready`, and it has not said that it is not ready.
    #[serde(default)]
    pub takes_calls: bool,
    /// What the process says that it is doing before it is ready: the last text of its `starting` frames. `None` if it
    /// has sent none, or its state is not `starting`.
    #[serde(default)]
    pub starting: Option<String>,
    /// The process id, or `None` if there is no process now.
    pub pid: Option<u32>,
    /// How many times it was started again since its first start; a restart that it waits for counts already. Attempts
    /// after the host itself lacked something do not count. A restart by hand begins at 0.
    pub restarts: u64,
    /// How many requests it has not replied to: calls, events, and the host's own, such as health checks. For a module
    /// that handles one request at a time those in its queue count too; for others a request no longer counts three
    /// health timeouts after its caller has given up. 0 before it has once been `ready`, and after the process has
    /// ended.
    pub in_flight: u64,
    /// For how many seconds it has been in this state.
    pub seconds: f64,
    /// Whether it passed the last health check. `None` if none has had a result since the process became ready. The
    /// value of a process that has ended is kept until the next one is ready.
    pub healthy: Option<bool>,
    /// The module's own health report from the last health check, with the SDK's values under `ixt`. `None` if
    /// `healthy` is; `Some(Value::Null)` if the check failed without a report, or the report could not be read or was
    /// over 64 KiB. In JSON both are `null`.
    pub health: Option<Value>,
    /// Why the last process that has ended did so, or why it could not be started. Kept after the next start. `None` if
    /// none has ended yet; a shutdown sets none.
    pub reason: Option<String>,
    /// The last lines that the process of `reason` wrote to stderr, and the last errors of its log: at most 20 lines,
    /// oldest first, each cut after 2 KiB. Empty if there are none.
    pub last_lines: Vec<String>,
}
