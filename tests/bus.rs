//! Modules that call each other and publish events, with real processes: which messages arrive, are refused, or wait.

use std::fs;
use std::time::Duration;

use ixt_host::Program;
use ixt_host::kv::SetOptions;
use ixt_host::{CallError, CallOptions, InstanceState, Priority};
use ixt_tests::{Hosts, block_on, build};
use serde_json::{Value, json};

const A: &str = "[provides]\nservices = [\"a\"]";
const B: &str = "[provides]\nservices = [\"b\"]";

/// A script for the actor: it calls another module.
#[expect(clippy::needless_pass_by_value, reason = "scripts are written in place, one in another")]
fn call(topic: &str, with: Value) -> Value {
    json!({ "do": "call", "topic": topic, "with": with })
}

#[test]
fn a_call_says_who_makes_it_in_which_trace_and_how_long_it_may_take() {
    block_on(async {
        let started = Hosts::new().actor("a", A).actor("b", B).start().await;
        // It claims to be part of another trace.
        let script = json!({ "do": "call", "topic": "b", "with": { "do": "call", "topic": "a", "with": { "do": "tell" } },
            "priority": 4, "ttl_ms": 60_000 });
        let options = CallOptions { priority: Priority::High, ttl: Some(Duration::from_secs(30)) };
        let first = started.ask_with("a", script, options).await.unwrap();
        assert_eq!(first["success"], true, "{first}");
        let second = &first["data"];
        assert_eq!(second["success"], true, "{second}");
        let told = &second["data"];
        assert_eq!(told["context"]["source_module"], "b:1.0.0");
        assert_eq!(told["context"]["trace_id"].as_str().unwrap().len(), 32);
        assert_eq!(told["priority"], 4, "as urgent as the call for which it is made");
        let ttl = told["ttl_ms"].as_u64().unwrap();
        assert!((1..=30_000).contains(&ttl), "{ttl} ms of 30 s, which is less than the 60 that were asked for");
    });
}

#[test]
fn a_call_is_as_urgent_as_the_request_for_which_it_is_made_unless_it_says_otherwise() {
    block_on(async {
        let b = format!("{B}\n[config]\non_init = {{ type = \"string\", default = \"idless\" }}");
        let started =
            Hosts::new().actor("a", A).actor("b", &b).actor("c", "[provides]\nservices = [\"c\"]").start().await;
        let tell = || json!({ "do": "tell" });
        let critical = CallOptions { priority: Priority::Critical, ttl: None };
        let priority = async |script: Value| {
            let answer = started.ask_with("a", script, critical).await.unwrap();
            answer["data"]["priority"].clone()
        };
        assert_eq!(priority(call("c", tell())).await, 4, "inherited");
        let low = json!({ "do": "call", "topic": "c", "with": tell(), "priority": 1 });
        assert_eq!(priority(low).await, 1, "an explicit 1 stays 1");
        let none = json!({ "do": "call", "topic": "c", "with": tell(), "context": { "trace_id": "mine" } });
        assert_eq!(priority(none).await, 1, "it is made for no request");
        // One that takes one request at a time need not say for which.
        let through = json!({ "do": "call", "topic": "c", "with": tell(), "context": { "trace_id": "mine" } });
        let answer = started.ask_with("b", through, critical).await.unwrap();
        assert_eq!(answer["data"]["priority"], 4, "{answer}");
    });
}

#[test]
fn a_module_can_not_change_the_trace_of_what_it_handles_nor_say_that_it_is_another() {
    block_on(async {
        let started = Hosts::new().actor("a", A).actor("b", B).start().await;
        let mine = started.ask("a", json!({ "do": "tell" })).await.unwrap();
        assert_ne!(mine["context"]["trace_id"], "mine");
        // Outside of a request it may begin a trace of its own.
        let params = json!({ "topic": "b", "payload": "eyJkbyI6InRlbGwifQ==" });
        let ask = |context: Value| json!({ "do": "ask", "service": "message_bus", "method": "send", "params": params, "context": context });
        let own = started.ask("a", ask(json!({ "trace_id": "mine", "source_module": "b:9.9.9" }))).await.unwrap();
        assert_eq!(
            own["data"]["context"],
            json!({ "trace_id": "mine", "source_module": "a:1.0.0",
            "timestamp": own["data"]["context"]["timestamp"] })
        );
        let unknown = started.ask("a", ask(json!({ "trace_id": "mine", "parent": 4711 }))).await.unwrap();
        assert_eq!(unknown["data"]["context"]["trace_id"], "mine", "a parent that is none is ignored");
    });
}

#[test]
fn an_error_comes_back_as_it_is() {
    block_on(async {
        let started = Hosts::new().actor("a", A).actor("b", B).start().await;
        let answer = started.ask("a", call("b", json!({ "do": "fail", "code": "OUT_OF_STOCK" }))).await.unwrap();
        assert_eq!(
            answer,
            json!({ "success": false, "code": "OUT_OF_STOCK", "message": "as told", "details": { "why": "told" }, "retryable": true })
        );
        let nobody = started.ask("a", call("nobody", Value::Null)).await.unwrap();
        assert_eq!(nobody["code"], "NOT_FOUND");
        assert_eq!(nobody["message"], "no module here provides `nobody`");
    });
}

#[test]
fn with_requires_a_module_may_call_only_what_stands_there() {
    block_on(async {
        let rest = "[provides]\nservices = [\"a\"]\nevents = [\"mine\"]\n[requires]\nservices = [\"b\"]";
        let c = "[provides]\nservices = [\"c\"]";
        let started = Hosts::new().actor("a", rest).actor("b", B).actor("c", c).start().await;
        assert_eq!(started.ask("a", call("b", Value::Null)).await.unwrap()["success"], true);
        let refused = started.ask("a", call("c", Value::Null)).await.unwrap();
        assert_eq!(refused["code"], "PERMISSION_DENIED");
        assert_eq!(refused["message"], "`a` may not call `c`: it is not in the `[requires] services` of its manifest");
        let publish = |topic: &str| json!({ "do": "ask", "service": "event_bus", "method": "publish", "params": { "topic": topic, "payload": "" } });
        assert_eq!(started.ask("a", publish("mine")).await.unwrap(), json!({ "success": true, "data": {} }));
        assert_eq!(started.ask("a", publish("other")).await.unwrap()["code"], "PERMISSION_DENIED");
    });
}

#[test]
fn modules_may_call_themselves_and_each_other_in_circles() {
    block_on(async {
        let started = Hosts::new().actor("a", A).actor("b", B).start().await;
        let script = call("b", call("a", call("a", call("b", json!({ "do": "tell" })))));
        let mut answer = started.ask("a", script).await.unwrap();
        for _ in 0..4 {
            assert_eq!(answer["success"], true, "{answer}");
            answer = answer["data"].take();
        }
        assert_eq!(answer["context"]["source_module"], "a:1.0.0");
    });
}

#[test]
fn a_call_ends_when_its_time_is_over_and_that_of_the_manifest_if_it_has_none() {
    block_on(async {
        let b = "[provides]\nservices = [\"b\"]\n[services.b]\nttl_ms = 50";
        let started = Hosts::new().actor("a", A).actor("b", b).start().await;
        let (code, message) = started.error("b", json!({ "do": "nothing" })).await;
        assert_eq!(code, "DEADLINE_EXCEEDED");
        assert_eq!(message, "the time for `b` is over, and b:1.0.0/instance-001 has not answered");
        let script = json!({ "do": "call", "topic": "a", "with": { "do": "nothing" }, "ttl_ms": 20 });
        let answer = started.ask("a", script).await.unwrap();
        assert_eq!(answer["code"], "DEADLINE_EXCEEDED");
        // What is over on arrival is not sent.
        let options = CallOptions { ttl: Some(Duration::ZERO), ..CallOptions::default() };
        let Err(CallError::Replied(reply)) = started.ask_with("a", Value::Null, options).await else { panic!() };
        assert_eq!(reply.message, "the time for `a` was over before `a` was asked");
    });
}

#[test]
fn a_payload_is_passed_on_as_it_is_in_both_framings() {
    block_on(async {
        // A module of the Rust SDK, which takes attachments, and one that takes lines.
        let fixture = Program::new(build("fixture"));
        let started = Hosts::new().actor("a", A).module("tests/fixture", fixture, &[("token", "t")]).start().await;
        // From 64 bytes on it is an attachment.
        for bytes in [2, 3, 63, 64, 1_000_000] {
            // The payload is JSON: a string with its quotes.
            let payload = "x".repeat(bytes - 2);
            let answer = started.ask("a", call("raw", json!(payload))).await.unwrap();
            assert_eq!(answer["data"]["length"], bytes, "{answer}");
        }
        let wrong = json!({ "do": "ask", "service": "message_bus", "method": "send",
            "params": { "topic": "raw", "payload": "no base64!" } });
        let answer = started.ask("a", wrong).await.unwrap();
        assert_eq!(answer["code"], "INVALID_INPUT", "{answer}");
        assert!(answer["message"].as_str().unwrap().contains("`message.payload`"), "{answer}");
    });
}

#[test]
fn several_processes_share_the_calls() {
    block_on(async {
        let started = Hosts::new().actors("a", A, 3).start().await;
        let waiting = async |name: &str| {
            let script = json!({ "do": "wait", "for": name });
            started.ask("a", script).await
        };
        let (one, two) = (waiting("one"), waiting("two"));
        tokio::pin!(one, two);
        // Both are on their way, each to a process of its own.
        std::future::poll_fn(|cx| {
            assert!(one.as_mut().poll(cx).is_pending());
            assert!(two.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
        let free = started.ask("a", json!({ "do": "tell" })).await.unwrap()["module_id"].clone();
        for _ in 0..10 {
            assert_eq!(started.ask("a", json!({ "do": "tell" })).await.unwrap()["module_id"], free);
        }
    });
}

#[test]
fn an_event_comes_to_every_module_that_wants_it_once() {
    block_on(async {
        let publisher = "[provides]\nservices = [\"p\"]\nevents = [\"e\"]";
        let one = "[provides]\nservices = [\"one\"]\n[requires]\nevents = [\"e\"]";
        let two = "[provides]\nservices = [\"two\"]\n[requires]\nevents = [\"e\"]";
        let started = Hosts::new().actor("p", publisher).actor("one", one).actor("two", two).start().await;
        let event = |number: u64| {
            let payload = ixt_tests::base64(json!({ "event": number }).to_string().as_bytes());
            json!({ "do": "ask", "service": "event_bus", "method": "publish", "params": { "topic": "e", "payload": payload } })
        };
        for number in 0..3 {
            assert_eq!(started.ask("p", event(number)).await.unwrap()["success"], true);
        }
        for topic in ["one", "two"] {
            let mut events = started.ask(topic, json!({ "do": "events", "least": 3 })).await.unwrap()["events"].take();
            // Each is handled by a thread of its own.
            events.as_array_mut().unwrap().sort_by_key(Value::as_u64);
            assert_eq!(events, json!([0, 1, 2]));
        }
        started.host.publish("e", br#"{"event":3}"#).await.unwrap();
        started.ask("one", json!({ "do": "events", "least": 4 })).await.unwrap();
    });
}

#[test]
fn a_slow_subscriber_holds_up_nobody_and_its_losses_are_counted() {
    block_on(async {
        let slow = "[provides]\nservices = [\"slow\"]\n[requires]\nevents = [\"e\"]";
        let fast = "[provides]\nservices = [\"fast\"]\n[requires]\nevents = [\"e\"]";
        let mut started = Hosts::new().actor("slow", slow).actor("fast", fast).start().await;
        // It takes 64 at once, and 1,024 more wait for it.
        let event = |number: u64| json!({ "event": number, "do": "wait", "for": "release" }).to_string();
        for number in 0..64 + 1024 + 5 {
            let payload = event(number);
            // The fast one handles each of them before the next.
            let release = json!({ "do": "release", "name": "release" });
            if number == 0 {
                started.ask("fast", release).await.unwrap();
            }
            started.host.publish("e", payload.as_bytes()).await.unwrap();
            if number % 512 == 0 {
                started.ask("fast", json!({ "do": "events", "least": number + 1 })).await.unwrap();
            }
        }
        started.ask("fast", json!({ "do": "events", "least": 64 + 1024 + 5 })).await.unwrap();
        let (module, message) = started.logged("takes its events too slowly").await;
        assert_eq!(
            (module.as_str(), message.as_str()),
            ("slow:1.0.0", "takes its events too slowly: `e` was dropped (events dropped so far: 1)")
        );
        let status = started.host.status().into_iter().find(|module| module.name == "slow").unwrap();
        assert_eq!((status.events_waiting, status.events_dropped), (1024, 5));
        started.ask("slow", json!({ "do": "release", "name": "release" })).await.unwrap();
        started.ask("slow", json!({ "do": "events", "least": 64 + 1024 })).await.unwrap();
    });
}

#[test]
fn a_module_keeps_values_of_its_own() {
    block_on(async {
        let started = Hosts::new().actors("a", A, 2).actor("b", B).start().await;
        let kv = |method: &str, params: Value| json!({ "do": "ask", "service": "kv_store", "method": method, "params": params });
        let set = started.ask("a", kv("set", json!({ "key": "k", "value": "aGk=" }))).await.unwrap();
        let revision = set["data"]["revision"].as_u64().unwrap();
        // Both processes have the same.
        for _ in 0..2 {
            let got = started.ask("a", kv("get", json!({ "key": "k" }))).await.unwrap();
            assert_eq!(got["data"], json!({ "found": true, "value": "aGk=", "revision": revision }));
        }
        let other = started.ask("b", kv("get", json!({ "key": "k" }))).await.unwrap();
        assert_eq!(other["data"], json!({ "found": false }), "another module has keys of its own");
        let stale = kv("set", json!({ "key": "k", "value": "", "expected_revision": revision + 1 }));
        let stale = started.ask("a", stale).await.unwrap();
        assert_eq!((&stale["code"], &stale["details"]), (&json!("ABORTED"), &json!({ "revision": revision })));
        let wrong = started.ask("a", kv("set", json!({ "key": "", "value": "" }))).await.unwrap();
        assert_eq!(wrong["code"], "INVALID_INPUT");
        let wrong = started.ask("a", kv("set", json!({ "key": "k", "value": "?" }))).await.unwrap();
        assert!(wrong["message"].as_str().unwrap().starts_with("`params.value`: not base64"), "{wrong}");
        let listed = started.ask("a", kv("list", json!({ "prefix": "" }))).await.unwrap();
        assert_eq!(listed["data"], json!({ "keys": ["k"] }));
        assert_eq!(
            started.ask("a", kv("exists", json!({ "key": "k" }))).await.unwrap()["data"],
            json!({ "exists": true })
        );
        let deleted = started.ask("a", kv("delete", json!({ "key": "k" }))).await.unwrap();
        assert_eq!(deleted["data"], json!({ "deleted": true }));
        let none = started.ask("a", kv("shred", json!({}))).await.unwrap();
        assert_eq!(
            (&none["code"], &none["message"]),
            (&json!("UNIMPLEMENTED"), &json!("this host has no `kv_store.shred`"))
        );
    });
}

#[test]
fn a_module_is_told_of_changes_that_it_watches() {
    block_on(async {
        let started = Hosts::new().actor("a", A).start().await;
        let kv = |method: &str, params: Value| json!({ "do": "ask", "service": "kv_store", "method": method, "params": params });
        let watch = started.ask("a", kv("watch", json!({ "prefix": "x/" }))).await.unwrap()["data"]["watch"].take();
        for key in ["x/1", "y/1"] {
            started.ask("a", kv("set", json!({ "key": key, "value": "aGk=" }))).await.unwrap();
        }
        started.ask("a", kv("delete", json!({ "key": "x/1" }))).await.unwrap();
        started.ask("a", kv("set", json!({ "key": "x/2", "value": "", "ttl_ms": 1 }))).await.unwrap();
        // The last is that its time is over. What follows quickly may be told at once: of a key the last change.
        let changes = started.ask("a", json!({ "do": "changes", "least": 2 })).await.unwrap()["changes"].take();
        let of = |key: &str| changes.as_array().unwrap().iter().filter(|change| change["key"] == *key).count();
        assert!(of("x/1") >= 1 && of("y/1") == 0, "{changes}");
        assert_eq!(changes[0]["watch"], watch);
        let unwatched = started.ask("a", kv("unwatch", json!({ "watch": watch }))).await.unwrap();
        assert_eq!(unwatched["success"], true);
        let told = started.ask("a", json!({ "do": "changes", "least": 0 })).await.unwrap()["changes"]
            .as_array()
            .unwrap()
            .len();
        started.ask("a", kv("set", json!({ "key": "x/3", "value": "" }))).await.unwrap();
        let after = started.ask("a", json!({ "do": "changes", "least": 0 })).await.unwrap()["changes"]
            .as_array()
            .unwrap()
            .len();
        assert_eq!(told, after, "nothing comes after `unwatch`");
    });
}

#[test]
fn a_change_that_does_not_fit_into_a_frame_ends_the_watch() {
    block_on(async {
        let mut hosts = Hosts::new().actor("a", A);
        hosts.settings.max_frame_bytes = 64 * 1024;
        let mut started = hosts.start().await;
        let watch = json!({ "do": "ask", "service": "kv_store", "method": "watch", "params": { "prefix": "x" } });
        let watch = started.ask("a", watch).await.unwrap()["data"]["watch"].take();
        started.host.kv().set("a", "x", vec![0; 100_000], SetOptions::default()).await.unwrap();
        let (module, message) = started.logged("watches the key").await;
        assert_eq!(module, "a:1.0.0/instance-001");
        assert!(
            message.starts_with("watches the key `x`, whose change has 133")
                && message.ends_with(
                    " bytes as a frame, more than max_frame_bytes (65536): the watch was ended, and the change is lost"
                ),
            "{message}"
        );
        let changes = started.ask("a", json!({ "do": "changes", "least": 1 })).await.unwrap()["changes"].take();
        assert_eq!(changes, json!([{ "type": "kv_watch_ended", "watch": watch }]));
    });
}

#[test]
fn requests_in_the_form_of_the_rust_sdk_are_taken_in_lines_too() {
    block_on(async {
        let a = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]\n[requires]\nevents = [\"e\"]\nservices = [\"a\"]";
        let started = Hosts::new().actor("a", a).start().await;
        let request = |id: u32, service: &str, method: &str, params: &str| {
            let text = format!(
                "{{\"type\":\"service_request\",\"id\":{id},\"service\":\"{service}\",\"method\":\"{method}\",\
                 \"params\":{params},\"context\":{{\"trace_id\":\"t\"}}}}\n"
            );
            json!({ "do": "write", "text": text })
        };
        let payload = |text: &Value| ixt_tests::base64(text.to_string().as_bytes());
        let published = format!(r#"{{"payload":"{}","topic":"e"}}"#, payload(&json!({ "event": "published" })));
        started.ask("a", request(1, "event_bus", "publish", &published)).await.unwrap();
        let told = json!({ "topic": "e", "payload": payload(&json!({ "event": "called" })) });
        let told = json!({ "do": "ask", "service": "event_bus", "method": "publish", "params": told });
        let called = format!(r#"{{"payload":"{}","topic":"a","priority":4,"ttl_ms":60000}}"#, payload(&told));
        started.ask("a", request(2, "message_bus", "send", &called)).await.unwrap();
        // An escape is as good as what it stands for, and is no base64 only if that is none.
        let escaped = json!({ "event": "escaped" });
        let published = format!(r#"{{"payload":"\u0065{}","topic":"e"}}"#, &payload(&escaped)[1..]);
        started.ask("a", request(3, "event_bus", "publish", &published)).await.unwrap();
        let set = r#"{"value":"aGk=","key":"k","ttl_ms":60000}"#;
        let mut changes = started.host.kv().watch("a", "k").await.unwrap();
        started.ask("a", request(4, "kv_store", "set", set)).await.unwrap();

        // The module has not waited for the responses to the call and the write.
        let events = started.ask("a", json!({ "do": "events", "least": 3 })).await.unwrap();
        let mut events: Vec<_> = events["events"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        events.sort_unstable();
        assert_eq!(events, ["called", "escaped", "published"]);
        let change =
            tokio::time::timeout(Duration::from_secs(60), changes.next()).await.expect("it is written").unwrap();
        assert_eq!(change.value.as_deref(), Some(&b"hi"[..]));
    });
}

#[test]
fn a_module_that_sends_nonsense_is_answered_where_that_is_possible() {
    block_on(async {
        let mut started = Hosts::new().actor("a", A).start().await;
        let write = |text: &str| json!({ "do": "write", "text": text });
        started.ask("a", write("{\"type\":\"success\",\"id\":4711,\"data\":{}}\n")).await.unwrap();
        assert_eq!(started.logged("4711").await.1, "skipped a reply to the request 4711 that nobody waits for");
        let garbage = started.error("a", write("\u{0}\u{1}garbage\n")).await;
        assert_eq!(garbage.0, "INTERNAL");
        assert!(garbage.1.contains("not a frame: expected an object"), "{}", garbage.1);
        assert!(started.logged("not a frame").await.1.ends_with("what waited for a reply got an error"));
        started.ask("a", json!({ "do": "twice" })).await.unwrap();
        started.logged("that nobody waits for").await;
        let long = started.error("a", json!({ "do": "size", "bytes": 17_000_000 })).await;
        assert_eq!(long.0, "INTERNAL");
        assert!(long.1.contains("is over the limit of 16777216 bytes"), "{}", long.1);
        let wrong = json!({ "do": "ask", "service": "message_bus", "method": "send", "params": { "topic": 7 } });
        let wrong = started.ask("a", wrong).await.unwrap();
        assert_eq!(wrong["code"], "INVALID_INPUT");
        assert!(wrong["message"].as_str().unwrap().starts_with("`params.topic`: "), "{wrong}");
        let unknown = json!({ "do": "ask", "service": "coffee", "method": "make", "params": {} });
        assert_eq!(started.ask("a", unknown).await.unwrap()["message"], "this host has no `coffee.make`");
    });
}

#[test]
fn modules_that_take_one_request_at_a_time_do_not_wait_for_each_other_for_ever() {
    block_on(async {
        let idless = "[config]\non_init = { type = \"string\", default = \"idless\" }";
        let mut hosts = Hosts::new().actor("a", &format!("{A}\n{idless}")).actor("b", &format!("{B}\n{idless}"));
        hosts.settings.call_timeout = Duration::from_millis(200);
        let started = hosts.start().await;
        let both = [("a", "b"), ("b", "a")].map(|(one, other)| {
            let host = started.host.clone();
            let script = call(other, json!({ "do": "tell" })).to_string();
            tokio::spawn(async move { host.call(one, script.as_bytes(), CallOptions::default()).await })
        });
        for each in both {
            // The call that came first has made the other wait.
            let answer: Value = each.await.unwrap().unwrap().read().unwrap();
            assert!(answer["success"] == true || answer["code"] == "DEADLINE_EXCEEDED", "{answer}");
        }
        for topic in ["a", "b"] {
            started.ask(topic, json!({ "do": "tell" })).await.unwrap();
        }
    });
}

#[test]
fn events_that_come_of_events_go_on_for_long_and_hold_nothing() {
    block_on(async {
        let rest = "[provides]\nservices = [\"a\"]\nevents = [\"e\"]\n[requires]\nevents = [\"e\"]";
        let started = Hosts::new().actor("a", rest).start().await;
        started.host.publish("e", br#"{"echo":true,"left":5000}"#).await.unwrap();
        started.ask("a", json!({ "do": "events", "least": 1 })).await.unwrap();
    });
}

#[test]
fn calls_that_go_round_in_a_circle_come_to_an_end() {
    block_on(async {
        let started = Hosts::new().actor("a", A).actor("b", B).start().await;
        let end = started.ask("a", json!({ "do": "round", "one": "a", "other": "b" })).await.unwrap();
        assert_eq!(end["code"], "RESOURCE_EXHAUSTED", "{end}");
        assert!(
            end["message"].as_str().unwrap().ends_with("a chain of 1000 calls: they go round in a circle"),
            "{end}"
        );
    });
}

#[test]
fn large_events_wait_for_one_that_comes_late() {
    block_on(async {
        let late = "[provides]\nservices = [\"late\"]\n[requires]\nevents = [\"e\"]";
        let mut started = Hosts::new().actor("late", late).start().await;
        started.host.stop("late").await.unwrap();
        let restarted = started.host.clone();
        // Being started it is not there yet, but will be.
        let start = tokio::spawn(async move { restarted.restart("late").await });
        while started.host.status()[0].instances[0].state == InstanceState::Stopped {
            tokio::task::yield_now().await;
        }
        let payload = json!({ "event": 1, "padding": "x".repeat(200_000) }).to_string();
        for _ in 0..200 {
            started.host.publish("e", payload.as_bytes()).await.unwrap();
        }
        start.await.unwrap().unwrap();
        started.ask("late", json!({ "do": "events", "least": 200 })).await.unwrap();
        assert_eq!(started.host.status()[0].events_dropped, 0);
        drop(started.lines());
    });
}

#[test]
fn requests_for_one_that_takes_one_at_a_time_wait_by_priority() {
    block_on(async {
        let rest = format!("{A}\n[config]\non_init = {{ type = \"string\", default = \"idless\" }}");
        let mut started = Hosts::new().actor("a", &rest).start().await;
        let host = started.host.clone();
        let ask = |script: Value, priority| {
            let host = host.clone();
            let options = CallOptions { priority, ttl: None };
            async move { host.call("a", script.to_string().as_bytes(), options).await }
        };
        let busy = tokio::spawn(ask(json!({ "do": "wait", "for": "file", "file": "go" }), Priority::Low));
        started.logged("waits for file").await;
        let mut calls = Vec::new();
        for priority in [Priority::Low, Priority::Critical, Priority::Normal, Priority::Critical, Priority::High] {
            let mut call = Box::pin(ask(json!({ "do": "tell" }), priority));
            // A call is sent when it is waited for first.
            std::future::poll_fn(|cx| {
                assert!(call.as_mut().poll(cx).is_pending());
                std::task::Poll::Ready(())
            })
            .await;
            calls.push(call);
        }
        fs::write(started.files.path().join("a/go"), "").unwrap();
        busy.await.unwrap().unwrap();
        let mut places = Vec::new();
        for call in calls {
            let answer: Value = call.await.unwrap().read().unwrap();
            places.push(answer["handled"].as_u64().unwrap() - 1);
        }
        assert_eq!(places, [5, 1, 4, 2, 3]);
    });
}
