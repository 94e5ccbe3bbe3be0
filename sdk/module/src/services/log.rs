//! Log lines. They go to the host as frames if it takes them, with the trace of the message that is handled; otherwise, and
//! before and after the connection, to stderr, which the host captures and labels with the module's name.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io::Write as _;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use ixt_protocol::{Log, LogLevel};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};

use crate::Context;
use crate::data::json_or_reason;
use crate::runtime::Outgoing;
use crate::services::call::Link;
use crate::services::call::sealed::Sealed as _;

/// Logs an informational message (seeds: `log`).
pub fn log(message: impl Display) {
    LogLine::new(LogLevel::Info, message).write();
}

/// Logs an error (seeds: `log_error`).
pub fn log_error(message: impl Display) {
    LogLine::new(LogLevel::Error, message).write();
}

/// A line for the log, with fields for programs.
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
    /// A line without fields.
    pub fn new(level: LogLevel, message: impl Display) -> Self {
        Self { level, message: message.to_string(), fields: Map::new() }
    }

    /// Adds a field. A value that is not JSON is replaced by the reason why.
    pub fn field(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.fields.insert(key.into(), json_or_reason(value));
        self
    }

    /// Logs it. Never waits: if the host is slow, the oldest lines are dropped, and how many is told.
    pub fn write(self) {
        let fields = Some(self.fields).filter(|fields| !fields.is_empty());
        write(&Line { level: self.level, message: &self.message, fields, trace_id: None });
    }
}

/// Where the lines of a thread go, or of a task while it runs.
#[derive(Debug, Clone)]
pub(crate) enum Scope {
    /// That of a session, whatever it handles.
    Session(Weak<Outgoing>),
    /// That of a message that is handled.
    Message(Link),
}

thread_local! {
    static CURRENT: RefCell<Option<Scope>> = const { RefCell::new(None) };
}

/// Where the lines of everything else go: of tasks that the author has spawned.
static PROCESS: Mutex<Option<Scope>> = Mutex::new(None);

impl Scope {
    /// The scope of a session, whatever it handles.
    pub(crate) fn of_session(outgoing: &Arc<Outgoing>) -> Self {
        Self::Session(Arc::downgrade(outgoing))
    }

    /// The scope of a message that is handled.
    pub(crate) fn of(context: &Context) -> Self {
        Self::Message(context.link().clone())
    }

    fn outgoing(&self) -> Option<Arc<Outgoing>> {
        match self {
            Self::Session(outgoing) => outgoing.upgrade(),
            Self::Message(link) => Some(Arc::clone(link.outgoing())),
        }
    }

    /// The topic of the message, if it is the scope of one.
    pub(crate) fn topic(&self) -> &str {
        match self {
            Self::Session(_) => "",
            Self::Message(link) => link.origin().topic(),
        }
    }

    fn trace_id(&self) -> &str {
        match self {
            Self::Session(_) => "",
            Self::Message(link) => link.origin().trace_id(),
        }
    }

    /// What is logged meanwhile, on this thread, goes here.
    pub(crate) fn run<T>(&self, work: impl FnOnce() -> T) -> T {
        /// Also after a panic.
        struct Restore(Option<Scope>);
        impl Drop for Restore {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restore = Restore(CURRENT.replace(Some(self.clone())));
        work()
    }

    /// The same for a future, whenever it is polled.
    pub(crate) async fn enclose<T>(self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|cx| self.run(|| work.as_mut().poll(cx))).await
    }

    /// The session of this process, for what no session has started.
    pub(crate) fn make_default(self) {
        *PROCESS.lock().unwrap_or_else(PoisonError::into_inner) = Some(self);
    }

    /// Where the lines of this thread go at the moment.
    pub(crate) fn current() -> Option<Self> {
        // Also where a thread ends, or while this is being changed: whoever panics there has no message.
        let current = CURRENT.try_with(|current| current.try_borrow().ok().and_then(|current| current.clone()));
        current.ok().flatten().or_else(|| PROCESS.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// What is to be logged.
pub(crate) struct Line<'a> {
    pub(crate) level: LogLevel,
    pub(crate) message: &'a str,
    pub(crate) fields: Option<Map<String, Value>>,
    /// That of the message that is handled, if it is not known better.
    pub(crate) trace_id: Option<&'a str>,
}

pub(crate) fn write(line: &Line<'_>) {
    if let Some(scope) = Scope::current()
        && let Some(outgoing) = scope.outgoing()
    {
        let Line { level, message, ref fields, trace_id } = *line;
        let fields = fields.as_ref().map(raw);
        let trace_id = trace_id.unwrap_or_else(|| scope.trace_id()).into();
        if outgoing.log(Log { level, message: message.into(), fields: fields.as_deref(), trace_id }) {
            return;
        }
    }
    write_to_stderr(line);
}

/// Where no host takes it.
pub(crate) fn write_to_stderr(line: &Line<'_>) {
    let level = line.level.as_str().to_uppercase();
    let fields = line.fields.as_ref().map_or_else(String::new, |fields| format!(" {}", raw(fields)));
    // In one line, of which the level is that of all of it, and in one write, so that concurrent lines don't mix. If stderr is closed,
    // there is nobody left to tell.
    let message = line.message.replace('\n', "\\n");
    let _ = std::io::stderr().write_all(format!("{level} {message}{fields}\n").as_bytes());
}

fn raw(fields: &Map<String, Value>) -> Box<RawValue> {
    to_raw_value(fields).expect("a map of JSON values is JSON")
}
