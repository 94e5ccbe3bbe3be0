//! The message bus: calls of other modules, and events.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ixt_protocol::{Object, Priority};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::calls::object;
use super::link::Link;
use crate::request::Boxed;
use crate::{Caller, Error, Result, Value};

/// The message bus (seeds: `send_message`). For topics that a manifest requires, the generated functions of `client` and
/// `publish` do the same with types.
///
/// ```
/// # use std::time::Duration;
/// use ixt_sdk::Priority;
/// # use ixt_sdk::{Caller, Context, Result};
///
/// # async fn example(ctx: Context) -> Result<()> {
/// let sent = ctx
///     .bus()
///     .send("notifications.send", br#"{ "user_id": 123 }"#)
///     .priority(Priority::High)
///     .ttl(Duration::from_secs(5))
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Bus<'a> {
    link: &'a Link,
}

impl<'a> Bus<'a> {
    pub(crate) fn new(link: &'a Link) -> Self {
        Self { link }
    }

    /// Calls a service with bytes. What it answers is the callee's data.
    pub fn send(self, topic: impl Into<Cow<'static, str>>, payload: impl AsRef<[u8]>) -> Call<Value> {
        Call::new(self.link, topic.into(), Ok(payload.as_ref().to_vec()), None)
    }

    /// Calls a service whose request and response are JSON of these types.
    pub fn send_json<R: DeserializeOwned>(
        self,
        topic: impl Into<Cow<'static, str>>,
        request: &impl Serialize,
    ) -> Call<R> {
        Call::new(self.link, topic.into(), json(request), None)
    }

    /// Publishes an event that carries bytes. Done when the host has taken it.
    ///
    /// # Errors
    ///
    /// Those of the host.
    pub async fn publish(self, topic: &str, payload: impl AsRef<[u8]>) -> Result<()> {
        let payload = payload.as_ref().to_vec();
        self.publish_bytes(topic, payload).await
    }

    /// Publishes an event whose payload is JSON.
    ///
    /// # Errors
    ///
    /// Those of the host; `INTERNAL` if the event is not JSON.
    pub async fn publish_json(self, topic: &str, event: &(impl Serialize + Sync)) -> Result<()> {
        let payload = json(event)?;
        self.publish_bytes(topic, payload).await
    }

    async fn publish_bytes(self, topic: &str, payload: Vec<u8>) -> Result<()> {
        #[derive(Serialize)]
        struct Publish<'a> {
            topic: &'a str,
        }
        let limit = self.link.limit(None);
        let params = object(&Publish { topic })?.attach("payload", payload);
        self.link.request("event_bus", "publish", params, topic, limit).await.map(drop)
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

/// A call of another module: a future that is sent when it is first polled, and taken back when it is dropped.
///
/// It ends with the response; with the error of the callee or the host; with `DEADLINE_EXCEEDED` when its time is over, or
/// that of the request that it is made for; with `INTERNAL` if the response is not what was declared; with `UNAVAILABLE`
/// when the host is gone.
#[must_use = "nothing is sent before it is awaited"]
pub struct Call<R> {
    topic: Cow<'static, str>,
    unsent: Option<Box<Unsent>>,
    sent: Option<Boxed<Result<Object<'static>>>>,
    response: PhantomData<fn() -> R>,
}

struct Unsent {
    link: Link,
    topic: Cow<'static, str>,
    payload: Result<Vec<u8>>,
    priority: Option<Priority>,
    ttl: Option<Duration>,
}

impl<R> Call<R> {
    fn new(link: &Link, topic: Cow<'static, str>, payload: Result<Vec<u8>>, ttl: Option<Duration>) -> Self {
        let unsent = Unsent { link: link.clone(), topic: topic.clone(), payload, priority: None, ttl };
        Self { topic, unsent: Some(Box::new(unsent)), sent: None, response: PhantomData }
    }

    /// How urgent it is. If this is not called, it is as urgent as the request that is handled ([`Context::priority`]), and low
    /// if it is made for none.
    ///
    /// [`Context::priority`]: crate::Context::priority
    pub fn priority(mut self, priority: Priority) -> Self {
        if let Some(unsent) = &mut self.unsent {
            unsent.priority = Some(priority);
        }
        self
    }

    /// How long to wait at most, in place of what the callee's manifest says.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        if let Some(unsent) = &mut self.unsent {
            unsent.ttl = Some(ttl);
        }
        self
    }
}

impl Unsent {
    async fn send(self) -> Result<Object<'static>> {
        #[derive(Serialize)]
        struct Send<'a> {
            topic: &'a str,
            // What is left out is the host's to know: it is that of the request that is handled.
            #[serde(skip_serializing_if = "Option::is_none")]
            priority: Option<Priority>,
            #[serde(skip_serializing_if = "Option::is_none")]
            ttl_ms: Option<u64>,
        }
        let limit = self.link.limit(self.ttl);
        let ttl_ms = limit.map(|limit| limit.ttl_ms);
        let params = Send { topic: &self.topic, priority: self.priority, ttl_ms };
        let params = object(&params)?.attach("payload", self.payload?);
        self.link.request("message_bus", "send", params, &self.topic, limit).await
    }
}

impl<R: DeserializeOwned> Future for Call<R> {
    type Output = Result<R>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<R>> {
        if let Some(unsent) = self.unsent.take() {
            self.sent = Some(Box::pin(unsent.send()));
        }
        let Some(sent) = &mut self.sent else {
            panic!("a call is not polled again after it has ended");
        };
        let data = std::task::ready!(sent.as_mut().poll(cx));
        self.sent = None;
        Poll::Ready(data.and_then(|data| {
            data.read().map_err(|invalid| {
                let invalid = invalid.without_value();
                let message = format!("`{}` answered what its manifest does not declare: {invalid}", self.topic);
                Error::internal(message)
            })
        }))
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("topic", &self.topic).field("sent", &self.unsent.is_none()).finish_non_exhaustive()
    }
}

/// A call of a required service, with the ttl of its manifest; for generated code.
#[doc(hidden)]
pub fn call<R>(caller: &impl Caller, topic: &'static str, request: &impl Serialize, ttl_ms: Option<u64>) -> Call<R> {
    Call::new(caller.link(), topic.into(), json(request), ttl_ms.map(Duration::from_millis))
}

/// The same with bytes.
#[doc(hidden)]
pub fn call_raw<R>(caller: &impl Caller, topic: &'static str, payload: &[u8], ttl_ms: Option<u64>) -> Call<R> {
    Call::new(caller.link(), topic.into(), Ok(payload.to_vec()), ttl_ms.map(Duration::from_millis))
}
