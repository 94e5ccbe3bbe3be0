//! What a module costs when it is idle and when it is busy: time to the first reply, memory, size.

use anyhow::Result;
use ixt_bench::measure::in_turns;
use ixt_bench_wire::{Peer, frame, program};

fn main() -> Result<()> {
    let (module, raw) = (program("module")?, program("raw")?);
    let start = |program: &std::path::Path| -> Result<std::time::Duration> {
        let peer = Peer::start(program)?;
        let started = peer.started;
        peer.end()?;
        Ok(started)
    };
    let [module_start, raw_start] = in_turns(41, [&mut || start(&module), &mut || start(&raw)])?;
    println!(
        "start to first answer: {:.2} ms, raw {:.2} ms, ratio {}",
        module_start.median(),
        raw_start.median(),
        module_start.ratio(&raw_start)
    );
    for program in [&module, &raw] {
        let mut peer = Peer::start(program)?;
        let idle = peer.memory("VmRSS")?;
        peer.throughput(&frame("echo", 1024), 64, 200_000)?;
        let (busy, most) = (peer.memory("VmRSS")?, peer.memory("VmHWM")?);
        peer.throughput(&frame("echo", 1 << 20), 64, 500)?;
        println!(
            "{}: {idle} kB idle, {busy} kB (at most {most}) after 200,000 of 1 KiB, {} kB (at most {}) after 500 of 1 MiB",
            program.file_name().unwrap_or_default().display(),
            peer.memory("VmRSS")?,
            peer.memory("VmHWM")?,
        );
    }
    Ok(())
}
