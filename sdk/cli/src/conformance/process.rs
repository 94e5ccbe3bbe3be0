//! A process of the module, in a separate process group. When it is dropped, all processes of the group are killed. The
//! host of `ixt run` starts processes by other code, in `ixt-host`.

use std::collections::VecDeque;
use std::io::{self, BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::launch::LaunchCommand;
use crate::lock::lock;

/// The time between two looks whether a process has ended or connected.
pub(super) const POLL_INTERVAL: Duration = Duration::from_millis(2);
/// How long dropping a process waits at most for the end of stdout, and then of stderr: a process that has left the
/// group may keep the pipe open. Lines that come later are still added.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(1);
/// How many lines of output are kept, the last ones. They are shown with a failed check.
const LOG_LINES: usize = 12;

/// The last lines that the module's processes wrote to stdout and stderr, mixed as they came. A clone shares the lines.
/// The default is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct OutputTail(Arc<Mutex<VecDeque<String>>>);

impl OutputTail {
    /// The lines so far, the oldest first, at most [`LOG_LINES`], without line ends and other white space at their
    /// ends.
    pub(super) fn lines(&self) -> Vec<String> {
        lock(&self.0).iter().cloned().collect()
    }

    /// Adds a line; drops the oldest one if there are too many.
    fn push(&self, line: String) {
        let mut lines = lock(&self.0);
        if lines.len() == LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// The process groups that are running, so that an interrupted command can kill them. A clone shares the list.
#[derive(Debug, Clone, Default)]
pub(super) struct ProcessGroups(Arc<Mutex<RunningGroups>>);

#[derive(Debug, Default)]
struct RunningGroups {
    /// The groups of the processes that were started and not dropped yet.
    groups: Vec<Pid>,
    /// Whether no further process may be started.
    is_closed: bool,
}

impl ProcessGroups {
    /// Kills all groups with SIGKILL. From now on no process can be started. Does not wait for their end.
    pub(super) fn close(&self) {
        let mut running = lock(&self.0);
        running.is_closed = true;
        for group in &running.groups {
            let _ = kill_process_group(*group, Signal::KILL);
        }
    }

    /// Whether [`Self::close`] was called, which means that the command was interrupted.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.0).is_closed
    }
}

/// A process that was started for a check. Dropping it kills its group and waits for the end of the process and of its
/// output.
pub(super) struct ModuleProcess {
    /// The process that was started, the leader of `group`.
    child: Child,
    group: Pid,
    /// The list that the group is in.
    groups: ProcessGroups,
    /// Each is disconnected once all of stdout, or of stderr, has been read.
    readers: Vec<Receiver<()>>,
}

impl ModuleProcess {
    /// Starts a process that is to connect to `socket`, and returns without waiting for that. Its output goes to
    /// `output`. It is an error if the program can't be started, or if the groups are closed.
    pub(super) fn spawn(
        launch: &LaunchCommand,
        socket: &Path,
        groups: &ProcessGroups,
        output: &OutputTail,
    ) -> io::Result<Self> {
        // Locked until the group is in the list, so that `close` misses no process.
        let mut running = lock(&groups.0);
        if running.is_closed {
            return Err(io::Error::from(io::ErrorKind::Interrupted));
        }
        let mut child = Command::new(&launch.program)
            .args(&launch.args)
            .current_dir(&launch.dir)
            .envs(launch.env.iter().map(|(name, value)| (name, value)))
            .env("IXT_IPC_SOCKET", socket)
            .env("IXT_MODULE_ID", &launch.module_id)
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let group = Pid::from_child(&child);
        running.groups.push(group);
        drop(running);
        let mut readers = Vec::new();
        readers.extend(child.stdout.take().map(|stdout| read_lines(stdout, output)));
        readers.extend(child.stderr.take().map(|stderr| read_lines(stderr, output)));
        Ok(Self { child, group, groups: groups.clone(), readers })
    }

    /// Its exit status. `None` if it still runs. Does not wait. May be called again after the end.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end, and returns its exit status. `None` if it still runs after `timeout`.
    pub(super) fn wait(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.has_ended() {
                None if Instant::now() < deadline => std::thread::sleep(POLL_INTERVAL),
                status => return status,
            }
        }
    }

    /// Sends SIGTERM to the process alone, not to its group. Does not wait.
    pub(super) fn terminate(&self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
    }
}

impl Drop for ModuleProcess {
    fn drop(&mut self) {
        let mut running = lock(&self.groups.0);
        // It fails if no process of the group is left.
        let _ = kill_process_group(self.group, Signal::KILL);
        running.groups.retain(|running| *running != self.group);
        drop(running);
        let _ = self.child.wait();
        for reader in &self.readers {
            let _ = reader.recv_timeout(OUTPUT_TIMEOUT);
        }
    }
}

/// Reads an output to its end in a thread, and adds its lines to `output`. The receiver is disconnected at the end.
fn read_lines(from: impl Read + Send + 'static, output: &OutputTail) -> Receiver<()> {
    /// A longer line is kept in pieces of this length, each as a line.
    const MAX_LINE_BYTES: u64 = 4096;
    let output = output.clone();
    let (done, wait) = channel::<()>();
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!((&mut from).take(MAX_LINE_BYTES).read_until(b'\n', &mut line), Ok(1..)) {
            output.push(String::from_utf8_lossy(&line).trim_end().to_owned());
            line.clear();
        }
        drop(done);
    });
    wait
}
