//! A host in a process of its own, with so many modules. It tells in JSON how long it took until they were ready, and which
//! processes they are; then it calls what it is told on standard input, a line of them at once, and tells the answers.

use std::io::Write as _;
use std::time::Instant;

use anyhow::{Context as _, Result};
use ixt_bench_host::{Drive, Ready, manifest};
use ixt_bench_wire::program;
use ixt_host::{CallOptions, Config, Host, Module, Program, Settings};

fn main() -> Result<()> {
    let modules: usize = std::env::args().nth(1).context("how many modules")?.parse()?;
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tokio = runtime.enter();
    let mut builder = Host::builder(Settings::default());
    for number in 0..modules {
        let dir = dir.path().join(number.to_string());
        std::fs::create_dir(&dir)?;
        std::fs::write(dir.join("manifest.toml"), manifest(number))?;
        let module = Module::open(dir).map_err(|report| anyhow::anyhow!("{report}"))?;
        let config = Config::of(module.manifest());
        builder.module(module.clone(), Program::new(program("member")?), &config, 1)?;
    }
    let begin = Instant::now();
    let host = builder.start()?;
    runtime.block_on(host.ready()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let seconds = begin.elapsed().as_secs_f64();
    let pids =
        host.status().into_iter().flat_map(|module| module.instances).filter_map(|instance| instance.pid).collect();
    tell(&Ready { seconds, pids })?;
    for line in std::io::stdin().lines() {
        let drives: Vec<(usize, Drive)> = serde_json::from_str(&line?)?;
        let calls: Vec<_> = drives
            .into_iter()
            .map(|(pair, drive)| {
                let host = host.clone();
                tokio::spawn(async move {
                    let payload = serde_json::to_vec(&drive)?;
                    let answer = host.call(&format!("drive.n{pair:02}"), &payload, CallOptions::default()).await?;
                    anyhow::Ok(serde_json::from_str(answer.get())?)
                })
            })
            .collect();
        let mut answers: Vec<ixt_bench_host::Driven> = Vec::new();
        for call in calls {
            answers.push(runtime.block_on(call)??);
        }
        tell(&answers)?;
    }
    drop(tokio);
    runtime.block_on(host.shutdown());
    Ok(())
}

fn tell(what: &impl serde::Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(what)?)?;
    Ok(out.flush()?)
}
