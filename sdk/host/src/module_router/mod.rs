//! A module in its host: the replicas that run it, which of them gets a call, and its counts.

mod event_queue;
mod replicas;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, Weak};
use std::time::Duration;

use ixt_protocol::{LogLevel, code};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::budget::{Budget, Taken};
use crate::bus::{Bus, CallHandle, CallResult, Cause, Envelope, ReplyTo, WriteBatch};
use crate::call_log::{Call, CallLog, Outcome};
use crate::connection::{Connection, NotAsked, Request};
use crate::lock::lock;
use crate::logs::{Logs, Record};
use crate::module_router::event_queue::EventQueue;
use crate::module_router::replicas::{Replicas, Topics};
pub(crate) use crate::module_router::replicas::{Turn, Unregistered};
use crate::release::Release;
use crate::replica::Replica;
use crate::services::Backends;
use crate::status::{ModuleStatus, State};
use crate::topic::Topic;

/// So many calls wait for a module that is being started.
const MAX_PARKED: usize = 1024;
/// So much may wait for a module, with all that belongs to it: calls that wait for a process or in its queue, those that are kept to
/// be asked again, events, and what its processes have not read yet.
const MAX_WAITING_BYTES: usize = 48 * 1024 * 1024;
/// A chain of calls may be so long: one that is longer goes round in a circle.
const MAX_DEPTH: usize = 1000;
/// So often an idempotent call is tried.
const MAX_ATTEMPTS: u32 = 3;

pub(crate) struct Managed {
    this: Weak<Self>,
    name: Arc<str>,
    call_timeout: Duration,
    logs: Logs,
    call_log: CallLog,
    bus: Arc<dyn Bus>,
    /// Is told when one of its replicas has failed for good.
    failures: watch::Sender<Option<String>>,
    topics: Mutex<Topics>,
    replicas: Mutex<Replicas>,
    serving: RwLock<Serving>,
    /// Where the search for the one with the least to do begins.
    turn: AtomicUsize,
    /// For what waits for it.
    waiting: Arc<Budget>,
    parked: Mutex<Vec<Parked>>,
    queue: Mutex<EventQueue>,
    /// Restarts are made one after the other.
    pub(crate) restarting: Arc<tokio::sync::Mutex<()>>,
}

/// Who takes calls and events.
struct Serving {
    /// The newest release of which a process was ready; before there is one, the one that is started.
    release: Arc<Release>,
    ready: Vec<Ready>,
    /// Whether replicas are being replaced by those of another release.
    is_changing: bool,
    /// There are several releases: not each process takes each topic.
    is_mixed: bool,
}

/// A process that takes calls.
struct Ready {
    connection: Arc<Connection>,
    release: Arc<Release>,
}

/// A call that waits for a process.
struct Parked {
    message: Envelope<'static>,
    topic: Arc<Topic>,
    reply: ReplyTo,
    since: Instant,
    held: Taken,
}

impl Managed {
    /// A module that has not been started, and nobody knows of yet.
    pub(crate) fn new(
        release: Arc<Release>,
        call_timeout: Duration,
        backends: &Backends,
        failures: watch::Sender<Option<String>>,
    ) -> Arc<Self> {
        let name = release.deployment().name().into();
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            name,
            call_timeout,
            logs: backends.logs.clone(),
            call_log: backends.call_log.clone(),
            bus: Arc::clone(&backends.bus),
            failures,
            topics: Mutex::default(),
            replicas: Mutex::default(),
            serving: RwLock::new(Serving { release, ready: Vec::new(), is_changing: false, is_mixed: false }),
            turn: AtomicUsize::new(0),
            waiting: backends.memory.part(MAX_WAITING_BYTES),
            parked: Mutex::default(),
            queue: Mutex::default(),
            restarting: Arc::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The newest release of which a process was ready; before there is one, the one that is started.
    pub(crate) fn release(&self) -> Arc<Release> {
        Arc::clone(&self.serving().release)
    }

    /// The budget of what waits for it.
    pub(crate) fn waiting(&self) -> &Arc<Budget> {
        &self.waiting
    }

    fn serving(&self) -> RwLockReadGuard<'_, Serving> {
        self.serving.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process is ready. From this moment on the replica that it replaces gets nothing new.
    pub(crate) fn add(&self, connection: &Arc<Connection>, release: &Arc<Release>, old: Option<&Replica>) {
        let (this, id) = (self.this.clone(), Arc::clone(connection.id()));
        connection.when_ready(move |is_ready| {
            let Some(this) = this.upgrade() else { return };
            let what = if is_ready { "takes calls again" } else { "says that it takes no calls now" };
            this.logs.host(LogLevel::Info, &id, what);
            if is_ready {
                this.release_parked();
                this.pump(&mut WriteBatch::new());
            }
        });
        let replaced = old.and_then(|replica| replica.lock().connection.clone());
        let is_new = {
            let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
            serving.ready.push(Ready { connection: Arc::clone(connection), release: Arc::clone(release) });
            if let Some(replaced) = &replaced {
                serving.ready.retain(|ready| ready.connection.number() != replaced.number());
            }
            let is_new = serving.release.number() < release.number();
            if is_new {
                serving.release = Arc::clone(release);
            }
            is_new
        };
        if is_new {
            self.look_whether_mixed();
            self.apply_rules(release);
        }
        if let Some(replaced) = replaced {
            self.take_back(replaced.stop());
        }
        self.release_parked();
        self.pump(&mut WriteBatch::new());
    }

    /// A process gets nothing new, and what it was not asked yet goes to another one.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        {
            let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
            serving.ready.retain(|ready| ready.connection.number() != connection.number());
        }
        self.take_back(connection.stop());
    }

    fn take_back(&self, not_asked: Vec<NotAsked>) {
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        let mut events = Vec::new();
        for not_asked in not_asked {
            match not_asked {
                NotAsked::Call { envelope: message, topic, reply } => {
                    drop(self.dispatch(message, &topic, reply, now, &mut batch))
                }
                NotAsked::Event { envelope: message, reply } => {
                    reply.discard();
                    events.push(message);
                }
            }
        }
        // Each goes before those that are there.
        for event in events.into_iter().rev() {
            self.put_back(event);
        }
        self.pump(&mut batch);
    }

    /// Whether there is, or soon will be, a process that takes this topic.
    fn one_comes_for(&self, topic: &str) -> bool {
        self.replicas().iter().any(|replica| replica.comes() && replica.release().takes(topic))
    }

    /// What waits for a process is answered, if none will be ready soon.
    pub(crate) fn look_whether_one_comes(&self) {
        // What still has one waits again.
        self.release_parked();
    }

    /// No process will be ready by itself: what waits for one is answered.
    pub(crate) fn given_up(&self) {
        self.look_whether_one_comes();
        if self.replicas().iter().all(|replica| replica.state().is_final()) {
            self.drop_events("it does not run any more", |_| true);
        }
    }

    /// A replica has failed, and is not started again by itself.
    pub(crate) fn has_failed(&self, failure: &str) {
        self.failures.send_replace(Some(failure.to_owned()));
    }

    pub(crate) fn status(&self) -> ModuleStatus {
        let release = self.release();
        let topics = lock(&self.topics).all().map(|topic| topic.stats().snapshot(topic.name())).collect();
        let replicas = self.replicas();
        let parked = lock(&self.parked).len();
        let waiting = parked + self.serving().ready.iter().map(|ready| ready.connection.waiting()).sum::<usize>();
        let queue = lock(&self.queue);
        ModuleStatus {
            name: self.name.to_string(),
            version: release.manifest().module.version.to_string(),
            instances: replicas.iter().map(|replica| replica.status()).collect(),
            topics,
            calls_waiting: waiting as u64,
            events_waiting: queue.waiting() as u64,
            events_dropped: queue.dropped,
        }
    }

    /// Takes a call of one of its services.
    fn call(
        &self,
        topic: &Arc<Topic>,
        mut message: Envelope<'_>,
        reply: ReplyTo,
        batch: &mut WriteBatch,
    ) -> CallHandle {
        let depth = message.cause.as_ref().map_or(0, |cause| cause.depth());
        let now = Instant::now();
        if depth >= MAX_DEPTH {
            let why = format!("`{}` is the end of a chain of {depth} calls: they go round in a circle", topic.name());
            self.not_asked(topic, &message, now, (Outcome::Refused, code::RESOURCE_EXHAUSTED, &why));
            reply.error(code::RESOURCE_EXHAUSTED, &why, false, batch);
            return CallHandle::default();
        }
        if message.deadline.is_none() {
            // A module does not wait for ever, so that two of them can't wait for each other for ever.
            let by_default = message.cause.is_some().then_some(self.call_timeout);
            message.deadline = topic.ttl().or(by_default).and_then(|ttl| now.checked_add(ttl));
        }
        self.route(message, topic, reply, 0, now, now, batch)
    }

    /// The process for a call, or an event, of this topic: the one with the least to do.
    fn pick(&self, topic: &str, cause: Option<&Arc<Cause>>) -> Picked {
        let serving = self.serving();
        let Serving { ready, is_mixed, .. } = &*serving;
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut waits_for_itself = None;
        let mut best: Option<(usize, &Arc<Connection>)> = None;
        for index in 0..ready.len() {
            let Ready { connection, release } = &ready[(start + index) % ready.len()];
            if *is_mixed && !release.takes(topic) {
                continue;
            }
            let Some(load) = connection.load() else { continue };
            let in_chain = |cause: &Arc<Cause>| cause.chain().any(|cause| cause.process() == connection.number());
            if let Some(cause) = cause
                && load.is_busy
                && in_chain(cause)
            {
                waits_for_itself = Some(Arc::clone(cause));
                continue;
            }
            if best.is_none_or(|(least, _)| load.in_flight < least) {
                best = Some((load.in_flight, connection));
            }
        }
        match (best, waits_for_itself) {
            (Some((_, connection)), _) => Picked::Ready(Arc::clone(connection)),
            (None, Some(cause)) => Picked::WaitsForItself(cause),
            (None, None) => Picked::None,
        }
    }

    /// `started` is when the first attempt was.
    fn route(
        &self,
        message: Envelope<'_>,
        topic: &Arc<Topic>,
        reply: ReplyTo,
        ended: u32,
        started: Instant,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> CallHandle {
        if !topic.again() {
            return self.dispatch(message, topic, reply, now, batch);
        }
        // The copy that is kept to ask again.
        match self.waiting.take(message.bytes()) {
            Some(held) => {
                let reply = self.again(&message, topic, reply, ended, started, held);
                self.dispatch(message, topic, reply, now, batch)
            }
            None => self.refuse(&message, topic, reply, batch),
        }
    }

    fn dispatch(
        &self,
        mut message: Envelope<'_>,
        topic: &Arc<Topic>,
        mut reply: ReplyTo,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> CallHandle {
        let name = self.name();
        loop {
            if message.deadline.is_some_and(|deadline| deadline <= now) {
                let why = format!("the time for `{}` was over before `{name}` was asked", topic.name());
                self.not_asked(topic, &message, now, (Outcome::Timeout, code::DEADLINE_EXCEEDED, &why));
                reply.error(code::DEADLINE_EXCEEDED, &why, true, batch);
                return CallHandle::default();
            }
            match self.pick(topic.name(), message.cause.as_ref()) {
                Picked::Ready(connection) => {
                    match connection.send_message(Request::Handle, message, topic, reply, now, batch) {
                        Ok(pending) => return pending,
                        // In this moment it was told to end: it was not asked, and is not among the others any more.
                        Err(back) => (message, reply) = *back,
                    }
                }
                Picked::WaitsForItself(cause) => {
                    let mut chain: Vec<_> = cause.chain().map(|cause| format!("`{}`", cause.instance())).collect();
                    chain.reverse();
                    let why = format!(
                        "`{name}` handles one request at a time, and `{}` is called from it: it would wait for itself \
                         (called from {})",
                        topic.name(),
                        chain.join(", then "),
                    );
                    self.not_asked(topic, &message, now, (Outcome::Refused, code::FAILED_PRECONDITION, &why));
                    reply.error(code::FAILED_PRECONDITION, &why, false, batch);
                    return CallHandle::default();
                }
                Picked::None => {
                    self.park(message, topic, reply, batch);
                    return CallHandle::default();
                }
            }
        }
    }

    /// Asks again, if the process ends before it has answered, a limited number of times. One that has `ended` a process for certain
    /// gets one more.
    fn again(
        &self,
        message: &Envelope<'_>,
        topic: &Arc<Topic>,
        reply: ReplyTo,
        ended: u32,
        started: Instant,
        held: Taken,
    ) -> ReplyTo {
        let (this, again, topic) = (self.this.clone(), message.borrowed().into_owned(), Arc::clone(topic));
        ReplyTo::retrying(move |answer, batch| match (answer, this.upgrade()) {
            (CallResult::Lost { reason, was_alone }, Some(this)) => {
                let attempt = again.attempt;
                let ended = ended + u32::from(was_alone);
                let is_last = attempt >= MAX_ATTEMPTS || ended >= 2;
                let why = format!("attempt {attempt} of {MAX_ATTEMPTS}: {reason}");
                if is_last {
                    let (release, why) = (this.release(), format!("{why}; it is not tried again"));
                    let call = Call::to_module(release.source(), &topic, &again, started);
                    this.call_log.failed(&call, Outcome::Lost, code::UNAVAILABLE, &why);
                    return reply.send(CallResult::Lost { reason, was_alone }, batch);
                }
                let note = format!("`{}`, {why}; it is tried again, for it is idempotent", topic.name());
                this.warn(&again.trace_id, note);
                drop(held);
                let again = Envelope { attempt: attempt + 1, ..again };
                // Whoever takes it back now is not heard any more; the answer is then nobody's.
                drop(this.route(again, &topic, reply, ended, started, Instant::now(), batch));
            }
            (answer, _) => reply.send(answer, batch),
        })
    }

    /// Warns of something that belongs to a trace.
    fn warn(&self, trace_id: &str, message: String) {
        let trace_id = trace_id.to_owned();
        self.logs.write(Record { level: LogLevel::Warn, trace_id, ..Record::new(self.release().source(), message) });
    }

    /// The module was not asked, with this code and for this reason.
    fn not_asked(&self, topic: &Topic, message: &Envelope<'_>, since: Instant, why: (Outcome, &str, &str)) {
        let (outcome, code, reason) = why;
        topic.stats().refused(code);
        let release = self.release();
        self.call_log.failed(&Call::to_module(release.source(), topic, message, since), outcome, code, reason);
    }

    /// There is no process for the call. If there will be one, it waits: nobody has been asked yet, so that it does no harm.
    fn park(&self, message: Envelope<'_>, topic: &Arc<Topic>, reply: ReplyTo, batch: &mut WriteBatch) {
        if !self.one_comes_for(topic.name()) {
            let why = self.why_not(topic.name());
            self.not_asked(topic, &message, Instant::now(), (Outcome::Refused, code::UNAVAILABLE, &why));
            reply.error(code::UNAVAILABLE, &why, true, batch);
            return;
        }
        let mut parked = lock(&self.parked);
        let held = if parked.len() < MAX_PARKED { self.waiting.take(message.bytes()) } else { None };
        let Some(held) = held else {
            drop(parked);
            drop(self.refuse(&message, topic, reply, batch));
            return;
        };
        let deadline = message.deadline;
        let (message, since) = (message.into_owned(), Instant::now());
        parked.push(Parked { message, topic: Arc::clone(topic), reply, since, held });
        drop(parked);
        // It may have become ready, or been given up, since.
        let is_over = !self.one_comes_for(topic.name());
        if is_over || !matches!(self.pick(topic.name(), None), Picked::None) {
            return self.release_parked();
        }
        if let Some(deadline) = deadline {
            let this = self.this.clone();
            tokio::spawn(async move {
                tokio::time::sleep_until(deadline).await;
                if let Some(this) = this.upgrade() {
                    this.expire_parked();
                }
            });
        }
    }

    /// Too much waits for it.
    fn refuse(&self, message: &Envelope<'_>, topic: &Topic, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        let why = format!("too many requests wait for `{}`, or they carry too much", self.name());
        self.not_asked(topic, message, Instant::now(), (Outcome::Refused, code::RESOURCE_EXHAUSTED, &why));
        reply.error(code::RESOURCE_EXHAUSTED, &why, true, batch);
        CallHandle::default()
    }

    fn release_parked(&self) {
        let parked = std::mem::take(&mut *lock(&self.parked));
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        for Parked { message, topic, reply, held, .. } in parked {
            // What it takes, it may take again.
            drop(held);
            drop(self.dispatch(message, &topic, reply, now, &mut batch));
        }
    }

    fn expire_parked(&self) {
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        let over = |parked: &Parked| parked.message.deadline.is_some_and(|deadline| deadline <= now);
        let expired: Vec<_> = lock(&self.parked).extract_if(.., |parked| over(parked)).collect();
        for Parked { message, topic, reply, since, .. } in expired {
            let why = format!("the time for `{}` is over: {}", topic.name(), self.why_not(topic.name()));
            self.not_asked(&topic, &message, since, (Outcome::Timeout, code::DEADLINE_EXCEEDED, &why));
            reply.error(code::DEADLINE_EXCEEDED, &why, true, &mut batch);
        }
    }

    /// Why there is no process that takes this topic.
    fn why_not(&self, topic: &str) -> String {
        let name = self.name();
        let replicas = self.replicas();
        let of = |state: State| replicas.iter().find(|replica| replica.state() == state);
        let because =
            |replica: &Arc<Replica>| replica.reason().map_or_else(String::new, |reason| format!(": {reason}"));
        // If there are some that stay, it is their topics that count.
        let stay = |replica: &&Arc<Replica>| !replica.is_retired() || replicas.iter().all(|other| other.is_retired());
        if !replicas.iter().filter(stay).any(|replica| replica.release().takes(topic)) {
            format!("`{name}` does not provide `{topic}`")
        } else if let Some(replica) = replicas.iter().find(|replica| replica.lock().keeps_ending) {
            format!("`{name}` ends again and again, and is restarted only now and then{}", because(replica))
        } else if let Some(replica) = of(State::Backoff) {
            format!("`{name}` is about to be restarted{}", because(replica))
        } else if let Some(replica) = of(State::Starting) {
            format!("`{name}` is starting{}", because(replica))
        } else if let Some(replica) = of(State::Failed) {
            format!("`{name}` has failed and is not restarted any more{}", because(replica))
        } else if self.serving().ready.iter().any(|ready| !ready.connection.is_ready()) {
            format!("`{name}` says that it is not ready")
        } else if of(State::Draining).is_some() || of(State::Ready).is_some() {
            format!("`{name}` is shutting down")
        } else {
            format!("`{name}` is stopped")
        }
    }
}

enum Picked {
    Ready(Arc<Connection>),
    /// The only ones that there are wait for this call.
    WaitsForItself(Arc<Cause>),
    None,
}
