//! Requests of the host: replies, deadlines, cancellation, limits, and the end of the process.

use ixt_protocol::code;

use super::*;
use crate::logs::Logs;

#[tokio::test]
async fn each_reply_reaches_its_caller() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    assert!(!opened.connection.is_sequential());
    let topic = topic();
    let (_first, first) = opened.call(&topic, message("1"));
    let (_second, second) = opened.call(&topic, message("2"));
    assert_eq!(opened.connection.load().map(|load| (load.in_flight, load.is_busy)), Some((2, false)));
    let handle = opened.peer.next().await;
    assert_eq!(handle["message"], json!({ "topic": "t", "payload": "MQ==", "priority": 3 }));
    assert_eq!(handle["context"]["trace_id"], "trace");
    assert_eq!(handle["context"]["source_module"], "caller:1.0.0");
    assert!(handle["context"]["timestamp"].as_u64() > Some(1_700_000_000));
    opened.peer.send(r#"{"type":"error","id":3,"code":"C","message":"m","retryable":true}"#).await;
    opened.peer.send(r#"{"type":"success","id":2,"data":{"n":1}}"#).await;
    assert_eq!((first.await.unwrap().as_str(), second.await.unwrap().as_str()), (r#"{"n":1}"#, "C: m (true)"));
    assert_eq!(opened.connection.in_flight(), 0);
    let stats = topic.snapshot();
    assert_eq!((stats.calls, stats.errors), (2, 1));
    assert!(opened.heard().is_empty());
}

#[tokio::test]
async fn a_module_without_ids_gets_the_next_request_when_it_has_replied() {
    let mut opened = open(WITHOUT_IDS, FRAME_LIMIT).await.unwrap();
    assert!(opened.connection.is_sequential() && !opened.connection.is_busy());
    let topic = topic();
    let (_first, first) = opened.call(&topic, message("1"));
    let (_second, second) = opened.call(&topic, message("2"));
    assert!(opened.connection.is_busy());
    assert_eq!(opened.peer.next().await["message"]["payload"], "MQ==");
    opened.peer.send(r#"{"type":"success","data":{"n":1}}"#).await;
    assert_eq!(first.await.unwrap(), r#"{"n":1}"#);
    assert_eq!(opened.peer.next().await["message"]["payload"], "Mg==");
    opened.peer.send(r#"{"type":"success","data":{"n":2}}"#).await;
    assert_eq!(second.await.unwrap(), r#"{"n":2}"#);
    assert!(!opened.connection.is_busy());
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_deadline_and_the_module_gets_cancel() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let topic = topic();
    let at = |millis| Some(Instant::now() + Duration::from_millis(millis));
    let (_late, late) = opened.call(&topic, Envelope { deadline: at(5000), ..message("") });
    let (_soon, soon) = opened.call(&topic, Envelope { deadline: at(200), ..message("") });
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 5000);
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 200);
    let start = Instant::now();
    let over = "DEADLINE_EXCEEDED: the time for `t` is over, and m:1.0.0/instance-001 has not answered (true)";
    assert_eq!(soon.await.unwrap(), over);
    assert_eq!(start.elapsed().as_millis() / 10, 20);
    assert_eq!(opened.peer.next().await, json!({ "type": "cancel", "id": 3 }));
    assert_eq!(late.await.unwrap(), over);
    assert_eq!(start.elapsed().as_millis() / 10, 500);
    // Its late reply reaches no caller, and is not complained about.
    opened.peer.send(r#"{"type":"error","id":3,"code":"CANCELLED","message":""}"#).await;
    opened.peer.send(r#"{"type":"log","level":"info","message":"mark"}"#).await;
    assert_eq!(opened.heard.recv().await.as_deref(), Some("log: mark"));
    assert_eq!(topic.snapshot().errors, 2);
}

#[tokio::test]
async fn a_call_that_its_caller_cancels_is_cancelled_in_the_module() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (pending, answer) = opened.call(&topic(), message(""));
    opened.peer.next().await;
    pending.cancel(&mut WriteBatch::none());
    assert_eq!(opened.peer.next().await, json!({ "type": "cancel", "id": 2 }));
    assert!(answer.await.is_err(), "the caller gets no result");
}

#[tokio::test]
async fn a_request_that_is_too_long_is_refused_and_the_next_one_is_sent() {
    let mut opened = open(WITHOUT_IDS, FRAME_LIMIT).await.unwrap();
    let topic = topic();
    let (_large, large) = opened.call(&topic, message(&"x".repeat(FRAME_LIMIT)));
    let answer = large.await.unwrap();
    assert!(answer.starts_with("RESOURCE_EXHAUSTED: the request of 14"), "{answer}");
    assert!(answer.ends_with(" bytes is over the limit of 1000 bytes for a frame (false)"), "{answer}");
    let (_first, first) = opened.call(&topic, message("1"));
    let (_large, large) = opened.call(&topic, message(&"x".repeat(FRAME_LIMIT)));
    let (_last, last) = opened.call(&topic, message("2"));
    opened.peer.next().await;
    opened.peer.send(WITHOUT_IDS).await;
    assert_eq!(first.await.unwrap(), "{}");
    assert!(large.await.unwrap().starts_with("RESOURCE_EXHAUSTED"));
    assert_eq!(opened.peer.next().await["message"]["payload"], "Mg==");
    opened.peer.send(WITHOUT_IDS).await;
    assert_eq!(last.await.unwrap(), "{}");
    assert_eq!(topic.snapshot().errors, 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_reply_no_longer_counts_after_a_time() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let at = |millis| Some(Instant::now() + Duration::from_millis(millis));
    let (_late, late) = opened.call(&topic(), Envelope { deadline: at(200), ..message("") });
    let (given_up, _) = opened.call(&topic(), message(""));
    late.await.unwrap();
    given_up.cancel(&mut WriteBatch::none());
    tokio::time::sleep(Duration::from_secs(14)).await;
    assert_eq!((opened.connection.in_flight(), opened.connection.overdue()), (2, 0));
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!((opened.connection.in_flight(), opened.connection.overdue()), (0, 2));
    for id in [2, 3] {
        opened.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
    }
    opened.peer.send(r#"{"type":"log","level":"info","message":"mark"}"#).await;
    assert_eq!(opened.heard.recv().await.as_deref(), Some("log: mark"), "a late reply is not complained about");
    assert_eq!(opened.connection.overdue(), 0);
}

#[tokio::test]
async fn requests_are_lost_with_the_reason_when_the_module_ends() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (_pending, answer) = opened.call(&topic(), message(""));
    opened.peer.next().await;
    drop(opened.peer);
    opened.connection.closed().await;
    assert!(opened.connection.load().is_none());
    opened.connection.close("it was killed by signal 9");
    assert_eq!(
        answer.await.unwrap(),
        "lost: m:1.0.0/instance-001 ended while it handled `t`: it was killed by signal 9"
    );
}

#[tokio::test]
async fn a_stopped_module_finishes_its_request_and_one_that_it_refuses_is_lost() {
    let logs = Logs::default();
    let mut opened = open_with(WITHOUT_IDS, FRAME_LIMIT, CallLog::new(logs.clone(), false)).await.unwrap();
    let refuses = r#"{"type":"error","code":"UNAVAILABLE","message":"the module is shutting down","retryable":true}"#;
    let (_first, first) = opened.call(&topic(), message("1"));
    opened.peer.send(refuses).await;
    assert_eq!(first.await.unwrap(), "UNAVAILABLE: the module is shutting down (true)", "its own answer");
    let (_second, second) = opened.call(&topic(), message("2"));
    let (_waiting, _) = opened.call(&topic(), message("3"));
    let not_asked = opened.connection.stop();
    let [Undelivered::Call { envelope: given_back, .. }] = &not_asked[..] else { panic!("one was not asked") };
    assert_eq!(given_back.payload.borrowed().into_bytes().as_deref(), Ok(&b"3"[..]));
    opened.peer.send(refuses).await;
    assert_eq!(second.await.unwrap(), "lost: m:1.0.0/instance-001: the module is shutting down");
    let logged = logs.follow(1).try_next().unwrap();
    assert!(logged.message.contains(" was refused: UNAVAILABLE: "), "it had not begun: {}", logged.message);
    let reply = ReplyTo::new(|_, _| {});
    let back = opened.connection.send_message(
        HostRequest::Handle,
        message("4"),
        &topic(),
        reply,
        Instant::now(),
        &mut WriteBatch::none(),
    );
    assert!(back.is_err(), "another process may take it");
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_host_itself_has_a_timeout() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let connection = Arc::clone(&opened.connection);
    let asking = tokio::spawn(async move { connection.ask(HostRequest::HealthCheck, Duration::from_secs(5)).await });
    assert_eq!(opened.peer.next().await["type"], "health_check");
    opened.peer.send(r#"{"type":"success","id":2,"data":{"healthy":true}}"#).await;
    assert_eq!(asking.await.unwrap().unwrap().json(), r#"{"healthy":true}"#);
    let late = opened.connection.ask(HostRequest::Shutdown { grace_ms: 9 }, Duration::from_secs(5)).await;
    assert!(matches!(late, Err(CallError::Replied(reply)) if reply.code == code::DEADLINE_EXCEEDED));
    assert_eq!(opened.peer.next().await, json!({ "type": "shutdown", "id": 3, "grace_ms": 9 }));
    opened.connection.close("it is over");
    assert!(matches!(
        opened.connection.ask(HostRequest::HealthCheck, Duration::from_secs(5)).await,
        Err(CallError::Gone { .. })
    ));
}
