//! Sends the host's requests to the module: gives each an id, sends or queues it, and refuses it where that is not possible.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ixt_protocol::{Draining, Frame, Handle, HandleContext, HandleMessage, HostFrame, Object, Shutdown, code};
use serde::Deserialize;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Connection;
use super::request_table::{Admitted, HostRequest, InFlight};
use super::send_buffer::{FrameClass, Refused};
use crate::bus::{CallHandle, CallResult, Cause, Envelope, ReplyTo, WriteBatch};
use crate::call_error::CallError;
use crate::call_log::{CallOutcome, CallRecord};
use crate::lock::lock;
use crate::topic::{ModuleTopic, RequestInfo};
use crate::topic_kind::TopicKind;

/// A request that the connection did not take, and its [`ReplyTo`]: both for another process.
pub(crate) type NotAccepted<T> = Box<(T, ReplyTo)>;

/// The result of a health check.
pub(crate) enum HealthCheckResult {
    /// The data of the module's reply. Its `healthy` was not looked at.
    Replied(Object<'static>),
    /// The module's reply can't be read; the text says why.
    Unreadable(String),
    /// There is no reply, none in time (`DEADLINE_EXCEEDED`), the module replied with an error, or the check could not be sent
    /// (`RESOURCE_EXHAUSTED`).
    Failed(CallError),
}

impl Connection {
    /// Sends the module a call or an event, or queues it. Its result goes to `reply`, perhaps before this returns. `request` is
    /// [`HostRequest::Handle`] or [`HostRequest::Event`]. The returned handle cancels the request, and does nothing if the request was
    /// refused.
    ///
    /// # Errors
    ///
    /// If the module takes no more requests: returns the envelope and `reply`, for another process.
    pub(crate) fn send_message<'m>(
        self: &Arc<Self>,
        request: fn(Envelope<'m>) -> HostRequest<'m>,
        envelope: Envelope<'m>,
        topic: &Arc<ModuleTopic>,
        reply: ReplyTo,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> Result<CallHandle, NotAccepted<Envelope<'m>>> {
        let (trace_id, source) = (Arc::clone(&envelope.trace_id), Arc::clone(&envelope.source));
        let (deadline, cause, parent_span) = (envelope.deadline, envelope.cause.clone(), envelope.parent_span);
        let (attempt, priority) = (envelope.attempt, envelope.priority);
        let request = request(envelope);
        let kind = if matches!(request, HostRequest::Event(_)) { TopicKind::Event } else { TopicKind::Service };
        let call = RequestInfo {
            kind,
            topic: Arc::clone(topic),
            source,
            deadline,
            attempt,
            priority,
            cause: Arc::new(Cause::new(self.number, Arc::clone(&self.id), cause)),
            span: fastrand::u64(1..),
            is_sampled: self.spans.is_sampled(kind, topic.name(), &trace_id, parent_span),
            parent_span,
            trace_id,
        };
        match self.request(request, deadline, Some(call), reply, now, batch) {
            Ok(id) => Ok(id.map_or_else(CallHandle::default, |id| CallHandle::new(self, id))),
            Err(back) => match *back {
                (HostRequest::Handle(envelope) | HostRequest::Event(envelope), reply) => {
                    Err(Box::new((envelope, reply)))
                }
                (HostRequest::HealthCheck | HostRequest::Shutdown { .. }, _) => {
                    unreachable!("it was made of an envelope")
                }
            },
        }
    }

    /// Sends a request of the host itself, and waits for its result. After the timeout the result is the error
    /// `DEADLINE_EXCEEDED`; `Duration::MAX` is no timeout. [`CallError::Gone`] if the connection takes no such request,
    /// or ends.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        request: HostRequest<'_>,
        timeout: Duration,
    ) -> Result<Object<'static>, CallError> {
        let gone = || Err(CallError::Gone { reason: "it was not answered".to_owned() });
        self.ask_for(request, timeout, CallError::of).await.unwrap_or_else(gone)
    }

    /// Sends a health check, waits for the reply, and records whether it says that the module is ready: a reply without `ready` does. A
    /// reply whose `ready` is not a boolean is unreadable, and changes nothing.
    pub(crate) async fn check_health(self: &Arc<Self>, timeout: Duration) -> HealthCheckResult {
        let checked = |result: CallResult<'_>| match result {
            CallResult::Unreadable(error) => HealthCheckResult::Unreadable(error.to_owned()),
            result => CallError::of(result).map_or_else(HealthCheckResult::Failed, HealthCheckResult::Replied),
        };
        let gone = || HealthCheckResult::Failed(CallError::Gone { reason: "it was not answered".to_owned() });
        let checked = self.ask_for(HostRequest::HealthCheck, timeout, checked).await.unwrap_or_else(gone);
        if let HealthCheckResult::Replied(data) = &checked {
            #[derive(Deserialize)]
            struct Data {
                ready: Option<bool>,
            }
            match data.clone().read() {
                Ok(Data { ready }) => self.readiness.set_by_report(ready.unwrap_or(true)),
                Err(error) => return HealthCheckResult::Unreadable(error.to_string()),
            }
        }
        checked
    }

    /// Sends a request of the host itself, and waits for its result, which `read` converts. `None` if the result was discarded.
    async fn ask_for<T: Send + 'static>(
        self: &Arc<Self>,
        request: HostRequest<'_>,
        timeout: Duration,
        read: fn(CallResult<'_>) -> T,
    ) -> Option<T> {
        let (sender, result) = oneshot::channel();
        let reply = ReplyTo::new(move |result, _| drop(sender.send(read(result))));
        let (now, mut batch) = (Instant::now(), WriteBatch::none());
        if let Err(back) = self.request(request, now.checked_add(timeout), None, reply, now, &mut batch) {
            back.1.send(CallResult::lost("it takes nothing any more"), &mut batch);
        }
        result.await.ok()
    }

    /// Admits a request, and sends or queues it. Returns its id, or `None` if it was refused, so that `reply` has its result. The error is
    /// that the connection takes no more requests.
    fn request<'r>(
        self: &Arc<Self>,
        request: HostRequest<'r>,
        deadline: Option<Instant>,
        call: Option<RequestInfo>,
        reply: ReplyTo,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> Result<Option<u64>, NotAccepted<HostRequest<'r>>> {
        let admitted = lock(&self.requests).admit(request, reply, deadline, call, now);
        let (id, is_sooner) = match admitted {
            Admitted::Send { id, request, is_sooner, beside_others } => {
                self.send(id, &request, now, beside_others, batch);
                (id, is_sooner)
            }
            Admitted::Queued { id, is_sooner } => (id, is_sooner),
            Admitted::Closed { request, reply } => return Err(Box::new((request, reply))),
            Admitted::Refused { reply, call } => {
                let message = format!("too many requests wait for {}", self.id);
                self.refused(call, now, code::RESOURCE_EXHAUSTED, &message);
                reply.error(code::RESOURCE_EXHAUSTED, &message, true, batch);
                return Ok(None);
            }
        };
        if is_sooner {
            self.sooner_deadline.notify_one();
        }
        Ok(Some(id))
    }

    /// Puts a request into the send buffer. If the buffer refuses it, ends the request, and goes on with the next one of the queue.
    pub(super) fn send(
        &self,
        id: u64,
        request: &HostRequest<'_>,
        now: Instant,
        beside_others: bool,
        batch: &mut WriteBatch,
    ) {
        let Err(mut refused) = self.put(id, request, now, beside_others, batch) else { return };
        let mut id = id;
        loop {
            let (done, next) = lock(&self.requests).complete(Some(id));
            self.end_refused(done, refused, batch);
            let Some((next_id, request)) = next else { return };
            let Err(again) = self.put(next_id, &request, now, false, batch) else { return };
            (id, refused) = (next_id, again);
        }
    }

    /// Puts the frame of a request into the send buffer. `beside_others` is whether the module has other requests, so
    /// that the frame may wait a moment.
    fn put(
        &self,
        id: u64,
        request: &HostRequest<'_>,
        now: Instant,
        beside_others: bool,
        batch: &mut WriteBatch,
    ) -> Result<(), Refused> {
        // The request is looked up only if spans are exported.
        let traceparent = || self.spans.traceparent(|| self.handled(Some(id)));
        let (class, body) = match request {
            HostRequest::Event(envelope) => (FrameClass::Event, HostFrame::Event(handle(envelope, traceparent(), now))),
            HostRequest::Handle(envelope) if beside_others => {
                (FrameClass::RequestBesideOthers, HostFrame::Handle(handle(envelope, traceparent(), now)))
            }
            HostRequest::Handle(envelope) => {
                (FrameClass::HostRequest, HostFrame::Handle(handle(envelope, traceparent(), now)))
            }
            HostRequest::HealthCheck => (FrameClass::HostRequest, HostFrame::HealthCheck),
            HostRequest::Shutdown { grace_ms } => {
                (FrameClass::HostRequest, HostFrame::Shutdown(Shutdown { grace_ms: Some(*grace_ms) }))
            }
        };
        self.send_buffer.put(class, &Frame { id: Some(id), body }, batch)
    }

    /// Ends a request that the send buffer has refused, with the error for that.
    fn end_refused(&self, done: Option<InFlight>, refused: Refused, batch: &mut WriteBatch) {
        let Some(InFlight { reply: Some(reply), call, started, .. }) = done else { return };
        let (message, retryable) = match refused {
            Refused::TooLong { bytes, max_frame_bytes } => (
                format!("the request of {bytes} bytes is over the limit of {max_frame_bytes} bytes for a frame"),
                false,
            ),
            Refused::Full => (format!("{} does not read what it is sent", self.id), true),
            Refused::NoMemory => {
                (format!("the request does not fit into the memory of what waits for {}", self.id), true)
            }
            // The reason why it is closed is not known here yet.
            Refused::Closed => {
                let result = CallResult::lost("it has closed its connection");
                if let Some(call) = call {
                    call.topic.stats().refused(code::UNAVAILABLE);
                    self.log(&call, started, CallOutcome::Lost, &result, &reply);
                }
                // Before the result is sent: the caller may try again, and must not come here.
                self.take_only_shutdown();
                return reply.send(result, batch);
            }
        };
        self.refused(call, started, code::RESOURCE_EXHAUSTED, &message);
        reply.error(code::RESOURCE_EXHAUSTED, &message, retryable, batch);
    }

    /// Counts and logs a call that was not sent.
    fn refused(&self, call: Option<RequestInfo>, started: Instant, code: &str, message: &str) {
        if let Some(call) = call {
            call.topic.stats().refused(code);
            self.call_log.failed(&CallRecord::in_flight(&call, started), CallOutcome::Refused, code, message);
        }
    }

    /// Sends the module a frame that has no reply, in the class of events, without waiting for room. The error is why it was not sent.
    pub(crate) fn notify(&self, body: HostFrame<'_>) -> Result<(), Refused> {
        self.send_buffer.put(FrameClass::Event, &Frame { id: None, body }, &mut WriteBatch::none())
    }

    /// Sends a `draining` frame to a module that has picked this feature: it gets no more calls and events, and has `grace` to finish those
    /// that it has.
    pub(crate) fn tell_draining(&self, grace: Duration) {
        if self.is_told_draining.load(std::sync::atomic::Ordering::Relaxed) {
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            // If the frame is refused, since the module does not read, the module learns of its end by `shutdown`.
            let _ = self.notify(HostFrame::Draining(Draining { grace_ms }));
        }
    }
}

/// The body of a `handle` or `event` frame. Its timestamp is the current time, in Unix seconds; its `ttl_ms` is what is
/// left of the deadline, rounded up.
fn handle<'m>(envelope: &'m Envelope<'_>, traceparent: Option<String>, now: Instant) -> Handle<'m> {
    // Rounded up, so that less than a millisecond is not 0.
    let remaining_ms =
        |deadline: Instant| deadline.saturating_duration_since(now).as_micros().div_ceil(1000).try_into();
    let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let context = HandleContext {
        trace_id: (&*envelope.trace_id).into(),
        source_module: (&*envelope.source).into(),
        timestamp,
        traceparent: traceparent.unwrap_or_default().into(),
    };
    let message = HandleMessage {
        topic: (&*envelope.topic).into(),
        payload: envelope.payload.borrowed(),
        priority: envelope.priority,
        ttl_ms: envelope.deadline.map(|deadline| remaining_ms(deadline).unwrap_or(u64::MAX)),
    };
    Handle { message, context }
}
