//! What callers see of a module that is restarted again and again: calls at a fixed rate, of which each is made when it is its time,
//! however long those before take, so that no wait hides another one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use ixt_bench_host::manifest;
use ixt_bench_wire::program;
use ixt_host::{CallOptions, Config, Deployment, Host, Module, Program, Settings};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

const RATE: u64 = 5000;
const RESTARTS: usize = 100;
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
            "| | calls | failed | p50, µs | p99, µs | most, ms | a restart, ms |\n|---|---:|---:|---:|---:|---:|---:|"
        );
        let mut ratios = Vec::new();
        for round in 0..=ROUNDS {
            let steady = during(&host, tokio::time::sleep(Duration::from_secs(2))).await;
            let begin = Instant::now();
            let restarted = during(&host, async {
                for _ in 0..RESTARTS {
                    host.restart("member-1").await.expect("it is ready");
                }
            })
            .await;
            let one = begin.elapsed().as_secs_f64() * 1e3 / RESTARTS as f64;
            // The first round warms up.
            if round > 0 {
                println!("{}", steady.row("steady", ""));
                println!("{}", restarted.row(&format!("{RESTARTS} restarts"), &format!("{one:.1}")));
                ratios.push(restarted.quantile(0.99) / steady.quantile(0.99));
            }
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "\np99 with restarts / steady: {:.2} ({:.2}–{:.2})",
            ratios[ROUNDS / 2],
            ratios[0],
            ratios[ROUNDS - 1]
        );
        host.shutdown().await;
        Ok(())
    })
}

struct Seen {
    /// In microseconds, sorted.
    latencies: Vec<f64>,
    failed: u64,
}

impl Seen {
    fn quantile(&self, quantile: f64) -> f64 {
        self.latencies[((self.latencies.len() - 1) as f64 * quantile) as usize]
    }

    fn row(&self, what: &str, restart: &str) -> String {
        format!(
            "| {what} | {} | {} | {:.0} | {:.0} | {:.1} | {restart} |",
            self.latencies.len() as u64 + self.failed,
            self.failed,
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(1.0) / 1e3,
        )
    }
}

/// Calls at the rate until the work is done.
async fn during(host: &Host, work: impl Future<Output = ()>) -> Seen {
    let failed = Arc::new(AtomicU64::new(0));
    let mut calls = JoinSet::new();
    let caller = async {
        // Several at a tick: no timer is that fine.
        let mut ticks = interval(Duration::from_millis(1));
        loop {
            let due = ticks.tick().await;
            for _ in 0..RATE / 1000 {
                let (host, failed) = (host.clone(), Arc::clone(&failed));
                calls.spawn(async move {
                    match host.call("echo.n00", b"{}", CallOptions::default()).await {
                        Ok(_) => Some(due.elapsed().as_secs_f64() * 1e6),
                        Err(error) => {
                            eprintln!("{error}");
                            failed.fetch_add(1, Ordering::Relaxed);
                            None
                        }
                    }
                });
            }
        }
    };
    tokio::select! {
        () = caller => {}
        () = work => {}
    }
    let mut latencies: Vec<_> = calls.join_all().await.into_iter().flatten().collect();
    latencies.sort_by(f64::total_cmp);
    Seen { latencies, failed: failed.load(Ordering::Relaxed) }
}
