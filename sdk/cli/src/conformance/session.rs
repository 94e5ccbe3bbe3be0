//! A conversation with one process of the module: numbers requests, matches replies to them, answers the module's own
//! requests, and checks everything that the module sends against the protocol.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::frame::{self, Offer, message};
use super::process::ModuleProcess;
use super::reply::{ModuleReply, show};
use super::section::Section;
use super::verdict::{Stop, failed};
use super::wire::{HostWire, Incoming};

/// The longest extension by one `starting` frame, in milliseconds: an hour. A longer one counts as an hour, as in a
/// host.
const MAX_EXTEND_MS: u64 = 60 * 60 * 1000;
/// How long to wait for the exit of a process that has closed its connection, if the timeout is not shorter. After that
/// the verdict says that it still runs.
const EXIT_WAIT: Duration = Duration::from_secs(2);

/// A connection to one process, from its start to its end. All methods that wait block the thread. Dropping it kills
/// the process.
pub(super) struct ModuleSession {
    pub(super) process: ModuleProcess,
    pub(super) wire: HostWire,
    /// How long the module has for each step.
    pub(super) timeout: Duration,
    /// The id that `init` tells the module.
    module_id: String,
    /// The id of the last request; 0 before the first.
    last_id: u64,
    /// The id of the last `init`. `None` before the first.
    init_id: Option<u64>,
    /// The ids of the requests without a reply, the oldest first.
    pub(super) outstanding: Vec<u64>,
    /// Whether the module's replies have ids. `None` before its first reply, if the facts are not known.
    pub(super) replies_have_ids: Option<bool>,
    /// Whether the module answers `health_check` as the protocol demands. If not, one check reports that, and the
    /// others accept any reply to it. `false` until the facts are known.
    pub(super) answers_health_check: bool,
    /// The requests that the module has made itself, as `SERVICE.METHOD`, in their order.
    pub(super) service_requests: Vec<String>,
}

impl ModuleSession {
    /// A session with a process that has connected. It sends nothing.
    pub(super) fn new(process: ModuleProcess, wire: HostWire, timeout: Duration, module_id: String) -> Self {
        Self {
            process,
            wire,
            timeout,
            module_id,
            last_id: 0,
            init_id: None,
            outstanding: Vec::new(),
            replies_have_ids: None,
            answers_health_check: false,
            service_requests: Vec::new(),
        }
    }

    /// Sends a request and waits for its reply, which may be an error. [`Stop::Failed`] if no reply comes in time or
    /// the module breaks a rule.
    pub(super) fn request(&mut self, kind: &str, fields: &Value) -> Result<ModuleReply, Stop> {
        let id = self.send(kind, fields)?;
        self.reply_to(id)
    }

    /// Sends a request, and returns its id without waiting for the reply. A reply to it is expected from now on.
    pub(super) fn send(&mut self, kind: &str, fields: &Value) -> Result<u64, Stop> {
        let id = self.expect_reply();
        if kind == "init" {
            self.init_id = Some(id);
        }
        let sent = self.wire.send(frame::frame(kind, id, fields).as_bytes());
        self.sent(sent)?;
        Ok(id)
    }

    /// Returns the next id, for a request that the caller sends itself. A reply to it is expected from now on.
    pub(super) fn expect_reply(&mut self) -> u64 {
        self.last_id += 1;
        self.outstanding.push(self.last_id);
        self.last_id
    }

    /// Turns an error of sending into a failed check: the module does not read, or has closed its connection.
    pub(super) fn sent(&mut self, sent: io::Result<()>) -> Result<(), Stop> {
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => failed(
                Section::Framing,
                "the module reads what the host sends",
                format!("it reads nothing for {:?}", self.timeout),
            ),
            _ => self.gone("the module reads what the host sends"),
        })
    }

    /// Sends `init`, and waits for its reply, which may be an error.
    pub(super) fn init(&mut self, config: &Value, offer: &Offer) -> Result<ModuleReply, Stop> {
        let fields = self.init_fields(config, offer);
        self.request("init", &fields)
    }

    /// The fields of an `init` for this process.
    pub(super) fn init_fields(&self, config: &Value, offer: &Offer) -> Value {
        frame::init(config, &self.module_id, offer)
    }

    /// Sends `init`, and checks that the module accepts it. Returns the reply.
    pub(super) fn initialize(&mut self, config: &Value, offer: &Offer) -> Result<ModuleReply, Stop> {
        let reply = self.init(config, offer)?;
        if reply.data().is_none() {
            let expected = "`success` to `init` with the manifest's defaults and what --config sets";
            return Err(failed(Section::Lifecycle, expected, reply.shown()));
        }
        Ok(reply)
    }

    /// Calls a service with a `ttl_ms`, and waits for its reply, which may be an error.
    pub(super) fn handle(&mut self, topic: &str, payload: &[u8], ttl_ms: u64) -> Result<ModuleReply, Stop> {
        let mut fields = message(topic, payload);
        fields["message"]["ttl_ms"] = ttl_ms.into();
        self.request("handle", &fields)
    }

    /// Checks with a `health_check` that the module is alive, and that it sends no second reply to an earlier request.
    /// The module may say that it is not healthy. If the facts say that it does not answer `health_check` as it should,
    /// any reply is accepted.
    pub(super) fn lives(&mut self) -> Result<(), Stop> {
        let reply = self.request("health_check", &json!({}))?;
        // A reply without an id is recognized by its data.
        if reply.is_health() || !self.answers_health_check {
            return Ok(());
        }
        Err(failed(Section::Replies, "`health_check` is answered, and nothing was answered before that", reply.shown()))
    }

    /// Waits for the reply to a request. A reply without an id answers the oldest request. A reply to another request
    /// is a failure.
    pub(super) fn reply_to(&mut self, id: u64) -> Result<ModuleReply, Stop> {
        let reply = self.next_reply()?;
        let answered = reply.id.or_else(|| self.outstanding.first().copied());
        match answered.and_then(|answered| self.outstanding.iter().position(|waits| *waits == answered)) {
            Some(position) => {
                let answered = self.outstanding.remove(position);
                if answered == id {
                    return Ok(reply);
                }
                Err(failed(Section::Replies, format!("a reply to the request {id}"), reply.shown()))
            }
            None => Err(failed(Section::Replies, waits_for(&self.outstanding), reply.shown())),
        }
    }

    /// Waits for the next reply, whichever request it answers. The caller removes its id from `outstanding`.
    pub(super) fn next_reply(&mut self) -> Result<ModuleReply, Stop> {
        match self.reply_or_end()? {
            Some(reply) => Ok(reply),
            None => Err(self.gone(&waits_for(&self.outstanding))),
        }
    }

    /// Waits for the next reply, for the timeout at most, or as long as `starting` frames ask for. `None` if the module
    /// closes its connection instead. Meanwhile the module's own requests are answered, and frames that break a rule
    /// are a failure.
    pub(super) fn reply_or_end(&mut self) -> Result<Option<ModuleReply>, Stop> {
        let mut deadline = Instant::now() + self.timeout;
        loop {
            let frame = match self.wire.receive(deadline) {
                Incoming::Frame(frame) => frame,
                Incoming::NoFrame(what) => {
                    return Err(failed(Section::Framing, "nothing but frames, each a JSON object", what));
                }
                Incoming::Closed => return Ok(None),
                Incoming::TimedOut => {
                    let came = format!("nothing within {:?}", self.timeout);
                    return Err(failed(Section::Replies, waits_for(&self.outstanding), came));
                }
            };
            match frame.get("type").and_then(Value::as_str) {
                Some("success" | "error") => return self.reply(frame).map(Some),
                Some("service_request") => self.service_request(&frame)?,
                // There is nothing to cancel: each service request is answered at once.
                Some("cancel") if frame.get("id").is_some_and(Value::is_u64) => {}
                Some("log") => {
                    let expected = "`log` only where `init` offers it: here, log lines go to stderr";
                    return Err(failed(Section::ModuleToHost, expected, show(&frame)));
                }
                Some("starting") => deadline = deadline.max(Instant::now() + self.starting(&frame)?),
                Some("ready") if frame.get("ready").is_some_and(Value::is_boolean) => {}
                Some("ready") => {
                    return Err(failed(Section::ModuleToHost, "`ready` with `ready`, true or false", show(&frame)));
                }
                _ => {
                    let expected =
                        "frames of the types success, error, service_request, cancel, log, starting and ready";
                    return Err(failed(Section::ModuleToHost, expected, show(&frame)));
                }
            }
        }
    }

    /// Checks a `starting` frame, and returns the time that it asks for, counted from now; 0 if it asks for none.
    fn starting(&self, frame: &Map<String, Value>) -> Result<Duration, Stop> {
        if !self.init_id.is_some_and(|id| self.outstanding.contains(&id)) {
            return Err(failed(Section::ModuleToHost, "`starting` only before the reply to `init`", show(frame)));
        }
        let extend_ms = frame.get("extend_ms").map_or(Some(0), Value::as_u64);
        match extend_ms {
            Some(extend_ms) if frame.get("message").is_none_or(Value::is_string) => {
                Ok(Duration::from_millis(extend_ms.min(MAX_EXTEND_MS)))
            }
            _ => {
                let expected =
                    "`starting` with `message`, which is text, and `extend_ms`, an unsigned integer, or without";
                Err(failed(Section::ModuleToHost, expected, show(frame)))
            }
        }
    }

    /// Checks the shape of a reply, and that either all replies have ids or none has one.
    fn reply(&mut self, frame: Map<String, Value>) -> Result<ModuleReply, Stop> {
        let reply = ModuleReply::read(frame)?;
        if *self.replies_have_ids.get_or_insert(reply.id.is_some()) == reply.id.is_some() {
            return Ok(reply);
        }
        Err(failed(Section::Replies, "every reply has the `id` of its request, or none has one", reply.shown()))
    }

    /// Answers a request of the module with `UNIMPLEMENTED`, at once: this host has no services, also none of those
    /// that each host of `ixt run` has. A request of the wrong shape, or without an `id`, is a failure.
    fn service_request(&mut self, frame: &Map<String, Value>) -> Result<(), Stop> {
        let text = |key: &str| frame.get(key).and_then(Value::as_str);
        let id = frame.get("id").and_then(Value::as_u64);
        let (Some(id), Some(service), Some(method), Some(Value::Object(_))) =
            (id, text("service"), text("method"), frame.get("params"))
        else {
            let expected =
                "`service_request` with `id`, an unsigned integer, `service`, `method`, and `params`, an object";
            return Err(failed(Section::ModuleToHost, expected, show(frame)));
        };
        let name = format!("{service}.{method}");
        let message = format!("this host runs one module alone: it has no `{name}`");
        self.service_requests.push(name);
        let response = json!({ "success": false, "code": "UNIMPLEMENTED", "message": message, "retryable": false });
        let sent = self.wire.send(frame::frame("service_response", id, &response).as_bytes());
        self.sent(sent)
    }

    /// Closes the host's end of the connection, and checks that no further reply comes. Returns whether the module has
    /// closed its end within `timeout`; `false` is no failure.
    pub(super) fn end(&mut self, timeout: Duration) -> Result<bool, Stop> {
        self.wire.close_output();
        self.no_more_replies(timeout)
    }

    /// Checks that no reply comes until the module closes its connection, or for `timeout`. Returns whether the module
    /// has closed it. Other frames are ignored, and service requests are not answered.
    pub(super) fn no_more_replies(&mut self, timeout: Duration) -> Result<bool, Stop> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.wire.receive(deadline) {
                Incoming::Closed => return Ok(true),
                Incoming::TimedOut => return Ok(false),
                Incoming::NoFrame(what) => {
                    return Err(failed(Section::Framing, "nothing but frames, each a JSON object", what));
                }
                Incoming::Frame(frame) => {
                    let kind = frame.get("type").and_then(Value::as_str);
                    if let Some("success" | "error") = kind {
                        return Err(failed(
                            Section::Replies,
                            "exactly one reply to each request",
                            format!("one more: {}", show(&frame)),
                        ));
                    }
                }
            }
        }
    }

    /// The failure of a check because the module has closed its connection. Waits a little for the exit status.
    fn gone(&mut self, expected: &str) -> Stop {
        let status = self.process.wait(self.timeout.min(EXIT_WAIT));
        failed(Section::Lifecycle, expected, format!("it closed its connection: {}", ended(status)))
    }
}

/// What the verdict says was expected while these requests have no reply.
fn waits_for(outstanding: &[u64]) -> String {
    match outstanding {
        [] => "no reply: each request has had its one".to_owned(),
        [id] => format!("one reply to each request, and now that to the request {id}"),
        ids => format!("one reply to each request, and now that to one of the requests {ids:?}"),
    }
}

/// How a process has ended, for people. `None`: it still runs.
pub(super) fn ended(status: Option<ExitStatus>) -> String {
    let Some(status) = status else { return "its process still runs".to_owned() };
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => format!("it ended with {status}"),
    }
}
