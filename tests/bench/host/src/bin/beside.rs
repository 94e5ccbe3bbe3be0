//! How long small calls take beside large ones: a module calls another one with 64 bytes, one call after the other, while another pair of
//! modules of the same host exchanges 64 KiB once a millisecond.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use ixt_bench::measure::{Times, in_turns};
use ixt_bench_host::{Assignment, Caller, start};
use ixt_bench_wire::load::{Payload, Timing, Workload};

const ROUNDS: usize = 21;
/// Small calls in a round: 20 of them are beyond the 99.9th percentile.
const CALLS: usize = 20_000;
/// Large calls in a round. More than there is time for while the small ones are made.
const LARGE_CALLS: usize = 2_000;
const LARGE_EVERY: Duration = Duration::from_millis(1);

fn main() -> Result<()> {
    let host = std::cell::RefCell::new(start(4)?);
    let small =
        || Assignment { caller: Caller::Pair(0), workload: Workload::new("echo.n00", Payload::Bytes(64), 1, CALLS) };
    let large = || Assignment {
        caller: Caller::Pair(1),
        workload: Workload {
            every: Some(LARGE_EVERY),
            ..Workload::new("echo.n01", Payload::Bytes(64 << 10), 1, LARGE_CALLS)
        },
    };
    let mut alone = || -> Result<Timing> {
        let timings: Vec<Timing> = host.borrow_mut().request(&[small()])?;
        timings.into_iter().next().context("the host returned no timing")
    };
    let mut beside = || -> Result<Timing> {
        let [small, large]: [Timing; 2] = host.borrow_mut().request(&[small(), large()])?;
        ensure!(small.elapsed < large.elapsed, "the large calls have ended before the small ones");
        Ok(small)
    };
    let [alone, beside] = in_turns(ROUNDS, [&mut alone, &mut beside])?;
    println!("| 64 B, one at a time | p50, µs | p99, µs | p99.9, µs | p99.9/alone |\n|---|---:|---:|---:|---|");
    let times = |timings: &[Timing], of: fn(&Timing) -> Duration| timings.iter().map(of).collect::<Times>();
    let baseline = times(&alone, |timing| timing.p999);
    for (name, timings) in [("alone", &alone), ("beside 64 KiB each millisecond", &beside)] {
        let p999 = times(timings, |timing| timing.p999);
        println!(
            "| {name} | {:.1} | {:.1} | {:.1} | {} |",
            times(timings, |timing| timing.p50).median_micros(),
            times(timings, |timing| timing.p99).median_micros(),
            p999.median_micros(),
            p999.ratio(&baseline),
        );
    }
    Ok(())
}
