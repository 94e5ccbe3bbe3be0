//! This build against another one of the same programs, such as that of an earlier commit: what a call costs.
//!
//! `builds DIR` starts `module`, `hosted` and `member` of this build, again as the control, and those in `DIR`. More arguments choose
//! workloads, such as `64x1`: payloads of 64 bytes, one call at once.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use ixt_bench::measure::{Times, in_turns};
use ixt_bench::process::program;
use ixt_bench_host::row::{Row, Sample};

const ROUNDS: usize = 31;
/// The sizes of payloads, in bytes, and how many calls are made at once.
const WORKLOADS: [(usize, usize); 8] =
    [(64, 1), (64, 64), (1 << 10, 1), (1 << 10, 64), (64 << 10, 1), (64 << 10, 16), (1 << 20, 1), (1 << 20, 4)];

fn main() -> Result<()> {
    const USAGE: &str = "usage: builds DIR [PAYLOADxDEPTH]... (DIR is the other build's target/release)";
    let mut args = std::env::args().skip(1);
    let dir: PathBuf = args.next().context(USAGE)?.into();
    let chosen = args.map(|workload| {
        let (payload, depth) = workload.split_once('x').context(USAGE)?;
        Ok((payload.parse().context(USAGE)?, depth.parse().context(USAGE)?))
    });
    let chosen = chosen.collect::<Result<Vec<_>>>()?;
    let workloads = if chosen.is_empty() { &WORKLOADS[..] } else { &chosen };
    println!(
        "| row | payload | at once | this build, µs | again (control) | other build/this | processor: other build/this |"
    );
    println!("|---|---:|---:|---:|---|---|---|");
    for row in Row::ALL {
        for &(bytes, depth) in workloads {
            let this = || row.start(row.command(program)?);
            let [mut this, mut again, mut other] =
                [this()?, this()?, row.start(row.command(|name| Ok(dir.join(name)))?)?];
            let calls = (40_000_000 / (bytes + 4000) / if depth == 1 { 4 } else { 1 }).max(40);
            let [this, again, other] = in_turns(
                ROUNDS,
                [&mut || this.sample(bytes, depth, calls), &mut || again.sample(bytes, depth, calls), &mut || {
                    other.sample(bytes, depth, calls)
                }],
            )?;
            let times = |samples: &[Sample]| samples.iter().map(|sample| sample.time).collect::<Times>();
            let processor = |samples: &[Sample]| samples.iter().map(|sample| sample.processor).collect::<Times>();
            let time = times(&this);
            println!(
                "| {row} | {bytes} | {depth} | {:.2} | {} | {} | {} |",
                time.median_micros(),
                times(&again).ratio(&time),
                times(&other).ratio(&time),
                processor(&other).ratio(&processor(&this)),
            );
        }
    }
    Ok(())
}
