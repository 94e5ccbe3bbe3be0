//! The requests that are not answered yet: those that run, and those that wait for others to end. Whoever takes a request
//! out of here answers it, and nobody else does: that is what makes it exactly one reply, whether the handler ends, its
//! time is over, the host cancels, or the module shuts down first.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_task::Task;
use ixt_protocol::code;
use serde_json::Value;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::context::Context;
use crate::middleware::{Kind, Reply, Request};
use crate::module::Serve;
use crate::runtime::executor::{Executor, How, Step, spawn};
use crate::runtime::handling::{Answer, Begin};
use crate::runtime::outgoing::Outgoing;
use crate::runtime::queue::Queue;
use crate::runtime::stats::Stats;
use crate::{Error, Result};

/// Deadlines are looked at no more often than this.
pub(crate) const EXPIRE_EVERY: Duration = Duration::from_millis(1);

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
    /// How many handlers run. A handler may run on after its request was answered: nobody can end a thread that blocks. It
    /// grows under the lock alone.
    running: AtomicUsize,
    /// How many requests are in the queue, or more: some may have been taken out.
    queued: AtomicUsize,
    /// How many have no reply on its way yet: those above, and those whose reply is just being written.
    owed: AtomicUsize,
    /// Told whenever the last request was answered.
    idle: Notify,
    limits: Limits,
    executor: Arc<dyn Executor>,
    outgoing: Arc<Outgoing>,
    /// The module, from its reply to `init` on.
    service: OnceLock<Arc<dyn Serve>>,
    /// The request whose handler was last polled by the thread that reads.
    polled: AtomicU64,
}

struct Requests {
    /// Not the host's id: a plain host may send none, or the same twice.
    last: u64,
    unanswered: Slab<Unanswered>,
    queue: Queue,
    /// When to look at the deadlines: a moment after the first of them at most.
    deadline: Option<Instant>,
    stats: Stats,
}

/// By what a request is known here: its number, which grows from one to the next, and where it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) number: u64,
    pub(crate) slot: usize,
}

struct Unanswered {
    number: u64,
    id: Option<u64>,
    /// What it is, if it came for a handler.
    message: Option<(Kind, Context)>,
    stage: Stage,
    /// How it is answered, if not just so.
    answer: Option<AnswerBy>,
}

/// Answers a request, whoever has ended it.
type AnswerBy = Box<dyn FnOnce(Result<Reply>) + Send>;

enum Stage {
    Queued(Request),
    /// It is polled for the first time, or about to be.
    Begun,
    /// A task, whose steps are run when it is woken.
    Running(Task<()>),
}

/// One of the handlers that may run at once. Whoever drops it lets the next one begin.
#[derive(Debug)]
pub(crate) struct Slot(Held);

#[derive(Debug)]
enum Held {
    Alone(Running),
    Shared(Arc<Running>),
}

struct Running(Arc<InFlight>);

impl Slot {
    /// It is free when both were dropped.
    pub(crate) fn share(self) -> (Self, Self) {
        let running = match self.0 {
            Held::Alone(running) => Arc::new(running),
            Held::Shared(running) => running,
        };
        (Self(Held::Shared(Arc::clone(&running))), Self(Held::Shared(running)))
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Running")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.start_next();
    }
}

/// What is left to do when a lock is released.
#[derive(Default)]
struct Pending {
    begin: Option<(Begin, How)>,
    expired: Vec<Unanswered>,
}

impl InFlight {
    pub(crate) fn new(limits: Limits, executor: Arc<dyn Executor>, outgoing: Arc<Outgoing>, stats: Stats) -> Self {
        Self {
            requests: Mutex::new(Requests {
                last: 0,
                unanswered: Slab::new(),
                queue: Queue::default(),
                deadline: None,
                stats,
            }),
            running: AtomicUsize::new(0),
            queued: AtomicUsize::new(0),
            owed: AtomicUsize::new(0),
            idle: Notify::new(),
            limits,
            executor,
            outgoing,
            service: OnceLock::new(),
            polled: AtomicU64::new(0),
        }
    }

    /// The module can be called from now on.
    pub(crate) fn open(&self, service: Arc<dyn Serve>) {
        let _ = self.service.set(service);
    }

    /// Who runs the handlers.
    pub(super) fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }

    /// The module, once it can be called.
    pub(crate) fn service(&self) -> Option<&Arc<dyn Serve>> {
        self.service.get()
    }

    /// Takes a message for a handler: runs it, or lets it wait, or refuses it.
    pub(crate) fn accept(self: &Arc<Self>, id: Option<u64>, request: Request) {
        let context = request.context().clone();
        let (deadline, priority, received) = (context.deadline(), context.priority(), context.received());
        let mut pending = Pending::default();
        let mut sooner = None;
        let mut requests = self.lock();
        let mut arrived = requests.arrived(id, Some((request.kind(), context)));
        self.owed.fetch_add(1, Ordering::Relaxed);
        if self.has_room() && requests.queue.len() == 0 {
            if deadline.is_some_and(|deadline| deadline <= received) {
                arrived.stage = Stage::Queued(request);
                pending.expired.push(arrived);
            } else {
                sooner = requests.wait_until(deadline);
                let key = requests.insert(arrived);
                pending.begin = Some(self.begin(&requests, key, request));
            }
        } else if requests.queue.len() < self.limits.max_queued {
            arrived.stage = Stage::Queued(request);
            sooner = requests.wait_until(deadline);
            let key = requests.insert(arrived);
            requests.queue.push(priority, key);
            // Whoever has made room before this did not see it in the queue.
            self.queued.store(requests.queue.len(), Ordering::SeqCst);
            self.begin_next(&mut requests, &mut pending);
        } else {
            drop(requests);
            let Limits { max_concurrency, max_queued } = self.limits;
            let message = format!("the module handles {max_concurrency} requests, and {max_queued} more wait");
            return self.answer(arrived, Err(Error::new(code::RESOURCE_EXHAUSTED, message).retryable()));
        }
        drop(requests);
        if let Some(deadline) = sooner {
            self.executor.wake_at(deadline);
        }
        self.finish(pending);
    }

    /// Runs what is not for a handler, and doesn't wait for any; answers with what it gives, or lets `answer_by` do that.
    pub(crate) fn run(
        self: &Arc<Self>,
        id: Option<u64>,
        work: impl Future<Output = Result<Reply>> + Send + 'static,
        answer_by: Option<AnswerBy>,
    ) {
        let mut requests = self.lock();
        self.owed.fetch_add(1, Ordering::Relaxed);
        let arrived = Unanswered { answer: answer_by, ..requests.arrived(id, None) };
        let key = requests.insert(arrived);
        let mut answer = Answer::new(self, key);
        let (runnable, task) = spawn(&self.executor, async move {
            // Should it be stuck, no handler is to blame.
            answer.is_polled();
            answer.give(work.await);
        });
        if let Some(request) = requests.get(key) {
            request.stage = Stage::Running(task);
        }
        drop(requests);
        self.executor.schedule(Step::Task(runnable), How::Urgent);
    }

    /// The thread that reads is about to poll what handles this request.
    pub(super) fn is_polled(&self, key: Key) {
        self.polled.store(key.number, Ordering::Relaxed);
    }

    /// What handles the request waits, and goes on as a task. Gives that back if the request was answered meanwhile.
    pub(super) fn runs_as(&self, key: Key, task: Task<()>) -> std::result::Result<(), Task<()>> {
        match self.lock().get(key) {
            None => Err(task),
            Some(request) => {
                request.stage = Stage::Running(task);
                Ok(())
            }
        }
    }

    /// Answers a request with what its handler gives, unless somebody else has answered it.
    pub(super) fn give(&self, key: Key, reply: Result<Reply>) {
        let mut requests = self.lock();
        let Some(mut request) = requests.take(key) else { return };
        requests.record(&request, &reply);
        drop(requests);
        if let Stage::Running(task) = std::mem::replace(&mut request.stage, Stage::Begun) {
            // It ends by itself.
            task.detach();
        }
        self.send(request, reply);
    }

    /// Ends the request with this id, if it is not answered yet, and answers it.
    pub(crate) fn abort(&self, id: u64, error: Error) {
        let mut requests = self.lock();
        let request = requests.find(|request| request.id == Some(id)).and_then(|key| requests.take(key));
        drop(requests);
        if let Some(request) = request {
            self.end(request, error);
        }
    }

    /// Ends all that is not answered yet, and returns when it is answered.
    pub(crate) async fn abort_all(&self, error: impl Fn() -> Error) {
        self.abort_where(|_| true, error);
        // Some may be just being answered by their own tasks.
        self.idle().await;
    }

    /// Ends what has not begun yet.
    pub(crate) fn abort_queued(&self, error: impl Fn() -> Error) {
        self.abort_where(|stage| matches!(stage, Stage::Queued(..)), error);
    }

    fn abort_where(&self, which: impl Fn(&Stage) -> bool, error: impl Fn() -> Error) {
        let mut requests = self.lock();
        let ended = requests.take_where(|request| which(&request.stage));
        drop(requests);
        for request in ended {
            self.end(request, error());
        }
    }

    /// Answers the requests whose time is over. Tells when the next one's is.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut requests = self.lock();
        // All are looked at, but not often: cheaper than to keep them sorted.
        let expired = requests.take_where(|request| request.deadline().is_some_and(|deadline| deadline <= now));
        let next = requests.unanswered.iter().filter_map(|(_, request)| request.deadline()).min();
        let next = next.map(|next| next.max(now + EXPIRE_EVERY));
        requests.deadline = next;
        drop(requests);
        for request in expired {
            let error = deadline_exceeded(&request);
            self.end(request, error);
        }
        next
    }

    /// Waits until every request was answered.
    pub(crate) async fn idle(&self) {
        let mut notified = std::pin::pin!(self.idle.notified());
        loop {
            // Listen first, look second: otherwise the last request could end in between.
            notified.as_mut().enable();
            if self.owed.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.as_mut().await;
            notified.set(self.idle.notified());
        }
    }

    /// How many handlers run, and how many requests wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.running.load(Ordering::Relaxed), self.lock().queue.len())
    }

    /// What became of the messages of this kind.
    pub(crate) fn stats(&self, kind: Kind) -> Value {
        self.lock().stats.to_json(kind)
    }

    /// The thread that reads is stuck in the handler that it has polled last: the next ones of its kind begin where they hold
    /// up nobody.
    pub(crate) fn mark_slow(&self) {
        let mut requests = self.lock();
        let polled = self.polled.load(Ordering::Relaxed);
        let polled = requests.find(|request| request.number == polled);
        if let Some((kind, context)) = polled.and_then(|key| requests.get(key)?.message.clone()) {
            requests.stats.mark_slow(kind, context.topic());
        }
    }

    /// A handler has ended: the next request has its turn.
    fn start_next(self: &Arc<Self>) {
        self.running.fetch_sub(1, Ordering::SeqCst);
        // One that is put there after this finds the room that was made.
        if self.queued.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut pending = Pending::default();
        let mut requests = self.lock();
        self.begin_next(&mut requests, &mut pending);
        drop(requests);
        self.finish(pending);
    }

    /// The next request begins, if there is room for it.
    fn begin_next(self: &Arc<Self>, requests: &mut Requests, pending: &mut Pending) {
        while pending.begin.is_none()
            && self.has_room()
            && let Some(key) = requests.queue.pop()
        {
            let Some(request) = requests.get(key) else { continue };
            if request.deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                pending.expired.extend(requests.remove(key));
            } else if let Stage::Queued(waited) = std::mem::replace(&mut request.stage, Stage::Begun) {
                pending.begin = Some(self.begin(requests, key, waited));
            }
        }
        self.queued.store(requests.queue.len(), Ordering::SeqCst);
    }

    fn has_room(&self) -> bool {
        self.running.load(Ordering::SeqCst) < self.limits.max_concurrency
    }

    /// A handler begins.
    fn begin(self: &Arc<Self>, requests: &Requests, key: Key, mut request: Request) -> (Begin, How) {
        self.running.fetch_add(1, Ordering::SeqCst);
        request.slot = Some(Slot(Held::Alone(Running(Arc::clone(self)))));
        let slow = requests.stats.is_slow(request.kind(), request.context().topic());
        let begin = Begin { request, answer: Answer::new(self, key) };
        (begin, if slow { How::Slow } else { How::Any })
    }

    fn finish(&self, Pending { begin, expired }: Pending) {
        if let Some((begin, how)) = begin {
            self.executor.schedule(Step::Begin(begin), how);
        }
        for request in expired {
            let error = deadline_exceeded(&request);
            self.answer(request, Err(error));
        }
    }

    /// For a request that was taken out, and whose handler is to end.
    fn end(&self, mut request: Unanswered, error: Error) {
        if let Some((_, context)) = &request.message {
            context.cancel();
        }
        // Dropped at the end, without a lock: what it holds is the author's.
        let _stage = std::mem::replace(&mut request.stage, Stage::Begun);
        self.answer(request, Err(error));
    }

    /// For a request that was taken out.
    fn answer(&self, request: Unanswered, reply: Result<Reply>) {
        self.lock().record(&request, &reply);
        self.send(request, reply);
    }

    /// For one that was also recorded.
    fn send(&self, request: Unanswered, reply: Result<Reply>) {
        match request.answer {
            None => self.outgoing.reply(request.id, reply),
            Some(answer) => answer(reply),
        }
        // Only now: a shutdown that saw nothing running before would close the way out in front of this reply.
        if self.owed.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // No code of an author runs under this lock, so it can't be poisoned half done.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    /// A request, from now on to be answered.
    fn arrived(&mut self, id: Option<u64>, message: Option<(Kind, Context)>) -> Unanswered {
        self.last += 1;
        Unanswered { number: self.last, id, message, stage: Stage::Begun, answer: None }
    }

    fn insert(&mut self, request: Unanswered) -> Key {
        let number = request.number;
        Key { number, slot: self.unanswered.insert(request) }
    }

    /// Tells when to look at the deadlines, if it has to be sooner than was known.
    fn wait_until(&mut self, deadline: Option<Instant>) -> Option<Instant> {
        let sooner = deadline.filter(|deadline| self.deadline.is_none_or(|known| *deadline < known));
        self.deadline = sooner.or(self.deadline);
        sooner
    }

    fn get(&mut self, key: Key) -> Option<&mut Unanswered> {
        self.unanswered.get_mut(key.slot).filter(|request| request.number == key.number)
    }

    fn find(&self, which: impl Fn(&Unanswered) -> bool) -> Option<Key> {
        let found = self.unanswered.iter().find(|(_, request)| which(request));
        found.map(|(slot, request)| Key { number: request.number, slot })
    }

    fn remove(&mut self, key: Key) -> Option<Unanswered> {
        self.get(key)?;
        self.unanswered.try_remove(key.slot)
    }

    /// How a request has ended, and how long it took.
    fn record(&mut self, request: &Unanswered, reply: &Result<Reply>) {
        if let Some((kind, context)) = &request.message {
            let error = reply.as_ref().err().map(Error::code);
            self.stats.record(*kind, context.topic(), error, context.received().elapsed());
        }
    }

    /// Takes a request out, to answer it.
    fn take(&mut self, key: Key) -> Option<Unanswered> {
        let request = self.remove(key)?;
        if let (Stage::Queued(..), Some((_, context))) = (&request.stage, &request.message) {
            self.queue.remove(context.priority(), key);
        }
        Some(request)
    }

    fn take_where(&mut self, which: impl Fn(&Unanswered) -> bool) -> Vec<Unanswered> {
        let found = self.unanswered.iter().filter(|(_, request)| which(request));
        let keys: Vec<_> = found.map(|(slot, request)| Key { number: request.number, slot }).collect();
        keys.into_iter().filter_map(|key| self.take(key)).collect()
    }
}

impl Unanswered {
    fn deadline(&self) -> Option<Instant> {
        self.message.as_ref().and_then(|(_, context)| context.deadline())
    }
}

fn deadline_exceeded(request: &Unanswered) -> Error {
    let context = request.message.as_ref().map(|(_, context)| context);
    let ttl = context.and_then(Context::ttl).unwrap_or_default();
    let stage = match request.stage {
        Stage::Queued(..) => "waited for its turn",
        Stage::Begun | Stage::Running(_) => "was handled",
    };
    Error::new(code::DEADLINE_EXCEEDED, format!("the {} ms of the request were over while it {stage}", ttl.as_millis()))
}
