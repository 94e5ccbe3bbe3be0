//! Writes events of the crate [`tracing`](https://docs.rs/tracing) as log lines of the module: with their fields, their spans, and the
//! trace id of the request. Needs the feature `tracing`.
//!
//! [`run`](crate::Launcher::run), `run_async` and `testing::Host` install a global subscriber with the [`layer`], unless the program has
//! installed a subscriber before; add the layer to that one. Each call of a service and each event is handled in a span `request` of the
//! level `info`, with the fields `topic`, `trace_id`, `source_module` and, if there is one, `traceparent`. A task that is spawned with that
//! span (`tracing::Instrument`) belongs to the trace as well. `init`, health checks and the shutdown have no such span.
//!
//! The environment variable `IXT_LOG` filters the events and spans, in the syntax of `RUST_LOG`: `warn`, or `info,orders=debug,hyper=off`.
//! A filter that leaves out `info` of `ixt_sdk`, such as `warn`, leaves out the span `request` too. Without the variable, or if it is not
//! UTF-8, the filter is `info`. A filter that can't be read is logged as an error, and replaced by `info`. A layer that you add yourself is
//! not filtered.

use std::env;
use std::fmt::{Debug, Write as _};

use ixt_protocol::LogLevel;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Span, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;

use crate::log::{LineParts, log_error, write};

/// The variable with the filter.
const FILTER: &str = "IXT_LOG";
/// The name of the span around each request.
const REQUEST: &str = "request";
/// The field of that span with the trace id.
const TRACE_ID: &str = "trace_id";

/// The layer that sends events to the host's log, or to stderr as [`LogLine::write`](crate::LogLine::write) does. It needs spans of a
/// registry that keeps them, such as `tracing_subscriber::registry()`. It has no filter.
#[must_use]
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    LogLayer
}

/// Installs the layer with the filter of `IXT_LOG` as the global subscriber, unless there is one.
pub(crate) fn install() {
    let default = || Targets::new().with_default(LevelFilter::INFO);
    let filter = match env::var(FILTER) {
        Err(_) => default(),
        Ok(text) => text.parse().unwrap_or_else(|error| {
            log_error(format!("{FILTER} is `{text}`, which is not a filter: {error}"));
            default()
        }),
    };
    let subscriber = tracing_subscriber::registry().with(LogLayer.with_filter(filter));
    // Fails if the program has installed a subscriber, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// The span in which a request is handled. The field `traceparent` is left out if the host makes no spans.
pub(crate) fn request_span(context: &crate::context::Context) -> Span {
    tracing::info_span!(
        "request",
        topic = context.topic(),
        trace_id = context.trace_id(),
        source_module = context.source_module(),
        traceparent = context.traceparent()
    )
}

/// Makes a log line of each event, with `target` and `spans` (from the outermost) beside its fields, in place of fields of these names.
/// Without spans, `spans` is left out. The message is that of the event, empty if it has none.
struct LogLayer;

/// The fields of a span, kept in its extensions.
struct Fields(Map<String, Value>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut visitor = Visitor::default();
        attributes.record(&mut visitor);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Fields(visitor.fields));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let mut visitor = Visitor::default();
        values.record(&mut visitor);
        if let Some(span) = context.span(id)
            && let Some(Fields(fields)) = span.extensions_mut().get_mut()
        {
            fields.extend(visitor.fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let Visitor { message, mut fields } = {
            let mut visitor = Visitor::default();
            event.record(&mut visitor);
            visitor
        };
        let mut trace_id = None;
        let mut spans = Vec::new();
        for span in context.event_scope(event).into_iter().flatten() {
            let extensions = span.extensions();
            let kept = extensions.get::<Fields>().map(|Fields(fields)| fields.clone()).unwrap_or_default();
            if span.name() == REQUEST
                && let Some(Value::String(id)) = kept.get(TRACE_ID)
            {
                // The line gets the trace id of its innermost request.
                trace_id.get_or_insert_with(|| id.clone());
            }
            spans.push(json!({ "name": span.name(), "fields": kept }));
        }
        spans.reverse();
        fields.insert("target".to_owned(), event.metadata().target().into());
        if !spans.is_empty() {
            fields.insert("spans".to_owned(), Value::Array(spans));
        }
        let level = match *event.metadata().level() {
            Level::TRACE => LogLevel::Trace,
            Level::DEBUG => LogLevel::Debug,
            Level::INFO => LogLevel::Info,
            Level::WARN => LogLevel::Warn,
            Level::ERROR => LogLevel::Error,
        };
        write(&LineParts { level, message: &message, fields: Some(fields), trace_id: trace_id.as_deref() });
    }
}

/// Collects the fields of an event or a span as JSON.
#[derive(Default)]
struct Visitor {
    message: String,
    fields: Map<String, Value>,
}

impl Visitor {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        // If several fields have the same name, the last one counts.
        self.fields.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Visitor {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            self.put(field, format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { self.message.push_str(value) } else { self.put(field, value) }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }
}
