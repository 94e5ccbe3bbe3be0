//! Tests of events: which process gets one, and which are dropped or sent again.

use super::*;

/// A publisher does not wait for the handlers of its event, so that it can answer the calls that these make.
#[tokio::test]
async fn what_the_handler_of_an_event_calls_is_not_called_from_its_publisher() {
    let router = router(1).await;
    let mut opened = ready(&router, WITHOUT_IDS).await;
    let _publishing = call(&router, message("once", 0));
    opened.peer.next().await;
    let publisher = opened.connection.handled(None).unwrap().cause;
    let subscriber = open_with(WITH_IDS, 1 << 20, CallLog::default()).await.unwrap();
    let (taken, replica) = (router_with(1, 1 << 20).await, first(&router));
    taken.add(&subscriber.connection, replica.release(), None);
    event(&taken, &Envelope { cause: Some(publisher), ..message("lost", 0) });
    let handling = subscriber.connection.handled(Some(2)).unwrap().cause;
    assert_eq!((handling.depth(), handling.chain().count()), (0, 1));
    let answer = call(&router, Envelope { cause: Some(handling), ..message("quick", 0) });
    opened.peer.send(WITHOUT_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "quick", "it waits for its turn");
    opened.peer.send(WITHOUT_IDS).await;
    assert_eq!(answer.await.unwrap(), "{}");
}

#[tokio::test]
async fn events_wait_for_a_process_that_takes_so_many_at_once() {
    let router = router(1).await;
    for _ in 0..EVENTS_AT_ONCE + 2 {
        event(&router, &message("lost", 0));
    }
    assert_eq!(router.status().events_waiting, EVENTS_AT_ONCE as u64 + 2);
    let mut opened = ready(&router, WITH_IDS).await;
    assert_eq!(router.status().events_waiting, 2);
    assert_eq!(opened.peer.next().await["type"], "event");
    opened.peer.send(r#"{"type":"error","id":2,"code":"C","message":"no"}"#).await;
    while router.status().events_waiting == 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(router.status().events_waiting, 1);
    assert_eq!(told(&router), ["the event `lost` of web:1.0.0 failed: C: no"]);

    let router = super::router(1).await;
    for _ in 0..3 {
        event(&router, &message("lost", 0));
    }
    let _opened = ready(&router, WITHOUT_IDS).await;
    assert_eq!(router.status().events_waiting, 2, "one at a time");
}

#[tokio::test]
async fn an_event_that_a_process_had_when_it_ended_comes_again_if_it_is_durable() {
    let router = router(1).await;
    event(&router, &message("kept", 0));
    event(&router, &message("lost", 0));
    let opened = ready(&router, WITH_IDS).await;
    assert_eq!((router.status().events_waiting, router.status().events_dropped), (0, 0));
    end(&router, &opened, "it crashed");
    assert_eq!((router.status().events_waiting, router.status().events_dropped), (1, 1));
    let mut opened = ready(&router, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["topic"], "kept");
    opened.peer.send(r#"{"type":"success","id":2,"data":{}}"#).await;
    opened.connection.idle().await;
    assert_eq!((router.status().events_waiting, router.status().events_dropped), (0, 1));
    let mut told = told(&router);
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
    let router = router(1).await;
    for _ in 0..MAX_EVENTS + 2 {
        event(&router, &message("lost", 0));
    }
    let status = router.status();
    assert_eq!((status.events_waiting, status.events_dropped), (MAX_EVENTS as u64, 2));
    let slow = "takes its events too slowly: `lost` was dropped (events dropped so far: 1)";
    assert_eq!(told(&router), [slow], "and not again for each of them");
    first(&router).set(InstanceState::Stopped, |_| {});
    router.given_up();
    event(&router, &message("lost", 0));
    let status = router.status();
    assert_eq!((status.events_waiting, status.events_dropped), (0, MAX_EVENTS as u64 + 3));
    let told = told(&router);
    assert_eq!(told[1], "1024 events that waited for it are dropped: it does not run any more");
    assert_eq!(told[2], "does not run: `lost` was dropped (events dropped so far: 1027)");

    let router = super::router(1).await;
    event(&router, &message("lost", MAX_WAITING_BYTES));
    event(&router, &message("lost", 0));
    assert_eq!((router.status().events_waiting, router.status().events_dropped), (1, 1));
}

#[tokio::test]
async fn events_wait_for_one_that_does_not_read() {
    let router = router(1).await;
    let mut opened = ready(&router, WITH_IDS).await;
    for _ in 0..20 {
        event(&router, &message("lost", 500_000));
    }
    let waiting = router.status().events_waiting;
    assert!((10..20).contains(&waiting), "{waiting} wait");
    for _ in 0..20 {
        assert_eq!(opened.peer.next().await["type"], "event");
    }
    assert_eq!((router.status().events_waiting, router.status().events_dropped), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_time_of_an_event_includes_how_long_it_waits() {
    let router = router(1).await;
    event(&router, &message("kept", 0));
    tokio::time::sleep(CALL_TIMEOUT / 2).await;
    let mut opened = ready(&router, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 150_000);
    end(&router, &opened, "it crashed");
    tokio::time::sleep(CALL_TIMEOUT / 2).await;
    let mut opened = ready(&router, WITH_IDS).await;
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 0);
    opened.connection.drained().await;
    end(&router, &opened, "it crashed");
    assert_eq!(router.status().events_waiting, 0, "a durable event is not sent again after its time");
}
