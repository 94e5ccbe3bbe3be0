//! The requests that a module makes to its host, and the events that it handles. The host is made of raw bytes.

use ixt_tests::{RawHost, base64, entered, fixture, handle, parse};
use serde_json::{Value, json};

/// Reads the next line, which is a call of the module. Returns its id and the frame.
fn call(host: &mut RawHost) -> (u64, Value) {
    let request = parse(&host.receive());
    assert_eq!(request["type"], "service_request", "{request}");
    (request["id"].as_u64().unwrap(), request)
}

/// Sends a `handle` for `take` without waiting for its reply.
fn send_take(host: &mut RawHost, id: u64) {
    let payload = base64(br#"{"sku":"A-1"}"#);
    host.send(&format!(
        r#"{{"type":"handle","id":{id},"message":{{"topic":"take","payload":"{payload}"}},"context":{{"trace_id":"t-{id}"}}}}"#
    ));
}

#[test]
fn a_handler_calls_another_module_with_the_types_of_its_manifest() {
    let mut host = fixture();
    send_take(&mut host, 7);
    let (id, request) = call(&mut host);
    let expected = json!({
        "type": "service_request", "id": id, "service": "message_bus", "method": "send",
        "params": {
            "topic": "stock.take", "payload": base64(br#"{"shelf":"high","sku":"A-1"}"#), "ttl_ms": 1500,
        },
        "context": { "trace_id": "t-7", "parent": 7 },
    });
    assert_eq!(request, expected);
    // The other module may be newer: a shelf of which nothing was known is kept.
    host.send(&format!(
        r#"{{"type":"service_response","id":{id},"success":true,"data":{{"left":2,"shelf":"middle","more":1}}}}"#
    ));
    assert_eq!(host.receive(), r#"{"type":"success","id":7,"data":{"left":2,"shelf":"middle"}}"#);
}

#[test]
fn a_callees_error_comes_with_its_code() {
    let mut host = fixture();
    send_take(&mut host, 7);
    let (id, _) = call(&mut host);
    host.send(&format!(
        r#"{{"type":"service_response","id":{id},"success":false,"code":"EMPTY","message":"no A-1","details":{{"sku":"A-1"}}}}"#
    ));
    let reply = parse(&host.receive());
    assert_eq!((&reply["code"], &reply["message"]), (&json!("UNAVAILABLE"), &json!("nothing is left")), "{reply}");

    send_take(&mut host, 8);
    let (id, _) = call(&mut host);
    host.send(&format!(
        r#"{{"type":"service_response","id":{id},"success":false,"code":"NOT_FOUND","message":"nobody","details":{{"sku":"A-1"}},"retryable":true}}"#
    ));
    let reply = host.receive();
    let expected =
        r#"{"type":"error","id":8,"code":"NOT_FOUND","message":"nobody","details":{"sku":"A-1"},"retryable":true}"#;
    assert_eq!(reply, expected);
}

#[test]
fn a_response_that_does_not_fit_ends_its_call_with_the_reason() {
    let mut host = fixture();
    for (id, response, reason) in [
        (7, r#""success":true,"data":{"left":"two","shelf":"low"}"#, "`left`: expected an integer of 64 bits"),
        (8, r#""success":true"#, "`data`: missing"),
        (9, r#""success":5"#, "`success`: invalid type"),
    ] {
        send_take(&mut host, id);
        let (call_id, _) = call(&mut host);
        host.send(&format!(r#"{{"type":"service_response","id":{call_id},{response}}}"#));
        let reply = parse(&host.receive());
        assert_eq!((&reply["id"], &reply["code"]), (&json!(id), &json!("INTERNAL")), "{reply}");
        assert!(reply["message"].as_str().unwrap().contains(reason), "{reply}");
    }
    // A response without a call is skipped.
    host.send(r#"{"type":"service_response","id":77,"success":true,"data":{}}"#);
    assert_eq!(entered(&mut host), 3);
}

#[test]
fn any_number_of_calls_wait_at_once_and_are_answered_in_any_order() {
    let mut host = fixture();
    let calls: Vec<_> = (1..=20)
        .map(|id| {
            send_take(&mut host, id);
            let (call_id, request) = call(&mut host);
            (call_id, request["context"]["parent"].as_u64().unwrap())
        })
        .collect();
    for (call_id, parent) in calls.into_iter().rev() {
        let data = format!(r#"{{"left":{parent},"shelf":"low"}}"#);
        host.send(&format!(r#"{{"type":"service_response","id":{call_id},"success":true,"data":{data}}}"#));
        assert_eq!(host.receive(), format!(r#"{{"type":"success","id":{parent},"data":{data}}}"#));
    }
}

#[test]
fn a_call_whose_request_was_cancelled_is_taken_back() {
    let mut host = fixture();
    send_take(&mut host, 7);
    let (id, _) = call(&mut host);
    host.send(r#"{"type":"cancel","id":7}"#);
    let mut lines = [host.receive(), host.receive()];
    lines.sort();
    assert_eq!(lines[0], format!(r#"{{"type":"cancel","id":{id}}}"#));
    assert!(lines[1].starts_with(r#"{"type":"error","id":7,"code":"CANCELLED""#), "{}", lines[1]);
}

#[test]
fn a_call_of_the_modules_own_has_no_parent_and_takes_bytes_where_nothing_is_declared() {
    let mut host = fixture();
    let payload = base64(b"\x00raw");
    host.send(&format!(r#"{{"type":"handle","id":7,"message":{{"topic":"forward","payload":"{payload}"}}}}"#));
    let (id, request) = call(&mut host);
    let params = json!({ "topic": "legacy", "payload": payload });
    assert_eq!((&request["params"], request.get("context")), (&params, None), "{request}");
    host.send(&format!(r#"{{"type":"service_response","id":{id},"success":true,"data":{{"free":["form"]}}}}"#));
    assert_eq!(host.receive(), r#"{"type":"success","id":7,"data":{"answer":{"free":["form"]}}}"#);
}

/// Makes the fixture watch keys. Returns the id of the request that it makes for that.
fn send_watch(host: &mut RawHost, id: u64) -> u64 {
    let payload = base64(br#"{"prefix":"a/"}"#);
    host.send(&format!(r#"{{"type":"handle","id":{id},"message":{{"topic":"watch","payload":"{payload}"}}}}"#));
    let (id, request) = call(host);
    assert_eq!((&request["service"], &request["method"]), (&json!("kv_store"), &json!("watch")), "{request}");
    assert_eq!(request["params"], json!({ "prefix": "a/" }));
    id
}

/// A `kv_change` frame; its value is this text, or none.
fn change(watch: u64, key: &str, revision: u64, value: Option<&str>) -> String {
    let value = match value {
        Some(value) => format!(r#""value":"{}""#, base64(value.as_bytes())),
        None => r#""deleted":true"#.to_owned(),
    };
    format!(r#"{{"type":"kv_change","watch":{watch},"key":"{key}","revision":{revision},{value}}}"#)
}

#[test]
fn of_each_key_that_is_watched_the_last_change_arrives_and_none_is_too_early() {
    let mut host = fixture();
    let id = send_watch(&mut host, 7);
    let lines = [
        // In one piece with the response, after which the module knows which watch it is.
        format!(r#"{{"type":"service_response","id":{id},"success":true,"data":{{"watch":3}}}}"#),
        change(3, "a/1", 10, Some("1")),
        change(3, "a/2", 11, Some("2")),
        change(3, "a/1", 12, None),
        change(3, "a/3", 13, Some("3")),
        // Of a watch that there is not.
        change(4, "a/4", 14, Some("4")),
        change(3, "a/3", 15, Some("[5]")),
    ];
    host.send(&lines.join("\n"));
    assert_eq!(host.receive(), r#"{"type":"success","id":7,"data":{}}"#);
    let reply = handle(&mut host, 8, "changes", r#"{"count":3}"#);
    let changes = json!([["a/1", 12, null], ["a/2", 11, 2], ["a/3", 15, [5]]]);
    assert_eq!(reply, json!({ "type": "success", "id": 8, "data": { "changes": changes } }));

    // The handler waits for what comes later, too.
    let payload = base64(br#"{"count":1}"#);
    host.send(&format!(r#"{{"type":"handle","id":9,"message":{{"topic":"changes","payload":"{payload}"}}}}"#));
    assert_eq!(entered(&mut host), 0);
    host.send(&change(3, "a/1", 16, Some("6")));
    assert_eq!(host.receive(), r#"{"type":"success","id":9,"data":{"changes":[["a/1",16,6]]}}"#);
}

#[test]
fn a_watch_that_is_dropped_is_ended_and_what_still_comes_for_it_is_ignored() {
    let mut host = fixture();
    let id = send_watch(&mut host, 7);
    host.send(&format!(r#"{{"type":"service_response","id":{id},"success":true,"data":{{"watch":3}}}}"#));
    assert_eq!(host.receive(), r#"{"type":"success","id":7,"data":{}}"#);
    host.send(r#"{"type":"handle","id":8,"message":{"topic":"unwatch","payload":""}}"#);
    let (id, request) = call(&mut host);
    assert_eq!((&request["service"], &request["method"]), (&json!("kv_store"), &json!("unwatch")), "{request}");
    assert_eq!((&request["params"], request.get("context")), (&json!({ "watch": 3 }), None), "{request}");
    // It is not waited for.
    assert_eq!(host.receive(), r#"{"type":"success","id":8,"data":{}}"#);
    host.send(&change(3, "a/1", 10, Some("1")));
    host.send(&format!(r#"{{"type":"service_response","id":{id},"success":true,"data":{{}}}}"#));
    host.send(r#"{"type":"shutdown","id":9}"#);
    let (rest, _, stderr) = host.end();
    assert_eq!((rest.as_str(), stderr.as_str()), ("{\"type\":\"success\",\"id\":9,\"data\":{}}\n", "INFO closed\n"));
}

#[test]
fn a_watch_for_which_nobody_waits_any_more_is_ended_when_it_is_there() {
    let mut host = fixture();
    let id = send_watch(&mut host, 7);
    host.send(r#"{"type":"cancel","id":7}"#);
    // Not taken back: the host may have begun it already.
    assert_eq!(parse(&host.receive())["code"], "CANCELLED");
    host.send(&format!(r#"{{"type":"service_response","id":{id},"success":true,"data":{{"watch":3}}}}"#));
    let (_, request) = call(&mut host);
    assert_eq!((&request["method"], &request["params"]), (&json!("unwatch"), &json!({ "watch": 3 })), "{request}");
}

#[test]
fn a_watch_that_the_host_refuses_or_answers_wrongly_is_none() {
    let mut host = fixture();
    for (response, code, message) in [
        (r#""success":false,"code":"UNIMPLEMENTED","message":"no""#, "UNIMPLEMENTED", "no"),
        (
            r#""success":true,"data":{}"#,
            "INTERNAL",
            "the host's response to `kv_store.watch` is wrong: `watch`: missing",
        ),
    ] {
        let id = send_watch(&mut host, 7);
        host.send(&format!(r#"{{"type":"service_response","id":{id},{response}}}"#));
        let reply = parse(&host.receive());
        assert_eq!((&reply["code"], &reply["message"]), (&json!(code), &json!(message)), "{reply}");
    }
}

#[test]
fn a_change_of_the_wrong_shape_is_logged_and_never_answered() {
    let mut host = fixture();
    for change in [
        r#"{"type":"kv_change","id":10}"#,
        r#"{"type":"kv_change","id":10,"watch":3,"key":5,"revision":1,"deleted":true}"#,
        r#"{"type":"kv_change","id":10,"watch":3,"key":"s3cr3t","revision":1,"value":"s3cr3t"}"#,
    ] {
        host.send(change);
    }
    assert_eq!(entered(&mut host), 0, "the next line is the answer to what was asked");
    host.send(r#"{"type":"shutdown","id":9}"#);
    let (_, _, stderr) = host.end();
    assert_eq!(stderr.matches("a `kv_change` frame is wrong").count(), 3, "{stderr}");
    assert!(!stderr.contains("s3cr3t"), "{stderr}");
}

#[test]
fn a_watch_ends_when_the_host_is_gone() {
    let mut host = fixture();
    let id = send_watch(&mut host, 7);
    host.send(&format!(r#"{{"type":"service_response","id":{id},"success":true,"data":{{"watch":3}}}}"#));
    assert_eq!(host.receive(), r#"{"type":"success","id":7,"data":{}}"#);
    let payload = base64(br#"{"count":1}"#);
    host.send(&format!(r#"{{"type":"handle","id":8,"message":{{"topic":"changes","payload":"{payload}"}}}}"#));
    assert_eq!(entered(&mut host), 0, "the handler runs by now");
    host.hang_up();
    let (_, status, stderr) = host.end();
    assert!(status.success(), "{status}");
    assert_eq!(stderr, "INFO the watch is over\nINFO closed\n");
}

#[test]
fn events_are_published_with_their_types() {
    let mut host = fixture();
    let payload = base64(b"hello");
    host.send(&format!(r#"{{"type":"handle","id":7,"message":{{"topic":"announce","payload":"{payload}"}}}}"#));
    for (topic, payload) in [("announced", base64(br#"{"text":"hello"}"#)), ("announced.raw", payload)] {
        let (id, request) = call(&mut host);
        assert_eq!((&request["service"], &request["method"]), (&json!("event_bus"), &json!("publish")));
        assert_eq!(request["params"], json!({ "topic": topic, "payload": payload }));
        host.send(&format!(r#"{{"type":"service_response","id":{id},"success":true,"data":{{}}}}"#));
    }
    assert_eq!(host.receive(), r#"{"type":"success","id":7,"data":{}}"#);
}

#[test]
fn events_reach_their_handlers_as_their_types() {
    let mut host = fixture();
    let event = |host: &mut RawHost, topic: &str, payload: &str| {
        let payload = base64(payload.as_bytes());
        parse(&host.ask(&format!(r#"{{"type":"event","id":7,"message":{{"topic":"{topic}","payload":"{payload}"}}}}"#)))
    };
    let reply = event(&mut host, "stock.changed", r#"{"sku":"A-1","left":3}"#);
    assert_eq!(reply, json!({ "type": "success", "id": 7, "data": {} }));
    assert_eq!(event(&mut host, "tick", "tock")["type"], "success");
    assert_eq!(entered(&mut host), 2);

    let reply = event(&mut host, "stock.changed", r#"{"sku":"A-1","left":-1}"#);
    assert_eq!((&reply["code"], &reply["details"]["path"]), (&json!("INVALID_INPUT"), &json!("left")), "{reply}");
    assert_eq!(event(&mut host, "add", "{}")["code"], "UNKNOWN_TOPIC", "a service is no event");
    assert_eq!(entered(&mut host), 2, "a handler was entered with what does not fit");
    assert_eq!(event(&mut host, "tick", "")["message"], "an empty tick");

    host.send(r#"{"type":"shutdown","id":8}"#);
    let (_, _, stderr) = host.end();
    assert!(stderr.contains("stock.changed: 3 of A-1 left"), "{stderr}");
}

#[test]
fn a_blocking_service_may_block_its_thread() {
    let mut host = fixture();
    let reply = handle(&mut host, 7, "block", r#"{"panics":false}"#);
    assert_eq!(reply, json!({ "type": "success", "id": 7, "data": { "blocking": "done" } }));
    let reply = handle(&mut host, 8, "block", r#"{"panics":true}"#);
    assert_eq!((&reply["id"], &reply["code"]), (&json!(8), &json!("INTERNAL")), "{reply}");
    assert_eq!(handle(&mut host, 9, "block", "5")["code"], "INVALID_INPUT");
}

#[test]
fn a_call_ends_when_the_host_is_gone() {
    let mut host = fixture();
    send_take(&mut host, 7);
    call(&mut host);
    host.hang_up();
    let (_, status, _) = host.end();
    assert!(status.success(), "the call would have kept the module until its grace was over: {status}");
}
