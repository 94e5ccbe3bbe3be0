//! A module in its host: the processes that run it, which of them gets a call, and its counts.

mod events;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use foldhash::HashMap;
use ixt_manifest::Manifest;
use ixt_protocol::{LogLevel, code};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::budget::{Budget, Taken};
use crate::bus::{Answer, Cause, Endpoint, Message, Pending, ReplyTo};
use crate::connection::{Connection, Request};
use crate::lock::lock;
use crate::logs::Logs;
use crate::managed::events::EventQueue;
use crate::services::Backends;
use crate::slot::Slot;
use crate::status::{ModuleStatus, State};
use crate::topic::Topic;
use crate::{Module, Program};

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
    module: Module,
    program: Program,
    config: Box<RawValue>,
    source: Arc<str>,
    call_timeout: Duration,
    logs: Logs,
    services: HashMap<String, Arc<Topic>>,
    events: HashMap<String, Arc<Topic>>,
    slots: Vec<Arc<Slot>>,
    ready: RwLock<Vec<Arc<Connection>>>,
    /// Where the search for the one with the least to do begins.
    turn: AtomicUsize,
    /// For what waits for it.
    waiting: Arc<Budget>,
    parked: Mutex<Vec<Parked>>,
    queue: Mutex<EventQueue>,
}

/// A call that waits for a process.
struct Parked {
    message: Message<'static>,
    reply: ReplyTo,
    held: Taken,
}

impl Managed {
    pub(crate) fn new(
        module: Module,
        program: Program,
        config: Box<RawValue>,
        instances: u32,
        durable: &dyn Fn(&str) -> bool,
        call_timeout: Duration,
        backends: &Backends,
    ) -> Arc<Self> {
        let topic = |name: &str, ttl_ms: Option<u64>, again| {
            (name.to_owned(), Arc::new(Topic::new(name, ttl_ms.map(Duration::from_millis), again)))
        };
        let manifest = module.manifest();
        let services = manifest.services.iter();
        let services =
            services.map(|service| topic(service.topic.as_str(), service.ttl_ms, service.idempotent)).collect();
        let events = manifest.requires.events.iter();
        let events = events.map(|event| topic(event.as_str(), None, durable(event.as_str()))).collect();
        let source = format!("{}:{}", manifest.module.name, manifest.module.version).into();
        let slots = (1..=instances).map(|number| Arc::new(Slot::new(module.instance_id(number)))).collect();
        Arc::new_cyclic(|this| Self {
            this: Weak::clone(this),
            module,
            program,
            config,
            source,
            call_timeout,
            logs: backends.logs.clone(),
            services,
            events,
            slots,
            ready: RwLock::default(),
            turn: AtomicUsize::new(0),
            waiting: backends.memory.part(MAX_WAITING_BYTES),
            parked: Mutex::default(),
            queue: Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &str {
        self.module.manifest().module.name.as_str()
    }

    pub(crate) fn module(&self) -> &Module {
        &self.module
    }

    pub(crate) fn manifest(&self) -> &Manifest {
        self.module.manifest()
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    pub(crate) fn config(&self) -> &RawValue {
        &self.config
    }

    /// `name:version`.
    pub(crate) fn source(&self) -> &Arc<str> {
        &self.source
    }

    /// The budget of what waits for it.
    pub(crate) fn waiting(&self) -> &Arc<Budget> {
        &self.waiting
    }

    pub(crate) fn slots(&self) -> &[Arc<Slot>] {
        &self.slots
    }

    /// A process is ready.
    pub(crate) fn add(&self, connection: &Arc<Connection>) {
        self.ready.write().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(connection));
        self.release_parked();
        self.pump();
    }

    /// A process gets nothing new.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        let mut ready = self.ready.write().unwrap_or_else(PoisonError::into_inner);
        ready.retain(|other| other.number() != connection.number());
    }

    /// No process will be ready by itself: what waits for one is answered.
    pub(crate) fn given_up(&self) {
        if !self.slots.iter().any(|slot| slot.comes()) {
            self.release_parked();
            let dropped = lock(&self.queue).clear();
            if dropped > 0 {
                let message = format!("{dropped} events that waited for it are dropped");
                self.logs.host(LogLevel::Warn, &self.source, message);
            }
        }
    }

    pub(crate) fn status(&self) -> ModuleStatus {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner).clone();
        let manifest = self.manifest();
        let mut topics: Vec<_> = self
            .services
            .values()
            .chain(self.events.values())
            .map(|topic| topic.stats().snapshot(topic.name()))
            .collect();
        topics.sort_by(|a, b| a.topic.cmp(&b.topic));
        let queue = lock(&self.queue);
        ModuleStatus {
            name: manifest.module.name.to_string(),
            version: manifest.module.version.to_string(),
            instances: self.slots.iter().map(|slot| slot.status(&ready)).collect(),
            topics,
            events_waiting: queue.waiting() as u64,
            events_dropped: queue.dropped,
        }
    }

    /// The process for a call: the one with the least to do.
    fn pick(&self, cause: Option<&Arc<Cause>>) -> Picked {
        let ready = self.ready.read().unwrap_or_else(PoisonError::into_inner);
        let start = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut waits_for_itself = None;
        let mut best: Option<(usize, &Arc<Connection>)> = None;
        for index in 0..ready.len() {
            let connection = &ready[(start + index) % ready.len()];
            let Some(load) = connection.load() else { continue };
            let in_chain = |cause: &Arc<Cause>| cause.chain().any(|cause| cause.connection == connection.number());
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

    fn route(&self, message: Message<'_>, topic: &Arc<Topic>, reply: ReplyTo, attempt: u32, now: Instant) -> Pending {
        if !topic.again {
            return self.dispatch(message, topic, reply, now);
        }
        // The copy that is kept to ask again.
        match self.waiting.take(message.bytes()) {
            Some(held) => {
                let reply = self.again(&message, topic, reply, attempt, held);
                self.dispatch(message, topic, reply, now)
            }
            None => self.refuse(topic, reply),
        }
    }

    fn dispatch(&self, mut message: Message<'_>, topic: &Arc<Topic>, mut reply: ReplyTo, now: Instant) -> Pending {
        let name = self.name();
        loop {
            if message.deadline.is_some_and(|deadline| deadline <= now) {
                topic.stats().refused();
                let message = format!("the time for `{}` was over before `{name}` was asked", topic.name());
                reply.error(code::DEADLINE_EXCEEDED, &message, true);
                return Pending::default();
            }
            match self.pick(message.cause.as_ref()) {
                Picked::Ready(connection) => {
                    match connection.send_message(Request::Handle, message, topic, reply, now) {
                        Ok(pending) => return pending,
                        // In this moment it was told to end: it was not asked, and is not among the others any more.
                        Err(back) => (message, reply) = *back,
                    }
                }
                Picked::WaitsForItself(cause) => {
                    topic.stats().refused();
                    let mut chain: Vec<_> = cause.chain().map(|cause| format!("`{}`", cause.instance)).collect();
                    chain.reverse();
                    let message = format!(
                        "`{name}` handles one request at a time, and `{}` is called from it: it would wait for itself \
                         (called from {})",
                        topic.name(),
                        chain.join(", then "),
                    );
                    reply.error(code::FAILED_PRECONDITION, &message, false);
                    return Pending::default();
                }
                Picked::None => {
                    self.park(message, topic, reply);
                    return Pending::default();
                }
            }
        }
    }

    /// Asks again, if the process ends before it has answered.
    fn again(&self, message: &Message<'_>, topic: &Arc<Topic>, reply: ReplyTo, attempt: u32, held: Taken) -> ReplyTo {
        let (this, again, topic) = (self.this.clone(), message.borrowed().into_owned(), Arc::clone(topic));
        ReplyTo::new(move |answer| match (answer, this.upgrade()) {
            (Answer::Lost(reason), Some(this)) if attempt < MAX_ATTEMPTS => {
                let note = format!("`{}` is asked again, for it is idempotent: {reason}", topic.name());
                this.logs.host(LogLevel::Warn, &this.source, note);
                drop(held);
                // Whoever takes it back now is not heard any more; the answer is then nobody's.
                drop(this.route(again, &topic, reply, attempt + 1, Instant::now()));
            }
            (answer, _) => reply.send(answer),
        })
    }

    /// There is no process for the call. If there will be one, it waits: nobody has been asked yet, so that it does no harm.
    fn park(&self, message: Message<'_>, topic: &Topic, reply: ReplyTo) {
        let waits = self.slots.iter().any(|slot| slot.comes());
        if !waits {
            topic.stats().refused();
            reply.error(code::UNAVAILABLE, &self.why_not(), true);
            return;
        }
        let mut parked = lock(&self.parked);
        let held = if parked.len() < MAX_PARKED { self.waiting.take(message.bytes()) } else { None };
        let Some(held) = held else {
            drop(parked);
            drop(self.refuse(topic, reply));
            return;
        };
        let deadline = message.deadline;
        parked.push(Parked { message: message.into_owned(), reply, held });
        drop(parked);
        // It may have become ready, or been given up, since.
        let is_over = !self.slots.iter().any(|slot| slot.comes());
        if is_over || !matches!(self.pick(None), Picked::None) {
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
    fn refuse(&self, topic: &Topic, reply: ReplyTo) -> Pending {
        topic.stats().refused();
        let message = format!("too many requests wait for `{}`, or they carry too much", self.name());
        reply.error(code::RESOURCE_EXHAUSTED, &message, true);
        Pending::default()
    }

    fn release_parked(&self) {
        let parked = std::mem::take(&mut *lock(&self.parked));
        for Parked { message, reply, held } in parked {
            // What it takes, it may take again.
            drop(held);
            if let Some(topic) = self.services.get(&*message.topic) {
                drop(self.dispatch(message, topic, reply, Instant::now()));
            }
        }
    }

    fn expire_parked(&self) {
        let now = Instant::now();
        let over = |parked: &Parked| parked.message.deadline.is_some_and(|deadline| deadline <= now);
        let expired: Vec<_> = lock(&self.parked).extract_if(.., |parked| over(parked)).collect();
        for Parked { message, reply, .. } in expired {
            if let Some(topic) = self.services.get(&*message.topic) {
                topic.stats().refused();
            }
            let message = format!("the time for `{}` is over: {}", message.topic, self.why_not());
            reply.error(code::DEADLINE_EXCEEDED, &message, true);
        }
    }

    /// Why there is no process.
    fn why_not(&self) -> String {
        let name = self.name();
        let states: Vec<_> = self.slots.iter().map(|slot| (slot.state(), slot.reason())).collect();
        let of = |wanted: State| states.iter().find(|(state, _)| *state == wanted);
        let because =
            |reason: &Option<String>| reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        if let Some((_, reason)) = of(State::Backoff) {
            format!("`{name}` is about to be restarted{}", because(reason))
        } else if let Some((_, reason)) = of(State::Starting) {
            format!("`{name}` is starting{}", because(reason))
        } else if let Some((_, reason)) = of(State::Failed) {
            format!("`{name}` has failed and is not restarted any more{}", because(reason))
        } else if of(State::Stopping).is_some() || of(State::Ready).is_some() {
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

impl Endpoint for Managed {
    fn call(&self, mut message: Message<'_>, reply: ReplyTo) -> Pending {
        let Some(topic) = self.services.get(&*message.topic) else {
            let message = format!("`{}` does not provide `{}`", self.name(), message.topic);
            reply.error(code::UNKNOWN_TOPIC, &message, false);
            return Pending::default();
        };
        let depth = message.cause.as_ref().map_or(0, |cause| cause.depth);
        if depth >= MAX_DEPTH {
            topic.stats().refused();
            let message =
                format!("`{}` is the end of a chain of {depth} calls: they go round in a circle", topic.name());
            reply.error(code::RESOURCE_EXHAUSTED, &message, false);
            return Pending::default();
        }
        let now = Instant::now();
        if message.deadline.is_none() {
            // A module does not wait for ever, so that two of them can't wait for each other for ever.
            let by_default = message.cause.is_some().then_some(self.call_timeout);
            message.deadline = topic.ttl.or(by_default).and_then(|ttl| now.checked_add(ttl));
        }
        self.route(message, topic, reply, 1, now)
    }

    fn event(&self, message: &Message<'_>) {
        self.take_event(message);
    }
}
