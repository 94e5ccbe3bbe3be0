//! Calls the module's services, each once and with an empty payload. Each call is a check of its service. Together the
//! calls show to which service the other checks can send payloads.

use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use super::reply::ModuleReply;
use super::section::Section;
use super::subject::Subject;
use super::trial::Trial;
use super::verdict::{Stop, Verdict, failed, skipped};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// A topic that no module provides.
pub(super) const UNKNOWN_TOPIC: &str = "ixt.conformance.no_such_topic";
/// The `ttl_ms` of a call, unless half of `--timeout` is less.
const SERVICE_TTL: Duration = Duration::from_secs(1);
/// A reply that comes more than this many milliseconds after the `ttl_ms` of its request gets a note, unless it is
/// `DEADLINE_EXCEEDED`.
const LATE_MS: u128 = 250;

/// One call of a service, and its verdict.
#[derive(Debug)]
pub(super) struct ServiceCall {
    /// The topic that was called.
    pub(super) topic: String,
    /// The verdict of the check of this service.
    pub(super) verdict: Verdict,
    /// Whether the reply was a success. `None` if the service was not called, or has failed the check.
    succeeded: Option<bool>,
    /// The requests that the module made from its start until its reply to the call, as `SERVICE.METHOD`, in their
    /// order. A method may be here several times. Empty if the service was not called.
    pub(super) service_requests: Vec<String>,
}

impl ServiceCall {
    /// Starts a process and calls the service, and waits for the reply. A service of `--skip` is not called, and its
    /// check is skipped.
    pub(super) fn make(trial: &Trial<'_>, topic: &str) -> Self {
        let mut call =
            Self { topic: topic.to_owned(), verdict: Ok(None), succeeded: None, service_requests: Vec::new() };
        call.verdict = call.check(trial);
        call
    }

    /// Makes the check. Success and any error are right, except `UNKNOWN_TOPIC`. The code of an error is a note, or
    /// instead of it that the reply was late.
    fn check(&mut self, trial: &Trial<'_>) -> Verdict {
        if trial.subject.is_skipped(&self.topic) {
            return Err(skipped("--skip"));
        }
        let mut session = trial.ready()?;
        let ttl = (trial.subject.timeout / 2).min(SERVICE_TTL);
        let (ttl_ms, began) = (u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX), Instant::now());
        let reply = session.handle(&self.topic, b"", ttl_ms);
        // Taken even if the reply is wrong: another check reports them.
        self.service_requests.append(&mut session.service_requests);
        let (reply, took) = (reply?, began.elapsed().as_millis());
        if reply.code() == Some("UNKNOWN_TOPIC") {
            let expected = "the service, which the manifest provides, is known";
            return Err(failed(Section::Errors, expected, reply.shown()));
        }
        trial.finish(session)?;
        self.succeeded = Some(reply.data().is_some());
        let is_late = took > u128::from(ttl_ms) + LATE_MS && reply.code() != Some("DEADLINE_EXCEEDED");
        Ok(match reply.code() {
            _ if is_late => Some(format!("it answered after {took} ms, though its ttl_ms was {ttl_ms}")),
            Some(code) => Some(format!("it answered {code}")),
            None => None,
        })
    }
}

/// The topic to which checks send payloads of any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PayloadTarget {
    /// The service of `--echo`. Its reply has to have the payload.
    Echo(String),
    /// A service that takes bytes and has answered, with success or an error. What its replies mean is unknown.
    Service(String),
    /// There is no such service. Payloads go to [`UNKNOWN_TOPIC`], and the module answers with errors.
    Unknown,
}

impl PayloadTarget {
    /// Chooses the service of `--echo`. Without one, it chooses the first service that takes bytes and has answered
    /// with success, or else the first that takes bytes and has answered. `calls` has to contain all services that take
    /// bytes, unless there is an echo.
    pub(super) fn choose(subject: &Subject, calls: &[ServiceCall]) -> Self {
        if let Some(echo) = &subject.echo {
            return Self::Echo(echo.clone());
        }
        let answered = calls.iter().filter(|call| call.succeeded.is_some() && subject.takes_bytes(&call.topic));
        match answered.min_by_key(|call| call.succeeded != Some(true)) {
            Some(call) => Self::Service(call.topic.clone()),
            None => Self::Unknown,
        }
    }

    /// The topic to send to.
    pub(super) fn topic(&self) -> &str {
        match self {
            Self::Echo(topic) | Self::Service(topic) => topic,
            Self::Unknown => UNKNOWN_TOPIC,
        }
    }

    /// A note for people: which service was called, and what its replies show.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Echo(topic) => format!("`{topic}` gives it back"),
            Self::Service(topic) => format!("`{topic}` answers; --echo checks the bytes too"),
            Self::Unknown => "no service takes bytes, so none was called".to_owned(),
        }
    }

    /// Checks that the reply of an echo has the payload: a key of `data` whose value is the payload in base64. For
    /// other targets it checks nothing.
    pub(super) fn comes_back(&self, reply: &ModuleReply, payload: &[u8]) -> Result<(), Stop> {
        let text = BASE64_STANDARD.encode(payload);
        let has_it = |data: &Map<String, Value>| data.values().any(|value| value.as_str() == Some(&text));
        if !matches!(self, Self::Echo(_)) || reply.data().is_some_and(has_it) {
            return Ok(());
        }
        let bytes = payload.len();
        let expected = format!("`data` in which one value is the payload of {bytes} bytes, in base64 (--echo)");
        Err(failed(Section::Payload, expected, reply.shown()))
    }
}
