//! A module made of a socket and lines of JSON, for tests of the host. The payload of each request is a script, `{ "do": … }`, which says
//! what it does; each request has a thread. Its name and its topics are those of the manifest that it is started with.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::{env, process, thread};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

struct Actor {
    writer: Mutex<UnixStream>,
    last_id: AtomicU64,
    calls: Mutex<HashMap<u64, Sender<Value>>>,
    handled: AtomicU64,
    /// The names that were released; in the next field, the events that came.
    released: Mutex<Vec<String>>,
    changed: Condvar,
    events: Mutex<Vec<Value>>,
    changes: Mutex<Vec<Value>>,
    unwell: AtomicBool,
    deaf: AtomicBool,
    idless: AtomicBool,
}

fn main() {
    let socket = env::var("IXT_IPC_SOCKET").expect("started by a host");
    let stream = UnixStream::connect(socket).expect("the host listens");
    let actor = Arc::new(Actor {
        writer: Mutex::new(stream.try_clone().expect("a socket can be cloned")),
        last_id: AtomicU64::new(100),
        calls: Mutex::default(),
        handled: AtomicU64::new(0),
        released: Mutex::default(),
        changed: Condvar::new(),
        events: Mutex::default(),
        changes: Mutex::default(),
        unwell: AtomicBool::new(false),
        deaf: AtomicBool::new(false),
        idless: AtomicBool::new(false),
    });
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let frame: Value = serde_json::from_str(&line).expect("the host writes JSON");
        actor.receive(frame);
        while actor.deaf.load(Ordering::SeqCst) {
            thread::park();
        }
    }
}

/// The script in the payload of a message.
fn script(frame: &Value) -> Value {
    let payload = STANDARD.decode(frame["message"]["payload"].as_str().unwrap_or_default()).unwrap_or_default();
    serde_json::from_slice(&payload).unwrap_or(Value::Null)
}

impl Actor {
    fn receive(self: &Arc<Self>, frame: Value) {
        let id = frame["id"].clone();
        match frame["type"].as_str().unwrap_or_default() {
            "init" => match frame["config"]["on_init"].as_str() {
                Some("exit") => {
                    eprintln!("no reason to live");
                    process::exit(7);
                }
                Some("hang") => {}
                Some("die once") if !exists("died") => {
                    std::fs::write("died", "").expect("it is its own directory");
                    process::exit(8);
                }
                // It asks for time until there is a file.
                Some("migrate") => {
                    self.send(&json!({ "type": "starting", "message": "migrates", "extend_ms": 3_600_000 }));
                    let this = Arc::clone(self);
                    thread::spawn(move || {
                        while !exists("go") {
                            thread::yield_now();
                        }
                        this.success(&id, json!({}));
                    });
                }
                // It takes no calls until there is a file.
                Some("warms up") => {
                    self.send(&json!({ "type": "ready", "ready": false }));
                    self.success(&id, json!({}));
                    let this = Arc::clone(self);
                    thread::spawn(move || {
                        while !exists("go") {
                            thread::yield_now();
                        }
                        this.send(&json!({ "type": "ready", "ready": true }));
                    });
                }
                // It fails until there is a file.
                Some("needs database") if !exists("database") => {
                    eprintln!("no database");
                    process::exit(1);
                }
                // From now on its replies have no ids, and it gets one request at a time.
                Some("idless") => {
                    self.idless.store(true, Ordering::SeqCst);
                    self.success(&id, json!({}));
                }
                _ => self.success(&id, json!({})),
            },
            "health_check" if self.unwell.load(Ordering::SeqCst) => {
                self.success(&id, json!({ "healthy": false, "reason": "told to" }));
            }
            "health_check" => self.success(&id, json!({ "healthy": true })),
            "shutdown" => {
                if exists("die") {
                    process::exit(9);
                }
                if exists("hang") {
                    loop {
                        thread::park();
                    }
                }
                while exists("busy") {
                    thread::yield_now();
                }
                self.success(&id, json!({}));
                process::exit(0);
            }
            "service_response" => {
                let call = frame["id"].as_u64().and_then(|id| self.calls.lock().unwrap().remove(&id));
                if let Some(call) = call {
                    let _ = call.send(frame);
                }
            }
            "kv_change" | "kv_watch_ended" => {
                self.changes.lock().unwrap().push(frame);
                self.changed.notify_all();
            }
            kind @ ("handle" | "event") => {
                let (this, kind) = (Arc::clone(self), kind.to_owned());
                // By the thread that reads: it would take one more frame.
                let goes_deaf = script(&frame)["do"] == "deaf";
                let work = move || this.handle(&kind, &id, &frame);
                if goes_deaf {
                    work();
                } else {
                    thread::spawn(work);
                }
            }
            _ => {}
        }
    }

    #[expect(clippy::too_many_lines, reason = "a table of what it can do")]
    fn handle(&self, kind: &str, id: &Value, frame: &Value) {
        self.handled.fetch_add(1, Ordering::SeqCst);
        let script = script(frame);
        if script["echo"] == true {
            // An event that comes of an event.
            let left = script["left"].as_u64().unwrap_or_default();
            if left > 0 {
                let again = json!({ "echo": true, "left": left - 1 });
                let payload = STANDARD.encode(again.to_string());
                let params = json!({ "topic": frame["message"]["topic"], "payload": payload });
                self.ask("event_bus", "publish", &params, id, &Value::Null);
            }
        }
        if kind == "event" && (script["echo"] != true || script["left"] == 0) {
            self.events.lock().unwrap().push(script["event"].clone());
            self.changed.notify_all();
        }
        let text = |key: &str| script[key].as_str().unwrap_or_default().to_owned();
        match text("do").as_str() {
            // Who asks, how, and what.
            "tell" => {
                let mut told = frame["message"].as_object().cloned().unwrap_or_default();
                told.insert("context".to_owned(), frame["context"].clone());
                told.insert("module_id".to_owned(), env::var("IXT_MODULE_ID").unwrap_or_default().into());
                told.insert("pid".to_owned(), process::id().into());
                told.insert("handled".to_owned(), self.handled.load(Ordering::SeqCst).into());
                self.success(id, Value::Object(told));
            }
            "variable" => self.success(id, json!({ "value": env::var(text("name")).ok() })),
            // Another program, which is then one that this has started.
            "run" => {
                let args: Vec<_> = script["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
                let output = process::Command::new(args[0]).args(&args[1..]).output().expect("it can be started");
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
                self.success(id, json!({ "status": output.status.code(), "stdout": stdout, "stderr": stderr }));
            }
            // A request to the host; its response is the answer.
            "ask" => {
                let response = self.ask(&text("service"), &text("method"), &script["params"], id, &script["context"]);
                self.success(id, response);
            }
            // A call of another module, with a script for that one.
            "call" => {
                let mut params = Map::new();
                params.insert("topic".to_owned(), script["topic"].clone());
                params.insert("payload".to_owned(), STANDARD.encode(script["with"].to_string()).into());
                for key in ["ttl_ms", "priority"] {
                    if !script[key].is_null() {
                        params.insert(key.to_owned(), script[key].clone());
                    }
                }
                let response = self.ask("message_bus", "send", &Value::Object(params), id, &script["context"]);
                self.success(id, response);
            }
            // It calls the other, which calls it, and so on.
            "round" => {
                let with = json!({ "do": "round", "one": script["other"], "other": script["one"] });
                let params = json!({ "topic": script["other"], "payload": STANDARD.encode(with.to_string()) });
                let mut response = self.ask("message_bus", "send", &params, id, &Value::Null);
                // Only the end of it is of interest, and the way there is long.
                if response["success"] == true {
                    response = response["data"].take();
                }
                self.success(id, response);
            }
            "fail" => self.send(&json!({ "type": "error", "id": id, "code": text("code"), "message": "as told",
                "details": { "why": "told" }, "retryable": true })),
            // Until there is a file: one that takes one request at a time can't be told in another way.
            "wait" if !script["file"].is_null() => {
                self.log("info", &format!("waits for {}", text("for")));
                while !exists(&text("file")) {
                    thread::yield_now();
                }
                self.success(id, json!({ "waited": true }));
            }
            "wait" => {
                self.log("info", &format!("waits for {}", text("for")));
                let mut released = self.released.lock().unwrap();
                while !released.contains(&text("for")) {
                    released = self.changed.wait(released).unwrap();
                }
                drop(released);
                self.success(id, json!({ "waited": true }));
            }
            "release" => {
                self.released.lock().unwrap().push(text("name"));
                self.changed.notify_all();
                self.success(id, json!({}));
            }
            // All events, once there are at least this many.
            "events" => {
                let events = self.collected(&self.events, &script["least"]);
                self.success(id, json!({ "events": events }));
            }
            "changes" => {
                let changes = self.collected(&self.changes, &script["least"]);
                self.success(id, json!({ "changes": changes }));
            }
            "unwell" => {
                self.unwell.store(true, Ordering::SeqCst);
                self.success(id, json!({}));
            }
            "touch" => {
                std::fs::write(text("file"), "").expect("it is its own directory");
                self.success(id, json!({}));
            }
            // It ends, unless it has done so before.
            "exit once" if exists("exited") => {
                self.success(id, json!({ "handled": self.handled.load(Ordering::SeqCst) }));
            }
            "exit once" => {
                std::fs::write("exited", "").expect("it is its own directory");
                eprintln!("goodbye");
                process::exit(3);
            }
            "last words" => {
                self.success(id, json!({ "said": "goodbye" }));
                process::exit(0);
            }
            "exit" => {
                eprintln!("goodbye");
                process::exit(3);
            }
            "print" => {
                for number in 0..script["times"].as_u64().unwrap_or(1) {
                    println!("{} {number}", text("text"));
                }
                self.success(id, json!({}));
            }
            // It reads nothing any more.
            "deaf" => {
                self.deaf.store(true, Ordering::SeqCst);
                self.success(id, json!({}));
            }
            "twice" => {
                self.success(id, json!({}));
                self.success(id, json!({}));
            }
            // Whatever is written, and then the answer.
            "write" => {
                self.writer.lock().unwrap().write_all(text("text").as_bytes()).unwrap();
                self.success(id, json!({}));
            }
            "size" => {
                let bytes = script["bytes"].as_u64().and_then(|bytes| usize::try_from(bytes).ok());
                self.success(id, json!({ "data": "x".repeat(bytes.unwrap_or_default()) }));
            }
            "nothing" => {}
            _ => {
                self.success(id, json!({ "topic": frame["message"]["topic"], "payload": frame["message"]["payload"] }));
            }
        }
    }

    /// Waits for at least `least` values, and returns them.
    fn collected(&self, values: &Mutex<Vec<Value>>, least: &Value) -> Vec<Value> {
        let least = least.as_u64().and_then(|least| usize::try_from(least).ok()).unwrap_or_default();
        let mut values = values.lock().unwrap();
        while values.len() < least {
            values = self.changed.wait(values).unwrap();
        }
        values.clone()
    }

    fn ask(&self, service: &str, method: &str, params: &Value, parent: &Value, context: &Value) -> Value {
        let id = self.last_id.fetch_add(1, Ordering::SeqCst);
        let (sender, response) = channel();
        self.calls.lock().unwrap().insert(id, sender);
        let context = if context.is_null() { json!({ "parent": parent }) } else { context.clone() };
        self.send(
            &json!({ "type": "service_request", "id": id, "service": service, "method": method, "params": params,
            "context": context }),
        );
        let mut response = response.recv().unwrap_or(Value::Null);
        if let Some(response) = response.as_object_mut() {
            response.remove("type");
            response.remove("id");
        }
        response
    }

    fn log(&self, level: &str, message: &str) {
        self.send(&json!({ "type": "log", "level": level, "message": message, "fields": { "pid": process::id() } }));
    }

    #[expect(clippy::needless_pass_by_value, reason = "data are written in place")]
    fn success(&self, id: &Value, data: Value) {
        self.send(&json!({ "type": "success", "id": id, "data": data }));
    }

    fn send(&self, frame: &Value) {
        let mut frame = frame.clone();
        if self.idless.load(Ordering::SeqCst)
            && (frame["type"] == "success" || frame["type"] == "error")
            && let Some(frame) = frame.as_object_mut()
        {
            frame.remove("id");
        }
        // The host may be gone.
        let _ = self.writer.lock().unwrap().write_all(format!("{frame}\n").as_bytes());
    }
}

/// Whether the working directory has this file.
fn exists(name: &str) -> bool {
    std::path::Path::new(name).exists()
}
