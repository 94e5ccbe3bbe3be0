//! The module's process: in a group of its own, of which nothing is left when this is gone.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::lock::lock;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How often to look whether something has happened for which there is nothing to wait for.
pub(super) const LOOK: Duration = Duration::from_millis(2);
/// How long to wait for the end of the output when the process has ended: what left the group may still hold it.
const OUTPUT_GRACE: Duration = Duration::from_secs(1);
/// How much of the module's log is kept, to be shown with what failed.
const LOG_LINES: usize = 12;

/// What is started.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    /// What the manifest sets of its environment.
    pub(super) env: Vec<(String, String)>,
    /// The manifest's.
    pub(super) dir: PathBuf,
    /// `name:version/instance-001`.
    pub(super) id: String,
}

/// The last lines that a process wrote to stdout and stderr.
pub(super) type Log = Arc<Mutex<VecDeque<String>>>;

/// The groups that are running, so that they can be ended when `ixt` is interrupted.
#[derive(Debug, Clone, Default)]
pub(super) struct Groups(Arc<Mutex<Running>>);

#[derive(Debug, Default)]
struct Running {
    groups: Vec<Pid>,
    closed: bool,
}

impl Groups {
    /// Ends all of them, and lets no other begin.
    pub(super) fn close(&self) {
        let mut running = lock(&self.0);
        running.closed = true;
        for group in &running.groups {
            let _ = kill_process_group(*group, Signal::KILL);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0).closed
    }
}

pub(super) struct Process {
    child: Child,
    /// `None` once nothing of it is left, when its number may be another's.
    group: Option<Pid>,
    groups: Groups,
    /// Each tells when it has read all of the output.
    pumps: Vec<Receiver<()>>,
}

impl Process {
    pub(super) fn spawn(launch: &Launch, socket: &Path, groups: &Groups, log: &Log) -> io::Result<Self> {
        // Held until the group is known, so that none begins while they are ended.
        let mut running = lock(&groups.0);
        if running.closed {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let mut child = Command::new(&launch.program)
            .args(&launch.args)
            .current_dir(&launch.dir)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .env("IXT_IPC_SOCKET", socket)
            .env("IXT_MODULE_ID", &launch.id)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let group = Some(Pid::from_child(&child));
        running.groups.extend(group);
        drop(running);
        let mut pumps = Vec::new();
        pumps.extend(child.stdout.take().map(|output| pump(output, log)));
        pumps.extend(child.stderr.take().map(|output| pump(output, log)));
        Ok(Self { child, group, groups: groups.clone(), pumps })
    }

    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end, but not for longer than this.
    pub(super) fn wait(&mut self, patience: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + patience;
        loop {
            match self.has_ended() {
                None if Instant::now() < deadline => std::thread::sleep(LOOK),
                status => return status,
            }
        }
    }

    /// Sends SIGTERM to the process.
    pub(super) fn terminate(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group.take() {
            let mut running = lock(&self.groups.0);
            // Fails if nothing is left in the group, which is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
            running.groups.retain(|running| *running != group);
        }
        let _ = self.child.wait();
        for pump in &self.pumps {
            let _ = pump.recv_timeout(OUTPUT_GRACE);
        }
    }
}

/// Keeps the last lines of an output.
fn pump(output: impl Read + Send + 'static, log: &Log) -> Receiver<()> {
    /// A longer line comes in pieces.
    const MAX_LINE_BYTES: u64 = 4096;
    let log = Arc::clone(log);
    let (done, wait) = channel::<()>();
    std::thread::spawn(move || {
        let mut output = BufReader::new(output);
        let mut line = Vec::new();
        while matches!((&mut output).take(MAX_LINE_BYTES).read_until(b'\n', &mut line), Ok(1..)) {
            let mut log = lock(&log);
            if log.len() == LOG_LINES {
                log.pop_front();
            }
            log.push_back(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
        drop(done);
    });
    wait
}

/// How a process ended, for people.
pub(super) fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("it exited with status {code}"),
        (None, Some(signal)) => format!("it was killed by signal {signal}"),
        (None, None) => format!("it ended with {status}"),
    }
}
