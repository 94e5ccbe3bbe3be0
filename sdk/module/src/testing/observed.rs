//! What the test host remembers of a module.

use std::time::Duration;

use ixt_protocol::{LogLevel, Priority};
use serde_json::{Map, Value};

/// A log line of the module.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// The level.
    pub level: LogLevel,
    /// The text for people.
    pub message: String,
    /// The fields for programs.
    pub fields: Map<String, Value>,
    /// The trace id of the request that was handled; empty outside of requests.
    pub trace_id: String,
}

/// A call that the module has made of another one.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sent {
    /// The topic that is called.
    pub topic: String,
    /// The payload.
    pub payload: Vec<u8>,
    /// The priority: the call's own, or else that of the request that it is made for.
    pub priority: Priority,
    /// The milliseconds that the caller waits; `None` if there is no limit.
    pub ttl_ms: Option<u64>,
    /// The trace id; empty outside of requests.
    pub trace_id: String,
}

/// A report of the module on its start, with [`Runtime::starting`](crate::Runtime::starting).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Starting {
    /// What the module was doing.
    pub message: String,
    /// The time that it has asked for.
    pub extend: Duration,
}
