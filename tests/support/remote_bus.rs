//! A bus for several hosts, written with only the public API of `ixt_host::bus` and its docs: the bus to copy for another backend. Each
//! host has a connection to a broker, over which every message goes as a line of JSON, with a delay. The broker knows which host provides
//! which topic. All of them are in one process. `tests/remote_bus.rs` tests it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use ixt_host::bus::{
    Bus, BusError, BusFuture, CallHandle, CallResult, Cancel, Cause, Endpoint, Envelope, ErrorBody, Object, ParentSpan,
    Priority, ReplyTo, WirePayload, WriteBatch,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// The delay of each packet, before it is written.
const LATENCY: Duration = Duration::from_millis(1);

/// A message on a connection, in either direction. A call has the number that its sender on this connection has given it.
#[derive(Debug, Serialize, Deserialize)]
enum Packet {
    /// To the broker, which answers each with the same number.
    Ask { number: u64, question: Question },
    /// From the broker.
    Answer { number: u64, yes: bool },
    /// From the caller's host to the broker, and from there to the provider's host.
    Call { number: u64, message: Message },
    /// The caller gives up on this call of its own; it gets no result.
    Cancel { number: u64 },
    /// The result of a call, on the way back.
    Result { number: u64, result: SentResult },
    /// From the broker to each host that subscribes to the topic.
    Event { message: Message },
}

/// What a host asks the broker. The answer is yes, unless the text says otherwise.
#[derive(Debug, Serialize, Deserialize)]
enum Question {
    /// No: another host provides the topic.
    Provide(String),
    Withdraw(String),
    Subscribe(String),
    Unsubscribe(String),
    /// No: no host provides the topic.
    IsProvided(String),
    Publish(Message),
    /// The host provides and takes nothing more; the calls that it handles are lost.
    Close,
}

/// An [`Envelope`] as it is sent. The deadline is sent as the remaining time, since hosts have different clocks.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Message {
    topic: String,
    payload: Vec<u8>,
    priority: Priority,
    /// The time until the deadline; `None` if there is none.
    remaining: Option<Duration>,
    attempt: u32,
    trace_id: String,
    /// The id of the span, and whether it is sampled.
    parent_span: Option<(u64, bool)>,
    source: String,
    /// The chain of callers, the outermost first: process and instance of each.
    cause: Vec<(u64, String)>,
}

impl Message {
    /// Copies the envelope. The error says what is wrong with the payload, if it is no base64.
    fn of(envelope: &Envelope<'_>) -> Result<Self, String> {
        let chain = envelope.cause.iter().flat_map(|cause| cause.chain());
        let mut cause: Vec<_> = chain.map(|cause| (cause.process(), cause.instance().to_string())).collect();
        cause.reverse();
        Ok(Self {
            topic: envelope.topic.to_string(),
            payload: envelope.payload.borrowed().into_bytes().map_err(|error| error.to_string())?.into_owned(),
            priority: envelope.priority,
            remaining: envelope.remaining(),
            attempt: envelope.attempt,
            trace_id: envelope.trace_id.to_string(),
            parent_span: envelope.parent_span.map(|span| (span.id, span.is_sampled)),
            source: envelope.source.to_string(),
            cause,
        })
    }

    /// The envelope on the receiving host.
    fn into_envelope(self) -> Envelope<'static> {
        let mut envelope = Envelope::new(self.topic, WirePayload::from(self.payload), self.source, self.trace_id);
        envelope.priority = self.priority;
        envelope.deadline = self.remaining.map(|remaining| Instant::now() + remaining);
        envelope.attempt = self.attempt;
        envelope.parent_span = self.parent_span.map(|(id, is_sampled)| ParentSpan { id, is_sampled });
        for (process, instance) in self.cause {
            envelope.cause = Some(Arc::new(Cause::new(process, instance, envelope.cause)));
        }
        envelope
    }
}

/// A [`CallResult`] as it is sent.
#[derive(Debug, Serialize, Deserialize)]
enum SentResult {
    Success(Box<RawValue>),
    Error { code: String, message: String, details: Option<Box<RawValue>>, retryable: bool },
    Unreadable(String),
    Lost { reason: String, was_alone: bool },
}

impl SentResult {
    /// Copies the result.
    fn of(result: CallResult<'_>) -> Self {
        match result {
            CallResult::Success(data) => {
                Self::Success(RawValue::from_string(data.into_json()).expect("an object is JSON"))
            }
            CallResult::Error(error) => Self::Error {
                code: error.code.into_owned(),
                message: error.message.into_owned(),
                details: error.details.map(ToOwned::to_owned),
                retryable: error.retryable,
            },
            CallResult::Unreadable(error) => Self::Unreadable(error.to_owned()),
            CallResult::Lost { reason, was_alone } => Self::Lost { reason: reason.to_owned(), was_alone },
            // One that is added later.
            other => Self::Unreadable(format!("{other:?}")),
        }
    }

    fn error(code: &str, message: String, retryable: bool) -> Self {
        Self::Error { code: code.to_owned(), message, details: None, retryable }
    }

    fn lost(reason: &str) -> Self {
        Self::Lost { reason: reason.to_owned(), was_alone: false }
    }

    /// Gives the result to the caller on this host.
    fn send_to(self, reply: ReplyTo, batch: &mut WriteBatch) {
        match &self {
            Self::Success(data) => {
                let data = Object::parse(data.get()).expect("it was an object when it was sent");
                reply.send(CallResult::Success(data), batch);
            }
            Self::Error { code, message, details, retryable } => {
                let error = ErrorBody::new(code, message, *retryable);
                reply.send(CallResult::Error(ErrorBody { details: details.as_deref(), ..error }), batch);
            }
            Self::Unreadable(error) => reply.send(CallResult::Unreadable(error), batch),
            Self::Lost { reason, was_alone } => reply.send(CallResult::Lost { reason, was_alone: *was_alone }, batch),
        }
    }
}

/// The sending end of a connection. Packets wait in a queue without a limit, and a task writes them. Sending fails if the other end is
/// gone.
type Link = mpsc::UnboundedSender<Packet>;

/// Sends the packets of the link, and passes received ones to `receive`, until the other end is gone; then calls `gone`.
fn run(stream: UnixStream, receive: impl Fn(Packet) + Send + 'static, gone: impl FnOnce() + Send + 'static) -> Link {
    let (link, packets) = mpsc::unbounded_channel();
    let (reader, writer) = stream.into_split();
    tokio::spawn(write(writer, packets));
    tokio::spawn(async move {
        let mut lines = BufReader::new(reader).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            receive(serde_json::from_str(&line).expect("the other end is of this file"));
        }
        gone();
    });
    link
}

/// Writes the packets of a link, each [`LATENCY`] after the one before, until the link is dropped or the other end is gone.
async fn write(mut writer: OwnedWriteHalf, mut packets: mpsc::UnboundedReceiver<Packet>) {
    while let Some(packet) = packets.recv().await {
        tokio::time::sleep(LATENCY).await;
        let mut line = serde_json::to_vec(&packet).expect("a packet is JSON");
        line.push(b'\n');
        if writer.write_all(&line).await.is_err() {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The broker to which all hosts are connected. Clones are handles of the same broker.
#[derive(Debug, Clone, Default)]
pub struct Broker(Arc<Mutex<Routes>>);

/// What the broker knows. Hosts have numbers.
#[derive(Debug, Default)]
struct Routes {
    /// The number that was given last, to a host or a call.
    last: u64,
    hosts: HashMap<u64, Link>,
    /// The host of each topic.
    providers: HashMap<String, u64>,
    subscribers: HashMap<String, Vec<u64>>,
    /// The calls under way, by their numbers on the provider's connection.
    calls: HashMap<u64, Routed>,
}

/// A call that the broker has passed on.
#[derive(Debug)]
struct Routed {
    /// The caller's host.
    caller: u64,
    /// Its number on the caller's connection.
    number: u64,
    /// The provider's host.
    provider: u64,
}

impl Broker {
    /// Connects one more host, and returns its bus, for `HostBuilder::bus`.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(&self) -> Arc<RemoteBus> {
        let (here, there) = UnixStream::pair().expect("there are sockets");
        let (receiving, ending) = (self.clone(), self.clone());
        let mut routes = lock(&self.0);
        routes.last += 1;
        let host = routes.last;
        let link =
            run(there, move |packet| lock(&receiving.0).receive(host, packet), move || lock(&ending.0).gone(host));
        routes.hosts.insert(host, link);
        RemoteBus::new(here)
    }
}

impl Routes {
    /// Sends a packet to a host, or drops it if the host is gone.
    fn send(&self, host: u64, packet: Packet) {
        if let Some(link) = self.hosts.get(&host) {
            let _ = link.send(packet);
        }
    }

    /// Handles a packet of this host.
    fn receive(&mut self, host: u64, packet: Packet) {
        match packet {
            Packet::Ask { number, question } => {
                let yes = self.answer(host, question);
                self.send(host, Packet::Answer { number, yes });
            }
            Packet::Call { number, message } => match self.providers.get(&message.topic) {
                Some(&provider) => {
                    self.last += 1;
                    self.calls.insert(self.last, Routed { caller: host, number, provider });
                    self.send(provider, Packet::Call { number: self.last, message });
                }
                None => {
                    let message = format!("no host provides `{}`", message.topic);
                    self.send(host, Packet::Result { number, result: SentResult::error("NOT_FOUND", message, false) });
                }
            },
            Packet::Cancel { number } => {
                let is_it = |call: &Routed| (call.caller, call.number) == (host, number);
                let found = self.calls.iter().find(|(_, call)| is_it(call));
                if let Some((number, provider)) = found.map(|(number, call)| (*number, call.provider)) {
                    self.send(provider, Packet::Cancel { number });
                }
            }
            Packet::Result { number, result } => {
                if let Some(Routed { caller, number, .. }) = self.calls.remove(&number) {
                    self.send(caller, Packet::Result { number, result });
                }
            }
            Packet::Answer { .. } | Packet::Event { .. } => {}
        }
    }

    /// Does what a host asks for, and returns the answer: see [`Question`].
    fn answer(&mut self, host: u64, question: Question) -> bool {
        match question {
            Question::Provide(topic) => {
                let is_free = !self.providers.contains_key(&topic);
                self.providers.entry(topic).or_insert(host);
                return is_free;
            }
            Question::Withdraw(topic) => drop(self.providers.remove(&topic)),
            Question::Subscribe(topic) => self.subscribers.entry(topic).or_default().push(host),
            Question::Unsubscribe(topic) => {
                self.subscribers.entry(topic).or_default().retain(|subscriber| *subscriber != host);
            }
            Question::IsProvided(topic) => return self.providers.contains_key(&topic),
            Question::Publish(message) => {
                for subscriber in self.subscribers.get(&message.topic).into_iter().flatten() {
                    self.send(*subscriber, Packet::Event { message: message.clone() });
                }
            }
            Question::Close => self.let_go(host),
        }
        true
    }

    /// Removes everything that a host provides and subscribes to. The calls that it handles are lost. It may still call.
    fn let_go(&mut self, host: u64) {
        self.providers.retain(|_, provider| *provider != host);
        self.subscribers.values_mut().for_each(|hosts| hosts.retain(|subscriber| *subscriber != host));
        let lost: Vec<_> = self.calls.extract_if(|_, call| call.provider == host).map(|(_, call)| call).collect();
        for Routed { caller, number, .. } in lost {
            let result = SentResult::lost("the host that had the call is gone");
            self.send(caller, Packet::Result { number, result });
        }
    }

    /// Removes a host whose connection has ended.
    fn gone(&mut self, host: u64) {
        self.let_go(host);
        self.hosts.remove(&host);
    }
}

/// A host's connection to a [`Broker`]. When the broker or this host is gone, calls fail with `UNAVAILABLE`.
#[derive(Debug)]
pub struct RemoteBus(Arc<Connection>);

/// A host's end of the connection, and what waits on it.
#[derive(Debug)]
struct Connection {
    link: Link,
    state: Mutex<State>,
}

/// The calls under way, and the endpoints of this host.
#[derive(Default)]
struct State {
    /// The number that was given last, to a question or a call.
    last: u64,
    /// The connection has ended, or the host has closed the bus.
    is_closed: bool,
    /// The questions that the broker has not answered.
    questions: HashMap<u64, oneshot::Sender<bool>>,
    /// The events that the broker has not accepted yet. Their numbers are those of questions.
    publications: HashMap<u64, ReplyTo>,
    /// The calls that this host has made.
    calls: HashMap<u64, ReplyTo>,
    /// The calls that this host handles, by the broker's number.
    taken: HashMap<u64, CallHandle>,
    providers: HashMap<String, Arc<dyn Endpoint>>,
    subscribers: HashMap<String, Vec<Arc<dyn Endpoint>>>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("calls", &self.calls).finish_non_exhaustive()
    }
}

impl RemoteBus {
    /// A bus whose broker is at the other end of the stream.
    fn new(stream: UnixStream) -> Arc<Self> {
        let connection = Arc::new_cyclic(|this: &Weak<Connection>| {
            let (receiving, ending) = (this.clone(), this.clone());
            let receive = move |packet| {
                if let Some(connection) = receiving.upgrade() {
                    connection.receive(packet);
                }
            };
            let gone = move || {
                if let Some(connection) = ending.upgrade() {
                    connection.end();
                }
            };
            Connection { link: run(stream, receive, gone), state: Mutex::default() }
        });
        Arc::new(Self(connection))
    }
}

impl Connection {
    /// Sends a question to the broker at once, and returns a future of its answer; `None` if the broker is gone or the bus is closed.
    fn ask(&self, question: Question) -> impl Future<Output = Option<bool>> + Send + use<> {
        let (sender, answer) = oneshot::channel();
        {
            let mut state = lock(&self.state);
            state.last += 1;
            let number = state.last;
            if !state.is_closed && self.link.send(Packet::Ask { number, question }).is_ok() {
                state.questions.insert(number, sender);
            }
        }
        async { answer.await.ok() }
    }

    /// Handles a packet of the broker.
    fn receive(self: &Arc<Self>, packet: Packet) {
        let batch = &mut WriteBatch::none();
        match packet {
            Packet::Answer { number, yes } => {
                let (question, publication) = {
                    let mut state = lock(&self.state);
                    (state.questions.remove(&number), state.publications.remove(&number))
                };
                if let Some(question) = question {
                    let _ = question.send(yes);
                }
                if let Some(publication) = publication {
                    publication.send(CallResult::Success(Object::empty()), batch);
                }
            }
            Packet::Call { number, message } => self.take(number, message, batch),
            Packet::Cancel { number } => {
                let handle = lock(&self.state).taken.remove(&number);
                if let Some(handle) = handle {
                    handle.cancel(batch);
                }
            }
            Packet::Result { number, result } => {
                let reply = lock(&self.state).calls.remove(&number);
                if let Some(reply) = reply {
                    result.send_to(reply, batch);
                }
            }
            Packet::Event { message } => {
                let subscribers = lock(&self.state).subscribers.get(&message.topic).cloned();
                let envelope = message.into_envelope();
                for subscriber in subscribers.into_iter().flatten() {
                    subscriber.event(&envelope, batch);
                }
            }
            Packet::Ask { .. } => {}
        }
    }

    /// Gives a call of another host to its endpoint here, and sends the result back when it comes.
    fn take(self: &Arc<Self>, number: u64, message: Message, batch: &mut WriteBatch) {
        let this = Arc::downgrade(self);
        let reply = ReplyTo::new(move |result, _| {
            if let Some(this) = this.upgrade() {
                lock(&this.state).taken.remove(&number);
                let _ = this.link.send(Packet::Result { number, result: SentResult::of(result) });
            }
        });
        let provider = lock(&self.state).providers.get(&message.topic).cloned();
        // It may have been withdrawn while this was on its way.
        let Some(provider) = provider else {
            return reply.error("NOT_FOUND", &format!("no host provides `{}`", message.topic), false, batch);
        };
        lock(&self.state).taken.insert(number, CallHandle::default());
        let handle = provider.call(message.into_envelope(), reply, batch);
        // Unless it has been answered already.
        if let Some(taken) = lock(&self.state).taken.get_mut(&number) {
            *taken = handle;
        }
    }

    /// Ends all calls and publications of this host as lost, since the broker or this host is gone, and drops the endpoints.
    fn end(&self) {
        let State { calls, publications, providers, subscribers, .. } = {
            let mut state = lock(&self.state);
            std::mem::replace(&mut *state, State { is_closed: true, ..State::default() })
        };
        for reply in calls.into_values().chain(publications.into_values()) {
            SentResult::lost("the message bus has closed its connection").send_to(reply, &mut WriteBatch::none());
        }
        // After the lock is released.
        drop((providers, subscribers));
    }
}

impl Cancel for Connection {
    fn cancel(&self, number: u64, _: &mut WriteBatch) {
        let reply = lock(&self.state).calls.remove(&number);
        if let Some(reply) = reply {
            reply.discard();
            let _ = self.link.send(Packet::Cancel { number });
        }
    }
}

/// The result of a registration by the broker's answer.
fn registered(answer: Option<bool>) -> Result<(), BusError> {
    match answer {
        Some(true) => Ok(()),
        Some(false) => Err(BusError::AlreadyProvided),
        None => Err(BusError::Unavailable("the broker is gone".to_owned())),
    }
}

impl Bus for RemoteBus {
    fn provide<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>> {
        Box::pin(async move {
            {
                // Before the broker knows of it: the first call may come at once.
                let mut state = lock(&self.0.state);
                if state.providers.contains_key(topic) {
                    return Err(BusError::AlreadyProvided);
                }
                state.providers.insert(topic.to_owned(), endpoint);
            }
            let result = registered(self.0.ask(Question::Provide(topic.to_owned())).await);
            if result.is_err() {
                let endpoint = lock(&self.0.state).providers.remove(topic);
                drop(endpoint);
            }
            result
        })
    }

    fn withdraw<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a> {
        Box::pin(async move {
            let is_it =
                lock(&self.0.state).providers.get(topic).is_some_and(|provider| Arc::ptr_eq(provider, endpoint));
            if is_it {
                self.0.ask(Question::Withdraw(topic.to_owned())).await;
                let endpoint = lock(&self.0.state).providers.remove(topic);
                drop(endpoint);
            }
        })
    }

    fn subscribe<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>> {
        Box::pin(async move {
            let is_first = {
                let mut state = lock(&self.0.state);
                let subscribers = state.subscribers.entry(topic.to_owned()).or_default();
                subscribers.push(endpoint);
                subscribers.len() == 1
            };
            if is_first { registered(self.0.ask(Question::Subscribe(topic.to_owned())).await) } else { Ok(()) }
        })
    }

    fn unsubscribe<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a> {
        Box::pin(async move {
            let is_last = {
                let mut state = lock(&self.0.state);
                let Some(subscribers) = state.subscribers.get_mut(topic) else { return };
                subscribers.retain(|subscriber| !Arc::ptr_eq(subscriber, endpoint));
                let is_last = subscribers.is_empty();
                if is_last {
                    state.subscribers.remove(topic);
                }
                is_last
            };
            if is_last {
                self.0.ask(Question::Unsubscribe(topic.to_owned())).await;
            }
        })
    }

    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        let message = match Message::of(&envelope) {
            Ok(message) => message,
            Err(error) => {
                reply.error("INVALID_INPUT", &format!("the payload is wrong: {error}"), false, batch);
                return CallHandle::default();
            }
        };
        let (number, refused) = {
            let mut state = lock(&self.0.state);
            state.last += 1;
            let number = state.last;
            let sent = !state.is_closed && self.0.link.send(Packet::Call { number, message }).is_ok();
            let refused = if sent {
                state.calls.insert(number, reply);
                None
            } else {
                Some(reply)
            };
            (number, refused)
        };
        if let Some(reply) = refused {
            reply.error("UNAVAILABLE", "the message bus is closed", true, batch);
            return CallHandle::default();
        }
        CallHandle::new(&self.0, number)
    }

    fn publish(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) {
        let message = match Message::of(&envelope) {
            Ok(message) => message,
            Err(error) => return reply.error("INVALID_INPUT", &format!("the payload is wrong: {error}"), false, batch),
        };
        let refused = {
            let mut state = lock(&self.0.state);
            state.last += 1;
            let number = state.last;
            let question = Question::Publish(message);
            if !state.is_closed && self.0.link.send(Packet::Ask { number, question }).is_ok() {
                state.publications.insert(number, reply);
                None
            } else {
                Some(reply)
            }
        };
        if let Some(reply) = refused {
            reply.error("UNAVAILABLE", "the message bus is closed", true, batch);
        }
    }

    fn is_provided<'a>(&'a self, topic: &'a str) -> BusFuture<'a, bool> {
        Box::pin(async { self.0.ask(Question::IsProvided(topic.to_owned())).await.unwrap_or_default() })
    }

    fn close(&self) -> BusFuture<'static> {
        let closed = self.0.ask(Question::Close);
        let question = {
            let mut state = lock(&self.0.state);
            let last = state.last;
            state.questions.remove(&last).map(|question| (last, question))
        };
        self.0.end();
        // The answer to this one is still heard.
        lock(&self.0.state).questions.extend(question);
        Box::pin(async {
            closed.await;
        })
    }
}
