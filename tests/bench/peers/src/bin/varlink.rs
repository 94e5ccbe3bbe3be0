//! varlink, over a Unix socket. Its client waits for each reply, so each call in flight has a connection of its own, with a thread on both
//! sides.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use ixt_bench_peers::{decode, encode};
use ixt_bench_wire::load::{Payload, Record, Timing, Workload};
use varlink::{Connection, ListenConfig, VarlinkService};

#[allow(clippy::all, dead_code, non_camel_case_types, unused)]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/echo.rs"));
}

use generated::{Call_Echo, Call_Record, Item, VarlinkClient, VarlinkClientInterface as _, VarlinkInterface};

struct Service;

impl VarlinkInterface for Service {
    fn echo(&self, call: &mut dyn Call_Echo, payload: String) -> varlink::Result<()> {
        match decode(&payload) {
            Ok(payload) => call.reply(encode(&payload)),
            Err(_) => call.reply_invalid_parameter("payload".to_owned()),
        }
    }

    fn record(&self, call: &mut dyn Call_Record, record: Item) -> varlink::Result<()> {
        call.reply(record)
    }
}

fn address(socket: &Path) -> String {
    format!("unix:{}", socket.display())
}

fn serve(socket: &Path) -> Result<()> {
    let service = VarlinkService::new(
        "org.example",
        "echo",
        "1",
        "https://example.org",
        vec![Box::new(generated::new(Box::new(Service)))],
    );
    let config = ListenConfig { max_worker_threads: 4096, ..Default::default() };
    varlink::listen(service, &address(socket), &config).map_err(|error| anyhow!("{error}"))
}

struct Clients {
    address: String,
    connected: Vec<VarlinkClient>,
}

fn connect(socket: &Path) -> Result<Clients> {
    Ok(Clients { address: address(socket), connected: Vec::new() })
}

fn run(clients: &mut Clients, workload: &Workload) -> Result<Timing> {
    let Workload { depth, calls, payload, .. } = *workload;
    while clients.connected.len() < depth {
        let connection = Connection::with_address(&clients.address).map_err(|error| anyhow!("{error}"))?;
        let mut client = VarlinkClient::new(connection);
        // The server's pool starts a thread only when all its threads are busy, so each connection is used before the next is made.
        call(&mut client, payload)?;
        clients.connected.push(client);
    }
    let ready = Arc::new(Barrier::new(depth));
    std::thread::scope(|scope| {
        let callers: Vec<_> = clients.connected[..depth]
            .iter_mut()
            .enumerate()
            .map(|(caller, client)| {
                let ready = Arc::clone(&ready);
                scope.spawn(move || {
                    ready.wait();
                    let (begin, mut trips) = (Instant::now(), Vec::new());
                    for _ in (caller..calls).step_by(depth) {
                        let start = Instant::now();
                        call(client, payload)?;
                        if depth == 1 {
                            trips.push(start.elapsed());
                        }
                    }
                    anyhow::Ok((begin, trips))
                })
            })
            .collect();
        let (mut begins, mut trips) = (Vec::new(), Vec::new());
        for caller in callers {
            let (begin, of_caller) = caller.join().expect("a caller doesn't panic")?;
            begins.push(begin);
            trips.extend(of_caller);
        }
        Ok(Timing::since(begins.into_iter().min().context("the depth is 0")?, calls, trips))
    })
}

fn call(client: &mut VarlinkClient, payload: Payload) -> Result<()> {
    let same = match payload {
        Payload::Bytes(bytes) => {
            let reply = client.echo(encode(&vec![b'x'; bytes])).call().map_err(|error| anyhow!("{error}"))?;
            decode(&reply.payload)?.len() == bytes
        }
        Payload::Record => {
            let Record { id, name, email, active, score, quantity, tags, note } = Record::example();
            let item = Item { id, name, email, active, score, quantity, tags, note };
            let reply = client.record(item.clone()).call().map_err(|error| anyhow!("{error}"))?;
            reply.record == item
        }
    };
    ensure!(same, "the reply is not what was sent");
    Ok(())
}

fn main() -> Result<()> {
    ixt_bench_peers::main(serve, connect, run)
}
