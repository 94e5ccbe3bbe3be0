//! The resources of processes that must not grow.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::System;

/// The resources of one process.
pub(crate) struct Resources {
    process: String,
    /// The memory in bytes.
    memory: u64,
    descriptors: u64,
    threads: u64,
}

/// The resources of the host, which is this process, and of each module's process.
pub(crate) fn of(system: &System) -> Result<Vec<Resources>> {
    let mut all = vec![of_process("host", "self")?];
    for instance in system.instances() {
        let pid = instance.pid.with_context(|| format!("{} does not run", instance.id))?;
        all.push(of_process(&format!("{} {pid}", instance.id), &pid.to_string())?);
    }
    Ok(all)
}

fn of_process(name: &str, pid: &str) -> Result<Resources> {
    let proc = Path::new("/proc").join(pid);
    let count = |of: &str| -> Result<u64> { Ok(fs::read_dir(proc.join(of))?.count() as u64) };
    let status = fs::read_to_string(proc.join("status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kilobytes: u64 = memory.trim().trim_end_matches(" kB").parse()?;
    let (descriptors, threads) = (count("fd")?, count("task")?);
    Ok(Resources { process: name.to_owned(), memory: kilobytes * 1024, descriptors, threads })
}

/// A line that says of what a process has more than before.
#[derive(Debug)]
pub struct Growth(String);

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What has grown more than expected. Memory and threads vary with the requests under way, and an idle thread stays for ten seconds. The
/// host's process also keeps the numbers of all `asked` requests.
pub(crate) fn growth(before: &[Resources], after: &[Resources], asked: u64) -> Vec<Growth> {
    const SLACK: u64 = 16 * 1024 * 1024;
    let kept = 2 * size_of::<u64>() as u64 * asked;
    let mut growth = Vec::new();
    for new in after {
        let Some(old) = before.iter().find(|old| old.process == new.process) else {
            growth.push(Growth(format!("{} was not there before: a process has ended", new.process)));
            continue;
        };
        for (what, old, new_value, most) in [
            ("bytes of memory", old.memory, new.memory, old.memory + old.memory / 4 + SLACK + kept),
            ("descriptors", old.descriptors, new.descriptors, old.descriptors + 2),
            ("threads", old.threads, new.threads, old.threads + 64),
        ] {
            if new_value > most {
                growth.push(Growth(format!("{}: {old} {what} before, {new_value} after", new.process)));
            }
        }
    }
    growth
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_is_told() {
        let of = |memory, descriptors, threads| Resources { process: "a".to_owned(), memory, descriptors, threads };
        let told =
            |after| growth(&[of(1 << 30, 10, 5)], &[after], 0).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert!(told(of(1 << 30, 12, 69)).is_empty());
        assert_eq!(told(of(2 << 30, 13, 5)).len(), 2);
        assert_eq!(told(of(1, 1, 70)), ["a: 5 threads before, 70 after"]);
        let other = Resources { process: "a 2".to_owned(), ..of(1, 1, 1) };
        assert_eq!(told(other), ["a 2 was not there before: a process has ended"]);
    }
}
