//! tonic, over a Unix socket: unary calls with raw bytes on one connection, each call in flight a task.

use std::path::Path;

use anyhow::{Result, ensure};
use ixt_bench_peers::runtime;
use ixt_bench_wire::load::{Payload, Record, Timing, Workload, run_workload};
use tokio::net::UnixListener;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Response, Status};

tonic::include_proto!("grpc");

use echo_client::EchoClient;
use echo_server::EchoServer;

struct Service;

#[tonic::async_trait]
impl echo_server::Echo for Service {
    async fn echo(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Status> {
        Ok(Response::new(request.into_inner()))
    }

    async fn record(&self, request: Request<Item>) -> Result<Response<Item>, Status> {
        Ok(Response::new(request.into_inner()))
    }
}

fn serve(socket: &Path) -> Result<()> {
    runtime()?.block_on(async {
        let incoming = UnixListenerStream::new(UnixListener::bind(socket)?);
        Ok(Server::builder().add_service(EchoServer::new(Service)).serve_with_incoming(incoming).await?)
    })
}

fn connect(socket: &Path) -> Result<(Runtime, EchoClient<Channel>)> {
    let runtime = runtime()?;
    let endpoint = Endpoint::from_shared(format!("unix:{}", socket.display()))?;
    let channel = runtime.block_on(endpoint.connect())?;
    Ok((runtime, EchoClient::new(channel)))
}

fn run((runtime, client): &mut (Runtime, EchoClient<Channel>), workload: &Workload) -> Result<Timing> {
    let client = client.clone();
    match workload.payload {
        Payload::Bytes(bytes) => {
            let request = Bytes { payload: vec![b'x'; bytes].into() };
            runtime.block_on(run_workload(workload, move || {
                let (mut client, request) = (client.clone(), request.clone());
                async move {
                    let reply = client.echo(request).await?.into_inner();
                    ensure!(reply.payload.len() == bytes, "the reply is not what was sent");
                    Ok(())
                }
            }))
        }
        Payload::Record => {
            let Record { id, name, email, active, score, quantity, tags, note } = Record::example();
            let item = Item { id, name, email, active, score, quantity, tags, note };
            runtime.block_on(run_workload(workload, move || {
                let (mut client, item) = (client.clone(), item.clone());
                async move {
                    let reply = client.record(item.clone()).await?.into_inner();
                    ensure!(reply == item, "the reply is not what was sent");
                    Ok(())
                }
            }))
        }
    }
}

fn main() -> Result<()> {
    ixt_bench_peers::main(serve, connect, run)
}
