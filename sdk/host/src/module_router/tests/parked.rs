//! Tests of calls that wait for a replica.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_a_process_a_call_waits_for_one_as_long_as_its_time() {
    let router = router(1).await;
    first(&router).set(InstanceState::Backoff, |status| status.reason = Some("it was killed by signal 9".to_owned()));
    let waits = call(&router, message("once", 0));
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let start = Instant::now();
    let over = call(&router, Envelope { deadline, ..message("once", 0) }).await.unwrap();
    assert_eq!(
        over,
        "DEADLINE_EXCEEDED: the time for `once` is over: `m` is about to be restarted: it was killed by signal 9 (true)"
    );
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    let mut opened = ready(&router, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "once");
    opened.peer.send(r#"{"type":"success","id":2,"data":{"n":1}}"#).await;
    assert_eq!(waits.await.unwrap(), r#"{"n":1}"#);
    assert_eq!(opened.connection.in_flight(), 0, "the other one was answered");
}

/// Waits until the host has read everything that the module has sent.
async fn read(opened: &mut Opened) {
    opened.peer.send(r#"{"type":"service_request","id":1,"service":"s","method":"echo","params":{}}"#).await;
    while opened.peer.next().await["type"] != "service_response" {}
}

#[tokio::test(start_paused = true)]
async fn one_that_is_not_ready_gets_nothing_new_and_what_waits_for_it_when_it_is() {
    let router = router(1).await;
    let mut opened = ready(&router, WITH_IDS).await;
    let has = call(&router, message("once", 0));
    opened.peer.next().await;
    opened.peer.send(r#"{"type":"ready","ready":false}"#).await;
    read(&mut opened).await;
    let waits = call(&router, message("often", 0));
    event(&router, &message("kept", 0));
    let deadline = Some(Instant::now() + Duration::from_secs(1));
    let over = call(&router, Envelope { deadline, ..message("once", 0) }).await.unwrap();
    assert_eq!(over, "DEADLINE_EXCEEDED: the time for `once` is over: `m` says that it is not ready (true)");
    assert_eq!((opened.connection.in_flight(), router.status().events_waiting), (1, 1), "it has what it had");
    opened.peer.send(r#"{"type":"success","id":2,"data":{"n":1}}"#).await;
    assert_eq!(has.await.unwrap(), r#"{"n":1}"#);
    // Another process takes what waits, and so does this one when it is ready again.
    let mut other = ready(&router, WITH_IDS).await;
    let got = [other.peer.next().await, other.peer.next().await];
    assert_eq!(got.each_ref().map(|frame| &frame["message"]["topic"]), ["often", "kept"]);
    other.peer.send(r#"{"type":"ready","ready":false}"#).await;
    other.peer.send(r#"{"type":"success","id":2,"data":{"n":2}}"#).await;
    assert_eq!(waits.await.unwrap(), r#"{"n":2}"#);
    let waits = call(&router, message("quick", 0));
    opened.peer.send(r#"{"type":"ready","ready":true}"#).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "quick");
    opened.peer.send(r#"{"type":"success","id":3,"data":{"n":3}}"#).await;
    assert_eq!(waits.await.unwrap(), r#"{"n":3}"#);
}

#[tokio::test]
async fn a_call_does_not_wait_for_a_module_that_is_told_to_end() {
    let router = router(1).await;
    first(&router).set(InstanceState::Draining, |_| {});
    let waits = call(&router, message("once", 0));
    first(&router).retire();
    assert_eq!(call(&router, message("once", 0)).await.unwrap(), "UNAVAILABLE: `m` is shutting down (true)");
    first(&router).set(InstanceState::Stopped, |_| {});
    router.given_up();
    assert_eq!(waits.await.unwrap(), "UNAVAILABLE: `m` is stopped (true)");
}

#[tokio::test]
async fn no_more_calls_wait_than_may_and_none_for_a_module_that_is_given_up() {
    let router = router(1).await;
    let waiting: Vec<_> = (0..MAX_PARKED).map(|_| call(&router, message("often", 0))).collect();
    let full = "RESOURCE_EXHAUSTED: too many requests wait for `m`, or they carry too much (true)";
    assert_eq!(call(&router, message("often", 0)).await.unwrap(), full);
    router.given_up();
    assert_eq!(lock(&router.parked).len(), MAX_PARKED, "it may still start");
    first(&router).set(InstanceState::Failed, |status| status.reason = Some("it exited with status 3".to_owned()));
    router.given_up();
    let failed = "UNAVAILABLE: `m` has failed and is not restarted any more: it exited with status 3 (true)";
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), failed);
    }
    assert_eq!(call(&router, message("often", 0)).await.unwrap(), failed);
    first(&router).set(InstanceState::Starting, |_| {});
    let _large = call(&router, message("once", MAX_WAITING_BYTES - 1000));
    assert_eq!(call(&router, message("once", 1000)).await.unwrap(), full);
}

/// The copy of an idempotent call counts for the limit until the call has ended; queued events count too.
#[tokio::test]
async fn what_waits_for_a_module_takes_no_more_than_it_may() {
    const THIRD: usize = 100_000;
    let router = router_with(1, 3 * THIRD + 2000).await;
    let mut opened = ready(&router, WITH_IDS).await;
    let mut calls: Vec<_> = (0..3).map(|_| call(&router, message("often", THIRD))).collect();
    let full = "RESOURCE_EXHAUSTED: too many requests wait for `m`, or they carry too much (true)";
    assert_eq!(call(&router, message("often", THIRD)).await.unwrap(), full);
    event(&router, &message("kept", THIRD));
    assert_eq!(router.status().events_dropped, 1);
    // A call of which no copy is kept is sent, if the module reads.
    let once = call(&router, message("once", 0));
    for _ in 0..4 {
        opened.peer.next().await;
    }
    opened.peer.send(r#"{"type":"success","id":2,"data":{}}"#).await;
    calls.remove(0).await.unwrap();
    let _again = call(&router, message("often", THIRD));
    for id in 3..7 {
        opened.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
    }
    assert_eq!(once.await.unwrap(), "{}");
    opened.connection.idle().await;
    assert_eq!(router.waiting.used(), 0);
}

/// Calls do not wait for a module that ends again and again.
#[tokio::test]
async fn while_it_is_restarted_only_now_and_then_calls_are_refused() {
    let router = router(1).await;
    let replica = first(&router);
    replica.set(InstanceState::Backoff, |status| status.reason = Some("it exited with status 1".to_owned()));
    let waits = call(&router, message("once", 0));
    replica.set(InstanceState::Backoff, |status| status.keeps_ending = true);
    router.refuse_parked_in_vain();
    let refused =
        "UNAVAILABLE: `m` ends again and again, and is restarted only now and then: it exited with status 1 (true)";
    assert_eq!(waits.await.unwrap(), refused);
    replica.set(InstanceState::Starting, |_| {});
    assert_eq!(call(&router, message("once", 0)).await.unwrap(), refused);
    event(&router, &message("kept", 0));
    assert_eq!(router.status().events_waiting, 1, "an event waits for it");
}

#[tokio::test]
async fn why_there_is_no_process_is_told_by_its_state() {
    let router = router(1).await;
    let why = |state: InstanceState, reason: Option<&str>| {
        first(&router).set(state, |status| status.reason = reason.map(ToOwned::to_owned));
        router.why_not("once")
    };
    assert_eq!(why(InstanceState::Starting, None), "`m` is starting");
    assert_eq!(why(InstanceState::Starting, Some("it exited")), "`m` is starting: it exited");
    assert_eq!(why(InstanceState::Backoff, Some("it exited")), "`m` is about to be restarted: it exited");
    assert_eq!(
        why(InstanceState::Failed, Some("it exited")),
        "`m` has failed and is not restarted any more: it exited"
    );
    assert_eq!(why(InstanceState::Draining, None), "`m` is shutting down");
    assert_eq!(why(InstanceState::Ready, None), "`m` is shutting down");
    assert_eq!(why(InstanceState::Stopped, None), "`m` is stopped");
}

/// Otherwise each timer would run until the deadline of a call that was answered long before.
#[tokio::test(start_paused = true)]
async fn the_timer_of_a_parked_call_ends_when_the_call_is_dispatched() {
    let router = router(1).await;
    first(&router).set(InstanceState::Starting, |_| ());
    tokio::time::sleep(Duration::from_millis(1)).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let deadline = Some(Instant::now() + Duration::from_secs(3600));
    let calls = [(); 10].map(|()| call(&router, Envelope { deadline, ..message("once", 0) }));
    assert_eq!(tasks(), before + calls.len());
    router.release_parked();
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(tasks(), before + calls.len(), "they are parked again, each with one timer");
    router.close();
    first(&router).set(InstanceState::Stopped, |_| ());
    router.release_parked();
    for call in calls {
        assert!(call.await.unwrap().starts_with("UNAVAILABLE"));
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(tasks(), before);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_that_waits_for_a_process_is_not_sent() {
    let router = router(1).await;
    let (reply, mut answer) = caller();
    let parked = router.bus.call(message("once", 100), reply, &mut WriteBatch::none());
    assert_eq!(router.status().calls_waiting, 1);
    parked.cancel(&mut WriteBatch::none());
    assert_eq!(router.status().calls_waiting, 0, "it leaves at once");
    assert_eq!(router.waiting.used(), 0);
    assert!(answer.try_recv().is_err(), "its caller does not wait");
    assert_eq!(
        told(&router),
        ["the call `once` of web:1.0.0 was given up by its caller: CANCELLED: the caller of `once` gave up"]
    );
    let _other = call(&router, message("quick", 0));
    let mut opened = ready(&router, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "quick");
    assert_eq!(opened.connection.in_flight(), 1);
}

#[tokio::test]
async fn a_call_that_waited_for_a_process_is_cancelled_there() {
    let router = router(1).await;
    let (reply, _answer) = caller();
    let handle = router.bus.call(message("once", 0), reply, &mut WriteBatch::none());
    let mut opened = ready(&router, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "once");
    handle.cancel(&mut WriteBatch::none());
    assert_eq!(opened.peer.next().await["type"], "cancel");
}
