//! A test of what every [`Bus`] has to do, for authors of a bus (feature `conformance`): [`check`] runs all of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_protocol::{ErrorBody, Object, Priority, WirePayload, code};
use serde_json::json;
use serde_json::value::to_raw_value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{
    Bus, BusError, CallHandle, CallResult, Cancel, Cause, Endpoint, Envelope, ParentSpan, ReplyTo, WriteBatch,
};
use crate::call_error::CallError;
use crate::lock::lock;

/// The longest time that the test waits for a message. That something does not come is tested only where its channel
/// closes, so that no test has to wait for that.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint that passes everything that it gets to the test.
#[derive(Debug)]
struct Recorder {
    calls: mpsc::UnboundedSender<(Envelope<'static>, ReplyTo)>,
    events: mpsc::UnboundedSender<Envelope<'static>>,
    cancelled: Arc<Cancelled>,
}

/// Sends the test the numbers of the calls that were cancelled. The second field is the number of the last call.
#[derive(Debug)]
struct Cancelled(mpsc::UnboundedSender<u64>, Mutex<u64>);

impl Cancel for Cancelled {
    fn cancel(&self, number: u64, _: &mut WriteBatch) {
        let _ = self.0.send(number);
    }
}

impl Endpoint for Recorder {
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, _: &mut WriteBatch) -> CallHandle {
        let number = {
            let mut last = lock(&self.cancelled.1);
            *last += 1;
            *last
        };
        let _ = self.calls.send((envelope.into_owned(), reply));
        CallHandle::new(&self.cancelled, number)
    }

    fn event(&self, envelope: &Envelope<'_>, _: &mut WriteBatch) {
        let _ = self.events.send(envelope.borrowed().into_owned());
    }
}

/// A [`Recorder`], and the channels on which the test receives what it gets.
struct Recorded {
    endpoint: Arc<dyn Endpoint>,
    calls: mpsc::UnboundedReceiver<(Envelope<'static>, ReplyTo)>,
    events: mpsc::UnboundedReceiver<Envelope<'static>>,
    cancelled: mpsc::UnboundedReceiver<u64>,
}

fn recorder() -> Recorded {
    let (calls, received_calls) = mpsc::unbounded_channel();
    let (events, received_events) = mpsc::unbounded_channel();
    let (cancelled, received_cancelled) = mpsc::unbounded_channel();
    let cancelled = Arc::new(Cancelled(cancelled, Mutex::default()));
    let endpoint = Arc::new(Recorder { calls, events, cancelled });
    Recorded { endpoint, calls: received_calls, events: received_events, cancelled: received_cancelled }
}

/// An envelope in which no field has its default.
fn envelope(topic: &str) -> Envelope<'_> {
    let outer = Arc::new(Cause::new(u64::MAX, "outer:1.0.0/instance-001", None));
    Envelope {
        priority: Priority::High,
        deadline: Some(Instant::now() + PATIENCE),
        attempt: 2,
        parent_span: Some(ParentSpan { id: u64::MAX - 1, is_sampled: true }),
        cause: Some(Arc::new(Cause::new(7, "caller:1.0.0/instance-002", Some(outer)))),
        ..Envelope::new(topic, WirePayload::Base64("aGk=".into()), "caller:1.0.0", "trace")
    }
}

type Results = mpsc::UnboundedReceiver<Result<Object<'static>, CallError>>;

fn reply() -> (ReplyTo, Results) {
    let (sender, results) = mpsc::unbounded_channel();
    (ReplyTo::new(move |result, _| drop(sender.send(CallError::of(result)))), results)
}

async fn next<T>(received: &mut mpsc::UnboundedReceiver<T>, what: &str) -> T {
    let received = timeout(PATIENCE, received.recv()).await;
    let value = received.unwrap_or_else(|_| panic!("{what} does not come within {} s", PATIENCE.as_secs()));
    value.unwrap_or_else(|| panic!("{what} does not come, and never will"))
}

async fn is_over<T>(received: &mut mpsc::UnboundedReceiver<T>, what: &str) {
    let more = timeout(PATIENCE, received.recv()).await;
    assert!(more.unwrap_or_else(|_| panic!("{what}: it is still held")).is_none(), "{what}: there is one too many");
}

async fn call(bus: &Arc<dyn Bus>, topic: &str) -> Result<Object<'static>, CallError> {
    let (to, mut results) = reply();
    let _handle = bus.call(envelope(topic), to, &mut WriteBatch::none());
    next(&mut results, "the result of a call").await
}

async fn publish(bus: &Arc<dyn Bus>, topic: &str) {
    let (to, mut results) = reply();
    bus.publish(envelope(topic), to, &mut WriteBatch::none());
    next(&mut results, "the result of publishing").await.expect("the event is accepted");
}

/// Tests a bus. `caller` and `provider` are two hosts' connections to it, or twice the same bus if it is within one
/// host. No topic may be registered on it. Closes both. A message that does not come within 60 s is a failure;
/// registrations and `close` have no timeout. Needs a tokio runtime with a timer.
///
/// # Panics
///
/// If the bus does not do what [`Bus`] promises, with a message that says what.
pub async fn check(caller: Arc<dyn Bus>, provider: Arc<dyn Bus>) {
    check_registration(&caller, &provider).await;
    check_calls(&caller, &provider).await;
    check_cancellation(&caller, &provider).await;
    check_events(&caller, &provider).await;
    check_close(&caller, &provider).await;
}

async fn check_registration(caller: &Arc<dyn Bus>, provider: &Arc<dyn Bus>) {
    let (mut one, other) = (recorder(), recorder());
    assert!(!caller.is_provided("a").await, "no topic has a provider yet");
    assert_eq!(provider.provide("a", Arc::clone(&one.endpoint)).await, Ok(()));
    for (bus, endpoint) in [(provider, &other.endpoint), (caller, &other.endpoint), (provider, &one.endpoint)] {
        let again = bus.provide("a", Arc::clone(endpoint)).await;
        assert_eq!(again, Err(BusError::AlreadyProvided), "a topic has one provider");
    }
    assert!(caller.is_provided("a").await && provider.is_provided("a").await && !caller.is_provided("b").await);

    // Only the provider itself can withdraw.
    provider.withdraw("a", &other.endpoint).await;
    assert!(caller.is_provided("a").await, "it is another's");
    let (to, mut results) = reply();
    let _handle = caller.call(envelope("a"), to, &mut WriteBatch::none());
    let (_, held) = next(&mut one.calls, "the call").await;
    for _ in 0..2 {
        provider.withdraw("a", &one.endpoint).await;
    }
    assert!(!caller.is_provided("a").await && !provider.is_provided("a").await);

    // The call that the endpoint has goes on; new calls find no provider, and another endpoint may provide the topic.
    held.send(CallResult::Success(Object::empty()), &mut WriteBatch::none());
    next(&mut results, "the result of a call that was made before").await.expect("it is success");
    let Err(CallError::Replied(error)) = call(caller, "a").await else { panic!("no endpoint provides it") };
    assert_eq!((&*error.code, error.message.contains("`a`")), (code::NOT_FOUND, true), "{}", error.message);
    assert_eq!(caller.provide("a", Arc::clone(&other.endpoint)).await, Ok(()));
    caller.withdraw("a", &other.endpoint).await;
}

async fn check_calls(caller: &Arc<dyn Bus>, provider: &Arc<dyn Bus>) {
    let mut one = recorder();
    assert_eq!(provider.provide("a", Arc::clone(&one.endpoint)).await, Ok(()));

    // A call arrives as it was made, and its result as it was sent, attached bytes included.
    let (to, mut results) = reply();
    let _handle = caller.call(envelope("a"), to, &mut WriteBatch::none());
    let (received, back) = next(&mut one.calls, "the call").await;
    let sent = envelope("a");
    assert_eq!((&*received.topic, received.priority, received.attempt), ("a", Priority::High, 2));
    assert_eq!((&*received.source, &*received.trace_id), ("caller:1.0.0", "trace"));
    assert_eq!(received.parent_span, sent.parent_span);
    assert!(received.deadline.is_some_and(|deadline| deadline <= Instant::now() + PATIENCE), "the time does not grow");
    assert!(received.remaining() > Some(Duration::ZERO), "some of the time is left");
    let chain = |envelope: &Envelope<'_>| {
        let cause = envelope.cause.clone().expect("a call that a handler has made has a cause");
        cause.chain().map(|cause| (cause.process(), cause.instance().to_string(), cause.depth())).collect::<Vec<_>>()
    };
    assert_eq!(chain(&received), chain(&sent));
    assert_eq!(received.payload.into_bytes().as_deref(), Ok(&b"hi"[..]));
    back.send(
        CallResult::Success(Object::parse("{\"x\":1}").expect("it is one").attach("file", vec![0, 255])),
        &mut WriteBatch::none(),
    );
    let answer = next(&mut results, "the result").await.expect("it is success");
    let read: serde_json::Value = answer.read().expect("it is an object");
    assert_eq!(read, json!({ "x": 1, "file": "AP8=" }));
    is_over(&mut results, "the result").await;

    // Fields that the caller has left out stay empty.
    let (to, mut results) = reply();
    let _handle =
        caller.call(Envelope::new("a", WirePayload::from(Vec::new()), "x:1.0.0", "t"), to, &mut WriteBatch::none());
    let (received, back) = next(&mut one.calls, "the call").await;
    assert!(received.deadline.is_none() && received.cause.is_none() && received.parent_span.is_none());
    assert_eq!((received.priority, received.attempt), (Priority::default(), 1));

    // An error arrives with all its fields.
    let details = to_raw_value(&json!({ "left": 0 })).expect("it is JSON");
    let error = ErrorBody { details: Some(&details), ..ErrorBody::new("OUT_OF_STOCK", "none left", true) };
    back.send(CallResult::Error(error), &mut WriteBatch::none());
    let Err(CallError::Replied(error)) = next(&mut results, "the error").await else { panic!("it is an error") };
    assert_eq!((&*error.code, &*error.message, error.retryable), ("OUT_OF_STOCK", "none left", true));
    assert_eq!(error.details, json!({ "left": 0 }));

    // A reply that can't be read becomes an error.
    let (to, mut results) = reply();
    let _handle = caller.call(envelope("a"), to, &mut WriteBatch::none());
    let (_, back) = next(&mut one.calls, "the call").await;
    back.send(CallResult::Unreadable("`data`: missing"), &mut WriteBatch::none());
    let Err(CallError::Replied(error)) = next(&mut results, "the error").await else { panic!("it is an error") };
    assert_eq!((&*error.code, error.message.contains("`data`: missing")), (code::INTERNAL, true));

    // A reply that is dropped makes the call lost.
    let (to, mut results) = reply();
    let _handle = caller.call(envelope("a"), to, &mut WriteBatch::none());
    drop(next(&mut one.calls, "the call").await);
    assert!(matches!(next(&mut results, "that the call is lost").await, Err(CallError::Gone { .. })));

    // A call that is not answered yet holds up neither other calls nor their results.
    let (to, mut first) = reply();
    let _first = caller.call(envelope("a"), to, &mut WriteBatch::none());
    let (_, held) = next(&mut one.calls, "the first call").await;
    let (to, mut second) = reply();
    let _second = caller.call(envelope("a"), to, &mut WriteBatch::none());
    next(&mut one.calls, "the second call").await.1.send(CallResult::Success(Object::empty()), &mut WriteBatch::none());
    next(&mut second, "the second result").await.expect("it is success");
    held.send(CallResult::Success(Object::empty()), &mut WriteBatch::none());
    next(&mut first, "the first result").await.expect("it is success");
    provider.withdraw("a", &one.endpoint).await;
}

async fn check_cancellation(caller: &Arc<dyn Bus>, provider: &Arc<dyn Bus>) {
    let mut one = recorder();
    assert_eq!(provider.provide("a", Arc::clone(&one.endpoint)).await, Ok(()));
    let (to, mut results) = reply();
    let handle = caller.call(envelope("a"), to, &mut WriteBatch::none());
    let (_, back) = next(&mut one.calls, "the call").await;
    handle.cancel(&mut WriteBatch::none());
    assert_eq!(next(&mut one.cancelled, "that the call is cancelled").await, 1);
    back.discard();
    // The bus may still send one result, which was on its way.
    timeout(PATIENCE, async { while results.recv().await.is_some() {} }).await.expect("the bus has dropped the reply");

    // Cancelling a call that has ended does nothing, and dropping a handle does not cancel its call.
    let (to, mut results) = reply();
    let ended = caller.call(envelope("a"), to, &mut WriteBatch::none());
    next(&mut one.calls, "the call").await.1.send(CallResult::Success(Object::empty()), &mut WriteBatch::none());
    next(&mut results, "the result").await.expect("it is success");
    ended.cancel(&mut WriteBatch::none());
    let (to, mut results) = reply();
    drop(caller.call(envelope("a"), to, &mut WriteBatch::none()));
    next(&mut one.calls, "the call").await.1.send(CallResult::Success(Object::empty()), &mut WriteBatch::none());
    next(&mut results, "the result").await.expect("it is success");
    provider.withdraw("a", &one.endpoint).await;
}

async fn check_events(caller: &Arc<dyn Bus>, provider: &Arc<dyn Bus>) {
    let (mut one, mut two) = (recorder(), recorder());
    publish(caller, "nobody's").await;
    assert_eq!(provider.subscribe("e", Arc::clone(&one.endpoint)).await, Ok(()));
    assert_eq!(caller.subscribe("e", Arc::clone(&two.endpoint)).await, Ok(()));
    assert_eq!(provider.subscribe("f", Arc::clone(&two.endpoint)).await, Ok(()));
    for topic in ["e", "f", "nobody's"] {
        publish(caller, topic).await;
    }
    let event = next(&mut one.events, "the event").await;
    assert_eq!((&*event.topic, &*event.source, &*event.trace_id), ("e", "caller:1.0.0", "trace"));
    assert_eq!(event.parent_span, envelope("e").parent_span);
    assert_eq!(event.payload.into_bytes().as_deref(), Ok(&b"hi"[..]));
    let mut topics = Vec::new();
    for _ in 0..2 {
        topics.push(next(&mut two.events, "the event").await.topic.into_owned());
    }
    topics.sort_unstable();
    assert_eq!(topics, ["e", "f"], "each event comes to each of its subscribers, and to no other endpoint");

    // An endpoint that has unsubscribed gets no more events; the others do. Unsubscribing twice is not an error.
    for _ in 0..2 {
        provider.unsubscribe("e", &one.endpoint).await;
    }
    publish(caller, "e").await;
    assert_eq!(next(&mut two.events, "the event").await.topic, "e");
    caller.unsubscribe("e", &two.endpoint).await;
    provider.unsubscribe("f", &two.endpoint).await;
    drop((one.endpoint, two.endpoint));
    is_over(&mut one.events, "an event after unsubscribing, or one that came twice").await;
    is_over(&mut two.events, "an event that came twice").await;
}

async fn check_close(caller: &Arc<dyn Bus>, provider: &Arc<dyn Bus>) {
    let Recorded { endpoint, mut calls, mut events, .. } = recorder();
    assert_eq!(provider.provide("a", Arc::clone(&endpoint)).await, Ok(()));
    assert_eq!(provider.subscribe("e", endpoint).await, Ok(()));
    provider.close().await;
    is_over(&mut calls, "an endpoint of a bus that was closed").await;
    is_over(&mut events, "an endpoint of a bus that was closed").await;
    assert!(!caller.is_provided("a").await, "its topics are free");
    caller.close().await;
}
