//! A host in a process of its own, the load generator `hosted`, and what is said to it.

pub mod row;

use std::process::Command;

use anyhow::{Context as _, Result};
use ixt_bench::process::program;
use ixt_bench_wire::load::{LoadGenerator, Timing, Workload};
use serde::{Deserialize, Serialize};

/// The manifest of module `number` of a host. Modules are pairs: an even one makes calls when it is told to, and the odd one that follows
/// is what it calls. Module 1 also has the service `record`.
pub fn manifest(number: usize) -> String {
    let kind = if number.is_multiple_of(2) { "drive" } else { "echo" };
    let topic = format!("\"{kind}.n{:02}\"", number / 2);
    let record = if number == 1 { ", \"record\"" } else { "" };
    format!(
        "schema_version = \"3.0\"\n[module]\nname = \"member-{number}\"\nversion = \"1.0.0\"\n\
         [provides]\nservices = [{topic}{record}]\n\
         [env]\npass = [\"IXT_BENCH_SERDE\"]\n"
    )
}

/// Who makes the calls of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// The host itself, by `Host::call`.
    Host,
    /// The even module of this pair.
    Pair(usize),
}

/// A request to `hosted` is a list of these, which run at the same time. The result is a [`Timing`] for each.
#[derive(Debug, Serialize, Deserialize)]
pub struct Assignment {
    pub caller: Caller,
    pub workload: Workload,
}

/// Starts a host with this number of modules, and waits until they are ready.
pub fn start(modules: usize) -> Result<LoadGenerator> {
    LoadGenerator::start(hosted(modules, "member")?)
}

/// The command that starts a host, all of whose modules are this program.
pub fn hosted(modules: usize, member: &str) -> Result<Command> {
    let mut command = Command::new(program("hosted")?);
    command.arg(modules.to_string()).arg(program(member)?);
    Ok(command)
}

/// Runs one workload.
pub fn run(host: &mut LoadGenerator, caller: Caller, workload: Workload) -> Result<Timing> {
    let timings: Vec<Timing> = host.request(&[Assignment { caller, workload }])?;
    timings.into_iter().next().context("the host returned no timing")
}

/// Lets each of the first `pairs` pairs of modules run the workload at the same time, each with the service of its own odd module.
pub fn run_pairs(host: &mut LoadGenerator, pairs: usize, workload: &Workload) -> Result<Vec<Timing>> {
    let assignments: Vec<Assignment> = (0..pairs)
        .map(|pair| Assignment {
            caller: Caller::Pair(pair),
            workload: Workload { topic: format!("echo.n{pair:02}"), ..workload.clone() },
        })
        .collect();
    host.request(&assignments)
}
