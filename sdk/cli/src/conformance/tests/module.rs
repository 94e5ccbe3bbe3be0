//! A module that keeps to the protocol, unless [`BROKEN_RULE`] names a way to break it. Its replies have ids, and it knows lines only.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::exit;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::park;

use serde_json::{Value, json};

/// The environment variable that makes the test [`serve`] a module.
pub(super) const BROKEN_RULE: &str = "IXT_CONFORMANCE_TEST_BREAKS";

#[test]
fn serve() {
    let Ok(broken) = env::var(BROKEN_RULE) else { return };
    match broken.as_str() {
        "exits" => exit(7),
        "deaf" => wait_for_ever(),
        _ => {}
    }
    let stream = UnixStream::connect(env::var("IXT_IPC_SOCKET").unwrap()).unwrap();
    if broken == "stays" {
        signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::<AtomicBool>::default()).unwrap();
    }
    let lines = BufReader::new(stream.try_clone().unwrap());
    TestModule { broken, stream, lines, is_initialized: false, is_shut_down: false, limit: 16 << 20 }.run();
}

fn wait_for_ever() -> ! {
    loop {
        park();
    }
}

/// The module, in a process of its test program.
struct TestModule {
    /// The rule that it breaks; empty if it breaks none.
    broken: String,
    stream: UnixStream,
    lines: BufReader<UnixStream>,
    is_initialized: bool,
    is_shut_down: bool,
    /// The longest line that it reads, in bytes; `init` sets it.
    limit: u64,
}

impl TestModule {
    fn breaks(&self, rule: &str) -> bool {
        self.broken == rule
    }

    /// The next line; ends the process if there is none.
    fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        match self.lines.read_until(b'\n', &mut line) {
            Ok(1..) => {}
            _ if self.breaks("stays") => wait_for_ever(),
            _ => exit(0),
        }
        line.pop_if(|byte| *byte == b'\n');
        line
    }

    fn send(&mut self, frame: &Value) {
        // The host may have hung up.
        let _ = self.stream.write_all(format!("{frame}\n").as_bytes());
    }

    fn run(mut self) -> ! {
        loop {
            let line = self.line();
            if self.breaks("small") && line.len() > 1 << 20 {
                exit(1);
            }
            if line.len() as u64 > self.limit {
                continue;
            }
            match serde_json::from_slice::<Value>(&line) {
                Ok(frame) if frame["type"].is_string() && frame["id"].is_u64() => self.frame(&frame, &line),
                _ if self.breaks("garbage") => {
                    self.send(&json!({ "type": "error", "id": 0, "code": "INVALID_INPUT", "message": "what?" }));
                }
                _ if self.breaks("dies") => exit(1),
                _ => {}
            }
        }
    }

    /// Handles a request: sends the reply, and whatever else breaks the rule.
    fn frame(&mut self, frame: &Value, line: &[u8]) {
        let kind = frame["type"].as_str().unwrap();
        if kind == "service_response" || kind == "cancel" && !self.breaks("cancel") {
            return;
        }
        if self.breaks("silent") || self.breaks("forgets") && kind == "no_such_type" {
            return;
        }
        let is_first_init = kind == "init" && !self.is_initialized;
        let mut reply = match self.is_initialized {
            false if kind != "init" && !self.breaks("early") => error("FAILED_PRECONDITION"),
            true if kind == "init" => error("FAILED_PRECONDITION"),
            _ => self.answer(kind, frame, line),
        };
        let features = frame["protocol"]["features"].as_array();
        if is_first_init && features.is_some_and(|features| features.contains(&json!("starting"))) {
            let extend_ms = if self.breaks("extends") { json!("1") } else { json!(1) };
            self.send(&json!({ "type": "starting", "message": "begins", "extend_ms": extend_ms }));
            self.send(&json!({ "type": "ready", "ready": true }));
        }
        if is_first_init {
            self.is_initialized = true;
            self.limit = frame["protocol"]["max_frame_bytes"].as_u64().unwrap();
        }
        reply["id"] = frame["id"].clone();
        let id = frame["id"].as_u64().unwrap();
        #[expect(clippy::cast_precision_loss, reason = "this is how the rule is broken")]
        match self.broken.as_str() {
            "id" if kind == "handle" => reply["id"] = json!(id + 1),
            "double" if id > 1_000_000 => reply["id"] = json!(id as f64),
            "unnumbered" if kind == "health_check" => drop(reply.as_object_mut().unwrap().remove("id")),
            _ => {}
        }
        self.send(&reply);
        match self.broken.as_str() {
            "twice" if kind == "handle" => self.send(&reply),
            "late-starting" => self.send(&json!({ "type": "starting", "extend_ms": 1 })),
            "framing" if is_first_init => self.send(&json!({ "type": "ready", "ready": true })),
            "chats" => self.send(&json!({ "type": "log", "level": "info", "message": "hello" })),
            _ => {}
        }
        if kind == "shutdown" {
            if self.breaks("works-on") {
                self.is_shut_down = true;
                return;
            }
            exit(if self.breaks("status") { 3 } else { 0 });
        }
        if self.is_shut_down {
            exit(0);
        }
    }

    /// The reply to a request, without its id.
    fn answer(&mut self, kind: &str, frame: &Value, line: &[u8]) -> Value {
        let success = |data: Value| json!({ "type": "success", "data": data });
        let message = &frame["message"];
        match kind {
            "health_check" => success(match self.broken.as_str() {
                "health" => json!({ "healthy": "yes" }),
                "readiness" => json!({ "healthy": true, "ready": "no" }),
                _ => json!({ "healthy": true }),
            }),
            "init" => success(match self.broken.as_str() {
                "about" => json!({ "ixt": { "protocol": "one" } }),
                "version" => json!({ "ixt": { "protocol": 1 } }),
                "framing" if frame["protocol"]["framings"] == json!(["line", "length"]) => {
                    json!({ "ixt": { "framing": "length" } })
                }
                _ => json!({}),
            }),
            "shutdown" => success(json!({})),
            "event" if self.breaks("event") => json!({ "type": "success" }),
            "handle" | "event" => {
                let Some(topic) = message["topic"].as_str() else {
                    return if self.breaks("shapes") { success(json!({})) } else { error("INVALID_INPUT") };
                };
                let payload = message["payload"].as_str().filter(|payload| !payload.contains('!'));
                match payload {
                    Some(payload) => self.message(kind, topic, payload, frame, line),
                    None => error("INVALID_INPUT"),
                }
            }
            _ if self.breaks("types") => success(json!({})),
            _ => error("UNIMPLEMENTED"),
        }
    }

    /// The reply to a `handle` or an `event` of the right shape.
    fn message(&mut self, kind: &str, topic: &str, payload: &str, frame: &Value, line: &[u8]) -> Value {
        let has = |text: &[u8]| line.windows(text.len()).any(|window| window == text);
        match self.broken.as_str() {
            "mixes" => return json!({ "type": "success", "data": { "healthy": true } }),
            "urgent" if !frame["message"]["ttl_ms"].is_null() => return error("INVALID_INPUT"),
            "escapes" if has(b"\\u0061") => return error("INVALID_INPUT"),
            "fields" if !frame["new"].is_null() => return error("INVALID_INPUT"),
            "calls" => {
                self.send(
                    &json!({ "type": "service_request", "service": "message_bus", "method": "send", "params": {} }),
                );
                self.line();
            }
            "error" => return json!({ "type": "error", "code": "NO", "message": 5 }),
            "code" if topic != "give" => return json!({ "type": "error", "code": "unknown topic", "message": "?" }),
            _ => {}
        }
        match topic {
            "give" | "typed" if kind == "handle" => {
                let payload = if self.breaks("bytes") { payload.replace('/', "_") } else { payload.to_owned() };
                let data = if self.breaks("data") { json!([payload]) } else { json!({ "it": payload }) };
                json!({ "type": "success", "data": data })
            }
            "fails" if kind == "handle" && !self.breaks("topics") => error("SOLD_OUT"),
            _ => error("UNKNOWN_TOPIC"),
        }
    }
}

fn error(code: &str) -> Value {
    json!({ "type": "error", "code": code, "message": "no" })
}
