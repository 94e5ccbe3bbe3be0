//! The requests that are being handled. Whoever takes a request out of here answers it, and nobody else does: that is
//! what makes it exactly one reply, whether the handler ends, the host cancels, or the module shuts down first.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::Error;
use crate::outgoing::{Outgoing, Reply};

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
    /// How many have no reply on its way yet: those that are running, and those whose reply is just being written.
    unanswered: usize,
}

#[derive(Debug)]
struct Running {
    id: Option<u64>,
    task: Option<AbortHandle>,
}

impl InFlight {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { requests: Mutex::default(), idle: Notify::new(), outgoing }
    }

    /// Runs `work` in a task of its own, and answers the request with what it gives.
    pub(crate) fn spawn(self: &Arc<Self>, id: Option<u64>, work: impl Future<Output = Reply> + Send + 'static) {
        self.spawn_then(id, work, |_| ());
    }

    /// The same; calls `then` after the request was answered with what `work` gave.
    pub(crate) fn spawn_then(
        self: &Arc<Self>,
        id: Option<u64>,
        work: impl Future<Output = Reply> + Send + 'static,
        then: impl FnOnce(&Reply) + Send + 'static,
    ) {
        let key = {
            let mut requests = self.lock();
            let key = requests.next;
            requests.next += 1;
            requests.running.insert(key, Running { id, task: None });
            requests.unanswered += 1;
            key
        };
        let answer = Answer { in_flight: Arc::clone(self), key };
        let task = tokio::spawn(async move {
            let reply = work.await;
            if answer.give(&reply) {
                then(&reply);
            }
        })
        .abort_handle();
        match self.lock().running.get_mut(&key) {
            Some(running) => running.task = Some(task),
            // It was answered in the meantime, by its task or by somebody who could not end its task yet.
            None => task.abort(),
        }
    }

    /// Ends the request with this id, if it is still running, and answers it.
    pub(crate) fn abort(&self, id: u64, reply: &Reply) {
        let running = {
            let mut requests = self.lock();
            let key = requests.running.iter().find(|(_, running)| running.id == Some(id)).map(|(key, _)| *key);
            key.and_then(|key| requests.running.remove(&key))
        };
        if let Some(running) = running {
            self.answer(&running, reply);
        }
    }

    /// Ends all that is still running, and returns when it is answered.
    pub(crate) async fn abort_all(&self, reply: &Reply) {
        let running = std::mem::take(&mut self.lock().running);
        for running in running.values() {
            self.answer(running, reply);
        }
        // Some may be just being answered by their own tasks.
        self.idle().await;
    }

    /// Waits until every request was answered.
    pub(crate) async fn idle(&self) {
        let mut notified = std::pin::pin!(self.idle.notified());
        loop {
            // Listen first, look second: otherwise the last request could end in between.
            notified.as_mut().enable();
            if self.lock().unanswered == 0 {
                return;
            }
            notified.as_mut().await;
            notified.set(self.idle.notified());
        }
    }

    /// For a request that was taken out of the list.
    fn answer(&self, running: &Running, reply: &Reply) {
        if let Some(task) = &running.task {
            task.abort();
        }
        self.outgoing.reply(running.id, reply);
        // Only now: a shutdown that saw nothing running before would close the way out in front of this reply.
        let mut requests = self.lock();
        requests.unanswered -= 1;
        if requests.unanswered == 0 {
            self.idle.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // No code of an author runs under this lock, so it can't be poisoned half done.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The duty to answer one request. Dropped without an answer, because the task panicked outside of what `caught` watches,
/// it answers all the same.
struct Answer {
    in_flight: Arc<InFlight>,
    key: u64,
}

impl Answer {
    /// False if somebody else has answered before.
    fn give(&self, reply: &Reply) -> bool {
        let running = self.in_flight.lock().running.remove(&self.key);
        running.is_some_and(|running| {
            self.in_flight.answer(&running, reply);
            true
        })
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give(&Err(Error::internal("the request was dropped; the module's log may say why")));
    }
}
