//! Instructions that the module spends on a message, as callgrind counts them. Two runs of the module, with few and with many messages,
//! are compared, so that its start and end don't count.

use anyhow::Result;
use ixt_bench::callgrind::Callgrind;
use ixt_bench::process::program;
use ixt_bench_wire::{Callee, Framing, frame};

const FEW: usize = 640;
const MANY: usize = 6400;

fn main() -> Result<()> {
    println!("| payload | service | depth 1 | depth 64 |");
    println!("|---:|---|---:|---:|");
    for bytes in [64, 1 << 10] {
        for topic in ["echo", "later"] {
            let frame = frame(topic, bytes);
            let single = per_message(|callee, times| callee.round_trips(&frame, times).map(drop))?;
            let many = per_message(|callee, times| callee.throughput(&frame, 64, times).map(drop))?;
            println!("| {bytes} | {topic} | {single:.0} | {many:.0} |");
        }
    }
    Ok(())
}

fn per_message(run: impl Fn(&mut Callee, usize) -> Result<()>) -> Result<f64> {
    let few = instructions(|callee| run(callee, FEW))?;
    let many = instructions(|callee| run(callee, MANY))?;
    Ok((many as f64 - few as f64) / (MANY - FEW) as f64)
}

fn instructions(run: impl Fn(&mut Callee) -> Result<()>) -> Result<u64> {
    let (callgrind, command) = Callgrind::new(&program("module")?)?;
    let mut callee = Callee::start_command(command, Framing::Line)?;
    run(&mut callee)?;
    callee.end()?;
    callgrind.instructions()
}
