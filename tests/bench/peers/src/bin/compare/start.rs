//! What a contestant costs before it does anything: time until it answers, memory, size.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

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
            // Who can't be started is missing below, with the reason.
            if let Ok(running) = contestants[index].start(Payload::Bytes(64)) {
                started[index].push(running.started());
                running.end()?;
            }
        }
    }
    let mut text = "## Start, memory, size\n\n\
        | | start to first reply, ms | least–most | called, idle, kB | after 1 KiB, 64 at once, kB | calling, after, kB \
        | program, kB | stripped, kB |\n|---|---:|---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    for (contestant, started) in contestants.iter().zip(started) {
        match row(contestant, &started) {
            Ok(row) => text += &row,
            Err(error) => writeln!(text, "| {} | {error:#} |", contestant.name)?,
        }
    }
    text.push('\n');
    Ok(text)
}

/// The line of a contestant that was started so often.
fn row(contestant: &Contestant, started: &[Duration]) -> Result<String> {
    let mut running = contestant.start(Payload::Bytes(1024))?;
    anyhow::ensure!(!started.is_empty(), "it could not be started");
    let idle = memory(running.called()?, "VmRSS")?;
    running.many(64, 5000)?;
    let after = memory(running.called()?, "VmRSS")?;
    let calling = running.calling().map(|pid| memory(pid, "VmRSS")).transpose()?;
    running.end()?;
    let [size, stripped] = match contestant.program() {
        Some(program) => sizes(&program?)?.map(|bytes| (bytes / 1024).to_string()),
        None => [String::new(), String::new()],
    };
    let [least, most] =
        [started.iter().min(), started.iter().max()].map(|time| time.map_or(0.0, |time| time.as_secs_f64() * 1e3));
    Ok(format!(
        "| {} | {:.2} | {least:.2}–{most:.2} | {idle} | {after} | {} | {size} | {stripped} |\n",
        contestant.name,
        started.iter().copied().collect::<Times>().median(),
        calling.map_or_else(String::new, |kilobytes| kilobytes.to_string()),
    ))
}

/// Of a program as it was built, and of one without symbols.
fn sizes(program: &std::path::Path) -> Result<[u64; 2]> {
    let stripped = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip").arg("-o").arg(stripped.path()).arg(program).status()?;
    anyhow::ensure!(status.success(), "strip failed");
    Ok([std::fs::metadata(program)?.len(), std::fs::metadata(stripped.path())?.len()])
}
