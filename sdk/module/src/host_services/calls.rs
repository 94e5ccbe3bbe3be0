//! The module's calls to its host that wait for a response, by their ids, and its open watches. A call ends exactly once: with the host's
//! response; with `DEADLINE_EXCEEDED` and a `cancel` frame at its deadline; with `UNAVAILABLE` when the host is gone or the session has
//! ended; or, if its future is dropped, with a `cancel` frame. The call that begins a watch is never cancelled: see [`Calls::watch`].

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ixt_protocol::{CallContext, Frame, KvChange, ModuleFrame, Object, ServiceRequest, code};
use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::changes::Changes;
use crate::clock::Clock;
use crate::error::{Error, Result};
use crate::outgoing::Outgoing;

/// `Calls::expire` asks to be called again after this time at the earliest, so that deadlines that lie close together are handled in
/// one pass. A call may end this much after its deadline.
const EXPIRE_INTERVAL: Duration = Duration::from_millis(1);

/// The calls that wait, and the open watches. One for each session.
#[derive(Debug)]
pub(crate) struct Calls {
    outgoing: Arc<Outgoing>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting>,
}

/// What waits for the host, behind the lock of [`Calls`].
#[derive(Debug, Default)]
struct Waiting {
    /// The id of the last call; they count from 1.
    last_id: u64,
    calls: FxHashMap<u64, WaitingCall>,
    /// For when a call of `expire` is planned: the earliest deadline or up to [`EXPIRE_INTERVAL`] later, or before it if the call for which
    /// it was planned has ended. `None` if none is planned.
    next_expiry: Option<Instant>,
    /// The queues of open watches, by the numbers that the host gave them.
    watches: HashMap<u64, Arc<Changes>>,
    /// Whether the host is gone, or the session has ended. Every new call then fails.
    closed: bool,
}

/// A call without a response.
#[derive(Debug)]
struct WaitingCall {
    /// `None` if it has none, until the request is queued, and after the deadline of a call that begins a watch.
    deadline: Option<Instant>,
    caller: Waiter,
}

/// The task that waits for the response. If it no longer waits, sending to it fails, and the response is dropped: a watch then ends.
#[derive(Debug)]
enum Waiter {
    /// A call of any method but `kv_store.watch`.
    Call(oneshot::Sender<CallEnd<Object<'static>>>),
    /// A call of `kv_store.watch`. The reader registers the watch before it reads the next frame, which may be the first change. The
    /// sender is `None` once the deadline is over; the entry stays, so that a watch that the host begins later is ended again.
    Watch(Option<oneshot::Sender<CallEnd<Subscription>>>),
}

/// How a call ended. If the sender is dropped without one, the host is gone, or the session has ended.
#[derive(Debug)]
enum CallEnd<T> {
    Response(Result<T>),
    DeadlineExceeded,
}

/// The deadline of a call, made by [`Link::limit`](super::link::Link::limit).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// When the SDK ends the call. The host gets `ttl_ms`, and may end it before.
    pub(crate) deadline: Instant,
    /// The milliseconds from the call to the deadline, rounded up: for the frame (of a bus call only), and for the error's message.
    pub(crate) ttl_ms: u64,
}

/// An open watch. Dropping it ends the watch: it sends `kv_store.unwatch`, unless the host has ended the watch or is gone.
#[derive(Debug)]
pub(super) struct Subscription {
    number: u64,
    changes: Arc<Changes>,
    calls: Arc<Calls>,
}

/// The response to `kv_store.watch`, and the parameters of `kv_store.unwatch`.
#[derive(Serialize, Deserialize)]
struct WatchId {
    /// The host's number of the watch.
    watch: u64,
}

impl Calls {
    pub(crate) fn new(outgoing: Arc<Outgoing>, clock: Arc<dyn Clock>) -> Self {
        Self { outgoing, clock, waiting: Mutex::default() }
    }

    pub(super) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.outgoing
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// Sends a request and waits for its response; `what` names the call in errors. If the future is dropped before, the request is
    /// cancelled. Without a `limit` it waits until the host responds or is gone.
    ///
    /// # Errors
    ///
    /// The host's; those of [`Outgoing::send`]; `DEADLINE_EXCEEDED` at the limit; `UNAVAILABLE`, retryable, if the host is gone or the
    /// session has ended.
    pub(super) async fn request(
        &self,
        body: ModuleFrame<'_>,
        what: &str,
        limit: Option<Limit>,
    ) -> Result<Object<'static>> {
        struct CancelOnDrop<'a> {
            calls: &'a Calls,
            id: Option<u64>,
        }

        impl Drop for CancelOnDrop<'_> {
            fn drop(&mut self) {
                // If the id is gone, the response has just come.
                if let Some(id) = self.id
                    && self.calls.lock().calls.remove(&id).is_some()
                {
                    let _ = self.calls.outgoing.send(Frame { id: Some(id), body: ModuleFrame::Cancel });
                }
            }
        }

        let (sender, response) = oneshot::channel();
        let id = self.send(body, Some(Waiter::Call(sender)), limit)?;
        let mut cancel = CancelOnDrop { calls: self, id: Some(id) };
        let response = wait(response, what, limit).await;
        cancel.id = None;
        response
    }

    /// Asks the host to begin a watch, and waits for its number. If the future is dropped, or the limit is over, no `cancel` is sent, since
    /// the host may have begun the watch already: the watch is ended when the response with its number comes. The errors are those of
    /// [`request`](Self::request), and `INTERNAL` if the response is wrong.
    pub(super) async fn watch(&self, body: ModuleFrame<'_>, limit: Option<Limit>) -> Result<Subscription> {
        let (sender, response) = oneshot::channel();
        self.send(body, Some(Waiter::Watch(Some(sender))), limit)?;
        wait(response, "kv_store.watch", limit).await
    }

    /// Sends a request, and returns its id without waiting. `caller` gets the end of the call; if it is `None`, the response is dropped.
    fn send(&self, body: ModuleFrame<'_>, caller: Option<Waiter>, limit: Option<Limit>) -> Result<u64> {
        let id = {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(host_gone());
            }
            waiting.last_id += 1;
            let id = waiting.last_id;
            waiting.calls.extend(caller.map(|caller| (id, WaitingCall { deadline: None, caller })));
            id
        };
        self.outgoing.send(Frame { id: Some(id), body }).inspect_err(|_| {
            let call = self.lock().calls.remove(&id);
            drop(call);
        })?;
        // After the sending, so that the `cancel` at the deadline can't overtake the request.
        if let Some(Limit { deadline, .. }) = limit {
            self.set_deadline(id, deadline);
        }
        Ok(id)
    }

    /// Sets the deadline of a call, and plans a call of `expire` if it is the earliest. Does nothing if the call has ended.
    fn set_deadline(&self, id: u64, deadline: Instant) {
        let mut waiting = self.lock();
        // `None` if the response has come already.
        let Some(call) = waiting.calls.get_mut(&id) else { return };
        call.deadline = Some(deadline);
        if waiting.next_expiry.is_none_or(|known| deadline < known) {
            waiting.next_expiry = Some(deadline);
            drop(waiting);
            self.clock.wake_at(deadline);
        }
    }

    /// Passes a response to the call that waits for it. Returns false if `id` is `None` or no request ever had it: the host has made a
    /// mistake. A response to a request whose caller no longer waits is dropped (the host had sent it before it read the `cancel`), and so
    /// is a second response to a request.
    pub(crate) fn respond(self: &Arc<Self>, id: Option<u64>, response: Result<Object<'static>>) -> bool {
        let Some(id) = id else { return false };
        let mut waiting = self.lock();
        let was_sent = (1..=waiting.last_id).contains(&id);
        let call = waiting.calls.remove(&id);
        drop(waiting);
        match call.map(|call| call.caller) {
            Some(Waiter::Call(caller)) => drop(caller.send(CallEnd::Response(response))),
            Some(Waiter::Watch(caller)) => {
                let subscription = self.subscribe(response);
                // If the caller no longer waits, this drops the subscription, which ends the watch.
                drop(caller.map(|caller| caller.send(CallEnd::Response(subscription))));
            }
            None => {}
        }
        was_sent
    }

    /// Registers a watch that the host has begun. `INTERNAL` if the response has no number, or that of an open watch; `UNAVAILABLE` if the
    /// session has ended.
    fn subscribe(self: &Arc<Self>, response: Result<Object<'_>>) -> Result<Subscription> {
        let wrong = |what: &str| Error::internal(format!("the host's response to `kv_store.watch` is wrong: {what}"));
        let WatchId { watch: number } = response?.read().map_err(|error| wrong(&error.to_string()))?;
        let changes = Arc::new(Changes::default());
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(host_gone());
        }
        match waiting.watches.entry(number) {
            Entry::Occupied(_) => Err(wrong(&format!("there is a watch {number} already"))),
            Entry::Vacant(entry) => {
                entry.insert(Arc::clone(&changes));
                Ok(Subscription { number, changes, calls: Arc::clone(self) })
            }
        }
    }

    /// Passes a change to its watch. A change without a watch is dropped: the host had sent it before it read the `unwatch`.
    pub(crate) fn kv_changed(&self, change: KvChange<'_>) {
        let changes = self.lock().watches.get(&change.watch).map(Arc::clone);
        if let Some(changes) = changes {
            changes.push(change);
        }
    }

    /// Ends a watch as overrun: the host has sent `kv_watch_ended`, since it could not keep all its changes. Does nothing if there is no
    /// watch with this number.
    pub(crate) fn watch_overrun(&self, number: u64) {
        let changes = self.lock().watches.remove(&number);
        if let Some(changes) = changes {
            changes.lose();
        }
    }

    /// Ends the calls whose deadline is over with `DEADLINE_EXCEEDED`, and sends a `cancel` for each, except for `kv_store.watch`. Returns
    /// when it has to be called again; `None` if no call has a deadline.
    pub(crate) fn expire(&self, now: Instant) -> Option<Instant> {
        let mut waiting = self.lock();
        let is_due = |call: &WaitingCall| call.deadline.is_some_and(|deadline| deadline <= now);
        let mut watchers = Vec::new();
        for call in waiting.calls.values_mut().filter(|call| is_due(call)) {
            if let Waiter::Watch(caller) = &mut call.caller {
                watchers.extend(caller.take());
                call.deadline = None;
            }
        }
        let calls: Vec<_> = waiting.calls.extract_if(|_, call| is_due(call)).collect();
        let next = waiting.calls.values().filter_map(|call| call.deadline).min();
        let next = next.map(|next| next.max(now + EXPIRE_INTERVAL));
        waiting.next_expiry = next;
        drop(waiting);
        for (id, call) in calls {
            // If the response comes all the same, it is dropped.
            let _ = self.outgoing.send(Frame { id: Some(id), body: ModuleFrame::Cancel });
            if let Waiter::Call(caller) = call.caller {
                let _ = caller.send(CallEnd::DeadlineExceeded);
            }
        }
        for caller in watchers {
            let _ = caller.send(CallEnd::DeadlineExceeded);
        }
        next
    }

    /// Ends all calls with `UNAVAILABLE`, and all watches, whose queued changes can still be taken. New calls fail from now on: the host is
    /// gone, or the session has ended.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        // Dropped after the lock is released: a caller that is woken may call again at once.
        let calls = std::mem::take(&mut waiting.calls);
        let watches = std::mem::take(&mut waiting.watches);
        drop(waiting);
        drop(calls);
        for changes in watches.values() {
            changes.close();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing under this lock can panic.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscription {
    /// The host's number of the watch.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn changes(&self) -> &Changes {
        &self.changes
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let changes = self.calls.lock().watches.remove(&self.number);
        // `None` if the host has ended the watch.
        if changes.is_some()
            && let Ok(params) = object(&WatchId { watch: self.number })
        {
            let request = service_request("kv_store", "unwatch", params, CallContext::default());
            let _ = self.calls.send(request, None, None);
        }
    }
}

/// Waits for the end of a call; `what` names the call in the error. A dropped sender is `UNAVAILABLE`.
async fn wait<T>(end: oneshot::Receiver<CallEnd<T>>, what: &str, limit: Option<Limit>) -> Result<T> {
    match end.await {
        Ok(CallEnd::Response(response)) => response,
        Ok(CallEnd::DeadlineExceeded) => {
            let ttl_ms = limit.map_or(0, |limit| limit.ttl_ms);
            Err(Error::new(code::DEADLINE_EXCEEDED, format!("the {ttl_ms} ms of the call of `{what}` are over")))
        }
        Err(_) => Err(host_gone()),
    }
}

/// A `service_request` frame.
pub(super) fn service_request<'a>(
    service: &'static str,
    method: &'static str,
    params: Object<'static>,
    context: CallContext<'a>,
) -> ModuleFrame<'a> {
    let (service, method) = (service.into(), method.into());
    ModuleFrame::ServiceRequest(ServiceRequest { service, method, params, context })
}

/// The parameters of a `service_request`. `INTERNAL` if they can't be JSON or are not an object.
pub(super) fn object(params: &impl Serialize) -> Result<Object<'static>> {
    Ok(Object::serialize(params)?)
}

/// `UNAVAILABLE`, retryable: the error of calls after [`Calls::close`].
fn host_gone() -> Error {
    Error::unavailable("the host is gone")
}
