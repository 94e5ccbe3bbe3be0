//! The quick readers of frames against serde, on the same codec.
//!
//! - `readers reads` compares single reads.
//! - `readers rows LIST…` compares whole calls. Each LIST names types of frames, separated by commas, that are read by serde. The first
//!   contestant reads all types quickly, and so does the second, which is the control.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ixt_bench::callgrind::Callgrind;
use ixt_bench::measure::{Times, order, times_in_turns};
use ixt_bench::process::{Process, program};
use ixt_bench_host::row::{Row, Sample};
use ixt_protocol::{HostFrame, ModuleFrame};

/// The variable that lists the types of frames that a process reads by serde. The feature `compare-readers` of `ixt-protocol` reads it.
const BY_SERDE: &str = "IXT_BENCH_SERDE";
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
    ("service_response", r#"{"type":"service_response","id":200000,"success":true,"data":{"result":"*"}}"#),
];

const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];
const ROUNDS: usize = 41;
const ROUNDS_OF_READS: usize = 21;
const CALLGRIND_TIMEOUT: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        // `reads` runs this, because the variable is read once in a process.
        ["read", name, bytes, times] => read(name, bytes.parse()?, times.parse()?),
        ["reads"] => reads(),
        ["rows", ref by_serde @ ..] if !by_serde.is_empty() => rows(by_serde),
        _ => bail!(
            "usage: readers reads | readers rows LIST… (each LIST: types of frames to read by serde, separated by commas)"
        ),
    }
}

/// Reads a frame `times` times, and prints how many nanoseconds one read took.
fn read(name: &str, bytes: usize, times: u32) -> Result<()> {
    let (_, text) = READS.iter().find(|(known, _)| *known == name).context("there is no such frame")?;
    let text = text.replace('*', &ixt_sdk::encode_payload(vec![b'x'; bytes]));
    let start = Instant::now();
    for _ in 0..times {
        let text = std::hint::black_box(text.as_str());
        let found = match name {
            "handle" | "service_response" => HostFrame::read(text.as_bytes())?.id.is_some(),
            _ => ModuleFrame::read(text.as_bytes())?.id.is_some(),
        };
        ensure!(found, "it was not read");
    }
    println!("{}", start.elapsed().as_nanos() / u128::from(times));
    Ok(())
}

/// Makes a command run [`read`] in a process that reads the types in `by_serde` by serde.
fn to_read(mut command: Command, name: &str, bytes: usize, times: usize, by_serde: &str) -> Command {
    command.args(["read", name, &bytes.to_string(), &times.to_string()]).env(BY_SERDE, by_serde);
    command
}

/// The time of one read.
fn time_of_read(name: &str, bytes: usize, by_serde: &str) -> Result<Duration> {
    let times = 100_000_000 / (bytes + 2000);
    let mut command = to_read(Command::new(std::env::current_exe()?), name, bytes, times, by_serde);
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(Duration::from_nanos(String::from_utf8(output.stdout)?.trim().parse()?))
}

/// The instructions of one read.
fn instructions_of_read(name: &str, bytes: usize, by_serde: &str) -> Result<u64> {
    let count = |times| -> Result<u64> {
        let (callgrind, command) = Callgrind::new(&std::env::current_exe()?)?;
        let mut command = to_read(command, name, bytes, times, by_serde);
        Process::start(command.stdout(Stdio::null()))?.wait_for(CALLGRIND_TIMEOUT)?;
        callgrind.instructions()
    };
    Ok(count(110)?.saturating_sub(count(10)?) / 100)
}

fn reads() -> Result<()> {
    println!("| read | payload | quick, ns | serde, ns | serde/quick | quick, instructions | serde, instructions |");
    println!("|---|---:|---:|---:|---|---:|---:|");
    for (name, _) in READS {
        for bytes in SIZES {
            let [quick, serde] = times_in_turns(
                ROUNDS_OF_READS,
                [&mut || time_of_read(name, bytes, ""), &mut || time_of_read(name, bytes, name)],
            )?;
            println!(
                "| {name} | {bytes} | {:.0} | {:.0} | {} | {} | {} |",
                quick.median() * 1e6,
                serde.median() * 1e6,
                serde.ratio(&quick),
                instructions_of_read(name, bytes, "")?,
                instructions_of_read(name, bytes, name)?,
            );
        }
    }
    Ok(())
}

fn rows(by_serde: &[&str]) -> Result<()> {
    println!(
        "| row | payload | at once | read by serde | time, µs | time/all quick | processor, µs | processor/all quick |"
    );
    println!("|---|---:|---:|---|---:|---|---:|---|");
    for row in Row::ALL {
        for (bytes, depth) in [(64, 64), (64, 1), (1 << 10, 64), (64 << 10, 16)] {
            let mut all = Vec::new();
            for by_serde in ["", "none"].iter().chain(by_serde) {
                let mut command = row.command(program)?;
                command.env(BY_SERDE, by_serde);
                all.push((by_serde, row.start(command)?, Vec::new()));
            }
            let calls = (40_000_000 / (bytes + 4000) / if depth == 1 { 4 } else { 1 }).max(64);
            for (_, contestant, _) in &mut all {
                contestant.sample(bytes, depth, calls)?;
            }
            for round in 0..ROUNDS {
                for index in order(round, all.len()) {
                    let (_, contestant, samples) = &mut all[index];
                    samples.push(contestant.sample(bytes, depth, calls)?);
                }
            }
            let times = |samples: &[Sample], of: fn(&Sample) -> Duration| samples.iter().map(of).collect::<Times>();
            let (_, _, quick) = &all[0];
            let (quick_time, quick_processor) = (times(quick, |s| s.time), times(quick, |s| s.processor));
            for (by_serde, _, samples) in &all {
                let (time, processor) = (times(samples, |s| s.time), times(samples, |s| s.processor));
                println!(
                    "| {row} | {bytes} | {depth} | {by_serde} | {:.2} | {} | {:.2} | {} |",
                    time.median_micros(),
                    time.ratio(&quick_time),
                    processor.median_micros(),
                    processor.ratio(&quick_processor),
                );
            }
        }
    }
    Ok(())
}
