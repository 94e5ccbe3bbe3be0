//! Sends random sequences of frames, in random pieces, to a module in memory. Checks that each request has exactly one reply, that no
//! reply is made up, and that queued requests begin in order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, Frame, FrameDecoder, Framing, ModuleFrame, code, encode_base64};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::End;
use crate::boxed_future::Boxed;
use crate::caller::Caller as _;
use crate::error::{Error, Result};
use crate::health::Health;
use crate::module::{Serve, Start};
use crate::reply::Reply;
use crate::request::{Handling, Request, TopicKind};
use crate::requests::Limits;
use crate::runtime::Runtime;
use crate::transport::task_executor::{Wire, connect};

/// A module whose topics are named after what their handlers do. A payload is the request's id.
#[derive(Debug, Default)]
struct Probe {
    /// The ids in the order in which their handlers were entered.
    entered: Mutex<Vec<u64>>,
    gate: Gate,
    running: AtomicUsize,
    most: AtomicUsize,
}

/// Counts a handler as running while it exists.
struct Running(Arc<Probe>);

impl Running {
    fn new(probe: &Arc<Probe>) -> Self {
        let running = probe.running.fetch_add(1, Ordering::Relaxed) + 1;
        probe.most.fetch_max(running, Ordering::Relaxed);
        Self(Arc::clone(probe))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Gate(Semaphore);

impl Default for Gate {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

const TOPICS: [&str; 7] = ["echo", "hold", "call", "panic", "yield", "slow", "blocking"];

struct Starter(Arc<Probe>);

impl Start for Starter {
    fn topics(&self) -> Vec<(TopicKind, &'static str)> {
        TOPICS.map(|topic| (TopicKind::Service, topic)).to_vec()
    }

    fn start(&self, _: &str, _: Runtime) -> Boxed<Result<Arc<dyn Serve>>> {
        let service = Arc::new(Service(Arc::clone(&self.0)));
        Box::pin(async move { Ok(service as _) })
    }
}

#[derive(Debug)]
struct Service(Arc<Probe>);

impl Serve for Service {
    fn handle(&self, request: Request) -> Handling {
        let probe = Arc::clone(&self.0);
        Box::pin(async move {
            let id: u64 = request.payload().to_text()?.parse()?;
            probe.entered.lock().unwrap().push(id);
            let _running = Running::new(&probe);
            match request.context().topic() {
                "echo" => {}
                "hold" => probe.gate.0.acquire().await?.forget(),
                "call" => drop(request.context().bus().send("other", id.to_string()).await?),
                "panic" => panic!("as it was told to"),
                "yield" => {
                    for _ in 0..id % 5 {
                        tokio::task::yield_now().await;
                    }
                }
                "slow" => tokio::time::sleep(Duration::from_millis(50)).await,
                "blocking" => crate::blocking(|| Ok(())).await?,
                topic => return Err(Error::new(code::UNKNOWN_TOPIC, topic)),
            }
            Reply::json(&json!({ "id": id }))
        })
    }

    fn health_check(&self) -> Boxed<Result<Health>> {
        Box::pin(async { Ok(Health::healthy()) })
    }

    fn shutdown(&self) -> Boxed<Result<()>> {
        Box::pin(async { Ok(()) })
    }
}

/// The host's end.
struct Host {
    wire: Wire,
    decoder: FrameDecoder,
    framing: Framing,
    /// The bytes that were not sent yet.
    output: Vec<u8>,
    /// All replies, by the ids of their requests.
    replies: BTreeMap<u64, Vec<Value>>,
    /// The ids of the module's own requests that were not answered.
    calls: Vec<u64>,
    /// The ids of all its own requests.
    called: BTreeSet<u64>,
}

impl Host {
    fn new(wire: Wire, framing: Framing) -> Self {
        let decoder = FrameDecoder::new(DEFAULT_MAX_FRAME_BYTES);
        let (replies, calls, called) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
        Self { wire, decoder, framing, output: Vec::new(), replies, calls, called }
    }

    /// Appends a frame to the bytes that [`exchange`](Self::exchange) sends.
    fn put(&mut self, frame: &Value) {
        let json = frame.to_string();
        match self.framing {
            Framing::Line => self.output.extend(format!("{json}\n").into_bytes()),
            Framing::Length => {
                self.output.extend(u32::try_from(json.len()).unwrap().to_le_bytes());
                self.output.extend(json.into_bytes());
            }
        }
    }

    /// Sends the bytes in pieces of these sizes, in turns, and takes the frames that come back.
    async fn exchange(&mut self, pieces: &[usize]) {
        let output = std::mem::take(&mut self.output);
        let mut rest = output.as_slice();
        for size in pieces.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, others) = rest.split_at((*size).min(rest.len()));
            let _ = self.wire.to_module.send(piece.to_vec());
            tokio::task::yield_now().await;
            rest = others;
        }
        self.settle().await;
    }

    /// Waits until the module has nothing to do, and takes its frames.
    async fn settle(&mut self) {
        // The clock stands still, and moves only when nothing else does.
        tokio::time::sleep(Duration::from_nanos(1)).await;
        while let Ok(bytes) = self.wire.from_module.try_recv() {
            self.decoder.input().extend(bytes);
        }
        while let Some(frame) = self.decoder.next_frame() {
            let Frame { id, body } = ModuleFrame::read(frame.unwrap()).unwrap();
            match body {
                ModuleFrame::Success { data } => {
                    let data: Value = serde_json::from_str(&data.into_json()).unwrap();
                    self.replies.entry(id.unwrap()).or_default().push(json!({ "data": data }));
                }
                ModuleFrame::Error(error) => {
                    self.replies.entry(id.unwrap()).or_default().push(json!({ "code": error.code }));
                }
                ModuleFrame::ServiceRequest(_) => {
                    let id = id.unwrap();
                    assert!(self.called.insert(id), "the module uses the id {id} again");
                    self.calls.push(id);
                }
                ModuleFrame::Cancel => self.calls.retain(|call| Some(*call) != id),
                // `log`, `starting` and `ready` are not checked here.
                _ => {}
            }
        }
    }
}

fn handle(id: u64, topic: &str, priority: u64, ttl_ms: Option<u64>) -> Value {
    let payload = encode_base64(id.to_string().as_bytes());
    let mut frame = json!({
        "type": "handle", "id": id, "message": { "topic": topic, "payload": payload, "priority": priority },
    });
    if let Some(ttl_ms) = ttl_ms {
        frame["message"]["ttl_ms"] = ttl_ms.into();
    }
    frame
}

#[derive(Debug, Clone)]
enum Step {
    Handle {
        topic: usize,
        priority: u64,
        ttl_ms: Option<u64>,
    },
    /// A `cancel` of a request that was sent, or with an id that no request has.
    Cancel(Option<Index>),
    Health,
    /// A `handle` of the wrong shape.
    Wrong,
    /// A frame of an unknown type.
    Unknown,
    /// Lets this many handlers of `hold` end.
    Release(usize),
    /// Answers one of the module's calls: with success if true, otherwise with a response of the wrong shape.
    Respond(Index, bool),
    /// A response with an id that no call has.
    Stray,
    /// Waits for this many milliseconds.
    Wait(u64),
    Exchange,
}

/// How the connection ends.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// By `shutdown`, when all requests that can end have ended.
    Drain,
    Shutdown,
    HangUp,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let ttl =
        prop_oneof![3 => Just(None), 1 => prop_oneof![Just(0), Just(10), Just(60), Just(u64::MAX)].prop_map(Some)];
    let step = prop_oneof![
        12 => (0..TOPICS.len() + 1, 1..=4u64, ttl)
            .prop_map(|(topic, priority, ttl_ms)| Step::Handle { topic, priority, ttl_ms }),
        3 => proptest::option::weighted(0.9, any::<Index>()).prop_map(Step::Cancel),
        2 => Just(Step::Health),
        1 => Just(Step::Wrong),
        1 => Just(Step::Unknown),
        3 => (1..4usize).prop_map(Step::Release),
        3 => (any::<Index>(), any::<bool>()).prop_map(|(call, well)| Step::Respond(call, well)),
        1 => Just(Step::Stray),
        2 => prop_oneof![Just(1), Just(20), Just(100)].prop_map(Step::Wait),
        4 => Just(Step::Exchange),
    ];
    proptest::collection::vec(step, 0..60)
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

/// A module that has answered `init`, as request 1.
async fn start(
    limits: Limits,
    framing: Framing,
    offer: bool,
    pieces: &[usize],
) -> (Host, Arc<Probe>, tokio::task::JoinHandle<End>) {
    let probe = Arc::<Probe>::default();
    let module = Box::new(Starter(Arc::clone(&probe)));
    let (wire, session) = connect(module, String::new(), limits, tokio::runtime::Handle::current());
    let session = tokio::spawn(session);
    let mut host = Host::new(wire, framing);
    let framings: &[_] = if offer { &["line", "length"] } else { &[] };
    let protocol = json!({ "version": 1, "max_frame_bytes": 1_000_000, "framings": framings, "features": ["log"] });
    host.put(&json!({ "type": "init", "id": 1, "config": {}, "protocol": protocol }));
    host.exchange(pieces).await;
    let [reply] = host.replies[&1].as_slice() else { panic!("init has one reply") };
    if reply["data"]["ixt"]["framing"] == "length" {
        host.framing = Framing::Length;
        host.decoder.set_framing(Framing::Length);
    }
    (host, probe, session)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_has_exactly_one_reply(
        steps in steps(),
        pieces in proptest::collection::vec(1..200usize, 1..8),
        max_concurrency in 1..6usize,
        max_queued in 0..10usize,
        length in any::<bool>(),
        offer in any::<bool>(),
        end in prop_oneof![Just(Last::Drain), Just(Last::Shutdown), Just(Last::HangUp)],
    ) {
        block_on(async {
            let framing = if length { Framing::Length } else { Framing::Line };
            let (mut host, probe, session) = start(Limits { max_concurrency, max_queued }, framing, offer, &pieces).await;
            let mut asked = BTreeMap::from([(1, Step::Health)]);
            let (mut cancelled, mut id) = (BTreeSet::new(), 1);
            for step in steps {
                id += 1;
                match &step {
                    Step::Handle { topic, priority, ttl_ms } => {
                        host.put(&handle(id, TOPICS.get(*topic).unwrap_or(&"nonsense"), *priority, *ttl_ms));
                        asked.insert(id, step);
                    }
                    Step::Cancel(request) => {
                        let ids: Vec<_> = asked.keys().copied().collect();
                        let request = request.map_or(id + 1000, |request| *request.get(&ids));
                        cancelled.insert(request);
                        host.put(&json!({ "type": "cancel", "id": request }));
                    }
                    Step::Health => {
                        host.put(&json!({ "type": "health_check", "id": id }));
                        asked.insert(id, step);
                    }
                    Step::Wrong => {
                        host.put(&json!({ "type": "handle", "id": id, "message": { "topic": 5 } }));
                        asked.insert(id, step);
                    }
                    Step::Unknown => {
                        host.put(&json!({ "type": "nonsense", "id": id }));
                        asked.insert(id, step);
                    }
                    Step::Release(number) => probe.gate.0.add_permits(*number),
                    Step::Respond(call, well) => {
                        if !host.calls.is_empty() {
                            let call = host.calls.swap_remove(call.index(host.calls.len()));
                            host.put(&if *well {
                                json!({ "type": "service_response", "id": call, "success": true, "data": {} })
                            } else {
                                json!({ "type": "service_response", "id": call, "success": "maybe" })
                            });
                        }
                    }
                    Step::Stray => host.put(&json!({ "type": "service_response", "id": 9999, "success": true })),
                    Step::Wait(ms) => {
                        host.exchange(&pieces).await;
                        tokio::time::sleep(Duration::from_millis(*ms)).await;
                    }
                    Step::Exchange => host.exchange(&pieces).await,
                }
            }
            if matches!(end, Last::Drain) {
                // No handler of `hold` waits any more.
                probe.gate.0.add_permits(1000);
                host.exchange(&pieces).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                host.settle().await;
            }
            if matches!(end, Last::HangUp) {
                host.exchange(&pieces).await;
                // Requests without a reply are still answered, though the host may not read the replies.
                host.wire.to_module = tokio::sync::mpsc::unbounded_channel().0;
            } else {
                id += 1;
                host.put(&json!({ "type": "shutdown", "id": id, "grace_ms": 1000 }));
                asked.insert(id, Step::Health);
                host.exchange(&pieces).await;
            }
            assert_eq!(session.await.unwrap(), End::Clean);
            host.settle().await;

            assert!(probe.most.load(Ordering::Relaxed) <= max_concurrency);
            let answered: BTreeSet<_> = host.replies.keys().copied().collect();
            let expected: BTreeSet<_> = asked.keys().copied().collect();
            assert_eq!(answered, expected, "lost or made up");
            for (id, replies) in &host.replies {
                let [reply] = replies.as_slice() else { panic!("{id} has several replies: {replies:?}") };
                let code = reply["code"].as_str();
                match &asked[id] {
                    Step::Handle { topic, ttl_ms, .. } => match code {
                        None => assert_eq!(reply["data"]["id"], *id),
                        Some(code::CANCELLED) => assert!(cancelled.contains(id), "{id}"),
                        Some(code::DEADLINE_EXCEEDED) => assert!(ttl_ms.is_some_and(|ttl| ttl < 1000), "{id}"),
                        Some(code::RESOURCE_EXHAUSTED | code::UNAVAILABLE) => {}
                        Some(code::INTERNAL) => assert!(matches!(TOPICS[*topic], "panic" | "call"), "{id}"),
                        Some(code) => assert_eq!((code, *topic), (code::UNKNOWN_TOPIC, TOPICS.len()), "{id}"),
                    },
                    Step::Wrong => assert_eq!(code, Some(code::INVALID_INPUT)),
                    Step::Unknown => assert_eq!(code, Some(code::UNIMPLEMENTED)),
                    _ if cancelled.contains(id) => {}
                    _ => assert_eq!(code, None, "{id}"),
                }
            }
        });
    }

    #[test]
    fn queued_requests_begin_by_priority_and_age(
        priorities in proptest::collection::vec(1..=4u64, 0..40),
        cancelled in proptest::collection::vec(any::<Index>(), 0..5),
        pieces in proptest::collection::vec(1..200usize, 1..8),
    ) {
        block_on(async {
            let limits = Limits { max_concurrency: 1, max_queued: 40 };
            let (mut host, probe, _session) = start(limits, Framing::Line, false, &pieces).await;
            host.put(&handle(2, "hold", 1, None));
            let mut waiting: Vec<(u64, u64)> = (3..).zip(priorities).collect();
            for (id, priority) in &waiting {
                host.put(&handle(*id, "hold", *priority, None));
            }
            for cancelled in cancelled {
                if !waiting.is_empty() {
                    let (id, _) = waiting.remove(cancelled.index(waiting.len()));
                    host.put(&json!({ "type": "cancel", "id": id }));
                }
            }
            host.exchange(&pieces).await;
            let mut expected = vec![2];
            for turn in 1.. {
                let oldest = waiting.iter().min_by_key(|(id, _)| *id);
                let urgent = waiting.iter().min_by_key(|(id, priority)| (4 - priority, *id));
                let Some(next) = (if turn % 8 == 0 { oldest } else { urgent }).copied() else { break };
                waiting.retain(|other| *other != next);
                expected.push(next.0);
            }
            probe.gate.0.add_permits(100);
            host.exchange(&pieces).await;
            assert_eq!(*probe.entered.lock().unwrap(), expected);
        });
    }
}
