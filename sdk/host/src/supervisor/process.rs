//! A module's process: in a group of its own, its output taken line by line, and gone when this is gone.

use std::io;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use ixt_manifest::Limits;
use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::host_resources::{self, HostResources};
use crate::listener::file_limit_before;
use crate::logs::{Origin, ProcessOutput};
use crate::processes::descendants::Descendants;
use crate::processes::group::pid_of;
use crate::processes::reaper;
use crate::standstill::timeout;

/// How long to wait for the end of the output when the process has ended.
const OUTPUT_GRACE: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    leader: Pid,
    is_reaped: bool,
    /// What it has started, and itself.
    descendants: Descendants,
    resources: Arc<HostResources>,
    output: Vec<JoinHandle<()>>,
}

impl Process {
    pub(crate) fn spawn(
        mut command: Command,
        limits: &Limits,
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

    /// Nothing is left of it.
    fn forget(&mut self) {
        self.descendants = Descendants::default();
        self.resources.ended(self.leader);
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
        self.descendants.kill();
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
