//! Requests of the module to its host. Each ends: with the host's response, with an error when the time is over or the host
//! is gone, or, if nobody waits for it any more, with a `cancel`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ixt_protocol::{CallContext, Frame, ModuleFrame, ServiceRequest, code};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::runtime::Outgoing;
use crate::services::bus::Bus;
use crate::services::kv::Kv;
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
pub struct Link {
    calls: Arc<Calls>,
    trace_id: Arc<str>,
    /// The request that is handled.
    parent: Option<u64>,
    /// When that is over.
    deadline: Option<Instant>,
}

impl Link {
    pub(crate) fn new(calls: Arc<Calls>, trace_id: &str, parent: Option<u64>, deadline: Option<Instant>) -> Self {
        Self { calls, trace_id: trace_id.into(), parent, deadline }
    }

    pub(crate) fn trace_id(&self) -> &Arc<str> {
        &self.trace_id
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(crate) fn outgoing(&self) -> &Arc<Outgoing> {
        &self.calls.outgoing
    }

    /// When a call with this ttl has to be done, and what then is left of it, in milliseconds. What it is a part of may be
    /// over sooner.
    pub(crate) fn limit(&self, ttl: Option<Duration>) -> Option<Limit> {
        let now = Instant::now();
        let own = ttl.and_then(|ttl| now.checked_add(ttl));
        let deadline = own.into_iter().chain(self.deadline).min()?;
        let left = deadline.saturating_duration_since(now);
        // Rounded up, so that a call with a moment left is not one without.
        Some(Limit { deadline, ttl_ms: u64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(u64::MAX) })
    }

    /// Asks for one of the host's services; `what` is how an error calls it.
    pub(crate) async fn request(
        &self,
        service: &'static str,
        method: &'static str,
        params: &(impl Serialize + Sync),
        what: &str,
        limit: Option<Limit>,
    ) -> Result<Box<RawValue>> {
        let params = to_raw_value(params)?;
        let context = CallContext { trace_id: Cow::Borrowed(&*self.trace_id), parent: self.parent };
        let request =
            ServiceRequest { service: service.into(), method: method.into(), params: (&*params).into(), context };
        let response = self.calls.request(ModuleFrame::ServiceRequest(request));
        match limit {
            None => response.await,
            Some(limit) => timeout_at(limit.deadline, response).await.unwrap_or_else(|_| {
                let message = format!("the {} ms of the call of `{what}` are over", limit.ttl_ms);
                Err(Error::new(code::DEADLINE_EXCEEDED, message))
            }),
        }
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
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    last_id: u64,
    responses: HashMap<u64, oneshot::Sender<Result<Box<RawValue>>>>,
    closed: bool,
}

impl Calls {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { outgoing, waiting: Mutex::default() }
    }

    async fn request(&self, body: ModuleFrame<'_>) -> Result<Box<RawValue>> {
        let (sender, response) = oneshot::channel();
        let id = {
            let mut waiting = self.lock();
            if waiting.closed {
                return Err(gone());
            }
            waiting.last_id += 1;
            let id = waiting.last_id;
            waiting.responses.insert(id, sender);
            id
        };
        // From here on, whoever drops this future takes the request back.
        let mut abandoned = Abandoned { calls: self, id: Some(id) };
        if let Err(error) = self.outgoing.send(&Frame { id: Some(id), body }) {
            abandoned.id = None;
            self.lock().responses.remove(&id);
            return Err(error);
        }
        let response = response.await;
        abandoned.id = None;
        response.unwrap_or_else(|_| Err(gone()))
    }

    /// Brings a response to the one who waits for it. False if that was never asked; that nobody waits any more is what
    /// happens when a response crosses a `cancel`.
    pub(crate) fn respond(&self, id: Option<u64>, response: Result<Box<RawValue>>) -> bool {
        let Some(id) = id else { return false };
        let mut waiting = self.lock();
        let asked = (1..=waiting.last_id).contains(&id);
        let sender = waiting.responses.remove(&id);
        drop(waiting);
        if let Some(sender) = sender {
            let _ = sender.send(response);
        }
        asked
    }

    /// Ends all calls: the host is gone.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        // Dropped without the lock: those who wait may call again when they hear of it.
        let responses = std::mem::take(&mut waiting.responses);
        drop(waiting);
        drop(responses);
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that can panic happens under this lock.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
            let _ = self.calls.outgoing.send(&Frame { id: Some(id), body: ModuleFrame::Cancel });
        }
    }
}
