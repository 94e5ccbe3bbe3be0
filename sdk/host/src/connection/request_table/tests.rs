//! The states of a request, the limits, and the order of the queue, without a connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ixt_protocol::{Priority, WirePayload};

use super::*;
use crate::bus::Envelope;
use crate::topic::ModuleTopic;
use crate::topic_kind::TopicKind;

const OVERDUE_AFTER: Duration = Duration::from_secs(15);

const WAITING_BYTES: usize = 1 << 20;

fn concurrent() -> RequestTable {
    RequestTable::new(OVERDUE_AFTER, Budget::new(WAITING_BYTES))
}

fn handle(priority: Priority, bytes: usize) -> HostRequest<'static> {
    HostRequest::Handle(Envelope { priority, ..Envelope::new("t", WirePayload::from(vec![0; bytes]), "", "") })
}

fn nobody() -> ReplyTo {
    ReplyTo::new(|_, _| {})
}

/// Admits a request. Returns in a word what is to be done with it, and its id.
fn admit(requests: &mut RequestTable, request: HostRequest<'static>) -> (&'static str, u64) {
    match requests.admit(request, nobody(), None, None, Instant::now()) {
        Admitted::Send { id, beside_others: false, .. } => ("sent alone", id),
        Admitted::Send { id, beside_others: true, .. } => ("sent", id),
        Admitted::Queued { id, .. } => ("queued", id),
        Admitted::Refused { .. } => ("refused", 0),
        Admitted::Closed { .. } => ("closed", 0),
    }
}

fn sequential() -> RequestTable {
    let mut requests = concurrent();
    requests.make_sequential();
    requests
}

#[test]
fn a_module_with_ids_has_many_requests_and_answers_each_by_its_id() {
    let mut requests = concurrent();
    assert!(!requests.is_sequential() && !requests.is_busy());
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)), ("sent alone", 2));
    assert_eq!(admit(&mut requests, HostRequest::HealthCheck), ("sent", 3));
    assert_eq!((requests.len(), requests.is_busy()), (2, false));
    let mut ids = requests.ids();
    ids.sort_unstable();
    assert_eq!(ids, [2, 3]);
    let (done, next) = requests.complete(Some(3));
    assert!(done.is_some() && next.is_none());
    assert!(requests.complete(Some(3)).0.is_none(), "it was answered");
    assert!(requests.complete(Some(2)).0.is_some());
    assert_eq!(requests.len(), 0);
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "sent alone");
    assert!(requests.complete(None).0.is_none(), "whose reply that is can't be known");
}

#[test]
fn a_module_without_ids_gets_one_request_at_a_time_the_most_urgent_first() {
    let mut requests = sequential();
    assert!(requests.is_sequential() && !requests.is_busy());
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)), ("sent alone", 2));
    assert!(requests.is_busy());
    for (id, priority) in [(3, Priority::Low), (4, Priority::Critical), (5, Priority::High), (6, Priority::Critical)] {
        assert_eq!(admit(&mut requests, handle(priority, 0)), ("queued", id));
    }
    assert_eq!(admit(&mut requests, HostRequest::HealthCheck), ("queued", 7));
    assert_eq!(admit(&mut requests, HostRequest::Shutdown { grace_ms: 1 }), ("queued", 8));
    assert_eq!((requests.len(), requests.queued()), (7, 6));
    let mut order = Vec::new();
    while let (Some(_), next) = requests.complete(None) {
        order.extend(next.map(|(id, _)| id));
    }
    assert_eq!(order, [8, 7, 4, 6, 5, 3]);
    assert!(!requests.is_busy() && requests.len() == 0);
    // A reply to a queued request does not end the current one.
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "sent alone");
    let (_, queued) = admit(&mut requests, handle(Priority::Low, 0));
    assert!(requests.complete(Some(queued)).1.is_none());
    assert!(requests.is_busy());
}

#[test]
fn every_eighth_request_taken_is_the_oldest_so_that_low_priorities_do_not_starve() {
    let mut requests = sequential();
    admit(&mut requests, handle(Priority::Critical, 0));
    let (_, low) = admit(&mut requests, handle(Priority::Low, 0));
    let mut begin = || {
        // The module is never without requests that are more urgent.
        admit(&mut requests, handle(Priority::Critical, 0));
        requests.complete(None).1.map(|(id, _)| id)
    };
    let order: Vec<_> = (0..8).map(|_| begin()).collect();
    assert_eq!(order.iter().position(|id| *id == Some(low)), Some(7));
    // A health check is never overtaken, and does not count.
    let (_, low) = admit(&mut requests, handle(Priority::Low, 0));
    for _ in 0..7 {
        admit(&mut requests, handle(Priority::Critical, 0));
        assert_ne!(requests.complete(None).1.map(|(id, _)| id), Some(low));
    }
    let (_, health) = admit(&mut requests, HostRequest::HealthCheck);
    let next = [requests.complete(None).1, requests.complete(None).1].map(|next| next.map(|(id, _)| id));
    assert_eq!(next, [Some(health), Some(low)]);
}

#[test]
fn requests_in_the_queue_are_limited_in_number_and_bytes_except_the_hosts_own() {
    let mut requests = sequential();
    admit(&mut requests, handle(Priority::Low, 0));
    for _ in 0..MAX_QUEUED {
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "queued");
    }
    assert_eq!(admit(&mut requests, handle(Priority::Critical, 0)).0, "refused");
    assert_eq!(admit(&mut requests, HostRequest::HealthCheck).0, "queued");
    // A request that leaves the queue makes room.
    requests.complete(None);
    requests.complete(None);
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "queued");

    let mut requests = sequential();
    admit(&mut requests, handle(Priority::Low, WAITING_BYTES));
    assert_eq!(admit(&mut requests, handle(Priority::Low, WAITING_BYTES)).0, "refused", "with all that belongs to it");
    let (_, large) = admit(&mut requests, handle(Priority::Low, WAITING_BYTES - 1000));
    assert_eq!(admit(&mut requests, handle(Priority::Low, 1000)).0, "refused");
    assert!(requests.abandon(large, Instant::now()).is_some_and(|abandoned| abandoned.delivery == Delivery::NotSent));
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "queued", "it is gone");

    let mut requests = concurrent();
    for _ in 0..MAX_IN_FLIGHT {
        assert_ne!(admit(&mut requests, handle(Priority::Low, 0)).0, "refused");
    }
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "refused");
    assert_eq!(admit(&mut requests, HostRequest::HealthCheck).0, "sent");
}

#[test]
fn an_abandoned_request_stays_with_a_module_that_has_it() {
    let mut requests = concurrent();
    let (_, id) = admit(&mut requests, handle(Priority::Low, 0));
    let abandoned = requests.abandon(id, Instant::now()).unwrap();
    assert_eq!(abandoned.delivery, Delivery::Concurrent);
    assert!(requests.abandon(id, Instant::now()).is_none(), "once");
    assert_eq!(requests.len(), 1);
    assert!(requests.complete(Some(id)).0.is_some_and(|done| done.reply.is_none()));

    let mut requests = sequential();
    let (_, first) = admit(&mut requests, handle(Priority::Low, 0));
    let (_, second) = admit(&mut requests, handle(Priority::Low, 0));
    let now = Instant::now();
    assert_eq!(requests.abandoned_for(now), None);
    assert_eq!(requests.abandon(first, Instant::now()).unwrap().delivery, Delivery::Sequential);
    assert!(requests.abandoned_for(now + Duration::from_secs(3)).unwrap() > Duration::from_secs(2));
    assert!(requests.is_busy(), "it is still at it");
    assert_eq!(requests.complete(None).1.map(|(id, _)| id), Some(second));
    assert_eq!(requests.abandoned_for(now), None);
}

#[test]
fn an_abandoned_request_of_a_concurrent_module_becomes_overdue() {
    let mut requests = concurrent();
    let now = Instant::now();
    let at = |seconds| now + Duration::from_secs(seconds);
    let (_, first) = admit(&mut requests, handle(Priority::Low, 0));
    let (_, second) = admit(&mut requests, handle(Priority::Low, 0));
    admit(&mut requests, handle(Priority::Low, 0));
    assert_eq!(requests.drop_overdue(at(100)), None, "they are waited for");
    requests.abandon(first, at(0));
    requests.abandon(second, at(2));
    assert_eq!(requests.drop_overdue(at(14)), Some(at(15)));
    assert_eq!((requests.len(), requests.overdue()), (3, 0));
    assert_eq!(requests.drop_overdue(at(15)), Some(at(17)));
    assert_eq!((requests.len(), requests.overdue()), (2, 1));
    assert_eq!(requests.drop_overdue(at(17)), None);
    // Late replies to them are recognized.
    assert!(requests.complete(Some(first)).0.is_some_and(|done| done.reply.is_none()));
    assert_eq!((requests.len(), requests.overdue()), (1, 1));
    assert!(requests.complete(Some(first)).0.is_none());
    requests.complete(Some(second));
    assert_eq!(requests.overdue(), 0);

    let mut requests = sequential();
    let (_, alone) = admit(&mut requests, handle(Priority::Low, 0));
    requests.abandon(alone, now);
    assert_eq!(requests.drop_overdue(at(100)), None);
    assert!(requests.is_busy());
}

#[test]
fn each_request_expires_at_its_deadline() {
    let mut requests = concurrent();
    let now = Instant::now();
    let at = |seconds| Some(now + Duration::from_secs(seconds));
    let mut admit = |deadline| match requests.admit(handle(Priority::Low, 0), nobody(), deadline, None, now) {
        Admitted::Send { id, is_sooner, .. } => (id, is_sooner),
        _ => panic!("not sent"),
    };
    assert_eq!([admit(None), admit(at(5)), admit(at(7)), admit(at(3))], [(2, false), (3, true), (4, false), (5, true)]);
    assert_eq!(requests.expired(now), (vec![], at(3)));
    assert_eq!(requests.expired(at(3).unwrap()), (vec![5], at(5)));
    requests.abandon(5, now);
    let (mut over, next) = requests.expired(at(7).unwrap());
    over.sort_unstable();
    assert_eq!((over, next), (vec![3, 4], None));
}

#[test]
fn the_request_that_a_module_handles_is_found_by_its_id_or_as_the_only_one() {
    let topic = Arc::new(ModuleTopic::new(TopicKind::Service, "t"));
    let call = |trace: &str| {
        Some(RequestInfo {
            kind: TopicKind::Service,
            topic: Arc::clone(&topic),
            trace_id: trace.into(),
            source: "".into(),
            deadline: None,
            attempt: 1,
            priority: Priority::Low,
            cause: Arc::new(crate::bus::Cause::new(1, "", None)),
            span: 1,
            is_sampled: false,
            parent_span: None,
        })
    };
    let trace = |requests: &RequestTable, id| requests.handled(id).map(|call| call.trace_id.to_string());
    for (mut requests, without_id) in [(concurrent(), None), (sequential(), Some("one".to_owned()))] {
        requests.admit(handle(Priority::Low, 0), nobody(), None, call("one"), Instant::now());
        assert_eq!(trace(&requests, Some(2)).as_deref(), Some("one"));
        assert_eq!(trace(&requests, Some(9)), None);
        assert_eq!(trace(&requests, None), without_id);
    }
}

#[test]
fn a_stopped_table_takes_only_shutdown_and_a_closed_one_nothing() {
    let mut requests = sequential();
    admit(&mut requests, handle(Priority::Low, 0));
    admit(&mut requests, handle(Priority::Low, 9));
    admit(&mut requests, handle(Priority::Low, 9));
    assert!(!requests.is_closed());
    assert_eq!(requests.stop().len(), 2, "those that it does not have");
    assert!(requests.is_closed() && requests.is_busy());
    assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "closed");
    assert_eq!(admit(&mut requests, HostRequest::HealthCheck).0, "closed");
    assert_eq!(admit(&mut requests, HostRequest::Shutdown { grace_ms: 1 }).0, "queued");
    assert_eq!(requests.close().len(), 2);
    assert_eq!(admit(&mut requests, HostRequest::Shutdown { grace_ms: 1 }).0, "closed");
    assert_eq!(requests.len(), 0);

    let mut requests = concurrent();
    admit(&mut requests, handle(Priority::Low, 0));
    assert!(requests.stop().is_empty(), "it has all of them");
    assert_eq!(requests.len(), 1);
}

#[test]
fn callers_get_a_result_even_if_the_table_is_dropped() {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    let mut requests = concurrent();
    let reply = ReplyTo::new(|answer, _| {
        assert!(matches!(answer, crate::bus::CallResult::Lost { .. }));
        ANSWERED.fetch_add(1, Ordering::Relaxed);
    });
    requests.admit(handle(Priority::Low, 0), reply, None, None, Instant::now());
    drop(requests);
    assert_eq!(ANSWERED.load(Ordering::Relaxed), 1);
}
