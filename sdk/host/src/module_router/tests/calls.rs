//! Tests of calls: which replica gets one, and which are refused or tried again.

use super::*;

/// Polls a future once.
async fn now<F: Future>(mut future: std::pin::Pin<&mut F>) -> std::task::Poll<F::Output> {
    std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await
}

#[tokio::test]
async fn a_call_goes_to_the_process_with_the_least_to_do() {
    let router = router(2).await;
    let mut both = [ready(&router, WITH_IDS).await, ready(&router, WITH_IDS).await];
    let load = |both: &[Opened; 2]| both.each_ref().map(|opened| opened.connection.in_flight());
    let calls: Vec<_> = (0..10).map(|_| call(&router, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 5]);
    for id in 2..7 {
        both[0].peer.next().await;
        both[0].peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
    }
    both[0].connection.idle().await;
    let _more: Vec<_> = (0..5).map(|_| call(&router, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 5]);
    drop(calls);
    // A process that takes no more calls is not picked, even before it is removed.
    let _ = both[0].connection.stop();
    let _more: Vec<_> = (0..5).map(|_| call(&router, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 10]);
    router.remove(&both[0].connection);
    let _more: Vec<_> = (0..5).map(|_| call(&router, message("once", 0))).collect();
    assert_eq!(load(&both), [5, 15]);
}

#[tokio::test]
async fn what_is_idempotent_is_asked_three_times_in_all() {
    let router = router(1).await;
    let mut often = call(&router, message("often", 0));
    for attempt in 1..=3 {
        let mut opened = ready(&router, WITH_IDS).await;
        let once = call(&router, message("once", 0));
        assert_eq!(opened.peer.next().await["message"]["topic"], "often");
        assert!(often.try_recv().is_err(), "attempt {attempt}");
        end(&router, &opened, "it crashed");
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
    let mut told = told(&router);
    told.sort();
    let once = [&*once; 3];
    assert_eq!(told[..2], [tried_again(1), tried_again(2)]);
    assert_eq!(told[2..], [&[&*often], &once[..]].concat(), "each is lost once");
}

#[tokio::test]
async fn a_further_attempt_of_a_call_is_cancelled_too() {
    let router = router(1).await;
    let mut opened = ready(&router, WITH_IDS).await;
    let (reply, _answer) = caller();
    let handle = router.bus.call(message("often", 0), reply, &mut WriteBatch::none());
    assert_eq!(opened.peer.next().await["message"]["topic"], "often");
    end(&router, &opened, "it crashed");
    let mut other = ready(&router, WITH_IDS).await;
    assert_eq!(other.peer.next().await["message"]["topic"], "often");
    handle.cancel(&mut WriteBatch::none());
    assert_eq!(other.peer.next().await["type"], "cancel");
    // A cancelled call is not tried again.
    end(&router, &other, "it crashed");
    let third = ready(&router, WITH_IDS).await;
    assert_eq!(third.connection.in_flight(), 0);
}

#[tokio::test]
async fn a_call_that_a_process_gave_back_is_cancelled_at_another_one() {
    let router = router(2).await;
    let mut old = ready(&router, WITHOUT_IDS).await;
    let _begun = call(&router, message("once", 0));
    old.peer.next().await;
    let (reply, _answer) = caller();
    let queued = router.bus.call(message("quick", 0), reply, &mut WriteBatch::none());
    let replaced = first(&router);
    let mut new = open_with(WITH_IDS, 1 << 20, router.call_log.clone()).await.unwrap();
    router.add(&new.connection, replaced.release(), Some(&replaced));
    assert_eq!(new.peer.next().await["message"]["topic"], "quick");
    queued.cancel(&mut WriteBatch::none());
    assert_eq!(new.peer.next().await["type"], "cancel");
}

/// If the process had other requests, one of these may have ended it; if not, this call did.
#[tokio::test]
async fn what_has_ended_two_processes_for_certain_gets_no_third_one() {
    let router = router(1).await;
    let mut often = call(&router, Envelope { trace_id: "trace".into(), ..message("often", 0) });
    for attempt in 1..=2 {
        let mut opened = ready(&router, WITH_IDS).await;
        assert_eq!(opened.peer.next().await["message"]["topic"], "often");
        assert!(often.try_recv().is_err(), "attempt {attempt}");
        assert_eq!(opened.connection.has_retried_call(), attempt > 1, "then it is to blame");
        end(&router, &opened, "it crashed");
    }
    assert_eq!(often.await.unwrap(), "lost: m:1.0.0/instance-001 ended while it handled `often`: it crashed");
    let mut lines = router.logs.follow(1);
    let Some(last) = lines.try_next() else { panic!("it is told") };
    assert_eq!((last.level, last.trace_id.as_str()), (LogLevel::Error, "trace"));
    assert!(last.message.starts_with("the call `often` of web:1.0.0 was lost after "), "{}", last.message);
    assert!(
        last.message.contains(": UNAVAILABLE: attempt 2 of 3: ") && last.message.ends_with("; it is not tried again")
    );
    let mut lines = router.logs.follow(usize::MAX);
    let errors = std::iter::from_fn(|| lines.try_next()).filter(|line| line.level == LogLevel::Error);
    assert_eq!(errors.count(), 1, "it is told once");
}

/// A sequential process that stops gives its queued requests to another one.
#[tokio::test]
async fn what_a_process_was_not_asked_goes_to_another_one() {
    let router = router(2).await;
    let mut old = ready(&router, WITHOUT_IDS).await;
    let begun = call(&router, message("once", 0));
    old.peer.next().await;
    let queued = [call(&router, message("once", 1)), call(&router, message("quick", 0))];
    event(&router, &message("lost", 0));
    let replaced = first(&router);
    let mut new = open_with(WITH_IDS, 1 << 20, router.call_log.clone()).await.unwrap();
    router.add(&new.connection, replaced.release(), Some(&replaced));
    for (id, kind) in [(2, "handle"), (3, "handle"), (4, "event")] {
        assert_eq!(new.peer.next().await["type"], kind);
        new.peer.send(&format!(r#"{{"type":"success","id":{id},"data":{{}}}}"#)).await;
    }
    for queued in queued {
        assert_eq!(queued.await.unwrap(), "{}");
    }
    // The old process finishes the request that it has, and gets no more.
    let drained = old.connection.drained();
    tokio::pin!(drained);
    assert!(now(drained.as_mut()).await.is_pending());
    old.peer.send(WITHOUT_IDS).await;
    assert_eq!(begun.await.unwrap(), "{}");
    drained.await;
    assert_eq!(router.status().events_dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_time_and_an_end() {
    let router = router(1).await;
    let mut opened = ready(&router, WITH_IDS).await;
    let now = Some(Instant::now());
    let answer = call(&router, Envelope { deadline: now, ..message("once", 0) }).await.unwrap();
    assert_eq!(answer, "DEADLINE_EXCEEDED: the time for `once` was over before `m` was asked (true)");

    let cause =
        |depth| (0..=depth).fold(None, |parent, _| Some(Arc::new(Cause::new(0, "other:1.0.0/instance-001", parent))));
    let _deep = call(&router, Envelope { cause: cause(MAX_DEPTH - 1), ..message("once", 0) });
    let answer = call(&router, Envelope { cause: cause(MAX_DEPTH), ..message("once", 0) }).await.unwrap();
    assert_eq!(
        answer,
        "RESOURCE_EXHAUSTED: `once` is the end of a chain of 1000 calls: they go round in a circle (false)"
    );

    // A call of a module has the host's call timeout, unless the manifest sets one; a call from outside has none.
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 300_000);
    let _quick = call(&router, Envelope { cause: cause(0), ..message("quick", 0) });
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], 50);
    let _outside = call(&router, message("once", 0));
    assert_eq!(opened.peer.next().await["message"]["ttl_ms"], Value::Null);
    drop(opened);
    assert_eq!(
        told(&router)[..2],
        [
            "the call `once` of web:1.0.0 timed out: DEADLINE_EXCEEDED: the time for `once` was over before `m` was asked",
            "the call `once` of web:1.0.0 was refused: RESOURCE_EXHAUSTED: `once` is the end of a chain of 1000 calls: \
             they go round in a circle",
        ]
    );
}

#[tokio::test]
async fn a_module_that_takes_one_request_at_a_time_does_not_wait_for_itself() {
    let router = router(2).await;
    let mut opened = ready(&router, WITHOUT_IDS).await;
    let _first = call(&router, message("once", 0));
    opened.peer.next().await;
    let cause = opened.connection.handled(None).unwrap().cause;
    let answer = call(&router, Envelope { cause: Some(Arc::clone(&cause)), ..message("quick", 0) }).await.unwrap();
    assert_eq!(
        answer,
        "FAILED_PRECONDITION: `m` handles one request at a time, and `quick` is called from it: it would wait for itself \
         (called from `m:1.0.0/instance-001`) (false)"
    );
    // Another process can do it.
    let mut other = ready(&router, WITHOUT_IDS).await;
    let answer = call(&router, Envelope { cause: Some(cause), ..message("once", 0) });
    assert_eq!(other.peer.next().await["message"]["topic"], "once");
    other.peer.send(WITHOUT_IDS).await;
    assert_eq!(answer.await.unwrap(), "{}");
}
