//! The requests that are not answered yet: those that run, and those that wait for others to end. Whoever takes a request
//! out of here answers it, and nobody else does: that is what makes it exactly one reply, whether the handler ends, its
//! time is over, the host cancels, or the module shuts down first.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_task::{Runnable, Task};
use ixt_protocol::code;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::context::Context;
use crate::middleware::{Kind, Reply, Request};
use crate::module::Serve;
use crate::runtime::executor::{Executor, Step, spawn};
use crate::runtime::outgoing::{Outgoing, reader_number};
use crate::runtime::panic::caught;
use crate::runtime::queue::Queue;
use crate::runtime::stats::Stats;
use crate::services::log::Scope;
use crate::{Error, Result, log_error};

/// How much a module does at once.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// So many requests and events are handled at once.
    pub(crate) max_concurrency: usize,
    /// So many more wait.
    pub(crate) max_queued: usize,
}

pub(crate) struct InFlight {
    requests: Mutex<Requests>,
    /// Told whenever the last request was answered.
    idle: Notify,
    limits: Limits,
    executor: Arc<dyn Executor>,
    outgoing: Arc<Outgoing>,
    stats: Stats,
    /// The request whose handler was last polled by the thread that reads.
    polled: AtomicU64,
}

#[derive(Default)]
struct Requests {
    /// Not the host's id: a plain host may send none, or the same twice.
    next: u64,
    unanswered: HashMap<u64, Unanswered>,
    queue: Queue,
    deadlines: BTreeSet<(Instant, u64)>,
    /// How many handlers run. A handler may run on after its request was answered: nobody can end a thread that blocks.
    running: usize,
    /// How many have no reply on its way yet: those above, and those whose reply is just being written.
    owed: usize,
}

struct Unanswered {
    id: Option<u64>,
    /// What it is, if it came for a handler.
    message: Option<Message>,
    stage: Stage,
    /// How it is answered, if not just so.
    answer: Option<AnswerBy>,
}

/// Answers a request, whoever has ended it.
type AnswerBy = Box<dyn Fn(&Result<Reply>) + Send + Sync>;

struct Message {
    kind: Kind,
    context: Context,
    since: Instant,
}

enum Stage {
    Queued(Request, Arc<dyn Serve>),
    Running(Task<()>),
}

/// One of the handlers that may run at once; the last of its clones is dropped when it has ended.
#[derive(Clone)]
pub(crate) struct Slot {
    _freed: Arc<Freed>,
}

struct Freed(Arc<InFlight>);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.start_next();
    }
}

/// What is left to do when a lock is released.
#[derive(Default)]
struct Pending {
    start: Vec<Runnable>,
    answer: Vec<(Unanswered, Result<Reply>)>,
}

impl InFlight {
    pub(crate) fn new(limits: Limits, executor: Arc<dyn Executor>, outgoing: Arc<Outgoing>, stats: Stats) -> Self {
        Self {
            requests: Mutex::default(),
            idle: Notify::new(),
            limits,
            executor,
            outgoing,
            stats,
            polled: AtomicU64::new(0),
        }
    }

    /// Takes a message for a handler: runs it, or lets it wait, or refuses it.
    pub(crate) fn accept(self: &Arc<Self>, id: Option<u64>, request: Request, service: &Arc<dyn Serve>) {
        let context = request.context().clone();
        let (deadline, priority) = (context.deadline(), context.priority());
        let message = Some(Message { kind: request.kind(), context, since: Instant::now() });
        let stage = Stage::Queued(request, Arc::clone(service));
        let arrived = Unanswered { id, message, stage, answer: None };
        let mut pending = Pending::default();
        let mut requests = self.lock();
        let key = requests.next_key();
        if requests.running < self.limits.max_concurrency && requests.queue.len() == 0 {
            requests.start(self, key, arrived, &mut pending);
        } else if requests.queue.len() < self.limits.max_queued {
            requests.queue.push(priority, key);
            requests.insert(key, arrived);
        } else {
            let Limits { max_concurrency, max_queued } = self.limits;
            let message = format!("the module handles {max_concurrency} requests, and {max_queued} more wait");
            pending.answer.push((arrived, Err(Error::new(code::RESOURCE_EXHAUSTED, message).retryable())));
        }
        drop(requests);
        if let Some(deadline) = deadline {
            self.executor.wake_at(deadline);
        }
        self.finish(pending);
    }

    /// Runs what is not for a handler, and doesn't wait for any; answers with what it gives, or lets `answer` do that.
    pub(crate) fn run(
        self: &Arc<Self>,
        id: Option<u64>,
        work: impl Future<Output = Result<Reply>> + Send + 'static,
        answer_by: Option<AnswerBy>,
    ) {
        let mut requests = self.lock();
        let key = requests.next_key();
        let answer = Answer { in_flight: Arc::clone(self), key };
        let (runnable, task) = spawn(&self.executor, Step::Urgent, async move {
            // Should it be stuck, no handler is to blame.
            answer.in_flight.polled.store(answer.key, Ordering::Relaxed);
            answer.give(&work.await);
        });
        requests.insert(key, Unanswered { id, message: None, stage: Stage::Running(task), answer: answer_by });
        drop(requests);
        runnable.schedule();
    }

    /// Ends the request with this id, if it is not answered yet, and answers it.
    pub(crate) fn abort(&self, id: u64, reply: &Result<Reply>) {
        let mut requests = self.lock();
        let found = requests.unanswered.iter().find(|(_, request)| request.id == Some(id));
        let key = found.map(|(key, _)| *key);
        let request = key.and_then(|key| requests.take(key));
        drop(requests);
        if let Some(request) = request {
            self.end(request, reply);
        }
    }

    /// Ends all that is not answered yet, and returns when it is answered.
    pub(crate) async fn abort_all(&self, reply: &Result<Reply>) {
        self.abort_where(|_| true, reply);
        // Some may be just being answered by their own tasks.
        self.idle().await;
    }

    /// Ends what has not begun yet.
    pub(crate) fn abort_queued(&self, reply: &Result<Reply>) {
        self.abort_where(|stage| matches!(stage, Stage::Queued(..)), reply);
    }

    fn abort_where(&self, which: impl Fn(&Stage) -> bool, reply: &Result<Reply>) {
        let mut requests = self.lock();
        let keys = requests.unanswered.iter().filter(|(_, request)| which(&request.stage)).map(|(key, _)| *key);
        let keys: Vec<_> = keys.collect();
        let ended: Vec<_> = keys.into_iter().filter_map(|key| requests.take(key)).collect();
        drop(requests);
        for request in ended {
            self.end(request, reply);
        }
    }

    /// Answers the requests whose time is over. Tells when the next one's is.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut expired = Vec::new();
        let mut requests = self.lock();
        while let Some((deadline, key)) = requests.deadlines.first().copied()
            && deadline <= now
        {
            requests.deadlines.pop_first();
            expired.extend(requests.take(key));
        }
        let next = requests.deadlines.first().map(|(deadline, _)| *deadline);
        drop(requests);
        for request in expired {
            let error = deadline_exceeded(&request);
            self.end(request, &Err(error));
        }
        next
    }

    /// Waits until every request was answered.
    pub(crate) async fn idle(&self) {
        let mut notified = std::pin::pin!(self.idle.notified());
        loop {
            // Listen first, look second: otherwise the last request could end in between.
            notified.as_mut().enable();
            if self.lock().owed == 0 {
                return;
            }
            notified.as_mut().await;
            notified.set(self.idle.notified());
        }
    }

    /// How many handlers run, and how many requests wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        let requests = self.lock();
        (requests.running, requests.queue.len())
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The thread that reads is stuck in the handler that it has polled last: the next ones of its kind begin where they hold
    /// up nobody.
    pub(crate) fn mark_slow(&self) {
        let requests = self.lock();
        let polled = requests.unanswered.get(&self.polled.load(Ordering::Relaxed));
        if let Some(Message { kind, context, .. }) = polled.and_then(|request| request.message.as_ref()) {
            self.stats.mark_slow(*kind, context.topic());
        }
    }

    /// A handler has ended: the next request has its turn.
    fn start_next(self: &Arc<Self>) {
        let mut pending = Pending::default();
        let mut requests = self.lock();
        requests.running -= 1;
        while requests.running < self.limits.max_concurrency
            && let Some(key) = requests.queue.pop()
        {
            if let Some(request) = requests.remove(key) {
                requests.start(self, key, request, &mut pending);
            }
        }
        drop(requests);
        self.finish(pending);
    }

    fn finish(&self, pending: Pending) {
        for runnable in pending.start {
            runnable.schedule();
        }
        for (request, reply) in pending.answer {
            self.answer(&request, &reply);
        }
    }

    fn take(&self, key: u64) -> Option<Unanswered> {
        self.lock().take(key)
    }

    /// For a request that was taken out, and whose handler is to end.
    fn end(&self, request: Unanswered, reply: &Result<Reply>) {
        if let Some(message) = &request.message {
            message.context.cancel();
        }
        self.answer(&request, reply);
        // Dropped here, without a lock: what it holds is the author's.
        drop(request);
    }

    /// For a request that was taken out.
    fn answer(&self, request: &Unanswered, reply: &Result<Reply>) {
        match &request.answer {
            None => self.outgoing.reply(request.id, reply),
            Some(answer) => answer(reply),
        }
        if let Some(Message { kind, context, since }) = &request.message {
            let outcome = reply.as_ref().map_or_else(Error::code, |_| "success");
            self.stats.record(*kind, context.topic(), outcome, since.elapsed());
        }
        // Only now: a shutdown that saw nothing running before would close the way out in front of this reply.
        let mut requests = self.lock();
        requests.owed -= 1;
        let idle = requests.owed == 0;
        drop(requests);
        if idle {
            self.idle.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // No code of an author runs under this lock, so it can't be poisoned half done.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    /// The key for a request, from now on to be answered.
    fn next_key(&mut self) -> u64 {
        self.owed += 1;
        self.next += 1;
        self.next
    }

    /// Runs the handler of a request that was queued or has just come. The lock is held: only prepares it.
    fn start(&mut self, in_flight: &Arc<InFlight>, key: u64, request: Unanswered, pending: &mut Pending) {
        if request.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
            let error = deadline_exceeded(&request);
            return pending.answer.push((request, Err(error)));
        }
        let Unanswered { id, message, stage: Stage::Queued(mut request, service), answer: None } = request else {
            return;
        };
        self.running += 1;
        request.slot = Some(Slot { _freed: Arc::new(Freed(Arc::clone(in_flight))) });
        let answer = Answer { in_flight: Arc::clone(in_flight), key };
        let slow = in_flight.stats.is_slow(request.kind(), request.context().topic());
        let first = if slow { Step::Slow } else { Step::Any };
        let (runnable, task) = spawn(&in_flight.executor, first, handle(answer, request, service));
        self.insert(key, Unanswered { id, message, stage: Stage::Running(task), answer: None });
        pending.start.push(runnable);
    }

    fn insert(&mut self, key: u64, request: Unanswered) {
        if let Some(deadline) = request.deadline() {
            self.deadlines.insert((deadline, key));
        }
        self.unanswered.insert(key, request);
    }

    fn remove(&mut self, key: u64) -> Option<Unanswered> {
        let request = self.unanswered.remove(&key)?;
        if let Some(deadline) = request.deadline() {
            self.deadlines.remove(&(deadline, key));
        }
        Some(request)
    }

    /// Takes a request out, to answer it.
    fn take(&mut self, key: u64) -> Option<Unanswered> {
        let request = self.remove(key)?;
        if let (Stage::Queued(..), Some(message)) = (&request.stage, &request.message) {
            self.queue.remove(message.context.priority(), key);
        }
        Some(request)
    }
}

impl Unanswered {
    fn deadline(&self) -> Option<Instant> {
        self.message.as_ref().and_then(|message| message.context.deadline())
    }
}

/// Calls the handler, and answers with what it gives.
async fn handle(answer: Answer, request: Request, service: Arc<dyn Serve>) {
    // Middleware may go on when the handler has let go of it.
    let _slot = request.slot.clone();
    let (context, kind) = (request.context().clone(), request.kind());
    let what = HandlerOf(kind, &context);
    let work = Scope::of(&context).enclose(caught(&what, || service.handle(request)));
    #[cfg(feature = "tracing")]
    let work = tracing::Instrument::instrument(work, crate::tracing::request_span(&context));
    let mut work = std::pin::pin!(work);
    let reply = std::future::poll_fn(|cx| {
        if reader_number() != 0 {
            answer.in_flight.polled.store(answer.key, Ordering::Relaxed);
        }
        work.as_mut().poll(cx)
    })
    .await;
    if let Err(error) = &reply {
        // Of an event nobody waits for the answer.
        if kind == Kind::Event {
            log_error(format!("{what} failed: {error}"));
        }
        error.log_causes(&what);
    }
    answer.give(&reply);
}

struct HandlerOf<'a>(Kind, &'a Context);

impl std::fmt::Display for HandlerOf<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let event = if self.0 == Kind::Event { "the event " } else { "" };
        write!(f, "the handler of {event}`{}`", self.1.topic())
    }
}

fn deadline_exceeded(request: &Unanswered) -> Error {
    let context = request.message.as_ref().map(|message| &message.context);
    let ttl = context.and_then(Context::ttl).unwrap_or_default();
    let stage = match request.stage {
        Stage::Queued(..) => "waited for its turn",
        Stage::Running(_) => "was handled",
    };
    Error::new(code::DEADLINE_EXCEEDED, format!("the {} ms of the request were over while it {stage}", ttl.as_millis()))
}

/// The duty to answer one request. Dropped without an answer, because the task panicked outside of what `caught` watches,
/// it answers all the same.
struct Answer {
    in_flight: Arc<InFlight>,
    key: u64,
}

impl Answer {
    fn give(&self, reply: &Result<Reply>) {
        if let Some(request) = self.in_flight.take(self.key) {
            self.in_flight.answer(&request, reply);
            if let Stage::Running(task) = request.stage {
                // It ends by itself.
                task.detach();
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.give(&Err(Error::internal("the request was dropped; the module's log may say why")));
    }
}
