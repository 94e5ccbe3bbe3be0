//! Spans of what modules do for each other, with the feature `otel`: one for each call, and one for each event that a module takes,
//! within that of the call for which it was made. The modules need not know: who calls whom the host knows anyway. One that
//! makes spans of its own is told within which.

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

/// How many spans were sent, and how many were not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) dropped: u64,
}

#[cfg(not(feature = "otel"))]
mod without {
    #![expect(clippy::unused_self, reason = "with the feature it is used")]

    use tokio::time::Instant;

    use super::Counts;
    use crate::bus::{CallResult, ParentSpan};
    use crate::topic::{RequestInfo, TopicKind};

    /// Nobody wants spans.
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

        pub(crate) fn counts(&self) -> Option<Counts> {
            None
        }

        #[expect(clippy::unused_async, reason = "with the feature it waits")]
        pub(crate) async fn shutdown(&self) {}
    }
}
