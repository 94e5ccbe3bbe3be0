//! Calls and events of the host itself, and of those who use its control socket.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Object, Payload, Priority};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::bus::{HOST_SOURCE, Message, Pending, ReplyTo};
use crate::services::new_trace;
use crate::{CallError, Host};

/// How to call.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallOptions {
    /// How urgent it is.
    pub priority: Priority,
    /// How long the caller waits; if it does not say, as long as the service's manifest says, or for ever.
    pub ttl: Option<Duration>,
}

impl Host {
    /// Calls a service. A call that is dropped is cancelled. The answer is as it came, and is read with [`Object::read`].
    ///
    /// # Errors
    ///
    /// The module's own error reply, `NOT_FOUND` if nobody provides the topic, `UNAVAILABLE` if the module does not run, or
    /// that its process has ended.
    pub async fn call(&self, topic: &str, payload: &[u8], options: CallOptions) -> Result<Object<'static>, CallError> {
        self.call_as(None, topic, payload, options).await
    }

    /// The same by whom this is, if it is not the host itself.
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

    /// Publishes an event.
    ///
    /// # Errors
    ///
    /// That of the bus; the one within this process has none.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), CallError> {
        self.publish_as(None, topic, payload).await
    }

    /// The same by whom this is, if it is not the host itself.
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
