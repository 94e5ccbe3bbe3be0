//! A bus in another crate, which was written from the docs of `ixt_host::bus` alone: it passes the conformance suite, and modules of two
//! hosts call each other over it.

use std::sync::Arc;
use std::time::Duration;

use ixt_host::bus::{Bus, conformance};
use ixt_host::{CallError, CallOptions, Host, HostError, Priority};
use ixt_tests::{Broker, Hosts, block_on};
use serde_json::{Value, json};

const A: &str = "[provides]\nservices = [\"a\"]";
const B: &str = "[provides]\nservices = [\"b\"]";
const IDLESS: &str = "[config]\non_init = { type = \"string\", default = \"idless\" }";

async fn start(hosts: &Hosts, broker: &Broker) -> Result<Host, HostError> {
    let mut builder = hosts.builder();
    builder.bus(broker.connect());
    let host = builder.start().await?;
    host.ready().await.unwrap();
    Ok(host)
}

async fn ask(host: &Host, topic: &str, script: Value) -> Result<Value, CallError> {
    let data = host.call(topic, script.to_string().as_bytes(), CallOptions::default()).await?;
    Ok(data.read().unwrap())
}

fn call(topic: &str, with: &Value) -> Value {
    json!({ "do": "call", "topic": topic, "with": with })
}

#[test]
fn it_conforms_within_one_host_and_between_two() {
    block_on(async {
        let one: Arc<dyn Bus> = Broker::default().connect();
        conformance::check(Arc::clone(&one), one).await;
        let broker = Broker::default();
        conformance::check(broker.connect(), broker.connect()).await;
    });
}

#[test]
fn modules_of_two_hosts_call_each_other_and_hear_of_each_others_events() {
    block_on(async {
        let broker = Broker::default();
        let here = Hosts::new().actor("a", A);
        let there = Hosts::new().actor("b", &format!("{B}\n[requires]\nservices = [\"a\"]\nevents = [\"e\"]"));
        let (here, there) = (start(&here, &broker).await.unwrap(), start(&there, &broker).await.unwrap());

        // From here to there, and back.
        let script = call("b", &call("a", &json!({ "do": "tell" }))).to_string();
        let options = CallOptions { priority: Priority::High, ttl: Some(Duration::from_secs(30)) };
        let first: Value = here.call("a", script.as_bytes(), options).await.unwrap().read().unwrap();
        let told = &first["data"]["data"];
        assert_eq!(told["context"]["source_module"], "b:1.0.0", "{first}");
        assert_eq!((&told["priority"], told["context"]["trace_id"].as_str().unwrap().len()), (&json!(3), 32));
        let ttl = told["ttl_ms"].as_u64().unwrap();
        assert!((1..=30_000).contains(&ttl), "{ttl} ms of 30 s");

        // An error, and that there is no provider, come back to the caller.
        let failed = ask(&here, "a", call("b", &json!({ "do": "fail", "code": "OWN" }))).await.unwrap();
        assert_eq!(
            (&failed["code"], &failed["details"], &failed["retryable"]),
            (&json!("OWN"), &json!({ "why": "told" }), &json!(true))
        );
        let Err(CallError::Replied(nobody)) = ask(&there, "c", Value::Null).await else { panic!("nobody provides it") };
        assert_eq!(nobody.code, "NOT_FOUND");

        here.publish("e", br#"{"event":1}"#).await.unwrap();
        let events = ask(&there, "b", json!({ "do": "events", "least": 1 })).await.unwrap();
        assert_eq!(events["events"], json!([1]));

        // With its host its topics are gone.
        there.shutdown().await;
        let Err(CallError::Replied(gone)) = ask(&here, "b", Value::Null).await else { panic!("nobody provides it") };
        assert_eq!(gone.code, "NOT_FOUND");
        here.shutdown().await;
    });
}

#[test]
fn a_call_that_another_host_has_when_it_is_dropped_is_lost() {
    block_on(async {
        let broker = Broker::default();
        let here = start(&Hosts::new(), &broker).await.unwrap();
        let modules = Hosts::new().actor("b", B);
        let there = start(&modules, &broker).await.unwrap();
        let mut logs = there.logs().follow_all();
        let waiting = {
            let here = here.clone();
            tokio::spawn(async move { ask(&here, "b", json!({ "do": "wait", "for": "nothing" })).await })
        };
        while !logs.next().await.unwrap().message.contains("waits for nothing") {}
        drop(there);
        assert!(matches!(waiting.await.unwrap(), Err(CallError::Gone { .. })));
        here.shutdown().await;
    });
}

#[test]
fn a_topic_has_one_provider_among_all_hosts_and_a_host_that_does_not_start_keeps_none() {
    block_on(async {
        let broker = Broker::default();
        let first = start(&Hosts::new().actor("first", A), &broker).await.unwrap();
        let second = Hosts::new().actor("b", B).actor("second", A);
        let error = start(&second, &broker).await.unwrap_err();
        assert_eq!(error.to_string(), "both `another host` and `second` provide `a`: a topic has one provider");
        let third = start(&Hosts::new().actor("b", B), &broker).await.expect("`b` is free");
        first.shutdown().await;
        third.shutdown().await;
    });
}

#[test]
fn a_call_that_comes_back_to_a_host_whose_only_process_waits_for_it_is_refused_there() {
    block_on(async {
        let broker = Broker::default();
        let here = start(&Hosts::new().actor("a", &format!("{A}\n{IDLESS}")), &broker).await.unwrap();
        let there = start(&Hosts::new().actor("b", B), &broker).await.unwrap();
        let refused = ask(&here, "a", call("b", &call("a", &json!({ "do": "tell" })))).await.unwrap();
        let message = refused["data"]["message"].as_str().unwrap();
        assert_eq!(refused["data"]["code"], "FAILED_PRECONDITION", "{refused}");
        assert!(message.contains("(called from `a:1.0.0/instance-001`, then `b:1.0.0/instance-001`)"), "{message}");
        here.shutdown().await;
        there.shutdown().await;
    });
}
