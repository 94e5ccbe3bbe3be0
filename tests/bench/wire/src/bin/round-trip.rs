//! Round trips and throughput of a module against the raw echo of the same bytes.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ixt_bench::measure::{Times, quantile, times_in_turns};
use ixt_bench_wire::{Callee, frame};

const ROUNDS: usize = 11;
const DEPTH: usize = 64;

fn main() -> Result<()> {
    println!(
        "| payload | service | raw p50, µs | module p50, µs | p50/raw | raw, 1/s | module, 1/s | raw rate/module rate |"
    );
    println!("|---:|---|---:|---:|---|---:|---:|---|");
    for bytes in [64, 1 << 10, 64 << 10, 1 << 20] {
        for topic in ["echo", "later"] {
            let (mut module, mut raw) = (Callee::start("module")?, Callee::start("raw")?);
            let frame = frame(topic, bytes);
            let trips = (8_000_000 / (bytes + 4000)).clamp(20, 2000);
            let calls = (120_000_000 / (bytes + 4000)).clamp(128, 30_000);
            let p50 = |callee: &mut Callee| -> Result<Duration> {
                quantile(&callee.round_trips(&frame, trips)?, 0.5).context("no round trips")
            };
            let [module_trip, raw_trip] = times_in_turns(ROUNDS, [&mut || p50(&mut module), &mut || p50(&mut raw)])?;
            let time = |callee: &mut Callee| -> Result<Duration> { Ok(callee.throughput(&frame, DEPTH, calls)?.time) };
            let [module_time, raw_time] = times_in_turns(ROUNDS, [&mut || time(&mut module), &mut || time(&mut raw)])?;
            let rate = |times: &Times| 1e3 / times.median();
            println!(
                "| {bytes} | {topic} | {:.1} | {:.1} | {} | {:.0} | {:.0} | {} |",
                raw_trip.median_micros(),
                module_trip.median_micros(),
                module_trip.ratio(&raw_trip),
                rate(&raw_time),
                rate(&module_time),
                module_time.ratio(&raw_time),
            );
        }
    }
    Ok(())
}
