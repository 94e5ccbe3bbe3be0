//! A connection with a module that is played by the test, frame by frame.

use ixt_protocol::{Decoder, ModuleFrame, Payload, Priority};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;

use super::*;
use crate::logs::Logs;

/// The module's end.
pub(crate) struct Peer {
    stream: UnixStream,
    decoder: Decoder,
}

impl Peer {
    /// The next frame, as JSON.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                return serde_json::from_slice(frame.unwrap().json).unwrap();
            }
            assert_ne!(self.stream.read_buf(self.decoder.input()).await.unwrap(), 0, "the host has hung up");
        }
    }

    pub(crate) async fn send(&mut self, json: &str) {
        self.stream.write_all(format!("{json}\n").as_bytes()).await.unwrap();
    }
}

/// What the module's own requests, its log and its mistakes come to.
struct Heard(mpsc::UnboundedSender<String>);

impl Services for Heard {
    fn request(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        request: ServiceRequest<'_>,
        batch: &mut WriteBatch,
    ) {
        let begun = connection.begin_call(id);
        self.0.send(format!("{}.{} {id:?} {begun}", request.service, request.method)).unwrap();
        match &*request.method {
            "echo" => connection.end_call(id, Ok(request.params), batch),
            "much" => connection.end_call(id, Ok(Object::trusted("{}").attach("a", vec![0; FRAME_LIMIT])), batch),
            _ => {}
        }
    }

    fn log(&self, log: &Log<'_>) {
        self.0.send(format!("log: {}", log.message)).unwrap();
    }

    fn complain(&self, complaint: &str) {
        self.0.send(complaint.to_owned()).unwrap();
    }
}

const FRAME_LIMIT: usize = 1000;

fn limits(max_frame_bytes: usize) -> Limits {
    let (waiting, shared) = (Budget::new(64 << 20), Shared::default());
    Limits { max_frame_bytes, waiting, shared, overdue_after: Duration::from_secs(15) }
}

pub(crate) struct Opened {
    pub(crate) connection: Arc<Connection>,
    pub(crate) peer: Peer,
    heard: mpsc::UnboundedReceiver<String>,
}

impl Connection {
    /// Waits until the module has answered all that it has.
    pub(crate) async fn idle(&self) {
        while self.in_flight() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

/// Somebody who waits for an answer, and what it is, in words.
pub(crate) fn caller() -> (ReplyTo, oneshot::Receiver<String>) {
    let (sender, answer) = oneshot::channel();
    let reply = ReplyTo::new(move |answer, _| {
        let _ = sender.send(match answer {
            CallResult::Lost { reason, .. } => format!("lost: {reason}"),
            answer => match answer.into_result() {
                Ok(data) => data.to_json().into_owned(),
                Err(error) => format!("{}: {} ({})", error.code, error.message, error.retryable),
            },
        });
    });
    (reply, answer)
}

impl Opened {
    fn heard(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.heard.try_recv().ok()).collect()
    }

    /// Sends the module a call, and gives what its caller will be answered.
    fn call(&self, topic: &Arc<Topic>, message: Envelope<'static>) -> (CallHandle, oneshot::Receiver<String>) {
        let (reply, answer) = caller();
        let sent = self.connection.send_message(
            Request::Handle,
            message,
            topic,
            reply,
            Instant::now(),
            &mut WriteBatch::none(),
        );
        (sent.unwrap_or_else(|_| panic!("it takes nothing")), answer)
    }
}

fn hello(config: &RawValue) -> Hello<'_> {
    Hello { config, framing: Framing::Line, progress: watch::Sender::default() }
}

/// Opens a connection whose module answers `init` with this.
pub(crate) async fn open(reply: &str, max_frame_bytes: usize) -> Result<Opened, CallError> {
    open_with(reply, max_frame_bytes, CallLog::default()).await
}

pub(crate) async fn open_with(reply: &str, max_frame_bytes: usize, calls: CallLog) -> Result<Opened, CallError> {
    let (here, there) = UnixStream::pair().unwrap();
    let (sender, heard) = mpsc::unbounded_channel();
    let config = serde_json::value::to_raw_value(&json!({ "a": 1 })).unwrap();
    let mut peer = Peer { stream: there, decoder: Decoder::new(1 << 20) };
    let limits = limits(max_frame_bytes);
    let opening = Connection::open(
        here,
        "m:1.0.0/instance-001".into(),
        hello(&config),
        limits,
        Heard(sender),
        Spans::default(),
        calls,
    );
    let answering = async {
        let init = peer.next().await;
        assert_eq!((&init["type"], &init["id"], &init["config"]), (&json!("init"), &json!(1), &json!({ "a": 1 })));
        assert_eq!(init["protocol"]["max_frame_bytes"], max_frame_bytes);
        peer.send(reply).await;
    };
    let (connection, ()) = tokio::join!(opening, answering);
    Ok(Opened { connection: connection?, peer, heard })
}

pub(crate) const WITH_IDS: &str = r#"{"type":"success","id":1,"data":{}}"#;
pub(crate) const WITHOUT_IDS: &str = r#"{"type":"success","data":{}}"#;

fn topic() -> Arc<Topic> {
    Arc::new(Topic::new("t"))
}

fn message(payload: &str) -> Envelope<'static> {
    let payload = Payload::from(payload.as_bytes().to_vec());
    Envelope { priority: Priority::High, ..Envelope::new("t", payload, "caller:1.0.0", "trace") }
}

#[tokio::test]
async fn each_reply_comes_to_the_one_who_waits_for_it() {
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
    let stats = topic.stats().snapshot("t");
    assert_eq!((stats.calls, stats.errors), (2, 1));
    assert!(opened.heard().is_empty());
}

#[tokio::test]
async fn a_module_without_ids_gets_the_next_request_when_it_has_answered() {
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
async fn a_call_ends_with_its_time_and_the_module_is_told() {
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
    // Its late reply is nobody's, and no mistake.
    opened.peer.send(r#"{"type":"error","id":3,"code":"CANCELLED","message":""}"#).await;
    opened.peer.send(r#"{"type":"log","level":"info","message":"mark"}"#).await;
    assert_eq!(opened.heard.recv().await.as_deref(), Some("log: mark"));
    assert_eq!(topic.stats().snapshot("t").errors, 2);
}

#[tokio::test]
async fn a_call_that_is_taken_back_is_cancelled_in_the_module() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (pending, answer) = opened.call(&topic(), message(""));
    opened.peer.next().await;
    pending.cancel(&mut WriteBatch::none());
    assert_eq!(opened.peer.next().await, json!({ "type": "cancel", "id": 2 }));
    assert!(answer.await.is_err(), "nobody is answered");
}

#[tokio::test]
async fn a_request_that_is_too_long_is_answered_and_the_next_one_goes_on() {
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
    assert_eq!(topic.stats().snapshot("t").errors, 2);
}

#[tokio::test]
async fn what_a_module_asks_for_is_answered_by_its_id_unless_it_takes_it_back() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let ask = |id: &str, method: &str, params: &str| {
        format!(r#"{{"type":"service_request"{id},"service":"s","method":"{method}","params":{params}}}"#)
    };
    opened.peer.send(&ask(r#","id":7"#, "echo", r#"{"a":1}"#)).await;
    let answer = opened.peer.next().await;
    assert_eq!(answer, json!({ "type": "service_response", "id": 7, "success": true, "data": { "a": 1 } }));
    opened.peer.send(&ask("", "echo", "{}")).await;
    assert_eq!(opened.peer.next().await, json!({ "type": "service_response", "success": true, "data": {} }));
    // The same id twice, while the first waits.
    opened.peer.send(&ask(r#","id":8"#, "wait", "{}")).await;
    opened.peer.send(&ask(r#","id":8"#, "wait", "{}")).await;
    opened.peer.send(r#"{"type":"cancel","id":8}"#).await;
    opened.peer.send(&ask(r#","id":8"#, "wait", "{}")).await;
    // What is too long to be answered is told to be.
    opened.peer.send(&ask(r#","id":9"#, "much", "{}")).await;
    let answer = opened.peer.next().await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(9), &json!("RESOURCE_EXHAUSTED")));
    assert_eq!(
        opened.heard(),
        [
            "s.echo Some(7) true",
            "s.echo None true",
            "s.wait Some(8) true",
            "s.wait Some(8) false",
            "s.wait Some(8) true",
            "s.much Some(9) true",
        ]
    );
}

#[tokio::test]
async fn a_reply_of_the_wrong_shape_ends_its_request_and_what_is_nobodys_is_told() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (_pending, answer) = opened.call(&topic(), message(""));
    opened.peer.next().await;
    opened.peer.send(r#"{"type":"success","id":2}"#).await;
    assert_eq!(answer.await.unwrap(), "INTERNAL: the module's reply is wrong: `data`: missing (false)");
    opened.peer.send(r#"{"type":"success","id":9,"data":{}}"#).await;
    opened.peer.send(r#"{"type":"error","id":9}"#).await;
    opened.peer.send(r#"{"type":"dance","id":9}"#).await;
    let answer = opened.peer.next().await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(9), &json!("UNIMPLEMENTED")));
    opened.peer.send(r#"{"type":"service_request","id":10,"service":"s"}"#).await;
    let answer = opened.peer.next().await;
    assert_eq!((&answer["id"], &answer["code"]), (&json!(10), &json!("INVALID_INPUT")));
    assert_eq!(
        opened.heard(),
        [
            "skipped a reply to the request 9 that nobody waits for",
            "skipped what it sent: a `error` frame is wrong: `code`: missing",
            "skipped what it sent: frames of type `dance` are not known here",
            "its request was refused: a `service_request` frame is wrong: `method`: missing",
        ]
    );
}

/// Whatever comes back in place of a reply: who waits is answered at once.
#[tokio::test]
async fn what_can_not_be_read_is_answered_at_once() {
    for (reply, says) in [
        (r#"{"type":"success"ID,"data":{"mean":NaN}}"#, "`data`: expected value at line 1 column "),
        (r#"{"data":{"mean":Infinity},"type":"success"ID}"#, "`data`: expected value at line 1 column "),
        (r#"{"type":"success"ID,"data":[1]}"#, "`data`: expected an object"),
        (r#"{"type":"success"ID,"data":"x"}"#, "`data`: expected an object"),
        (r#"{"type":"success"ID,"data":{}"#, "EOF while parsing an object at line 1 column "),
        (r#"{"type":"error"ID,"code":"C","details":[1,2]}"#, "`details`: expected an object"),
        (r#"{"type":"error"ID,"code":5}"#, "`code`: invalid type: integer `5`, expected a string"),
        (r#"{"type":"sucess"ID,"data":{}}"#, "frames of type `sucess` are not known here"),
        ("Traceback (most recent call last):", "not a frame: expected an object"),
        ("{'type':'success','data':{}}", "not a frame: key must be a string at line 1 column 2"),
        ("\u{0}\u{1}", "not a frame: expected an object"),
    ] {
        for (init, id) in [(WITH_IDS, r#","id":2"#), (WITHOUT_IDS, "")] {
            let mut opened = open(init, FRAME_LIMIT).await.unwrap();
            let (_pending, answer) = opened.call(&topic(), message(""));
            opened.peer.next().await;
            let reply = reply.replace("ID", id);
            opened.peer.send(&reply).await;
            let answer = answer.await.unwrap();
            assert!(answer.starts_with("INTERNAL: the module's reply is wrong: "), "{reply}: {answer}");
            assert!(answer.contains(says), "{reply}: {answer}");
            // What can't be told from a reply ends one whose replies have no ids: the next would be taken for another's.
            let is_a_reply = reply.contains("success\"") || reply.contains("error\"");
            assert_eq!(opened.connection.load().is_some(), !id.is_empty() || is_a_reply, "{reply}");
        }
    }
}

/// Nobody gets what was meant for another one.
#[tokio::test]
async fn a_reply_without_an_id_is_nobodys_if_the_module_has_used_ids() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (_first, first) = opened.call(&topic(), message("1"));
    let (_second, second) = opened.call(&topic(), message("2"));
    opened.peer.send(r#"{"type":"success","data":{"for":"the second"}}"#).await;
    let says =
        "INTERNAL: the module's reply is wrong: a reply has no `id`, although its reply to `init` had one (false)";
    assert_eq!((first.await.unwrap().as_str(), second.await.unwrap().as_str()), (says, says));
    assert!(opened.heard()[0].ends_with("it was skipped, and what waited for a reply got an error"));
    let (_next, next) = opened.call(&topic(), message("3"));
    opened.peer.send(r#"{"type":"success","id":4,"data":{}}"#).await;
    assert_eq!(next.await.unwrap(), "{}");
}

#[tokio::test]
async fn a_request_of_a_module_that_can_not_be_read_is_answered_at_once() {
    for init in [WITH_IDS, WITHOUT_IDS] {
        for id in [r#","id":7"#, ""] {
            let mut opened = open(init, FRAME_LIMIT).await.unwrap();
            opened.peer.send(&format!(r#"{{"type":"service_request"{id},"service":"s","params":{{"x":NaN}}}}"#)).await;
            let answer = opened.peer.next().await;
            assert_eq!((&answer["type"], &answer["code"]), (&json!("service_response"), &json!("INVALID_INPUT")));
            assert_eq!(answer.get("id"), (!id.is_empty()).then_some(&json!(7)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_stays_unanswered_takes_no_place_for_ever() {
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
    assert_eq!(opened.heard.recv().await.as_deref(), Some("log: mark"), "a late answer is no mistake");
    assert_eq!(opened.connection.overdue(), 0);
}

#[tokio::test]
async fn a_frame_over_the_limit_ends_whatever_may_have_waited_for_it() {
    let long = format!(r#"{{"type":"success","id":2,"data":{{"a":"{}"}}}}"#, "x".repeat(FRAME_LIMIT));
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let (_one, one) = opened.call(&topic(), message(""));
    let (_other, other) = opened.call(&topic(), message(""));
    opened.peer.send(&long).await;
    let wrong = "INTERNAL: the module's reply is wrong: a frame of 1041 bytes is over the limit of 1000 bytes (false)";
    assert_eq!((one.await.unwrap().as_str(), other.await.unwrap().as_str()), (wrong, wrong));
    assert_eq!(opened.heard().len(), 1);
    let (_next, next) = opened.call(&topic(), message(""));
    opened.peer.send(r#"{"type":"success","id":4,"data":{}}"#).await;
    assert_eq!(next.await.unwrap(), "{}", "the connection lives on");

    let mut opened = open(WITHOUT_IDS, FRAME_LIMIT).await.unwrap();
    let (_one, one) = opened.call(&topic(), message(""));
    opened.peer.send(&long).await;
    assert_eq!(one.await.unwrap(), wrong);
    opened.connection.closed().await;
    assert!(opened.connection.end_reason().unwrap().contains("its replies can't be told apart"));
    assert!(opened.connection.load().is_none());
}

#[tokio::test]
async fn what_is_begun_when_the_module_ends_is_lost_with_the_reason() {
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
async fn one_that_is_told_to_end_finishes_what_it_has_and_what_it_refuses_is_lost() {
    let logs = Logs::default();
    let mut opened = open_with(WITHOUT_IDS, FRAME_LIMIT, CallLog::new(logs.clone(), false)).await.unwrap();
    let refuses = r#"{"type":"error","code":"UNAVAILABLE","message":"the module is shutting down","retryable":true}"#;
    let (_first, first) = opened.call(&topic(), message("1"));
    opened.peer.send(refuses).await;
    assert_eq!(first.await.unwrap(), "UNAVAILABLE: the module is shutting down (true)", "its own answer");
    let (_second, second) = opened.call(&topic(), message("2"));
    let (_waiting, _) = opened.call(&topic(), message("3"));
    let not_asked = opened.connection.stop();
    let [NotAsked::Call { message: given_back, .. }] = &not_asked[..] else { panic!("one was not asked") };
    assert_eq!(given_back.payload.borrowed().into_bytes().as_deref(), Ok(&b"3"[..]));
    opened.peer.send(refuses).await;
    assert_eq!(second.await.unwrap(), "lost: m:1.0.0/instance-001: the module is shutting down");
    let told = logs.follow(1).try_next().unwrap();
    assert!(told.message.contains(" was refused: UNAVAILABLE: "), "it had not begun: {}", told.message);
    let reply = ReplyTo::new(|_, _| {});
    let back = opened.connection.send_message(
        Request::Handle,
        message("4"),
        &topic(),
        reply,
        Instant::now(),
        &mut WriteBatch::none(),
    );
    assert!(back.is_err(), "another one may take it");
}

#[tokio::test]
async fn a_module_that_refuses_init_or_hangs_up_is_told() {
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
        hello(&config),
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
        hello(&config),
        limits(FRAME_LIMIT),
        heard,
        Spans::default(),
        CallLog::default(),
    );
    assert!(matches!(opened.await, Err(CallError::TooLong { max_frame_bytes: FRAME_LIMIT, .. })));
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
    Frame { id: Some(2), body: ModuleFrame::Success { data: Object::trusted("{}") } }
        .write(Framing::Length, &mut frame);
    opened.peer.stream.write_all(&frame).await.unwrap();
    assert_eq!(answer.await.unwrap(), "{}");
    let offered = |max| super::offered(max).len();
    assert_eq!((offered(MAX_LENGTH_FRAME_BYTES), offered(MAX_LENGTH_FRAME_BYTES + 1)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_host_asks_within_a_time() {
    let mut opened = open(WITH_IDS, FRAME_LIMIT).await.unwrap();
    let connection = Arc::clone(&opened.connection);
    let asking = tokio::spawn(async move { connection.ask(Request::HealthCheck, Duration::from_secs(5)).await });
    assert_eq!(opened.peer.next().await["type"], "health_check");
    opened.peer.send(r#"{"type":"success","id":2,"data":{"healthy":true}}"#).await;
    assert_eq!(asking.await.unwrap().unwrap().json(), r#"{"healthy":true}"#);
    let late = opened.connection.ask(Request::Shutdown { grace_ms: 9 }, Duration::from_secs(5)).await;
    assert!(matches!(late, Err(CallError::Replied(reply)) if reply.code == code::DEADLINE_EXCEEDED));
    assert_eq!(opened.peer.next().await, json!({ "type": "shutdown", "id": 3, "grace_ms": 9 }));
    opened.connection.close("it is over");
    assert!(matches!(
        opened.connection.ask(Request::HealthCheck, Duration::from_secs(5)).await,
        Err(CallError::Gone { .. })
    ));
}

/// Whoever sends a part of a large frame and not the rest takes room from others for no longer than it has to.
#[tokio::test(start_paused = true)]
async fn a_large_frame_that_does_not_come_whole_ends_its_module() {
    let mut opened = open(WITH_IDS, 1 << 20).await.unwrap();
    let (_pending, answer) = opened.call(&topic(), message(""));
    let part = vec![b'x'; 300 * 1024];
    opened.peer.stream.write_all(&part).await.unwrap();
    // A byte now and then does not help.
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let _ = opened.peer.stream.write_all(b"x").await;
    }
    opened.connection.closed().await;
    let reason = opened.connection.end_reason().unwrap();
    assert!(reason.contains("a part of a large frame"), "{reason}");
    opened.connection.close(&reason);
    assert!(answer.await.unwrap().contains("a part of a large frame"));
}

/// It has asked for this much from when that was read.
fn starting(message: &str, extend_ms: u64) -> String {
    json!({ "type": "starting", "message": message, "extend_ms": extend_ms }).to_string()
}

#[tokio::test(start_paused = true)]
async fn a_module_that_asks_for_time_before_its_reply_to_init_is_waited_for() {
    // What it says, after how long; when it replies, and how long it is waited for.
    type Case = (&'static [(u64, &'static str, u64)], u64, Result<u64, u64>);
    let config = serde_json::value::to_raw_value(&json!({})).unwrap();
    let seconds = Duration::from_secs;
    let cases: [Case; 5] = [
        (&[], 12, Err(10)),
        (&[(5, "a", 20_000)], 24, Ok(24)),
        (&[(5, "a", 20_000)], 26, Err(25)),
        // A shorter time takes nothing away, and each counts from when it has come.
        (&[(1, "a", 20_000), (2, "b", 5_000), (18, "b", 20_000), (30, "", 0)], 37, Ok(37)),
        (&[(1, "a", 0), (9, "", 2_000), (10, "c", u64::MAX)], 4_000, Err(10 + 3_600)),
    ];
    for (says, replies, waited) in cases {
        let (here, there) = UnixStream::pair().unwrap();
        let mut peer = Peer { stream: there, decoder: Decoder::new(1 << 20) };
        let (sender, progress) = watch::channel(Progress::default());
        let hello = Hello { progress: sender, ..hello(&config) };
        let (heard, _heard) = mpsc::unbounded_channel();
        let opening = Connection::open(
            here,
            "m".into(),
            hello,
            limits(FRAME_LIMIT),
            Heard(heard),
            Spans::default(),
            CallLog::default(),
        );
        let told = Mutex::new(Vec::new());
        let tell = |message: &str| lock(&told).push(message.to_owned());
        let start = Instant::now();
        let opened = patiently(seconds(10), progress, tell, opening);
        let speaking = async {
            assert_eq!(peer.next().await["protocol"]["features"], json!(["log", "starting", "ready", "draining"]));
            for (at, message, extend_ms) in says {
                tokio::time::sleep_until(start + seconds(*at)).await;
                peer.send(&starting(message, *extend_ms)).await;
            }
            tokio::time::sleep_until(start + seconds(replies)).await;
            // Nobody may read it any more.
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
        assert_eq!(*lock(&told), messages, "{says:?}");
    }
}

#[tokio::test]
async fn a_start_that_is_over_is_not_made_longer() {
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
async fn a_module_takes_new_requests_while_neither_its_frames_nor_its_health_say_otherwise() {
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
        // What comes after it has been read, the frame has been, too.
        let connection = Arc::clone(&opened.connection);
        id += 1;
        match reports {
            Some(data) => {
                let asking = tokio::spawn(async move { connection.check_health(Duration::from_secs(60)).await });
                opened.peer.next().await;
                opened.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{data}}}"#)).await;
                assert!(matches!(asking.await.unwrap(), Checked::Replied(_)));
            }
            None => {
                // Also one that is not ready is asked, and answers what it has.
                let asked = connection.ask(Request::Shutdown { grace_ms: 1 }, Duration::from_secs(60));
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
    let Checked::Unreadable(error) = asking.await.unwrap() else { panic!("it is no boolean") };
    assert_eq!(error, "`ready`: invalid type: string \"no\", expected a boolean");
}
