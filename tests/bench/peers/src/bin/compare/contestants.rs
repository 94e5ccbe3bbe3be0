//! The contestants, and how each is started and called.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ixt_bench::measure::quantile;
use ixt_bench::process::program;
use ixt_bench_host::Caller;
use ixt_bench_wire::load::{Callers, LoadGenerator, Payload, Record, Timing, Workload};
use ixt_bench_wire::{Callee, Cost, Framing};

pub struct Contestant {
    /// The short name, for the command line.
    pub id: &'static str,
    /// The name in the tables.
    pub name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A module that the lean client calls in this framing.
    Module(Framing),
    /// The raw echo. It gets the frames that the module gets in this framing.
    Raw(Framing),
    Python,
    Node,
    /// A host with two modules, who calls the second one, and how.
    Host(Caller, Callers),
    /// A load generator of `ixt-bench-peers`, which is named as the contestant.
    Peer,
}

pub const RAW: &str = "raw";
pub const RAW_ATTACHED: &str = "raw-attached";
pub const MODULE: &str = "module";
pub const ATTACHED: &str = "attached";
pub const HOST: &str = "host";
/// A module calls another one: by tasks, or by futures within its handler.
pub const ROUTED: [&str; 2] = ["routed", "routed-inside"];
pub const NATS: &str = "nats";
pub const TONIC: &str = "tonic";
/// The peers that speak JSON, and have a client of their own.
pub const JSON_PEERS: [&str; 4] = ["tarpc", "varlink", "zlink", "rmcp"];

const fn contestant(id: &'static str, name: &'static str, kind: Kind) -> Contestant {
    Contestant { id, name, kind }
}

pub const CONTESTANTS: &[Contestant] = &[
    contestant(RAW, "A: raw echo of the same bytes", Kind::Raw(Framing::Line)),
    contestant(MODULE, "module, lines", Kind::Module(Framing::Line)),
    contestant(RAW_ATTACHED, "A of the attached", Kind::Raw(Framing::Length)),
    contestant(ATTACHED, "module, attached", Kind::Module(Framing::Length)),
    contestant("python", "Python, a plain loop", Kind::Python),
    contestant("node", "Node.js, a plain loop", Kind::Node),
    contestant(HOST, "host → module", Kind::Host(Caller::Host, Callers::Tasks)),
    contestant(ROUTED[0], "module → host → module", Kind::Host(Caller::Pair(0), Callers::Tasks)),
    contestant(ROUTED[1], "the same, inside the handler", Kind::Host(Caller::Pair(0), Callers::Futures)),
    contestant(NATS, "NATS, requester → server → responder", Kind::Peer),
    contestant("tarpc", "tarpc, JSON", Kind::Peer),
    contestant("varlink", "varlink", Kind::Peer),
    contestant("zlink", "zlink", Kind::Peer),
    contestant("rmcp", "rmcp", Kind::Peer),
    contestant(TONIC, "tonic, raw bytes", Kind::Peer),
    contestant("lambda", "lambda_runtime, one at a time", Kind::Peer),
];

/// A contestant whose processes run.
pub enum Running {
    /// The lean client of this process calls it, with this frame.
    Callee { callee: Box<Callee>, frame: Vec<u8> },
    /// It makes calls. `host` says by whom and how, if it is a host.
    LoadGenerator { generator: LoadGenerator, payload: Payload, host: Option<(Caller, Callers)> },
}

impl Contestant {
    /// The short name of the raw echo that this contestant is compared with.
    pub fn limit(&self) -> &'static str {
        match self.kind {
            Kind::Raw(Framing::Length) | Kind::Module(Framing::Length) => RAW_ATTACHED,
            _ => RAW,
        }
    }

    /// Whether it is measured with this payload. Records are never attached.
    pub fn takes(&self, payload: Payload) -> bool {
        payload != Payload::Record || self.limit() == RAW
    }

    /// The program whose size the table has. `None` if it is an interpreter, or the program of another contestant.
    pub fn program(&self) -> Option<Result<PathBuf>> {
        match self.kind {
            Kind::Module(Framing::Line) => Some(program("echo")),
            Kind::Raw(Framing::Line) => Some(program("raw")),
            Kind::Host(Caller::Host, _) => Some(program("hosted")),
            Kind::Peer => Some(program(self.id)),
            _ => None,
        }
    }

    /// Starts its processes, and waits until they answer.
    pub fn start(&self, payload: Payload) -> Result<Running> {
        let (command, framing) = match self.kind {
            Kind::Host(caller, callers) => {
                let generator = ixt_bench_host::start(2)?;
                return Ok(Running::LoadGenerator { generator, payload, host: Some((caller, callers)) });
            }
            Kind::Peer => {
                let generator = LoadGenerator::start(Command::new(program(self.id)?))?;
                return Ok(Running::LoadGenerator { generator, payload, host: None });
            }
            Kind::Raw(framing) => (Command::new(program("raw")?), framing),
            Kind::Module(framing) if payload == Payload::Record => (Command::new(program("module")?), framing),
            Kind::Module(framing) => (Command::new(program("echo")?), framing),
            Kind::Python => (script(&PYTHON, "echo.py"), Framing::Line),
            Kind::Node => (script(&NODE, "echo.mjs"), Framing::Line),
        };
        let frame = match payload {
            Payload::Bytes(bytes) => framing.handle("my.service.process", &vec![b'x'; bytes]),
            Payload::Record => framing.handle("record", &serde_json::to_vec(&Record::example())?),
        };
        Ok(Running::Callee { callee: Box::new(Callee::start_command(command, framing)?), frame })
    }
}

/// The interpreters themselves, and not the script by which a version manager starts them, which would add to the time of a start.
static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| interpreter("python3", "-c", "import sys; print(sys.executable)"));
static NODE: LazyLock<PathBuf> = LazyLock::new(|| interpreter("node", "-p", "process.execPath"));

fn interpreter(name: &str, option: &str, expression: &str) -> PathBuf {
    let output = Command::new(name).args([option, expression]).output();
    output.map_or_else(|_| name.into(), |output| String::from_utf8_lossy(&output.stdout).trim().into())
}

fn script(interpreter: &PathBuf, name: &str) -> Command {
    let mut command = Command::new(interpreter);
    command.arg(format!("{}/loops/{name}", env!("CARGO_MANIFEST_DIR")));
    command
}

impl Running {
    /// From the start of its process to the first reply: for a host, [`Ready::elapsed`](ixt_bench_wire::load::Ready::elapsed).
    pub fn startup(&self) -> Duration {
        match self {
            Self::Callee { callee, .. } => callee.startup,
            Self::LoadGenerator { generator, .. } => generator.ready.elapsed,
        }
    }

    /// The ID of the process that is called. Of a host, that of the second module.
    pub fn callee(&self) -> Result<u32> {
        match self {
            Self::Callee { callee, .. } => Ok(callee.id()),
            Self::LoadGenerator { generator, .. } => generator.ready.pids.last().copied().context("it has no callee"),
        }
    }

    /// The ID of the process that calls, if it is not this one. For `module → host → module` it is that of the host.
    pub fn caller(&self) -> Option<u32> {
        match self {
            Self::Callee { .. } => None,
            Self::LoadGenerator { generator, .. } => Some(generator.id()),
        }
    }

    /// Makes calls one after the other. Returns the 50th and the 99th percentile of their times.
    pub fn one_by_one(&mut self, calls: usize) -> Result<[Duration; 2]> {
        match self {
            Self::Callee { callee, frame } => {
                let trips = callee.round_trips(frame, calls)?;
                let at = |share| quantile(&trips, share).context("no calls");
                Ok([at(0.5)?, at(0.99)?])
            }
            Self::LoadGenerator { generator, payload, host } => {
                let timing = run(generator, *payload, *host, 1, calls)?;
                Ok([timing.p50, timing.p99])
            }
        }
    }

    /// Makes calls with `depth` in flight. Returns what one costs.
    pub fn in_flight(&mut self, depth: usize, calls: usize) -> Result<Cost> {
        match self {
            Self::Callee { callee, frame } => callee.throughput(frame, depth, calls),
            Self::LoadGenerator { generator, payload, host } => {
                generator.cost(|generator| run(generator, *payload, *host, depth, calls))
            }
        }
    }

    /// Ends its processes.
    pub fn end(self) -> Result<()> {
        match self {
            Self::Callee { callee, .. } => callee.end(),
            Self::LoadGenerator { generator, .. } => generator.end(),
        }
    }
}

fn run(
    generator: &mut LoadGenerator,
    payload: Payload,
    host: Option<(Caller, Callers)>,
    depth: usize,
    calls: usize,
) -> Result<Timing> {
    let topic = if payload == Payload::Record { "record" } else { "echo.n00" };
    let workload = Workload::new(topic, payload, depth, calls);
    match host {
        Some((caller, callers)) => ixt_bench_host::run(generator, caller, Workload { callers, ..workload }),
        None => generator.request(&workload),
    }
}
