//! A host and its modules under load, with and without faults. Every request is counted: what became of it, whether its
//! answer is its own, and how often it entered a handler.
//!
//! `ixt-chaos` runs it for as long as it is told to; a test here runs a few thousand requests with fixed seeds.

mod faults;
mod load;
pub mod request;
mod resources;
mod system;

pub use load::{Outcomes, Until};
pub use resources::Growth;
pub use system::System;

/// Calls modules that are killed, paused, ended, restarted and fall silent meanwhile, in a host whose disk is full and which has no
/// files left now and then, from as many tasks as there are `clients`.
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

/// Calls modules to which nothing happens, first for a tenth of the time to warm up. Tells what the processes had more of in
/// the end than after that tenth.
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
