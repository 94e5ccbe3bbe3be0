//! A module's process: in a group of its own, its output taken line by line, and gone when this is gone.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Called with each line that the process writes to stdout or stderr.
pub(crate) type Output = Arc<dyn Fn(&str) + Send + Sync>;

/// A line longer than this is passed on in pieces.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// How long a process has after SIGTERM before SIGKILL.
const TERM_GRACE: Duration = Duration::from_secs(2);
/// How long to wait for the end of the output when the process has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(5);

/// A process group, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group of a process that was started with `process_group(0)`: its number is that of the process.
    pub(crate) fn of(leader: &Child) -> Self {
        Self(leader.id().and_then(|id| Pid::from_raw(id.cast_signed())))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // Fails if nothing is left in the group, which is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Kills what is left of the group now, and nothing later, when its number may have been given to another.
    pub(crate) fn end(&mut self) {
        self.signal(Signal::KILL);
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    group: Group,
    output: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn spawn(mut command: Command, output: &Output) -> io::Result<Self> {
        let mut child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let group = Group::of(&child);
        let mut pumps = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            pumps.push(tokio::spawn(pump(stdout, Arc::clone(output))));
        }
        if let Some(stderr) = child.stderr.take() {
            pumps.push(tokio::spawn(pump(stderr, Arc::clone(output))));
        }
        Ok(Self { child, group, output: pumps })
    }

    /// Waits until the process itself ends. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Ends the process, first asking it to, and whatever it has started; returns when all of its output was passed on.
    pub(crate) async fn end(&mut self, patience: Duration) -> io::Result<ExitStatus> {
        let status = match timeout(patience, self.child.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.group.signal(Signal::TERM);
                match timeout(TERM_GRACE, self.child.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        self.group.signal(Signal::KILL);
                        self.child.wait().await
                    }
                }
            }
        };
        self.group.end();
        for pump in self.output.drain(..) {
            // Something that left the group may still hold the pipe.
            let _ = timeout(OUTPUT_GRACE, pump).await;
        }
        status
    }
}

async fn pump(source: impl AsyncRead + Unpin, output: Output) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut source).take(MAX_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if line.ends_with(b"\n") {
                    line.pop();
                }
                output(&String::from_utf8_lossy(&line));
            }
        }
    }
}
