//! The host's log lines about calls and events: one for each that failed, at most 100 in each window of a second for a
//! module; or one for each call and event, with [`Settings::log_calls`](crate::Settings::log_calls).
//!
//! A line has the topic, the caller, how the call ended, how long it took, the error, and the trace id. It has no
//! payloads; the message of an error is as its sender wrote it, up to 1 KiB, except for `INVALID_INPUT`. Events that
//! are dropped in the queue, and attempts that are followed by another one, are logged by
//! [`module_router`](crate::module_router).

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldhash::HashMap;
use ixt_protocol::{InvalidJson, LogLevel, MAX_NAME_BYTES, code};
use serde::Serialize;
use serde_json::value::to_raw_value;
use tokio::time::Instant;

use crate::bus::{CallResult, Envelope, HOST_SOURCE};
use crate::lock::lock;
use crate::logs::{Logs, RateLimit, Record, shortened};
use crate::topic::{ModuleTopic, RequestInfo};
use crate::topic_kind::TopicKind;

/// How many bytes of an error's message are logged. Of a longer one the rest is replaced by its length.
const MAX_MESSAGE_BYTES: usize = 1024;
/// How many failures of one module are logged in a [`WINDOW`]; of further ones only the number is. Writing those would
/// take the host longer than refusing the calls.
const MAX_FAILURES: u32 = 100;
/// The time over which [`MAX_FAILURES`] counts.
const WINDOW: Duration = Duration::from_secs(1);

/// How a call or an event ended; the field `outcome` of its line, in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum CallOutcome {
    /// The module replied, with success or an error.
    Answered,
    /// The deadline passed before a reply, whether or not a process had got the call.
    Timeout,
    /// The caller cancelled before a reply.
    Cancelled,
    /// No handler ran: the host or the bus refused the call, or the module refused it while it shut down.
    Refused,
    /// The process ended, or closed its connection, before it replied. For an idempotent call: in the last attempt too.
    Lost,
    /// The module replied with something that can't be read. The caller gets `INTERNAL`.
    Unreadable,
}

/// What a line says of a call or an event, apart from how it ended.
#[derive(Debug)]
pub(crate) struct CallRecord<'a> {
    /// The process or module that the line is about, and whose limit counts: the process that the call was given to
    /// (`name:version/instance-NNN`), or the module that should have handled it (`name:version`). For a call that is
    /// not allowed, or whose topic no module provides, it is the caller, or `host` for the host itself.
    pub(crate) module: &'a str,
    /// The topic; the line shows at most [`MAX_NAME_BYTES`] of it.
    pub(crate) topic: &'a str,
    pub(crate) kind: TopicKind,
    /// The caller or publisher, `name:version`.
    pub(crate) caller: &'a str,
    /// The trace of the call; the line has the same.
    pub(crate) trace_id: &'a str,
    /// When the attempt that the line is about was admitted, parked or refused; for an idempotent call that is lost for
    /// good, when its first attempt was made. The line has the time since then.
    pub(crate) started: Instant,
}

impl<'a> CallRecord<'a> {
    /// A call or an event that was given to a process, or that the process's send buffer refused.
    pub(crate) fn in_flight(call: &'a RequestInfo, started: Instant) -> Self {
        let RequestInfo { kind, topic, trace_id, source, cause, .. } = call;
        Self { module: cause.instance(), topic: topic.name(), kind: *kind, caller: source, trace_id, started }
    }

    /// A call that no process has: it was refused, its time was over or its caller gave up before a process got it, or
    /// its last attempt was lost. The line is about the module.
    pub(crate) fn to_module(
        module: &'a str,
        topic: &'a ModuleTopic,
        message: &'a Envelope<'_>,
        started: Instant,
    ) -> Self {
        let Envelope { trace_id, source, .. } = message;
        Self { module, topic: topic.name(), kind: TopicKind::Service, caller: source, trace_id, started }
    }
}

/// Writes the lines to the host's log. Clones share the limits.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallLog {
    logs: Logs,
    /// Whether each call and event is logged, without a limit: [`Settings::log_calls`](crate::Settings::log_calls).
    every: bool,
    /// The limit of each module, by the module's name.
    failures: Arc<Mutex<HashMap<String, RateLimit>>>,
}

impl CallLog {
    pub(crate) fn new(logs: Logs, every: bool) -> Self {
        Self { logs, every, failures: Arc::default() }
    }

    /// Logs the end of a call or an event that was given to a process. A success is logged only if each call is. The
    /// message of `INVALID_INPUT` goes without the value that it quotes.
    pub(crate) fn ended(&self, call: &RequestInfo, started: Instant, outcome: CallOutcome, answer: &CallResult<'_>) {
        let call = || CallRecord::in_flight(call, started);
        match answer {
            CallResult::Success(_) if !self.every => {}
            CallResult::Success(_) => self.write(&call(), outcome, None),
            CallResult::Error(error) if error.code == code::INVALID_INPUT => {
                self.failed(&call(), outcome, &error.code, &without_value(&error.message));
            }
            CallResult::Error(error) => self.failed(&call(), outcome, &error.code, &error.message),
            CallResult::Unreadable(error) => self.failed(&call(), CallOutcome::Unreadable, code::INTERNAL, error),
            CallResult::Lost { reason, .. } => self.failed(&call(), outcome, code::UNAVAILABLE, reason),
        }
    }

    /// Logs that the bus has refused a call, since no module provides its topic. `message` is what the caller gets.
    pub(crate) fn not_provided(&self, envelope: &Envelope<'_>, message: &str) {
        let Envelope { topic, source, trace_id, .. } = envelope;
        let module = if **source == *HOST_SOURCE { "host" } else { source };
        let call =
            CallRecord { module, topic, kind: TopicKind::Service, caller: source, trace_id, started: Instant::now() };
        self.failed(&call, CallOutcome::Refused, code::NOT_FOUND, message);
    }

    /// Logs a failure, or only counts it if the module has reached its limit.
    #[cold]
    pub(crate) fn failed(&self, call: &CallRecord<'_>, outcome: CallOutcome, code: &str, message: &str) {
        if self.every || self.is_logged(call.module) {
            self.write(call, outcome, Some((code, message)));
        }
    }

    fn write(&self, call: &CallRecord<'_>, outcome: CallOutcome, error: Option<(&str, &str)>) {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            call: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            event: Option<&'a str>,
            caller: &'a str,
            outcome: CallOutcome,
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<&'a str>,
            ms: f64,
        }
        let CallRecord { module, topic, kind, caller, trace_id, started } = call;
        // That of `ixt call` may be of any length.
        let (topic, elapsed) = (&*shortened(topic, MAX_NAME_BYTES), started.elapsed());
        let (word, call, event) = match kind {
            TopicKind::Service => ("call", Some(topic), None),
            TopicKind::Event => ("event", None, Some(topic)),
        };
        let code = error.map(|(code, _)| code);
        #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
        let ms = elapsed.as_micros() as f64 / 1e3;
        let fields = Fields { call, event, caller, outcome, code, ms };
        let what = format!("the {word} `{topic}` of {caller}");
        let elapsed = show(elapsed);
        let how = match (outcome, error) {
            (_, None) => format!("succeeded in {elapsed}"),
            (CallOutcome::Answered, _) => format!("failed after {elapsed}"),
            (CallOutcome::Timeout, _) => format!("timed out after {elapsed}"),
            (CallOutcome::Cancelled, _) => format!("was given up by its caller after {elapsed}"),
            (CallOutcome::Refused, _) => "was refused".to_owned(),
            (CallOutcome::Lost, _) => format!("was lost after {elapsed}"),
            (CallOutcome::Unreadable, _) => format!("was answered after {elapsed} with what can't be read"),
        };
        let why = error
            .map_or_else(String::new, |(code, message)| format!(": {code}: {}", shortened(message, MAX_MESSAGE_BYTES)));
        self.logs.write(Record {
            level: level(outcome, code, *kind),
            trace_id: (*trace_id).to_owned(),
            fields: to_raw_value(&fields).ok(),
            ..Record::new(module, format!("{what} {how}{why}"))
        });
    }

    /// Whether a failure of this module (a name, perhaps with version and instance) is logged. Otherwise it is counted,
    /// and the number is logged at the end of the window.
    fn is_logged(&self, module: &str) -> bool {
        let name = module.split(':').next().unwrap_or_default();
        let mut failures = lock(&self.failures);
        let report = || {
            let (logs, name) = (self.logs.clone(), name.to_owned());
            move |left_out| {
                let message = format!(
                    "{left_out} more calls or events have failed within {}, beside the {MAX_FAILURES} a second that are logged one by \
                     one; `ixt top` shows which",
                    show(WINDOW)
                );
                logs.host(LogLevel::Warn, &name, message);
            }
        };
        match failures.get(name) {
            Some(limit) => limit.allows(report),
            None => {
                failures.entry(name.to_owned()).or_insert_with(|| RateLimit::new(MAX_FAILURES, WINDOW)).allows(report)
            }
        }
    }
}

/// The message of `INVALID_INPUT` without the value that it quotes: that may be a secret, and the caller knows it.
fn without_value(message: &str) -> String {
    let in_path = message.strip_prefix('`').and_then(|rest| rest.split_once("`: "));
    let (path, message) = in_path.unwrap_or(("", message));
    InvalidJson { path: path.to_owned(), message: message.to_owned() }.without_value().to_string()
}

/// The level of a line: error for a fault of the module, warning for what its operator may want to act on, info for
/// what concerns the caller alone. An event that failed has no caller who learns of it: at least a warning.
fn level(outcome: CallOutcome, code: Option<&str>, kind: TopicKind) -> LogLevel {
    let Some(code) = code else { return LogLevel::Info };
    match (outcome, code) {
        (CallOutcome::Lost | CallOutcome::Unreadable, _) | (_, code::INTERNAL | code::UNIMPLEMENTED) => LogLevel::Error,
        (CallOutcome::Cancelled, _) => LogLevel::Info,
        (CallOutcome::Timeout | CallOutcome::Refused, _)
        | (
            _,
            code::DEADLINE_EXCEEDED
            | code::FAILED_PRECONDITION
            | code::PERMISSION_DENIED
            | code::RESOURCE_EXHAUSTED
            | code::UNAVAILABLE
            | code::UNKNOWN_TOPIC,
        ) => LogLevel::Warn,
        // Nobody else learns of it.
        _ if kind == TopicKind::Event => LogLevel::Warn,
        // The caller gets the error, and can act on it.
        _ => LogLevel::Info,
    }
}

/// A duration for people: from a second on to the millisecond, such as `4s 1ms`; below, such as `12 ms` or `1.5 ms`.
fn show(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs_f64(), duration.as_secs_f64() * 1e3);
    match () {
        () if seconds >= 1.0 => {
            humantime::format_duration(Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)))
                .to_string()
        }
        () if millis >= 10.0 => format!("{millis:.0} ms"),
        () => format!("{millis:.1} ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(module: &'a str, trace_id: &'a str) -> CallRecord<'a> {
        CallRecord {
            module,
            topic: "m.do",
            kind: TopicKind::Service,
            caller: "web:1.0.0",
            trace_id,
            started: Instant::now(),
        }
    }

    fn logged(logs: &Logs) -> Vec<(&'static str, String)> {
        let mut lines = logs.follow(usize::MAX);
        std::iter::from_fn(|| lines.try_next()).map(|line| (line.level.as_str(), line.message.clone())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_one_line_that_says_what_for_whom_how_and_why() {
        let logs = Logs::default();
        let log = CallLog::new(logs.clone(), false);
        let call = call("m:1.0.0/instance-001", "t1");
        tokio::time::advance(Duration::from_micros(1500)).await;
        log.failed(&call, CallOutcome::Answered, "INTERNAL", "no disk");
        let mut lines = logs.follow(usize::MAX);
        let line = lines.try_next().unwrap();
        assert_eq!((line.module.as_str(), line.trace_id.as_str()), ("m:1.0.0/instance-001", "t1"));
        assert_eq!(line.message, "the call `m.do` of web:1.0.0 failed after 1.5 ms: INTERNAL: no disk");
        let fields = r#"{"call":"m.do","caller":"web:1.0.0","outcome":"answered","code":"INTERNAL","ms":1.5}"#;
        assert_eq!(line.fields.as_ref().unwrap().get(), fields);

        let event = CallRecord { kind: TopicKind::Event, ..call };
        tokio::time::advance(Duration::from_secs(4)).await;
        log.failed(&event, CallOutcome::Lost, "UNAVAILABLE", &"x".repeat(MAX_MESSAGE_BYTES + 1));
        let line = lines.try_next().unwrap();
        let message = "the event `m.do` of web:1.0.0 was lost after 4s 1ms: UNAVAILABLE: xxx";
        assert!(line.message.starts_with(message) && line.message.ends_with("x… (1025 bytes)"), "{}", line.message);
        assert!(line.fields.as_ref().unwrap().get().starts_with(r#"{"event":"m.do","#));
    }

    #[test]
    fn what_was_sent_is_not_told() {
        assert_eq!(without_value("`a.b`: invalid type: string \"hunter2\", expected u32"), "`a.b`: expected u32");
        assert_eq!(without_value("`key`: not base64: invalid byte 33"), "`key`: not base64");
        assert_eq!(without_value("a quantity is above 0"), "a quantity is above 0");
    }

    #[test]
    fn what_is_wrong_matters_more_than_what_is_only_an_answer() {
        let level = |outcome, code| level(outcome, Some(code), TopicKind::Service).as_str();
        assert_eq!(level(CallOutcome::Answered, "INTERNAL"), "error");
        assert_eq!(level(CallOutcome::Lost, "UNAVAILABLE"), "error");
        assert_eq!(level(CallOutcome::Answered, "UNAVAILABLE"), "warn");
        assert_eq!(level(CallOutcome::Timeout, "DEADLINE_EXCEEDED"), "warn");
        assert_eq!(level(CallOutcome::Refused, "NOT_FOUND"), "warn");
        assert_eq!(level(CallOutcome::Answered, "NOT_FOUND"), "info");
        assert_eq!(level(CallOutcome::Answered, "INVALID_INPUT"), "info");
        assert_eq!(level(CallOutcome::Answered, "OUT_OF_STOCK"), "info");
        assert_eq!(level(CallOutcome::Cancelled, "CANCELLED"), "info");
        assert_eq!(super::level(CallOutcome::Answered, Some("OUT_OF_STOCK"), TopicKind::Event).as_str(), "warn");
        assert_eq!(super::level(CallOutcome::Answered, None, TopicKind::Service).as_str(), "info");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_of_failures_the_number_is_logged() {
        let logs = Logs::default();
        let log = CallLog::new(logs.clone(), false);
        for _ in 0..MAX_FAILURES + 50 {
            log.failed(&call("m:1.0.0/instance-001", ""), CallOutcome::Answered, "INTERNAL", "no disk");
        }
        log.failed(&call("other:1.0.0", ""), CallOutcome::Answered, "INTERNAL", "no disk");
        assert_eq!(logged(&logs).len(), MAX_FAILURES as usize + 1, "each module has a limit of its own");
        tokio::time::sleep(2 * WINDOW).await;
        let more = "50 more calls or events have failed within 1s, beside the 100 a second that are logged one by one; \
                    `ixt top` shows which";
        assert_eq!(logged(&logs).pop(), Some(("warn", more.to_owned())));
        log.failed(&call("m:1.0.0/instance-002", ""), CallOutcome::Answered, "INTERNAL", "no disk");
        assert_eq!(logged(&logs).len(), MAX_FAILURES as usize + 3);

        // There is no limit where each call is logged.
        let logs = Logs::default();
        let log = CallLog::new(logs.clone(), true);
        for _ in 0..2 * MAX_FAILURES {
            log.failed(&call("m:1.0.0", ""), CallOutcome::Answered, "INTERNAL", "no disk");
        }
        assert_eq!(logged(&logs).len(), 2 * MAX_FAILURES as usize);
    }
}
