//! What a contestant costs before it does anything: time until it answers, memory, size.

use std::fmt::Write as _;
use std::process::Command;

use anyhow::Result;
use ixt_bench::measure::Times;
use ixt_bench_wire::drive::Payload;
use ixt_bench_wire::memory;

use crate::contestants::Contestant;

pub fn section(contestants: &[&Contestant], rounds: usize) -> Result<String> {
    let mut started = vec![Vec::new(); contestants.len()];
    for round in 0..rounds {
        for turn in 0..contestants.len() {
            let index = (round + turn) % contestants.len();
            let running = contestants[index].start(Payload::Bytes(64))?;
            started[index].push(running.started());
            running.end()?;
        }
    }
    let mut text = "## Start, memory, size\n\n\
        | | start to first reply, ms | least–most | called, idle, kB | after 1 KiB, 64 at once, kB | calling, after, kB \
        | program, kB | stripped, kB |\n|---|---:|---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (contestant, started) in contestants.iter().zip(started) {
        let (least, most) = (started.iter().min().copied(), started.iter().max().copied());
        let millis = |time: Option<std::time::Duration>| time.unwrap_or_default().as_secs_f64() * 1e3;
        let times: Times = started.into_iter().collect();
        let mut running = contestant.start(Payload::Bytes(1024))?;
        let idle = memory(running.called()?, "VmRSS")?;
        running.many(64, 5000)?;
        let after = memory(running.called()?, "VmRSS")?;
        let calling = running.calling().map(|pid| memory(pid, "VmRSS")).transpose()?;
        running.end()?;
        let [size, stripped] = match contestant.program() {
            Some(program) => sizes(&program?)?.map(|bytes| (bytes / 1024).to_string()),
            None => [String::new(), String::new()],
        };
        writeln!(
            text,
            "| {} | {:.2} | {:.2}–{:.2} | {idle} | {after} | {} | {size} | {stripped} |",
            contestant.name,
            times.median(),
            millis(least),
            millis(most),
            calling.map_or_else(String::new, |kilobytes| kilobytes.to_string()),
        )?;
    }
    text.push('\n');
    Ok(text)
}

/// Of a program as it was built, and of one without symbols.
fn sizes(program: &std::path::Path) -> Result<[u64; 2]> {
    let stripped = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip").arg("-o").arg(stripped.path()).arg(program).status()?;
    anyhow::ensure!(status.success(), "strip failed");
    Ok([std::fs::metadata(program)?.len(), std::fs::metadata(stripped.path())?.len()])
}
