//! The host's end of a socket, as plain as can be: it writes frames that were made before, and counts lines.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use ixt_sdk::encode_payload;

/// A process at the other end of a socket.
pub struct Peer {
    child: Child,
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// From the start of the process to its first answer.
    pub started: Duration,
    _dir: tempfile::TempDir,
}

/// One of this crate's programs.
pub fn program(name: &str) -> Result<PathBuf> {
    Ok(std::env::current_exe()?.parent().context("a program is in a directory")?.join(name))
}

impl Peer {
    /// Starts a program and waits until it has answered a first frame: of a module, `init`.
    pub fn start(program: &Path) -> Result<Self> {
        Self::start_by(Command::new(program))
    }

    /// The same by a command.
    pub fn start_by(mut command: Command) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket)?;
        let start = Instant::now();
        let child = command.env("IXT_IPC_SOCKET", &socket).spawn()?;
        let (stream, _) = listener.accept()?;
        let reader = BufReader::with_capacity(256 * 1024, stream.try_clone()?);
        let mut peer = Self { child, reader, writer: stream, started: Duration::ZERO, _dir: dir };
        peer.send(b"{\"type\":\"init\",\"id\":1,\"config\":{}}\n")?;
        peer.receive()?;
        peer.started = start.elapsed();
        Ok(peer)
    }

    /// Writes bytes.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.writer.write_all(bytes)?)
    }

    /// Reads a line, and tells its length.
    pub fn receive(&mut self) -> Result<usize> {
        let mut length = 0;
        loop {
            let buffer = self.reader.fill_buf()?;
            ensure!(!buffer.is_empty(), "the connection was closed");
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let read = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(read);
            length += read;
            if end.is_some() {
                return Ok(length);
            }
        }
    }

    /// Reads a line.
    pub fn receive_line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        Ok(line)
    }

    /// The time from sending one frame to having read its answer, so many times, sorted.
    pub fn round_trips(&mut self, frame: &[u8], times: usize) -> Result<Vec<Duration>> {
        // What sends back before it has read all would wait for this side to read, and this for it.
        let large = frame.len() > 64 * 1024;
        let mut writer = self.writer.try_clone()?;
        let (allow, allowed) = std::sync::mpsc::channel::<()>();
        let mut trips = Vec::with_capacity(times);
        std::thread::scope(|scope| -> Result<()> {
            scope.spawn(move || {
                while allowed.recv().is_ok() {
                    if writer.write_all(frame).is_err() {
                        return;
                    }
                }
            });
            for _ in 0..times {
                let start = Instant::now();
                if large {
                    allow.send(())?
                } else {
                    self.send(frame)?
                }
                self.receive()?;
                trips.push(start.elapsed());
            }
            drop(allow);
            Ok(())
        })?;
        trips.sort_unstable();
        Ok(trips)
    }

    /// How many frames a second are answered while 64 are on their way.
    pub fn throughput(&mut self, frame: &[u8], times: usize) -> Result<f64> {
        const DEPTH: usize = 64;
        let mut writer = self.writer.try_clone()?;
        let window = frame.repeat(DEPTH / 2);
        let windows = (times / (DEPTH / 2)).max(4);
        let start = Instant::now();
        // Two halves of 32, one being written while the other is read. Large ones don't fit into the socket, so a thread
        // writes them.
        let (allow, allowed) = std::sync::mpsc::sync_channel::<()>(2);
        let sender = std::thread::spawn(move || -> std::io::Result<()> {
            while allowed.recv().is_ok() {
                writer.write_all(&window)?;
            }
            Ok(())
        });
        allow.send(())?;
        for window in 0..windows {
            if window + 1 < windows {
                allow.send(())?;
            }
            for _ in 0..DEPTH / 2 {
                self.receive()?;
            }
        }
        let time = start.elapsed();
        drop(allow);
        sender.join().expect("the sender doesn't panic")?;
        Ok((windows * (DEPTH / 2)) as f64 / time.as_secs_f64())
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
        self.writer.shutdown(std::net::Shutdown::Both)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A figure of a process, in kilobytes.
pub fn memory(process: u32, figure: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(figure)).context("no such figure")?;
    Ok(line.trim_matches(|c: char| !c.is_ascii_digit()).parse()?)
}

/// A request whose payload has this many bytes.
pub fn frame(topic: &str, bytes: usize) -> Vec<u8> {
    let payload = encode_payload(vec![b'x'; bytes]);
    format!(
        "{{\"type\":\"handle\",\"id\":2,\"message\":{{\"topic\":\"{topic}\",\"payload\":\"{payload}\",\"priority\":2,\
         \"ttl_ms\":5000}},\"context\":{{\"trace_id\":\"0123456789abcdef0123456789abcdef\",\"source_module\":\
         \"caller:1.0.0\",\"timestamp\":1234567890}}}}\n"
    )
    .into_bytes()
}
