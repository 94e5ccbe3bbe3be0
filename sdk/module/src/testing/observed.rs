//! The types of what the test host records: log lines, calls of other modules, and reports of the start.

use std::time::Duration;

use ixt_protocol::{LogLevel, Priority};
use serde_json::{Map, Value};

/// A log line of the module.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// The level.
    pub level: LogLevel,
    /// The text for people. It may have several lines.
    pub message: String,
    /// The fields for programs; empty if there are none.
    pub fields: Map<String, Value>,
    /// The trace id of the request in whose handler the line was written; empty outside of requests.
    pub trace_id: String,
}

/// A call that the module has made of another module.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sent {
    /// The topic that was called.
    pub topic: String,
    /// The payload: JSON, unless the module sends bytes.
    pub payload: Vec<u8>,
    /// The priority: the call's own, or else that of the request that it was made for, if that has no reply yet, or else low.
    pub priority: Priority,
    /// The milliseconds from the call to its deadline, which may be that of the request that it was made for; `None` if it has none.
    pub ttl_ms: Option<u64>,
    /// The trace id of the request that the call was made for; empty outside of requests.
    pub trace_id: String,
}

/// A call of [`Runtime::starting`](crate::Runtime::starting).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Starting {
    /// What the module was doing, for people. Empty if the frame was too large with it.
    pub message: String,
    /// The time that it has asked for, in whole milliseconds, an hour at most.
    pub extend: Duration,
}
