//! The requests that have no reply yet. Each is an entry in a table. The thread that takes an entry out sends the reply, and no other
//! can take the same entry: so there is exactly one reply, whether the handler ends first, the deadline, a `cancel` or the shutdown. A
//! request that is refused is answered without an entry, and so is one whose `ttl_ms` is 0 and that could begin at once.
//!
//! ```text
//!             accept
//!               │
//!               ├── queue full ───────────► RESOURCE_EXHAUSTED
//!    no permit  │  permit free
//!      ┌────────┴────────┐
//!      ▼    permit       ▼     first poll waits
//!   Queued ──────────► Starting ──────────────► Running (a task) ──┐ woken: polled again
//!      │                 │                        │   ▲            │
//!      │                 │ handler ends           │   └────────────┘
//!      │                 ▼                        ▼
//!      │              entry is taken out: `success` or `error` is sent
//!      │                 ▲                        ▲
//!      └─────────────────┴── cancel, deadline, ───┘   the handler's future is dropped
//!                            shutdown
//! ```
//!
//! A permit stands for one of the `max_concurrency` handlers. The request owns it, not the entry: a thread that blocks keeps it after
//! the reply. `init` and health checks are entries as well, in the stage Running, but have no permit and no deadline.

mod active;
mod admission;
mod priority_queue;
mod stats;
mod table;

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_task::Task;
use ixt_protocol::code;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::log::Scope;
use crate::module::Serve;
use crate::outgoing::Outgoing;
use crate::reply::Reply;
use crate::request::{Permit, PermitIssuer, Request, TopicKind};
use active::{ActiveRequest, Work};
pub(crate) use active::{Executor, Step, StepClass, spawn};
use admission::Admission;
pub(crate) use stats::Stats;
pub(crate) use table::Key;
use table::{Entry, EntryStage, RequestTable, Respond};

/// `Requests::expire` asks to be called again after this time at the earliest, so that deadlines that lie close together are handled in one
/// pass. A request may end this much after its deadline, or later if no thread gets to call it.
const EXPIRE_INTERVAL: Duration = Duration::from_millis(1);

/// How many requests a module handles and queues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// How many handlers run at the same time, of services and events together. At least 1.
    pub(crate) max_concurrency: usize,
    /// How many more requests wait for a permit. Beyond it they are refused with `RESOURCE_EXHAUSTED`, retryable. May be 0.
    pub(crate) max_queued: usize,
}

/// The requests of one session: its table, its queue and its permits. All threads of the process use it.
pub(crate) struct Requests {
    table: Mutex<RequestTable>,
    admission: Admission,
    /// Notified when every request has a reply.
    idle: Notify,
    limits: Limits,
    executor: Arc<dyn Executor>,
    outgoing: Arc<Outgoing>,
    /// The module, once it has replied to `init` with success.
    service: OnceLock<Arc<dyn Serve>>,
    /// The request that the reader polled last: `Key::number`, 0 for none.
    polled: AtomicU64,
}

/// The work that is left for after the table's lock is released: [`Requests::unlocked`] does it.
#[derive(Default)]
struct Unlocked {
    /// The request that has a permit, to be scheduled.
    begin: Option<(ActiveRequest, StepClass)>,
    /// The requests whose deadline was over before they began, to be answered with `DEADLINE_EXCEEDED`.
    expired: Vec<Entry>,
}

impl Requests {
    /// A table without requests, whose module is not [open](Self::open) yet.
    pub(crate) fn new(limits: Limits, executor: Arc<dyn Executor>, outgoing: Arc<Outgoing>, stats: Stats) -> Self {
        Self {
            table: Mutex::new(RequestTable::new(stats)),
            admission: Admission::new(limits.max_concurrency),
            idle: Notify::new(),
            limits,
            executor,
            outgoing,
            service: OnceLock::new(),
            polled: AtomicU64::new(0),
        }
    }

    /// Sets the module, once; a second call has no effect. From now on [`accept`](Self::accept) may be called.
    pub(crate) fn open(&self, service: Arc<dyn Serve>) {
        let _ = self.service.set(service);
    }

    /// The module; `None` before [`open`](Self::open).
    pub(crate) fn service(&self) -> Option<&Arc<dyn Serve>> {
        self.service.get()
    }

    fn executor(&self) -> &Arc<dyn Executor> {
        &self.executor
    }

    /// Takes a service call or an event, after [`open`](Self::open): begins it, queues it, or refuses it. Never waits, and never runs the
    /// handler itself. The request begins at once if a permit is free and no other request is queued; with a `ttl_ms` of 0 it is answered
    /// with `DEADLINE_EXCEEDED` instead. If the queue is full, it is answered with `RESOURCE_EXHAUSTED`, retryable.
    pub(crate) fn accept(self: &Arc<Self>, id: Option<u64>, request: Request) {
        let context = request.context().clone();
        let (deadline, priority, received) = (context.deadline(), context.priority(), context.received());
        let mut rest = Unlocked::default();
        let mut earlier = None;
        let mut table = self.lock();
        let mut entry = table.entry(id, Some((request.kind(), context)));
        self.admission.arrived();
        if self.admission.may_begin() && table.queue.len() == 0 {
            if deadline.is_some_and(|deadline| deadline <= received) {
                entry.stage = EntryStage::Queued(Box::new(request));
                rest.expired.push(entry);
            } else {
                earlier = table.plan_expiry(deadline);
                let key = table.insert(entry);
                rest.begin = Some(self.begin(&table, key, request));
            }
        } else if table.queue.len() < self.limits.max_queued {
            entry.stage = EntryStage::Queued(Box::new(request));
            earlier = table.plan_expiry(deadline);
            let key = table.insert(entry);
            table.queue.push(priority, key);
            self.admission.set_queued(table.queue.len());
            self.begin_queued(&mut table, &mut rest);
        } else {
            drop(table);
            let Limits { max_concurrency, max_queued } = self.limits;
            let message = format!("the module handles {max_concurrency} requests, and {max_queued} more wait");
            return self.finish(entry, Err(Error::new(code::RESOURCE_EXHAUSTED, message).retryable()));
        }
        drop(table);
        if let Some(deadline) = earlier {
            self.executor.wake_at(deadline);
        }
        self.unlocked(rest);
    }

    /// Schedules `work` for `init` or a health check, which `frame` names in errors, and returns at once. It needs no permit, and has no
    /// deadline. Its first poll is [`StepClass::Urgent`]. Its result is the reply: `respond` sends it; without `respond`, it is sent as a
    /// `success` or `error` frame.
    pub(crate) fn run(
        self: &Arc<Self>,
        id: Option<u64>,
        frame: &'static str,
        scope: Scope,
        work: impl Future<Output = Result<Reply>> + Send + 'static,
        respond: Option<Respond>,
    ) {
        let mut table = self.lock();
        self.admission.arrived();
        let mut entry = table.entry(id, None);
        entry.respond = respond;
        let key = table.insert(entry);
        let request = ActiveRequest::runs(self, key, Work::of_frame(frame, scope, work));
        let (runnable, task) = spawn(&self.executor, Some(key), request);
        if let Some(entry) = table.get(key) {
            entry.stage = EntryStage::Running(task);
        }
        drop(table);
        self.executor.schedule(Step::Resume(runnable), StepClass::Urgent);
    }

    /// Makes the request a task.
    ///
    /// # Errors
    ///
    /// If the request was answered meanwhile: the task, which the caller drops to cancel it.
    fn runs_as(&self, key: Key, task: Task<(), Option<Key>>) -> std::result::Result<(), Task<(), Option<Key>>> {
        match self.lock().get(key) {
            None => Err(task),
            Some(entry) => {
                entry.stage = EntryStage::Running(task);
                Ok(())
            }
        }
    }

    /// Sends the result of a handler, of `init` or of a health check. Does nothing if the request was answered before.
    fn reply(&self, key: Key, reply: Result<Reply>) {
        let now = self.executor.now();
        let mut table = self.lock();
        let Some(mut entry) = table.take(key) else { return };
        table.record(&entry, &reply, now);
        drop(table);
        if let EntryStage::Running(task) = std::mem::replace(&mut entry.stage, EntryStage::Starting) {
            // This code runs in the task, which is about to end.
            task.detach();
        }
        self.send(entry, reply);
    }

    /// Ends the request with this id of the host, also `init` or a health check, with an error: its handler's future is dropped. Does
    /// nothing if no request without a reply has this id. Of several with the same id, ends one.
    pub(crate) fn abort(&self, id: u64, error: Error) {
        let mut table = self.lock();
        let entry = table.find(|entry| entry.id == Some(id)).and_then(|key| table.take(key));
        drop(table);
        if let Some(entry) = entry {
            self.end(entry, error);
        }
    }

    /// Ends all requests with this error, `init` and health checks too, and waits until all replies are in the queue to the host.
    pub(crate) async fn abort_all(&self, error: impl Fn() -> Error) {
        self.abort_where(|_| true, error);
        // Handlers may be sending the replies to some at this moment.
        self.idle().await;
    }

    /// Ends the requests in the queue with this error. Those that have begun go on.
    pub(crate) fn abort_queued(&self, error: impl Fn() -> Error) {
        self.abort_where(|stage| matches!(stage, EntryStage::Queued(..)), error);
    }

    /// Ends the requests for whose stage `which` is true with this error.
    fn abort_where(&self, which: impl Fn(&EntryStage) -> bool, error: impl Fn() -> Error) {
        let entries = self.lock().take_where(|entry| which(&entry.stage));
        for entry in entries {
            self.end(entry, error());
        }
    }

    /// Ends the requests whose deadline is over with `DEADLINE_EXCEEDED`. Returns when it has to be called again; `None` if no request has
    /// a deadline.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut table = self.lock();
        // Looks at all requests, but seldom: that is cheaper than to keep them sorted.
        let expired = table.take_where(|entry| entry.deadline().is_some_and(|deadline| deadline <= now));
        let next = table.first_deadline().map(|next| next.max(now + EXPIRE_INTERVAL));
        table.next_expiry = next;
        drop(table);
        for entry in expired {
            let error = deadline_exceeded(&entry);
            self.end(entry, error);
        }
        next
    }

    /// Waits until the replies to all requests are queued for the host, also to those that come meanwhile. Returns at once if there is no
    /// request.
    pub(crate) async fn idle(&self) {
        let mut notified = std::pin::pin!(self.idle.notified());
        loop {
            // Before the check: otherwise the last reply could be missed.
            notified.as_mut().enable();
            if self.admission.is_idle() {
                return;
            }
            notified.as_mut().await;
            notified.set(self.idle.notified());
        }
    }

    /// The number of permits in use, and of requests that are queued. A blocked thread counts as in use after its request was answered.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.admission.running(), self.lock().queue.len())
    }

    /// The statistics of all topics of this kind, for the health check: see [`Stats::to_json`].
    pub(crate) fn stats(&self, kind: TopicKind) -> Value {
        self.lock().stats.to_json(kind)
    }

    /// To be called before the reader polls this request; `None` if its step belongs to none.
    pub(crate) fn polls(&self, key: Option<Key>) {
        self.polled.store(key.map_or(0, Key::number), Ordering::Relaxed);
    }

    /// To be called when a thread is stuck in the request that it polled last as the reader, and another thread has taken over: for 30
    /// seconds, requests of the same topic begin on other threads. Does nothing if that request was answered already, is `init` or a health
    /// check, or is of a topic that the module does not have.
    pub(crate) fn mark_polled_as_blocking(&self) {
        let now = self.executor.now();
        let mut table = self.lock();
        let polled = self.polled.load(Ordering::Relaxed);
        let polled = table.find(|entry| entry.number() == polled);
        if let Some((kind, context)) = polled.and_then(|key| table.get(key)?.handled.clone()) {
            table.stats.mark_blocking(kind, context.topic(), now);
        }
    }

    /// Puts the next queued request into `rest.begin`, if there is a permit for it, and those before it whose deadline is over into
    /// `rest.expired`. To be called after a request was queued, and after a permit was returned.
    fn begin_queued(self: &Arc<Self>, table: &mut RequestTable, rest: &mut Unlocked) {
        while rest.begin.is_none()
            && table.queue.len() > 0
            && self.admission.may_begin_queued()
            && let Some(key) = table.queue.pop()
        {
            let Some(entry) = table.get(key) else { continue };
            if entry.deadline().is_some_and(|deadline| deadline <= self.executor.now()) {
                rest.expired.extend(table.take_popped(key));
            } else if let EntryStage::Queued(request) = std::mem::replace(&mut entry.stage, EntryStage::Starting) {
                rest.begin = Some(self.begin(table, key, *request));
            }
        }
        self.admission.set_queued(table.queue.len());
    }

    /// Gives the request a permit, and returns it ready to be scheduled.
    fn begin(self: &Arc<Self>, table: &RequestTable, key: Key, mut request: Request) -> (ActiveRequest, StepClass) {
        self.admission.begin();
        request.permit = Some(Permit::new(Arc::clone(self) as _));
        let blocking = table.stats.is_blocking(request.kind(), request.context().topic(), || self.executor.now());
        let class = if blocking { StepClass::Blocking } else { StepClass::Normal };
        (ActiveRequest::begins(self, key, request), class)
    }

    /// Schedules and answers the requests in `rest`. To be called without the table's lock.
    fn unlocked(&self, Unlocked { begin, expired }: Unlocked) {
        if let Some((request, class)) = begin {
            self.executor.schedule(Step::Begin(request), class);
        }
        for entry in expired {
            let error = deadline_exceeded(&entry);
            self.finish(entry, Err(error));
        }
    }

    /// Ends the handler of a request that was taken out of the table, and replies with this error.
    fn end(&self, mut entry: Entry, error: Error) {
        if let Some((_, context)) = &entry.handled {
            context.cancel();
        }
        // Dropped at the end of this function, without the lock: it runs destructors of the author.
        let _stage = std::mem::replace(&mut entry.stage, EntryStage::Starting);
        self.finish(entry, Err(error));
    }

    /// Counts a request that was taken out of the table, and sends its reply.
    fn finish(&self, entry: Entry, reply: Result<Reply>) {
        let now = self.executor.now();
        self.lock().record(&entry, &reply, now);
        self.send(entry, reply);
    }

    /// Sends the reply to a request that was taken out of the table, and wakes the tasks that wait in `idle` if it was the last one.
    fn send(&self, entry: Entry, reply: Result<Reply>) {
        match entry.respond {
            None => self.outgoing.reply(entry.id, reply),
            Some(respond) => respond(reply),
        }
        // After the reply: a shutdown that sees that every request has a reply closes the connection.
        if self.admission.answered() {
            self.idle.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, RequestTable> {
        // No code of the author runs under this lock, and nothing else can panic.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PermitIssuer for Requests {
    fn permit_returned(self: Arc<Self>) {
        if self.admission.end() {
            let mut rest = Unlocked::default();
            self.begin_queued(&mut self.lock(), &mut rest);
            self.unlocked(rest);
        }
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("admission", &self.admission).finish_non_exhaustive()
    }
}

/// `DEADLINE_EXCEEDED`, with the `ttl_ms` of the request, and whether it was queued or handled.
fn deadline_exceeded(entry: &Entry) -> Error {
    let context = entry.handled.as_ref().map(|(_, context)| context);
    let ttl = context.and_then(Context::ttl).unwrap_or_default();
    let stage = match entry.stage {
        EntryStage::Queued(..) => "waited for its turn",
        EntryStage::Starting | EntryStage::Running(_) => "was handled",
    };
    Error::new(code::DEADLINE_EXCEEDED, format!("the {} ms of the request were over while it {stage}", ttl.as_millis()))
}
