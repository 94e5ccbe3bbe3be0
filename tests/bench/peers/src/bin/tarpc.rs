//! tarpc, with JSON over a Unix socket: one connection, each call in flight a task.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use ixt_bench_peers::{decode, echo, encode, runtime};
use ixt_bench_wire::load::{Payload, Record, Timing, Workload, run_workload};
use tarpc::context;
use tarpc::serde_transport::unix;
use tarpc::server::{BaseChannel, Channel as _};
use tarpc::tokio_serde::formats::Json;
use tokio::runtime::Runtime;

#[tarpc::service]
trait Echo {
    async fn echo(payload: String) -> Result<String, String>;
    async fn record(record: Record) -> Record;
}

#[derive(Clone)]
struct Server;

impl Echo for Server {
    async fn echo(self, _: context::Context, payload: String) -> Result<String, String> {
        echo(&payload).map_err(|error| error.to_string())
    }

    async fn record(self, _: context::Context, record: Record) -> Record {
        record
    }
}

fn serve(socket: &Path) -> Result<()> {
    runtime()?.block_on(async {
        let mut incoming = unix::listen(socket, Json::default).await?;
        while let Some(transport) = incoming.next().await {
            let requests = BaseChannel::with_defaults(transport?).execute(Server.serve());
            tokio::spawn(requests.for_each(async |response| {
                tokio::spawn(response);
            }));
        }
        Ok(())
    })
}

fn connect(socket: &Path) -> Result<(Runtime, EchoClient)> {
    let runtime = runtime()?;
    let client = runtime.block_on(async {
        let transport = unix::connect(socket, Json::default).await?;
        // The defaults are below the depths of the workloads.
        let mut config = tarpc::client::Config::default();
        config.max_in_flight_requests = 2048;
        config.pending_request_buffer = 2048;
        anyhow::Ok(EchoClient::new(config, transport).spawn())
    })?;
    Ok((runtime, client))
}

/// A context whose deadline no call here misses.
fn context() -> context::Context {
    let mut context = context::current();
    context.deadline = Instant::now() + Duration::from_secs(60);
    context
}

fn run((runtime, client): &mut (Runtime, EchoClient), workload: &Workload) -> Result<Timing> {
    let client = client.clone();
    match workload.payload {
        Payload::Bytes(bytes) => {
            let payload: Arc<[u8]> = vec![b'x'; bytes].into();
            runtime.block_on(run_workload(workload, move || {
                let (client, payload) = (client.clone(), Arc::clone(&payload));
                async move {
                    let reply = client.echo(context(), encode(&payload)).await?.map_err(anyhow::Error::msg)?;
                    ensure!(decode(&reply)?.len() == payload.len(), "the reply is not what was sent");
                    Ok(())
                }
            }))
        }
        Payload::Record => {
            let record = Record::example();
            runtime.block_on(run_workload(workload, move || {
                let (client, record) = (client.clone(), record.clone());
                async move {
                    let reply = client.record(context(), record.clone()).await?;
                    ensure!(reply == record, "the reply is not what was sent");
                    Ok(())
                }
            }))
        }
    }
}

fn main() -> Result<()> {
    ixt_bench_peers::main(serve, connect, run)
}
