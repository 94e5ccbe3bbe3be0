//! The same module in Rust, Python and Node.js with one host: each calls the others, stores values and logs. Those in Python and Node.js
//! handle one request at a time, and answer without ids.

use ixt_host::{CallOptions, Priority, Program};
use ixt_tests::{Hosts, Started, block_on, build, needs};
use serde_json::{Value, json};

const LANGUAGES: [&str; 3] = ["rust", "python", "node"];

async fn hosts() -> Started {
    needs("python3");
    needs("node");
    Hosts::new()
        .module("tests/polyglot/rust", Program::new(build("pair")), &[])
        .artifact("tests/polyglot/python")
        .await
        .artifact("tests/polyglot/node")
        .await
        .start()
        .await
}

#[test]
fn each_calls_each() {
    block_on(async {
        let started = hosts().await;
        let urgent = CallOptions { priority: Priority::Critical, ttl: None };
        for caller in LANGUAGES {
            for callee in LANGUAGES.iter().filter(|callee| **callee != caller || caller == "rust") {
                let relay = json!({ "topic": format!("{callee}.echo"), "payload": "grüß dich", "ttl_ms": 60_000 });
                let answer = started.ask_with(&format!("{caller}.relay"), relay, urgent).await.unwrap();
                assert_eq!(
                    answer["result"],
                    ixt_tests::base64("grüß dich".as_bytes()),
                    "{caller} calls {callee}: {answer}"
                );
                assert_eq!(answer["source_module"], format!("{caller}-pair:1.0.0"), "{answer}");
                assert_eq!(answer["module_id"], format!("{callee}-pair:1.0.0/instance-001"), "{answer}");
                assert_eq!(answer["priority"], 4, "it was not said, and so inherited: {answer}");
                assert_eq!(answer["trace_id"].as_str().unwrap().len(), 32, "{answer}");
                let nobody = json!({ "topic": "nobody", "payload": "" });
                assert_eq!(started.error(&format!("{caller}.relay"), nobody).await.0, "NOT_FOUND");
            }
        }
    });
}

#[test]
fn one_that_takes_one_request_at_a_time_and_calls_itself_is_told_so() {
    block_on(async {
        let started = hosts().await;
        for language in ["python", "node"] {
            let relay = json!({ "topic": format!("{language}.echo"), "payload": "" });
            let (code, message) = started.error(&format!("{language}.relay"), relay).await;
            assert_eq!(code, "FAILED_PRECONDITION");
            let expected = format!(
                "`{language}-pair` handles one request at a time, and `{language}.echo` is called from it: it would wait \
                 for itself (called from `{language}-pair:1.0.0/instance-001`)"
            );
            assert_eq!(message, expected);
            // Through another one too.
            let inner = json!({ "topic": format!("{language}.echo"), "payload": "" }).to_string();
            let relay = json!({ "topic": "rust.relay", "payload": inner });
            let (code, message) = started.error(&format!("{language}.relay"), relay).await;
            assert_eq!(code, "FAILED_PRECONDITION");
            assert!(
                message.ends_with(&format!(
                    "(called from `{language}-pair:1.0.0/instance-001`, then `rust-pair:1.0.0/instance-001`)"
                )),
                "{message}"
            );
        }
    });
}

#[test]
fn requests_for_one_that_takes_one_at_a_time_each_get_their_own_reply() {
    block_on(async {
        let started = hosts().await;
        let mut calls = Vec::new();
        for number in 0..50 {
            let host = started.host.clone();
            calls.push(tokio::spawn(async move {
                host.call("python.echo", number.to_string().as_bytes(), CallOptions::default()).await
            }));
        }
        for (number, call) in calls.into_iter().enumerate() {
            let answer: Value = call.await.unwrap().unwrap().read().unwrap();
            assert_eq!(answer["result"], ixt_tests::base64(number.to_string().as_bytes()));
        }
    });
}

#[test]
fn each_keeps_values_and_logs() {
    block_on(async {
        let mut started = hosts().await;
        for language in LANGUAGES {
            let kv = async |request: Value| started.ask(&format!("{language}.kv"), request).await.unwrap();
            // A long value is attached, where the module's frames can do that.
            for value in [language.to_owned(), language.repeat(20_000)] {
                let set = kv(json!({ "op": "set", "key": "k", "value": value })).await;
                let got = kv(json!({ "op": "get", "key": "k" })).await;
                let value = ixt_tests::base64(value.as_bytes());
                assert_eq!(got, json!({ "found": true, "value": value, "revision": set["revision"] }), "{language}");
            }
            assert_eq!(kv(json!({ "op": "exists", "key": "k" })).await, json!({ "exists": true }));
            assert_eq!(kv(json!({ "op": "delete", "key": "k" })).await, json!({ "deleted": true }));
            assert_eq!(kv(json!({ "op": "get", "key": "k" })).await, json!({ "found": false }));
        }
        for language in LANGUAGES {
            let text = format!("{language} says that it is late");
            started.host.call(&format!("{language}.log"), text.as_bytes(), CallOptions::default()).await.unwrap();
            let expected = (format!("{language}-pair:1.0.0/instance-001"), text.clone());
            // On stderr, or as a frame, and by `logging.log`.
            assert_eq!(started.logged(&text).await, expected);
            assert_eq!(started.logged(&text).await, expected);
        }
        assert_eq!(started.host.shutdown().await, [""; 0], "each ends as it should");
    });
}

#[test]
fn each_says_what_it_does_while_it_starts() {
    block_on(async {
        let mut started = hosts().await;
        let lines = started.lines();
        for language in ["Rust", "Python", "Node.js"] {
            assert!(lines.contains(&format!("is starting: learns {language}")), "{lines:?}");
        }
    });
}
