//! The `init` handshake, its timeout, and whether a module is ready.

use ixt_protocol::{MAX_LENGTH_FRAME_BYTES, ModuleFrame};
use tokio::net::UnixStream;

use super::*;
use crate::connection::handshake::offered;

/// A `starting` frame, which asks for `extend_ms` from when it is read.
fn starting(message: &str, extend_ms: u64) -> String {
    json!({ "type": "starting", "message": message, "extend_ms": extend_ms }).to_string()
}

#[tokio::test]
async fn open_fails_if_the_module_refuses_init_or_hangs_up() {
    let refusal = r#"{"type":"error","id":1,"code":"C","message":"no"}"#;
    let Err(CallError::Replied(reply)) = open(refusal, FRAME_LIMIT).await else { panic!("not refused") };
    assert_eq!((reply.code.as_str(), reply.message.as_str()), ("C", "no"));
    let wrong = open(r#"{"type":"success","id":1}"#, FRAME_LIMIT).await.map(drop).unwrap_err().to_string();
    assert_eq!(wrong, "INTERNAL: the module's reply to `init` is wrong: `data`: missing");
    for (reply, says) in [
        (r#"{"type":"success","id":1,"data":{"ixt":5}}"#, "in its reply to `init` is wrong: `ixt`: invalid type"),
        (
            r#"{"type":"success","id":1,"data":{"ixt":{"protocol":99,"sdk":"s"}}}"#,
            "the module speaks version 99 of the protocol, and this host version 1",
        ),
        (
            r#"{"type":"success","id":1,"data":{"ixt":{"protocol":1,"sdk":"s","framing":"morse"}}}"#,
            "the module has picked the framing `morse`, which was not offered",
        ),
        (r#"{"type":"success","id":1,"data":[1]}"#, "`data`: expected an object"),
        ("Traceback (most recent call last):", "not a frame: expected an object"),
        (r#"{"type":"sucess","id":1,"data":{}}"#, "frames of type `sucess` are not known here"),
        (r#"{"type":"sucess","data":{}}"#, "frames of type `sucess` are not known here"),
        (r#"{"type":"success","id":0,"data":{}}"#, "its reply to `init` has another `id` than 1"),
        (
            &format!(r#"{{"type":"success","id":1,"data":{{"a":"{}"}}}}"#, "x".repeat(FRAME_LIMIT)),
            "a frame of 1041 bytes",
        ),
    ] {
        let error = open(reply, FRAME_LIMIT).await.map(drop).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    let (here, there) = UnixStream::pair().unwrap();
    drop(there);
    let config = serde_json::value::to_raw_value(&json!({})).unwrap();
    let heard = Heard(mpsc::unbounded_channel().0);
    let opened = Connection::open(
        here,
        "m".into(),
        options(&config),
        limits(FRAME_LIMIT),
        heard,
        Spans::default(),
        CallLog::default(),
    );
    assert!(matches!(opened.await, Err(CallError::Gone { .. })));
    let config = serde_json::value::to_raw_value(&json!({ "a": "x".repeat(FRAME_LIMIT) })).unwrap();
    let (here, _there) = UnixStream::pair().unwrap();
    let heard = Heard(mpsc::unbounded_channel().0);
    let opened = Connection::open(
        here,
        "m".into(),
        options(&config),
        limits(FRAME_LIMIT),
        heard,
        Spans::default(),
        CallLog::default(),
    );
    assert!(matches!(opened.await, Err(CallError::TooLong { max_frame_bytes: FRAME_LIMIT, .. })));
}

#[tokio::test]
async fn a_long_init_is_sent_even_if_what_waits_for_modules_takes_all_memory() {
    let config = serde_json::value::to_raw_value(&json!({ "a": "x".repeat(300_000) })).unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let mut peer = Peer { stream: there, decoder: FrameDecoder::new(1 << 20) };
    let opening = Connection::open(
        here,
        "m".into(),
        options(&config),
        ConnectionLimits { waiting: Budget::new(0), ..limits(1 << 20) },
        Heard(mpsc::unbounded_channel().0),
        Spans::default(),
        CallLog::default(),
    );
    let answering = async {
        assert_eq!(peer.next().await["type"], "init");
        peer.send(WITH_IDS).await;
    };
    let both = async { tokio::join!(opening, answering).0 };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("`init` is sent").unwrap();
}

#[tokio::test]
async fn a_module_picks_its_framing_in_its_reply_to_init() {
    let mut opened =
        open(r#"{"type":"success","id":1,"data":{"ixt":{"protocol":1,"sdk":"s","framing":"length"}}}"#, FRAME_LIMIT)
            .await
            .unwrap();
    let (_pending, answer) = opened.call(&topic(), message(""));
    opened.peer.decoder.expect_length();
    assert_eq!(opened.peer.next().await["type"], "handle");
    assert_eq!(opened.peer.decoder.framing(), Some(Framing::Length));
    let mut frame = Vec::new();
    Frame { id: Some(2), body: ModuleFrame::Success { data: Object::empty() } }.write(Framing::Length, &mut frame);
    opened.peer.stream.write_all(&frame).await.unwrap();
    assert_eq!(answer.await.unwrap(), "{}");
    let offered = |max| offered(max).len();
    assert_eq!((offered(MAX_LENGTH_FRAME_BYTES), offered(MAX_LENGTH_FRAME_BYTES + 1)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_module_can_extend_the_timeout_of_init() {
    // Each frame with its time and what it asks for; when the module replies; after how long the reply came, or the timeout was over.
    type Case = (&'static [(u64, &'static str, u64)], u64, Result<u64, u64>);
    let config = serde_json::value::to_raw_value(&json!({})).unwrap();
    let seconds = Duration::from_secs;
    let cases: [Case; 5] = [
        (&[], 12, Err(10)),
        (&[(5, "a", 20_000)], 24, Ok(24)),
        (&[(5, "a", 20_000)], 26, Err(25)),
        // Each time counts from its frame, and a shorter one does not replace a longer one.
        (&[(1, "a", 20_000), (2, "b", 5_000), (18, "b", 20_000), (30, "", 0)], 37, Ok(37)),
        (&[(1, "a", 0), (9, "", 2_000), (10, "c", u64::MAX)], 4_000, Err(10 + 3_600)),
    ];
    for (says, replies, waited) in cases {
        let (here, there) = UnixStream::pair().unwrap();
        let mut peer = Peer { stream: there, decoder: FrameDecoder::new(1 << 20) };
        let (sender, progress) = watch::channel(StartProgress::default());
        let options = InitOptions { progress: sender, ..options(&config) };
        let (heard, _heard) = mpsc::unbounded_channel();
        let opening = Connection::open(
            here,
            "m".into(),
            options,
            limits(FRAME_LIMIT),
            Heard(heard),
            Spans::default(),
            CallLog::default(),
        );
        let heard_messages = Mutex::new(Vec::new());
        let tell = |message: &str| lock(&heard_messages).push(message.to_owned());
        let start = Instant::now();
        let opened = with_extensible_timeout(seconds(10), progress, tell, opening);
        let speaking = async {
            assert_eq!(peer.next().await["protocol"]["features"], json!(["log", "starting", "ready", "draining"]));
            for (at, message, extend_ms) in says {
                tokio::time::sleep_until(start + seconds(*at)).await;
                peer.send(&starting(message, *extend_ms)).await;
            }
            tokio::time::sleep_until(start + seconds(replies)).await;
            // The host may have closed the socket.
            let _ = peer.stream.write_all(format!("{WITH_IDS}\n").as_bytes()).await;
            std::future::pending::<()>().await;
        };
        let opened = tokio::select! {
            opened = opened => opened.map(|opened| drop(opened.unwrap())),
            () = speaking => unreachable!(),
        };
        let expected = waited.map(drop).map_err(seconds);
        let rounded = opened.map_err(|after| seconds(after.as_secs()));
        assert_eq!((rounded, start.elapsed().as_secs()), (expected, waited.unwrap_or_else(|after| after)), "{says:?}");
        let mut messages: Vec<_> =
            says.iter().map(|(_, message, _)| *message).filter(|text| !text.is_empty()).collect();
        messages.dedup();
        assert_eq!(*lock(&heard_messages), messages, "{says:?}");
    }
}

#[tokio::test]
async fn a_starting_frame_after_the_reply_to_init_is_skipped() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    opened.peer.send(&starting("too late", 1)).await;
    opened.peer.send(r#"{"type":"starting","extend_ms":"long"}"#).await;
    opened.peer.send(r#"{"type":"ready"}"#).await;
    opened.peer.send(r#"{"type":"log","level":"info","message":"mark"}"#).await;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last| last != "log: mark") {
        heard.push(opened.heard.recv().await.unwrap());
    }
    assert_eq!(heard[0], "skipped what it sent: a `starting` frame has no use after the reply to `init`");
    assert!(heard[1].starts_with("skipped what it sent: a `starting` frame is wrong: `extend_ms`: "), "{heard:?}");
    assert_eq!(heard[2], "skipped what it sent: a `ready` frame is wrong: `ready`: missing");
    assert!(opened.connection.load().is_some());
}

#[tokio::test]
async fn a_module_is_ready_unless_its_last_frame_or_health_report_says_no() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let turned = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let again = Arc::clone(&turned);
    opened.connection.when_ready(move |ready| {
        again.fetch_add(u64::from(ready), Ordering::SeqCst);
    });
    let mut id = 1;
    for (says, reports, is_ready, turned_ready) in [
        (None, Some(r#"{"healthy":true}"#), true, 0),
        (Some(true), None, true, 0),
        (Some(false), None, false, 0),
        (None, Some(r#"{"healthy":true}"#), false, 0),
        (None, Some(r#"{"healthy":true,"ready":false}"#), false, 0),
        (Some(true), None, false, 0),
        (None, Some(r#"{"healthy":true,"ready":true}"#), true, 1),
        (None, Some(r#"{"healthy":false,"ready":false}"#), false, 1),
        (None, Some(r#"{"healthy":true}"#), true, 2),
    ] {
        if let Some(ready) = says {
            opened.peer.send(&json!({ "type": "ready", "ready": ready }).to_string()).await;
        }
        // The frame has been read when a frame after it has been.
        let connection = Arc::clone(&opened.connection);
        id += 1;
        match reports {
            Some(data) => {
                let asking = tokio::spawn(async move { connection.check_health(Duration::from_secs(60)).await });
                opened.peer.next().await;
                opened.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{data}}}"#)).await;
                assert!(matches!(asking.await.unwrap(), HealthCheckResult::Replied(_)));
            }
            None => {
                // A module that is not ready still gets requests of the host itself.
                let asked = connection.ask(HostRequest::Shutdown { grace_ms: 1 }, Duration::from_secs(60));
                let answering = async {
                    opened.peer.next().await;
                    opened.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
                };
                assert!(tokio::join!(asked, answering).0.is_ok());
            }
        }
        let load = opened.connection.load();
        assert_eq!((load.is_some(), turned.load(Ordering::SeqCst)), (is_ready, turned_ready), "{says:?} {reports:?}");
    }
    let connection = Arc::clone(&opened.connection);
    let asking = tokio::spawn(async move { connection.check_health(Duration::from_secs(60)).await });
    opened.peer.next().await;
    opened.peer.send(&format!(r#"{{"type":"success","id":{},"data":{{"healthy":true,"ready":"no"}}}}"#, id + 1)).await;
    let HealthCheckResult::Unreadable(error) = asking.await.unwrap() else { panic!("it is no boolean") };
    assert_eq!(error, "`ready`: invalid type: string \"no\", expected a boolean");
}
