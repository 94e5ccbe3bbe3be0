//! Round trips and throughput of a module against a raw echo of the same bytes, in turns.

use std::time::Duration;

use anyhow::Result;
use ixt_bench::measure::{Times, in_turns};
use ixt_bench_wire::{Peer, frame, program};

const ROUNDS: usize = 11;
const DEPTH: usize = 64;

fn main() -> Result<()> {
    println!(
        "| payload | service | raw p50, µs | module p50, µs | p50/raw | raw, 1/s | module, 1/s | raw rate/module rate |"
    );
    println!("|---:|---|---:|---:|---|---:|---:|---|");
    for bytes in [64, 1 << 10, 64 << 10, 1 << 20] {
        for topic in ["echo", "later"] {
            let (mut module, mut raw) = (Peer::start(&program("module")?)?, Peer::start(&program("raw")?)?);
            let frame = frame(topic, bytes);
            let trips = (8_000_000 / (bytes + 4000)).clamp(20, 2000);
            let many = (120_000_000 / (bytes + 4000)).clamp(128, 30_000);
            module.round_trips(&frame, trips / 10)?;
            raw.round_trips(&frame, trips / 10)?;
            let one = |peer: &mut Peer| -> Result<Duration> { Ok(peer.round_trips(&frame, trips)?[trips / 2]) };
            let [module_trip, raw_trip] = in_turns(ROUNDS, [&mut || one(&mut module), &mut || one(&mut raw)])?;
            let one = |peer: &mut Peer| -> Result<Duration> { Ok(peer.throughput(&frame, DEPTH, many)?.each) };
            let [module_rate, raw_rate] = in_turns(ROUNDS, [&mut || one(&mut module), &mut || one(&mut raw)])?;
            let rate = |times: &Times| 1e3 / times.median();
            println!(
                "| {bytes} | {topic} | {:.1} | {:.1} | {} | {:.0} | {:.0} | {} |",
                raw_trip.median() * 1e3,
                module_trip.median() * 1e3,
                module_trip.ratio(&raw_trip),
                rate(&raw_rate),
                rate(&module_rate),
                module_rate.ratio(&raw_rate),
            );
        }
    }
    Ok(())
}
