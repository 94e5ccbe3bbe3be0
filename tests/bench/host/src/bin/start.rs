//! How long it takes until 50 modules are ready, with a host and without, and how much memory modules cost the host.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use ixt_bench::measure::{Times, in_turns};
use ixt_bench::process::{memory, processor_time, program};
use ixt_bench_host::{run_pairs, start};
use ixt_bench_wire::load::{Payload, Workload};
use ixt_bench_wire::{Framing, Starting};

const ROUNDS: usize = 11;
const MODULES: usize = 50;

fn main() -> Result<()> {
    startup()?;
    host_memory()
}

/// One start of all modules.
struct Startup {
    time: Duration,
    /// Processor time of the host until then. 0 without a host.
    processor: Duration,
}

fn startup() -> Result<()> {
    let [host, member, raw] = in_turns(
        ROUNDS,
        [
            &mut || {
                let host = start(MODULES)?;
                let startup = Startup { time: host.ready.elapsed, processor: processor_time(host.id())? };
                host.end()?;
                Ok(startup)
            },
            &mut || without_host("member"),
            &mut || without_host("raw"),
        ],
    )?;
    let times = |startups: &[Startup]| startups.iter().map(|startup| startup.time).collect::<Times>();
    let processor: Times = host.iter().map(|startup| startup.processor).collect();
    let [host, member, raw] = [times(&host), times(&member), times(&raw)];
    println!("{MODULES} modules until all are ready, ms: {:.1}", host.median());
    println!("the same program without a host, ms: {:.1}, ratio {}", member.median(), host.ratio(&member));
    println!("the raw echo without a host, ms: {:.1}, ratio {}", raw.median(), host.ratio(&raw));
    println!("processor time of the host, ms: {:.1}", processor.median());
    Ok(())
}

/// Starts all processes, and then waits until each has replied to its first frame.
fn without_host(name: &str) -> Result<Startup> {
    let program = program(name)?;
    let begin = Instant::now();
    let starting = (0..MODULES).map(|_| Starting::new(Command::new(&program))).collect::<Result<Vec<_>>>()?;
    let mut callees =
        starting.into_iter().map(|process| process.send_init(Framing::Line)).collect::<Result<Vec<_>>>()?;
    for callee in &mut callees {
        callee.receive_init()?;
    }
    let time = begin.elapsed();
    for callee in callees {
        callee.end()?;
    }
    Ok(Startup { time, processor: Duration::ZERO })
}

/// Resident memory of the host in kB, without that of the modules.
fn host_memory() -> Result<()> {
    println!(
        "\n| modules | idle | a module more | after calls of 64 B | of 64 KiB | peak |\n|---:|---:|---:|---:|---:|---:|"
    );
    let mut idle_of_one = None;
    for modules in [1, 2, 100] {
        let mut host = start(modules)?;
        let idle = memory(host.id())?.resident;
        let a_module_more = idle_of_one
            .map_or_else(String::new, |one: u64| format!("{:.0}", (idle as f64 - one as f64) / (modules - 1) as f64));
        idle_of_one.get_or_insert(idle);
        let mut after_calls = [String::new(), String::new()];
        // 50 pairs with 64 calls of 64 KiB would exceed the memory of what waits for modules (HOST.md).
        for ((bytes, depth), after) in [(64, 64), (64 << 10, 16)].into_iter().zip(&mut after_calls) {
            if modules > 1 {
                let workload = Workload::new("", Payload::Bytes(bytes), depth, 1000);
                run_pairs(&mut host, modules / 2, &workload)?;
                *after = memory(host.id())?.resident.to_string();
            }
        }
        let peak = memory(host.id())?.peak;
        println!("| {modules} | {idle} | {a_module_more} | {} | {} | {peak} |", after_calls[0], after_calls[1]);
        host.end()?;
    }
    Ok(())
}
