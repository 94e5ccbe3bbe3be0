//! A host and its modules under load, for as long as it is told to. Exit status 1 if something happened that must never
//! happen: a request that is lost, doubled or mixed up, a value that is lost, memory that grows.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser};
use ixt_chaos::{System, Until};

#[derive(Parser)]
enum Command {
    /// Kills, pauses, ends and restarts the modules' processes meanwhile
    Faults(Load),
    /// Lets nothing happen, and compares in the end what memory, descriptors and threads there are
    Soak(Load),
}

#[derive(Args)]
struct Load {
    /// How many requests
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// For how long, however many requests that are
    #[arg(long = "for", value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Option<Duration>,
    /// How many requests at once
    #[arg(long, default_value_t = 32)]
    clients: u64,
    /// What the requests and faults follow from; another one each time if there is none
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let command = Command::parse();
    let (Command::Faults(load) | Command::Soak(load)) = &command;
    let until = load.time.map_or(Until::Requests(load.requests), Until::Time);
    let seed = load.seed.unwrap_or_else(|| fastrand::u64(..));
    let own = std::env::current_exe()?;
    let system = System::start(own.parent().context("a program is in a directory")?).await?;
    let (outcomes, growth) = match command {
        Command::Faults(_) => (ixt_chaos::with_faults(system, until, load.clients, seed).await?, Vec::new()),
        Command::Soak(_) => ixt_chaos::soak(system, until, load.clients, seed).await?,
    };
    println!("{outcomes}");
    let wrong: Vec<_> = outcomes.wrong().into_iter().chain(growth.iter().map(ToString::to_string)).collect();
    for wrong in &wrong {
        println!("WRONG: {wrong}");
    }
    Ok(if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
