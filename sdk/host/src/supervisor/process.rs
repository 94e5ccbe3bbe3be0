//! A child process of the host that is a process of a module: it leads a new process group, has the limits of its
//! manifest, and its output goes to the log. When it is dropped, it is killed with all of its descendants. What it says
//! over its socket is in `connection/`; `instance` has both.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ixt_manifest::ProcessLimits;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::file_limit;
use crate::host_resources::{self, HostResources};
use crate::logs::{Origin, ProcessOutput};
use crate::processes::descendants::Descendants;
use crate::processes::group::pid_of;
use crate::processes::reaper;
use crate::standstill::timeout;

/// How long [`ChildProcess::output`] waits for the rest of stdout and stderr together.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

/// A process of a module: in the simulation, a task stands for it.
#[derive(Debug)]
#[cfg_attr(test, expect(clippy::large_enum_variant, reason = "the small one is of tests alone"))]
pub(crate) enum ModuleProcess {
    Child(ChildProcess),
    /// A task in place of a process.
    #[cfg(test)]
    Simulated(crate::simulation::Process),
}

impl ModuleProcess {
    /// See [`ChildProcess::pid`]; `None` for a simulated one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Child(child) => child.pid(),
            #[cfg(test)]
            Self::Simulated(_) => None,
        }
    }

    /// See [`ChildProcess::wait`].
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match self {
            Self::Child(child) => child.wait().await,
            #[cfg(test)]
            Self::Simulated(process) => Ok(process.wait().await),
        }
    }

    /// See [`ChildProcess::end`].
    pub(crate) async fn end(&mut self, patience: Duration, grace: Duration) -> io::Result<ExitStatus> {
        match self {
            Self::Child(child) => child.end(patience, grace).await,
            #[cfg(test)]
            Self::Simulated(process) => Ok(process.end(patience).await),
        }
    }

    /// See [`ChildProcess::output`].
    pub(crate) async fn output(&mut self) {
        match self {
            Self::Child(child) => child.output().await,
            #[cfg(test)]
            Self::Simulated(_) => {}
        }
    }
}

/// A running child process.
#[derive(Debug)]
pub(crate) struct ChildProcess {
    child: Child,
    /// Its process id, which is that of its process group too.
    leader: Pid,
    /// Whether the process was waited for. From then on its process id may belong to another process.
    is_reaped: bool,
    /// The process itself and all that it has started.
    descendants: Descendants,
    resources: Arc<HostResources>,
    /// The tasks that read stdout and stderr.
    output: Vec<JoinHandle<()>>,
}

impl ChildProcess {
    /// Starts the process, with empty stdin. `output` receives its stdout and stderr, `limits` are those of its
    /// manifest. The error is the system's: the program can't be executed, or a limit can't be set. Then nothing of the
    /// process is left. That the `cpu` limit can't be set is only logged.
    pub(crate) fn spawn(
        mut command: Command,
        limits: &ProcessLimits,
        output: &Arc<ProcessOutput>,
        resources: &Arc<HostResources>,
    ) -> io::Result<Self> {
        resources.mark(&mut command, output.instance());
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let child = reaper::spawn(&mut command)?;
        let leader = pid_of(&child).ok_or(io::ErrorKind::NotFound)?;
        let descendants = resources.descendants(leader, output.instance(), limits.cpu);
        let mut this =
            Self { child, leader, is_reaped: false, descendants, resources: Arc::clone(resources), output: Vec::new() };
        limit(leader, limits)?;
        if let Some(stdout) = this.child.stdout.take() {
            this.output.push(tokio::spawn(Arc::clone(output).pump(stdout, Origin::Stdout)));
        }
        if let Some(stderr) = this.child.stderr.take() {
            this.output.push(tokio::spawn(Arc::clone(output).pump(stderr, Origin::Stderr)));
        }
        Ok(this)
    }

    /// The process id, or `None` once it was waited for.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process itself ends; its descendants may run on. Cancel-safe. May be called again afterwards,
    /// and returns the same status.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        // Only after the first call: later the process id may belong to another process.
        if !std::mem::replace(&mut self.is_reaped, true) {
            reaper::reaped(self.leader.as_raw_nonzero().get().unsigned_abs());
        }
        status
    }

    /// Ends the process and everything that it has started. The process has `patience` to end by itself. Then all of
    /// them get SIGTERM, and after `grace` SIGKILL. Descendants that are left when the process has ended get SIGTERM,
    /// and after another `grace` SIGKILL. Returns the status of the process. Both times start anew if the host stood
    /// still.
    pub(crate) async fn end(&mut self, patience: Duration, grace: Duration) -> io::Result<ExitStatus> {
        let status = match timeout(patience, self.wait()).await {
            Ok(status) => status,
            Err(_) => {
                self.descendants.signal(Signal::TERM);
                match timeout(grace, self.wait()).await {
                    Ok(status) => status,
                    Err(_) => {
                        self.descendants.kill();
                        self.wait().await
                    }
                }
            }
        };
        host_resources::end(&mut self.descendants, grace).await;
        self.forget();
        status
    }

    /// Records that nothing of the process is left: tells the guard, and drops what would be killed.
    fn forget(&mut self) {
        self.descendants = Descendants::default();
        self.resources.ended(self.leader);
    }

    /// Waits until the output of a process that has ended is in the log, for [`OUTPUT_GRACE`] at most: a descendant
    /// that has escaped may hold the pipe open, and the log may be slow. What comes later is lost. Later calls return
    /// at once.
    pub(crate) async fn output(&mut self) {
        let limit = Instant::now() + OUTPUT_GRACE;
        for mut pump in self.output.drain(..) {
            if timeout_at(limit, &mut pump).await.is_err() {
                pump.abort();
            }
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        self.descendants.kill();
        self.forget();
    }
}

/// Sets the resource limits of a process that was just started. It runs already, so a process that it has started by
/// then does not get them. Without a limit in the manifest, the limit of memory is that of the host, and that of open
/// files the one that the host had at first.
fn limit(pid: Pid, limits: &ProcessLimits) -> io::Result<()> {
    let set = |resource, value: u64| {
        prlimit(Some(pid), resource, Rlimit { current: Some(value), maximum: Some(value) }).map(drop)
    };
    if let Some(memory) = limits.memory {
        // Counts the memory that the process can write to, not what it reserves: runtimes reserve much more than they
        // use.
        set(Resource::Data, memory)?;
    }
    match limits.files {
        Some(files) => set(Resource::Nofile, files)?,
        // The host has raised its own limit. Modules get the one before: with a high limit some programs are slow or
        // fail.
        None => {
            if let Some(before) = file_limit::before() {
                prlimit(Some(pid), Resource::Nofile, before)?;
            }
        }
    }
    Ok(())
}
