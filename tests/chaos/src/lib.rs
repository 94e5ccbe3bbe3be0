//! A host and its modules under load, with and without faults. For every request it is checked how it ended, whether the answer is that to
//! this request, and how often it entered a handler.
//!
//! `ixt-chaos` makes a number of requests, or makes them for a time; a test here makes a few thousand with fixed seeds.

mod faults;
mod load;
pub mod request;
mod resources;
mod system;

pub use load::{Outcomes, Until};
pub use resources::Growth;
pub use system::System;

/// Calls modules from `clients` tasks. Meanwhile the modules' processes are killed, paused, ended, restarted and made silent; and now and
/// then the host's disk is full, or it can open no more files.
///
/// # Errors
///
/// If the host or its modules can't be started.
pub async fn with_faults(system: System, until: Until, clients: u64, seed: u64) -> anyhow::Result<Outcomes> {
    let mut outcomes = load::run(&system, 0, until, clients, seed, true).await;
    system.check_kept(&mut outcomes).await?;
    system.shutdown().await;
    Ok(outcomes)
}

/// Calls modules without faults, first for a tenth of the time to warm up. Returns what the processes had more of at the end than after
/// that tenth.
///
/// # Errors
///
/// If the host or its modules can't be started, or a process has ended.
pub async fn soak(system: System, until: Until, clients: u64, seed: u64) -> anyhow::Result<(Outcomes, Vec<Growth>)> {
    let warm = load::run(&system, 0, until.tenth(), clients, seed, false).await;
    let before = resources::of(&system)?;
    let mut outcomes = load::run(&system, warm.asked(), until, clients, seed, false).await;
    let growth = resources::growth(&before, &resources::of(&system)?, outcomes.asked());
    outcomes.add(warm);
    system.check_kept(&mut outcomes).await?;
    system.shutdown().await;
    Ok((outcomes, growth))
}
