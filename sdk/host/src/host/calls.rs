//! Calls and events that the host itself sends, and those from its control socket.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Object, Priority};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bus::{CallHandle, Envelope, HOST_SOURCE, ReplyTo, WriteBatch};
use crate::services::new_trace_id;
use crate::{CallError, Host};

/// Options of a call.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallOptions {
    /// The priority in the queue of a module that handles one request at a time.
    pub priority: Priority,
    /// How long the caller waits. `None`: as long as the service's `ttl` in the manifest, or without a limit if it has
    /// none.
    pub ttl: Option<Duration>,
}

impl Host {
    /// Calls a service, and waits for the reply. Dropping the future cancels the call. The reply is kept as it came;
    /// [`Object::read`] parses it.
    ///
    /// # Errors
    ///
    /// - [`CallError::Replied`] with the module's own error, or with the host's: `NOT_FOUND` if no module provides the
    ///   topic, `UNAVAILABLE` if the module does not run, `DEADLINE_EXCEEDED` after `ttl`, `RESOURCE_EXHAUSTED` if too
    ///   much waits.
    /// - [`CallError::TooLong`] if the call is larger than a frame may be.
    /// - [`CallError::Gone`] if the process ended before it replied.
    pub async fn call(&self, topic: &str, payload: &[u8], options: CallOptions) -> Result<Object<'static>, CallError> {
        self.call_as(None, topic, payload, options).await
    }

    /// Calls a service on behalf of `source`, a module's `name:version`. `None` is the host itself.
    pub(crate) async fn call_as(
        &self,
        source: Option<Arc<str>>,
        topic: &str,
        payload: &[u8],
        options: CallOptions,
    ) -> Result<Object<'static>, CallError> {
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

    /// Publishes an event. Returns when the bus has taken it, not when modules have handled it.
    ///
    /// # Errors
    ///
    /// Those of the bus. The built-in one has none.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), CallError> {
        self.publish_as(None, topic, payload).await
    }

    /// Publishes an event on behalf of `source`, a module's `name:version`. `None` is the host itself.
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
