//! Spans of what modules do for each other, with the feature `otel`: one for each call, within that of the call for which it
//! was made. The modules need not know: who calls whom the host knows anyway.

#[cfg(feature = "otel")]
pub(crate) use with_otel::Spans;
#[cfg(not(feature = "otel"))]
pub(crate) use without::Spans;

#[cfg(not(feature = "otel"))]
mod without {
    use tokio::time::Instant;

    use crate::bus::Answer;
    use crate::topic::CallInFlight;

    /// Nobody wants spans.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Spans {}

    impl Spans {
        #[expect(clippy::unused_self, reason = "with the feature it is used")]
        pub(crate) fn finished(&self, _call: &CallInFlight, _started: Instant, _answer: &Answer<'_>) {}
    }
}

#[cfg(feature = "otel")]
mod with_otel {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    use std::sync::Arc;
    use std::time::SystemTime;

    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks, SpanProcessor};
    use tokio::time::Instant;

    use crate::bus::Answer;
    use crate::topic::CallInFlight;

    /// Who wants spans, if anybody does.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Spans(Option<Arc<dyn SpanProcessor>>);

    impl Spans {
        pub(crate) fn new(processor: Arc<dyn SpanProcessor>) -> Self {
            Self(Some(processor))
        }

        /// A call has ended, or an event was taken.
        pub(crate) fn finished(&self, call: &CallInFlight, started: Instant, answer: &Answer<'_>) {
            let Some(processor) = &self.0 else { return };
            let end_time = SystemTime::now();
            let start_time = end_time.checked_sub(started.elapsed()).unwrap_or(end_time);
            let (trace_id, is_own) = match TraceId::from_hex(&call.trace_id) {
                Ok(trace_id) if call.trace_id.len() == 32 && trace_id != TraceId::INVALID => (trace_id, true),
                _ => (hashed(&call.trace_id), false),
            };
            let span_id = |span: u64| SpanId::from_bytes(span.to_be_bytes());
            // 0 is no span.
            let parent = span_id(call.cause.parent_span);
            let state = TraceState::default();
            let context = SpanContext::new(trace_id, span_id(call.cause.span), TraceFlags::SAMPLED, false, state);
            // By the semantic conventions for RPC.
            let mut attributes = vec![
                KeyValue::new("rpc.system", "ixt"),
                KeyValue::new("rpc.method", call.topic.name().to_owned()),
                KeyValue::new("ixt.source_module", call.source.to_string()),
                KeyValue::new("ixt.instance", call.cause.instance.to_string()),
            ];
            if !is_own {
                attributes.push(KeyValue::new("ixt.trace_id", call.trace_id.to_string()));
            }
            let status = match answer {
                Answer::Success(_) => Status::Ok,
                Answer::Error(error) => {
                    attributes.push(KeyValue::new("error.type", error.code.to_string()));
                    Status::error(error.message.to_string())
                }
                Answer::Unreadable(error) => {
                    attributes.push(KeyValue::new("error.type", ixt_protocol::code::INTERNAL));
                    Status::error((*error).to_owned())
                }
                Answer::Lost { reason, .. } => {
                    attributes.push(KeyValue::new("error.type", ixt_protocol::code::UNAVAILABLE));
                    Status::error((*reason).to_owned())
                }
            };
            processor.on_end(SpanData {
                span_context: context,
                parent_span_id: parent,
                parent_span_is_remote: false,
                span_kind: SpanKind::Server,
                name: call.topic.name().to_owned().into(),
                start_time,
                end_time,
                attributes,
                dropped_attributes_count: 0,
                events: SpanEvents::default(),
                links: SpanLinks::default(),
                status,
                instrumentation_scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                    .with_version(env!("CARGO_PKG_VERSION"))
                    .build(),
            });
        }
    }

    /// A module that begins a trace may name it as it likes: the same name is the same trace.
    fn hashed(name: &str) -> TraceId {
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, name).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        TraceId::from_bytes(((half(0) << 64) | half(1)).to_be_bytes())
    }
}
