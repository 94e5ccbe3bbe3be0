//! What a contestant costs besides its calls: the time from its start to its first reply, memory, and the size of its program.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use ixt_bench::measure::{Times, order};
use ixt_bench::process::memory;
use ixt_bench_wire::load::Payload;

use crate::contestants::Contestant;

/// The section of the report. Contestants that fail are named below the table.
pub fn section(contestants: &[&Contestant], rounds: usize) -> Result<String> {
    // Each is started once to warm up. The first error of a contestant takes the place of its figures.
    let mut startups: Vec<Result<Vec<Duration>>> =
        contestants.iter().map(|contestant| startup(contestant).map(|_| Vec::new())).collect();
    for round in 0..rounds {
        for index in order(round, contestants.len()) {
            let Ok(times) = &mut startups[index] else { continue };
            match startup(contestants[index]) {
                Ok(time) => times.push(time),
                Err(error) => startups[index] = Err(error),
            }
        }
    }
    let mut text = "## Start, memory, size\n\n\
        | | start to first reply, ms | min–max | called, idle, kB | after 1 KiB, 64 at once, kB | calling, after, kB \
        | program, kB | stripped, kB |\n|---|---:|---|---:|---:|---:|---:|---:|\n"
        .to_owned();
    let mut failed = String::new();
    for (contestant, startups) in contestants.iter().zip(startups) {
        match startups.and_then(|startups| row(contestant, &startups)) {
            Ok(row) => text += &row,
            Err(error) => writeln!(failed, "\n{} failed: {error:#}", contestant.name)?,
        }
    }
    Ok(text + &failed + "\n")
}

/// Starts a contestant, and ends it.
fn startup(contestant: &Contestant) -> Result<Duration> {
    let running = contestant.start(Payload::Bytes(64))?;
    let startup = running.startup();
    running.end()?;
    Ok(startup)
}

/// The row of a contestant. `startups` has the time of a start in each round.
fn row(contestant: &Contestant, startups: &[Duration]) -> Result<String> {
    let mut running = contestant.start(Payload::Bytes(1024))?;
    let resident = |pid| -> Result<u64> { Ok(memory(pid)?.resident) };
    let idle = resident(running.callee()?)?;
    running.in_flight(64, 5000)?;
    let after = resident(running.callee()?)?;
    let caller = running.caller().map(resident).transpose()?;
    running.end()?;
    let [size, stripped] = match contestant.program() {
        Some(program) => sizes(&program?)?.map(|bytes| (bytes / 1024).to_string()),
        None => [String::new(), String::new()],
    };
    let [min, max] =
        [startups.iter().min(), startups.iter().max()].map(|time| time.map_or(0.0, |time| time.as_secs_f64() * 1e3));
    Ok(format!(
        "| {} | {:.2} | {min:.2}–{max:.2} | {idle} | {after} | {} | {size} | {stripped} |\n",
        contestant.name,
        startups.iter().copied().collect::<Times>().median(),
        caller.map_or_else(String::new, |kilobytes| kilobytes.to_string()),
    ))
}

/// The size of a program in bytes, as it was built and without symbols.
fn sizes(program: &std::path::Path) -> Result<[u64; 2]> {
    let stripped = tempfile::NamedTempFile::new()?;
    let status = Command::new("strip").arg("-o").arg(stripped.path()).arg(program).status()?;
    anyhow::ensure!(status.success(), "strip failed");
    Ok([std::fs::metadata(program)?.len(), std::fs::metadata(stripped.path())?.len()])
}
