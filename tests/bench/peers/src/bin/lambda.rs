//! lambda_runtime, the SDK of AWS Lambda. A function asks a service for each event by HTTP over TCP, and posts its answer in a second
//! request.
//!
//! This is more work than the other peers have. A function handles one event at a time, so the depth of a workload has no effect. The
//! service is this program, which only hands out events and checks the answers.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ixt_bench::process::Process;
use ixt_bench_peers::{decode, echo, encode, end_with_parent, run_workloads, runtime};
use ixt_bench_wire::load::{Payload, Record, Timing, Workload};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Event {
    Bytes { payload: String },
    Record(Record),
}

async fn handle(event: LambdaEvent<Event>) -> Result<Event, Error> {
    Ok(match event.payload {
        Event::Bytes { payload } => Event::Bytes { payload: echo(&payload)? },
        record => record,
    })
}

/// The service: the events that it is to hand out, and the answers that it gets. One of each at most.
struct Service {
    events: SyncSender<Vec<u8>>,
    answers: Receiver<Vec<u8>>,
}

impl Service {
    /// Starts the service and its function.
    fn start() -> Result<(Self, Process)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").env("AWS_LAMBDA_RUNTIME_API", listener.local_addr()?.to_string());
        command.env("AWS_LAMBDA_FUNCTION_NAME", "echo").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128");
        let function = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()))?;
        let (events, to_hand_out) = sync_channel(1);
        let (to_answer, answers) = sync_channel(1);
        let to_hand_out = Arc::new(Mutex::new(to_hand_out));
        // The function opens a connection for each request that it makes while another one is open.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (to_hand_out, to_answer) = (Arc::clone(&to_hand_out), to_answer.clone());
                std::thread::spawn(move || converse(stream, &to_hand_out, &to_answer));
            }
        });
        Ok((Self { events, answers }, function))
    }

    /// Hands out an event, and waits for the answer, at most 20 seconds.
    fn call(&self, event: Vec<u8>) -> Result<Event> {
        self.events.send(event)?;
        Ok(serde_json::from_slice(&self.answers.recv_timeout(Duration::from_secs(20))?)?)
    }
}

/// Answers the requests of one connection.
fn converse(stream: TcpStream, events: &Mutex<Receiver<Vec<u8>>>, answers: &SyncSender<Vec<u8>>) -> Result<()> {
    stream.set_nodelay(true)?;
    let (mut requests, mut stream) = (BufReader::with_capacity(256 * 1024, stream.try_clone()?), stream);
    loop {
        let (mut first, mut length) = (String::new(), 0);
        requests.read_line(&mut first)?;
        ensure!(!first.is_empty(), "the function closed the connection");
        loop {
            let mut header = String::new();
            requests.read_line(&mut header)?;
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
        }
        let mut body = vec![0; length];
        requests.read_exact(&mut body)?;
        if first.starts_with("GET ") {
            let event = events.lock().unwrap_or_else(PoisonError::into_inner).recv()?;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
                 Lambda-Runtime-Aws-Request-Id: 8476a536-e9f4-11e8-9739-2dfe598c3fcd\r\n\
                 Lambda-Runtime-Deadline-Ms: 4102444800000\r\n\r\n",
                event.len()
            );
            stream.write_all(&[head.as_bytes(), &event].concat())?;
        } else {
            stream.write_all(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")?;
            answers.send(body)?;
        }
    }
}

fn run(service: &Service, workload: &Workload) -> Result<Timing> {
    let start = Instant::now();
    let mut trips = Vec::with_capacity(workload.calls);
    for _ in 0..workload.calls {
        let start = Instant::now();
        let same = match workload.payload {
            Payload::Bytes(bytes) => {
                let event = Event::Bytes { payload: encode(&vec![b'x'; bytes]) };
                let Event::Bytes { payload } = service.call(serde_json::to_vec(&event)?)? else {
                    anyhow::bail!("the answer is a record");
                };
                decode(&payload)?.len() == bytes
            }
            Payload::Record => {
                let event = serde_json::to_vec(&Event::Record(Record::example()))?;
                matches!(service.call(event)?, Event::Record(record) if record == Record::example())
            }
        };
        ensure!(same, "the answer is not what was sent");
        trips.push(start.elapsed());
    }
    Ok(Timing::since(start, workload.calls, trips))
}

fn main() -> Result<()> {
    if std::env::args().nth(1).is_some() {
        end_with_parent()?;
        let serve = async { lambda_runtime::Runtime::new(service_fn(handle)).run().await };
        return runtime()?.block_on(serve).map_err(anyhow::Error::from_boxed);
    }
    let begin = Instant::now();
    let (service, function) = Service::start()?;
    run_workloads(begin, [function], |workload| run(&service, workload))
}
