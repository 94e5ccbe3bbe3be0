//! The simulated machine on which the processes of modules run. A process is a task at the other end of a simulated
//! socket. It can be killed.

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

/// The number of the signal in the exit status of a killed process.
const SIGKILL: i32 = 9;

/// The machine of one world. It takes the place of real processes: see
/// [`HostResources`](crate::host_resources::HostResources).
#[derive(Debug)]
pub(crate) struct Machine {
    /// Each process has random numbers of its own: their seed is made from this, its id, and how often that id was
    /// started. One generator for all would depend on the order of starts, which is another one each time: tokio wakes
    /// tasks that wait for the same thing in no certain order.
    seed: u64,
    /// How many requests each process handles at once: 1 to 4.
    max_concurrency: usize,
    /// How many more may wait in each process: 0 to 49.
    max_queued: usize,
    processes: Mutex<Processes>,
}

#[derive(Debug)]
struct Processes {
    rng: fastrand::Rng,
    /// The tasks of the processes, by process id (`name:version/instance-NNN`). Some may have ended.
    running: BTreeMap<String, AbortHandle>,
    /// How often a process was started with each id.
    starts: BTreeMap<String, u64>,
}

/// A simulated process of a module. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    task: JoinHandle<ixt_sdk::Result<()>>,
    /// Its exit status, once it was waited for.
    status: Option<ExitStatus>,
}

impl Machine {
    /// Makes a machine without processes, with random limits for the modules.
    pub(super) fn new(rng: &mut fastrand::Rng) -> Self {
        let (max_concurrency, max_queued) = (rng.usize(1..5), rng.usize(0..50));
        let processes = Processes { rng: rng.fork(), running: BTreeMap::new(), starts: BTreeMap::new() };
        Self { seed: rng.u64(..), max_concurrency, max_queued, processes: Mutex::new(processes) }
    }

    /// Starts a process of a module (`worker` or `relay`) with the id `instance`. It begins to work after a random time
    /// of less than 20 ms. Returns it with the host's end of its socket, which is connected already.
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

    /// Kills a random process of those that run. Does nothing if none runs.
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
    /// Waits until the process has ended. Returns status 0, status 1 if the module returned an error, or SIGKILL if it
    /// was killed or panicked. May be called again.
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

    /// Waits until the process has ended; kills it after `patience`. Returns its status.
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

/// Polls `condition` every 10 ms, until it is true or `limit` has passed. Returns whether it became true.
pub(super) async fn until(condition: impl Fn() -> bool, limit: Duration) -> bool {
    let wait = async {
        while !condition() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(limit, wait).await.is_ok()
}

/// The result of `work`; `None` if it took longer than `time`, and was dropped. Without `time` there is no limit.
pub(super) async fn give_up_after<T>(time: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match time {
        None => Some(work.await),
        Some(time) => timeout(time, work).await.ok(),
    }
}
