//! The lines of the host's log about calls, events and processes.

use std::sync::Arc;
use std::time::Duration;

use ixt_host::logs::{Origin, Part, Record};
use ixt_host::{Build, CallOptions, Config, Deployment, Host, LogLevel, Module, Program, Settings};
use ixt_tests::{Hosts, Started, block_on, build, needs};
use serde_json::{Value, json};

const A: &str = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]";

fn fields(record: &Record) -> Value {
    record.fields.as_ref().map_or(Value::Null, |fields| serde_json::from_str(fields.get()).unwrap())
}

/// Makes a call from the host that has to fail.
async fn fails(started: &Started, topic: &str, payload: &str, ttl: Option<Duration>) {
    let options = CallOptions { ttl, ..CallOptions::default() };
    started.host.call(topic, payload.as_bytes(), options).await.unwrap_err();
}

#[test]
fn each_failure_is_a_line_that_says_what_for_whom_how_and_why() {
    block_on(async {
        let b = "[provides]\nservices = [\"b\"]\n[requires]\nservices = [\"a\", \"gone\"]\nevents = [\"e\"]";
        let mut started = Hosts::new().restarting(5).actor("a", A).actor("b", b).start().await;

        // By the module, for another one, in the trace of the first call.
        let fail = json!({ "do": "fail", "code": "INTERNAL" });
        started.ask("b", json!({ "do": "call", "topic": "a", "with": fail })).await.unwrap();
        let record = started.record("the call `a` of b:1.0.0 failed after").await;
        assert!(record.message.ends_with(" ms: INTERNAL: as told"), "{}", record.message);
        assert_eq!((record.level, record.origin), (LogLevel::Error, Origin::Host));
        assert_eq!((record.module.as_str(), record.trace_id.len()), ("a:1.0.0/instance-001", 32));
        let told = fields(&record);
        assert_eq!((&told["call"], &told["caller"]), (&json!("a"), &json!("b:1.0.0")), "{told}");
        assert_eq!((&told["code"], &told["outcome"]), (&json!("INTERNAL"), &json!("answered")), "{told}");
        assert!(told["ms"].as_f64().unwrap() > 0.0, "{told}");

        // An answer of the module's own is no fault.
        fails(&started, "a", r#"{"do":"fail","code":"OUT_OF_STOCK"}"#, None).await;
        assert_eq!(started.record("OUT_OF_STOCK: as told").await.level, LogLevel::Info);

        fails(&started, "a", r#"{"do":"nothing"}"#, Some(Duration::from_millis(20))).await;
        let record = started.record("the call `a` of ixt-host:").await;
        assert!(record.message.contains(" timed out after ") && record.level == LogLevel::Warn, "{}", record.message);

        // A topic that no module provides, and one that it may not call.
        for (topic, code) in [("gone", "NOT_FOUND"), ("b", "PERMISSION_DENIED")] {
            started.ask("b", json!({ "do": "call", "topic": topic, "with": null })).await.unwrap();
            let record = started.record(&format!("the call `{topic}` of b:1.0.0 was refused")).await;
            assert!(record.message.contains(code) && record.level == LogLevel::Warn, "{}", record.message);
            assert!(record.module.starts_with("b:1.0.0") && !record.trace_id.is_empty());
        }

        // The error of an event's handler is in the log only.
        started.host.publish("e", br#"{"do":"fail","code":"OUT_OF_STOCK"}"#).await.unwrap();
        let record = started.record("the event `e` of ixt-host:").await;
        assert_eq!((record.level, &fields(&record)["event"]), (LogLevel::Warn, &json!("e")));

        fails(&started, "a", r#"{"do":"exit"}"#, None).await;
        let record = started.record(" was lost after ").await;
        assert_eq!(record.level, LogLevel::Error);
        assert!(record.message.ends_with("ended while it handled `a`: it exited with status 3"), "{}", record.message);

        // What went well has no line.
        started.logged("is ready").await;
        started.ask("a", json!({ "do": "tell" })).await.unwrap();
        started.host.stop("a").await.unwrap();
        started.logged("has ended").await;
        fails(&started, "a", "", None).await;
        let record = started.logs_next().await;
        assert!(record.message.contains("was refused: "), "{}", record.message);
        assert!(record.message.ends_with("UNAVAILABLE: `a` is stopped"), "{}", record.message);
    });
}

#[test]
fn every_call_is_told_if_that_is_wanted() {
    block_on(async {
        let mut hosts = Hosts::new().actor("a", A);
        hosts.settings.log_calls = true;
        let mut started = hosts.start().await;
        started.ask("a", json!({ "do": "tell" })).await.unwrap();
        let record = started.record(" succeeded in ").await;
        assert!(record.message.starts_with("the call `a` of ixt-host:"), "{}", record.message);
        assert_eq!((record.level, &fields(&record)["outcome"]), (LogLevel::Info, &json!("answered")));
    });
}

#[test]
fn a_panic_is_one_error_with_its_message_place_and_origin() {
    block_on(async {
        let fixture = Program::new(build("fixture"));
        let mut started = Hosts::new().module("tests/fixture", fixture, &[("token", "t")]).start().await;
        let mut panicked = async |payload: &str| {
            let _ = started.host.call("panic", payload.as_bytes(), CallOptions::default()).await;
            started.record("panicked at").await
        };
        let record = panicked("").await;
        let place = "tests/fixture/src/lib.rs:";
        let message = format!("the handler of `panic` panicked at {place}");
        assert!(record.message.starts_with(&message) && record.message.ends_with(": with a secret"), "{record:?}");
        assert_eq!((record.level, record.origin, record.trace_id.len()), (LogLevel::Error, Origin::Module, 32));
        let told = fields(&record);
        assert_eq!(told["topic"], "panic");
        assert!(told["location"].as_str().unwrap().starts_with(place), "{told}");
        let backtrace = told["backtrace"].as_str().unwrap();
        assert!(backtrace.lines().next().unwrap().contains("Fixture"), "the author's part comes first: {backtrace}");
        assert!(!backtrace.contains("catch_unwind"), "{backtrace}");

        let record = panicked("elsewhere").await;
        assert!(record.message.starts_with(&format!("the thread `helper` panicked at {place}")), "{record:?}");
        assert!(record.message.ends_with(": far away\nin two lines"), "{record:?}");
        assert_eq!((record.level, &fields(&record)["topic"]), (LogLevel::Error, &Value::Null));

        started.host.stop("fixture").await.unwrap();
        let rest = started.rest().await;
        assert!(!rest.iter().any(|line| line.contains("panicked at") || line.contains("backtrace")), "{rest:?}");
    });
}

#[test]
fn what_a_process_writes_has_the_level_of_its_logger_and_a_long_line_its_pieces() {
    block_on(async {
        let mut started = Hosts::new().actor("a", A).start().await;
        let print = async |started: &mut Started, text: &str, found: &str| -> Arc<Record> {
            started.ask("a", json!({ "do": "print", "text": text })).await.unwrap();
            started.record(found).await
        };
        let record = print(&mut started, "WARNING:root:the disk is almost full", "almost full").await;
        assert_eq!((record.level, record.origin, record.part), (LogLevel::Warn, Origin::Stdout, None));
        let record =
            print(&mut started, r#"{"level":50,"msg":"it is full","trace_id":"t1","free":0}"#, "it is full").await;
        // The actor writes a number behind it, so that it is no JSON.
        assert_eq!(record.level, LogLevel::Info);

        let text = format!("ERROR x{}", "\u{e9}".repeat(50_000));
        let first = print(&mut started, &text, "x\u{e9}").await;
        let last = started.record("\u{e9} 0").await;
        assert_eq!((first.part, last.part), (Some(Part::First), Some(Part::Last)));
        assert_eq!((first.level, last.level), (LogLevel::Error, LogLevel::Error));
        assert_eq!(format!("ERROR {}{}", first.message, last.message), format!("{text} 0"));
    });
}

#[test]
fn a_log_frame_that_is_too_long_is_cut_and_says_so() {
    block_on(async {
        let mut started = Hosts::new().actor("a", A).start().await;
        let write = async |started: &Started, frame: Value| {
            started.ask("a", json!({ "do": "write", "text": format!("{frame}\n") })).await.unwrap();
        };
        let message = format!("long {}", "x".repeat(70_000));
        write(&started, json!({ "type": "log", "level": "info", "message": message })).await;
        let record = started.record("long x").await;
        assert_eq!(record.message, format!("{}… (70005 bytes)", &message[..65_536]));
        let fields = json!({ "a": "x".repeat(70_000) });
        write(&started, json!({ "type": "log", "level": "info", "message": "short", "fields": fields })).await;
        let record = started.record("short").await;
        assert_eq!((&*record.message, record.fields.is_none()), ("short (its fields are too long)", true));
    });
}

#[test]
fn what_python_prints_and_logs_is_there_at_once() {
    needs("python3");
    block_on(async {
        let main = "import logging, os, socket, sys, time
logging.basicConfig(level=logging.DEBUG)
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ['IXT_IPC_SOCKET'])
f = s.makefile('rwb')
f.readline()
f.write(b'{\"type\":\"success\",\"id\":1,\"data\":{}}\\n')
f.flush()
print('to find a mistake')
logging.critical('all is lost')
logging.warning('almost')
print('{\"level\":50,\"msg\":\"it is full\",\"trace_id\":\"t1\",\"free\":0}')
while f.readline(): pass
";
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("main.py"), main).unwrap();
        let manifest = "schema_version = \"3.0\"\n[module]\nname = \"py\"\nversion = \"1.0.0\"\n[artifacts.process]\n\
                        path = \"main.py\"\ninterpreter = \"python3\"\n";
        std::fs::write(dir.path().join("manifest.toml"), manifest).unwrap();
        let module = Module::open(dir.path()).unwrap();
        let program = module.program(&Build::default(), &|_: &str| ()).await.unwrap();
        let mut builder = Host::builder(Settings::default());
        builder.module(Deployment::new(&module, program, &Config::of(module.manifest())).unwrap()).unwrap();
        let mut logs = builder.logs().follow_all();
        let host = builder.start().await.unwrap();
        // It runs on, and would keep them in its buffer.
        let mut seen = Vec::new();
        while seen.len() < 4 {
            let record = logs.next().await.unwrap();
            if record.origin != Origin::Host {
                seen.push((record.message.clone(), record.level, record.trace_id.clone(), fields(&record)));
            }
        }
        seen.sort_by(|a, b| a.0.cmp(&b.0));
        let is = |message: &str, level| (message.to_owned(), level, String::new(), Value::Null);
        assert_eq!(
            seen,
            [
                ("it is full".to_owned(), LogLevel::Error, "t1".to_owned(), json!({ "free": 0 })),
                is("root:all is lost", LogLevel::Error),
                is("root:almost", LogLevel::Warn),
                is("to find a mistake", LogLevel::Info),
            ]
        );
        host.shutdown().await;
    });
}
