//! zlink, over a Unix socket. Its client waits for each reply, or sends a chain of calls in one write and then reads all replies. Neither
//! side reads while it writes, so a chain must fit into the socket. The calls in flight are as few chains as that allows, each on a
//! connection of its own.
//!
//! Only whole chains are sent, so the number of calls and the depth may be somewhat lower than those of the workload.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use futures::StreamExt as _;
use ixt_bench_peers::{decode, echo, encode, runtime};
use ixt_bench_wire::load::{Payload, Record, Timing, Workload};
use serde::{Deserialize, Serialize};
use tokio::runtime::Runtime;
use zlink::tokio::unix::{self, Connection};
use zlink::{Call, ReplyError, Server, introspect, service};

/// The number of bytes that a socket takes for certain while nobody reads.
const CHAIN_BYTES: usize = 96 * 1024;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, introspect::Type)]
struct Item {
    id: i64,
    name: String,
    email: String,
    active: bool,
    score: f64,
    quantity: i64,
    tags: Vec<String>,
    note: String,
}

#[derive(Debug, Serialize, Deserialize, introspect::Type)]
struct Echoed {
    payload: String,
}

#[derive(Debug, Serialize, Deserialize, introspect::Type)]
struct Recorded {
    record: Item,
}

#[derive(Debug, PartialEq, ReplyError, introspect::ReplyError)]
#[zlink(interface = "org.example.echo")]
enum EchoError {
    NotBase64,
}

#[derive(Debug, Serialize)]
#[serde(tag = "method", content = "parameters")]
enum Method<'a> {
    #[serde(rename = "org.example.echo.Echo")]
    Echo { payload: &'a str },
    #[serde(rename = "org.example.echo.Record")]
    Record { record: &'a Item },
}

struct Service;

#[service(interface = "org.example.echo")]
impl Service {
    async fn echo(&mut self, payload: String) -> Result<Echoed, EchoError> {
        let payload = echo(&payload).map_err(|_| EchoError::NotBase64)?;
        Ok(Echoed { payload })
    }

    async fn record(&mut self, record: Item) -> Recorded {
        Recorded { record }
    }
}

fn serve(socket: &Path) -> Result<()> {
    runtime()?.block_on(async { Ok(Server::new(unix::bind(socket)?, Service).run().await?) })
}

struct Clients {
    runtime: Runtime,
    socket: std::path::PathBuf,
    connected: Vec<Connection>,
}

fn connect(socket: &Path) -> Result<Clients> {
    Ok(Clients { runtime: runtime()?, socket: socket.to_owned(), connected: Vec::new() })
}

fn run(clients: &mut Clients, workload: &Workload) -> Result<Timing> {
    let Clients { runtime, socket, connected } = clients;
    let Workload { depth, calls, payload, .. } = *workload;
    let bytes = match payload {
        Payload::Bytes(bytes) => bytes * 4 / 3 + 100,
        Payload::Record => 300,
    };
    let chain = (CHAIN_BYTES / bytes).clamp(1, depth);
    let callers = depth / chain;
    runtime.block_on(async {
        while connected.len() < callers {
            connected.push(unix::connect(&*socket).await?);
        }
        let start = Instant::now();
        let chains = (calls / (callers * chain)).max(1);
        let trips = connected[..callers].iter_mut().map(|connection| async move {
            let mut trips = Vec::new();
            for _ in 0..chains {
                let start = Instant::now();
                call(connection, payload, chain).await?;
                if depth == 1 {
                    trips.push(start.elapsed());
                }
            }
            anyhow::Ok(trips)
        });
        let trips: Vec<Result<Vec<Duration>>> = futures::future::join_all(trips).await;
        let trips = trips.into_iter().collect::<Result<Vec<_>>>()?.concat();
        Ok(Timing::since(start, chains * callers * chain, trips))
    })
}

/// Makes a chain of calls, and checks the replies.
async fn call(connection: &mut Connection, payload: Payload, chain: usize) -> Result<()> {
    match payload {
        Payload::Bytes(bytes) => {
            let payload = vec![b'x'; bytes];
            let call = || Ok(encode(&payload));
            send(
                connection,
                chain,
                call,
                |text: &String| Method::Echo { payload: text },
                |reply: Echoed| Ok(decode(&reply.payload)?.len() == bytes),
            )
            .await
        }
        Payload::Record => {
            let Record { id, name, email, active, score, quantity, tags, note } = Record::example();
            let item = Item { id, name, email, active, score, quantity, tags, note };
            let call = || Ok(item.clone());
            send(
                connection,
                chain,
                call,
                |item: &Item| Method::Record { record: item },
                |reply: Recorded| Ok(reply.record == item),
            )
            .await
        }
    }
}

async fn send<R, A: for<'de> Deserialize<'de> + std::fmt::Debug>(
    connection: &mut Connection,
    chain: usize,
    request: impl Fn() -> Result<R>,
    method: impl for<'a> Fn(&'a R) -> Method<'a>,
    check: impl Fn(A) -> Result<bool>,
) -> Result<()> {
    let mut calls = connection.chain_call(&Call::new(method(&request()?)), Vec::new())?;
    for _ in 1..chain {
        calls = calls.append(&Call::new(method(&request()?)), Vec::new())?;
    }
    let mut replies = std::pin::pin!(calls.send::<A, EchoError>().await?);
    while let Some(reply) = replies.next().await {
        let reply = reply?.0.map_err(|error| anyhow!("{error:?}"))?;
        let reply = reply.into_parameters().context("it has no reply")?;
        ensure!(check(reply)?, "the reply is not what was sent");
    }
    Ok(())
}

fn main() -> Result<()> {
    ixt_bench_peers::main(serve, connect, run)
}
