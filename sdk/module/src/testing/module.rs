//! A module that runs under test, from its start by [`Host`](super::Host): calls, events, the shutdown, and what the host has recorded.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Handle, HandleContext, HandleMessage, HostFrame, Priority, Shutdown, read_json};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::host_end::HostEnd;
use super::observed::{Log, Sent, Starting};
use crate::error::{Error, Result};
use crate::health::Health;
use crate::payload::{FromPayload, IntoPayload};
use crate::service::{Event, Service};
use crate::session::End;

/// A module that runs under test; made by [`Host::start`](super::Host::start). Dropping this closes the connection, so that the module
/// shuts down, but does not wait for that.
///
/// The module and the host are tasks of the test's runtime. With one thread, as in [`run`](super::run), they go on only while the test
/// waits. The host records frames in the order in which the module sends them: when a reply has come, all that the module has sent before
/// it is recorded.
pub struct Module {
    host: Arc<HostEnd>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").finish_non_exhaustive()
    }
}

impl Module {
    pub(super) fn new(host: Arc<HostEnd>) -> Self {
        Self { host }
    }

    /// Calls a service of the module. The call is sent when the future is first polled, and cancelled if it is dropped before the reply.
    /// Its priority, deadline, trace and caller are set on the [`TestCall`].
    pub fn call<Req: IntoPayload, Res: DeserializeOwned>(
        &self,
        service: Service<Req, Res>,
        request: &Req,
    ) -> TestCall<'_, Res> {
        TestCall::new(&self.host, service.topic(), request.to_payload(), false)
    }

    /// Sends the module an event. Awaited, it returns when the handler has ended, with an empty object, or with the handler's error. An
    /// event to which the module does not subscribe is the error `UNKNOWN_TOPIC`.
    pub fn event<P: IntoPayload>(&self, event: Event<P>, payload: &P) -> TestCall<'_, Value> {
        TestCall::new(&self.host, event.topic(), payload.to_payload(), true)
    }

    /// Calls any topic with any bytes, and returns the reply as JSON; see [`call`](Self::call). A topic that the module does not provide is
    /// the error `UNKNOWN_TOPIC`. For the wrong requests that [`call`](Self::call) can't send.
    pub fn call_raw(&self, topic: &str, payload: impl Into<Vec<u8>>) -> TestCall<'_, Value> {
        TestCall::new(&self.host, topic, Ok(payload.into()), false)
    }

    /// Runs the module's health check, and waits for its report. Panics if a stub has panicked since the last reply. An error or a panic of
    /// `Handler::health_check` is a report as well, which is not healthy. There is no timeout.
    ///
    /// # Errors
    ///
    /// `UNAVAILABLE` if the module shuts down or has ended.
    pub async fn health(&self) -> Result<Health> {
        let (_, reply) = self.host.send(HostFrame::HealthCheck);
        let reply = self.host.reply_to(reply).await?;
        read_json(reply.to_json().as_bytes()).map_err(Error::internal)
    }

    /// What the module has reported with [`Runtime::starting`](crate::Runtime::starting), in order. Empty if it has reported nothing. Calls
    /// after `Handler::init` has ended are not in it.
    #[must_use]
    pub fn starting(&self) -> Vec<Starting> {
        self.host.conversation().starting.clone()
    }

    /// The last value of [`Runtime::set_ready`](crate::Runtime::set_ready); true before the first. Calls of the test are sent even if it
    /// is false.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.host.conversation().is_unready
    }

    /// Shuts the module down with a grace period of five seconds, and waits for its end: see [`shutdown_within`](Self::shutdown_within).
    ///
    /// # Errors
    ///
    /// Those of `Handler::shutdown`.
    pub async fn shutdown(&self) -> Result<()> {
        self.shutdown_within(Duration::from_secs(5)).await
    }

    /// Shuts the module down with this grace period, and waits for its end: at most half of the period for the requests that run, and at
    /// most the other half for `Handler::shutdown`. The period is rounded down to milliseconds. Panics if a stub has panicked since the
    /// last reply.
    ///
    /// # Errors
    ///
    /// Those of `Handler::shutdown`; `INTERNAL` if it panics; `DEADLINE_EXCEEDED` if it takes longer; `UNAVAILABLE` if the module shuts
    /// down already or has ended.
    pub async fn shutdown_within(&self, grace: Duration) -> Result<()> {
        let (_, reply) =
            self.host.send(HostFrame::Shutdown(Shutdown { grace_ms: u64::try_from(grace.as_millis()).ok() }));
        self.host.reply_to(reply).await?;
        match self.host.ended().await {
            End::Clean => Ok(()),
            End::Failed => Err(Error::internal("the module has answered that it has shut down, but did not end well")),
        }
    }

    /// Closes the connection, as when the host dies, and waits for the module's end; the grace period is five seconds. Does not say whether
    /// `Handler::shutdown` has failed. A second call only waits. Calls afterwards fail with `UNAVAILABLE`.
    pub async fn hang_up(&self) {
        self.host.hang_up();
        self.host.ended().await;
    }

    /// All log lines of the module so far, in order. Lines that it writes within `ixt_sdk::blocking` are among them; those of other threads
    /// and of tasks that it has spawned are not: they go to stderr.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.host.conversation().logs.clone()
    }

    /// All calls that the module has made of other modules so far, in order, also those without a stub. Events are in
    /// [`published`](Self::published); calls of the key-value store are not recorded.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.host.conversation().sent.clone()
    }

    /// All events of this topic that the module has published so far, in order; equal ones are there twice. Empty if there are none. Each
    /// call returns them again.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if one is not of the declared type.
    pub fn published<P: FromPayload>(&self, event: Event<P>) -> Result<Vec<P>> {
        let conversation = self.host.conversation();
        let published = conversation.published.iter().filter(|(topic, _)| topic == event.topic());
        published.map(|(_, payload)| P::read(payload.clone().into())).collect()
    }

    /// The value of a key in the module's key-value store; `None` if there is no such key, or it has expired.
    #[must_use]
    pub fn kv(&self, key: &str) -> Option<Vec<u8>> {
        self.host.with_store(|store| store.get(key))
    }

    /// Writes a value into the module's key-value store, as another process of the module would: its watches get the change. The value does
    /// not expire.
    pub fn set_kv(&self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.host.with_store(|store| store.set(key.into(), value.into(), None));
    }

    /// Removes a key from the module's key-value store, as another process of the module would. Does nothing if there is no such key.
    pub fn delete_kv(&self, key: &str) {
        self.host.with_store(|store| store.delete(key));
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.host.hang_up();
    }
}

/// A call of the module under test, or an event for it. It is sent when it is first polled, and cancelled if it is dropped before the
/// reply. The test host has no timeout. It returns the reply, or
///
/// - the error of the module, such as `INVALID_INPUT`, or `DEADLINE_EXCEEDED` at its [`ttl`](Self::ttl);
/// - `INTERNAL` if the reply is not of the declared type, or the request can't be JSON;
/// - `UNAVAILABLE` if the module shuts down or has ended.
///
/// It panics if a stub has panicked since the last reply.
#[must_use = "nothing is sent before it is awaited"]
pub struct TestCall<'a, Res> {
    host: &'a Arc<HostEnd>,
    is_event: bool,
    topic: String,
    payload: Result<Vec<u8>>,
    priority: Priority,
    ttl: Option<Duration>,
    trace_id: String,
    source_module: String,
    traceparent: String,
    response: PhantomData<fn() -> Res>,
}

impl<Res> std::fmt::Debug for TestCall<'_, Res> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TestCall").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl<'a, Res> TestCall<'a, Res> {
    fn new(host: &'a Arc<HostEnd>, topic: &str, payload: Result<Vec<u8>>, is_event: bool) -> Self {
        Self {
            host,
            is_event,
            topic: topic.to_owned(),
            payload,
            priority: Priority::Normal,
            ttl: None,
            trace_id: "test".to_owned(),
            source_module: "test:0.0.0".to_owned(),
            traceparent: String::new(),
            response: PhantomData,
        }
    }

    /// Sets the priority, which decides which queued request begins next. The default is normal.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the time from the sending to the deadline, rounded down to milliseconds. With 0 the handler is not called. The default is no
    /// deadline: the call waits as long as the handler takes.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets the trace id; it may be empty. The default is `test`.
    pub fn trace_id(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = trace_id.into();
        self
    }

    /// Sets the calling module, as `name:version`; the form is not checked. The default is `test:0.0.0`.
    pub fn source_module(mut self, source_module: impl Into<String>) -> Self {
        self.source_module = source_module.into();
        self
    }

    /// Sets the `traceparent`, in the form of W3C Trace Context, which is not checked. The default is none.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = traceparent.into();
        self
    }
}

impl<'a, Res: DeserializeOwned> IntoFuture for TestCall<'a, Res> {
    type Output = Result<Res>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Res>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { host, is_event, topic, payload, priority, ttl, trace_id, source_module, traceparent, .. } = self;
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            let message = HandleMessage { topic: topic.into(), payload: payload?.into(), priority, ttl_ms };
            let context = HandleContext {
                trace_id: trace_id.into(),
                source_module: source_module.into(),
                timestamp: 0,
                traceparent: traceparent.into(),
            };
            let handle = Handle { message, context };
            let (id, reply) = host.send(if is_event { HostFrame::Event(handle) } else { HostFrame::Handle(handle) });
            let _cancel = CancelOnDrop { host, id };
            let reply = host.reply_to(reply).await?;
            read_json(reply.to_json().as_bytes())
                .map_err(|invalid| Error::internal(format!("the module's reply is wrong: {invalid}")))
        })
    }
}

/// Sends a `cancel` when it is dropped, unless the reply has come.
struct CancelOnDrop<'a> {
    host: &'a HostEnd,
    id: u64,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.host.cancel(self.id);
    }
}
