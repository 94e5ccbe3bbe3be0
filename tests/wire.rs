//! A host made of raw bytes, from PROTOCOL.md alone, against real module processes. Nothing here uses this project's crates.

use ixt_tests::{RawHost, base64, build, entered, fixture, handle, parse};
use serde_json::{Value, json};

#[test]
fn the_module_of_the_quick_start_from_init_to_exit_byte_by_byte() {
    let mut host = RawHost::start(&build("echo"));
    let init = r#"{"type":"init","id":1,"config":{"database_url":"sqlite://x.db"},"module_id":"echo:1.0.0/instance-001","protocol":{"version":1,"max_frame_bytes":16777216,"framings":["line"],"features":[]}}"#;
    let reply = host.ask(init);
    assert!(
        reply.starts_with(
            r#"{"type":"success","id":1,"data":{"ixt":{"max_concurrency":256,"protocol":1,"sdk":"ixt-sdk-rust/"#
        ),
        "{reply}"
    );

    let handle = r#"{"type":"handle","id":2,"message":{"topic":"my.service.process","payload":"aGVsbG8=","priority":1,"ttl_ms":5000},"context":{"trace_id":"t-1","source_module":"caller:1.0.0","timestamp":1234567890}}"#;
    assert_eq!(host.ask(handle), r#"{"type":"success","id":2,"data":{"result":"aGVsbG8="}}"#);
    let handle =
        r#"{"type":"handle","id":3,"message":{"topic":"my.service.query","payload":"cQ==","priority":4},"context":{}}"#;
    let data = base64(b"my.service.query of sqlite://x.db: q");
    assert_eq!(host.ask(handle), format!(r#"{{"type":"success","id":3,"data":{{"data":"{data}"}}}}"#));
    let health = host.ask(r#"{"type":"health_check","id":4}"#);
    assert!(health.starts_with(r#"{"type":"success","id":4,"data":{"healthy":true,"ixt":{"#), "{health}");
    assert_eq!(parse(&health)["data"]["requests_processed"], 2);
    assert_eq!(host.ask(r#"{"type":"shutdown","id":5,"grace_ms":5000}"#), r#"{"type":"success","id":5,"data":{}}"#);
    let (rest, status, stderr) = host.end();
    assert_eq!((rest.as_str(), status.code()), ("", Some(0)));
    assert_eq!(stderr, "INFO Connecting to database: sqlite://x.db\nINFO Shutting down module\n");
}

#[test]
fn typed_requests_are_answered_with_typed_responses() {
    let mut host = fixture();
    let reply =
        handle(&mut host, 2, "add", r#"{"a":{"value":1,"comment":"c"},"more":[{"value":2},{"value":3,"new":1}]}"#);
    assert_eq!(reply, json!({ "type": "success", "id": 2, "data": { "value": 6, "comment": "c" } }));
    let reply = handle(&mut host, 3, "add", r#"{"a":{"value":1,"comment":null},"more":[]}"#);
    assert_eq!(reply, json!({ "type": "success", "id": 3, "data": { "value": 1 } }));
}

#[test]
fn a_message_that_does_not_fit_is_answered_and_never_enters_a_handler() {
    let mut host = fixture();
    for (id, topic, payload, code, path) in [
        (10, "nope", "", "UNKNOWN_TOPIC", None),
        (11, "", "", "UNKNOWN_TOPIC", None),
        (12, "add", "", "INVALID_INPUT", Some("a")),
        (13, "add", "not json", "INVALID_INPUT", None),
        (14, "add", r#"[{"value":1},[]]"#, "INVALID_INPUT", None),
        (24, "add", r#"{"a":[null,1],"more":[]}"#, "INVALID_INPUT", Some("a")),
        (25, "add", r#"{"a":{"value":1},"a":{"value":1},"more":[]}"#, "INVALID_INPUT", None),
        (15, "add", r#"{"a":{"value":1}}"#, "INVALID_INPUT", Some("more")),
        (16, "add", r#"{"a":{"value":"1"},"more":[]}"#, "INVALID_INPUT", Some("a.value")),
        (17, "add", r#"{"a":{"value":3.0},"more":[]}"#, "INVALID_INPUT", Some("a.value")),
        (18, "add", r#"{"a":{"value":9223372036854775808},"more":[]}"#, "INVALID_INPUT", Some("a.value")),
        (19, "add", r#"{"a":{"value":1},"more":[{"value":1},{"value":null}]}"#, "INVALID_INPUT", Some("more[1].value")),
        (20, "add", r#"{"a":{"value":1},"more":[]} x"#, "INVALID_INPUT", None),
        (21, "fail", r#"{"message":5}"#, "INVALID_INPUT", Some("message")),
    ] {
        let reply = handle(&mut host, id, topic, payload);
        assert_eq!(
            (&reply["type"], &reply["id"], &reply["code"]),
            (&json!("error"), &json!(id), &json!(code)),
            "{reply}"
        );
        assert_eq!(reply["details"]["path"].as_str(), path, "{reply}");
        if let Some(path) = path {
            assert!(reply["message"].as_str().unwrap().contains(&format!("`{path}`")), "{reply}");
        }
    }
    assert_eq!(entered(&mut host), 0);
    handle(&mut host, 23, "raw", "");
    assert_eq!(entered(&mut host), 1, "the counter counts");
}

#[test]
fn a_frame_of_the_wrong_shape_is_answered_with_the_path_of_what_is_wrong() {
    let mut host = fixture();
    for (line, code, says) in [
        (r#"{"type":"handle","id":10}"#, "INVALID_INPUT", "`message`: missing"),
        (r#"{"type":"handle","id":10,"message":{"payload":""}}"#, "INVALID_INPUT", "`message.topic`: missing"),
        (r#"{"type":"handle","id":10,"message":{"topic":"raw"}}"#, "INVALID_INPUT", "`message.payload`: missing"),
        (
            r#"{"type":"handle","id":10,"message":{"topic":"raw","payload":"?"}}"#,
            "INVALID_INPUT",
            "`message.payload`: not base64",
        ),
        (
            r#"{"type":"handle","id":10,"message":{"topic":"raw","payload":"aA"}}"#,
            "INVALID_INPUT",
            "`message.payload`: not base64",
        ),
        (
            r#"{"type":"handle","id":10,"message":{"topic":"raw","payload":"","priority":5}}"#,
            "INVALID_INPUT",
            "`message.priority`: 5 is not a priority",
        ),
        (
            r#"{"type":"handle","id":10,"message":{"topic":"raw","payload":"","ttl_ms":-1}}"#,
            "INVALID_INPUT",
            "`message.ttl_ms`: ",
        ),
        (r#"{"type":"shutdown","id":10,"grace_ms":"soon"}"#, "INVALID_INPUT", "`grace_ms`: "),
        (r#"{"type":"init","id":10}"#, "INVALID_INPUT", "`config`: missing"),
        (r#"{"type":"reload","id":10}"#, "UNIMPLEMENTED", "`reload`"),
        (r#"{"type":"","id":10}"#, "UNIMPLEMENTED", "``"),
    ] {
        let reply = parse(&host.ask(line));
        assert_eq!(
            (&reply["type"], &reply["id"], &reply["code"]),
            (&json!("error"), &json!(10), &json!(code)),
            "{line}"
        );
        assert!(reply["message"].as_str().unwrap().contains(says), "{line}: {reply}");
    }
    assert_eq!(entered(&mut host), 0);
}

#[test]
fn what_is_no_frame_is_logged_and_the_next_frame_is_read() {
    let mut host = fixture();
    for garbage in [
        "",
        "hello",
        "{",
        "[]",
        "5",
        r#"["shutdown",5,null,"",null,null,null,null]"#,
        r#"{"id":5}"#,
        r#"{"type":5,"id":5}"#,
        r#"{"type":"handle","id":-5}"#,
        "\u{1}\u{2}",
    ] {
        host.send(garbage);
    }
    host.send_raw(b"\xff\xfe\n");
    // A reply to any of them would be the answer to this.
    assert_eq!(entered(&mut host), 0);
    host.hang_up();
    let (_, status, stderr) = host.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(stderr.matches("ERROR skipped what the host sent: not a frame").count(), 10, "{stderr}");
    assert!(stderr.contains("ERROR skipped what the host sent: a `handle` frame is wrong: `id`: "), "{stderr}");
}

/// If the session has no arm for a frame type, the module treats such a frame as one of an unknown type, and this fails.
#[test]
fn a_module_knows_every_frame_of_a_host_that_the_page_shows() {
    const PAGE: &str = include_str!("../sdk/protocol/PROTOCOL.md");
    let shown = PAGE.split("\n```").find_map(|text| text.strip_prefix("host\n")).expect("a box of frames of a host");
    let mut host = fixture();
    for frame in shown.lines().filter(|frame| !frame.contains(r#""type":"init""#)) {
        host.send(frame);
    }
    let (replies, status, stderr) = host.end();
    assert_eq!(status.code(), Some(0), "the last frame is `shutdown`");
    assert!(!replies.contains("not known here") && !stderr.contains("not known here"), "{replies}\n{stderr}");
}

#[test]
fn frames_may_come_in_any_pieces() {
    let mut host = fixture();
    let two = concat!(
        r#"{"type":"handle","id":2,"message":{"topic":"raw","payload":"aGk="}}"#,
        "\r\n",
        r#" { "id" : 3 , "message" : { "payload" : "" , "topic" : "raw" } , "type" : "handle" , "new" : 1 } "#,
        "\n"
    );
    for byte in two.as_bytes() {
        host.send_raw(&[*byte]);
    }
    let mut replies = [host.receive(), host.receive()];
    replies.sort();
    assert_eq!(replies[0], r#"{"type":"success","id":2,"data":{"result":"aGk=","length":2}}"#);
    assert_eq!(replies[1], r#"{"type":"success","id":3,"data":{"result":"","length":0}}"#);

    host.send_raw(two.repeat(50).as_bytes());
    for _ in 0..100 {
        assert_eq!(parse(&host.receive())["type"], "success");
    }
}

#[test]
fn the_limit_of_the_host_holds_in_both_directions() {
    let mut host = RawHost::start(&build("fixture"));
    let init = r#"{"type":"init","id":1,"config":{"token":"t"},"module_id":"m","protocol":{"version":1,"max_frame_bytes":1000}}"#;
    assert_eq!(parse(&host.ask(init))["type"], "success");

    let reply = handle(&mut host, 2, "big", "2000");
    assert_eq!((&reply["id"], &reply["code"]), (&json!(2), &json!("INTERNAL")), "{reply}");
    assert_eq!(reply["details"]["max_frame_bytes"], 1000, "{reply}");
    assert!(reply["details"]["bytes"].as_u64().unwrap() > 2000, "{reply}");
    assert_eq!(handle(&mut host, 3, "big", "900")["type"], "success");

    host.send(&format!(r#"{{"type":"handle","id":4,"message":{{"topic":"raw","payload":"{}"}}}}"#, "A".repeat(2000)));
    assert_eq!(handle(&mut host, 5, "raw", "x")["id"], 5, "the frame that was too long is skipped");
    host.hang_up();
    let (_, _, stderr) = host.end();
    assert!(stderr.contains("is over the limit of 1000 bytes; it was skipped"), "{stderr}");
}

#[test]
fn a_handler_knows_who_asks() {
    let mut host = fixture();
    host.send(
        r#"{"type":"handle","id":2,"message":{"topic":"context","payload":"","priority":3,"ttl_ms":1500},"context":{"trace_id":"t-1","source_module":"caller:1.0.0","timestamp":1234567890,"traceparent":"00-1-2-01"}}"#,
    );
    let data = &parse(&host.receive())["data"];
    let expected = json!({
        "topic": "context", "trace_id": "t-1", "source_module": "caller:1.0.0", "traceparent": "00-1-2-01", "priority": 3,
        "timestamp": { "secs_since_epoch": 1_234_567_890, "nanos_since_epoch": 0 },
        "ttl": { "secs": 1, "nanos": 500_000_000 }, "name": null, "module_id": "m:1.0.0/instance-001", "directory": data["directory"],
    });
    assert_eq!(*data, expected);

    let extreme = r#"{"type":"handle","id":3,"message":{"topic":"context","payload":"","ttl_ms":18446744073709551615},"context":{"timestamp":18446744073709551615}}"#;
    let extreme = parse(&host.ask(extreme));
    assert_eq!((&extreme["type"], &extreme["data"]["traceparent"]), (&json!("success"), &json!(null)));
}

#[test]
fn requests_run_side_by_side_and_health_is_answered_meanwhile() {
    let mut host = fixture();
    for id in 2..10 {
        host.send(&format!(r#"{{"type":"handle","id":{id},"message":{{"topic":"wait","payload":""}}}}"#));
    }
    while entered(&mut host) < 8 {}
    let mut answered = vec![];
    for id in 12..20 {
        host.send(&format!(r#"{{"type":"handle","id":{id},"message":{{"topic":"release","payload":""}}}}"#));
    }
    for _ in 0..16 {
        let reply = parse(&host.receive());
        assert_eq!(reply["type"], "success", "{reply}");
        answered.push(reply["id"].as_u64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (2..10).chain(12..20).collect::<Vec<_>>());
}

#[test]
fn a_later_request_with_less_time_is_answered_before_an_earlier_one() {
    let mut host = fixture();
    host.send(r#"{"type":"handle","id":2,"message":{"topic":"wait","payload":"","ttl_ms":3600000}}"#);
    // Its deadline is waited for.
    while entered(&mut host) < 1 {}
    let reply = parse(&host.ask(r#"{"type":"handle","id":3,"message":{"topic":"wait","payload":"","ttl_ms":20}}"#));
    assert_eq!((&reply["id"], &reply["code"]), (&json!(3), &json!("DEADLINE_EXCEEDED")), "{reply}");
}

#[test]
fn a_cancelled_request_is_answered_once() {
    let mut host = fixture();
    host.send(r#"{"type":"handle","id":2,"message":{"topic":"wait","payload":""}}"#);
    while entered(&mut host) < 1 {}
    // `message` is no field of a cancel, so it may be anything.
    let reply = parse(&host.ask(r#"{"type":"cancel","id":2,"message":"gave up"}"#));
    assert_eq!((&reply["id"], &reply["code"]), (&json!(2), &json!("CANCELLED")), "{reply}");
    // Neither a second cancel nor one for a request that never was has a reply, and the handler is gone: the release
    // is left for the next one.
    host.send(r#"{"type":"cancel","id":2}"#);
    host.send(r#"{"type":"cancel","id":77}"#);
    assert_eq!(handle(&mut host, 3, "release", "")["id"], 3);
    assert_eq!(handle(&mut host, 4, "wait", "")["id"], 4);
}

#[test]
fn a_panic_is_answered_and_the_module_lives_on() {
    let mut host = fixture();
    let reply = handle(&mut host, 2, "panic", "");
    assert_eq!((&reply["id"], &reply["code"]), (&json!(2), &json!("INTERNAL")), "{reply}");
    assert!(reply["message"].as_str().unwrap().contains("`panic` panicked"), "{reply}");
    assert!(!reply.to_string().contains("secret"), "{reply}");
    assert_eq!(handle(&mut host, 3, "raw", "")["type"], "success");
    assert_eq!(handle(&mut host, 4, "panic", "elsewhere")["type"], "success");
    host.hang_up();
    // This host takes no log lines: they are one piece each, with a level, on stderr.
    let (_, _, stderr) = host.end();
    let lines: Vec<_> = stderr.lines().filter(|line| line.contains("panicked")).collect();
    let [of_handler, elsewhere] = lines[..] else { panic!("{stderr}") };
    let at = "panicked at tests/fixture/src/lib.rs:";
    assert!(of_handler.starts_with(&format!("ERROR the handler of `panic` {at}")), "{of_handler}");
    assert!(of_handler.contains(": with a secret {\"backtrace\":\""), "{of_handler}");
    assert!(elsewhere.starts_with(&format!("ERROR the thread `helper` {at}")), "{elsewhere}");
    assert!(elsewhere.contains(r": far away\nin two lines {"), "{elsewhere}");
}

#[test]
fn of_an_unexpected_error_the_caller_gets_the_message_and_the_log_the_causes() {
    let mut host = fixture();
    let reply = handle(&mut host, 2, "fail", r#"{"message":"the disk is full"}"#);
    assert_eq!(reply, json!({ "type": "error", "id": 2, "code": "INTERNAL", "message": "it did not work" }));
    host.hang_up();
    let (_, _, stderr) = host.end();
    assert!(
        stderr.contains("ERROR the handler of `fail` failed: INTERNAL: it did not work; caused by: the disk is full\n"),
        "{stderr}"
    );
}

#[test]
fn nothing_is_taken_before_init_and_init_comes_once() {
    let mut host = RawHost::start(&build("fixture"));
    assert_eq!(handle(&mut host, 1, "raw", "")["code"], "FAILED_PRECONDITION");
    assert_eq!(parse(&host.ask(r#"{"type":"health_check","id":2}"#))["code"], "FAILED_PRECONDITION");
    host.init(r#"{"token":"t"}"#);
    assert_eq!(parse(&host.ask(r#"{"type":"init","id":3,"config":{}}"#))["code"], "FAILED_PRECONDITION");
    assert_eq!(handle(&mut host, 4, "raw", "")["type"], "success");
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_before_init_is_entered() {
    for (config, says) in [
        ("{}", "`token`: required"),
        (r#"{"token":5,"on_init":"exit"}"#, "`token`: expected a string"),
        (r#"{"token":"t","limit":"5","on_init":"exit"}"#, "`limit`: expected an integer of 64 bits"),
        (r#"{"token":"t","tags":["a",5],"on_init":"exit"}"#, "`tags[1]`: expected a string"),
        (r#"{"token":"t","key":"?","on_init":"exit"}"#, "`key`: not base64"),
        (r#"{"token":"t","tokn":"t","on_init":"exit"}"#, "`tokn`: unknown key"),
        ("[]", "`config`: expected an object"),
    ] {
        let mut host = RawHost::start(&build("fixture"));
        let reply = parse(&host.ask(&format!(r#"{{"type":"init","id":1,"config":{config},"module_id":"m"}}"#)));
        assert_eq!((&reply["type"], &reply["code"]), (&json!("error"), &json!("INVALID_INPUT")), "{reply}");
        assert!(reply["message"].as_str().unwrap().contains(says), "{says}: {reply}");
        let (rest, status, _) = host.end();
        assert_eq!((rest.as_str(), status.code()), ("", Some(1)), "it exits by itself");
    }
}

#[test]
fn an_init_that_fails_or_panics_is_answered_and_the_module_exits() {
    for (on_init, code, message) in [("no disk", "NOT_TODAY", "no disk"), ("panic", "INTERNAL", "`init` panicked")] {
        let mut host = RawHost::start(&build("fixture"));
        let config = json!({ "token": "t", "on_init": on_init });
        let reply = parse(&host.ask(&format!(r#"{{"type":"init","id":1,"config":{config},"module_id":"m"}}"#)));
        assert_eq!(reply["code"], code, "{reply}");
        assert!(reply["message"].as_str().unwrap().starts_with(message), "{reply}");
        assert_eq!(host.end().1.code(), Some(1));
    }
}

#[test]
fn a_shutdown_during_init_answers_both() {
    // The init is waited for, and what it has opened is closed.
    let mut host = RawHost::start(&build("fixture"));
    host.send(r#"{"type":"init","id":1,"config":{"token":"t","on_init":"yield"},"module_id":"m"}"#);
    host.send(r#"{"type":"shutdown","id":2,"grace_ms":60000}"#);
    let (rest, status, stderr) = host.end();
    let outcomes: Vec<_> = rest.lines().map(parse).map(|reply| (reply["type"].clone(), reply["id"].clone())).collect();
    assert_eq!(outcomes, [(json!("success"), json!(1)), (json!("success"), json!(2))]);
    assert_eq!((status.code(), stderr.as_str()), (Some(0), "INFO closed\n"));

    // An init that takes too long is left.
    let mut host = RawHost::start(&build("fixture"));
    host.send(r#"{"type":"init","id":1,"config":{"token":"t","on_init":"hang"},"module_id":"m"}"#);
    host.send(r#"{"type":"shutdown","id":2,"grace_ms":0}"#);
    let (rest, status, _) = host.end();
    let outcomes: Vec<_> = rest.lines().map(parse).map(|reply| (reply["id"].clone(), reply["code"].clone())).collect();
    assert_eq!(outcomes, [(json!(1), json!("UNAVAILABLE")), (json!(2), Value::Null)]);
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_host_that_does_not_tell_the_id_has_told_it_in_the_environment() {
    let mut host = RawHost::start(&build("fixture"));
    host.ask(r#"{"type":"init","id":1,"config":{"token":"t"}}"#);
    assert_eq!(handle(&mut host, 2, "context", "")["data"]["module_id"], "fixture:1.0.0/instance-001");
}

#[test]
fn another_version_of_the_protocol_is_refused() {
    let mut host = RawHost::start(&build("fixture"));
    let init = r#"{"type":"init","id":1,"config":{"token":"t"},"module_id":"m","protocol":{"version":2,"max_frame_bytes":1000}}"#;
    let reply = parse(&host.ask(init));
    assert_eq!(reply["code"], "FAILED_PRECONDITION", "{reply}");
    assert!(reply["message"].as_str().unwrap().contains("version 2"), "{reply}");
}

#[test]
fn shutdown_waits_for_requests_in_flight() {
    let mut host = fixture();
    host.send(r#"{"type":"handle","id":2,"message":{"topic":"wait","payload":""}}"#);
    host.send(r#"{"type":"handle","id":3,"message":{"topic":"release","payload":""}}"#);
    host.send(r#"{"type":"shutdown","id":4,"grace_ms":60000}"#);
    let (rest, status, stderr) = host.end();
    let mut replies: Vec<Value> = rest.lines().map(parse).collect();
    assert_eq!(status.code(), Some(0), "{rest}");
    assert!(replies.iter().all(|reply| reply["type"] == "success"), "{rest}");
    assert_eq!(replies.pop().unwrap()["id"], 4, "the reply to `shutdown` is the last");
    assert_eq!(replies.len(), 2, "{rest}");
    assert!(stderr.ends_with("INFO closed\n"), "{stderr}");
}

#[test]
fn a_shutdown_overtakes_no_reply() {
    for _ in 0..20 {
        let mut host = fixture();
        let handle = r#"{"type":"handle","id":2,"message":{"topic":"raw","payload":""}}"#;
        let requests = format!("{}{}", format!("{handle}\n").repeat(200), "{\"type\":\"shutdown\",\"id\":3}\n");
        host.send_raw(requests.as_bytes());
        let (rest, _, _) = host.end();
        let replies: Vec<Value> = rest.lines().map(parse).collect();
        assert_eq!(replies.len(), 201);
        assert!(replies.iter().all(|reply| reply["type"] == "success"));
        assert_eq!(replies[200]["id"], 3, "the reply to `shutdown` is the last");
    }
}

#[test]
fn nothing_new_is_taken_during_shutdown() {
    let mut host = fixture();
    host.send(r#"{"type":"handle","id":2,"message":{"topic":"wait","payload":""}}"#);
    host.send(r#"{"type":"shutdown","id":3,"grace_ms":60000}"#);
    let reply = handle(&mut host, 4, "raw", "");
    assert_eq!((&reply["id"], &reply["code"], &reply["retryable"]), (&json!(4), &json!("UNAVAILABLE"), &json!(true)));
    let reply = parse(&host.ask(r#"{"type":"shutdown","id":5}"#));
    assert_eq!((&reply["id"], &reply["code"]), (&json!(5), &json!("UNAVAILABLE")), "{reply}");
    // What it still waits for can be cancelled, and then it is done.
    assert_eq!(parse(&host.ask(r#"{"type":"cancel","id":2}"#))["code"], "CANCELLED");
    assert_eq!(host.receive(), r#"{"type":"success","id":3,"data":{}}"#);
    assert_eq!(host.end().1.code(), Some(0));
}

#[test]
fn requests_that_do_not_end_in_time_are_answered_and_left() {
    let mut host = fixture();
    host.send(r#"{"type":"handle","id":2,"message":{"topic":"wait","payload":""}}"#);
    host.send(r#"{"type":"shutdown","id":3,"grace_ms":0}"#);
    assert_eq!(parse(&host.receive())["code"], "UNAVAILABLE");
    let reply = parse(&host.receive());
    assert_eq!(reply["id"], 3, "{reply}");
    let (rest, _, _) = host.end();
    assert_eq!(rest, "");
}

#[test]
fn a_shutdown_that_fails_is_answered_and_told_by_the_exit_status() {
    let mut host = RawHost::start(&build("fixture"));
    host.init(r#"{"token":"t","on_shutdown":"can't flush"}"#);
    let reply = parse(&host.ask(r#"{"type":"shutdown","id":2}"#));
    assert_eq!((&reply["code"], &reply["message"]), (&json!("INTERNAL"), &json!("can't flush")));
    assert_eq!(host.end().1.code(), Some(1));
}

#[test]
fn a_module_whose_host_is_gone_closes_what_it_has_open_and_exits() {
    let mut host = fixture();
    host.hang_up();
    let (_, status, stderr) = host.end();
    assert_eq!(status.code(), Some(0));
    assert_eq!(stderr, "INFO closed\n");
}

#[test]
fn a_host_that_sends_no_ids_gets_none_back() {
    let mut host = RawHost::start(&build("fixture"));
    assert!(host.ask(r#"{"type":"init","config":{"token":"t"}}"#).starts_with(r#"{"type":"success","data":"#));
    let reply = host.ask(r#"{"type":"handle","message":{"topic":"raw","payload":""}}"#);
    assert_eq!(reply, r#"{"type":"success","data":{"result":"","length":0}}"#);
}
