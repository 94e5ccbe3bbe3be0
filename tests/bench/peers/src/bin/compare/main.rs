//! Compares the raw echo, this project and its peers in one run. Prints tables in Markdown, and writes them to `RESULTS.md` together with a
//! description of the machine.

mod contestants;
mod goals;
mod machine;
mod rounds;
mod start;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use ixt_bench::process::{Process, program};
use ixt_bench_wire::affinity::Processors;
use ixt_bench_wire::load::Payload;

use crate::contestants::{CONTESTANTS, Contestant};
use crate::rounds::{DEPTHS, Results};

/// Compares this project with its peers. Without options it measures everything, which takes about ten minutes, and writes RESULTS.md.
/// With a selection it only prints the tables, unless --to is given.
#[derive(Parser)]
struct Options {
    /// The number of rounds. Starts have at least 5.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Measure only these contestants, by their short names. The raw echoes are always measured.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Measure only these payloads: 64, 1024, 65536, 1048576, record.
    #[arg(long, value_delimiter = ',')]
    payloads: Vec<String>,
    /// Measure only these parts: pinned, unpinned, start, kv.
    #[arg(long, value_delimiter = ',')]
    parts: Vec<Part>,
    /// The file to write the tables to.
    #[arg(long)]
    to: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
enum Part {
    /// Calls, all processes on one processor.
    Pinned,
    /// Calls, on all processors.
    Unpinned,
    /// From the start of a process to its first reply, its memory, its size.
    Start,
    /// The store of keys and values.
    Kv,
}

/// How long the benchmark of the store may take.
const KV_TIMEOUT: Duration = Duration::from_secs(300);
const PARTS: [Part; 4] = [Part::Pinned, Part::Unpinned, Part::Start, Part::Kv];
const PAYLOADS: [Payload; 5] =
    [Payload::Bytes(64), Payload::Bytes(1 << 10), Payload::Bytes(64 << 10), Payload::Bytes(1 << 20), Payload::Record];

fn main() -> Result<()> {
    let options = Options::parse();
    build()?;
    let contestants = chosen(
        CONTESTANTS.iter(),
        &options.only,
        |contestant| contestant.id.to_owned(),
        |contestant| contestant.id.starts_with("raw"),
    )?;
    let name = |payload: &Payload| match payload {
        Payload::Bytes(bytes) => bytes.to_string(),
        Payload::Record => "record".to_owned(),
    };
    let payloads = chosen(PAYLOADS.into_iter(), &options.payloads, name, |_| false)?;
    let parts = PARTS.into_iter().filter(|part| options.parts.is_empty() || options.parts.contains(part));
    let processors = Processors::new()?;
    let mut report = machine::description(options.rounds)?;
    let mut results = Results::default();
    for part in parts {
        let section = match part {
            Part::Pinned | Part::Unpinned => {
                if part == Part::Pinned {
                    processors.pin()?
                } else {
                    processors.unpin()?
                }
                calls(part, &mut results, &contestants, &payloads, options.rounds)?
            }
            Part::Start => {
                processors.unpin()?;
                start::section(&contestants, options.rounds.max(5))?
            }
            Part::Kv => {
                processors.unpin()?;
                kv()?
            }
        };
        println!("{section}");
        report += &section;
    }
    let goals = goals::section(&results);
    println!("{goals}");
    report += &goals;
    let everything = options.only.is_empty() && options.payloads.is_empty() && options.parts.is_empty();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../RESULTS.md");
    if let Some(path) = options.to.or(everything.then_some(path)) {
        std::fs::write(path, report)?;
    }
    Ok(())
}

/// Builds all programs that are measured, if `cargo run` has started this one: it has built only this one.
fn build() -> Result<()> {
    let Some(cargo) = std::env::var_os("CARGO") else { return Ok(()) };
    ensure!(!cfg!(debug_assertions), "measure a release build: cargo run --release");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--bins", "--manifest-path"]).arg(manifest);
    command.args(["-p", "ixt-bench-wire", "-p", "ixt-bench-host", "-p", "ixt-bench-peers", "-p", "ixt-bench-kv"]);
    ensure!(command.status()?.success(), "{command:?} failed");
    Ok(())
}

/// Those whose name is in `names`, and those that are always measured; or all, if there are no names. Fails if a name is unknown.
fn chosen<T>(
    all: impl Iterator<Item = T>,
    names: &[String],
    name: impl Fn(&T) -> String,
    always: impl Fn(&T) -> bool,
) -> Result<Vec<T>> {
    let all: Vec<T> = all.collect();
    if let Some(unknown) = names.iter().find(|wanted| all.iter().all(|one| name(one) != **wanted)) {
        let known: Vec<_> = all.iter().map(&name).collect();
        anyhow::bail!("there is no `{unknown}`, but {}", known.join(", "));
    }
    Ok(all.into_iter().filter(|one| names.is_empty() || always(one) || names.contains(&name(one))).collect())
}

/// The tables of calls, one for each payload.
fn calls(
    part: Part,
    results: &mut Results,
    contestants: &[&'static Contestant],
    payloads: &[Payload],
    rounds: usize,
) -> Result<String> {
    let mut text = match part {
        Part::Pinned => "## Calls, all processes on one processor\n\n".to_owned(),
        _ => "## Calls, on all processors\n\n".to_owned(),
    };
    for payload in payloads {
        eprintln!("{} {}", text.lines().next().unwrap_or_default(), machine::payload(*payload));
        let failed = results.measure(part, *payload, contestants, rounds);
        writeln!(text, "### {}\n", machine::payload(*payload))?;
        write!(text, "| | p50, µs | p99, µs | p50/A |")?;
        for depth in DEPTHS {
            write!(text, " {depth} at once, 1/s | rate/A |")?;
        }
        writeln!(text, " CPU called, µs | CPU calling, µs |\n|---|---:|---:|---|{}---:|---:|", "---:|---|".repeat(2))?;
        for contestant in contestants {
            text += &results.row(part, *payload, contestant);
        }
        text.push('\n');
        for (name, error) in failed {
            writeln!(text, "{name} failed: {error:#}\n")?;
        }
    }
    Ok(text)
}

/// Runs the benchmark of the store, and returns its section of the report.
fn kv() -> Result<String> {
    let output = tempfile::NamedTempFile::new()?;
    Process::start(Command::new(program("ixt-bench-kv")?).stdout(output.reopen()?))?.wait_for(KV_TIMEOUT)?;
    let table = std::fs::read_to_string(output.path())?;
    Ok(format!("## Keys and values\n\n{table}\n"))
}
