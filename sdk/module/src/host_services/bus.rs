//! Calls of other modules, and the publishing of events.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ixt_protocol::{Object, Priority};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::calls::object;
use super::link::Link;
use crate::boxed_future::Boxed;
use crate::error::{Error, Result};

/// The message bus: calls services of other modules, and publishes events. It is the `send_message` of the Python and Node.js SDKs. For
/// topics in the manifest, the generated modules `client` and `publish` have a typed function each.
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

    /// Calls a service with any bytes as payload. Awaited, it returns the callee's data, a JSON object; bytes in it are base64 text, unless
    /// [`returning`](Call::returning) sets another type. It has no [`ttl`](Call::ttl) unless you set one, even if the manifest of the
    /// service has one. The manifest must list the call.
    pub fn send(self, topic: impl Into<Cow<'static, str>>, payload: impl AsRef<[u8]>) -> Call<Value> {
        Call::new(self.link, topic.into(), Ok(payload.as_ref().to_vec()), None)
    }

    /// Calls a service with a request as JSON, as [`send`](Self::send) does with bytes. Awaited, it returns the response as an `R`. A
    /// request that can't be JSON is the error `INTERNAL` when the call is awaited.
    pub fn send_json<R: DeserializeOwned>(
        self,
        topic: impl Into<Cow<'static, str>>,
        request: &impl Serialize,
    ) -> Call<R> {
        Call::new(self.link, topic.into(), json(request), None)
    }

    /// A call of a service that the manifest declares. `payload` is the encoded request, or the error that the call returns when it is
    /// awaited; `ttl_ms` is that of the service's manifest.
    pub(crate) fn call_declared<R>(
        self,
        topic: &'static str,
        payload: Result<Vec<u8>>,
        ttl_ms: Option<u64>,
    ) -> Call<R> {
        Call::new(self.link, topic.into(), payload, ttl_ms.map(Duration::from_millis))
    }

    /// Publishes an event with any bytes as payload. It is sent at the first poll. Returns when the host has taken it. The publisher
    /// doesn't learn whether and when subscribers handle it.
    ///
    /// # Errors
    ///
    /// Those of the host, such as `RESOURCE_EXHAUSTED`, or `PERMISSION_DENIED` if the manifest doesn't list the event; `RESOURCE_EXHAUSTED`
    /// if the payload is over the host's limit for a frame, or, retryable, if the host does not read or 16,384 calls of the process wait;
    /// `DEADLINE_EXCEEDED` at the deadline of the request that it is called for; `UNAVAILABLE`, retryable, if the host is gone. After
    /// `DEADLINE_EXCEEDED`, and if the future is dropped before its end, the event may have been published all the same.
    pub async fn publish(self, topic: &str, payload: impl AsRef<[u8]>) -> Result<()> {
        let payload = payload.as_ref().to_vec();
        self.publish_bytes(topic, payload).await
    }

    /// Publishes an event with a payload as JSON; see [`publish`](Self::publish).
    ///
    /// # Errors
    ///
    /// As [`publish`](Self::publish), and `INTERNAL` if the event can't be JSON.
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

/// The payload for a request or an event as JSON. `INTERNAL` if it can't be JSON.
fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    Ok(serde_json::to_vec(value)?)
}

/// A call of another module. A future: the call is sent when it is first polled. If it is dropped between that and the end, the call is
/// cancelled; the callee may have done its work by then. It panics if it is polled again after the end.
///
/// It returns the response, or an error:
///
/// - the callee's own error, or the host's, such as `NOT_FOUND` if no module provides the topic, or `PERMISSION_DENIED` if the manifest
///   doesn't list the call;
/// - `DEADLINE_EXCEEDED` at the end of its [`ttl`](Self::ttl), at the deadline of the request that it is made for, or at the host's
///   timeout for a call that has neither;
/// - `RESOURCE_EXHAUSTED` if the payload is over the host's limit for a frame, or, retryable, if the host does not read or 16,384 calls
///   of the process wait;
/// - `INTERNAL` if the response is not of its type: the declared one, or that of [`returning`](Self::returning); or if the request can't
///   be JSON;
/// - `UNAVAILABLE`, retryable, if the host is gone, or this module has shut down.
#[must_use = "nothing is sent before it is awaited"]
pub struct Call<R> {
    topic: Cow<'static, str>,
    /// `None` from the first poll on.
    unsent: Option<Box<Unsent>>,
    /// `None` before the first poll and after the end.
    sent: Option<Boxed<Result<Object<'static>>>>,
    /// Whether `R` is the type of the manifest, and not that of the author.
    declared: bool,
    response: PhantomData<fn() -> R>,
}

/// What a call sends when it is first polled.
struct Unsent {
    link: Link,
    topic: Cow<'static, str>,
    /// An error is returned when the call is awaited: the request can't be JSON.
    payload: Result<Vec<u8>>,
    /// `None`: that of the request that the call is made for, or low if it is made for none.
    priority: Option<Priority>,
    /// `None`: there is only the deadline of the request that the call is made for, if any.
    ttl: Option<Duration>,
}

impl<R> Call<R> {
    fn new(link: &Link, topic: Cow<'static, str>, payload: Result<Vec<u8>>, ttl: Option<Duration>) -> Self {
        let unsent = Unsent { link: link.clone(), topic: topic.clone(), payload, priority: None, ttl };
        Self { topic, unsent: Some(Box::new(unsent)), sent: None, declared: true, response: PhantomData }
    }

    /// Sets the type as which the response is read. Fields of the type [`Bytes`](crate::Bytes) take bytes as they come, where a
    /// [`Value`] would have them as base64.
    ///
    /// ```
    /// use ixt_sdk::Bytes;
    /// # use ixt_sdk::{Caller, Context, Result};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Thumbnail {
    ///     image: Bytes,
    /// }
    ///
    /// # async fn example(ctx: Context, photo: Vec<u8>) -> Result<()> {
    /// let Thumbnail { image } = ctx.bus().send("thumbnails.make", photo).returning().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn returning<T>(self) -> Call<T> {
        Call { topic: self.topic, unsent: self.unsent, sent: self.sent, declared: false, response: PhantomData }
    }

    /// Sets the priority. Without it, a call that is made with a [`Context`] has that of its request ([`Context::priority`]), and one
    /// that is made with a [`Runtime`](crate::Runtime) is low. After the first poll it changes nothing.
    ///
    /// [`Context::priority`]: crate::Context::priority
    pub fn priority(mut self, priority: Priority) -> Self {
        if let Some(unsent) = &mut self.unsent {
            unsent.priority = Some(priority);
        }
        self
    }

    /// Sets the time from the first poll to `DEADLINE_EXCEEDED`, in place of the service's `ttl_ms` in the manifest. The callee gets it
    /// rounded up to milliseconds. The call also ends at the deadline of the request that it is made for, if that is sooner. With zero it
    /// ends with `DEADLINE_EXCEEDED` at once. A time beyond the clock's range counts as none. After the first poll this changes nothing.
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
            // If it is left out, the host takes the priority of the request that the call is made for.
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
            panic!("a call was polled again after it has ended");
        };
        let data = std::task::ready!(sent.as_mut().poll(cx));
        self.sent = None;
        Poll::Ready(data.and_then(|data| {
            data.read().map_err(|invalid| {
                let (topic, invalid) = (&self.topic, invalid.without_value());
                Error::internal(if self.declared {
                    format!("`{topic}` answered what its manifest does not declare: {invalid}")
                } else {
                    format!("the response of `{topic}` is not of the type that this call returns: {invalid}")
                })
            })
        }))
    }
}

impl<R> fmt::Debug for Call<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("topic", &self.topic).field("sent", &self.unsent.is_none()).finish_non_exhaustive()
    }
}
