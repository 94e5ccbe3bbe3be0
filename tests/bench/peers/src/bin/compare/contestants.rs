//! Who is measured, and how each is started.

use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ixt_bench_host::Told;
use ixt_bench_wire::drive::{Drive, Driven, Driver, Payload, Record};
use ixt_bench_wire::{Cost, Framing, Peer, processor_time, program};

pub struct Contestant {
    /// For the command line.
    pub id: &'static str,
    pub name: &'static str,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A process that the lean client calls in this framing.
    Module(Framing),
    /// The same with a raw echo, which gets the same bytes.
    Raw(Framing),
    Python,
    Node,
    /// A host, which calls a module, or lets one call another.
    Host {
        routed: bool,
    },
    /// One with a client of its own.
    Peer,
}

pub const RAW: &str = "raw";
pub const RAW_ATTACHED: &str = "raw-attached";
pub const MODULE: &str = "module";
pub const ATTACHED: &str = "attached";
pub const HOST: &str = "host";
const ROUTED: &str = "routed";
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
    contestant(HOST, "host → module", Kind::Host { routed: false }),
    contestant(ROUTED, "module → host → module", Kind::Host { routed: true }),
    contestant("tarpc", "tarpc, JSON", Kind::Peer),
    contestant("varlink", "varlink", Kind::Peer),
    contestant("zlink", "zlink", Kind::Peer),
    contestant("rmcp", "rmcp", Kind::Peer),
    contestant(TONIC, "tonic, raw bytes", Kind::Peer),
    contestant("lambda", "lambda_runtime, one at a time", Kind::Peer),
];

/// A contestant whose processes run.
pub enum Running {
    Called { peer: Box<Peer>, frame: Vec<u8> },
    Driving { driver: Driver, payload: Payload, host: Option<Option<usize>> },
}

impl Contestant {
    /// The one whose bytes are the same, and which is the limit for this one.
    pub fn limit(&self) -> &'static str {
        match self.kind {
            Kind::Raw(Framing::Length) | Kind::Module(Framing::Length) => RAW_ATTACHED,
            _ => RAW,
        }
    }

    /// Whether it has anything to do with such a payload: records are not attached.
    pub fn takes(&self, payload: Payload) -> bool {
        payload != Payload::Record || self.limit() == RAW
    }

    /// The program whose size is told.
    pub fn program(&self) -> Option<Result<PathBuf>> {
        match self.kind {
            Kind::Module(Framing::Line) => Some(program("echo")),
            Kind::Raw(Framing::Line) => Some(program("raw")),
            Kind::Host { routed: false } => Some(program("hosted")),
            Kind::Peer => Some(program(self.id)),
            _ => None,
        }
    }

    /// Starts its processes, and waits until they answer.
    pub fn start(&self, payload: Payload) -> Result<Running> {
        let (command, framing) = match self.kind {
            Kind::Host { routed } => {
                let driver = ixt_bench_host::start(2)?;
                return Ok(Running::Driving { driver, payload, host: Some(routed.then_some(0)) });
            }
            Kind::Peer => {
                let driver = Driver::start(Command::new(program(self.id)?))?;
                return Ok(Running::Driving { driver, payload, host: None });
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
        Ok(Running::Called { peer: Box::new(Peer::start_by(command, framing)?), frame })
    }
}

/// The interpreters themselves, and not what a version manager has put before them.
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
    /// From the start of its process to the first reply.
    pub fn started(&self) -> Duration {
        match self {
            Self::Called { peer, .. } => peer.started,
            Self::Driving { driver, .. } => Duration::from_secs_f64(driver.ready.seconds),
        }
    }

    /// The process that is called. Where a host has two modules, the one that another one calls.
    pub fn called(&self) -> Result<u32> {
        match self {
            Self::Called { peer, .. } => Ok(peer.id()),
            Self::Driving { driver, .. } => driver.ready.pids.last().copied().context("there is one"),
        }
    }

    /// The process that calls, if it is not this one.
    pub fn calling(&self) -> Option<u32> {
        match self {
            Self::Called { .. } => None,
            Self::Driving { driver, .. } => Some(driver.id()),
        }
    }

    /// The middle one of so many calls one after the other, and the one that takes longer than 99 % of them.
    pub fn one_by_one(&mut self, calls: usize) -> Result<[Duration; 2]> {
        match self {
            Self::Called { peer, frame } => {
                let trips = peer.round_trips(frame, calls)?;
                Ok([50, 99].map(|hundredths| trips[trips.len() * hundredths / 100]))
            }
            Self::Driving { .. } => {
                let driven = self.drive(1, calls)?;
                Ok([driven.p50, driven.p99].map(Duration::from_secs_f64))
            }
        }
    }

    /// What a call costs while there are so many on their way.
    pub fn many(&mut self, depth: usize, calls: usize) -> Result<Cost> {
        match self {
            Self::Called { peer, frame } => peer.throughput(frame, depth, calls),
            Self::Driving { driver, .. } => {
                let calling = driver.id();
                let before = [driver.processor_time_of_called()?, processor_time(calling)?];
                let driven = self.drive(depth, calls)?;
                let Self::Driving { driver, .. } = self else { unreachable!("it is the same") };
                let after = [driver.processor_time_of_called()?, processor_time(calling)?];
                let per = |time: Duration| time.div_f64(calls as f64);
                Ok(Cost {
                    each: per(Duration::from_secs_f64(driven.seconds)),
                    peer: per(after[0] - before[0]),
                    client: per(after[1] - before[1]),
                })
            }
        }
    }

    /// Ends its processes.
    pub fn end(self) -> Result<()> {
        match self {
            Self::Called { peer, .. } => peer.end(),
            Self::Driving { driver, .. } => driver.end(),
        }
    }

    fn drive(&mut self, depth: usize, calls: usize) -> Result<Driven> {
        let Self::Driving { driver, payload, host } = self else { unreachable!("it drives itself") };
        let topic = if *payload == Payload::Record { "record" } else { "echo.n00" };
        let drive = Drive { topic: topic.to_owned(), payload: *payload, depth, calls };
        match host {
            Some(pair) => {
                let told: Vec<Told> = vec![(*pair, drive)];
                let driven: Vec<Driven> = driver.ask(&told)?;
                driven.into_iter().next().context("it tells nothing")
            }
            None => driver.ask(&drive),
        }
    }
}
