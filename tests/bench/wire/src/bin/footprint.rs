//! What a module and the raw echo cost: the time from the start of the process to its first reply (of a module, to `init`), and resident
//! memory, idle and after many messages.

use std::time::Duration;

use anyhow::Result;
use ixt_bench::measure::times_in_turns;
use ixt_bench::process::memory;
use ixt_bench_wire::{Callee, frame};

const ROUNDS: usize = 41;
const DEPTH: usize = 64;

fn main() -> Result<()> {
    let startup = |name: &str| -> Result<Duration> {
        let callee = Callee::start(name)?;
        let startup = callee.startup;
        callee.end()?;
        Ok(startup)
    };
    let [module, raw] = times_in_turns(ROUNDS, [&mut || startup("module"), &mut || startup("raw")])?;
    println!(
        "start to first reply: {:.2} ms, raw {:.2} ms, ratio {}",
        module.median(),
        raw.median(),
        module.ratio(&raw)
    );
    for name in ["module", "raw"] {
        let mut callee = Callee::start(name)?;
        let idle = memory(callee.id())?.resident;
        callee.throughput(&frame("echo", 1024), DEPTH, 200_000)?;
        let small = memory(callee.id())?;
        callee.throughput(&frame("echo", 1 << 20), DEPTH, 500)?;
        let large = memory(callee.id())?;
        println!(
            "{name}: {idle} kB idle, {} kB (peak {}) after 200,000 of 1 KiB, {} kB (peak {}) after 500 of 1 MiB",
            small.resident, small.peak, large.resident, large.peak,
        );
    }
    Ok(())
}
