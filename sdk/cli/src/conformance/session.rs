//! One process of the module and the conversation with it: numbers requests, brings replies to them, and holds everything
//! that the module sends against the protocol.

use std::fmt::Write as _;
use std::io;
use std::process::ExitStatus;
use std::time::{Duration, Instant, SystemTime};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value, json};

use super::process::{Process, describe};
use super::report::{Stop, failed};
use super::wire::{Framing, MAX_FRAME_BYTES, Received, Wire, shown};

const REPLIES: &str = "Requests and replies";
const MODULE: &str = "Module to host";
/// A `starting` asks for no longer than this.
const MAX_EXTEND_MS: u64 = 60 * 60 * 1000;

/// A reply of the right shape.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) id: Option<u64>,
    frame: Map<String, Value>,
}

impl Reply {
    /// The data, if it is a success.
    pub(super) fn data(&self) -> Option<&Map<String, Value>> {
        self.frame.get("data").filter(|_| self.frame["type"] == "success").and_then(Value::as_object)
    }

    /// The code, if it is an error.
    pub(super) fn code(&self) -> Option<&str> {
        self.frame.get("code").filter(|_| self.frame["type"] == "error").and_then(Value::as_str)
    }

    /// Whether it answers a `health_check`.
    pub(super) fn is_health(&self) -> bool {
        self.data().is_some_and(|data| data.get("healthy").is_some_and(Value::is_boolean))
    }

    /// For people.
    pub(super) fn shown(&self) -> String {
        show(&self.frame)
    }
}

/// What `init` offers.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    pub(super) version: u64,
    pub(super) max_frame_bytes: usize,
    pub(super) framings: &'static [&'static str],
}

impl Default for Offer {
    fn default() -> Self {
        Self { version: 1, max_frame_bytes: MAX_FRAME_BYTES, framings: &["line"] }
    }
}

pub(super) struct Session {
    pub(super) process: Process,
    pub(super) wire: Wire,
    /// How long anything may take.
    pub(super) patience: Duration,
    pub(super) id: String,
    last_id: u64,
    /// The last `init`.
    init: Option<u64>,
    /// Requests without a reply, the oldest first.
    pub(super) outstanding: Vec<u64>,
    /// Whether its replies have ids, as far as that is known.
    pub(super) ids: Option<bool>,
    /// Whether it answers a `health_check` as it should: there is a check of its own for that.
    pub(super) tells_health: bool,
    /// The requests that it made itself.
    pub(super) service_requests: Vec<String>,
}

impl Session {
    pub(super) fn new(process: Process, wire: Wire, patience: Duration, id: String) -> Self {
        Self {
            process,
            wire,
            patience,
            id,
            last_id: 0,
            init: None,
            outstanding: Vec::new(),
            ids: None,
            tells_health: false,
            service_requests: Vec::new(),
        }
    }

    /// Sends a request and waits for its reply.
    pub(super) fn request(&mut self, kind: &str, fields: &Value) -> Result<Reply, Stop> {
        let id = self.send(kind, fields)?;
        self.reply_to(id)
    }

    /// Sends a request.
    pub(super) fn send(&mut self, kind: &str, fields: &Value) -> Result<u64, Stop> {
        let id = self.expect_reply();
        if kind == "init" {
            self.init = Some(id);
        }
        let sent = self.wire.send(frame(kind, id, fields).as_bytes());
        self.sent(sent)?;
        Ok(id)
    }

    /// The number of a request that is about to be sent.
    pub(super) fn expect_reply(&mut self) -> u64 {
        self.last_id += 1;
        self.outstanding.push(self.last_id);
        self.last_id
    }

    /// Whether it took what was sent.
    pub(super) fn sent(&mut self, sent: io::Result<()>) -> Result<(), Stop> {
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => failed(
                "Framing",
                "the module reads what the host sends",
                format!("it reads nothing for {:?}", self.patience),
            ),
            _ => self.gone("the module reads what the host sends"),
        })
    }

    pub(super) fn init(&mut self, config: &Value, offer: &Offer) -> Result<Reply, Stop> {
        let fields = self.init_fields(config, offer);
        self.request("init", &fields)
    }

    pub(super) fn init_fields(&self, config: &Value, offer: &Offer) -> Value {
        let Offer { version, max_frame_bytes, framings } = offer;
        json!({ "config": config, "module_id": self.id, "protocol": {
            "version": version, "max_frame_bytes": max_frame_bytes, "framings": framings, "features": ["starting", "ready"],
        }})
    }

    pub(super) fn handle(&mut self, topic: &str, payload: &[u8], ttl_ms: u64) -> Result<Reply, Stop> {
        let mut fields = message(topic, payload);
        fields["message"]["ttl_ms"] = ttl_ms.into();
        self.request("handle", &fields)
    }

    /// Checks that the module lives, and that it has nothing more to say about what came before.
    pub(super) fn lives(&mut self) -> Result<(), Stop> {
        let reply = self.request("health_check", &json!({}))?;
        // One that has no id is known only by what is in it.
        if reply.is_health() || !self.tells_health {
            return Ok(());
        }
        Err(failed(REPLIES, "`health_check` is answered, and nothing was answered before that", reply.shown()))
    }

    /// The reply to a request.
    pub(super) fn reply_to(&mut self, id: u64) -> Result<Reply, Stop> {
        let reply = self.next_reply()?;
        let answered = reply.id.or_else(|| self.outstanding.first().copied());
        match answered.and_then(|answered| self.outstanding.iter().position(|waits| *waits == answered)) {
            Some(position) => {
                let answered = self.outstanding.remove(position);
                if answered == id {
                    return Ok(reply);
                }
                Err(failed(REPLIES, format!("a reply to the request {id}"), reply.shown()))
            }
            None => Err(failed(REPLIES, waits_for(&self.outstanding), reply.shown())),
        }
    }

    /// The reply that comes next, whatever it answers.
    pub(super) fn next_reply(&mut self) -> Result<Reply, Stop> {
        match self.reply_or_end()? {
            Some(reply) => Ok(reply),
            None => Err(self.gone(&waits_for(&self.outstanding))),
        }
    }

    /// The same; `None` if the module closes its connection instead. Answers the module's own requests.
    pub(super) fn reply_or_end(&mut self) -> Result<Option<Reply>, Stop> {
        let mut deadline = Instant::now() + self.patience;
        loop {
            let frame = match self.wire.receive(deadline) {
                Received::Frame(frame) => frame,
                Received::NoFrame(what) => {
                    return Err(failed("Framing", "nothing but frames, each a JSON object", what));
                }
                Received::Closed => return Ok(None),
                Received::TimedOut => {
                    let came = format!("nothing within {:?}", self.patience);
                    return Err(failed(REPLIES, waits_for(&self.outstanding), came));
                }
            };
            match frame.get("type").and_then(Value::as_str) {
                Some("success" | "error") => return self.reply(frame).map(Some),
                Some("service_request") => self.service_request(&frame)?,
                // What it takes back was answered at once.
                Some("cancel") if frame.get("id").is_some_and(Value::is_u64) => {}
                Some("log") => {
                    let expected = "`log` only where `init` offers it: here, log lines go to stderr";
                    return Err(failed(MODULE, expected, show(&frame)));
                }
                Some("starting") => deadline = deadline.max(Instant::now() + self.starting(&frame)?),
                Some("ready") if frame.get("ready").is_some_and(Value::is_boolean) => {}
                Some("ready") => return Err(failed(MODULE, "`ready` with `ready`, true or false", show(&frame))),
                _ => {
                    let expected =
                        "frames of the types success, error, service_request, cancel, log, starting and ready";
                    return Err(failed(MODULE, expected, show(&frame)));
                }
            }
        }
    }

    /// Checks a `starting`, and gives for how long it asks.
    fn starting(&self, frame: &Map<String, Value>) -> Result<Duration, Stop> {
        if !self.init.is_some_and(|id| self.outstanding.contains(&id)) {
            return Err(failed(MODULE, "`starting` only before the reply to `init`", show(frame)));
        }
        let extend_ms = frame.get("extend_ms").map_or(Some(0), Value::as_u64);
        match extend_ms {
            Some(extend_ms) if frame.get("message").is_none_or(Value::is_string) => {
                Ok(Duration::from_millis(extend_ms.min(MAX_EXTEND_MS)))
            }
            _ => {
                let expected =
                    "`starting` with `message`, which is text, and `extend_ms`, an unsigned integer, or without";
                Err(failed(MODULE, expected, show(frame)))
            }
        }
    }

    /// Checks the shape of a reply.
    fn reply(&mut self, frame: Map<String, Value>) -> Result<Reply, Stop> {
        let wrong = |expected: &str| Err(failed(MODULE, expected, show(&frame)));
        let is = |key: &str, test: fn(&Value) -> bool| frame.get(key).is_none_or(test);
        if frame["type"] == "success" {
            if !frame.get("data").is_some_and(Value::is_object) {
                return wrong("`success` with `data`, which is an object");
            }
        } else {
            if !frame.get("code").and_then(Value::as_str).is_some_and(is_code) {
                return wrong("`error` with `code`, which is an upper-case word");
            }
            if !frame.get("message").is_some_and(Value::is_string) {
                return wrong("`error` with `message`, which is text");
            }
            if !is("details", |details| details.is_object() || details.is_null()) {
                return wrong("`details` that are an object, or none");
            }
            if !is("retryable", Value::is_boolean) {
                return wrong("`retryable` that is true or false, or none");
            }
        }
        let id = match frame.get("id").map(Value::as_u64) {
            None => None,
            Some(None) if frame["id"].is_null() => None,
            Some(Some(id)) => Some(id),
            Some(None) => return Err(failed(REPLIES, "an `id` that is an unsigned integer, or none", show(&frame))),
        };
        if *self.ids.get_or_insert(id.is_some()) == id.is_some() {
            return Ok(Reply { id, frame });
        }
        Err(failed(REPLIES, "every reply has the `id` of its request, or none has one", show(&frame)))
    }

    /// Answers a request of the module as a host does that runs it alone.
    fn service_request(&mut self, frame: &Map<String, Value>) -> Result<(), Stop> {
        let text = |key: &str| frame.get(key).and_then(Value::as_str);
        let id = frame.get("id").and_then(Value::as_u64);
        let (Some(id), Some(service), Some(method), Some(Value::Object(_))) =
            (id, text("service"), text("method"), frame.get("params"))
        else {
            let expected =
                "`service_request` with `id`, an unsigned integer, `service`, `method`, and `params`, an object";
            return Err(failed(MODULE, expected, show(frame)));
        };
        let name = format!("{service}.{method}");
        let message = format!("this host runs one module alone: it has no `{name}`");
        self.service_requests.push(name);
        let response = json!({ "success": false, "code": "UNIMPLEMENTED", "message": message, "retryable": false });
        let sent = self.wire.send(self::frame("service_response", id, &response).as_bytes());
        self.sent(sent)
    }

    /// Sends no more, and checks that the module has nothing more to say. Returns whether it has closed the connection.
    pub(super) fn end(&mut self, patience: Duration) -> Result<bool, Stop> {
        self.wire.close_output();
        self.nothing_more(patience)
    }

    /// Checks that nothing comes until the module closes its connection; `false` if it does not.
    pub(super) fn nothing_more(&mut self, patience: Duration) -> Result<bool, Stop> {
        let deadline = Instant::now() + patience;
        loop {
            match self.wire.receive(deadline) {
                Received::Closed => return Ok(true),
                Received::TimedOut => return Ok(false),
                Received::NoFrame(what) => {
                    return Err(failed("Framing", "nothing but frames, each a JSON object", what));
                }
                Received::Frame(frame) => {
                    let kind = frame.get("type").and_then(Value::as_str);
                    if let Some("success" | "error") = kind {
                        return Err(failed(
                            REPLIES,
                            "exactly one reply to each request",
                            format!("one more: {}", show(&frame)),
                        ));
                    }
                }
            }
        }
    }

    /// The module has closed its connection.
    fn gone(&mut self, expected: &str) -> Stop {
        // It may be about to end.
        let status = self.process.wait(self.patience.min(Duration::from_secs(2)));
        failed("A life", expected, format!("it closed its connection: {}", ended(status)))
    }
}

/// Waits for nothing, or for a reply to some requests.
fn waits_for(outstanding: &[u64]) -> String {
    match outstanding {
        [] => "no reply: each request has had its one".to_owned(),
        [id] => format!("one reply to each request, and now that to the request {id}"),
        ids => format!("one reply to each request, and now that to one of the requests {ids:?}"),
    }
}

pub(super) fn ended(status: Option<ExitStatus>) -> String {
    status.map_or_else(|| "its process still runs".to_owned(), describe)
}

fn is_code(code: &str) -> bool {
    code.starts_with(|c: char| c.is_ascii_uppercase())
        && code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

fn show(frame: &Map<String, Value>) -> String {
    shown(Value::Object(frame.clone()).to_string().as_bytes())
}

/// A frame, `type` and `id` first.
pub(super) fn frame(kind: &str, id: u64, fields: &Value) -> String {
    let mut frame = format!(r#"{{"type":"{kind}","id":{id}"#);
    for (key, value) in fields.as_object().into_iter().flatten() {
        // Writing to a string does not fail.
        let _ = write!(frame, ",{}:{value}", Value::from(key.as_str()));
    }
    frame.push('}');
    frame
}

/// The fields of a `handle` or an `event`.
pub(super) fn message(topic: &str, payload: &[u8]) -> Value {
    let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let source = concat!(env!("CARGO_PKG_NAME"), "-conformance:", env!("CARGO_PKG_VERSION"));
    json!({
        "message": { "topic": topic, "payload": BASE64_STANDARD.encode(payload), "priority": 2 },
        "context": { "trace_id": "conformance", "source_module": source, "timestamp": timestamp },
    })
}

/// How the module wants its frames from the start.
pub(super) fn framing(manifest: &ixt_manifest::Manifest) -> Framing {
    match manifest.process.framing.as_deref() {
        Some("length") => Framing::Length,
        _ => Framing::Line,
    }
}
