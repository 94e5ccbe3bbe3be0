//! A call between two modules through the host, against the same call between two clients of NATS through its server.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use clap::Parser;
use ixt_bench::measure::{Times, in_turns};
use ixt_bench::process::program;
use ixt_bench_host::Caller;
use ixt_bench_wire::affinity::Processors;
use ixt_bench_wire::load::{Callers, LoadGenerator, Payload, Timing, Workload};

/// Compares calls between two modules with those between two clients of NATS, as requests of tasks and of futures of one task.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// The sizes of payloads, in bytes.
    #[arg(long, value_delimiter = ',', default_values_t = [64, 1 << 10, 64 << 10])]
    payloads: Vec<usize>,
    /// How many calls are in flight at once.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 256])]
    depths: Vec<usize>,
    /// Let the processes use all processors, and not only one.
    #[arg(long)]
    unpinned: bool,
}

/// How long a contestant calls in a turn, about.
const TURN: Duration = Duration::from_millis(60);
/// What a host lets wait for a module, in bytes, at most: see the README.
const MAX_BYTES: usize = 8 << 20;

fn main() -> Result<()> {
    let options = Options::parse();
    if !options.unpinned {
        Processors::new()?.pin()?;
    }
    println!(
        "| payload | at once | callers | module → host → module, µs | NATS, µs | rate/NATS's | p50, µs | NATS, µs | p50/NATS's |"
    );
    println!("|---:|---:|---|---:|---:|---|---:|---:|---|");
    for &payload in &options.payloads {
        for &depth in &options.depths {
            if depth * payload > MAX_BYTES {
                eprintln!(
                    "{depth} of {payload} bytes are left out: a host lets at most {MAX_BYTES} bytes wait for a module"
                );
            } else {
                row(payload, depth, options.rounds)?;
            }
        }
    }
    Ok(())
}

fn row(payload: usize, depth: usize, rounds: usize) -> Result<()> {
    let mut modules = ixt_bench_host::start(2)?;
    let mut nats = LoadGenerator::start(Command::new(program("nats")?))?;
    for callers in [Callers::Tasks, Callers::Futures] {
        let workload = |calls| Workload { callers, ..Workload::new("echo.n00", Payload::Bytes(payload), depth, calls) };
        let few = 20 * depth;
        let by_modules =
            |modules: &mut LoadGenerator, calls| ixt_bench_host::run(modules, Caller::Pair(0), workload(calls));
        let by_nats = |nats: &mut LoadGenerator, calls| nats.request(&workload(calls));
        let calls = |timing: Timing| (TURN.div_duration_f64(timing.per_call()) as usize).max(few);
        let calls = [calls(by_modules(&mut modules, few)?), calls(by_nats(&mut nats, few)?)];
        let [ours, theirs] =
            in_turns(rounds, [&mut || by_modules(&mut modules, calls[0]), &mut || by_nats(&mut nats, calls[1])])?;
        let times =
            |of: fn(&Timing) -> Duration| [&ours, &theirs].map(|timings| timings.iter().map(of).collect::<Times>());
        let name = match callers {
            Callers::Tasks => "tasks",
            Callers::Futures => "futures",
        };
        let [our_time, their_time] = times(Timing::per_call);
        print!(
            "| {payload} | {depth} | {name} | {:.2} | {:.2} | {} |",
            our_time.median_micros(),
            their_time.median_micros(),
            their_time.ratio(&our_time)
        );
        if depth == 1 {
            let [ours, theirs] = times(|timing| timing.p50);
            println!(" {:.1} | {:.1} | {} |", ours.median_micros(), theirs.median_micros(), ours.ratio(&theirs));
        } else {
            println!(" | | |");
        }
    }
    nats.end()?;
    modules.end()
}
