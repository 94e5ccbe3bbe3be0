//! OpenTelemetry spans, with the feature `otel`: one for each call that a module handles, and one for each event that
//! it takes; each further attempt has its own. What ended before it was given to a process, or queued for one, has
//! none. A span is a child of the span of the request during which the call or event was made. Modules need not do
//! anything for this, since the host routes all calls. While spans are exported, a module that makes spans itself gets
//! their parent as `traceparent` with each request. Trace ids in the log do not depend on this: every request has one.
//!
//! `spans` says which spans are made and what is in them, `export` sends them.

#[cfg(feature = "otel")]
mod export;
#[cfg(feature = "otel")]
mod spans;

#[cfg(feature = "otel")]
pub use export::SpanOptions;
#[cfg(feature = "otel")]
pub(crate) use spans::Spans;
#[cfg(not(feature = "otel"))]
pub(crate) use without::Spans;

/// How many spans were sent, and how many were dropped, since the host started. Spans that wait are in neither.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SpanCounts {
    /// Those that the collector has accepted.
    pub(crate) sent: u64,
    /// Those that the collector has not accepted, or for which the queue had no room.
    pub(crate) dropped: u64,
}

#[cfg(not(feature = "otel"))]
mod without {
    #![expect(clippy::unused_self, reason = "with the feature it is used")]

    use tokio::time::Instant;

    use super::SpanCounts;
    use crate::bus::{CallResult, ParentSpan};
    use crate::topic::RequestInfo;
    use crate::topic_kind::TopicKind;

    /// Makes no spans: the feature `otel` is off.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Spans {}

    impl Spans {
        pub(crate) fn is_sampled(&self, _: TopicKind, _: &str, _: &str, _: Option<ParentSpan>) -> bool {
            false
        }

        pub(crate) fn traceparent(&self, _: impl FnOnce() -> Option<RequestInfo>) -> Option<String> {
            None
        }

        pub(crate) fn finished(&self, _: &RequestInfo, _: Instant, _: &CallResult<'_>) {}

        pub(crate) fn counts(&self) -> Option<SpanCounts> {
            None
        }

        #[expect(clippy::unused_async, reason = "with the feature it waits")]
        pub(crate) async fn shutdown(&self) {}
    }
}
