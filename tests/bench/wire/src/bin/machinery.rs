//! What the SDK does by hand against the plain way to do it, in the same module: the time of a call, and how long a health check waits
//! beside a handler that computes without awaiting.

use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use ixt_bench::measure::{Times, in_turns, times_in_turns};
use ixt_bench::process::program;
use ixt_bench_wire::health::{HealthProbe, row};
use ixt_bench_wire::{Callee, Framing, frame};

const ROUNDS: usize = 41;
const HEALTH_CHECKS: usize = 100;
/// Values of `IXT_BENCH_PLAIN`, which the feature `compare-machinery` of `ixt-sdk` reads: what the module does in the plain way.
const BY_HAND: &str = "";
const PLAIN_TASKS: &str = "tasks";
const FRESH_BUFFERS: &str = "buffers";

fn module(plain: &str) -> Result<Command> {
    let mut command = Command::new(program("module")?);
    command.env("IXT_BENCH_PLAIN", plain);
    Ok(command)
}

fn main() -> Result<()> {
    println!("| payload | at once | time of a call, by hand, µs | again (control) | plain tasks | fresh buffers |");
    println!("|---:|---:|---:|---|---|---|");
    for (bytes, depth) in
        [(64, 1), (64, 64), (1 << 10, 1), (1 << 10, 64), (64 << 10, 1), (64 << 10, 16), (1 << 20, 1), (1 << 20, 4)]
    {
        let frame = frame("echo", bytes);
        let calls = (24_000_000 / (bytes + 4000)).clamp(40, 6_000);
        let start = |plain| Callee::start_command(module(plain)?, Framing::Line);
        let [mut by_hand, mut again, mut tasks, mut buffers] =
            [start(BY_HAND)?, start(BY_HAND)?, start(PLAIN_TASKS)?, start(FRESH_BUFFERS)?];
        let time = |callee: &mut Callee| -> Result<Duration> { Ok(callee.throughput(&frame, depth, calls)?.time) };
        let [by_hand, again, tasks, buffers] = times_in_turns(
            ROUNDS,
            [&mut || time(&mut by_hand), &mut || time(&mut again), &mut || time(&mut tasks), &mut || {
                time(&mut buffers)
            }],
        )?;
        let ratio = |times: &Times| times.ratio(&by_hand);
        println!(
            "| {bytes} | {depth} | {:.1} | {} | {} | {} |",
            by_hand.median_micros(),
            ratio(&again),
            ratio(&tasks),
            ratio(&buffers)
        );
    }
    println!("\n| beside one handler that computes for 100 ms, a health check takes | p50, ms | p99, ms | max, ms |");
    println!("|---|---:|---:|---:|");
    let [mut by_hand, mut tasks] = [HealthProbe::start(module(BY_HAND)?)?, HealthProbe::start(module(PLAIN_TASKS)?)?];
    let [by_hand, tasks] = in_turns(HEALTH_CHECKS, [&mut || delay(&mut by_hand), &mut || delay(&mut tasks)])?;
    println!("| by hand | {} |", row(by_hand)?);
    println!("| plain tasks | {} |", row(tasks)?);
    Ok(())
}

/// The time of a health check that is sent 1 ms after a handler was called.
fn delay(probe: &mut HealthProbe) -> Result<Duration> {
    probe.compute(1)?;
    std::thread::sleep(Duration::from_millis(1));
    let delay = probe.check()?;
    probe.wait_for_handlers()?;
    Ok(delay)
}
