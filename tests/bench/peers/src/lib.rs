//! What the peers share. Each is a load generator that starts itself once more, as the server, and calls that with the client that its
//! library has.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, io};

use anyhow::{Context as _, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ixt_bench::process::Process;
use ixt_bench_wire::load::{Payload, Ready, Timing, Workload, print_result};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;

/// How long a server may take until it listens.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(10);

/// The main function of a peer on a Unix socket: `serve` if this process is the server, which gets the path of the socket as its argument.
/// Otherwise it starts the server, connects to it, and runs the workloads that it is sent.
pub fn main<C>(
    serve: impl FnOnce(&Path) -> Result<()>,
    connect: impl FnOnce(&Path) -> Result<C>,
    mut run: impl FnMut(&mut C, &Workload) -> Result<Timing>,
) -> Result<()> {
    if let Some(socket) = env::args_os().nth(1) {
        end_with_parent()?;
        return serve(Path::new(&socket));
    }
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("s");
    let begin = Instant::now();
    let mut server =
        Process::start(Command::new(env::current_exe()?).arg(&socket).stdin(Stdio::null()).stdout(Stdio::null()))?;
    while let Err(error) = UnixStream::connect(&socket) {
        server.ensure_running()?;
        let not_yet = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        if !not_yet || begin.elapsed() > LISTEN_TIMEOUT {
            return Err(server.explain(anyhow!("it does not listen: {error}")));
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    let mut client = connect(&socket).map_err(|error| server.explain(error))?;
    run_workloads(begin, [server], |workload| run(&mut client, workload))
}

/// Makes a first call, which [`Ready::elapsed`] includes, from `begin` on, and then runs the workloads that it reads from stdin. The last
/// of the processes is the one that replies, and is named in errors.
pub fn run_workloads<const N: usize>(
    begin: Instant,
    mut callees: [Process; N],
    mut run: impl FnMut(&Workload) -> Result<Timing>,
) -> Result<()> {
    let pids = callees.each_ref().map(Process::id);
    let mut run =
        |workload: &Workload| run(workload).map_err(|error| callees.last_mut().expect("there is one").explain(error));
    let first = Workload::new("", Payload::Bytes(64), 1, 1);
    run(&first).context("the first call")?;
    print_result(Ok(Ready { elapsed: begin.elapsed(), pids: pids.to_vec() }))?;
    for line in io::stdin().lines() {
        let workload = serde_json::from_str(&line?)?;
        print_result(run(&workload))?;
    }
    Ok(())
}

/// Has the kernel kill this process when the one that started it ends.
pub fn end_with_parent() -> Result<()> {
    Ok(set_pdeathsig(Signal::SIGKILL)?)
}

/// A runtime with one thread: with one process on each side, all of the peers are fastest with that.
pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Bytes as base64, for the peers that speak JSON.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Base64 as bytes.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    Ok(STANDARD.decode(text)?)
}

/// Decodes base64, and encodes the bytes again.
pub fn echo(text: &str) -> Result<String> {
    Ok(encode(&decode(text)?))
}
