//! The test harness; and, with its paused clock, what the runtime does about deadlines and timeouts.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use fixture::{
    ChangesRequest, Config, Fixture, Name, ReadyRequest, SayRequest, StoreRequest, TakeRequest, WatchRequest, client,
    events, module, publish, services,
};
use ixt_sdk::middleware::{Layer, Next, Request, Service};
use ixt_sdk::testing::{self, Host, Module, Pipe};
use ixt_sdk::{Error, LogLevel, Payload, Priority, Result, code, json};

const SECOND: Duration = Duration::from_secs(1);

async fn start(host: Host) -> Result<Module> {
    host.start_json(module::<Fixture>(), &json!({ "token": "t" })).await
}

fn raw(bytes: &[u8]) -> Payload {
    bytes.to_vec().into()
}

fn code_of<T: std::fmt::Debug>(result: Result<T>) -> String {
    result.unwrap_err().code().to_owned()
}

#[test]
fn services_are_called_with_the_types_of_the_manifest() {
    testing::run(async {
        let module = start(Host::new()).await?;
        let number = |value| fixture::Number { value, comment: None };
        let request = fixture::AddRequest { a: number(1), more: vec![number(2), number(3)] };
        assert_eq!(module.call(services::ADD, &request).await?, number(6));
        let answer = module.call(services::RAW, &raw(b"hi")).await?;
        assert_eq!(answer, json!({ "length": 2, "result": "aGk=" }));
        assert_eq!(code_of(module.call_raw("add", "[]").await), code::INVALID_INPUT);
        assert_eq!(code_of(module.call_raw("nonsense", "").await), code::UNKNOWN_TOPIC);
        assert_eq!(code_of(module.call(services::PANIC, &raw(b"")).await), code::INTERNAL);
        module.shutdown().await
    });
}

#[test]
fn a_configuration_is_given_as_its_type_or_as_json() {
    testing::run(async {
        let config = Config::from_json(r#"{ "token": "t", "limit": 3 }"#)?;
        let module = Host::new().start(module::<Fixture>(), config).await?;
        assert_eq!(module.call(services::CONFIG, &raw(b"")).await?["limit"], 3);
        module.shutdown().await?;
        assert_eq!(
            code_of(Host::new().start_json(fixture::module::<Fixture>(), &json!({})).await),
            code::INVALID_INPUT
        );
        let refused = json!({ "token": "t", "on_init": "not today" });
        assert_eq!(code_of(Host::new().start_json(fixture::module::<Fixture>(), &refused).await), "NOT_TODAY");
        Ok(())
    });
}

#[test]
fn a_module_says_that_it_needs_time_and_whether_it_takes_calls() {
    testing::run(async {
        let config = json!({ "token": "t", "on_init": "starting" });
        let module = Host::new().start_json(module::<Fixture>(), &config).await?;
        let starting = module.starting();
        assert_eq!(
            (starting.len(), starting[0].message.as_str(), starting[0].extend),
            (1, "reads the map", 30 * SECOND)
        );
        assert!(!module.is_ready());
        assert!(module.health().await?.is_ready(), "it was told at once");
        let ready = |ready, at_once| module.call(services::READY, &ReadyRequest { ready, at_once }).into_future();
        ready(true, true).await?;
        assert!(module.is_ready());
        assert_eq!(module.starting().len(), 1, "`init` has been answered");
        ready(false, false).await?;
        let health = module.health().await?;
        assert_eq!((health.is_healthy(), health.is_ready()), (true, false));
        assert_eq!(health.details()["message"], "as it was told");
        module.shutdown().await
    });
}

#[test]
fn required_services_are_stubbed_with_their_types() {
    testing::run(async {
        let host = Host::new().stub(client::STOCK_TAKE, async |request| {
            assert_eq!(request.shelf, Some(client::stock::Shelf::High));
            match request.sku.as_str() {
                "A-1" => Ok(client::stock::StockTakeResponse { left: 2, shelf: client::stock::Shelf::Low }),
                _ => Err(client::stock::StockTakeError::Empty.into()),
            }
        });
        let module = start(host).await?;
        let take = |sku: &str| TakeRequest { sku: sku.to_owned() };
        let taken = module.call(services::TAKE, &take("A-1")).trace_id("t-1").await?;
        assert_eq!((taken.left, taken.shelf.as_str()), (2, "low"));
        assert_eq!(code_of(module.call(services::TAKE, &take("B-2")).await), code::UNAVAILABLE);
        let sent = module.sent();
        assert_eq!((sent.len(), sent[0].topic.as_str(), sent[0].trace_id.as_str()), (2, "stock.take", "t-1"));
        assert_eq!((sent[0].priority, sent[0].ttl_ms), (Priority::Normal, Some(1500)), "as urgent as the request");
        let urgent = module.call(services::TAKE, &take("A-1")).priority(Priority::High).await;
        urgent?;
        assert_eq!(module.sent()[2].priority, Priority::High);
        // Without a stub, no module provides the topic.
        assert_eq!(code_of(module.call(services::FORWARD, &raw(b"")).await), code::NOT_FOUND);
        module.shutdown().await
    });
}

#[test]
fn a_request_that_takes_too_long_is_answered_when_its_time_is_over() {
    testing::run(async {
        let module = start(Host::new()).await?;
        let start = tokio::time::Instant::now();
        let error = module.call(services::WAIT, &raw(b"")).ttl(2 * SECOND).await.unwrap_err();
        assert_eq!(error.to_string(), "DEADLINE_EXCEEDED: the 2000 ms of the request were over while it was handled");
        assert_eq!(start.elapsed(), 2 * SECOND);
        // Its future is gone, so the release is left for the next one.
        module.call(services::RELEASE, &raw(b"")).await?;
        assert_eq!(module.call(services::WAIT, &raw(b"")).ttl(SECOND).await?.answer, "released");
        // Of two at once each has its own time, whichever is over first.
        let over = async |seconds| {
            let start = tokio::time::Instant::now();
            let call = module.call(services::WAIT, &raw(b"")).ttl(seconds * SECOND);
            assert_eq!(code_of(call.await), code::DEADLINE_EXCEEDED);
            start.elapsed()
        };
        // The first is waited for already when the others come.
        let later = async |seconds| {
            tokio::time::sleep(SECOND).await;
            over(seconds).await
        };
        assert_eq!(tokio::join!(over(30), later(1), later(5)), (30 * SECOND, SECOND, 5 * SECOND));
        // One without any time is not begun.
        let entered = module.health().await?.details()["entered"].clone();
        assert_eq!(code_of(module.call(services::WAIT, &raw(b"")).ttl(Duration::ZERO).await), code::DEADLINE_EXCEEDED);
        assert_eq!(module.health().await?.details()["entered"], entered);
        module.shutdown().await
    });
}

#[test]
fn a_request_whose_time_is_over_in_the_queue_is_answered_and_never_begun() {
    testing::run(async {
        let host = Host::new();
        let module = host.start_json(module::<Fixture>().max_concurrency(1), &json!({ "token": "t" })).await?;
        let (first, second) = tokio::join!(
            module.call(services::WAIT, &raw(b"")).ttl(3 * SECOND).into_future(),
            module.call(services::WAIT, &raw(b"")).ttl(2 * SECOND).into_future(),
        );
        assert!(first.unwrap_err().message().ends_with("while it was handled"));
        assert!(second.unwrap_err().message().ends_with("while it waited for its turn"));
        assert_eq!(module.health().await?.details()["entered"], 1);
        module.shutdown().await
    });
}

#[test]
fn a_nested_call_has_what_is_left_of_the_time_and_the_priority_that_was_set() {
    testing::run(async {
        let other = ixt_sdk::Service::<Payload, ixt_sdk::Value>::new("other");
        let host = Host::new().stub(other, async |_| {
            tokio::time::sleep(3 * SECOND).await;
            Ok(json!({ "is": "late" }))
        });
        let module = start(host).await?;
        let answer = module.call(services::REMAINING, &raw(b"")).ttl(5 * SECOND).await?;
        assert_eq!(answer, json!({ "answer": { "is": "late" }, "remaining_ms": 2000 }));
        assert_eq!((module.sent()[0].ttl_ms, module.sent()[0].priority), (Some(5000), Priority::Critical));
        // Its own limit is the smaller one.
        module.call(services::REMAINING, &raw(b"")).ttl(60 * SECOND).await?;
        assert_eq!(module.sent()[1].ttl_ms, Some(10_000));
        // The call ends with the request.
        assert_eq!(code_of(module.call(services::REMAINING, &raw(b"")).ttl(2 * SECOND).await), code::DEADLINE_EXCEEDED);
        module.shutdown().await
    });
}

#[test]
fn a_call_that_is_not_answered_ends_with_its_time() {
    testing::run(async {
        let other = ixt_sdk::Service::<Payload, ixt_sdk::Value>::new("other");
        let module = start(Host::new().stub(other, async |_| std::future::pending().await)).await?;
        let error = module.call(services::REMAINING, &raw(b"")).await.unwrap_err();
        assert_eq!(error.to_string(), "DEADLINE_EXCEEDED: the 10000 ms of the call of `other` are over");
        module.shutdown().await
    });
}

#[test]
fn what_a_handler_leaves_running_hears_that_nobody_waits() {
    testing::run(async {
        let module = start(Host::new()).await?;
        let mut call = Box::pin(module.call(services::LINGER, &raw(b"")).trace_id("t-1").into_future());
        assert!(tokio::time::timeout(SECOND, &mut call).await.is_err(), "it lingers");
        assert_eq!(module.kv("lingered"), None, "somebody waits");
        drop(call);
        assert_eq!(code_of(module.call(services::LINGER, &raw(b"")).ttl(SECOND).await), code::DEADLINE_EXCEEDED);
        // In the background, so it may take a moment.
        while module.kv("lingered").as_deref() != Some(b"2") {
            tokio::task::yield_now().await;
        }
        let stats = module.health().await?.details()["ixt"]["services"]["linger"]["outcomes"].clone();
        assert_eq!(stats, json!({ "CANCELLED": 1, "DEADLINE_EXCEEDED": 1 }));
        module.shutdown().await
    });
}

#[test]
fn the_store_keeps_what_the_module_has_put_there() {
    testing::run(async {
        let module = start(Host::new().with_kv("a", "7")).await?;
        let store = |value, ttl_ms| StoreRequest { key: "a".to_owned(), value, ttl_ms };
        assert_eq!(module.call(services::STORE, &store(8, None)).await?, json!({ "before": 7, "value": 8 }));
        assert_eq!(module.call(services::STORE, &store(9, Some(1000))).await?, json!({ "before": 8, "value": 9 }));
        assert_eq!(module.kv("a").as_deref(), Some(&b"9"[..]));
        testing::advance(SECOND).await;
        assert_eq!(module.kv("a"), None);
        module.shutdown().await
    });
}

#[test]
fn keys_are_watched_by_a_module_until_it_has_no_use_for_it() {
    testing::run(async {
        let module = start(Host::new().with_kv("a/old", "0")).await?;
        let store = |key: &str, value, ttl_ms| StoreRequest { key: key.to_owned(), value, ttl_ms };
        let changes = || module.call(services::CHANGES, &ChangesRequest { count: 1 });
        module.call(services::WATCH, &WatchRequest { prefix: "a/".to_owned() }).await?;
        // By the module itself, by another instance, and by time.
        module.call(services::STORE, &store("b/1", 1, None)).await?;
        module.call(services::STORE, &store("a/1", 2, Some(1000))).await?;
        assert_eq!(changes().await?, json!({ "changes": [["a/1", 3, 2]] }), "nothing that was there before");
        let start = tokio::time::Instant::now();
        assert_eq!(changes().await?, json!({ "changes": [["a/1", 4, null]] }));
        assert_eq!(start.elapsed(), SECOND);
        module.set_kv("a/2", "5");
        assert_eq!(changes().await?, json!({ "changes": [["a/2", 5, 5]] }));
        module.delete_kv("a/old");
        module.delete_kv("a/old");
        assert_eq!(changes().await?, json!({ "changes": [["a/old", 6, null]] }));
        // A waiter that has gone has taken nothing.
        assert_eq!(code_of(changes().ttl(SECOND).await), code::DEADLINE_EXCEEDED);
        module.set_kv("a/3", "7");
        assert_eq!(changes().await?, json!({ "changes": [["a/3", 7, 7]] }));

        module.call(services::UNWATCH, &raw(b"")).await?;
        module.call(services::WATCH, &WatchRequest { prefix: "b/".to_owned() }).await?;
        module.set_kv("a/4", "8");
        module.set_kv("b/4", "9");
        assert_eq!(changes().await?, json!({ "changes": [["b/4", 9, 9]] }));
        module.shutdown().await
    });
}

#[test]
fn events_are_published_and_taken_with_their_types() {
    testing::run(async {
        let module = start(Host::new()).await?;
        module.call(services::ANNOUNCE, &raw(b"hello")).await?;
        let announced = module.published(publish::ANNOUNCED)?;
        assert_eq!(announced, [fixture::AnnouncedPayload { text: "hello".to_owned() }]);
        assert_eq!(module.published(publish::ANNOUNCED_RAW)?.len(), 1);

        let event = client::stock::StockChangedPayload { sku: "A-1".to_owned(), left: 3 };
        module.event(events::STOCK_CHANGED, &event).await?;
        assert_eq!(code_of(module.event(events::TICK, &raw(b"")).await), code::INVALID_INPUT);
        let logs = module.logs();
        assert!(logs.iter().any(|log| log.message == "stock.changed: 3 of A-1 left" && log.trace_id == "test"));
        let failed = "the handler of the event `tick` failed: INVALID_INPUT: an empty tick";
        assert!(logs.iter().any(|log| log.level == LogLevel::Error && log.message == failed), "{logs:?}");
        module.shutdown().await
    });
}

#[test]
fn log_lines_have_their_fields_and_the_trace_of_their_message() {
    testing::run(async {
        let module = start(Host::new()).await?;
        let request = SayRequest { message: "hello".to_owned(), repeated: None, times: 2 };
        module.call(services::SAY, &request).trace_id("t-7").await?;
        let lines: Vec<_> = module.logs().into_iter().map(|log| (log.message, log.trace_id, log.fields)).collect();
        let fields = |number| json!({ "number": number }).as_object().unwrap().clone();
        let line = |number| ("hello".to_owned(), "t-7".to_owned(), fields(number));
        assert_eq!(lines, [line(0), line(1)]);
        module.shutdown().await
    });
}

#[test]
fn the_health_tells_the_load_the_outcomes_and_the_latency() {
    testing::run(async {
        let module = start(Host::new()).await?;
        module.call(services::RAW, &raw(b"")).await?;
        module.call(services::RAW, &raw(b"")).await?;
        let _ = module.call(services::WAIT, &raw(b"")).ttl(SECOND).await;
        module.event(events::TICK, &raw(b"tock")).await?;
        let health = module.health().await?;
        assert!(health.is_healthy());
        let ixt = &health.details()["ixt"];
        assert_eq!((&ixt["in_flight"], &ixt["queued"], &ixt["uptime_ms"]), (&json!(0), &json!(0), &json!(1000)));
        assert_eq!(ixt["services"]["raw"]["outcomes"], json!({ "success": 2 }));
        assert_eq!(ixt["services"]["wait"]["outcomes"], json!({ "DEADLINE_EXCEEDED": 1 }));
        let p50 = ixt["services"]["wait"]["latency_us"]["p50"].as_f64().unwrap();
        assert!((p50 / 1e6 - 1.0).abs() < 0.02, "{p50}");
        assert_eq!(ixt["events"]["tick"]["outcomes"], json!({ "success": 1 }));
        module.shutdown().await
    });
}

#[test]
fn calls_still_work_while_the_module_drains() {
    testing::run(async {
        let host = Host::new().stub(client::STOCK_TAKE, async |_| {
            tokio::time::sleep(SECOND).await;
            Ok(client::stock::StockTakeResponse { left: 2, shelf: client::stock::Shelf::Low })
        });
        let module = Arc::new(start(host).await?);
        let request = TakeRequest { sku: "A-1".to_owned() };
        let taken = tokio::spawn({
            let module = Arc::clone(&module);
            async move { module.call(services::TAKE, &request).await }
        });
        // The handler waits for its answer.
        while module.sent().is_empty() {
            tokio::task::yield_now().await;
        }
        module.shutdown_within(10 * SECOND).await?;
        assert_eq!(taken.await?.unwrap().left, 2);
        Ok(())
    });
}

#[test]
fn a_handler_that_outlasts_the_grace_is_answered_and_left() {
    testing::run(async {
        let module = Arc::new(start(Host::new()).await?);
        let waits = tokio::spawn({
            let module = Arc::clone(&module);
            async move { module.call(services::WAIT, &raw(b"")).await }
        });
        tokio::task::yield_now().await;
        let start = tokio::time::Instant::now();
        module.shutdown_within(10 * SECOND).await?;
        assert_eq!(start.elapsed(), 5 * SECOND, "half of the grace is for the requests");
        assert_eq!(code_of(waits.await?), code::UNAVAILABLE);
        Ok(())
    });
}

#[test]
fn a_module_whose_host_is_gone_ends() {
    testing::run(async {
        let module = start(Host::new()).await?;
        module.hang_up().await;
        Ok(())
    });
}

#[test]
#[should_panic(expected = "a stub has panicked")]
fn a_stub_that_panics_fails_the_test() {
    testing::run(async {
        let host = Host::new().stub(client::STOCK_TAKE, async |_| panic!("an assertion"));
        let module = start(host).await?;
        let _ = module.call(services::TAKE, &TakeRequest { sku: "A-1".to_owned() }).await;
        Ok(())
    });
}

#[test]
fn a_module_that_has_ended_answers_nothing() {
    testing::run(async {
        let module = start(Host::new()).await?;
        module.shutdown().await?;
        assert_eq!(code_of(module.call(services::RAW, &raw(b"")).await), code::UNAVAILABLE);
        assert_eq!(code_of(module.health().await.map(drop)), code::UNAVAILABLE);
        Ok(())
    });
}

#[test]
fn a_stored_value_that_does_not_fit_is_not_shown() {
    testing::run(async {
        let module = start(Host::new().with_kv("a", "\"s3cr3t\"")).await?;
        let store = StoreRequest { key: "a".to_owned(), value: 1, ttl_ms: None };
        let error = module.call(services::STORE, &store).await.unwrap_err();
        assert_eq!(error.to_string(), "INTERNAL: the stored value is wrong: expected an integer of 64 bits");
        module.shutdown().await
    });
}

/// Middleware that records each request, and passes a value to the handler or refuses the request.
#[derive(Clone)]
struct Watch<S> {
    inner: S,
    name: &'static str,
    seen: Arc<Mutex<Vec<String>>>,
}

impl<S> Service<Request> for Watch<S>
where
    S: Service<Request, Response: Send, Error = Error, Future: Send + 'static>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let seen = format!("{} {:?} {}", self.name, request.kind(), request.context().topic());
        self.seen.lock().unwrap().push(seen);
        if request.context().source_module().starts_with("evil:") {
            return Box::pin(async { Err(Error::new("PERMISSION_DENIED", "no")) });
        }
        request.context_mut().insert(Name(self.name));
        let (call, slow) = (self.inner.call(request), self.name == "slow");
        Box::pin(async move {
            let reply = call.await;
            if slow {
                tokio::time::sleep(SECOND).await;
            }
            reply
        })
    }
}

struct WatchLayer(&'static str, Arc<Mutex<Vec<String>>>);

impl Layer<Next> for WatchLayer {
    type Service = Watch<Next>;

    fn layer(&self, inner: Next) -> Watch<Next> {
        Watch { inner, name: self.0, seen: Arc::clone(&self.1) }
    }
}

#[test]
fn middleware_stands_around_every_handler_the_last_layer_outermost() {
    testing::run(async {
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let layer = |name| WatchLayer(name, Arc::clone(&seen));
        let launcher = module::<Fixture>().layer(layer("inner")).layer(layer("outer"));
        let module = Host::new().start_json(launcher, &json!({ "token": "t" })).await?;
        let named = module.call(services::CONTEXT, &raw(b"")).await?;
        assert_eq!(named["name"], "inner", "the innermost has the last word");
        module.event(events::TICK, &raw(b"tock")).await?;
        let refused = module.call(services::CONTEXT, &raw(b"")).source_module("evil:1.0.0").await;
        assert_eq!(code_of(refused), "PERMISSION_DENIED");
        module.health().await?;
        let expected = [
            "outer Service context",
            "inner Service context",
            "outer Event tick",
            "inner Event tick",
            "outer Service context",
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
        module.shutdown().await
    });
}

#[test]
fn middleware_counts_as_long_as_it_runs() {
    testing::run(async {
        let launcher = module::<Fixture>().layer(WatchLayer("slow", Arc::default())).max_concurrency(1);
        let module = Host::new().start_json(launcher, &json!({ "token": "t" })).await?;
        let start = tokio::time::Instant::now();
        let call = || module.call(services::RAW, &raw(b"")).into_future();
        let (first, second) = tokio::join!(call(), call());
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(start.elapsed(), 2 * SECOND, "one after the other");
        module.shutdown().await
    });
}

const INIT: &[u8] = br#"{"type":"init","id":1,"config":{"token":"t"}}
"#;

/// A line with a message for a topic, whose payload is an empty object.
fn line(id: u32, topic: &str) -> Vec<u8> {
    format!(
        "{{\"type\":\"handle\",\"id\":{id},\"message\":{{\"topic\":\"{topic}\",\"payload\":\"\",\"ttl_ms\":50}}}}\n"
    )
    .into()
}

fn text(bytes: impl Into<Vec<u8>>) -> String {
    String::from_utf8(bytes.into()).unwrap()
}

#[test]
fn between_two_buffers_bytes_go_in_and_come_out() -> Result<()> {
    let mut pipe = Pipe::new(module::<Fixture>())?;
    assert!(text(pipe.exchange(INIT)).starts_with(r#"{"type":"success","id":1,"data":{"ixt""#));
    let (raw, late) = (line(2, "raw"), line(3, "wait"));
    let (begin, end) = raw.split_at(20);
    assert_eq!(text(pipe.exchange(begin)), "");
    let reply = text(pipe.exchange(&[end, &late].concat()));
    assert_eq!(reply, "{\"type\":\"success\",\"id\":2,\"data\":{\"result\":\"\",\"length\":0}}\n");
    assert_eq!(text(pipe.wait(Duration::from_millis(49))), "");
    assert!(text(pipe.wait(Duration::from_millis(1))).contains(code::DEADLINE_EXCEEDED));
    assert_eq!(text(pipe.hang_up().expect("it ends")), "");
    Ok(())
}

#[test]
fn between_two_buffers_a_shutdown_is_answered_before_the_end() -> Result<()> {
    let mut pipe = Pipe::new(module::<Fixture>())?;
    pipe.exchange(INIT);
    pipe.exchange(b"{\"type\":\"shutdown\",\"id\":2}\n");
    let last = text(pipe.hang_up().expect("it ends"));
    assert!(last.contains(r#""type":"success","id":2"#), "{last}");
    Ok(())
}
