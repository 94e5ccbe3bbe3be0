//! The machine on which the processes of modules run: tasks, which can be killed, at the other end of simulated sockets.

use std::future::Future;
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
    rng: Mutex<fastrand::Rng>,
    max_concurrency: usize,
    max_queued: usize,
    running: Mutex<Vec<AbortHandle>>,
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
        Self { rng: Mutex::new(rng.fork()), max_concurrency, max_queued, running: Mutex::default() }
    }

    /// Starts a process of a module. The host gets one end of its socket.
    pub(crate) fn start(&self, module: &str) -> (Process, Socket) {
        let (delay, (host_end, module_end)) = {
            let mut rng = lock(&self.rng);
            (Duration::from_millis(rng.u64(..20)), socket_pair(&mut rng))
        };
        let (module, max_concurrency, max_queued) = (module.to_owned(), self.max_concurrency, self.max_queued);
        let task = tokio::spawn(async move {
            sleep(delay).await;
            modules::run(&module, max_concurrency, max_queued, module_end).await
        });
        lock(&self.running).push(task.abort_handle());
        (Process { task, status: None }, host_end)
    }

    /// Kills a process, if one runs.
    pub(super) fn kill_one(&self) {
        let mut running = lock(&self.running);
        running.retain(|process| !process.is_finished());
        if !running.is_empty() {
            let victim = lock(&self.rng).usize(..running.len());
            running.swap_remove(victim).abort();
        }
    }

    /// How many processes run.
    pub(super) fn running(&self) -> usize {
        lock(&self.running).iter().filter(|process| !process.is_finished()).count()
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
