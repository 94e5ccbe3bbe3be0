//! Which processors the measured processes may use.

use anyhow::{Context as _, Result};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

/// The processors that this thread was allowed to use when this was made.
///
/// A process inherits what the thread that starts it is allowed at that time.
pub struct Processors(CpuSet);

impl Processors {
    /// Reads what this thread is allowed to use.
    pub fn new() -> Result<Self> {
        Ok(Self(sched_getaffinity(Pid::from_raw(0))?))
    }

    /// Restricts this thread to the first of them.
    pub fn pin(&self) -> Result<()> {
        let first = (0..CpuSet::count()).find(|cpu| self.0.is_set(*cpu).unwrap_or(false)).context("no processor")?;
        let mut one = CpuSet::new();
        one.set(first)?;
        Ok(sched_setaffinity(Pid::from_raw(0), &one)?)
    }

    /// Lets this thread use all of them again.
    pub fn unpin(&self) -> Result<()> {
        Ok(sched_setaffinity(Pid::from_raw(0), &self.0)?)
    }
}
