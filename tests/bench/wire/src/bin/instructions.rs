//! Instructions that the module spends on a message, as valgrind's callgrind counts them: from the difference between few
//! messages and many.

use std::process::Command;

use anyhow::{Context as _, Result};
use ixt_bench_wire::{Framing, Peer, frame, program};

const FEW: usize = 640;
const MANY: usize = 6400;

fn main() -> Result<()> {
    println!("| payload | service | depth 1 | depth 64 |");
    println!("|---:|---|---:|---:|");
    for bytes in [64, 1 << 10] {
        for topic in ["echo", "later"] {
            let frame = frame(topic, bytes);
            let single = per_message(|peer, times| peer.round_trips(&frame, times).map(drop))?;
            let many = per_message(|peer, times| peer.throughput(&frame, 64, times).map(drop))?;
            println!("| {bytes} | {topic} | {single:.0} | {many:.0} |");
        }
    }
    Ok(())
}

fn per_message(run: impl Fn(&mut Peer, usize) -> Result<()>) -> Result<f64> {
    let few = instructions(|peer| run(peer, FEW))?;
    let many = instructions(|peer| run(peer, MANY))?;
    Ok((many - few) as f64 / (MANY - FEW) as f64)
}

fn instructions(run: impl Fn(&mut Peer) -> Result<()>) -> Result<i64> {
    let report = tempfile::NamedTempFile::new()?;
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    command.arg(format!("--log-file={}", report.path().display())).arg(program("module")?);
    let mut peer = Peer::start_by(command, Framing::Line).context("valgrind is needed")?;
    run(&mut peer)?;
    peer.end()?;
    let report = std::fs::read_to_string(report.path())?;
    let line = report.lines().find_map(|line| line.split_once("Collected : ")).context("valgrind tells no figure")?;
    Ok(line.1.trim().parse()?)
}
