//! This build against another one of the same programs, such as that of an earlier commit: what a call costs.
//!
//! `builds DIR` starts `module`, `hosted` and `member` of this build, again as the control, and those in `DIR`.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use ixt_bench::measure::{Times, in_turns};
use ixt_bench::process::program;
use ixt_bench_host::row::{Row, Sample};

const ROUNDS: usize = 31;

fn main() -> Result<()> {
    let dir: PathBuf = std::env::args().nth(1).context("usage: builds DIR (the other build's target/release)")?.into();
    println!(
        "| row | payload | at once | this build, µs | again (control) | other build/this | processor: other build/this |"
    );
    println!("|---|---:|---:|---:|---|---|---|");
    for row in Row::ALL {
        for (bytes, depth) in
            [(64, 1), (64, 64), (1 << 10, 1), (1 << 10, 64), (64 << 10, 1), (64 << 10, 16), (1 << 20, 1), (1 << 20, 4)]
        {
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
