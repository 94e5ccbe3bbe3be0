//! Compares the quick readers of frames with serde, on the same codec: single reads by `readers reads`, and whole calls by
//! `readers rows LIST…`, where each LIST names types of frames that are read by serde, separated by commas. A process reads the types
//! that the variable `IXT_BENCH_SERDE` lists by serde.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ixt_bench::measure::{Times, in_turns};
use ixt_bench_wire::drive::{Drive, Driven, Driver, Payload};
use ixt_bench_wire::frame::frame;
use ixt_bench_wire::{Framing, Peer, processor_time, program};
use ixt_protocol::{HostFrame, ModuleFrame};

/// The frames that have a quick reader: the type, and an example in which `*` stands for the base64 of the payload.
const READS: &[(&str, &str)] = &[
    (
        "handle",
        r#"{"type":"handle","id":200000,"message":{"topic":"echo","payload":"*","priority":2,"ttl_ms":5000},"context":{"trace_id":"0123456789abcdef0123456789abcdef","source_module":"caller:1.0.0","timestamp":1234567890}}"#,
    ),
    ("success", r#"{"type":"success","id":200000,"data":{"result":"*"}}"#),
    (
        "service_request",
        r#"{"type":"service_request","id":200000,"service":"message_bus","method":"send","params":{"payload":"*","topic":"echo"},"context":{"trace_id":"0123456789abcdef0123456789abcdef","parent":200000}}"#,
    ),
];

const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];
const ROUNDS: usize = 41;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // Run by `reads`: the variable is one of a process.
        ["read", name, bytes, times] => read(name, bytes.parse()?, times.parse()?),
        ["reads"] => reads(),
        ["rows", ref off @ ..] if !off.is_empty() => rows(off),
        _ => bail!("expected `reads`, or `rows` and lists of what is read by serde"),
    }
}

/// Reads a frame `times` times, and prints how many nanoseconds one read took.
fn read(name: &str, bytes: usize, times: u32) -> Result<()> {
    let (_, text) = READS.iter().find(|(known, _)| *known == name).context("no such frame")?;
    let text = text.replace('*', &ixt_sdk::encode_payload(vec![b'x'; bytes]));
    let start = Instant::now();
    for _ in 0..times {
        let text = std::hint::black_box(text.as_str());
        let found = match name {
            "handle" => HostFrame::read(text.as_bytes())?.id.is_some(),
            _ => ModuleFrame::read(text.as_bytes())?.id.is_some(),
        };
        ensure!(found, "it was not read");
    }
    println!("{}", start.elapsed().as_nanos() / u128::from(times));
    Ok(())
}

/// The time of one read, in a process that reads the types in `off` by serde.
fn one_read(name: &str, bytes: usize, off: &str) -> Result<Duration> {
    let times = (100_000_000 / (bytes + 2000)).to_string();
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.env("IXT_BENCH_SERDE", off).args(["read", name, &bytes.to_string(), &times]).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Duration::from_nanos(String::from_utf8(output.stdout)?.trim().parse()?))
}

/// The instructions of one read, as callgrind counts them, in a process that reads the types in `off` by serde.
fn instructions(name: &str, bytes: usize, off: &str) -> Result<i64> {
    let count = |times: i64| -> Result<i64> {
        let report = tempfile::NamedTempFile::new()?;
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg(format!("--log-file={}", report.path().display())).arg(std::env::current_exe()?);
        command.args(["read", name, &bytes.to_string(), &times.to_string()]).env("IXT_BENCH_SERDE", off);
        ensure!(command.output().context("valgrind is needed")?.status.success(), "callgrind has failed");
        let report = std::fs::read_to_string(report.path())?;
        let line =
            report.lines().find_map(|line| line.split_once("Collected : ")).context("valgrind tells no figure")?;
        Ok(line.1.trim().parse()?)
    };
    Ok((count(110)? - count(10)?) / 100)
}

fn reads() -> Result<()> {
    println!("| read | payload | quick, ns | serde, ns | serde/quick | quick, instructions | serde, instructions |");
    println!("|---|---:|---:|---:|---|---:|---:|");
    for (name, _) in READS {
        for bytes in SIZES {
            let [quick, serde] =
                in_turns(ROUNDS / 2, [&mut || one_read(name, bytes, ""), &mut || one_read(name, bytes, name)])?;
            println!(
                "| {name} | {bytes} | {:.0} | {:.0} | {} | {} | {} |",
                quick.median() * 1e6,
                serde.median() * 1e6,
                serde.ratio(&quick),
                instructions(name, bytes, "")?,
                instructions(name, bytes, name)?,
            );
        }
    }
    Ok(())
}

/// Who calls whom.
#[derive(Clone, Copy, PartialEq)]
enum Row {
    Lean,
    Host,
    Routed,
}

/// The processes of a row.
enum Contestant {
    Module(Peer),
    Host(Driver),
}

/// What a call took: time, and processor time of the host and the modules.
struct Sample {
    time: Duration,
    processor: Duration,
}

impl Contestant {
    fn start(row: Row, off: &str) -> Result<Self> {
        if row == Row::Lean {
            let mut command = Command::new(program("module")?);
            command.env("IXT_BENCH_SERDE", off);
            return Ok(Self::Module(Peer::start_by(command, Framing::Line)?));
        }
        let mut command = Command::new(program("hosted")?);
        command.arg("2").arg(program("member")?).env("IXT_BENCH_SERDE", off);
        Ok(Self::Host(Driver::start(command)?))
    }

    fn processor(&self) -> Result<Duration> {
        match self {
            Self::Module(peer) => processor_time(peer.id()),
            Self::Host(host) => Ok(processor_time(host.id())? + host.processor_time_of_called()?),
        }
    }

    fn sample(&mut self, row: Row, bytes: usize, depth: usize, calls: usize) -> Result<Sample> {
        let (before, start) = (self.processor()?, Instant::now());
        match self {
            Self::Module(peer) => drop(peer.throughput(&frame("echo", bytes), depth, calls)?),
            Self::Host(host) => {
                let drive = Drive { topic: "echo.n00".to_owned(), payload: Payload::Bytes(bytes), depth, calls };
                let _: Vec<Driven> = host.ask(&[((row == Row::Routed).then_some(0_usize), drive)])?;
            }
        }
        let per = |time: Duration| time.div_f64(calls as f64);
        Ok(Sample { time: per(start.elapsed()), processor: per(self.processor()? - before) })
    }
}

fn rows(off: &[&str]) -> Result<()> {
    println!(
        "| row | payload | at once | read by serde | time, µs | time/all quick | processor, µs | processor/all quick |"
    );
    println!("|---|---:|---:|---|---:|---|---:|---|");
    for (row, label) in
        [(Row::Lean, "lean client → module"), (Row::Host, "host → module"), (Row::Routed, "module → host → module")]
    {
        for (bytes, depth) in [(64, 64), (64, 1), (1 << 10, 64), (64 << 10, 16)] {
            let mut all = Vec::new();
            for off in ["", "none"].iter().chain(off) {
                all.push((off, Contestant::start(row, off)?, Vec::new()));
            }
            let calls = (40_000_000 / (bytes + 4000) / if depth == 1 { 4 } else { 1 }).max(64);
            for round in 0..=ROUNDS {
                let first = round % all.len();
                all.rotate_left(first);
                for (_, contestant, samples) in &mut all {
                    let sample = contestant.sample(row, bytes, depth, calls)?;
                    if round > 0 {
                        samples.push(sample);
                    }
                }
                all.rotate_right(first);
            }
            let times = |samples: &[Sample], of: fn(&Sample) -> Duration| samples.iter().map(of).collect::<Times>();
            let (_, _, quick) = &all[0];
            let (quick_time, quick_processor) = (times(quick, |s| s.time), times(quick, |s| s.processor));
            for (off, _, samples) in &all {
                let (time, processor) = (times(samples, |s| s.time), times(samples, |s| s.processor));
                println!(
                    "| {label} | {bytes} | {depth} | {off} | {:.2} | {} | {:.2} | {} |",
                    time.median() * 1e3,
                    time.ratio(&quick_time),
                    processor.median() * 1e3,
                    processor.ratio(&quick_processor),
                );
            }
        }
    }
    Ok(())
}
