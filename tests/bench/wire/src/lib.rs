//! A process at the other end of a socket, and the lean client that drives it.

pub mod client;
pub mod drive;
pub mod frame;
pub mod processor;

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use client::Client;
pub use frame::{Framing, frame};
pub use processor::processor_time;

/// A process at the other end of a socket.
pub struct Peer {
    child: Child,
    pub client: Client,
    /// From the start of the process to its first answer.
    pub started: Duration,
    _dir: tempfile::TempDir,
}

/// What a request costs while there are always some on their way.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// The time from one reply to the next.
    pub each: Duration,
    /// Processor time of the process.
    pub peer: Duration,
    /// Processor time of the client.
    pub client: Duration,
}

/// One of this workspace's programs.
pub fn program(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().context("a program is in a directory")?.join(name))
}

impl Peer {
    /// Starts a program and waits until it has answered a first frame in a line: of a module, `init`.
    pub fn start(program: &Path) -> Result<Self> {
        Self::start_by(Command::new(program), Framing::Line)
    }

    /// Starts a program by a command, in this framing. Its log is dropped.
    pub fn start_by(mut command: Command, framing: Framing) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket)?;
        let start = Instant::now();
        let mut child = command.env("IXT_IPC_SOCKET", &socket).stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let connected = poll(
            &mut [PollFd::new(std::os::fd::AsFd::as_fd(&listener), PollFlags::POLLIN)],
            PollTimeout::from(20_000u16),
        );
        if connected != Ok(1) {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("{command:?} does not connect");
        }
        let client = Client::new(listener.accept()?.0, framing)?;
        let mut peer = Self { child, client, started: Duration::ZERO, _dir: dir };
        peer.client.call(&framing.init())?;
        peer.started = start.elapsed();
        Ok(peer)
    }

    /// Sends the frame `times` times, one after the other. Returns the times from sending to having read the reply, sorted.
    pub fn round_trips(&mut self, frame: &[u8], times: usize) -> Result<Vec<Duration>> {
        let exchange = self.client.exchange(frame)?;
        self.client.one_by_one(&exchange, times)
    }

    /// Sends the frame `times` times, with at most `depth` of them on their way. Returns what one costs.
    pub fn throughput(&mut self, frame: &[u8], depth: usize, times: usize) -> Result<Cost> {
        let exchange = self.client.exchange(frame)?;
        let processor =
            |peer: &Self| Ok::<_, anyhow::Error>([processor_time(peer.id())?, processor_time(std::process::id())?]);
        let (before, start) = (processor(self)?, Instant::now());
        self.client.many(&exchange, depth, times)?;
        let (time, after) = (start.elapsed(), processor(self)?);
        let per = |time: Duration| time.div_f64(times as f64);
        Ok(Cost { each: per(time), peer: per(after[0] - before[0]), client: per(after[1] - before[1]) })
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A figure of the process, in kilobytes: `VmRSS`, `VmHWM`.
    pub fn memory(&self, figure: &str) -> Result<u64> {
        memory(self.id(), figure)
    }

    /// Closes the connection and waits for the process.
    pub fn end(mut self) -> Result<()> {
        self.client.stream().shutdown(std::net::Shutdown::Both)?;
        wait(&mut self.child, Duration::from_secs(20))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a process to end by itself. Kills it after `most`, and fails.
pub fn wait(child: &mut Child, most: Duration) -> Result<()> {
    let start = Instant::now();
    while child.try_wait()?.is_none() {
        if start.elapsed() > most {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("it does not end");
        }
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// A figure of a process, in kilobytes.
pub fn memory(process: u32, figure: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).context("no such figure")?;
    Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
}
