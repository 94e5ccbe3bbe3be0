//! Calls and events that the host itself sends, and those from its control socket.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Object, Payload, Priority};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bus::{HOST_SOURCE, Message, Pending, ReplyTo};
use crate::services::new_trace;
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
        struct CancelOnDrop(Option<Pending>);
        impl Drop for CancelOnDrop {
            fn drop(&mut self) {
                if let Some(pending) = self.0.take() {
                    pending.cancel();
                }
            }
        }
        let (sender, answer) = oneshot::channel();
        let reply = ReplyTo::new(move |answer| drop(sender.send(CallError::of(answer))));
        let message = message(source, topic, payload, options);
        let mut pending = CancelOnDrop(Some(self.0.supervisor.backends.bus.call(message, reply)));
        let answer = answer.await;
        pending.0 = None;
        answer.unwrap_or_else(|_| Err(CallError::Gone { reason: "the host has ended".to_owned() }))
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
        let (sender, answer) = oneshot::channel();
        let reply = ReplyTo::new(move |answer| drop(sender.send(CallError::of(answer))));
        self.0.supervisor.backends.bus.publish(message(source, topic, payload, CallOptions::default()), reply);
        match answer.await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(CallError::Gone { reason: "the host has ended".to_owned() }),
        }
    }
}

fn message<'a>(source: Option<Arc<str>>, topic: &'a str, payload: &'a [u8], options: CallOptions) -> Message<'a> {
    Message {
        topic: topic.into(),
        payload: Payload::from(payload),
        priority: options.priority,
        deadline: options.ttl.and_then(|ttl| Instant::now().checked_add(ttl)),
        trace_id: new_trace(),
        source: source.unwrap_or_else(|| HOST_SOURCE.into()),
        cause: None,
        attempt: 1,
    }
}
