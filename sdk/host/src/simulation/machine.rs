//! The machine on which the processes of modules run: tasks, which can be killed, at the other end of simulated sockets.

use std::collections::BTreeMap;
use std::future::Future;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::{sleep, timeout};

use super::modules;
use super::pipe::{Socket, socket_pair};
use crate::lock::lock;

/// The signal that a killed process has got.
const SIGKILL: i32 = 9;

#[derive(Debug)]
pub(crate) struct Machine {
    /// What chance a process has depends on this and on its id alone: tokio wakes tasks that wait for the same thing in no certain order, so
    /// that several processes start in any.
    seed: u64,
    max_concurrency: usize,
    max_queued: usize,
    processes: Mutex<Processes>,
}

#[derive(Debug)]
struct Processes {
    rng: fastrand::Rng,
    /// Those that run, by the ids of their instances.
    running: BTreeMap<String, AbortHandle>,
    /// How often each instance was started.
    starts: BTreeMap<String, u64>,
}

/// A process of a module.
#[derive(Debug)]
pub(crate) struct Process {
    task: JoinHandle<ixt_sdk::Result<()>>,
    status: Option<ExitStatus>,
}

impl Machine {
    pub(super) fn new(rng: &mut fastrand::Rng) -> Self {
        let (max_concurrency, max_queued) = (rng.usize(1..5), rng.usize(0..50));
        let processes = Processes { rng: rng.fork(), running: BTreeMap::new(), starts: BTreeMap::new() };
        Self { seed: rng.u64(..), max_concurrency, max_queued, processes: Mutex::new(processes) }
    }

    /// Starts a process of a module. The host gets one end of its socket.
    pub(crate) fn start(&self, module: &str, instance: &str) -> (Process, Socket) {
        let mut processes = lock(&self.processes);
        let starts = processes.starts.entry(instance.to_owned()).or_default();
        *starts += 1;
        let mut hasher = DefaultHasher::new();
        (self.seed, instance, *starts).hash(&mut hasher);
        let mut rng = fastrand::Rng::with_seed(hasher.finish());
        let (delay, (host_end, module_end)) = (Duration::from_millis(rng.u64(..20)), socket_pair(&mut rng));
        let (module, max_concurrency, max_queued) = (module.to_owned(), self.max_concurrency, self.max_queued);
        let task = tokio::spawn(async move {
            sleep(delay).await;
            modules::run(&module, max_concurrency, max_queued, module_end).await
        });
        processes.running.insert(instance.to_owned(), task.abort_handle());
        (Process { task, status: None }, host_end)
    }

    /// Kills a process, if one runs.
    pub(super) fn kill_one(&self) {
        let Processes { rng, running, .. } = &mut *lock(&self.processes);
        running.retain(|_, process| !process.is_finished());
        if !running.is_empty()
            && let Some(victim) = running.values().nth(rng.usize(..running.len()))
        {
            victim.abort();
        }
    }

    /// How many processes run.
    pub(super) fn running(&self) -> usize {
        lock(&self.processes).running.values().filter(|process| !process.is_finished()).count()
    }
}

impl Process {
    pub(crate) async fn wait(&mut self) -> ExitStatus {
        if let Some(status) = self.status {
            return status;
        }
        let status = match (&mut self.task).await {
            Ok(Ok(())) => ExitStatus::from_raw(0),
            Ok(Err(_)) => ExitStatus::from_raw(1 << 8),
            Err(_) => ExitStatus::from_raw(SIGKILL),
        };
        self.status = Some(status);
        status
    }

    /// Waits for the process, and kills it then.
    pub(crate) async fn end(&mut self, patience: Duration) -> ExitStatus {
        if timeout(patience, self.wait()).await.is_err() {
            self.task.abort();
        }
        self.wait().await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// So that a test can wait for something that needs no event.
pub(super) async fn until(condition: impl Fn() -> bool, limit: Duration) -> bool {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(limit, wait).await.is_ok()
}

/// A future that can be given up.
pub(super) async fn give_up_after<T>(time: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match time {
        None => Some(work.await),
        Some(time) => timeout(time, work).await.ok(),
    }
}
