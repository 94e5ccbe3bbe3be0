//! A host in a process of its own, with so many modules of a program. It tells in JSON how long it took until they were ready, and which
//! processes they are; then it calls what it is told on standard input, a line of them at once, and tells the answers.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use ixt_bench_host::{Told, manifest};
use ixt_bench_wire::drive::{Drive, Driven, Payload, Ready, Record, at_once, tell};
use ixt_bench_wire::program;
use ixt_host::bus::{Bus as _, CallHandle, CallResult, Endpoint, Envelope, LocalBus, ReplyTo, WriteBatch};
use ixt_host::{CallOptions, Config, Deployment, Host, Module, Object, Program, Settings};
use ixt_protocol::WirePayload as Sent;

/// A service of the host itself: what it gets it sends back at once, in the form in which it came.
struct Here;

impl Endpoint for Here {
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        let data = match envelope.payload {
            Sent::Bytes(bytes) => Object::empty().attach("result", bytes),
            Sent::Base64(text) => {
                Object::serialize(&serde_json::json!({ "result": text.as_str() })).expect("it is one")
            }
        };
        reply.send(CallResult::Success(data), batch);
        CallHandle::default()
    }

    fn event(&self, _: &Envelope<'_>, _: &mut WriteBatch) {}
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let modules: usize = args.next().context("how many modules")?.parse()?;
    let member = args.next().map_or_else(|| program("member"), |member| Ok(member.into()))?;
    let dir = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tokio = runtime.enter();
    let mut builder = Host::builder(Settings::default());
    let bus = Arc::new(LocalBus::default());
    runtime.block_on(bus.provide("here.echo", Arc::new(Here))).expect("nobody has it");
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
    let seconds = begin.elapsed().as_secs_f64();
    let pids =
        host.status().into_iter().flat_map(|module| module.instances).filter_map(|instance| instance.pid).collect();
    tell(Ok(Ready { seconds, pids }))?;
    for line in std::io::stdin().lines() {
        let told: Vec<Told> = serde_json::from_str(&line?)?;
        let calls: Vec<_> = told
            .into_iter()
            .map(|(pair, drive)| match pair {
                Some(pair) => tokio::spawn(drive_by_module(host.clone(), pair, drive)),
                None => tokio::spawn(drive_by_host(host.clone(), drive)),
            })
            .collect();
        // Each is waited for, also if one fails.
        let answers: Vec<Result<Driven>> =
            calls.into_iter().map(|call| runtime.block_on(call).map_err(Into::into).flatten()).collect();
        tell(answers.into_iter().collect::<Result<Vec<_>>>())?;
    }
    drop(tokio);
    runtime.block_on(host.shutdown());
    Ok(())
}

async fn drive_by_module(host: Host, pair: usize, drive: Drive) -> Result<Driven> {
    let payload = serde_json::to_vec(&drive)?;
    let answer = host.call(&format!("drive.n{pair:02}"), &payload, CallOptions::default()).await?;
    Ok(answer.read()?)
}

async fn drive_by_host(host: Host, drive: Drive) -> Result<Driven> {
    #[derive(serde::Deserialize)]
    struct Echoed {
        result: ixt_sdk::Bytes,
    }

    let topic: Arc<str> = drive.topic.as_str().into();
    match drive.payload {
        Payload::Bytes(bytes) => {
            let payload: Arc<[u8]> = vec![b'x'; bytes].into();
            at_once(&drive, move || {
                let (host, topic, payload) = (host.clone(), Arc::clone(&topic), Arc::clone(&payload));
                async move {
                    let answer = host.call(&topic, &payload, CallOptions::default()).await?;
                    let Echoed { result } = answer.read()?;
                    ensure!(result.len() == bytes, "it did not send back what it got");
                    Ok(())
                }
            })
            .await
        }
        Payload::Record => {
            let record = Arc::new(Record::example());
            at_once(&drive, move || {
                let (host, topic, record) = (host.clone(), Arc::clone(&topic), Arc::clone(&record));
                async move {
                    let request = serde_json::to_vec(&*record)?;
                    let answer = host.call(&topic, &request, CallOptions::default()).await?;
                    ensure!(answer.read::<Record>()? == *record, "it did not send back what it got");
                    Ok(())
                }
            })
            .await
        }
    }
}
