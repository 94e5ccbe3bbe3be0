//! tarpc, with JSON over a Unix socket: one connection, as many calls at once as there are to be.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use ixt_bench_peers::{decode, echo, encode, run, runtime};
use ixt_bench_wire::drive::{Drive, Driven, Payload, Record, at_once};
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
        // Its default is less than are on their way here.
        let mut config = tarpc::client::Config::default();
        config.max_in_flight_requests = 2048;
        config.pending_request_buffer = 2048;
        anyhow::Ok(EchoClient::new(config, transport).spawn())
    })?;
    Ok((runtime, client))
}

fn context() -> context::Context {
    let mut context = context::current();
    context.deadline = Instant::now() + Duration::from_secs(60);
    context
}

fn drive((runtime, client): &mut (Runtime, EchoClient), drive: &Drive) -> Result<Driven> {
    let client = client.clone();
    match drive.payload {
        Payload::Bytes(bytes) => {
            let payload: Arc<[u8]> = vec![b'x'; bytes].into();
            runtime.block_on(at_once(drive, move || {
                let (client, payload) = (client.clone(), Arc::clone(&payload));
                async move {
                    let answer = client.echo(context(), encode(&payload)).await?.map_err(anyhow::Error::msg)?;
                    ensure!(decode(&answer)?.len() == payload.len(), "it did not send back what it got");
                    Ok(())
                }
            }))
        }
        Payload::Record => {
            let record = Record::example();
            runtime.block_on(at_once(drive, move || {
                let (client, record) = (client.clone(), record.clone());
                async move {
                    let answer = client.record(context(), record.clone()).await?;
                    ensure!(answer == record, "it did not send back what it got");
                    Ok(())
                }
            }))
        }
    }
}

fn main() -> Result<()> {
    run(serve, connect, drive)
}
