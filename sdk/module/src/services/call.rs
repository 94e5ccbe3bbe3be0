//! Requests of the module to its host. Each ends: with the host's response, with an error when the time is over or the host
//! is gone, or, if nobody waits for it any more, with a `cancel`. Only a watch for which nobody waits is ended when it is there.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ixt_protocol::{CallContext, Frame, KvChange, ModuleFrame, Object, ServiceRequest, code};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::context::Origin;
use crate::runtime::executor::Executor;
use crate::runtime::{EXPIRE_EVERY, Outgoing};
use crate::services::bus::Bus;
use crate::services::kv::Kv;
use crate::services::watch::{Changes, Watch};
use crate::{Error, Result};

/// Who can ask something of the host and of other modules: a [`Context`](crate::Context), whose calls are part of the
/// request that is handled, and a [`Runtime`](crate::Runtime), whose calls stand for themselves.
pub trait Caller: sealed::Sealed + Sync {
    /// The message bus: calls other modules, and publishes events, by topic.
    fn bus(&self) -> Bus<'_> {
        Bus::new(self.link())
    }

    /// The module's store of keys and values, which the host keeps.
    fn kv(&self) -> Kv<'_> {
        Kv::new(self.link())
    }
}

pub(crate) mod sealed {
    pub trait Sealed {
        fn link(&self) -> &super::Link;
    }
}

/// The way from something in the module to the host.
#[derive(Debug, Clone)]
pub struct Link(Arc<Origin>);

impl Link {
    pub(crate) fn new(origin: Origin) -> Self {
        Self(Arc::new(origin))
    }

    pub(crate) fn origin(&self) -> &Origin {
        &self.0
    }

    pub(crate) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.0.calls.outgoing
    }

    /// When a call with this ttl has to be done, and what then is left of it, in milliseconds. What it is a part of may be
    /// over sooner.
    pub(crate) fn limit(&self, ttl: Option<Duration>) -> Option<Limit> {
        let now = Instant::now();
        let own = ttl.and_then(|ttl| now.checked_add(ttl));
        let deadline = own.into_iter().chain(self.0.deadline).min()?;
        let left = deadline.saturating_duration_since(now);
        // Rounded up, so that a call with a moment left is not one without.
        Some(Limit { deadline, ttl_ms: u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX) })
    }

    /// Asks for one of the host's services; `what` is how an error calls it.
    pub(crate) async fn request(
        &self,
        service: &'static str,
        method: &'static str,
        params: Object<'static>,
        what: &str,
        limit: Option<Limit>,
    ) -> Result<Object<'static>> {
        let request = service_request(service, method, params, self.context());
        self.0.calls.request(request, what, limit).await
    }

    /// Asks the host to tell of changes.
    pub(crate) async fn watch(&self, params: &(impl Serialize + Sync)) -> Result<Watch> {
        let request = service_request("kv_store", "watch", object(params)?, self.context());
        self.0.calls.watch(request, self.limit(None)).await
    }

    fn context(&self) -> CallContext<'_> {
        CallContext { trace_id: Cow::Borrowed(self.0.trace_id()), parent: self.0.parent }
    }
}

fn service_request<'a>(
    service: &'static str,
    method: &'static str,
    params: Object<'static>,
    context: CallContext<'a>,
) -> ModuleFrame<'a> {
    let (service, method) = (service.into(), method.into());
    ModuleFrame::ServiceRequest(ServiceRequest { service, method, params, context })
}

/// Parameters of a request.
pub(crate) fn object(params: &impl Serialize) -> Result<Object<'static>> {
    Ok(Object::trusted(serde_json::to_string(params)?))
}

/// Waits for the response to a call of `what`.
async fn answer<T>(response: oneshot::Receiver<Answer<T>>, what: &str, limit: Option<Limit>) -> Result<T> {
    match response.await {
        Ok(Answer::Came(response)) => response,
        Ok(Answer::TimeIsOver) => {
            let ttl_ms = limit.map_or(0, |limit| limit.ttl_ms);
            Err(Error::new(code::DEADLINE_EXCEEDED, format!("the {ttl_ms} ms of the call of `{what}` are over")))
        }
        Err(_) => Err(gone()),
    }
}

/// How long a call may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    pub(crate) deadline: Instant,
    pub(crate) ttl_ms: u64,
}

/// The calls that wait for the host.
#[derive(Debug)]
pub(crate) struct Calls {
    outgoing: Arc<Outgoing>,
    executor: Arc<dyn Executor>,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last_id: u64,
    responses: FxHashMap<u64, Waiter>,
    /// When to look at the deadlines: a moment after the first of them at most.
    deadline: Option<Instant>,
    /// Where the changes go that the host tells, by the numbers that it has given.
    watches: HashMap<u64, Arc<Changes>>,
    closed: bool,
}

/// Who waits for a response, and until when.
#[derive(Debug)]
struct Waiter {
    deadline: Option<Instant>,
    sender: Sender,
}

#[derive(Debug)]
enum Sender {
    Call(oneshot::Sender<Answer<Object<'static>>>),
    /// A watch is made by the thread that reads, before it reads on: the next frame may be the first change. Also if nobody
    /// waits for it any more, so that it can be ended.
    Watch(Option<oneshot::Sender<Answer<Watch>>>),
}

/// What those who wait are told.
#[derive(Debug)]
enum Answer<T> {
    Came(Result<T>),
    TimeIsOver,
}

impl Calls {
    pub(crate) fn new(outgoing: Arc<Outgoing>, executor: Arc<dyn Executor>) -> Self {
        Self { outgoing, executor, waiting: Mutex::default() }
    }

    async fn request(&self, body: ModuleFrame<'_>, what: &str, limit: Option<Limit>) -> Result<Object<'static>> {
        let (sender, response) = oneshot::channel();
        let id = self.send(body, Some(Sender::Call(sender)), limit)?;
        // From here on, whoever drops this future takes the request back.
        let mut abandoned = Abandoned { calls: self, id: Some(id) };
        let response = answer(response, what, limit).await;
        abandoned.id = None;
        response
    }

    /// Dropped before the response is there, this is not taken back: the host may have begun the watch, whose number would
    /// then be lost. It is ended as soon as it is there, since nobody takes it.
    async fn watch(&self, body: ModuleFrame<'_>, limit: Option<Limit>) -> Result<Watch> {
        let (sender, response) = oneshot::channel();
        self.send(body, Some(Sender::Watch(Some(sender))), limit)?;
        answer(response, "kv_store.watch", limit).await
    }

    /// Sends a request; gives its id. The response to one for which nobody waits is ignored.
    fn send(&self, body: ModuleFrame<'_>, sender: Option<Sender>, limit: Option<Limit>) -> Result<u64> {
        let id = {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(gone());
            }
            waiting.last_id += 1;
            let id = waiting.last_id;
            waiting.responses.extend(sender.map(|sender| (id, Waiter { deadline: None, sender })));
            id
        };
        self.outgoing.send(Frame { id: Some(id), body }).inspect_err(|_| {
            let waiter = self.lock().responses.remove(&id);
            drop(waiter);
        })?;
        // Only now, so that a `cancel` can't overtake what it is to cancel.
        if let Some(Limit { deadline, .. }) = limit {
            self.end_at(deadline, id);
        }
        Ok(id)
    }

    /// The call has to be over at this time.
    fn end_at(&self, deadline: Instant, id: u64) {
        let mut waiting = self.lock();
        // Otherwise the response is there already.
        let Some(waiter) = waiting.responses.get_mut(&id) else { return };
        waiter.deadline = Some(deadline);
        if waiting.deadline.is_none_or(|known| deadline < known) {
            waiting.deadline = Some(deadline);
            drop(waiting);
            self.executor.wake_at(deadline);
        }
    }

    /// Ends a watch: the host is told, and what still comes is ignored.
    pub(crate) fn unwatch(&self, watch: u64) {
        let changes = self.lock().watches.remove(&watch);
        // Otherwise the host is gone.
        if changes.is_some()
            && let Ok(params) = object(&WatchId { watch })
        {
            let _ = self.send(service_request("kv_store", "unwatch", params, CallContext::default()), None, None);
        }
    }

    /// Brings a change to its watch. One for which there is none has crossed an `unwatch`.
    pub(crate) fn changed(&self, change: KvChange<'_>) {
        let changes = self.lock().watches.get(&change.watch).map(Arc::clone);
        if let Some(changes) = changes {
            changes.push(change);
        }
    }

    /// The host has ended a watch.
    pub(crate) fn watch_ended(&self, watch: u64) {
        let changes = self.lock().watches.remove(&watch);
        if let Some(changes) = changes {
            changes.lose();
        }
    }

    /// The watch that the host has begun.
    fn begin_watch(self: &Arc<Self>, response: Result<Object<'_>>) -> Result<Watch> {
        let wrong = |what: &str| Error::internal(format!("the host's answer to `kv_store.watch` is wrong: {what}"));
        let WatchId { watch } = response?.read().map_err(|error| wrong(&error.to_string()))?;
        let changes = Arc::new(Changes::default());
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(gone());
        }
        match waiting.watches.entry(watch) {
            Entry::Occupied(_) => Err(wrong(&format!("there is a watch {watch} already"))),
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(&changes));
                Ok(Watch::new(watch, changes, Arc::clone(self)))
            }
        }
    }

    /// Brings a response to the one who waits for it. False if that was never asked; that nobody waits any more is what
    /// happens when a response crosses a `cancel`.
    pub(crate) fn respond(self: &Arc<Self>, id: Option<u64>, response: Result<Object<'static>>) -> bool {
        let Some(id) = id else { return false };
        let mut waiting = self.lock();
        let asked = (1..=waiting.last_id).contains(&id);
        let waiter = waiting.responses.remove(&id);
        drop(waiting);
        match waiter.map(|waiter| waiter.sender) {
            Some(Sender::Call(sender)) => drop(sender.send(Answer::Came(response))),
            Some(Sender::Watch(sender)) => {
                let watch = self.begin_watch(response);
                // Dropped where nobody waits for it, it ends.
                drop(sender.map(|sender| sender.send(Answer::Came(watch))));
            }
            None => {}
        }
        asked
    }

    /// Ends the calls whose time is over. Tells when the next one's is.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut waiting = self.lock();
        let expired = |waiter: &Waiter| waiter.deadline.is_some_and(|deadline| deadline <= now);
        let mut watches = Vec::new();
        for waiter in waiting.responses.values_mut().filter(|waiter| expired(waiter)) {
            if let Sender::Watch(sender) = &mut waiter.sender {
                watches.extend(sender.take());
                waiter.deadline = None;
            }
        }
        let calls: Vec<_> = waiting.responses.extract_if(|_, waiter| expired(waiter)).collect();
        let next = waiting.responses.values().filter_map(|waiter| waiter.deadline).min();
        let next = next.map(|next| next.max(now + EXPIRE_EVERY));
        waiting.deadline = next;
        drop(waiting);
        for (id, waiter) in calls {
            // It may be on its way.
            let _ = self.outgoing.send(Frame { id: Some(id), body: ModuleFrame::Cancel });
            if let Sender::Call(sender) = waiter.sender {
                let _ = sender.send(Answer::TimeIsOver);
            }
        }
        for sender in watches {
            let _ = sender.send(Answer::TimeIsOver);
        }
        next
    }

    /// Ends all calls and watches: the host is gone.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        // Dropped without the lock: those who wait may call again when they hear of it.
        let responses = std::mem::take(&mut waiting.responses);
        let watches = std::mem::take(&mut waiting.watches);
        drop(waiting);
        drop(responses);
        for changes in watches.values() {
            changes.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic happens under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The response to `kv_store.watch`, and the parameters of `kv_store.unwatch`.
#[derive(Serialize, Deserialize)]
struct WatchId {
    watch: u64,
}

fn gone() -> Error {
    Error::unavailable("the host is gone")
}

struct Abandoned<'a> {
    calls: &'a Calls,
    id: Option<u64>,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        // If it is not among them any more, it was answered in this moment.
        if let Some(id) = self.id
            && self.calls.lock().responses.remove(&id).is_some()
        {
            let _ = self.calls.outgoing.send(Frame { id: Some(id), body: ModuleFrame::Cancel });
        }
    }
}
