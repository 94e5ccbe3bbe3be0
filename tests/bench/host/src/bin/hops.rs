//! A call from one module to another against its two hops alone: a module calls a service of the host itself, which replies at once, and
//! the host itself calls a module.

use std::time::Duration;

use anyhow::Result;
use ixt_bench::measure::{Times, in_turns};
use ixt_bench_host::{Caller, hosted, run};
use ixt_bench_wire::load::{LoadGenerator, Payload, Workload};

const ROUNDS: usize = 11;
const DEPTH: usize = 64;
const SIZES: [usize; 3] = [64, 1 << 10, 64 << 10];

fn main() -> Result<()> {
    println!(
        "| frames | payload | at once | routed, µs | module → host, µs | host → module, µs | routed/sum | host, µs |"
    );
    println!("|---|---:|---:|---:|---:|---:|---|---:|");
    for (frames, member) in [("length, Rust SDK", "member"), ("lines, std", "lines")] {
        let mut host = LoadGenerator::start(hosted(2, member)?)?;
        for bytes in SIZES {
            for depth in [1, DEPTH] {
                compare(&mut host, frames, bytes, depth)?;
            }
        }
        host.end()?;
    }
    Ok(())
}

/// The cost of a call in one round.
struct Sample {
    /// At a depth of 1 the median time of a call, otherwise the time from one reply to the next.
    time: Duration,
    /// Processor time of the host.
    host: Duration,
}

fn compare(host: &mut LoadGenerator, frames: &str, bytes: usize, depth: usize) -> Result<()> {
    let calls = if depth == 1 { 4_000_000 / (bytes + 2000) } else { 100_000_000 / (bytes + 6000) };
    let host = std::cell::RefCell::new(host);
    let sample = |caller, topic: &str| -> Result<Sample> {
        let workload = Workload::new(topic, Payload::Bytes(bytes), depth, calls);
        let mut p50 = Duration::ZERO;
        let cost = host.borrow_mut().cost(|host| {
            let timing = run(host, caller, workload)?;
            p50 = timing.p50;
            Ok(timing)
        })?;
        Ok(Sample { time: if depth == 1 { p50 } else { cost.time }, host: cost.caller })
    };
    let [routed, to_host, to_module] = in_turns(
        ROUNDS,
        [&mut || sample(Caller::Pair(0), "echo.n00"), &mut || sample(Caller::Pair(0), "here.echo"), &mut || {
            sample(Caller::Host, "echo.n00")
        }],
    )?;
    let sums: Times = to_host.iter().zip(&to_module).map(|(one, other)| one.time + other.time).collect();
    let times = |samples: &[Sample]| samples.iter().map(|sample| sample.time).collect::<Times>();
    println!(
        "| {frames} | {bytes} | {depth} | {:.1} | {:.1} | {:.1} | {} | {:.1} |",
        times(&routed).median_micros(),
        times(&to_host).median_micros(),
        times(&to_module).median_micros(),
        times(&routed).ratio(&sums),
        routed.iter().map(|sample| sample.host).collect::<Times>().median_micros(),
    );
    Ok(())
}
