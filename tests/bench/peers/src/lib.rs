//! What the peers share: each is a program that starts itself once more as a server and drives that, as its own client does it.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ixt_bench_wire::drive::{Drive, Driven, Payload, Ready, tell};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use tokio::runtime::Runtime;

/// Serves, if this process is the server; otherwise starts one, connects to it, and does what standard input tells.
pub fn run<C>(
    serve: impl FnOnce(&Path) -> Result<()>,
    connect: impl FnOnce(&Path) -> Result<C>,
    mut drive: impl FnMut(&mut C, &Drive) -> Result<Driven>,
) -> Result<()> {
    if let Some(socket) = std::env::args_os().nth(1) {
        set_pdeathsig(Signal::SIGKILL)?;
        return serve(Path::new(&socket));
    }
    let dir = tempfile::tempdir()?;
    let socket = dir.path().join("s");
    let start = Instant::now();
    let server = Server(Command::new(std::env::current_exe()?).arg(&socket).spawn()?);
    while let Err(error) = UnixStream::connect(&socket) {
        let not_yet = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused);
        if !not_yet || start.elapsed() > Duration::from_secs(10) {
            bail!("the server does not listen: {error}");
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    let mut client = connect(&socket)?;
    drive(&mut client, &Drive { topic: String::new(), payload: Payload::Bytes(64), depth: 1, calls: 1 })?;
    tell(Ok(Ready { seconds: start.elapsed().as_secs_f64(), pids: vec![server.0.id()] }))?;
    for line in io::stdin().lines() {
        tell(drive(&mut client, &serde_json::from_str(&line?)?))?;
    }
    Ok(())
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One thread: with a process on each side, that is what all of the peers are fastest with.
pub fn runtime() -> Result<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

/// Bytes as text, for those that speak JSON.
pub fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// And back.
pub fn decode(text: &str) -> Result<Vec<u8>> {
    Ok(STANDARD.decode(text)?)
}

/// The bytes of a payload, sent back.
pub fn echo(text: &str) -> Result<String> {
    Ok(encode(&decode(text)?))
}
