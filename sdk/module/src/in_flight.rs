//! The requests that are being handled. Whoever takes a request out of here answers it, and nobody else does: that is
//! what makes it exactly one reply, whether the handler ends, the host cancels, or the module shuts down first.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::Result;
use crate::outgoing::Outgoing;

#[derive(Debug)]
pub(crate) struct InFlight {
    requests: Mutex<Requests>,
    /// Told whenever the last request was answered.
    idle: Notify,
    outgoing: Arc<Outgoing>,
}

#[derive(Debug, Default)]
struct Requests {
    /// Not the host's id: a plain host may send none, or the same twice.
    next: u64,
    running: HashMap<u64, Running>,
}

#[derive(Debug)]
struct Running {
    id: Option<u64>,
    task: AbortHandle,
}

impl InFlight {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { requests: Mutex::default(), idle: Notify::new(), outgoing }
    }

    /// Runs `work` in a task of its own, and answers the request with what it gives.
    pub(crate) fn spawn(
        self: &Arc<Self>,
        id: Option<u64>,
        work: impl Future<Output = Result<Box<RawValue>>> + Send + 'static,
    ) {
        let this = Arc::clone(self);
        // Held until the request is listed: its task may be done before that, and has to find it.
        let mut requests = self.lock();
        let key = requests.next;
        requests.next += 1;
        let task = tokio::spawn(async move {
            let reply = work.await;
            let mut requests = this.lock();
            if let Some(running) = requests.running.remove(&key) {
                this.answer(requests, &running, &reply);
            }
        });
        requests.running.insert(key, Running { id, task: task.abort_handle() });
    }

    /// Ends the request with this id, if it is still running, and answers it.
    pub(crate) fn abort(&self, id: u64, reply: &Result<Box<RawValue>>) {
        let mut requests = self.lock();
        let key = requests.running.iter().find(|(_, running)| running.id == Some(id)).map(|(key, _)| *key);
        if let Some(running) = key.and_then(|key| requests.running.remove(&key)) {
            self.answer(requests, &running, reply);
        }
    }

    /// Ends all that is still running, and answers it.
    pub(crate) fn abort_all(&self, reply: &Result<Box<RawValue>>) {
        loop {
            let mut requests = self.lock();
            let Some(key) = requests.running.keys().next().copied() else { return };
            let Some(running) = requests.running.remove(&key) else { return };
            self.answer(requests, &running, reply);
        }
    }

    /// Waits until nothing is running.
    pub(crate) async fn idle(&self) {
        let mut notified = std::pin::pin!(self.idle.notified());
        loop {
            // Listen first, look second: otherwise the last request could end in between.
            notified.as_mut().enable();
            if self.lock().running.is_empty() {
                return;
            }
            notified.as_mut().await;
            notified.set(self.idle.notified());
        }
    }

    fn answer(&self, requests: MutexGuard<'_, Requests>, running: &Running, reply: &Result<Box<RawValue>>) {
        let was_last = requests.running.is_empty();
        drop(requests);
        running.task.abort();
        self.outgoing.reply(running.id, reply);
        if was_last {
            self.idle.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // No code of an author runs under this lock, so it can't be poisoned half done.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
