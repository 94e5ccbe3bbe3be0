//! The host's end of the connection with one process of a module: numbers requests, brings each reply to the one who waits
//! for it, and the module's own requests to the [services](crate::services) of the host.

mod init_timeout;
mod own_calls;
mod reader;
mod request_table;
mod send_buffer;
mod socket_halves;
#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use ixt_protocol::{
    Context, ErrorBody, Frame, Framing, Handle, HostFrame, Init, Log, MAX_LENGTH_FRAME_BYTES, Message as WireMessage,
    Object, PROTOCOL_VERSION, ProtocolOffer, ServiceRequest, Shutdown, code,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::UnixStream;
use tokio::sync::{Notify, Semaphore, SetOnce, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::bus::{CallHandle, CallResult, Cancel, Cause, Envelope, ReplyTo, WriteBatch};
use crate::call_error::{CallError, ErrorReply};
use crate::call_log::{Call, CallLog, Outcome};
use crate::lock::lock;
use crate::topic::{CallInFlight, Kind, Topic};
use crate::trace::Spans;

pub(crate) use init_timeout::{Progress, patiently};
use own_calls::Calls;
pub(crate) use request_table::Request;
pub(crate) use send_buffer::Refused;
use send_buffer::{EVENTS_LIMIT, Outgoing};

use request_table::{Abandoned, Admitted, Has, InFlight, Next, Requests};

/// A process of a module that has answered `init`, or is about to.
pub(crate) struct Connection {
    /// Random: see [`Cause::process`].
    number: u64,
    /// `name:version/instance-NNN`.
    id: Arc<str>,
    max_frame_bytes: usize,
    outgoing: Arc<Outgoing>,
    requests: Mutex<Requests>,
    /// A deadline is sooner than those before.
    sooner: Notify,
    /// It takes nothing any more, and has answered all that it had.
    drained: Notify,
    /// The module's own requests.
    calls: Mutex<Calls>,
    /// The module has hung up, or is as good as if it had.
    closed: SetOnce<()>,
    /// Why it is to be ended, if it has not hung up.
    end_reason: OnceLock<String>,
    /// Gives out who waits for `init`.
    init: Mutex<Option<oneshot::Sender<Result<(), ErrorReply>>>>,
    tasks: Mutex<Vec<AbortHandle>>,
    spans: Spans,
    call_log: CallLog,
    /// For what its own requests carry that are being worked on.
    work: Arc<Budget>,
    reading: Arc<Semaphore>,
    /// Gets what the module says before it has answered `init`.
    progress: watch::Sender<Progress>,
    /// What it sends is read, unless the host has too much to do.
    is_read: AtomicBool,
    /// It has picked the feature `draining`.
    is_told_draining: AtomicBool,
    /// How many events it has.
    events: Arc<AtomicUsize>,
    /// It says that it takes new requests again.
    turned_ready: Notify,
    /// Whether it takes new requests: as its last frame `ready` says, and as its last health report does.
    says_ready: AtomicBool,
    reports_ready: AtomicBool,
    when_ready: OnceLock<Box<dyn Fn(bool) + Send + Sync>>,
}

/// What a module can ask of its host, and what becomes of what it says.
pub(crate) trait Services: Send + Sync + 'static {
    /// The module asks for something.
    fn request(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        request: ServiceRequest<'_>,
        batch: &mut WriteBatch,
    );
    /// A line of the module's log.
    fn log(&self, log: &Log<'_>);
    /// What is wrong with something that the module sent, and that can't be told to it.
    fn complain(&self, complaint: &str);
}

/// What is put before the connection's own frames.
pub(crate) struct Hello<'a> {
    pub(crate) config: &'a RawValue,
    pub(crate) framing: Framing,
    /// Where it is told what the module says of its start.
    pub(crate) progress: watch::Sender<Progress>,
}

/// What a module may do.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) max_frame_bytes: usize,
    /// For what waits for the module.
    pub(crate) waiting: Arc<Budget>,
    pub(crate) shared: Shared,
    /// How long a request for which nobody waits any more may stay unanswered before it is overdue.
    pub(crate) overdue_after: Duration,
}

/// What all connections of a host share.
#[derive(Debug, Clone)]
pub(crate) struct Shared {
    /// Bytes of large frames that modules are sending.
    reading: Arc<Semaphore>,
    /// For what the modules' own requests carry that are being worked on.
    work: Arc<Budget>,
}

/// See [`Shared`].
const READING_BYTES: usize = 64 * 1024 * 1024;
const WORK_BYTES: usize = 64 * 1024 * 1024;
/// So much of the work is one connection's.
const WORK_BYTES_OF_ONE: usize = WORK_BYTES / 2;

impl Default for Shared {
    fn default() -> Self {
        Self { reading: Arc::new(Semaphore::new(READING_BYTES)), work: Budget::new(WORK_BYTES) }
    }
}

/// What came of a health check.
pub(crate) enum Checked {
    Replied(Object<'static>),
    /// It has replied, and what it has replied can't be read: why.
    Unreadable(String),
    Failed(CallError),
}

/// How much a module has to do.
pub(crate) struct Load {
    /// How many requests it has not answered.
    pub(crate) in_flight: usize,
    /// Whether it takes one request at a time, and has one.
    pub(crate) is_busy: bool,
}

/// What waited in the queue of a module that takes one request at a time: to be given to another process.
pub(crate) enum NotAsked {
    Call { message: Envelope<'static>, topic: Arc<Topic>, reply: ReplyTo },
    Event { message: Envelope<'static>, reply: ReplyTo },
}

/// What was not sent, and to whom it is still to be answered.
pub(crate) type Back<T> = Box<(T, ReplyTo)>;

impl Connection {
    /// Sends `init`, and waits for the reply.
    pub(crate) async fn open(
        stream: UnixStream,
        id: Arc<str>,
        hello: Hello<'_>,
        limits: Limits,
        services: impl Services,
        spans: Spans,
        call_log: CallLog,
    ) -> Result<Arc<Self>, CallError> {
        let Limits { max_frame_bytes, .. } = limits;
        let (reader, writer) = socket_halves::split(stream)
            .map_err(|error| CallError::Gone { reason: format!("its socket can't be read: {error}") })?;
        let (init, initialized) = oneshot::channel();
        let connection = Arc::new(Self {
            number: fastrand::u64(..),
            id: Arc::clone(&id),
            max_frame_bytes,
            outgoing: Arc::new(Outgoing::new(writer, hello.framing, max_frame_bytes, &limits.waiting)),
            requests: Mutex::new(Requests::new(limits.overdue_after, limits.waiting)),
            sooner: Notify::new(),
            drained: Notify::new(),
            calls: Mutex::default(),
            closed: SetOnce::new(),
            end_reason: OnceLock::new(),
            init: Mutex::new(Some(init)),
            tasks: Mutex::default(),
            spans,
            call_log,
            work: limits.shared.work.part(WORK_BYTES_OF_ONE),
            reading: limits.shared.reading,
            progress: hello.progress,
            is_read: AtomicBool::new(true),
            is_told_draining: AtomicBool::new(false),
            events: Arc::default(),
            turned_ready: Notify::new(),
            says_ready: AtomicBool::new(true),
            reports_ready: AtomicBool::new(true),
            when_ready: OnceLock::new(),
        });
        // Until it is done, an attempt that is given up takes its tasks with it.
        let guard = CloseOnDrop(Some(Arc::clone(&connection)));
        let offer = ProtocolOffer {
            version: PROTOCOL_VERSION,
            max_frame_bytes,
            framings: offered(max_frame_bytes).iter().map(|framing| framing.as_str().to_owned()).collect(),
            features: ["log", "starting", "ready", "draining"].map(str::to_owned).to_vec(),
        };
        let init = Init { config: hello.config, module_id: (&*id).into(), protocol: Some(offer) };
        let sent = connection
            .outgoing
            .request(&Frame { id: Some(request_table::INIT_ID), body: HostFrame::Init(init) }, &mut WriteBatch::none());
        if let Err(Refused::TooLong { bytes, max_frame_bytes }) = sent {
            return Err(CallError::TooLong { bytes, max_frame_bytes });
        }
        let tasks = [
            tokio::spawn(Arc::clone(&connection.outgoing).run()).abort_handle(),
            tokio::spawn(expire(Arc::downgrade(&connection))).abort_handle(),
            tokio::spawn(reader::read(reader, Arc::clone(&connection), services)).abort_handle(),
        ];
        lock(&connection.tasks).extend(tasks);
        match initialized.await {
            Ok(Ok(())) => Ok(guard.keep()),
            Ok(Err(refusal)) => Err(CallError::Replied(refusal)),
            Err(_) => Err(CallError::Gone { reason: "the module closed its connection".to_owned() }),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// `name:version/instance-NNN`.
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// How much the module has to do; `None` if it takes nothing any more, or nothing now.
    pub(crate) fn load(&self) -> Option<Load> {
        let requests = lock(&self.requests);
        let (in_flight, is_busy) = (requests.len(), requests.is_busy());
        (!requests.is_closed() && self.is_ready()).then_some(Load { in_flight, is_busy })
    }

    /// Whether the module takes new requests, as it says.
    pub(crate) fn is_ready(&self) -> bool {
        self.says_ready.load(Ordering::SeqCst) && self.reports_ready.load(Ordering::SeqCst)
    }

    /// Waits until it takes new requests, as it says.
    pub(crate) async fn ready(&self) {
        loop {
            let turned = self.turned_ready.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            if self.is_ready() {
                return;
            }
            turned.await;
        }
    }

    /// How many events it has, counted by whoever gives them.
    pub(crate) fn events(&self) -> &Arc<AtomicUsize> {
        &self.events
    }

    /// What to do whenever it says that it takes no new requests now, or takes them again.
    pub(crate) fn when_ready(&self, act: impl Fn(bool) + Send + Sync + 'static) {
        let _ = self.when_ready.set(Box::new(act));
    }

    /// The module has said, in one of its two ways, whether it takes new requests.
    fn set_ready(&self, way: &AtomicBool, ready: bool) {
        let was = self.is_ready();
        way.store(ready, Ordering::SeqCst);
        let is_ready = self.is_ready();
        if is_ready {
            self.turned_ready.notify_waiters();
        }
        if was != is_ready
            && let Some(act) = self.when_ready.get()
        {
            act(is_ready);
        }
    }

    /// How many requests the module has not answered.
    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.requests).len()
    }

    /// How many of them it was not given yet.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.requests).waiting()
    }

    /// Whether it takes one request at a time.
    pub(crate) fn is_sequential(&self) -> bool {
        lock(&self.requests).is_sequential()
    }

    /// Whether it takes one request at a time, and has one.
    pub(crate) fn is_busy(&self) -> bool {
        lock(&self.requests).is_busy()
    }

    /// For how long nobody has waited for what it does, if it takes one request at a time.
    pub(crate) fn is_late(&self) -> Option<Duration> {
        lock(&self.requests).is_late(Instant::now())
    }

    /// Whether its answers are read: while the host has too much to do, it can't be asked anything.
    pub(crate) fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// How many requests it still has not answered although nobody has waited for them for long, if it takes many at a time.
    pub(crate) fn overdue(&self) -> usize {
        lock(&self.requests).overdue()
    }

    /// Why the process is to be ended, if it has not hung up by itself.
    pub(crate) fn end_reason(&self) -> Option<String> {
        self.end_reason.get().cloned()
    }

    /// Waits until the module has hung up.
    pub(crate) async fn closed(&self) {
        self.closed.wait().await;
    }

    /// No new request is taken, and none is sent any more.
    fn refuse_more(&self) {
        lock(&self.requests).refuse();
    }

    /// No new request is taken. Gives those back that wait here for the module, which it has not been asked yet.
    #[must_use]
    pub(crate) fn stop(&self) -> Vec<NotAsked> {
        let waiting = lock(&self.requests).stop();
        self.look_whether_drained();
        let not_asked = waiting.into_iter().filter_map(|(request, InFlight { reply, call, .. })| {
            let (reply, call) = (reply?, call.map(|call| call.topic));
            match (request, call) {
                (Request::Handle(message), Some(topic)) => Some(NotAsked::Call { message, topic, reply }),
                (Request::Event(message), Some(_)) => Some(NotAsked::Event { message, reply }),
                _ => {
                    reply.send(CallResult::lost("it takes nothing any more"), &mut WriteBatch::none());
                    None
                }
            }
        });
        not_asked.collect()
    }

    /// Waits until it has answered all that somebody waits for. To be called after [`stop`](Self::stop).
    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if lock(&self.requests).waited_for() == 0 {
                return;
            }
            drained.await;
        }
    }

    fn look_whether_drained(&self) {
        if lock(&self.requests).is_drained() {
            self.drained.notify_waiters();
        }
    }

    /// How many requests it has not answered for which somebody waits.
    pub(crate) fn waited_for(&self) -> usize {
        lock(&self.requests).waited_for()
    }

    /// Whether new requests are taken.
    fn is_open(&self) -> bool {
        !lock(&self.requests).is_closed()
    }

    /// The call that the module handles under this id.
    pub(crate) fn handled(&self, parent: Option<u64>) -> Option<CallInFlight> {
        lock(&self.requests).handled(parent).cloned()
    }

    /// Sends the module a call of a service or an event. If it takes nothing any more, both come back.
    pub(crate) fn send_message<'m>(
        self: &Arc<Self>,
        request: fn(Envelope<'m>) -> Request<'m>,
        message: Envelope<'m>,
        topic: &Arc<Topic>,
        reply: ReplyTo,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> Result<CallHandle, Back<Envelope<'m>>> {
        let (trace_id, source) = (Arc::clone(&message.trace_id), Arc::clone(&message.source));
        let (deadline, parent, parent_span) = (message.deadline, message.cause.clone(), message.parent_span);
        let (attempt, priority) = (message.attempt, message.priority);
        let request = request(message);
        let kind = if matches!(request, Request::Event(_)) { Kind::Event } else { Kind::Call };
        let call = CallInFlight {
            kind,
            topic: Arc::clone(topic),
            source,
            deadline,
            attempt,
            priority,
            cause: Arc::new(Cause::new(self.number, Arc::clone(&self.id), parent)),
            span: fastrand::u64(1..),
            is_sampled: self.spans.is_sampled(kind, topic.name(), &trace_id, parent_span),
            parent_span,
            trace_id,
        };
        match self.request(request, deadline, Some(call), reply, now, batch) {
            Ok(id) => Ok(id.map_or_else(CallHandle::default, |id| CallHandle::new(self, id))),
            Err(back) => match *back {
                (Request::Handle(message) | Request::Event(message), reply) => Err(Box::new((message, reply))),
                // Neither is sent by this.
                (Request::HealthCheck | Request::Shutdown { .. }, _) => Ok(CallHandle::default()),
            },
        }
    }

    /// Sends a request. Gives its id, unless it was answered already; or gives it back, if nothing is taken any more.
    fn request<'r>(
        self: &Arc<Self>,
        request: Request<'r>,
        deadline: Option<Instant>,
        call: Option<CallInFlight>,
        reply: ReplyTo,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> Result<Option<u64>, Back<Request<'r>>> {
        let admitted = lock(&self.requests).admit(request, reply, deadline, call, now);
        let (id, look_sooner) = match admitted {
            Admitted::Send { id, request, look_sooner, beside_others } => {
                self.send(id, &request, now, beside_others, batch);
                (id, look_sooner)
            }
            Admitted::Queued { id, look_sooner } => (id, look_sooner),
            Admitted::Closed { request, reply } => return Err(Box::new((request, reply))),
            Admitted::Refused { reply, call } => {
                let message = format!("too many requests wait for {}", self.id);
                self.refused(call, now, code::RESOURCE_EXHAUSTED, &message);
                reply.error(code::RESOURCE_EXHAUSTED, &message, true, batch);
                return Ok(None);
            }
        };
        if look_sooner {
            self.sooner.notify_one();
        }
        Ok(Some(id))
    }

    /// Asks the module something that the host itself wants to know, within this time.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: Request<'_>,
        within: Duration,
    ) -> Result<Object<'static>, CallError> {
        let gone = || Err(CallError::Gone { reason: "it was not answered".to_owned() });
        self.ask_for(request, within, CallError::of).await.unwrap_or_else(gone)
    }

    /// Asks the module how it is.
    pub(crate) async fn check_health(self: &Arc<Self>, within: Duration) -> Checked {
        let checked = |answer: CallResult<'_>| match answer {
            CallResult::Unreadable(error) => Checked::Unreadable(error.to_owned()),
            answer => CallError::of(answer).map_or_else(Checked::Failed, Checked::Replied),
        };
        let gone = || Checked::Failed(CallError::Gone { reason: "it was not answered".to_owned() });
        let checked = self.ask_for(Request::HealthCheck, within, checked).await.unwrap_or_else(gone);
        if let Checked::Replied(data) = &checked {
            #[derive(Deserialize)]
            struct Data {
                ready: Option<bool>,
            }
            match data.clone().read() {
                Ok(Data { ready }) => self.set_ready(&self.reports_ready, ready.unwrap_or(true)),
                Err(error) => return Checked::Unreadable(error.to_string()),
            }
        }
        checked
    }

    async fn ask_for<T: Send + 'static>(
        self: &Arc<Self>,
        request: Request<'_>,
        within: Duration,
        read: fn(CallResult<'_>) -> T,
    ) -> Option<T> {
        let (sender, answer) = oneshot::channel();
        let reply = ReplyTo::new(move |result, _| drop(sender.send(read(result))));
        let (now, mut batch) = (Instant::now(), WriteBatch::none());
        if let Err(back) = self.request(request, now.checked_add(within), None, reply, now, &mut batch) {
            back.1.send(CallResult::lost("it takes nothing any more"), &mut batch);
        }
        answer.await.ok()
    }

    /// Writes a request, and, if it can't be written, answers it, and goes on to the next.
    fn send(&self, id: u64, request: &Request<'_>, now: Instant, beside_others: bool, batch: &mut WriteBatch) {
        let Some(refused) = self.write(id, request, now, beside_others, batch) else { return };
        let (done, mut next) = lock(&self.requests).complete(Some(id));
        self.refuse(done, refused, batch);
        while let Some((id, request)) = next.send.take() {
            let Some(refused) = self.write(id, &request, now, false, batch) else { return };
            let done;
            (done, next) = lock(&self.requests).complete(Some(id));
            self.refuse(done, refused, batch);
        }
    }

    fn write(
        &self,
        id: u64,
        request: &Request<'_>,
        now: Instant,
        beside_others: bool,
        batch: &mut WriteBatch,
    ) -> Option<Refused> {
        // Nothing else is known of it here, and it is asked for only if there are spans.
        let traceparent = || self.spans.traceparent(|| self.handled(Some(id)));
        let body = match request {
            Request::Handle(message) => HostFrame::Handle(wire(message, traceparent(), now)),
            Request::Event(message) => HostFrame::Event(wire(message, traceparent(), now)),
            Request::HealthCheck => HostFrame::HealthCheck,
            Request::Shutdown { grace_ms } => HostFrame::Shutdown(Shutdown { grace_ms: Some(*grace_ms) }),
        };
        let frame = Frame { id: Some(id), body };
        if matches!(request, Request::Event(_)) {
            return self.outgoing.notify(&frame, batch).err();
        }
        if beside_others { self.outgoing.request_soon(&frame, batch) } else { self.outgoing.request(&frame, batch) }
            .err()
    }

    fn refuse(&self, done: Option<InFlight>, refused: Refused, batch: &mut WriteBatch) {
        let Some(InFlight { reply: Some(reply), call, started, .. }) = done else { return };
        match refused {
            Refused::TooLong { bytes, max_frame_bytes } => {
                let message =
                    format!("the request of {bytes} bytes is over the limit of {max_frame_bytes} bytes for a frame");
                self.refused(call, started, code::RESOURCE_EXHAUSTED, &message);
                reply.error(code::RESOURCE_EXHAUSTED, &message, false, batch);
            }
            Refused::Full => {
                let message = format!("{} does not read what it is sent", self.id);
                self.refused(call, started, code::RESOURCE_EXHAUSTED, &message);
                reply.error(code::RESOURCE_EXHAUSTED, &message, true, batch);
            }
            // The reader will know why; here it is only known that it is so.
            Refused::Closed => {
                let answer = CallResult::lost("it has closed its connection");
                if let Some(call) = call {
                    call.topic.stats().refused(code::UNAVAILABLE);
                    self.log(&call, started, Outcome::Lost, &answer, &reply);
                }
                // Before the answer, for whoever gets that may ask again.
                self.refuse_more();
                reply.send(answer, batch);
            }
        }
    }

    /// A call was not sent.
    fn refused(&self, call: Option<CallInFlight>, started: Instant, code: &str, message: &str) {
        if let Some(call) = call {
            call.topic.stats().refused(code);
            self.call_log.failed(&Call::in_flight(&call, started), Outcome::Refused, code, message);
        }
    }

    /// A response to one of the module's own requests.
    pub(crate) fn respond(&self, id: Option<u64>, response: Result<Object<'_>, ErrorBody<'_>>, batch: &mut WriteBatch) {
        let instead = |message: String, retryable| {
            let error = ErrorBody::new(code::RESOURCE_EXHAUSTED, message, retryable);
            Frame { id, body: HostFrame::ServiceResponse(Err(error)) }
        };
        let refused = self.outgoing.respond(&Frame { id, body: HostFrame::ServiceResponse(response) }, batch);
        let _ = match refused {
            Ok(()) | Err(Refused::Closed) => Ok(()),
            Err(Refused::TooLong { bytes, max_frame_bytes }) => self.outgoing.respond(
                &instead(
                    format!("the response of {bytes} bytes is over the limit of {max_frame_bytes} bytes for a frame"),
                    false,
                ),
                batch,
            ),
            // Over the limit for anything else: an error is small.
            Err(Refused::Full) => self
                .outgoing
                .respond_at_last(&instead("the module does not read its responses".to_owned(), true), batch),
        };
    }

    /// Tells the module something to which it does not reply.
    pub(crate) fn notify(&self, body: HostFrame<'_>) -> Result<(), Refused> {
        self.outgoing.notify(&Frame { id: None, body }, &mut WriteBatch::none())
    }

    /// Waits until the module has read so much of what it was sent that it can take an event.
    pub(crate) async fn room(&self) {
        self.outgoing.room(EVENTS_LIMIT).await;
    }

    /// Whether it has.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.has_room(EVENTS_LIMIT)
    }

    /// A reply has come.
    fn complete(self: &Arc<Self>, id: Option<u64>, answer: CallResult<'_>, batch: &mut WriteBatch) -> bool {
        let (done, Next { send }, is_drained) = {
            let mut requests = lock(&self.requests);
            let (done, next) = requests.complete(id);
            (done, next, requests.is_drained())
        };
        if let Some((id, request)) = send {
            self.send(id, &request, Instant::now(), false, batch);
        }
        if is_drained {
            self.drained.notify_waiters();
        }
        let Some(done) = done else { return false };
        match answer {
            // It was told to end, and has not begun with this.
            CallResult::Error(error) if error.retryable && error.code == code::UNAVAILABLE && !self.is_open() => {
                self.finish(
                    done,
                    Outcome::Refused,
                    CallResult::lost(&format!("{}: {}", self.id, error.message)),
                    batch,
                );
            }
            answer => self.finish(done, Outcome::Answered, answer, batch),
        }
        true
    }

    /// Tells the module, if it wants to know, that it gets nothing new, and how long it has for what it has.
    pub(crate) fn tell_draining(&self, grace: Duration) {
        if self.is_told_draining.load(Ordering::Relaxed) {
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            // One that does not read will be told to shut down.
            let _ = self.notify(HostFrame::Draining { grace_ms });
        }
    }

    /// Whether it has a call that has ended a process before: it is to blame if it ends this one, too.
    pub(crate) fn has_tried_again(&self) -> bool {
        lock(&self.requests).has_tried_again()
    }

    /// Ends every request with this reason, and the module's own.
    pub(crate) fn close(&self, reason: &str) {
        let (requests, calls) = (lock(&self.requests).close(), std::mem::take(&mut *lock(&self.calls)));
        let was_alone = requests.len() == 1;
        let mut batch = WriteBatch::new();
        for in_flight in requests {
            let reason = match &in_flight.call {
                Some(call) => format!("{} ended while it handled `{}`: {reason}", self.id, call.topic.name()),
                None => format!("{} ended: {reason}", self.id),
            };
            self.finish(in_flight, Outcome::Lost, CallResult::Lost { reason: &reason, was_alone }, &mut batch);
        }
        for handle in calls.by_id.into_values() {
            handle.cancel(&mut batch);
        }
        drop(batch);
        self.drained.notify_waiters();
        self.outgoing.close();
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }

    fn expire(self: &Arc<Self>) -> Option<Instant> {
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        let (expired, next) = lock(&self.requests).expired(now);
        for id in expired {
            let over = |topic: &str| format!("the time for `{topic}` is over, and {} has not answered", self.id);
            if let Some((reply, message)) =
                self.abandon(id, Outcome::Timeout, code::DEADLINE_EXCEEDED, over, &mut batch)
            {
                reply.error(code::DEADLINE_EXCEEDED, &message, true, &mut batch);
            }
        }
        let overdue = lock(&self.requests).drop_overdue(now);
        next.into_iter().chain(overdue).min()
    }

    /// Nobody waits for this request any more: the module is told, where that is possible. Gives whoever waited for it, and the
    /// reason in words.
    fn abandon(
        &self,
        id: u64,
        outcome: Outcome,
        code: &str,
        why: impl FnOnce(&str) -> String,
        batch: &mut WriteBatch,
    ) -> Option<(ReplyTo, String)> {
        let Abandoned { reply, started, call, has } = lock(&self.requests).abandon(id, Instant::now())?;
        self.look_whether_drained();
        let why = why(call.as_ref().map_or("the request", |call| call.topic.name()));
        if let Some(call) = &call {
            self.ended(call, started, outcome, &CallResult::Error(ErrorBody::new(code, &*why, true)), &reply);
        }
        match has {
            Has::Not => {}
            Has::AmongOthers => {
                // One that does not read need not know.
                let _ = self.outgoing.request(&Frame { id: Some(id), body: HostFrame::Cancel }, batch);
            }
            // It can't be told. But what it waits for itself need not keep it any longer.
            Has::Alone => {
                let calls = std::mem::take(&mut lock(&self.calls).by_id);
                for (id, pending) in calls {
                    pending.cancel(batch);
                    let error = ErrorBody::new(code::CANCELLED, "nobody waits for what this call was made for", false);
                    self.respond(Some(id), Err(error), batch);
                }
            }
        }
        Some((reply, why))
    }

    fn finish(&self, done: InFlight, outcome: Outcome, answer: CallResult<'_>, batch: &mut WriteBatch) {
        // One that was given up was answered then.
        let Some(reply) = done.reply else { return };
        if let Some(call) = &done.call {
            self.ended(call, done.started, outcome, &answer, &reply);
        }
        reply.send(answer, batch);
    }

    /// The caller is answered, or has given up.
    fn ended(&self, call: &CallInFlight, started: Instant, outcome: Outcome, answer: &CallResult<'_>, reply: &ReplyTo) {
        call.topic.stats().finished(started.elapsed(), answer.code());
        self.spans.finished(call, started, answer);
        self.log(call, started, outcome, answer, reply);
    }

    fn log(&self, call: &CallInFlight, started: Instant, outcome: Outcome, answer: &CallResult<'_>, reply: &ReplyTo) {
        // Otherwise it is asked again, and whoever does that tells.
        if !matches!(answer, CallResult::Lost { .. }) || !reply.retries() {
            self.call_log.ended(call, started, outcome, answer);
        }
    }
}

/// The framings that a module can pick.
fn offered(max_frame_bytes: usize) -> &'static [Framing] {
    if max_frame_bytes > MAX_LENGTH_FRAME_BYTES { &[Framing::Line] } else { &[Framing::Line, Framing::Length] }
}

struct CloseOnDrop(Option<Arc<Connection>>);

impl CloseOnDrop {
    fn keep(mut self) -> Arc<Connection> {
        self.0.take().expect("it is taken once")
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.close("it was given up");
        }
    }
}

impl Cancel for Connection {
    fn cancel(&self, number: u64, batch: &mut WriteBatch) {
        let gave_up = |topic: &str| format!("the caller of `{topic}` gave up");
        if let Some((reply, _)) = self.abandon(number, Outcome::Cancelled, code::CANCELLED, gave_up, batch) {
            // The caller is gone, so that nothing is said to it.
            reply.discard();
            // It is to be answered all the same, and if it is not, that is seen.
            self.sooner.notify_one();
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("id", &self.id).finish_non_exhaustive()
    }
}

fn wire<'m>(message: &'m Envelope<'_>, traceparent: Option<String>, now: Instant) -> Handle<'m> {
    // Rounded up, so that a moment left is not none.
    let left = |deadline: Instant| deadline.saturating_duration_since(now).as_micros().div_ceil(1000);
    let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let context = Context {
        trace_id: (&*message.trace_id).into(),
        source_module: (&*message.source).into(),
        timestamp,
        traceparent: traceparent.unwrap_or_default().into(),
    };
    let message = WireMessage {
        topic: (&*message.topic).into(),
        payload: message.payload.borrowed(),
        priority: message.priority,
        ttl_ms: message.deadline.map(|deadline| u64::try_from(left(deadline)).unwrap_or(u64::MAX)),
    };
    Handle { message, context }
}

/// Ends what takes too long.
async fn expire(connection: Weak<Connection>) {
    let mut next = None;
    loop {
        let Some(this) = connection.upgrade() else { return };
        let sooner = async {
            match next {
                Some(next) => drop(tokio::time::timeout_at(next, this.sooner.notified()).await),
                None => this.sooner.notified().await,
            }
        };
        sooner.await;
        next = this.expire();
    }
}
