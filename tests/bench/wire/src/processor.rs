//! Processors: which of them a process may use, and how long it has used them.

use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;

/// The processors that this thread could use at first. A process that it starts can use those that the thread can use then.
pub struct Processors(CpuSet);

impl Processors {
    pub fn new() -> Result<Self> {
        Ok(Self(sched_getaffinity(Pid::from_raw(0))?))
    }

    /// Restricts this thread to the first of them.
    pub fn pin(&self) -> Result<()> {
        let first = (0..CpuSet::count()).find(|cpu| self.0.is_set(*cpu).unwrap_or(false)).context("there is one")?;
        let mut one = CpuSet::new();
        one.set(first)?;
        Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
    }

    /// Lets this thread use all of them again.
    pub fn unpin(&self) -> Result<()> {
        Ok(sched_setaffinity(Pid::from_raw(0), &self.0)?)
    }
}

/// How much processor time a process has had.
pub fn processor_time(process: u32) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(process.cast_signed()))?;
    Ok(clock.now()?.into())
}
