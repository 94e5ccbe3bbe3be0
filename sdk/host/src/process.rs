//! A module's process: in a group of its own, its output taken line by line, and gone when this is gone.

use std::collections::VecDeque;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ixt_manifest::Limits;
use ixt_protocol::LogLevel;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use tokio::io::AsyncRead;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::file_limit;
use crate::logs::{Captured, Logs, Origin, Part, Pieces, Record, shortened};
use crate::machine::{self, Machine};
use crate::reaper;
use crate::remains::Remains;
use crate::standstill::timeout;

/// A line longer than this is passed on in pieces.
pub(crate) const MAX_LINE_BYTES: usize = 64 * 1024;
/// So many of the last lines of stderr, and of the errors of its log, are told when a process has failed.
const TAIL_LINES: usize = 20;
/// And so much of each.
const TAIL_LINE_BYTES: usize = 2 * 1024;
/// How long to wait for the end of the output when the process has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// Where the output of a process goes.
#[derive(Debug)]
pub(crate) struct Output {
    logs: Logs,
    /// The process, by its id.
    instance: Arc<str>,
    /// The last lines of stderr, and errors of its log.
    tail: Mutex<VecDeque<String>>,
}

impl Output {
    pub(crate) fn new(logs: Logs, instance: Arc<str>) -> Self {
        Self { logs, instance, tail: Mutex::default() }
    }

    /// The last lines of stderr, and errors of its log.
    pub(crate) fn tail(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// It may be what tells why the process ends.
    pub(crate) fn keep(&self, line: &str) {
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL_LINES {
            tail.pop_front();
        }
        tail.push_back(shortened(line, TAIL_LINE_BYTES).into_owned());
    }

    /// Passes on all that comes.
    async fn pump(self: Arc<Self>, source: impl AsyncRead + Unpin, origin: Origin) {
        let mut pieces = Pieces::new(source);
        let mut level = LogLevel::Info;
        while let Some((line, part)) = pieces.next().await {
            if origin == Origin::Stderr {
                self.keep(&line);
            }
            // A flood of output waits here; the pipe is then full, and whoever writes into it waits too.
            self.logs.room().await;
            let is_continued = matches!(part, Some(Part::Middle | Part::Last));
            let record = if is_continued {
                Record { level, ..Record::new(&self.instance, line) }
            } else {
                let Captured { level, message, trace_id, fields } = Captured::read(&line);
                let trace_id = trace_id.into_owned();
                Record { level, trace_id, fields, ..Record::new(&self.instance, message) }
            };
            level = record.level;
            self.logs.write(Record { origin, part, ..record });
        }
    }
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
            this.output.push(tokio::spawn(Arc::clone(output).pump(stdout, Origin::Stdout)));
        }
        if let Some(stderr) = this.child.stderr.take() {
            this.output.push(tokio::spawn(Arc::clone(output).pump(stderr, Origin::Stderr)));
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
            if let Some(before) = file_limit::before() {
                prlimit(Some(pid), Resource::Nofile, before)?;
            }
        }
    }
    Ok(())
}
