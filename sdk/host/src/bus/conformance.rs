//! What every [`Bus`] has to do, for whoever writes another one: with the feature `conformance`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ixt_protocol::{Object, Payload, Priority, code};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::answer::CallError;
use crate::bus::{AlreadyProvided, Answer, Bus, Cancel, Endpoint, Message, Pending, ReplyTo};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// An endpoint that keeps what it gets.
#[derive(Debug)]
struct Kept {
    calls: mpsc::UnboundedSender<(Message<'static>, ReplyTo)>,
    events: mpsc::UnboundedSender<Message<'static>>,
    cancelled: Arc<Cancelled>,
}

#[derive(Debug, Default)]
struct Cancelled(Mutex<Vec<u64>>);

impl Cancel for Cancelled {
    fn cancel(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(number);
    }
}

impl Endpoint for Kept {
    fn call(&self, message: Message<'_>, reply: ReplyTo) -> Pending {
        let _ = self.calls.send((message.into_owned(), reply));
        let cancelled: Arc<dyn Cancel> = Arc::clone(&self.cancelled) as _;
        Pending::new(Arc::downgrade(&cancelled), 7)
    }

    fn event(&self, message: &Message<'_>) {
        let _ = self.events.send(message.borrowed().into_owned());
    }
}

struct Received {
    endpoint: Arc<Kept>,
    calls: mpsc::UnboundedReceiver<(Message<'static>, ReplyTo)>,
    events: mpsc::UnboundedReceiver<Message<'static>>,
}

fn endpoint() -> Received {
    let ((calls, received_calls), (events, received_events)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
    let endpoint = Arc::new(Kept { calls, events, cancelled: Arc::default() });
    Received { endpoint, calls: received_calls, events: received_events }
}

fn message(topic: &str) -> Message<'_> {
    Message {
        topic: topic.into(),
        payload: Payload::Base64("aGk=".into()),
        priority: Priority::High,
        deadline: Some(Instant::now() + PATIENCE),
        trace_id: "trace".into(),
        source: "caller:1.0.0".into(),
        cause: None,
        attempt: 1,
    }
}

type Answers = mpsc::UnboundedReceiver<Result<Object<'static>, CallError>>;

fn reply() -> (ReplyTo, Answers) {
    let (sender, answers) = mpsc::unbounded_channel();
    (ReplyTo::new(move |answer| drop(sender.send(CallError::of(answer)))), answers)
}

/// Waits for what has to come.
async fn next<T>(received: &mut mpsc::UnboundedReceiver<T>, what: &str) -> T {
    match timeout(PATIENCE, received.recv()).await {
        Ok(Some(value)) => value,
        _ => panic!("{what} does not come"),
    }
}

/// Checks a bus on which nobody has a topic yet.
///
/// # Panics
///
/// Where it does something else than [`Bus`] promises.
pub async fn check(bus: Arc<dyn Bus>) {
    let (mut one, mut two) = (endpoint(), endpoint());
    assert!(!bus.is_provided("a"), "nobody provides anything yet");
    assert_eq!(bus.provide("a", Arc::clone(&one.endpoint) as _), Ok(()));
    assert_eq!(bus.provide("a", Arc::clone(&two.endpoint) as _), Err(AlreadyProvided), "a topic has one provider");
    assert_eq!(bus.provide("b", Arc::clone(&two.endpoint) as _), Ok(()));
    assert!(bus.is_provided("a") && bus.is_provided("b") && !bus.is_provided("c"));

    // A call comes as it was made, and its answer as it was given.
    let (to, mut answers) = reply();
    let _pending = bus.call(message("a"), to);
    let (received, back) = next(&mut one.calls, "the call").await;
    assert_eq!((&*received.topic, received.priority, &*received.source), ("a", Priority::High, "caller:1.0.0"));
    assert_eq!(&*received.trace_id, "trace");
    assert_eq!(received.payload.into_bytes().as_deref(), Ok(&b"hi"[..]));
    assert!(received.deadline.is_some_and(|deadline| deadline <= Instant::now() + PATIENCE), "the time does not grow");
    back.send(Answer::Success(Object::parse("{\"x\":1}").expect("it is one")));
    let answer = next(&mut answers, "the answer").await;
    assert_eq!(answer.expect("it is success").to_json(), "{\"x\":1}");
    assert!(timeout(PATIENCE, answers.recv()).await.expect("it is over").is_none(), "there is one answer");

    // An error too, with all that it has.
    let (to, mut answers) = reply();
    let _pending = bus.call(message("b"), to);
    let (_, back) = next(&mut two.calls, "the call").await;
    back.error("OUT_OF_STOCK", "none left", true);
    let Err(CallError::Replied(error)) = next(&mut answers, "the error").await else { panic!("it is an error") };
    assert_eq!((&*error.code, &*error.message, error.retryable), ("OUT_OF_STOCK", "none left", true));

    // Whoever lets go of a call has lost it, and its caller hears of it.
    let (to, mut answers) = reply();
    let _pending = bus.call(message("a"), to);
    drop(next(&mut one.calls, "the call").await);
    assert!(matches!(next(&mut answers, "that it is lost").await, Err(CallError::Gone { .. })));

    // Nobody is there.
    let (to, mut answers) = reply();
    let _pending = bus.call(message("c"), to);
    let Err(CallError::Replied(error)) = next(&mut answers, "an error").await else { panic!("nobody provides it") };
    assert_eq!(error.code, code::NOT_FOUND);
    assert!(error.message.contains("`c`"), "it names the topic: {}", error.message);

    // A call is taken back.
    let (to, _answers) = reply();
    bus.call(message("a"), to).cancel();
    let (_, _back) = next(&mut one.calls, "the call").await;
    let cancelled = async {
        while one.endpoint.cancelled.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, cancelled).await.expect("the endpoint hears of it");

    // An event comes to each subscriber once, and to nobody else.
    bus.subscribe("e", Arc::clone(&one.endpoint) as _);
    bus.subscribe("e", Arc::clone(&two.endpoint) as _);
    bus.subscribe("f", Arc::clone(&two.endpoint) as _);
    for topic in ["e", "f", "nobody's"] {
        let (to, mut answers) = reply();
        bus.publish(message(topic), to);
        next(&mut answers, "that it is published").await.expect("it is");
    }
    assert_eq!(next(&mut one.events, "the event").await.topic, "e");
    assert_eq!(next(&mut two.events, "the event").await.topic, "e");
    assert_eq!(next(&mut two.events, "the event").await.topic, "f");

    // A topic that is withdrawn is free for another provider, and only the one who has it can do that.
    let (as_one, as_two): (Arc<dyn Endpoint>, Arc<dyn Endpoint>) = (one.endpoint.clone(), two.endpoint.clone());
    bus.withdraw("b", &as_one);
    assert!(bus.is_provided("b"), "it is another's");
    bus.withdraw("b", &as_two);
    assert!(!bus.is_provided("b"));
    bus.withdraw("b", &as_two);
    assert_eq!(bus.provide("b", Arc::clone(&as_one)), Ok(()));
    let (to, _answers) = reply();
    let _pending = bus.call(message("b"), to);
    drop(next(&mut one.calls, "the call").await);

    // Whoever has unsubscribed gets nothing more, and the others do.
    bus.unsubscribe("e", &as_one);
    let (to, mut answers) = reply();
    bus.publish(message("e"), to);
    next(&mut answers, "that it is published").await.expect("it is");
    assert_eq!(next(&mut two.events, "the event").await.topic, "e");
    drop((as_one, as_two));

    // It lets go of all.
    bus.close();
    assert!(!bus.is_provided("a"));
    let Received { endpoint, mut calls, mut events } = one;
    drop(endpoint);
    assert!(timeout(PATIENCE, calls.recv()).await.expect("it has let go").is_none(), "there was no other call");
    assert!(timeout(PATIENCE, events.recv()).await.expect("it has let go").is_none(), "there was no other event");
}
