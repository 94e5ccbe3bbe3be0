//! What the test host remembers of a module.

use std::time::Duration;

use ixt_protocol::{LogLevel, Priority};
use serde_json::{Map, Value};

/// A log line of the module.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Log {
    /// How much it matters.
    pub level: LogLevel,
    /// What happened.
    pub message: String,
    /// More about it.
    pub fields: Map<String, Value>,
    /// The trace of the message that was handled, or empty.
    pub trace_id: String,
}

/// A call of the module.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Sent {
    /// Whom it calls.
    pub topic: String,
    /// What it sends.
    pub payload: Vec<u8>,
    /// How urgent it is: what its author says, or as urgent as the request for which it is made.
    pub priority: Priority,
    /// How many milliseconds it waits.
    pub ttl_ms: Option<u64>,
    /// The trace that it is part of.
    pub trace_id: String,
}

/// What the module has said of its start, with [`Runtime::starting`](crate::Runtime::starting).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Starting {
    /// What it was doing.
    pub message: String,
    /// How much longer it has asked for.
    pub extend: Duration,
}
