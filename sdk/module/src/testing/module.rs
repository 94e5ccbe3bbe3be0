//! A module that runs under test.

use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Context, Handle, HostFrame, Message, Priority, Shutdown, read_json};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::host_end::HostEnd;
use super::observed::{Log, Sent, Starting};
use crate::payload::{FromPayload, IntoPayload};
use crate::session::End;
use crate::{Error, Event, Health, Result, Service};

/// A module that has started. Dropped, its host is gone.
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

    /// Calls one of the module's services when it is awaited. Dropped before the reply, it is cancelled.
    pub fn call<Req: IntoPayload, Res: DeserializeOwned>(
        &self,
        service: Service<Req, Res>,
        request: &Req,
    ) -> Request<'_, Res> {
        Request::new(&self.host, service.topic(), request.to_payload(), false)
    }

    /// Sends the module an event that it takes, when it is awaited.
    pub fn event<P: IntoPayload>(&self, event: Event<P>, payload: &P) -> Request<'_, Value> {
        Request::new(&self.host, event.topic(), payload.to_payload(), true)
    }

    /// Calls any topic with any bytes.
    pub fn call_raw(&self, topic: &str, payload: impl Into<Vec<u8>>) -> Request<'_, Value> {
        Request::new(&self.host, topic, Ok(payload.into()), false)
    }

    /// Asks the module how it is.
    ///
    /// # Errors
    ///
    /// If it has ended.
    pub async fn health(&self) -> Result<Health> {
        let (_, reply) = self.host.send(HostFrame::HealthCheck);
        let reply = self.host.reply_to(reply).await?;
        read_json(reply.to_json().as_bytes()).map_err(Error::internal)
    }

    /// What the module has said while it started, in `Handler::init`.
    #[must_use]
    pub fn starting(&self) -> Vec<Starting> {
        self.host.conversation().starting.clone()
    }

    /// Whether the module takes calls, as it has said last with [`Runtime::set_ready`](crate::Runtime::set_ready). Tests may call
    /// it all the same.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.host.conversation().is_unready
    }

    /// Shuts the module down, with five seconds' grace.
    ///
    /// # Errors
    ///
    /// Those of `Handler::shutdown`.
    pub async fn shutdown(&self) -> Result<()> {
        self.shutdown_within(Duration::from_secs(5)).await
    }

    /// Shuts the module down, with this much grace.
    ///
    /// # Errors
    ///
    /// Those of `Handler::shutdown`.
    pub async fn shutdown_within(&self, grace: Duration) -> Result<()> {
        let (_, reply) =
            self.host.send(HostFrame::Shutdown(Shutdown { grace_ms: u64::try_from(grace.as_millis()).ok() }));
        self.host.reply_to(reply).await?;
        match self.host.ended().await {
            End::Clean => Ok(()),
            End::Failed => Err(Error::internal("the module has answered that it has shut down, but did not end well")),
        }
    }

    /// Closes the connection, as a host that dies does, and waits until the module has ended.
    pub async fn hang_up(&self) {
        self.host.hang_up();
        self.host.ended().await;
    }

    /// What the module has logged so far.
    #[must_use]
    pub fn logs(&self) -> Vec<Log> {
        self.host.conversation().logs.clone()
    }

    /// The calls of other modules so far.
    #[must_use]
    pub fn sent(&self) -> Vec<Sent> {
        self.host.conversation().sent.clone()
    }

    /// The events of this topic that the module has published so far.
    ///
    /// # Errors
    ///
    /// `INVALID_INPUT` if one can't be read.
    pub fn published<P: FromPayload>(&self, event: Event<P>) -> Result<Vec<P>> {
        let conversation = self.host.conversation();
        let published = conversation.published.iter().filter(|(topic, _)| topic == event.topic());
        published.map(|(_, payload)| P::read(payload.clone().into())).collect()
    }

    /// What is in the module's KV store under this key.
    #[must_use]
    pub fn kv(&self, key: &str) -> Option<Vec<u8>> {
        self.host.with_store(|store| store.get(key))
    }

    /// Puts something into the module's KV store, as another instance of the module does: one that watches the key hears of
    /// it.
    pub fn set_kv(&self, key: impl Into<String>, value: impl Into<Vec<u8>>) {
        self.host.with_store(|store| store.set(key.into(), value.into(), None));
    }

    /// Removes something from the module's KV store in the same way.
    pub fn delete_kv(&self, key: &str) {
        self.host.with_store(|store| store.delete(key));
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        self.host.hang_up();
    }
}

/// A message to the module, sent when it is awaited.
#[must_use = "nothing is sent before it is awaited"]
pub struct Request<'a, Res> {
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

impl<Res> std::fmt::Debug for Request<'_, Res> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl<'a, Res> Request<'a, Res> {
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

    /// How urgent it is: normal, if this is not called.
    pub fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// How long the caller waits: for ever, if this is not called.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// The trace that it is part of: `test`, if this is not called.
    pub fn trace_id(mut self, trace_id: impl Into<String>) -> Self {
        self.trace_id = trace_id.into();
        self
    }

    /// Who sends it, as `name:version`: `test:0.0.0`, if this is not called.
    pub fn source_module(mut self, source_module: impl Into<String>) -> Self {
        self.source_module = source_module.into();
        self
    }

    /// The span that it is in: none, if this is not called.
    pub fn traceparent(mut self, traceparent: impl Into<String>) -> Self {
        self.traceparent = traceparent.into();
        self
    }
}

impl<'a, Res: DeserializeOwned> IntoFuture for Request<'a, Res> {
    type Output = Result<Res>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<Res>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { host, is_event, topic, payload, priority, ttl, trace_id, source_module, traceparent, .. } = self;
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            let message = Message { topic: topic.into(), payload: payload?.into(), priority, ttl_ms };
            let context = Context {
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

struct CancelOnDrop<'a> {
    host: &'a HostEnd,
    id: u64,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        self.host.cancel(self.id);
    }
}
