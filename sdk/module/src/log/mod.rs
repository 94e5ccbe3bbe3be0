//! Log lines of the module. They go to the host as `log` frames, with the trace id of the request in whose handler they are written. If the
//! host doesn't take such frames, before `init` has come, and once the host is gone or the session has ended, they go to stderr, which the
//! host captures and labels with the module's name. Writing to the host never waits; writing to stderr waits while the pipe is full.

mod scope;
#[cfg(feature = "tracing")]
pub mod tracing;

use std::fmt::Display;
use std::io::Write as _;
use std::sync::Arc;

use ixt_protocol::{LogFrame, LogLevel};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::json_value::json_or_reason;
pub(crate) use scope::{LogTarget, Scope};

/// Logs a message at the level `info`: the `log` of the Python and Node.js SDKs. See [`LogLine::write`].
pub fn log(message: impl Display) {
    LogLine::new(LogLevel::Info, message).write();
}

/// Logs a message at the level `error`: the `log_error` of the Python and Node.js SDKs. See [`LogLine::write`].
pub fn log_error(message: impl Display) {
    LogLine::new(LogLevel::Error, message).write();
}

/// A log line with a level, a text for people, and fields for programs.
///
/// ```
/// use ixt_sdk::{LogLevel, LogLine};
///
/// LogLine::new(LogLevel::Warn, "the disk is almost full").field("free_bytes", 12).write();
/// ```
#[derive(Debug)]
#[must_use = "it is not logged before `write` is called"]
pub struct LogLine {
    level: LogLevel,
    message: String,
    fields: Map<String, Value>,
}

impl LogLine {
    /// A line without fields. The message may be empty or have line ends.
    pub fn new(level: LogLevel, message: impl Display) -> Self {
        Self { level, message: message.to_string(), fields: Map::new() }
    }

    /// Adds a field, in place of one with the same key. A value that can't be JSON (a map whose keys are not strings, say) becomes a string
    /// with the reason. A float that is not finite becomes `null`.
    pub fn field(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.fields.insert(key.into(), json_or_reason(value));
        self
    }

    /// Writes the line to the host, without waiting, or to stderr (which may wait) if the host takes no lines, `init` has not come, the
    /// host is gone, or the session has ended. A line that a handler writes has the trace id of its request, also within
    /// [`blocking`](fn@crate::blocking); one that another thread or a spawned task writes has none. On stderr no line has one, and a line
    /// end in the message is `\n`.
    ///
    /// While the host reads too slowly, up to 1 MiB of lines is kept; beyond that the oldest lines are dropped, and a line in their place
    /// says how many. The host cuts a message after 64 KiB, and leaves out fields of more than that. A line over the host's limit for a
    /// frame is cut more, and loses its fields.
    pub fn write(self) {
        let fields = Some(self.fields).filter(|fields| !fields.is_empty());
        write(&LineParts { level: self.level, message: &self.message, fields, trace_id: None });
    }
}

/// A line before it is written to the host or to stderr.
pub(crate) struct LineParts<'a> {
    pub(crate) level: LogLevel,
    pub(crate) message: &'a str,
    /// `None` if there are none. An empty map is written as `{}`.
    pub(crate) fields: Option<Map<String, Value>>,
    /// The trace id. `None`: that of the current scope, which may have none.
    pub(crate) trace_id: Option<&'a str>,
}

/// Writes a line to the host of the current scope, or to stderr if there is no scope, its session is gone, or the host takes no lines.
pub(crate) fn write(line: &LineParts<'_>) {
    if let Some(target) = Scope::current().and_then(|scope| scope.target()) {
        let LineParts { level, message, ref fields, trace_id } = *line;
        let fields = fields.as_ref().map(raw);
        let trace_id = trace_id.or_else(|| target.trace_id()).unwrap_or_default().into();
        if Arc::clone(&target).send_log(LogFrame {
            level,
            message: message.into(),
            fields: fields.as_deref(),
            trace_id,
        }) {
            return;
        }
    }
    write_to_stderr(line);
}

/// Writes a line to stderr, without its trace id: the level in upper case, the message with `\n` for line ends, and the fields as JSON,
/// with spaces between and a line end. Waits while stderr is full. Drops the line if stderr is closed.
pub(crate) fn write_to_stderr(line: &LineParts<'_>) {
    let level = line.level.as_str().to_uppercase();
    let fields = line.fields.as_ref().map_or_else(String::new, |fields| format!(" {}", raw(fields)));
    // One line, so that the host takes it for one log line of this level; one write, so that lines of several threads don't mix.
    // An error is ignored: stderr is closed, and there is no other place for the line.
    let message = line.message.replace('\n', "\\n");
    let _ = std::io::stderr().write_all(format!("{level} {message}{fields}\n").as_bytes());
}

fn raw(fields: &Map<String, Value>) -> Box<RawValue> {
    to_raw_value(fields).expect("a map of JSON values is JSON")
}
