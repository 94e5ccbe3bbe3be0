//! The message that a bus carries: a call or an event, with its sender, its trace and its deadline.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{Priority, WirePayload};
use tokio::time::Instant;

/// The `name:version` of the host itself, as the source of calls and events that no module sends.
pub(crate) const HOST_SOURCE: &str = concat!(env!("CARGO_PKG_NAME"), ":", env!("CARGO_PKG_VERSION"));

/// A call of a service, or an event, on its way from its sender to an [`Endpoint`](super::Endpoint).
///
/// A bus that leaves the process has to carry each field; only [`deadline`](Self::deadline) is sent as
/// [`remaining`](Self::remaining) time, because clocks differ. More fields may be added: build an envelope with [`Envelope::new`] and set
/// the fields that differ.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Envelope<'a> {
    /// The name of the service or the event, such as `orders.get`. Its length is not limited.
    pub topic: Cow<'a, str>,
    /// The payload: raw bytes, or base64 text that has not been decoded yet. Both mean the same bytes.
    pub payload: WirePayload<'a>,
    /// How urgent it is: the queue of a process that handles one request at a time, and that of the SDK, hand out the
    /// most urgent one first, and every eighth time the oldest. For an event the host sets the lowest priority.
    pub priority: Priority,
    /// When the caller stops waiting. `None` for a call: the callee's host sets the service's `ttl_ms`, or, if the call
    /// has a `cause`, its own call timeout; otherwise the caller waits without a limit. For an event it is always
    /// `None`, and would be ignored: the subscriber's host sets its call timeout as the time for waiting and handling
    /// together.
    pub deadline: Option<Instant>,
    /// Which attempt this is, from 1. The callee's host counts it, and tries an idempotent call again when a process
    /// was lost with the call. Always 1 for an event.
    pub attempt: u32,
    /// The trace, usually 32 hexadecimal digits (W3C Trace Context). A module that starts a trace may choose any other
    /// text of up to 256 bytes.
    pub trace_id: Arc<str>,
    /// The span in that trace of which the handling is a child. `None` if the sender has no span.
    pub parent_span: Option<ParentSpan>,
    /// The sender, `name:version`: a module, or the host itself. The sender's host sets it, never the module.
    pub source: Arc<str>,
    /// The request that the calling module was handling when it made this call, and which now waits for the call. `None` for an event,
    /// since its publisher does not wait for its handling, and for a call that was not made by a module's handler.
    pub cause: Option<Arc<Cause>>,
}

impl<'a> Envelope<'a> {
    /// Makes an envelope with the lowest priority, no deadline, attempt 1, no parent span and no cause. `source` is the
    /// sender, `name:version`. Nothing is checked.
    pub fn new(
        topic: impl Into<Cow<'a, str>>,
        payload: impl Into<WirePayload<'a>>,
        source: impl Into<Arc<str>>,
        trace_id: impl Into<Arc<str>>,
    ) -> Self {
        Self {
            topic: topic.into(),
            payload: payload.into(),
            priority: Priority::default(),
            deadline: None,
            attempt: 1,
            trace_id: trace_id.into(),
            parent_span: None,
            source: source.into(),
            cause: None,
        }
    }

    /// The time until the [deadline](Self::deadline): zero if it has passed, `None` without a deadline. The receiver of a serialized
    /// envelope adds it to the time of its own clock.
    #[must_use]
    pub fn remaining(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// The same envelope, with copies of what it borrowed.
    #[must_use]
    pub fn into_owned(self) -> Envelope<'static> {
        Envelope { topic: Cow::Owned(self.topic.into_owned()), payload: self.payload.into_owned(), ..self }
    }

    /// The same envelope, which borrows topic and payload from this one.
    #[must_use]
    pub fn borrowed(&self) -> Envelope<'_> {
        Envelope {
            topic: Cow::Borrowed(&self.topic),
            payload: self.payload.borrowed(),
            trace_id: Arc::clone(&self.trace_id),
            source: Arc::clone(&self.source),
            cause: self.cause.clone(),
            ..*self
        }
    }

    /// About how many bytes of memory the envelope takes, without its cause, for a [budget](crate::budget).
    pub(crate) fn bytes(&self) -> usize {
        let payload = match &self.payload {
            WirePayload::Bytes(bytes) => bytes.len(),
            WirePayload::Base64(text) => text.as_str().len(),
        };
        size_of::<Self>() + payload + self.topic.len() + self.trace_id.len() + self.source.len()
    }
}

/// The span of which the handling of an [`Envelope`] is a child. It belongs to the envelope's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParentSpan {
    /// The span's id as a number, not 0: the `parent-id` of W3C Trace Context.
    pub id: u64,
    /// Whether the trace is recorded (`trace-flags`, bit 0).
    pub is_sampled: bool,
}

/// A request that a module handles, and the chain of requests that wait for it. While a module handled the
/// [parent](Self::parent), it made the call that became this request.
///
/// The host uses it to refuse a call that can't be answered, because the only process that could answer it waits for
/// it, and to end calls that go round in a circle: the callee's host refuses a call whose cause has a
/// [depth](Self::depth) of 1,000 or more. A bus across hosts carries the whole [chain](Self::chain), so at most 1,001
/// requests, and rebuilds it with [`Cause::new`], the outermost request first.
#[derive(Debug, Clone)]
pub struct Cause {
    process: u64,
    instance: Arc<str>,
    parent: Option<Arc<Cause>>,
    depth: usize,
}

impl Cause {
    /// A request that the process with this number and id handles; `parent` is the request that waits for it. The arguments are what
    /// [`process`](Self::process), [`instance`](Self::instance) and [`parent`](Self::parent) return.
    #[must_use]
    pub fn new(process: u64, instance: impl Into<Arc<str>>, parent: Option<Arc<Cause>>) -> Self {
        let depth = parent.as_ref().map_or(0, |parent| parent.depth + 1);
        Self { process, instance: instance.into(), parent, depth }
    }

    /// The number of the process that handles the request: a random 64-bit number that its host has chosen, so that in
    /// practice no two processes of all hosts have the same.
    #[must_use]
    pub fn process(&self) -> u64 {
        self.process
    }

    /// The id of that process, for people: `name:version/instance-NNN`. Processes of two hosts may have the same id.
    #[must_use]
    pub fn instance(&self) -> &Arc<str> {
        &self.instance
    }

    /// The request that waits for this one. `None` if none does: an event, or a call that was not made by a module's handler.
    #[must_use]
    pub fn parent(&self) -> Option<&Arc<Cause>> {
        self.parent.as_ref()
    }

    /// How many requests wait for this one, directly or through others: 0 for one that has no [parent](Self::parent).
    #[must_use]
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// This request first, then the one that waits for it, and so on up to the outermost. That makes [`depth`](Self::depth) + 1 requests,
    /// so at least one.
    pub fn chain(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |cause| cause.parent.as_deref())
    }
}
