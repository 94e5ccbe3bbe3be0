//! What a module makes of what its host offers: framings, attachments, log frames, readiness and time to start. The host is made of raw
//! bytes.

use ixt_tests::{RawHost, base64, build, fixture, parse, send};
use serde_json::json;

#[test]
fn the_framing_that_is_offered_is_taken_and_the_first_is_kept() {
    // Offered: the module takes it, but reads what was sent before the host knew.
    let mut host = RawHost::start(&build("fixture"));
    let init = r#"{"type":"init","id":1,"config":{"token":"t"},"protocol":{"version":1,"max_frame_bytes":100000,"framings":["line","length"]}}"#;
    let handle = r#"{"type":"handle","id":2,"message":{"topic":"raw","payload":"aGk="}}"#;
    assert_eq!(parse(&host.ask(init))["data"]["ixt"]["framing"], "length");
    host.send(handle);
    let hi = r#"{"type":"success","id":2,"data":{"result":"aGk=","length":2}}"#;
    assert_eq!(host.receive_length(), hi);
    host.send_length(handle);
    assert_eq!(host.receive_length(), hi);
    let attached = r#"{"type":"handle","id":2,"message":{"topic":"raw"},"attachment":"message.payload"}"#;
    host.send_attached(attached, b"hi");
    assert_eq!(host.receive_length(), hi);
    // An attachment that stands for nothing, or that is not there.
    host.send_attached(handle, b"hi");
    assert_eq!(parse(&host.receive_length())["details"]["path"], "attachment");
    host.send_length(attached);
    assert_eq!(parse(&host.receive_length())["details"]["path"], "attachment");
    host.send_attached(&attached.replace("message.payload", "context.trace_id"), b"hi");
    assert_eq!(parse(&host.receive_length())["details"]["path"], "attachment");
    // One that is too long is skipped.
    host.send_attached(attached, "x".repeat(100_000).as_bytes());
    host.send_length(handle);
    assert_eq!(host.receive_length(), hi);
    // The answer to a call may have one too.
    host.send_length(
        r#"{"type":"handle","id":3,"message":{"topic":"store","payload":"eyJrZXkiOiJrIiwidmFsdWUiOjV9"}}"#,
    );
    let call = parse(&host.receive_length());
    assert_eq!((&call["method"], &call["params"]["key"]), (&json!("get"), &json!("k")), "{call}");
    let response = r#"{"type":"service_response","id":1,"success":true,"data":{"found":true,"revision":7},"attachment":"data.value"}"#;
    host.send_attached(response, b"4");
    let call = parse(&host.receive_length());
    assert_eq!((&call["method"], &call["params"]["expected_revision"]), (&json!("set"), &json!(7)), "{call}");

    // The host begins with it.
    let mut host = RawHost::start(&build("fixture"));
    host.send_length(r#"{"type":"init","id":1,"config":{"token":"t"}}"#);
    assert_eq!(parse(&host.receive_length())["type"], "success");
    host.send_attached(attached, b"hi");
    assert_eq!(host.receive_length(), hi);

    // Frames may be longer than a length can tell: there is only one framing.
    let mut host = RawHost::start(&build("fixture"));
    let reply = parse(&host.ask(&init.replace("100000", "150994944")));
    assert_eq!(reply["data"]["ixt"].get("framing"), None, "{reply}");
}

#[test]
fn a_host_that_begins_in_a_framing_is_answered_in_it() {
    let mut host = RawHost::start(&build("fixture"));
    host.send_length(r#"{"type":"health_check","id":1}"#);
    assert_eq!(parse(&host.receive_length())["code"], "FAILED_PRECONDITION");
    host.send_length(r#"{"type":"init","id":2}"#);
    assert_eq!(parse(&host.receive_length())["code"], "INVALID_INPUT");
}

#[test]
fn bytes_are_attached_where_the_host_takes_that() {
    let mut host = RawHost::start(&build("fixture"));
    host.send_length(
        r#"{"type":"init","id":1,"config":{"token":"t"},"protocol":{"version":1,"max_frame_bytes":100000,"framings":["length"]}}"#,
    );
    host.receive_length();
    let raw = r#"{"type":"handle","id":2,"message":{"topic":"raw"},"attachment":"message.payload"}"#;
    // Few are text all the same, many are sent from where the handler had them.
    for (bytes, is_attached) in [(63, false), (64, true), (99_000, true)] {
        let payload: Vec<u8> = (0..=250).cycle().take(bytes).collect();
        host.send_attached(raw, &payload);
        let (json, attachment) = host.receive_attached();
        if is_attached {
            let expected =
                format!(r#"{{"type":"success","id":2,"data":{{"length":{bytes}}},"attachment":"data.result"}}"#);
            assert_eq!((json, attachment), (expected, Some(payload)));
        } else {
            assert_eq!((parse(&json)["data"]["length"].clone(), attachment), (json!(bytes), None));
        }
    }
    // A call, and its answer.
    let payload = vec![0xFF; 300];
    host.send_attached(&raw.replace("raw", "forward"), &payload);
    let (call, attachment) = host.receive_attached();
    let call = parse(&call);
    assert_eq!((&call["params"]["topic"], &call["attachment"]), (&json!("legacy"), &json!("params.payload")));
    assert_eq!(call["params"].get("payload"), None);
    assert_eq!(attachment, Some(payload));
    let response = r#"{"type":"service_response","id":1,"success":true,"data":{"n":1},"attachment":"data.bytes"}"#;
    host.send_attached(response, b"hi");
    let reply = parse(&host.receive_length());
    assert_eq!(reply["data"]["answer"], json!({ "n": 1, "bytes": "aGk=" }));
    // The author's type takes bytes as they are, and base64.
    for (id, response, bytes) in [
        (2, r#""success":true,"data":{"n":1},"attachment":"data.bytes""#, Some(&[7; 100][..])),
        (3, r#""success":true,"data":{"n":1,"bytes":"aGk="}"#, None),
        (4, r#""success":true,"data":{"n":1,"bytes":"?"}"#, None),
    ] {
        host.send_attached(&raw.replace("raw", "forward"), b"returning");
        assert_eq!(parse(&host.receive_length())["id"], id);
        let response = format!(r#"{{"type":"service_response","id":{id},{response}}}"#);
        match bytes {
            Some(bytes) => host.send_attached(&response, bytes),
            None => host.send_length(&response),
        }
        let (reply, attachment) = host.receive_attached();
        let reply = parse(&reply);
        match id {
            2 => assert_eq!((&reply["data"]["n"], attachment.as_deref()), (&json!(1), bytes)),
            3 => assert_eq!(reply["data"]["bytes"], "aGk="),
            _ => {
                let message = reply["message"].as_str().unwrap();
                assert!(message.starts_with("the response of `legacy` is not of the type that this call returns: "));
            }
        }
    }
    // What is too long is told, whether it is attached or not.
    host.send_length(r#"{"type":"handle","id":4,"message":{"topic":"big","payload":"MTAwMDAw"}}"#);
    let reply = parse(&host.receive_length());
    assert_eq!(
        (&reply["code"], &reply["details"]["max_frame_bytes"]),
        (&json!("INTERNAL"), &json!(100_000)),
        "{reply}"
    );

    // In lines it is base64, also that of a large frame.
    let mut host = fixture();
    let payload = base64(&vec![7; 100_000]);
    let reply =
        parse(&host.ask(&format!(r#"{{"type":"handle","id":2,"message":{{"topic":"raw","payload":"{payload}"}}}}"#)));
    assert_eq!((&reply["data"]["length"], &reply["data"]["result"]), (&json!(100_000), &json!(payload)));
}

#[test]
fn log_lines_are_frames_for_a_host_that_takes_them() {
    let mut host = RawHost::start(&build("fixture"));
    let init = r#"{"type":"init","id":1,"config":{"token":"t"},"protocol":{"version":1,"max_frame_bytes":1000,"features":["log","more"]}}"#;
    assert_eq!(parse(&host.ask(init))["data"]["ixt"]["features"], json!(["log"]));
    let payload = base64(br#"{"message":"hello","times":1}"#);
    host.send(&format!(
        r#"{{"type":"handle","id":2,"message":{{"topic":"say","payload":"{payload}"}},"context":{{"trace_id":"t-1"}}}}"#
    ));
    let line = r#"{"type":"log","level":"warn","message":"hello","fields":{"number":0},"trace_id":"t-1"}"#;
    assert_eq!(host.receive(), line);
    assert_eq!(parse(&host.receive())["id"], 2);
    // What the SDK has to say, too; and one that is too long is told in short.
    host.send("nonsense");
    let line = parse(&host.receive());
    assert_eq!((&line["level"], line.get("trace_id")), (&json!("error"), None), "{line}");
    // The worst case: six bytes of JSON for each.
    send(&mut host, 3, "say", &json!({ "message": "\u{1}", "repeated": 2000, "times": 1 }).to_string());
    let line = host.receive();
    assert!(line.len() <= 1000 && line.contains(" … (2000 bytes)"), "{line}");
    assert_eq!(parse(&host.receive())["id"], 3);
    host.send(r#"{"type":"shutdown","id":4}"#);
    let (rest, _, stderr) = host.end();
    assert!(rest.starts_with(r#"{"type":"log","level":"info","message":"closed"}"#), "{rest}");
    assert_eq!(stderr, "");
}

#[test]
fn events_of_tracing_are_log_lines_with_fields_spans_and_trace() {
    let mut host = RawHost::start(&build("fixture"));
    let init = r#"{"type":"init","id":1,"config":{"token":"t"},"protocol":{"version":1,"max_frame_bytes":10000,"features":["log"]}}"#;
    host.ask(init);
    host.send(r#"{"type":"handle","id":2,"message":{"topic":"trace","payload":"aGk="},"context":{"trace_id":"t-1","source_module":"a:1.0.0","traceparent":"00-1-2-01"}}"#);
    let request = json!({
        "name": "request",
        "fields": { "topic": "trace", "trace_id": "t-1", "source_module": "a:1.0.0", "traceparent": "00-1-2-01" },
    });
    let work = json!({ "name": "work", "fields": { "step": 1, "late": true } });
    let expected = json!({
        "type": "log", "level": "warn", "message": "it happens", "trace_id": "t-1",
        "fields": {
            "text": "hi", "ratio": 0.5, "error": std::fmt::Error.to_string(), "list": "[1, 2]", "target": "fixture",
            "spans": [request, work],
        },
    });
    assert_eq!(parse(&host.receive()), expected);
    let line = parse(&host.receive());
    assert_eq!(
        (&line["level"], &line["fields"]["count"], &line["fields"]["spans"]),
        (&json!("error"), &json!(3), &json!([request]))
    );
    assert_eq!(parse(&host.receive())["id"], 2);

    // What is logged can be chosen, and goes to stderr where the host takes no lines.
    for (filter, lines) in [("fixture=debug", 3), ("off", 0), ("warn,fixture=error", 1)] {
        let mut host = RawHost::start_with(&build("fixture"), &[("IXT_LOG", filter)]);
        host.init(r#"{"token":"t"}"#);
        send(&mut host, 2, "trace", "");
        assert_eq!(parse(&host.receive())["id"], 2);
        host.send(r#"{"type":"shutdown","id":3}"#);
        let (_, _, stderr) = host.end();
        assert_eq!(stderr.matches("\"target\":\"fixture\"").count(), lines, "{filter}: {stderr}");
    }
}

#[test]
fn a_module_asks_for_time_and_says_whether_it_takes_calls_where_that_is_offered() {
    let config = r#"{"token":"t","on_init":"starting"}"#;
    let mut host = RawHost::start(&build("fixture"));
    host.send(&format!(
        r#"{{"type":"init","id":1,"config":{config},"protocol":{{"version":1,"max_frame_bytes":1000,"features":["ready","starting"]}}}}"#
    ));
    assert_eq!(host.receive(), r#"{"type":"starting","message":"reads the map","extend_ms":30000}"#);
    assert_eq!(host.receive(), r#"{"type":"ready","ready":false}"#);
    assert_eq!(parse(&host.receive())["data"]["ixt"]["features"], json!(["starting", "ready"]));
    send(&mut host, 2, "ready", r#"{"ready":true,"at_once":true}"#);
    assert_eq!(host.receive(), r#"{"type":"ready","ready":true}"#);
    assert_eq!(parse(&host.receive())["id"], 2);
    // What was said is not said again.
    send(&mut host, 3, "ready", r#"{"ready":true,"at_once":true}"#);
    assert_eq!(parse(&host.receive())["id"], 3);

    // A host that knows nothing of it learns from the health check whether calls are taken.
    let mut host = RawHost::start(&build("fixture"));
    host.init(config);
    let health = parse(&host.ask(r#"{"type":"health_check","id":2}"#));
    assert_eq!((&health["data"]["healthy"], &health["data"]["ready"]), (&json!(true), &json!(false)), "{health}");
    send(&mut host, 3, "ready", r#"{"ready":true,"at_once":true}"#);
    assert_eq!(parse(&host.receive())["id"], 3);
    let health = parse(&host.ask(r#"{"type":"health_check","id":4}"#));
    assert_eq!(health["data"].get("ready"), None, "{health}");
}
