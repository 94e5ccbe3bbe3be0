//! Which spans are made, and what is in them, after OpenTelemetry's semantic conventions for RPC and messaging.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::SystemTime;

use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SamplingDecision, SpanData, SpanEvents, SpanExporter, SpanLinks};
use tokio::time::Instant;

use super::SpanCounts;
use super::export::{Export, INSTANCE, SpanOptions};
use crate::bus::{CallResult, ParentSpan};
use crate::logs::Logs;
use crate::topic::RequestInfo;
use crate::topic_kind::TopicKind;

/// The URL of the version of the semantic conventions that the spans follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.42.0";
/// The value of `rpc.system.name` and `messaging.system`.
const SYSTEM: &str = "ixt";

/// Makes spans. Without an exporter (`None`, the default), no span is made. Clones share the exporter.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spans(Option<Arc<Export>>);

impl Spans {
    /// Makes spans for this exporter, and starts the thread that sends them. To be called within a tokio runtime.
    pub(crate) fn new(exporter: impl SpanExporter + 'static, options: SpanOptions, logs: &Logs) -> Self {
        Self(Some(Arc::new(Export::new(exporter, options, logs.clone()))))
    }

    /// Whether a span is made for this call or event, as the sampler decides; false without an exporter. `parent` is
    /// the span of the request during which it is made; `None` if there is none. Called for each attempt, before the
    /// request is sent to a process or queued for it; again for the next process if that one takes no more requests.
    pub(crate) fn is_sampled(&self, kind: TopicKind, topic: &str, trace_id: &str, parent: Option<ParentSpan>) -> bool {
        let Some(export) = &self.0 else { return false };
        let trace_id = trace_id_of(trace_id).0;
        let parent = parent.map(|parent| {
            Context::new().with_remote_span_context(span_context(trace_id, parent.id, parent.is_sampled))
        });
        let name = name(kind, topic);
        let result = export.sampler.should_sample(parent.as_ref(), trace_id, &name, &span_kind(kind), &[], &[]);
        result.decision == SamplingDecision::RecordAndSample
    }

    /// The `traceparent` (W3C Trace Context) that the module gets with the call: the trace, the call's span, and
    /// whether that is sampled. `None` without an exporter, or if `call` returns `None`; `call` is only called with an
    /// exporter.
    pub(crate) fn traceparent(&self, call: impl FnOnce() -> Option<RequestInfo>) -> Option<String> {
        self.0.as_ref()?;
        let call = call()?;
        let (trace_id, span) = (trace_id_of(&call.trace_id).0, call.span);
        Some(format!("00-{trace_id}-{span:016x}-0{}", u8::from(call.is_sampled)))
    }

    /// Queues the span of a call or event that has ended, if it is sampled. Does not block; if the queue is full, the
    /// span is dropped and counted. `started` is when the request was given to its process, `answer` how it ended.
    pub(crate) fn finished(&self, call: &RequestInfo, started: Instant, answer: &CallResult<'_>) {
        let Some(export) = self.0.as_ref().filter(|_| call.is_sampled) else { return };
        let end_time = SystemTime::now();
        let start_time = end_time.checked_sub(started.elapsed()).unwrap_or(end_time);
        let (trace_id, is_own) = trace_id_of(&call.trace_id);
        let topic = call.topic.name().to_owned();
        let mut attributes = match call.kind {
            TopicKind::Service => vec![KeyValue::new("rpc.system.name", SYSTEM), KeyValue::new("rpc.method", topic)],
            TopicKind::Event => vec![
                KeyValue::new("messaging.system", SYSTEM),
                KeyValue::new("messaging.operation.name", "process"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("messaging.destination.name", topic),
            ],
        };
        // The source is `name:version`.
        let (caller, _) = call.source.split_once(':').unwrap_or((&call.source, ""));
        attributes.push(KeyValue::new("service.peer.name", caller.to_owned()));
        attributes.push(KeyValue::new(INSTANCE, call.cause.instance().to_string()));
        if !is_own {
            attributes.push(KeyValue::new("ixt.trace_id", call.trace_id.to_string()));
        }
        if let Some(code) = answer.code() {
            attributes.push(KeyValue::new("error.type", code.to_owned()));
            if call.kind == TopicKind::Service {
                attributes.push(KeyValue::new("rpc.response.status_code", code.to_owned()));
            }
        }
        let status = match answer {
            // By the conventions, only an application sets the status to OK.
            CallResult::Success(_) => Status::Unset,
            CallResult::Error(error) => Status::error(error.message.to_string()),
            CallResult::Unreadable(reason) | CallResult::Lost { reason, .. } => Status::error((*reason).to_owned()),
        };
        export.take(SpanData {
            span_context: span_context(trace_id, call.span, true),
            // 0 means that there is no parent.
            parent_span_id: span_id(call.parent_span.map_or(0, |parent| parent.id)),
            parent_span_is_remote: false,
            span_kind: span_kind(call.kind),
            name: name(call.kind, call.topic.name()).into(),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: InstrumentationScope::builder(env!("CARGO_PKG_NAME"))
                .with_version(env!("CARGO_PKG_VERSION"))
                .with_schema_url(SCHEMA_URL)
                .build(),
        });
    }

    /// The counts for the metrics. `None` without an exporter.
    pub(crate) fn counts(&self) -> Option<SpanCounts> {
        self.0.as_ref().map(|export| export.counts())
    }

    /// Sends the spans that wait, for 5 s at most. Called when the host shuts down, after its modules have ended.
    pub(crate) async fn shutdown(&self) {
        let Some(export) = self.0.clone() else { return };
        let _ = tokio::task::spawn_blocking(move || export.shutdown()).await;
    }
}

/// The name of a span: the topic of a service, `process TOPIC` for an event.
fn name(kind: TopicKind, topic: &str) -> String {
    match kind {
        TopicKind::Service => topic.to_owned(),
        TopicKind::Event => format!("process {topic}"),
    }
}

fn span_kind(kind: TopicKind) -> SpanKind {
    match kind {
        TopicKind::Service => SpanKind::Server,
        TopicKind::Event => SpanKind::Consumer,
    }
}

fn span_context(trace_id: TraceId, span: u64, is_sampled: bool) -> SpanContext {
    let flags = if is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    SpanContext::new(trace_id, span_id(span), flags, false, TraceState::default())
}

fn span_id(span: u64) -> SpanId {
    SpanId::from_bytes(span.to_be_bytes())
}

/// The W3C trace id for the trace id of a request, and whether that is a W3C trace id itself: 32 hexadecimal digits,
/// not all 0. A module may use any text. Another text is hashed, so that the same text makes the same W3C id in this
/// build of the host.
fn trace_id_of(name: &str) -> (TraceId, bool) {
    match TraceId::from_hex(name) {
        Ok(trace_id) if name.len() == 32 && trace_id != TraceId::INVALID => (trace_id, true),
        _ => {
            let half = |salt: u8| {
                let mut hasher = DefaultHasher::new();
                (salt, name).hash(&mut hasher);
                u128::from(hasher.finish())
            };
            (TraceId::from_bytes(((half(0) << 64) | half(1)).to_be_bytes()), false)
        }
    }
}
