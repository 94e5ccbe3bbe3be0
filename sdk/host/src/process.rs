//! A module's process: in a group of its own, its output taken line by line, and gone when this is gone.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ixt_manifest::Limits;
use ixt_protocol::LogLevel;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::listener::file_limit_before;
use crate::logs::{Logs, Origin, Record};
use crate::machine::{self, Machine};
use crate::reaper;
use crate::remains::Remains;

/// A line longer than this is passed on in pieces.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;
/// So many of the last lines of stderr are told when a process has failed.
const TAIL_LINES: usize = 20;
/// How long to wait for the end of the output when the process has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// Where the output of a process goes.
#[derive(Debug)]
pub(crate) struct Output {
    logs: Logs,
    /// The process, by its id.
    instance: Arc<str>,
    /// The last lines of stderr.
    tail: Mutex<VecDeque<String>>,
}

impl Output {
    pub(crate) fn new(logs: Logs, instance: Arc<str>) -> Self {
        Self { logs, instance, tail: Mutex::default() }
    }

    /// The last lines of stderr.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    async fn line(&self, origin: Origin, line: &str) {
        if origin == Origin::Stderr {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() == TAIL_LINES {
                tail.pop_front();
            }
            tail.push_back(line.to_owned());
        }
        // A flood of output waits here; the pipe is then full, and whoever writes into it waits too.
        self.logs.room().await;
        let (level, line) = level(line);
        self.logs.write(Record { level, origin, ..Record::new(&self.instance, line) });
    }
}

/// The level that stands before a line, as SDKs and many loggers write it.
fn level(line: &str) -> (LogLevel, &str) {
    let levels = [LogLevel::Trace, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error];
    for level in levels {
        let name = level.as_str();
        if let Some((head, rest)) = line.split_at_checked(name.len())
            && head.eq_ignore_ascii_case(name)
            && head.chars().all(char::is_uppercase)
            && let Some(rest) = rest.strip_prefix([' ', ':'])
        {
            return (level, rest.trim_start());
        }
    }
    (LogLevel::Info, line)
}

/// A process group, killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Group(Option<Pid>);

impl Group {
    /// The group of a process that was started with `process_group(0)`: its number is that of the process.
    pub(crate) fn of(leader: &Child) -> Self {
        Self(pid_of(leader))
    }

    /// Kills what is left of the group now, and nothing later, when its number may have been given to another.
    pub(crate) fn end(&mut self) {
        if let Some(group) = self.0.take() {
            // Fails if nothing is left in the group, which is what is wanted.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.end();
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
}

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    leader: Pid,
    is_reaped: bool,
    /// What it has started, and itself.
    remains: Remains,
    machine: Arc<Machine>,
    output: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn spawn(
        mut command: Command,
        limits: &Limits,
        output: &Arc<Output>,
        machine: &Arc<Machine>,
    ) -> io::Result<Self> {
        machine.mark(&mut command, &output.instance);
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = reaper::spawn(&mut command)?;
        let leader = pid_of(&child).ok_or(io::ErrorKind::NotFound)?;
        let remains = machine.remains(leader, &output.instance, limits.cpu);
        let mut this =
            Self { child, leader, is_reaped: false, remains, machine: Arc::clone(machine), output: Vec::new() };
        limit(leader, limits)?;
        if let Some(stdout) = this.child.stdout.take() {
            this.output.push(tokio::spawn(pump(stdout, Origin::Stdout, Arc::clone(output))));
        }
        if let Some(stderr) = this.child.stderr.take() {
            this.output.push(tokio::spawn(pump(stderr, Origin::Stderr, Arc::clone(output))));
        }
        Ok(this)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process itself ends. Cancel-safe.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        // Once: later its number may be that of another one.
        if !std::mem::replace(&mut self.is_reaped, true) {
            reaper::reaped(self.leader.as_raw_nonzero().get().unsigned_abs());
        }
        status
    }

    /// Ends the process, first asking it to, and whatever it has started. It has this long to end by itself, and then again
    /// after SIGTERM; what it leaves behind has as long after SIGTERM.
    pub(crate) async fn end(&mut self, patience: Duration, grace: Duration) -> io::Result<ExitStatus> {
        let status = match timeout(patience, self.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.remains.signal(Signal::TERM);
                match timeout(grace, self.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        self.remains.kill();
                        self.wait().await
                    }
                }
            }
        };
        machine::end(&mut self.remains, grace).await;
        self.forget();
        status
    }

    /// Nothing is left of it.
    fn forget(&mut self) {
        self.remains = Remains::default();
        self.machine.ended(self.leader);
    }

    /// Waits until all of its output was passed on, when it has ended. Something that has left the group may still hold the
    /// pipe, and the log may be slow, so that this has a limit.
    pub(crate) async fn output(&mut self) {
        let limit = Instant::now() + OUTPUT_GRACE;
        for mut pump in self.output.drain(..) {
            if timeout_at(limit, &mut pump).await.is_err() {
                pump.abort();
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.remains.kill();
        self.forget();
    }
}

/// What the manifest allows, where the system can see to it. The process has done nothing yet but begin.
fn limit(pid: Pid, limits: &Limits) -> io::Result<()> {
    let set = |resource, value: u64| {
        prlimit(Some(pid), resource, Rlimit { current: Some(value), maximum: Some(value) }).map(drop)
    };
    if let Some(memory) = limits.memory {
        // What it writes to, not what it reserves: runtimes reserve much more than they use.
        set(Resource::Data, memory)?;
    }
    match limits.files {
        Some(files) => set(Resource::Nofile, files)?,
        // What the host has taken for itself is not for its modules: with a high limit, some programs are slow, or wrong.
        None => {
            if let Some(before) = file_limit_before() {
                prlimit(Some(pid), Resource::Nofile, before)?;
            }
        }
    }
    Ok(())
}

async fn pump(source: impl AsyncRead + Unpin, origin: Origin, output: Arc<Output>) {
    let mut source = BufReader::new(source);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut source).take(MAX_LINE_BYTES as u64).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                if line.ends_with(b"\n") {
                    line.pop();
                    line.pop_if(|byte| *byte == b'\r');
                }
                output.line(origin, &String::from_utf8_lossy(&line)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_before_a_line_is_taken_from_it() {
        assert_eq!(level("ERROR no disk"), (LogLevel::Error, "no disk"));
        assert_eq!(level("WARN: hot"), (LogLevel::Warn, "hot"));
        assert_eq!(level("INFORMATION"), (LogLevel::Info, "INFORMATION"));
        assert_eq!(level("error in line 1"), (LogLevel::Info, "error in line 1"));
        assert_eq!(level(""), (LogLevel::Info, ""));
    }
}
