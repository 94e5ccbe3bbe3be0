//! A process at the other end of a socket, such as a module or the raw echo.

use std::net::Shutdown;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use ixt_bench::process::{Process, processor_time, program};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::client::Client;
use crate::frame::Framing;

/// How long a process may take to connect, in milliseconds.
const CONNECT_TIMEOUT: u16 = 20_000;

/// A process that has been started and has not connected yet.
pub struct Starting {
    process: Process,
    listener: UnixListener,
    _dir: tempfile::TempDir,
    begin: Instant,
}

impl Starting {
    /// Starts a process that connects to the socket in `IXT_IPC_SOCKET`. Its stdin and stdout are `/dev/null`.
    pub fn new(mut command: Command) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket)?;
        command.env("IXT_IPC_SOCKET", &socket).stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        Ok(Self { process: Process::start(&mut command)?, listener, _dir: dir, begin })
    }

    /// Waits for the process to connect, at most 20 seconds.
    pub fn accept(mut self) -> Result<(Process, UnixStream)> {
        let mut readable = [PollFd::new(self.listener.as_fd(), PollFlags::POLLIN)];
        if poll(&mut readable, PollTimeout::from(CONNECT_TIMEOUT))? == 0 {
            return Err(self.process.explain(anyhow!("it does not connect")));
        }
        Ok((self.process, self.listener.accept()?.0))
    }

    /// Waits for the process to connect, and sends it the first frame. [`Callee::receive_init`] reads the reply to it.
    pub fn send_init(self, framing: Framing) -> Result<Callee> {
        let begin = self.begin;
        let (process, stream) = self.accept()?;
        let mut callee = Callee { process, client: Client::new(stream, framing)?, begin, startup: Duration::ZERO };
        callee.talk(|client| client.send(&framing.init()))?;
        Ok(callee)
    }
}

/// A process that is called over a socket by the lean client. It is killed when this is dropped.
pub struct Callee {
    process: Process,
    client: Client,
    begin: Instant,
    /// The time from the start of the process to its reply to the first frame.
    pub startup: Duration,
}

/// What a call costs: the mean of many calls.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Wall-clock time for a call. With several calls in flight it is the time from one reply to the next.
    pub time: Duration,
    /// Processor time of the processes that are called.
    pub callee: Duration,
    /// Processor time of the process that calls.
    pub caller: Duration,
}

impl Callee {
    /// Starts a program of this workspace. Its frames are lines.
    pub fn start(name: &str) -> Result<Self> {
        Self::start_command(Command::new(program(name)?), Framing::Line)
    }

    /// Starts a process, and waits until it has replied to a first frame in this framing: a module, to `init`.
    pub fn start_command(command: Command, framing: Framing) -> Result<Self> {
        let mut callee = Starting::new(command)?.send_init(framing)?;
        callee.receive_init()?;
        Ok(callee)
    }

    /// Waits for the reply to the first frame.
    pub fn receive_init(&mut self) -> Result<()> {
        self.talk(Client::receive)?;
        self.startup = self.begin.elapsed();
        Ok(())
    }

    /// Sends the frame `times` times, each after the reply to the one before. Returns the times from sending to the whole reply, in
    /// ascending order.
    pub fn round_trips(&mut self, frame: &[u8], times: usize) -> Result<Vec<Duration>> {
        self.talk(|client| {
            let exchange = client.exchange(frame)?;
            client.one_by_one(&exchange, times)
        })
    }

    /// Sends the frame `times` times, with at most `depth` in flight. Returns what one costs; the caller is this process.
    pub fn throughput(&mut self, frame: &[u8], depth: usize, times: usize) -> Result<Cost> {
        let ids = [self.process.id(), std::process::id()];
        let processor = || Ok::<_, anyhow::Error>([processor_time(ids[0])?, processor_time(ids[1])?]);
        self.talk(|client| {
            let exchange = client.exchange(frame)?;
            let (before, start) = (processor()?, Instant::now());
            client.in_flight(&exchange, depth, times)?;
            let (time, after) = (start.elapsed(), processor()?);
            let per_call = |time: Duration| time.div_f64(times as f64);
            Ok(Cost {
                time: per_call(time),
                callee: per_call(after[0] - before[0]),
                caller: per_call(after[1] - before[1]),
            })
        })
    }

    /// The process ID.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Closes the connection and waits until the process ends. Fails if it fails, or if it has not ended after 20 seconds.
    pub fn end(self) -> Result<()> {
        self.client.stream().shutdown(Shutdown::Both)?;
        self.process.wait()
    }

    /// Does something with the connection. An error tells what has become of the process, which is killed.
    pub(crate) fn talk<T>(&mut self, conversation: impl FnOnce(&mut Client) -> Result<T>) -> Result<T> {
        conversation(&mut self.client).map_err(|error| self.process.explain(error))
    }
}
