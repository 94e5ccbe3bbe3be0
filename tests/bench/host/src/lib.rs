//! A host in a process of its own, seen from outside.

use std::process::Command;

use anyhow::Result;
use ixt_bench_wire::drive::{Drive, Driven, Driver};
use ixt_bench_wire::program;

/// The manifest of a host's module: those with an even number call the next one. The first that is called also takes records.
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

/// What a host does when it is told to: the pair of modules of which one is to call the other, or none if the host itself is to
/// call.
pub type Told = (Option<usize>, Drive);

/// Starts a host with so many modules, and waits until they are ready.
pub fn start(modules: usize) -> Result<Driver> {
    start_with(modules, "member")
}

/// The same with this program as each of the modules.
pub fn start_with(modules: usize, member: &str) -> Result<Driver> {
    let mut command = Command::new(program("hosted")?);
    command.arg(modules.to_string()).arg(program(member)?);
    Driver::start(command)
}

/// Lets the first pairs of modules call each other, all at once.
pub fn drive_pairs(host: &mut Driver, pairs: usize, drive: &Drive) -> Result<Vec<Driven>> {
    let told: Vec<Told> =
        (0..pairs).map(|pair| (Some(pair), Drive { topic: format!("echo.n{pair:02}"), ..drive.clone() })).collect();
    host.ask(&told)
}
