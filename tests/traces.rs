//! Spans for OpenTelemetry: what modules do for one request is one trace.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_host::CallOptions;
use ixt_tests::{Hosts, block_on};
use opentelemetry::Context;
use opentelemetry::trace::{SpanId, Status};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use serde_json::{Value, json};

/// The spans that have ended.
#[derive(Debug, Default)]
struct Spans(Mutex<Vec<SpanData>>);

impl SpanProcessor for Spans {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        self.0.lock().unwrap().push(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

fn attribute(span: &SpanData, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.to_string())
}

#[test]
fn a_call_through_three_modules_is_one_trace() {
    block_on(async {
        let service = |name: &str| format!("[provides]\nservices = [\"{name}\"]");
        let hosts = ["a", "b", "c"].into_iter().fold(Hosts::new(), |hosts, name| hosts.actor(name, &service(name)));
        let spans = Arc::new(Spans::default());
        let mut builder = hosts.builder();
        builder.spans(Arc::clone(&spans) as _);
        let host = builder.start().unwrap();
        host.ready().await.unwrap();
        let call = |topic: &str, with: Value| json!({ "do": "call", "topic": topic, "with": with });
        let script = call("b", call("c", json!({ "do": "fail", "code": "NO" })));
        host.call("a", script.to_string().as_bytes(), CallOptions::default()).await.unwrap();
        host.call("a", b"", CallOptions::default()).await.unwrap();

        let spans = std::mem::take(&mut *spans.0.lock().unwrap());
        let [c, b, a, other] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!([&c.name, &b.name, &a.name], ["c", "b", "a"], "they end in this order");
        assert_eq!(a.span_context.trace_id(), c.span_context.trace_id());
        assert_ne!(a.span_context.trace_id(), other.span_context.trace_id());
        assert_eq!(a.parent_span_id, SpanId::INVALID);
        assert_eq!(b.parent_span_id, a.span_context.span_id());
        assert_eq!(c.parent_span_id, b.span_context.span_id());
        assert_eq!(attribute(c, "ixt.source_module").as_deref(), Some("b:1.0.0"));
        assert_eq!(attribute(c, "ixt.instance").as_deref(), Some("c:1.0.0/instance-001"));
        assert_eq!((attribute(c, "error.type").as_deref(), &c.status), (Some("NO"), &Status::error("as told")));
        assert_eq!(b.status, Status::Ok, "its answer tells of the error, but is none");
        assert!(a.start_time <= b.start_time && b.end_time <= a.end_time);
    });
}

#[test]
fn a_call_that_is_given_up_has_a_span_too() {
    block_on(async {
        let spans = Arc::new(Spans::default());
        let hosts = Hosts::new().actor("a", "[provides]\nservices = [\"a\"]");
        let mut builder = hosts.builder();
        builder.spans(Arc::clone(&spans) as _);
        let host = builder.start().unwrap();
        host.ready().await.unwrap();
        let options = CallOptions { ttl: Some(Duration::from_millis(20)), ..CallOptions::default() };
        host.call("a", br#"{"do":"nothing"}"#, options).await.unwrap_err();
        let spans = std::mem::take(&mut *spans.0.lock().unwrap());
        let [span] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(attribute(span, "error.type").as_deref(), Some("DEADLINE_EXCEEDED"));
    });
}
