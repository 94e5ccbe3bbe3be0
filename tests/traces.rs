//! Spans for OpenTelemetry: the calls that one request causes are one trace, in which each module is a separate service.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_host::{CallOptions, Host, SpanOptions, metrics};
use ixt_tests::{Hosts, block_on};
use opentelemetry::trace::{SpanId, SpanKind, Status};
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{Sampler, SpanData, SpanExporter};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, mpsc};

/// A collector: the spans that it has received, each with the resource of its service.
#[derive(Debug, Clone)]
struct Collector {
    resource: Resource,
    got: Arc<Mutex<Vec<(Resource, SpanData)>>>,
    /// Each request to the collector waits for a permit.
    takes: Arc<Semaphore>,
    fails: Arc<AtomicBool>,
    asked: mpsc::UnboundedSender<()>,
}

impl Collector {
    fn new() -> (Self, mpsc::UnboundedReceiver<()>) {
        let (asked, requests) = mpsc::unbounded_channel();
        let (takes, fails) = (Arc::new(Semaphore::new(1000)), Arc::default());
        (Self { resource: Resource::builder_empty().build(), got: Arc::default(), takes, fails, asked }, requests)
    }

    /// The spans that it has received when the host has ended.
    async fn end(self, host: Host) -> Vec<(Resource, SpanData)> {
        assert_eq!(host.shutdown().await, [""; 0]);
        std::mem::take(&mut *self.got.lock().unwrap())
    }
}

impl SpanExporter for Collector {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let _ = self.asked.send(());
        self.takes.acquire().await.unwrap().forget();
        if self.fails.load(Ordering::SeqCst) {
            return Err(OTelSdkError::InternalFailure("no collector".to_owned()));
        }
        self.got.lock().unwrap().extend(batch.into_iter().map(|span| (self.resource.clone(), span)));
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.clone();
    }
}

fn attribute<'a>(span: &'a SpanData, key: &str) -> Option<std::borrow::Cow<'a, str>> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.as_str())
}

fn of(resource: &Resource, keys: &[&'static str]) -> Vec<String> {
    keys.iter().map(|key| resource.get(&Key::new(*key)).map_or_else(String::new, |value| value.to_string())).collect()
}

async fn started(hosts: &Hosts, collector: &Collector, options: SpanOptions) -> Host {
    let mut builder = hosts.builder();
    builder.spans(collector.clone(), options);
    let host = builder.start().await.unwrap();
    host.ready().await.unwrap();
    host
}

async fn call(host: &Host, topic: &str, script: Value) -> Value {
    let reply = host.call(topic, script.to_string().as_bytes(), CallOptions::default()).await;
    reply.map_or(Value::Null, |reply| reply.read().unwrap())
}

fn calls(topic: &str, with: &Value) -> Value {
    json!({ "do": "call", "topic": topic, "with": with })
}

const A: &str = "[provides]\nservices = [\"a\"]";

#[test]
fn a_call_through_three_modules_is_one_trace() {
    block_on(async {
        let service = |name: &str| format!("[provides]\nservices = [\"{name}\"]");
        let hosts = ["a", "b", "c"].into_iter().fold(Hosts::new(), |hosts, name| hosts.actor(name, &service(name)));
        let (collector, _requests) = Collector::new();
        let mut options = SpanOptions::default();
        options.resource = Resource::builder_empty()
            .with_service_name("shop")
            .with_attribute(KeyValue::new("deployment.environment.name", "test"))
            .build();
        let host = started(&hosts, &collector, options).await;
        call(&host, "a", calls("b", &calls("c", &json!({ "do": "fail", "code": "NO" })))).await;
        call(&host, "a", json!({})).await;

        let spans = collector.end(host).await;
        let find = |name: &str| spans.iter().filter(move |(_, span)| span.name == name).collect::<Vec<_>>();
        let ([(_, a), (_, other)], [(_, b)], [(_, c)]) = (&find("a")[..], &find("b")[..], &find("c")[..]) else {
            panic!("{spans:?}")
        };
        assert_eq!(a.span_context.trace_id(), c.span_context.trace_id());
        assert_ne!(a.span_context.trace_id(), other.span_context.trace_id());
        assert_eq!(a.parent_span_id, SpanId::INVALID);
        assert_eq!(b.parent_span_id, a.span_context.span_id());
        assert_eq!(c.parent_span_id, b.span_context.span_id());
        assert!(a.start_time <= b.start_time && b.end_time <= a.end_time);
        // By the semantic conventions.
        assert_eq!(c.span_kind, SpanKind::Server);
        for (key, value) in [
            ("rpc.system.name", "ixt"),
            ("rpc.method", "c"),
            ("rpc.response.status_code", "NO"),
            ("error.type", "NO"),
            ("service.peer.name", "b"),
            ("ixt.instance", "c:1.0.0/instance-001"),
        ] {
            assert_eq!(attribute(c, key).as_deref(), Some(value), "{key}");
        }
        assert_eq!(c.status, Status::error("as told"));
        assert_eq!((&b.status, attribute(b, "error.type")), (&Status::Unset, None), "its answer tells of the error");
        // Each is a service of its own.
        let keys = ["service.name", "service.version", "service.namespace", "deployment.environment.name"];
        for (resource, span) in &spans {
            assert_eq!(of(resource, &keys), [span.name.as_ref(), "1.0.0", "shop", "test"]);
        }
    });
}

#[test]
fn a_module_is_told_in_which_span_it_handles_what_and_whether_that_is_recorded() {
    block_on(async {
        let hosts = Hosts::new().actor("a", A).actor("b", "[provides]\nservices = [\"b\"]");
        for (sampler, flags) in [(Sampler::AlwaysOn, "01"), (Sampler::AlwaysOff, "00")] {
            let (collector, _requests) = Collector::new();
            let mut options = SpanOptions::default();
            options.sampler = Box::new(Sampler::ParentBased(Box::new(sampler)));
            let host = started(&hosts, &collector, options).await;
            let told = call(&host, "a", calls("b", &json!({ "do": "tell" }))).await["data"]["context"].take();
            let traceparent = told["traceparent"].as_str().unwrap();
            let spans = collector.end(host).await;
            let [version, trace_id, span, sampled] = traceparent.split('-').collect::<Vec<_>>()[..] else {
                panic!("{traceparent}")
            };
            assert_eq!((version, trace_id, sampled), ("00", told["trace_id"].as_str().unwrap(), flags));
            let recorded = spans.iter().find(|(_, span)| span.name == "b").map(|(_, span)| span.span_context.clone());
            assert_eq!(recorded.is_some(), flags == "01", "{spans:?}");
            if let Some(context) = recorded {
                assert_eq!(
                    (context.trace_id().to_string(), context.span_id().to_string()),
                    (trace_id.into(), span.into())
                );
            }
        }
    });
}

#[test]
fn an_event_is_processed_within_the_call_that_has_published_it() {
    block_on(async {
        let publisher = "[provides]\nservices = [\"p\"]\nevents = [\"e\"]";
        let taker = "[provides]\nservices = [\"t\"]\n[requires]\nevents = [\"e\"]";
        let hosts = Hosts::new().actor("p", publisher).actor("t", taker);
        let (collector, _requests) = Collector::new();
        let host = started(&hosts, &collector, SpanOptions::default()).await;
        let params = json!({ "topic": "e", "payload": "eyJldmVudCI6MX0=" });
        call(&host, "p", json!({ "do": "ask", "service": "event_bus", "method": "publish", "params": params })).await;
        call(&host, "t", json!({ "do": "events", "least": 1 })).await;

        let spans = collector.end(host).await;
        let find = |name: &str| spans.iter().find(|(_, span)| span.name == name).unwrap_or_else(|| panic!("{spans:?}"));
        let ((_, p), (resource, event)) = (find("p"), find("process e"));
        assert_eq!(of(resource, &["service.name"]), ["t"]);
        assert_eq!((&event.span_kind, &event.status), (&SpanKind::Consumer, &Status::Unset));
        assert_eq!(event.span_context.trace_id(), p.span_context.trace_id());
        assert_eq!(event.parent_span_id, p.span_context.span_id());
        for (key, value) in [
            ("messaging.system", "ixt"),
            ("messaging.operation.name", "process"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "e"),
            ("service.peer.name", "p"),
        ] {
            assert_eq!(attribute(event, key).as_deref(), Some(value), "{key}");
        }
    });
}

#[test]
fn a_call_that_is_given_up_has_a_span_too() {
    block_on(async {
        let hosts = Hosts::new().actor("a", A);
        let (collector, _requests) = Collector::new();
        let host = started(&hosts, &collector, SpanOptions::default()).await;
        let options = CallOptions { ttl: Some(Duration::from_millis(20)), ..CallOptions::default() };
        host.call("a", br#"{"do":"nothing"}"#, options).await.unwrap_err();
        let spans = collector.end(host).await;
        let [(_, span)] = &spans[..] else { panic!("{spans:?}") };
        assert_eq!(attribute(span, "error.type").as_deref(), Some("DEADLINE_EXCEEDED"));
    });
}

fn counted(host: &Host, name: &str) -> String {
    let text = metrics::render(host);
    let value = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    value.unwrap_or_else(|| panic!("{name} is not in {text}")).to_owned()
}

#[test]
fn spans_that_the_collector_does_not_take_are_dropped_counted_and_told_once() {
    block_on(async {
        let hosts = Hosts::new().actor("a", A);
        let (collector, mut requests) = Collector::new();
        collector.fails.store(true, Ordering::SeqCst);
        let mut options = SpanOptions::default();
        options.max_export_batch_size = 1;
        let host = started(&hosts, &collector, options).await;
        let mut log = host.logs().follow_all();
        let mut told = async || {
            loop {
                let Some(record) = log.next().await else { panic!("the log has ended") };
                if record.message.starts_with("spans ") {
                    return (record.module.clone(), record.message.clone());
                }
            }
        };
        call(&host, "a", json!({})).await;
        let (module, message) = told().await;
        assert_eq!(module, "host");
        assert_eq!(message, "spans can't be sent to the collector, and are dropped until they can: no collector");
        requests.recv().await;
        call(&host, "a", json!({})).await;
        requests.recv().await;
        while counted(&host, "ixt_spans_dropped_total") != "2" {
            tokio::task::yield_now().await;
        }
        collector.fails.store(false, Ordering::SeqCst);
        call(&host, "a", json!({})).await;
        assert_eq!(told().await.1, "spans are sent again; 2 were dropped meanwhile");
        assert_eq!(counted(&host, "ixt_spans_sent_total"), "1");
        assert_eq!(collector.end(host).await.len(), 1);
    });
}

#[test]
fn no_more_spans_wait_for_a_slow_collector_than_may() {
    block_on(async {
        let hosts = Hosts::new().actor("a", A);
        let (collector, mut requests) = Collector::new();
        collector.takes.forget_permits(1000);
        let mut options = SpanOptions::default();
        (options.max_queue_size, options.max_export_batch_size) = (2, 1);
        let host = started(&hosts, &collector, options).await;
        let mut log = host.logs().follow_all();
        call(&host, "a", json!({})).await;
        // This one is being sent, and one has room.
        requests.recv().await;
        for _ in 0..3 {
            call(&host, "a", json!({})).await;
        }
        assert_eq!(counted(&host, "ixt_spans_dropped_total"), "2");
        collector.takes.add_permits(10);
        assert_eq!(collector.end(host).await.len(), 2);
        let mut told = Vec::new();
        while let Some(record) = log.next().await {
            told.extend(Some(record.message.clone()).filter(|message| message.starts_with("spans ")));
        }
        assert_eq!(told, ["spans come faster than they are sent: 1 were dropped so far"]);
    });
}
