//! A host and its modules under load, for a number of requests or a time. Exit status 1 if a request was lost, handled twice or mixed up
//! with another, if a value was lost, or if memory grows.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser};
use ixt_chaos::{System, Until};

#[derive(Parser)]
enum Command {
    /// Kill, pause, end and restart the modules' processes meanwhile
    Faults(Load),
    /// Make no faults, and compare memory, file descriptors and threads at the end with those after the warm-up
    Soak(Load),
}

#[derive(Args)]
struct Load {
    /// The number of requests
    #[arg(long, default_value_t = 100_000)]
    requests: u64,
    /// Make requests for this time, instead of a number of them
    #[arg(long = "for", value_parser = humantime::parse_duration, value_name = "TIME")]
    time: Option<Duration>,
    /// The number of requests at once
    #[arg(long, default_value_t = 32)]
    clients: u64,
    /// The seed of the requests and faults. The default is another one each time
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
