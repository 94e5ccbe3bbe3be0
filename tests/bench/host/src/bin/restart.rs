//! What callers see of a module that is restarted again and again. Calls have a fixed rate and don't wait for one another, and the time of
//! a call counts from when it was due, so that no wait hides another one.

use std::time::Duration;

use anyhow::{Context as _, Result};
use ixt_bench::measure::{Ratio, order, quantile};
use ixt_bench::process::program;
use ixt_bench_host::manifest;
use ixt_host::{CallOptions, Config, Deployment, Host, Module, Program, Settings};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Calls per second.
const RATE: u64 = 5000;
const RESTARTS: usize = 100;
const STEADY: Duration = Duration::from_secs(2);
const ROUNDS: usize = 11;

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _tokio = runtime.enter();
    let dir = tempfile::tempdir()?;
    std::fs::write(dir.path().join("manifest.toml"), manifest(1))?;
    let module = Module::open(dir.path()).map_err(|report| anyhow::anyhow!("{report}"))?;
    let mut builder = Host::builder(Settings::default());
    builder.module(Deployment::new(&module, Program::new(program("member")?), &Config::of(module.manifest()))?)?;
    let host = runtime.block_on(builder.start())?;
    runtime.block_on(async {
        host.ready().await.map_err(|error| anyhow::anyhow!("{error}"))?;
        println!(
            "| | calls | failed | p50, µs | p99, µs | max, ms | a restart, ms |\n|---|---:|---:|---:|---:|---:|---:|"
        );
        steady(&host).await?;
        restarting(&host).await?;
        let mut ratios = Vec::new();
        for round in 0..ROUNDS {
            let mut p99 = [0.0; 2];
            for contestant in order(round, p99.len()) {
                let (row, seen) = if contestant == 0 { steady(&host).await? } else { restarting(&host).await? };
                println!("{row}");
                p99[contestant] = seen.at(0.99)?;
            }
            ratios.push(p99[1] / p99[0]);
        }
        println!("\np99 with restarts / steady: {}", Ratio::of(ratios));
        host.shutdown().await;
        Ok(())
    })
}

/// Calls while nothing else happens. Returns the row of the table as well.
async fn steady(host: &Host) -> Result<(String, Seen)> {
    let work = async {
        tokio::time::sleep(STEADY).await;
        Ok(())
    };
    let (seen, ()) = during(host, work).await?;
    Ok((seen.row("steady", "")?, seen))
}

/// Calls while the module is restarted, each time right after the restart before.
async fn restarting(host: &Host) -> Result<(String, Seen)> {
    let (seen, restart) = during(host, async {
        let begin = Instant::now();
        for _ in 0..RESTARTS {
            host.restart("member-1").await?;
        }
        Ok(begin.elapsed().div_f64(RESTARTS as f64))
    })
    .await?;
    let row = seen.row(&format!("{RESTARTS} restarts"), &format!("{:.1}", restart.as_secs_f64() * 1e3))?;
    Ok((row, seen))
}

/// What the callers saw.
struct Seen {
    /// From when a call was due to its reply. In ascending order, without failed calls.
    latencies: Vec<Duration>,
    failed: usize,
}

impl Seen {
    /// A quantile of the latencies, in microseconds.
    fn at(&self, share: f64) -> Result<f64> {
        Ok(quantile(&self.latencies, share).context("all calls failed")?.as_secs_f64() * 1e6)
    }

    fn row(&self, what: &str, restart: &str) -> Result<String> {
        Ok(format!(
            "| {what} | {} | {} | {:.0} | {:.0} | {:.1} | {restart} |",
            self.latencies.len() + self.failed,
            self.failed,
            self.at(0.5)?,
            self.at(0.99)?,
            self.at(1.0)? / 1e3,
        ))
    }
}

/// Calls at the rate until the work is done, and waits for all replies.
async fn during<T>(host: &Host, work: impl Future<Output = Result<T>>) -> Result<(Seen, T)> {
    let mut calls = JoinSet::new();
    let caller = async {
        // Several calls for each tick: tokio's timers are no finer than a millisecond. Ticks that were missed are made up for.
        let mut ticks = interval(Duration::from_millis(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        loop {
            let due = ticks.tick().await;
            for _ in 0..RATE / 1000 {
                let host = host.clone();
                calls.spawn(async move {
                    let reply = host.call("echo.n00", b"{}", CallOptions::default()).await;
                    (due.elapsed(), reply.map(drop))
                });
            }
        }
    };
    let done = tokio::select! {
        never = caller => never,
        done = work => done?,
    };
    let mut seen = Seen { latencies: Vec::new(), failed: 0 };
    for (latency, reply) in calls.join_all().await {
        match reply {
            Ok(()) => seen.latencies.push(latency),
            Err(error) => {
                eprintln!("a call failed: {error}");
                seen.failed += 1;
            }
        }
    }
    seen.latencies.sort_unstable();
    Ok((seen, done))
}
