//! Makes calls to the host for a request, or for the module itself: a call inherits the trace and the deadline of its request; the host
//! finds the priority. It is the part that `Context` and `Runtime` have in common.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{CallContext, Handle, LogFrame, Object, Priority};
use serde::Serialize;
use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::calls::{Calls, Limit, object, service_request};
use super::watch::Watch;
use crate::error::Result;
use crate::log::{LogTarget, Scope};
use crate::outgoing::Outgoing;

/// Makes calls to the host for a request ([`Context`](crate::Context)), or for the module itself ([`Runtime`](crate::Runtime)). Cheap to
/// clone.
#[derive(Debug, Clone)]
pub struct Link(Arc<Shared>);

/// What the clones of a link share. It is also the log target of the request.
#[derive(Debug)]
struct Shared {
    calls: Arc<Calls>,
    origin: Origin,
}

/// The request for which calls are made. For calls of the module itself all texts are empty, and there is no id and no deadline.
#[derive(Debug)]
pub(crate) struct Origin {
    /// The topic, the trace id, the caller and the `traceparent`, one behind the other: one allocation for each request, not four.
    text: Box<str>,
    topic_end: usize,
    trace_id_end: usize,
    source_end: usize,
    /// The host's id of the request. `None` if the host has sent none.
    id: Option<u64>,
    /// When the frame was read; for the module itself, when its link was made.
    pub(crate) received: Instant,
    /// `ttl` after `received`. `None` if there is no ttl, or if the deadline is beyond the clock's range.
    pub(crate) deadline: Option<Instant>,
    /// The `ttl_ms` of the frame; `None` if it has none.
    pub(crate) ttl: Option<Duration>,
    /// When the host has sent the request, in seconds since 1970. 0 if it did not say.
    pub(crate) timestamp: u64,
    /// The priority of the request; low for calls of the module itself.
    pub(crate) priority: Priority,
    /// Set when the request is answered before its handler has ended. Never for calls of the module itself.
    pub(crate) cancelled: SetOnce<()>,
}

impl Origin {
    /// The request in a `handle` or an `event` that was read at `received`; `id` is the host's.
    fn of_request(id: Option<u64>, handle: &Handle<'_>, received: Instant) -> Self {
        let Handle { message, context } = handle;
        let ttl = message.ttl_ms.map(Duration::from_millis);
        let deadline = ttl.and_then(|ttl| received.checked_add(ttl));
        let parts = [&*message.topic, &*context.trace_id, &*context.source_module, &*context.traceparent];
        let mut text = String::with_capacity(parts.iter().map(|part| part.len()).sum());
        text.extend(parts);
        let topic_end = message.topic.len();
        let trace_id_end = topic_end + context.trace_id.len();
        Self {
            text: text.into(),
            topic_end,
            trace_id_end,
            source_end: trace_id_end + context.source_module.len(),
            id,
            received,
            deadline,
            ttl,
            timestamp: context.timestamp,
            priority: message.priority,
            cancelled: SetOnce::new(),
        }
    }

    /// The module itself.
    fn of_module(now: Instant) -> Self {
        Self {
            text: Box::default(),
            topic_end: 0,
            trace_id_end: 0,
            source_end: 0,
            id: None,
            received: now,
            deadline: None,
            ttl: None,
            timestamp: 0,
            priority: Priority::default(),
            cancelled: SetOnce::new(),
        }
    }

    /// The topic, as the caller has sent it.
    pub(crate) fn topic(&self) -> &str {
        &self.text[..self.topic_end]
    }

    /// The trace id. Empty if the host has sent none.
    pub(crate) fn trace_id(&self) -> &str {
        &self.text[self.topic_end..self.trace_id_end]
    }

    /// The caller, as `name:version`. Empty if the host has sent none.
    pub(crate) fn source(&self) -> &str {
        &self.text[self.trace_id_end..self.source_end]
    }

    /// The `traceparent`. Empty if the host has sent none.
    pub(crate) fn traceparent(&self) -> &str {
        &self.text[self.source_end..]
    }
}

impl Link {
    /// The link of a request: calls have its trace id, and end at its deadline at the latest.
    pub(crate) fn of_request(id: Option<u64>, handle: &Handle<'_>, calls: &Arc<Calls>, received: Instant) -> Self {
        Self(Arc::new(Shared { calls: Arc::clone(calls), origin: Origin::of_request(id, handle, received) }))
    }

    /// The link of the module itself: calls have no trace id and no deadline of a request, and the host gives each a new trace.
    pub(crate) fn of_module(calls: &Arc<Calls>) -> Self {
        let origin = Origin::of_module(calls.clock().now());
        Self(Arc::new(Shared { calls: Arc::clone(calls), origin }))
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0.origin
    }

    pub(crate) fn outgoing(&self) -> &Arc<Outgoing> {
        self.0.calls.outgoing()
    }

    /// The scope of log lines that are written while the request is handled: they have its trace id.
    pub(crate) fn log_scope(&self) -> Scope {
        Scope::of_request(Arc::clone(&self.0) as Arc<dyn LogTarget>)
    }

    /// The deadline of a call with this ttl that begins now: the end of the ttl, or the deadline of the request if that is sooner. `None`
    /// if there is neither. A ttl beyond the clock's range counts as none.
    pub(super) fn limit(&self, ttl: Option<Duration>) -> Option<Limit> {
        let now = self.0.calls.clock().now();
        let own = ttl.and_then(|ttl| now.checked_add(ttl));
        let deadline = own.into_iter().chain(self.0.origin.deadline).min()?;
        let left = deadline.saturating_duration_since(now);
        // Rounded up: 0 would mean that no time is left.
        Some(Limit { deadline, ttl_ms: u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX) })
    }

    /// Calls a service of the host for the request, as [`Calls::request`] does; `what` names the call in errors.
    pub(super) async fn request(
        &self,
        service: &'static str,
        method: &'static str,
        params: Object<'static>,
        what: &str,
        limit: Option<Limit>,
    ) -> Result<Object<'static>> {
        let request = service_request(service, method, params, self.call_context());
        self.0.calls.request(request, what, limit).await
    }

    /// Begins a watch of the keys in `params`. Its call ends at the deadline of the request; the watch outlives the request.
    pub(super) async fn watch(&self, params: &(impl Serialize + Sync)) -> Result<Watch> {
        let request = service_request("kv_store", "watch", object(params)?, self.call_context());
        self.0.calls.watch(request, self.limit(None)).await.map(Watch::new)
    }

    /// The trace id and the host's id of the request, by which the host finds its priority, deadline and span.
    fn call_context(&self) -> CallContext<'_> {
        let Origin { id, .. } = self.0.origin;
        CallContext { trace_id: Cow::Borrowed(self.0.origin.trace_id()), parent: id }
    }
}

impl LogTarget for Shared {
    fn send_log(self: Arc<Self>, line: LogFrame<'_>) -> bool {
        self.calls.outgoing().log(line)
    }

    fn topic(&self) -> Option<&str> {
        Some(self.origin.topic())
    }

    fn trace_id(&self) -> Option<&str> {
        Some(self.origin.trace_id())
    }
}
