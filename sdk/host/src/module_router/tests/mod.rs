//! A module whose processes are played by the test.

use ixt_protocol::Payload;
use serde_json::Value;
use tokio::sync::oneshot;

use super::*;
use crate::bus::{BusError, LocalBus};
use crate::call_log::CallLog;
use crate::connection::Shared;
use crate::connection::tests::{Opened, WITH_IDS, WITHOUT_IDS, caller, open_with};
use crate::kv::RedbStore;
use crate::machine::Machine;
use crate::trace::Spans;
use crate::{Config, Deployment, Module, Program, Settings};

const MANIFEST: &str = r#"
schema_version = "3.0"
[module]
name = "m"
version = "1.0.0"
[provides]
services = ["once", "often", "quick"]
[requires]
events = ["kept", "lost"]
[services.often]
idempotent = true
[services.quick]
ttl_ms = 50
"#;

const CALL_TIMEOUT: Duration = Duration::from_secs(300);

async fn managed(instances: u32) -> Arc<Managed> {
    managed_with(instances, 2 * MAX_WAITING_BYTES).await
}

async fn managed_with(instances: u32, memory: usize) -> Arc<Managed> {
    let logs = Logs::default();
    let backends = Backends {
        bus: Arc::new(LocalBus::default()),
        kv: Arc::new(RedbStore::ephemeral().unwrap()),
        logs: logs.clone(),
        spans: Spans::default(),
        call_log: CallLog::new(logs.clone(), false),
        memory: Budget::new(memory),
        connections: Shared::default(),
        machine: Machine::new(&Settings::default(), &Logs::default()),
    };
    let release = release(MANIFEST);
    let managed = Managed::new(Arc::clone(&release), CALL_TIMEOUT, &backends, watch::Sender::new(None));
    managed.connect(&release).await.unwrap();
    managed.disconnect().await;
    managed.set_durable(&|topic| topic == "kept");
    for _ in 0..instances {
        managed.add_replica(&release, None, managed.turn()).unwrap();
    }
    managed
}

fn release(manifest: &str) -> Arc<Release> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("manifest.toml"), manifest).unwrap();
    let module = Module::open(dir.path()).unwrap();
    Deployment::new(&module, Program::new("m"), &Config::of(module.manifest())).unwrap().into_release()
}

fn message(topic: &str, bytes: usize) -> Envelope<'static> {
    Envelope::new(topic.to_owned(), Payload::from(vec![0; bytes]), "web:1.0.0", "")
}

/// What becomes of a call.
fn call(managed: &Managed, message: Envelope<'_>) -> oneshot::Receiver<String> {
    let (reply, answer) = caller();
    drop(managed.bus.call(message, reply, &mut WriteBatch::none()));
    answer
}

fn first(managed: &Managed) -> Arc<Replica> {
    managed.replicas().swap_remove(0)
}

fn event(managed: &Managed, message: &Envelope<'_>) {
    managed.take_event(message, &mut WriteBatch::none());
}

async fn ready(managed: &Managed, reply: &str) -> Opened {
    let opened = open_with(reply, 1 << 20, managed.call_log.clone()).await.unwrap();
    let replica = first(managed);
    replica.set(State::Ready, |status| status.connection = Some(Arc::clone(&opened.connection)));
    managed.add(&opened.connection, replica.release(), None);
    opened
}

/// The process has ended.
fn end(managed: &Managed, opened: &Opened, reason: &str) {
    managed.remove(&opened.connection);
    first(managed).set(State::Backoff, |status| status.reason = Some(reason.to_owned()));
    opened.connection.close(reason);
}

/// What is told, without how long it took.
fn told(managed: &Managed) -> Vec<String> {
    let mut lines = managed.logs.follow(usize::MAX);
    let without_time =
        |message: &str| match message.split_once(" after ").map(|(what, rest)| (what, rest.split_once(": "))) {
            Some((what, Some((_, why)))) => format!("{what}: {why}"),
            _ => message.to_owned(),
        };
    std::iter::from_fn(|| lines.try_next()).map(|line| without_time(&line.message)).collect()
}

#[tokio::test]
async fn a_call_goes_to_the_process_with_the_least_to_do() {
    let managed = managed(2).await;
    let mut both = [ready(&managed, WITH_IDS).await, ready(&managed, WITH_IDS).await];
    let load = |both: &[Opened; 2]| both.each_ref().map(|opened| opened.connection.in_flight());
    let calls: Vec<_> = (0..10).map(|_| call(&managed, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 5]);
    for id in 2..7 {
        both[0].peer.next().await;
        both[0].peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
    }
    both[0].connection.idle().await;
    let _more: Vec<_> = (0..5).map(|_| call(&managed, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 5]);
    drop(calls);
    // One that takes nothing more is passed over, even before it is removed.
    let _ = both[0].connection.stop();
    let _more: Vec<_> = (0..5).map(|_| call(&managed, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 10]);
    managed.remove(&both[0].connection);
    let _more: Vec<_> = (0..5).map(|_| call(&managed, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 15]);
}

#[tokio::test(start_paused = true)]
async fn without_a_process_a_call_waits_for_one_as_long_as_its_time() {
    let managed = managed(1).await;
    first(&managed).set(State::Backoff, |status| status.reason = Some("it was killed by signal 9".to_owned()));
    let waits = call(&managed, message("once", 0));
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let start = Instant::now();
    let over = call(&managed, Envelope { deadline, ..message("once", 0) }).await.unwrap();
    assert_eq!(
        over,
        "DEADLINE_EXCEEDED: the time for `once` is over: `m` is about to be restarted: it was killed by signal 9 (true)"
    );
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let mut opened = ready(&managed, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "once");
    opened.peer.send(r#"{"type":"success","id":2,"data":{"n":1}}"#).await;
    assert_eq!(waits.await.unwrap(), r#"{"n":1}"#);
    assert_eq!(opened.connection.in_flight(), 0, "the other one was answered");
}

/// What the module has sent has been read.
async fn read(opened: &mut Opened) {
    opened.peer.send(r#"{"type":"service_request","id":1,"service":"s","method":"echo","params":{}}"#).await;
    while opened.peer.next().await["type"] != "service_response" {}
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_ready_gets_nothing_new_and_what_waits_for_it_when_it_is() {
    let managed = managed(1).await;
    let mut opened = ready(&managed, WITH_IDS).await;
    let has = call(&managed, message("once", 0));
    opened.peer.next().await;
    opened.peer.send(r#"{"type":"ready","ready":false}"#).await;
    read(&mut opened).await;
    let waits = call(&managed, message("often", 0));
    event(&managed, &message("kept", 0));
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let over = call(&managed, Envelope { deadline, ..message("once", 0) }).await.unwrap();
    assert_eq!(over, "DEADLINE_EXCEEDED: the time for `once` is over: `m` says that it is not ready (true)");
    assert_eq!((opened.connection.in_flight(), managed.status().events_waiting), (1, 1), "it has what it had");
    opened.peer.send(r#"{"type":"success","id":2,"data":{"n":1}}"#).await;
    assert_eq!(has.await.unwrap(), r#"{"n":1}"#);
    // Another one takes them, and so does this one when it can.
    let mut other = ready(&managed, WITH_IDS).await;
    let got = [other.peer.next().await, other.peer.next().await];
    assert_eq!(got.each_ref().map(|frame| &frame["message"]["topic"]), ["often", "kept"]);
    other.peer.send(r#"{"type":"ready","ready":false}"#).await;
    other.peer.send(r#"{"type":"success","id":2,"data":{"n":2}}"#).await;
    assert_eq!(waits.await.unwrap(), r#"{"n":2}"#);
    let waits = call(&managed, message("quick", 0));
    opened.peer.send(r#"{"type":"ready","ready":true}"#).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "quick");
    opened.peer.send(r#"{"type":"success","id":3,"data":{"n":3}}"#).await;
    assert_eq!(waits.await.unwrap(), r#"{"n":3}"#);
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_module_that_is_told_to_end() {
    let managed = managed(1).await;
    first(&managed).set(State::Draining, |_| {});
    let waits = call(&managed, message("once", 0));
    first(&managed).retire();
    assert_eq!(call(&managed, message("once", 0)).await.unwrap(), "UNAVAILABLE: `m` is shutting down (true)");
    first(&managed).set(State::Stopped, |_| {});
    managed.given_up();
    assert_eq!(waits.await.unwrap(), "UNAVAILABLE: `m` is stopped (true)");
}

#[tokio::test]
async fn no_more_calls_wait_than_may_and_none_for_a_module_that_is_given_up() {
    let managed = managed(1).await;
    let waiting: Vec<_> = (0..MAX_PARKED).map(|_| call(&managed, message("often", 0))).collect();
    let full = "RESOURCE_EXHAUSTED: too many requests wait for `m`, or they carry too much (true)";
    assert_eq!(call(&managed, message("often", 0)).await.unwrap(), full);
    managed.given_up();
    assert_eq!(lock(&managed.parked).len(), MAX_PARKED, "it may still start");
    first(&managed).set(State::Failed, |status| status.reason = Some("it exited with status 3".to_owned()));
    managed.given_up();
    let failed = "UNAVAILABLE: `m` has failed and is not restarted any more: it exited with status 3 (true)";
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), failed);
    }
    assert_eq!(call(&managed, message("often", 0)).await.unwrap(), failed);
    first(&managed).set(State::Starting, |_| {});
    let _large = call(&managed, message("once", MAX_WAITING_BYTES - 1000));
    assert_eq!(call(&managed, message("once", 1000)).await.unwrap(), full);
}

/// What is kept to be asked again counts as long as it is kept, and so do events.
#[tokio::test]
async fn what_waits_for_a_module_takes_no_more_than_it_may() {
    const THIRD: usize = 100_000;
    let managed = managed_with(1, 3 * THIRD + 2000).await;
    let mut opened = ready(&managed, WITH_IDS).await;
    let mut calls: Vec<_> = (0..3).map(|_| call(&managed, message("often", THIRD))).collect();
    let full = "RESOURCE_EXHAUSTED: too many requests wait for `m`, or they carry too much (true)";
    assert_eq!(call(&managed, message("often", THIRD)).await.unwrap(), full);
    event(&managed, &message("kept", THIRD));
    assert_eq!(managed.status().events_dropped, 1);
    // What is kept nowhere is sent, if the module reads.
    let once = call(&managed, message("once", 0));
    for _ in 0..4 {
        opened.peer.next().await;
    }
    opened.peer.send(r#"{"type":"success","id":2,"data":{}}"#).await;
    calls.remove(0).await.unwrap();
    let _again = call(&managed, message("often", THIRD));
    for id in 3..7 {
        opened.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
    }
    assert_eq!(once.await.unwrap(), "{}");
    opened.connection.idle().await;
    assert_eq!(managed.waiting.used(), 0);
}

#[tokio::test]
async fn what_is_idempotent_is_asked_three_times_in_all() {
    let managed = managed(1).await;
    let mut often = call(&managed, message("often", 0));
    for attempt in 1..=MAX_ATTEMPTS {
        let mut opened = ready(&managed, WITH_IDS).await;
        let once = call(&managed, message("once", 0));
        assert_eq!(opened.peer.next().await["message"]["topic"], "often");
        assert!(often.try_recv().is_err(), "attempt {attempt}");
        end(&managed, &opened, "it crashed");
        let lost = "lost: m:1.0.0/instance-001 ended while it handled `once`: it crashed";
        assert_eq!(once.await.unwrap(), lost);
    }
    assert_eq!(often.await.unwrap(), "lost: m:1.0.0/instance-001 ended while it handled `often`: it crashed");
    let ended = |topic: &str| format!("m:1.0.0/instance-001 ended while it handled `{topic}`: it crashed");
    let tried_again = |attempt| {
        let lost = ended("often");
        format!("`often`, attempt {attempt} of 3: {lost}; it is tried again, for it is idempotent")
    };
    let lost = |topic: &str, why: &str| format!("the call `{topic}` of web:1.0.0 was lost: UNAVAILABLE: {why}");
    let once = lost("once", &ended("once"));
    let often = lost("often", &format!("attempt 3 of 3: {}; it is not tried again", ended("often")));
    let mut told = told(&managed);
    told.sort();
    let once = [&*once; 3];
    assert_eq!(told[..2], [tried_again(1), tried_again(2)]);
    assert_eq!(told[2..], [&[&*often], &once[..]].concat(), "each is lost once");
}

/// Beside others it may be another one that ends the process; alone, it is this one.
#[tokio::test]
async fn what_has_ended_two_processes_for_certain_gets_no_third_one() {
    let managed = managed(1).await;
    let mut often = call(&managed, Envelope { trace_id: "trace".into(), ..message("often", 0) });
    for attempt in 1..=2 {
        let mut opened = ready(&managed, WITH_IDS).await;
        assert_eq!(opened.peer.next().await["message"]["topic"], "often");
        assert!(often.try_recv().is_err(), "attempt {attempt}");
        assert_eq!(opened.connection.has_tried_again(), attempt > 1, "then it is to blame");
        end(&managed, &opened, "it crashed");
    }
    assert_eq!(often.await.unwrap(), "lost: m:1.0.0/instance-001 ended while it handled `often`: it crashed");
    let mut lines = managed.logs.follow(1);
    let Some(last) = lines.try_next() else { panic!("it is told") };
    assert_eq!((last.level, last.trace_id.as_str()), (LogLevel::Error, "trace"));
    assert!(last.message.starts_with("the call `often` of web:1.0.0 was lost after "), "{}", last.message);
    assert!(
        last.message.contains(": UNAVAILABLE: attempt 2 of 3: ") && last.message.ends_with("; it is not tried again")
    );
    let mut lines = managed.logs.follow(usize::MAX);
    let errors = std::iter::from_fn(|| lines.try_next()).filter(|line| line.level == LogLevel::Error);
    assert_eq!(errors.count(), 1, "it is told once");
}

/// Of a module that takes one request at a time: what it has not begun with is none of its business any more.
#[tokio::test]
async fn what_a_process_was_not_asked_goes_to_another_one() {
    let managed = managed(2).await;
    let mut old = ready(&managed, WITHOUT_IDS).await;
    let begun = call(&managed, message("once", 0));
    old.peer.next().await;
    let queued = [call(&managed, message("once", 1)), call(&managed, message("quick", 0))];
    event(&managed, &message("lost", 0));
    let replaced = first(&managed);
    let mut new = open_with(WITH_IDS, 1 << 20, managed.call_log.clone()).await.unwrap();
    managed.add(&new.connection, replaced.release(), Some(&replaced));
    for (id, kind) in [(2, "handle"), (3, "handle"), (4, "event")] {
        assert_eq!(new.peer.next().await["type"], kind);
        new.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
    }
    for queued in queued {
        assert_eq!(queued.await.unwrap(), "{}");
    }
    // It finishes what it has begun, and no more.
    let drained = old.connection.drained();
    tokio::pin!(drained);
    assert!(now(drained.as_mut()).await.is_pending());
    old.peer.send(WITHOUT_IDS).await;
    assert_eq!(begun.await.unwrap(), "{}");
    drained.await;
    assert_eq!(managed.status().events_dropped, 0);
}

/// What a future gives now.
async fn now<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}

/// Another release of the module: without `often` and `lost`, with something new.
const NEXT: &str = r#"
schema_version = "3.0"
[module]
name = "m"
version = "1.1.0"
[provides]
services = ["once", "quick", "new"]
[requires]
events = ["fresh", "kept"]
[services.quick]
ttl_ms = 60
"#;

#[tokio::test]
async fn each_process_gets_what_its_own_manifest_provides() {
    let managed = managed(2).await;
    let mut old = ready(&managed, WITH_IDS).await;
    let next = release(NEXT);
    managed.connect(&next).await.unwrap();
    let replica = managed.add_replica(&next, None, managed.turn()).unwrap();
    assert_eq!(&**replica.id(), "m:1.1.0/instance-003");
    // Nobody has it yet, and somebody will.
    let mut new_topic = call(&managed, message("new", 0));
    assert!(new_topic.try_recv().is_err());
    let mut new = open_with(WITH_IDS, 1 << 20, managed.call_log.clone()).await.unwrap();
    managed.add(&new.connection, &next, None);
    assert_eq!(new.peer.next().await["message"]["topic"], "new");
    let _calls: Vec<_> = ["often", "often", "new", "new"].map(|topic| call(&managed, message(topic, 0))).into();
    event(&managed, &message("fresh", 0));
    assert_eq!(new.peer.next().await["message"]["topic"], "new");
    assert_eq!(new.peer.next().await["message"]["topic"], "new");
    assert_eq!(new.peer.next().await["message"]["topic"], "fresh");
    assert_eq!(old.peer.next().await["message"]["topic"], "often");
    assert_eq!(old.peer.next().await["message"]["topic"], "often");
    let _both = call(&managed, message("once", 0));
    assert_eq!(old.peer.next().await["message"]["topic"], "once", "it has less to do");

    // What only the old ones have is there as long as one of them is.
    for replica in managed.replicas().iter().filter(|replica| !Arc::ptr_eq(replica.release(), &next)) {
        managed.forget(replica);
    }
    managed.remove(&old.connection);
    assert_eq!(call(&managed, message("often", 0)).await.unwrap(), "UNAVAILABLE: `m` does not provide `often` (true)");
    event(&managed, &message("lost", 0));
    managed.disconnect().await;
    assert!(!managed.bus.is_provided("often").await && managed.bus.is_provided("new").await);
    assert_eq!((managed.status().events_waiting, managed.status().events_dropped), (0, 1));
    assert_eq!(managed.status().version, "1.1.0");
    let _quick = call(&managed, Envelope { priority: ixt_protocol::Priority::Low, ..message("quick", 0) });
    assert_eq!(new.peer.next().await["message"]["ttl_ms"], 60);
}

#[tokio::test]
async fn a_release_that_provides_what_another_module_does_changes_nothing() {
    let managed = managed(1).await;
    managed.bus.provide("new", Arc::new(Nobody)).await.unwrap();
    let refused = managed.connect(&release(NEXT)).await.unwrap_err();
    assert_eq!((refused.topic.as_str(), refused.error), ("new", BusError::AlreadyProvided));
    assert!(managed.bus.is_provided("once").await && managed.bus.is_provided("often").await);
}

struct Nobody;

impl crate::bus::Endpoint for Nobody {
    fn call(&self, _: Envelope<'_>, _: ReplyTo, _: &mut WriteBatch) -> CallHandle {
        CallHandle::default()
    }

    fn event(&self, _: &Envelope<'_>, _: &mut WriteBatch) {}
}

/// One that ends again and again is not waited for.
#[tokio::test]
async fn while_it_is_restarted_only_now_and_then_calls_are_refused() {
    let managed = managed(1).await;
    let replica = first(&managed);
    replica.set(State::Backoff, |status| status.reason = Some("it exited with status 1".to_owned()));
    let waits = call(&managed, message("once", 0));
    replica.set(State::Backoff, |status| status.keeps_ending = true);
    managed.look_whether_one_comes();
    let refused =
        "UNAVAILABLE: `m` ends again and again, and is restarted only now and then: it exited with status 1 (true)";
    assert_eq!(waits.await.unwrap(), refused);
    replica.set(State::Starting, |_| {});
    assert_eq!(call(&managed, message("once", 0)).await.unwrap(), refused);
    event(&managed, &message("kept", 0));
    assert_eq!(managed.status().events_waiting, 1, "an event waits for it");
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_time_and_an_end() {
    let managed = managed(1).await;
    let mut opened = ready(&managed, WITH_IDS).await;
    let now = Some(Instant::now());
    let answer = call(&managed, Envelope { deadline: now, ..message("once", 0) }).await.unwrap();
    assert_eq!(answer, "DEADLINE_EXCEEDED: the time for `once` was over before `m` was asked (true)");

    let cause =
        |depth| (0..=depth).fold(None, |parent, _| Some(Arc::new(Cause::new(0, "other:1.0.0/instance-001", parent))));
    let _deep = call(&managed, Envelope { cause: cause(MAX_DEPTH - 1), ..message("once", 0) });
    let answer = call(&managed, Envelope { cause: cause(MAX_DEPTH), ..message("once", 0) }).await.unwrap();
    assert_eq!(
        answer,
        "RESOURCE_EXHAUSTED: `once` is the end of a chain of 1000 calls: they go round in a circle (false)"
    );

    // One of a module has the time of the host, unless the manifest has another; one from outside may wait for ever.
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 300_000);
    let _quick = call(&managed, Envelope { cause: cause(0), ..message("quick", 0) });
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 50);
    let _outside = call(&managed, message("once", 0));
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], Value::Null);
    drop(opened);
    assert_eq!(
        told(&managed)[..2],
        [
            "the call `once` of web:1.0.0 timed out: DEADLINE_EXCEEDED: the time for `once` was over before `m` was asked",
            "the call `once` of web:1.0.0 was refused: RESOURCE_EXHAUSTED: `once` is the end of a chain of 1000 calls: \
             they go round in a circle",
        ]
    );
}

#[tokio::test]
async fn a_module_that_takes_one_request_at_a_time_does_not_wait_for_itself() {
    let managed = managed(2).await;
    let mut opened = ready(&managed, WITHOUT_IDS).await;
    let _first = call(&managed, message("once", 0));
    opened.peer.next().await;
    let cause = opened.connection.handled(None).unwrap().cause;
    let answer = call(&managed, Envelope { cause: Some(Arc::clone(&cause)), ..message("quick", 0) }).await.unwrap();
    assert_eq!(
        answer,
        "FAILED_PRECONDITION: `m` handles one request at a time, and `quick` is called from it: it would wait for itself \
         (called from `m:1.0.0/instance-001`) (false)"
    );
    // Another process can do it.
    let mut other = ready(&managed, WITHOUT_IDS).await;
    let answer = call(&managed, Envelope { cause: Some(cause), ..message("once", 0) });
    assert_eq!(other.peer.next().await["message"]["topic"], "once");
    other.peer.send(WITHOUT_IDS).await;
    assert_eq!(answer.await.unwrap(), "{}");
}

/// Whoever publishes an event does not wait for its handling, so that what the handler calls may be answered by it.
#[tokio::test]
async fn what_the_handler_of_an_event_calls_is_not_called_from_its_publisher() {
    let managed = managed(1).await;
    let mut opened = ready(&managed, WITHOUT_IDS).await;
    let _publishing = call(&managed, message("once", 0));
    opened.peer.next().await;
    let publisher = opened.connection.handled(None).unwrap().cause;
    let subscriber = open_with(WITH_IDS, 1 << 20, CallLog::default()).await.unwrap();
    let (taken, replica) = (managed_with(1, 1 << 20).await, first(&managed));
    taken.add(&subscriber.connection, replica.release(), None);
    event(&taken, &Envelope { cause: Some(publisher), ..message("lost", 0) });
    let handling = subscriber.connection.handled(Some(2)).unwrap().cause;
    assert_eq!((handling.depth(), handling.chain().count()), (0, 1));
    let answer = call(&managed, Envelope { cause: Some(handling), ..message("quick", 0) });
    opened.peer.send(WITHOUT_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "quick", "it waits for its turn");
    opened.peer.send(WITHOUT_IDS).await;
    assert_eq!(answer.await.unwrap(), "{}");
}

#[tokio::test]
async fn events_wait_for_a_process_that_takes_so_many_at_once() {
    let managed = managed(1).await;
    for _ in 0..event_queue::EVENTS_AT_ONCE + 2 {
        event(&managed, &message("lost", 0));
    }
    assert_eq!(managed.status().events_waiting, event_queue::EVENTS_AT_ONCE as u64 + 2);
    let mut opened = ready(&managed, WITH_IDS).await;
    assert_eq!(managed.status().events_waiting, 2);
    assert_eq!(opened.peer.next().await["type"], "event");
    opened.peer.send(r#"{"type":"error","id":2,"code":"C","message":"no"}"#).await;
    while managed.status().events_waiting == 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(managed.status().events_waiting, 1);
    assert_eq!(told(&managed), ["the event `lost` of web:1.0.0 failed: C: no"]);

    let managed = super::tests::managed(1).await;
    for _ in 0..3 {
        event(&managed, &message("lost", 0));
    }
    let _opened = ready(&managed, WITHOUT_IDS).await;
    assert_eq!(managed.status().events_waiting, 2, "one at a time");
}

#[tokio::test]
async fn an_event_that_a_process_had_when_it_ended_comes_again_if_it_is_durable() {
    let managed = managed(1).await;
    event(&managed, &message("kept", 0));
    event(&managed, &message("lost", 0));
    let opened = ready(&managed, WITH_IDS).await;
    assert_eq!((managed.status().events_waiting, managed.status().events_dropped), (0, 0));
    end(&managed, &opened, "it crashed");
    assert_eq!((managed.status().events_waiting, managed.status().events_dropped), (1, 1));
    let mut opened = ready(&managed, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "kept");
    opened.peer.send(r#"{"type":"success","id":2,"data":{}}"#).await;
    opened.connection.idle().await;
    assert_eq!((managed.status().events_waiting, managed.status().events_dropped), (0, 1));
    let mut told = told(&managed);
    told.sort();
    let reason = "m:1.0.0/instance-001 ended while it handled";
    assert_eq!(
        told,
        [
            format!("the event `kept` is durable and will be sent again: {reason} `kept`: it crashed"),
            format!("the event `lost` of web:1.0.0 was lost: UNAVAILABLE: {reason} `lost`: it crashed"),
        ]
    );
}

#[tokio::test]
async fn events_are_dropped_and_counted_when_too_many_wait_or_nobody_will_come() {
    let managed = managed(1).await;
    for _ in 0..event_queue::MAX_EVENTS + 2 {
        event(&managed, &message("lost", 0));
    }
    let status = managed.status();
    assert_eq!((status.events_waiting, status.events_dropped), (event_queue::MAX_EVENTS as u64, 2));
    let slow = "takes its events too slowly: `lost` was dropped, as were 1 events so far";
    assert_eq!(told(&managed), [slow], "and not again for each of them");
    first(&managed).set(State::Stopped, |_| {});
    managed.given_up();
    event(&managed, &message("lost", 0));
    let status = managed.status();
    assert_eq!((status.events_waiting, status.events_dropped), (0, event_queue::MAX_EVENTS as u64 + 3));
    let told = told(&managed);
    assert_eq!(told[1], "1024 events that waited for it are dropped: it does not run any more");
    assert_eq!(told[2], "does not run: `lost` was dropped, as were 1027 events so far");

    let managed = super::tests::managed(1).await;
    event(&managed, &message("lost", MAX_WAITING_BYTES));
    event(&managed, &message("lost", 0));
    assert_eq!((managed.status().events_waiting, managed.status().events_dropped), (1, 1));
}

#[tokio::test]
async fn events_wait_for_one_that_does_not_read() {
    let managed = managed(1).await;
    let mut opened = ready(&managed, WITH_IDS).await;
    for _ in 0..20 {
        event(&managed, &message("lost", 500_000));
    }
    let waiting = managed.status().events_waiting;
    assert!((10..20).contains(&waiting), "{waiting} wait");
    for _ in 0..20 {
        assert_eq!(opened.peer.next().await["type"], "event");
    }
    assert_eq!((managed.status().events_waiting, managed.status().events_dropped), (0, 0));
}

#[tokio::test]
async fn why_there_is_no_process_is_told_by_its_state() {
    let managed = managed(1).await;
    let why = |state: State, reason: Option<&str>| {
        first(&managed).set(state, |status| status.reason = reason.map(ToOwned::to_owned));
        managed.why_not("once")
    };
    assert_eq!(why(State::Starting, None), "`m` is starting");
    assert_eq!(why(State::Starting, Some("it exited")), "`m` is starting: it exited");
    assert_eq!(why(State::Backoff, Some("it exited")), "`m` is about to be restarted: it exited");
    assert_eq!(why(State::Failed, Some("it exited")), "`m` has failed and is not restarted any more: it exited");
    assert_eq!(why(State::Draining, None), "`m` is shutting down");
    assert_eq!(why(State::Ready, None), "`m` is shutting down");
    assert_eq!(why(State::Stopped, None), "`m` is stopped");
}

#[tokio::test]
async fn the_status_has_each_process_and_topic() {
    let managed = managed(2).await;
    let mut opened = ready(&managed, WITH_IDS).await;
    first(&managed).set(State::Ready, |status| status.connection = Some(Arc::clone(&opened.connection)));
    let answer = call(&managed, message("once", 0));
    let _waits = call(&managed, message("once", 0));
    opened.peer.send(r#"{"type":"error","id":2,"code":"C","message":""}"#).await;
    answer.await.unwrap();
    let status = managed.status();
    assert_eq!((status.name.as_str(), status.version.as_str()), ("m", "1.0.0"));
    let ids: Vec<_> = status.instances.iter().map(|instance| instance.id.as_str()).collect();
    assert_eq!(ids, ["m:1.0.0/instance-001", "m:1.0.0/instance-002"]);
    assert_eq!([status.instances[0].in_flight, status.instances[1].in_flight], [1, 0]);
    let topics: Vec<_> = status.topics.iter().map(|topic| (topic.topic.as_str(), topic.calls, topic.errors)).collect();
    assert_eq!(topics, [("kept", 0, 0), ("lost", 0, 0), ("often", 0, 0), ("once", 1, 1), ("quick", 0, 0)]);
}
