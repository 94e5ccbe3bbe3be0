//! A host in a process of its own, as a load generator. Its arguments are the number of modules, and the program that each of them is.
//!
//! It is ready when all modules are: [`Ready::elapsed`] is the time from `HostBuilder::start` until then. A request is a list of
//! [`Assignment`]s, which run at the same time.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ixt_bench_host::{Assignment, Caller, manifest};
use ixt_bench_wire::load::{Payload, Ready, Record, Timing, Workload, print_result, run_workload};
use ixt_host::bus::{Bus as _, CallHandle, CallResult, Endpoint, Envelope, LocalBus, ReplyTo, WriteBatch};
use ixt_host::{CallOptions, Config, Deployment, Host, Module, Object, Program, Settings};
use ixt_protocol::WirePayload as Sent;

/// A service of the host itself: it sends back the payload at once, in the form in which it came.
struct HostEcho;

impl Endpoint for HostEcho {
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        let data = match envelope.payload {
            Sent::Bytes(bytes) => Object::empty().attach("result", bytes),
            Sent::Base64(text) => {
                Object::serialize(&serde_json::json!({ "result": text.as_str() })).expect("it is an object")
            }
        };
        reply.send(CallResult::Success(data), batch);
        CallHandle::default()
    }

    fn event(&self, _: &Envelope<'_>, _: &mut WriteBatch) {}
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let modules: usize = args.next().context("the number of modules is missing")?.parse()?;
    let member = args.next().context("the modules' program is missing")?;
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tokio = runtime.enter();
    let mut builder = Host::builder(Settings::default());
    let bus = Arc::new(LocalBus::default());
    runtime.block_on(bus.provide("here.echo", Arc::new(HostEcho))).expect("nobody provides it yet");
    builder.bus(bus);
    for number in 0..modules {
        let dir = dir.path().join(number.to_string());
        std::fs::create_dir(&dir)?;
        std::fs::write(dir.join("manifest.toml"), manifest(number))?;
        let module = Module::open(dir).map_err(|report| anyhow::anyhow!("{report}"))?;
        let config = Config::of(module.manifest());
        builder.module(Deployment::new(&module, Program::new(&member), &config)?)?;
    }
    let begin = Instant::now();
    let host = runtime.block_on(builder.start())?;
    runtime.block_on(host.ready()).map_err(|error| anyhow::anyhow!("{error}"))?;
    let elapsed = begin.elapsed();
    let pids =
        host.status().into_iter().flat_map(|module| module.instances).filter_map(|instance| instance.pid).collect();
    print_result(Ok(Ready { elapsed, pids }))?;
    for line in std::io::stdin().lines() {
        let assignments: Vec<Assignment> = serde_json::from_str(&line?)?;
        let running: Vec<_> = assignments
            .into_iter()
            .map(|Assignment { caller, workload }| match caller {
                Caller::Pair(pair) => tokio::spawn(run_by_module(host.clone(), pair, workload)),
                Caller::Host => tokio::spawn(run_by_host(host.clone(), workload)),
            })
            .collect();
        // All are waited for, also if one fails.
        let timings: Vec<Result<Timing>> =
            running.into_iter().map(|task| runtime.block_on(task).map_err(Into::into).flatten()).collect();
        print_result(timings.into_iter().collect::<Result<Vec<_>>>())?;
    }
    drop(tokio);
    runtime.block_on(host.shutdown());
    Ok(())
}

async fn run_by_module(host: Host, pair: usize, workload: Workload) -> Result<Timing> {
    let payload = serde_json::to_vec(&workload)?;
    let reply = host.call(&format!("drive.n{pair:02}"), &payload, CallOptions::default()).await?;
    Ok(reply.read()?)
}

async fn run_by_host(host: Host, workload: Workload) -> Result<Timing> {
    #[derive(serde::Deserialize)]
    struct Echoed {
        result: ixt_sdk::Bytes,
    }

    let topic: Arc<str> = workload.topic.as_str().into();
    match workload.payload {
        Payload::Bytes(bytes) => {
            let payload: Arc<[u8]> = vec![b'x'; bytes].into();
            run_workload(&workload, move || {
                let (host, topic, payload) = (host.clone(), Arc::clone(&topic), Arc::clone(&payload));
                async move {
                    let reply = host.call(&topic, &payload, CallOptions::default()).await?;
                    let Echoed { result } = reply.read()?;
                    ensure!(result.len() == bytes, "it did not send back what it got");
                    Ok(())
                }
            })
            .await
        }
        Payload::Record => {
            let record = Arc::new(Record::example());
            run_workload(&workload, move || {
                let (host, topic, record) = (host.clone(), Arc::clone(&topic), Arc::clone(&record));
                async move {
                    let request = serde_json::to_vec(&*record)?;
                    let reply = host.call(&topic, &request, CallOptions::default()).await?;
                    ensure!(reply.read::<Record>()? == *record, "it did not send back what it got");
                    Ok(())
                }
            })
            .await
        }
    }
}
