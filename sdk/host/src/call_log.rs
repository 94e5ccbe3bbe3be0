//! A line of the log for each call and each event that has failed, and for each at all if that is wanted: what, for whom, how it
//! ended, how long it took, and its trace. What was sent, and what was answered, is nobody's business here.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use foldhash::HashMap;
use ixt_protocol::{InvalidJson, LogLevel, MAX_NAME_BYTES, code};
use serde::Serialize;
use serde_json::value::to_raw_value;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::HOST_SOURCE;
use crate::bus::{CallResult, Envelope};
use crate::lock::lock;
use crate::logs::{Logs, Record, shortened};
use crate::topic::{CallInFlight, Kind, Topic};

/// So much is told of the message of an error.
const MAX_MESSAGE_BYTES: usize = 1024;
/// So many failures of one module are told in a second; of more than these, only how many there were. To write them would take
/// more of the host's time than to answer them.
const MAX_FAILURES: u32 = 100;
const SECOND: Duration = Duration::from_secs(1);

/// How a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// The module has answered, with data or with an error.
    Answered,
    /// The module has not answered in its time.
    Timeout,
    /// Nobody waits for it any more.
    Cancelled,
    /// The host has not asked the module, or has not found one.
    Refused,
    /// The process has ended before it has answered.
    Lost,
    /// The module has answered with something that can't be read.
    Unreadable,
}

/// A call, or an event.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// The process that has handled it, or the module that should have.
    pub(crate) module: &'a str,
    pub(crate) topic: &'a str,
    pub(crate) kind: Kind,
    /// Who has made it.
    pub(crate) caller: &'a str,
    pub(crate) trace_id: &'a str,
    pub(crate) started: Instant,
}

impl<'a> Call<'a> {
    /// One that a module has.
    pub(crate) fn in_flight(call: &'a CallInFlight, started: Instant) -> Self {
        let CallInFlight { kind, topic, trace_id, source, cause, .. } = call;
        Self { module: cause.instance(), topic: topic.name(), kind: *kind, caller: source, trace_id, started }
    }

    /// A call that no process has, or has any more.
    pub(crate) fn to_module(module: &'a str, topic: &'a Topic, message: &'a Envelope<'_>, started: Instant) -> Self {
        let Envelope { trace_id, source, .. } = message;
        Self { module, topic: topic.name(), kind: Kind::Call, caller: source, trace_id, started }
    }
}

/// Where such lines go.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallLog {
    logs: Logs,
    /// Also of those that have succeeded.
    every: bool,
    failures: Arc<Mutex<HashMap<String, Failures>>>,
}

/// The failures of a module within a second.
#[derive(Debug)]
struct Failures {
    since: Instant,
    told: u32,
    /// Those that were not told.
    more: u64,
}

impl CallLog {
    pub(crate) fn new(logs: Logs, every: bool) -> Self {
        Self { logs, every, failures: Arc::default() }
    }

    /// A call was answered, or given up.
    pub(crate) fn ended(&self, call: &CallInFlight, started: Instant, outcome: Outcome, answer: &CallResult<'_>) {
        let call = || Call::in_flight(call, started);
        match answer {
            CallResult::Success(_) if !self.every => {}
            CallResult::Success(_) => self.tell(&call(), outcome, None),
            CallResult::Error(error) if error.code == code::INVALID_INPUT => {
                self.failed(&call(), outcome, &error.code, &without_value(&error.message));
            }
            CallResult::Error(error) => self.failed(&call(), outcome, &error.code, &error.message),
            CallResult::Unreadable(error) => self.failed(&call(), Outcome::Unreadable, code::INTERNAL, error),
            CallResult::Lost { reason, .. } => self.failed(&call(), outcome, code::UNAVAILABLE, reason),
        }
    }

    /// The bus has refused a call, since nobody provides its topic. `message` is what the caller gets.
    pub(crate) fn not_provided(&self, envelope: &Envelope<'_>, message: &str) {
        let Envelope { topic, source, trace_id, .. } = envelope;
        let module = if **source == *HOST_SOURCE { "host" } else { source };
        let call = Call { module, topic, kind: Kind::Call, caller: source, trace_id, started: Instant::now() };
        self.failed(&call, Outcome::Refused, code::NOT_FOUND, message);
    }

    /// A call has failed.
    #[cold]
    pub(crate) fn failed(&self, call: &Call<'_>, outcome: Outcome, code: &str, message: &str) {
        if self.every || self.has_room(call.module) {
            self.tell(call, outcome, Some((code, message)));
        }
    }

    fn tell(&self, call: &Call<'_>, outcome: Outcome, error: Option<(&str, &str)>) {
        #[derive(Serialize)]
        struct Fields<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            call: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            event: Option<&'a str>,
            caller: &'a str,
            outcome: Outcome,
            #[serde(skip_serializing_if = "Option::is_none")]
            code: Option<&'a str>,
            ms: f64,
        }
        let Call { module, topic, kind, caller, trace_id, started } = call;
        // One from the command may be of any length.
        let (topic, elapsed) = (&*shortened(topic, MAX_NAME_BYTES), started.elapsed());
        let (word, call, event) = match kind {
            Kind::Call => ("call", Some(topic), None),
            Kind::Event => ("event", None, Some(topic)),
        };
        let code = error.map(|(code, _)| code);
        #[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
        let ms = elapsed.as_micros() as f64 / 1e3;
        let fields = Fields { call, event, caller, outcome, code, ms };
        let what = format!("the {word} `{topic}` of {caller}");
        let elapsed = show(elapsed);
        let how = match (outcome, error) {
            (_, None) => format!("succeeded in {elapsed}"),
            (Outcome::Answered, _) => format!("failed after {elapsed}"),
            (Outcome::Timeout, _) => format!("timed out after {elapsed}"),
            (Outcome::Cancelled, _) => format!("was given up by its caller after {elapsed}"),
            (Outcome::Refused, _) => "was refused".to_owned(),
            (Outcome::Lost, _) => format!("was lost after {elapsed}"),
            (Outcome::Unreadable, _) => format!("was answered after {elapsed} with what can't be read"),
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

    /// Whether a failure of this module is told; otherwise it is counted, and the number is told.
    fn has_room(&self, module: &str) -> bool {
        let name = module.split(':').next().unwrap_or_default();
        let now = Instant::now();
        let mut failures = lock(&self.failures);
        let Some(of) = failures.get_mut(name) else {
            failures.insert(name.to_owned(), Failures { since: now, told: 1, more: 0 });
            return true;
        };
        if now.duration_since(of.since) >= SECOND {
            (of.since, of.told) = (now, 0);
        }
        if of.told < MAX_FAILURES {
            of.told += 1;
            return true;
        }
        // Without one, nobody could tell of it later.
        let Ok(runtime) = Handle::try_current() else { return true };
        of.more += 1;
        if of.more == 1 {
            let (this, name) = (self.clone(), name.to_owned());
            runtime.spawn(async move {
                sleep(SECOND).await;
                this.tell_more(&name);
            });
        }
        false
    }

    fn tell_more(&self, name: &str) {
        let more = lock(&self.failures).get_mut(name).map_or(0, |of| std::mem::take(&mut of.more));
        let message = format!(
            "{more} more calls or events have failed within {}, beside the {MAX_FAILURES} a second that are told one by one; \
             `ixt top` shows which",
            show(SECOND)
        );
        self.logs.host(LogLevel::Warn, name, message);
    }
}

/// What is wrong with a value, without the value, which the caller knows and the log need not.
fn without_value(message: &str) -> String {
    let in_path = message.strip_prefix('`').and_then(|rest| rest.split_once("`: "));
    let (path, message) = in_path.unwrap_or(("", message));
    InvalidJson { path: path.to_owned(), message: message.to_owned() }.without_value().to_string()
}

/// How much it matters to whoever runs the host: what is wrong with the module or with the host, and what is only an answer.
fn level(outcome: Outcome, code: Option<&str>, kind: Kind) -> LogLevel {
    let Some(code) = code else { return LogLevel::Info };
    match (outcome, code) {
        (Outcome::Lost | Outcome::Unreadable, _) | (_, code::INTERNAL | code::UNIMPLEMENTED) => LogLevel::Error,
        (Outcome::Cancelled, _) => LogLevel::Info,
        (Outcome::Timeout | Outcome::Refused, _)
        | (
            _,
            code::DEADLINE_EXCEEDED
            | code::FAILED_PRECONDITION
            | code::PERMISSION_DENIED
            | code::RESOURCE_EXHAUSTED
            | code::UNAVAILABLE
            | code::UNKNOWN_TOPIC,
        ) => LogLevel::Warn,
        // Nobody else gets to know of it.
        _ if kind == Kind::Event => LogLevel::Warn,
        // The caller is told what it has asked wrongly, or what is not so.
        _ => LogLevel::Info,
    }
}

/// A duration to about three digits.
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

    fn call<'a>(module: &'a str, trace_id: &'a str) -> Call<'a> {
        Call { module, topic: "m.do", kind: Kind::Call, caller: "web:1.0.0", trace_id, started: Instant::now() }
    }

    fn told(logs: &Logs) -> Vec<(&'static str, String)> {
        let mut lines = logs.follow(usize::MAX);
        std::iter::from_fn(|| lines.try_next()).map(|line| (line.level.as_str(), line.message.clone())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_one_line_that_says_what_for_whom_how_and_why() {
        let logs = Logs::default();
        let log = CallLog::new(logs.clone(), false);
        let call = call("m:1.0.0/instance-001", "t1");
        tokio::time::advance(Duration::from_micros(1500)).await;
        log.failed(&call, Outcome::Answered, "INTERNAL", "no disk");
        let mut lines = logs.follow(usize::MAX);
        let line = lines.try_next().unwrap();
        assert_eq!((line.module.as_str(), line.trace_id.as_str()), ("m:1.0.0/instance-001", "t1"));
        assert_eq!(line.message, "the call `m.do` of web:1.0.0 failed after 1.5 ms: INTERNAL: no disk");
        let fields = r#"{"call":"m.do","caller":"web:1.0.0","outcome":"answered","code":"INTERNAL","ms":1.5}"#;
        assert_eq!(line.fields.as_ref().unwrap().get(), fields);

        let event = Call { kind: Kind::Event, ..call };
        tokio::time::advance(Duration::from_secs(4)).await;
        log.failed(&event, Outcome::Lost, "UNAVAILABLE", &"x".repeat(MAX_MESSAGE_BYTES + 1));
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
        let level = |outcome, code| level(outcome, Some(code), Kind::Call).as_str();
        assert_eq!(level(Outcome::Answered, "INTERNAL"), "error");
        assert_eq!(level(Outcome::Lost, "UNAVAILABLE"), "error");
        assert_eq!(level(Outcome::Answered, "UNAVAILABLE"), "warn");
        assert_eq!(level(Outcome::Timeout, "DEADLINE_EXCEEDED"), "warn");
        assert_eq!(level(Outcome::Refused, "NOT_FOUND"), "warn");
        assert_eq!(level(Outcome::Answered, "NOT_FOUND"), "info");
        assert_eq!(level(Outcome::Answered, "INVALID_INPUT"), "info");
        assert_eq!(level(Outcome::Answered, "OUT_OF_STOCK"), "info");
        assert_eq!(level(Outcome::Cancelled, "CANCELLED"), "info");
        assert_eq!(super::level(Outcome::Answered, Some("OUT_OF_STOCK"), Kind::Event).as_str(), "warn");
        assert_eq!(super::level(Outcome::Answered, None, Kind::Call).as_str(), "info");
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_flood_of_failures_the_number_is_told() {
        let logs = Logs::default();
        let log = CallLog::new(logs.clone(), false);
        for _ in 0..MAX_FAILURES + 50 {
            log.failed(&call("m:1.0.0/instance-001", ""), Outcome::Answered, "INTERNAL", "no disk");
        }
        log.failed(&call("other:1.0.0", ""), Outcome::Answered, "INTERNAL", "no disk");
        assert_eq!(told(&logs).len(), MAX_FAILURES as usize + 1, "each module has a limit of its own");
        sleep(2 * SECOND).await;
        let more = "50 more calls or events have failed within 1s, beside the 100 a second that are told one by one; \
                    `ixt top` shows which";
        assert_eq!(told(&logs).pop(), Some(("warn", more.to_owned())));
        log.failed(&call("m:1.0.0/instance-002", ""), Outcome::Answered, "INTERNAL", "no disk");
        assert_eq!(told(&logs).len(), MAX_FAILURES as usize + 3);

        // Whoever wants every call gets every call.
        let logs = Logs::default();
        let log = CallLog::new(logs.clone(), true);
        for _ in 0..2 * MAX_FAILURES {
            log.failed(&call("m:1.0.0", ""), Outcome::Answered, "INTERNAL", "no disk");
        }
        assert_eq!(told(&logs).len(), 2 * MAX_FAILURES as usize);
    }
}
