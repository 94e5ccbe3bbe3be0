//! Calls and events from the program that embeds the host, and from the host's control socket.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Object, Priority};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bus::{CallHandle, Envelope, HOST_SOURCE, ReplyTo, WriteBatch};
use crate::call_error::CallError;
use crate::host::Host;
use crate::services::new_trace_id;

/// Options of a [call](Host::call). The default is the lowest priority, and no `ttl`.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallOptions {
    /// How urgent the call is. The queue of a process that handles one request at a time, and that of the SDK, hand out
    /// the most urgent request first, except that every eighth is the oldest one.
    pub priority: Priority,
    /// How long the caller waits: afterwards the call fails with `DEADLINE_EXCEEDED`. `None`: as long as the `ttl_ms`
    /// of the service in the manifest, or without a limit if it sets none. Zero fails at once. A time that the clock
    /// can't represent counts as `None`.
    pub ttl: Option<Duration>,
}

impl Host {
    /// Calls a service, and waits for the reply. Dropping the future cancels the call. `payload` is passed on as it is:
    /// JSON for a service that declares a request type, which may be empty for an empty object. The reply is returned
    /// as the module sent it; [`Object::read`] parses it. For the called module, the caller is `ixt-host` with its
    /// version.
    ///
    /// A call waits in the host while the module is starting or restarting. Any topic may be called.
    ///
    /// # Errors
    ///
    /// - [`CallError::Replied`] with an error of the module, or of the host: `NOT_FOUND` if no module provides the
    ///   topic, `UNAVAILABLE` if no process takes the topic or will soon (the module was stopped, has failed or keeps
    ///   failing), `DEADLINE_EXCEEDED` if the timeout is over, `RESOURCE_EXHAUSTED` if too many calls wait or the call
    ///   is larger than a frame may be, `INTERNAL` if the reply can't be read.
    /// - [`CallError::Gone`] if the process ended before it replied, or refused the call while it shut down; or if the
    ///   host has ended, or its bus has lost the call. A call of an idempotent service was tried up to three times
    ///   then.
    pub async fn call(&self, topic: &str, payload: &[u8], options: CallOptions) -> Result<Object<'static>, CallError> {
        self.call_as(None, topic, payload, options).await
    }

    /// Like [`call`](Self::call), on behalf of `source`, a module's `name:version`. `None` is the host itself.
    pub(crate) async fn call_as(
        &self,
        source: Option<Arc<str>>,
        topic: &str,
        payload: &[u8],
        options: CallOptions,
    ) -> Result<Object<'static>, CallError> {
        /// Cancels the call if it is dropped before the result has come.
        struct CancelOnDrop(Option<CallHandle>);
        impl Drop for CancelOnDrop {
            fn drop(&mut self) {
                if let Some(call) = self.0.take() {
                    call.cancel(&mut WriteBatch::none());
                }
            }
        }
        let (sender, result) = oneshot::channel();
        let reply = ReplyTo::new(move |result, _| drop(sender.send(CallError::of(result))));
        let envelope = envelope(source, topic, payload, options);
        let bus = &self.0.supervisor.backends.bus;
        let mut call = CancelOnDrop(Some(bus.call(envelope, reply, &mut WriteBatch::none())));
        let result = result.await;
        call.0 = None;
        result.unwrap_or_else(|_| Err(CallError::Gone { reason: "the host has ended".to_owned() }))
    }

    /// Publishes an event. Returns when the bus has accepted it, not when modules have handled it. It succeeds also if
    /// no module takes the event, or its queue is full. The payload is passed on as it is, and not compared with a
    /// manifest; any topic may be published. For the modules, the publisher is `ixt-host` with its version. Dropping
    /// the future does not take the event back.
    ///
    /// # Errors
    ///
    /// If the bus does not accept the event: [`CallError::Replied`] with the bus's error, or [`CallError::Gone`] if it
    /// has lost the event. The built-in bus accepts every event.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), CallError> {
        self.publish_as(None, topic, payload).await
    }

    /// Like [`publish`](Self::publish), on behalf of `source`, a module's `name:version`. `None` is the host itself.
    pub(crate) async fn publish_as(
        &self,
        source: Option<Arc<str>>,
        topic: &str,
        payload: &[u8],
    ) -> Result<(), CallError> {
        let (sender, result) = oneshot::channel();
        let reply = ReplyTo::new(move |result, _| drop(sender.send(CallError::of(result))));
        let envelope = envelope(source, topic, payload, CallOptions::default());
        self.0.supervisor.backends.bus.publish(envelope, reply, &mut WriteBatch::none());
        match result.await {
            Ok(result) => result.map(drop),
            Err(_) => Err(CallError::Gone { reason: "the host has ended".to_owned() }),
        }
    }
}

fn envelope<'a>(source: Option<Arc<str>>, topic: &'a str, payload: &'a [u8], options: CallOptions) -> Envelope<'a> {
    Envelope {
        priority: options.priority,
        deadline: options.ttl.and_then(|ttl| Instant::now().checked_add(ttl)),
        ..Envelope::new(topic, payload, source.unwrap_or_else(|| HOST_SOURCE.into()), new_trace_id())
    }
}
