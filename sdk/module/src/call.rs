//! Requests of the module to its host: calls of other modules, and events. Each ends: with the host's response, with an
//! error when the host is gone, or, if nobody waits for it any more, with a `cancel`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ixt_protocol::{CallContext, Frame, ModuleFrame, Priority, ServiceRequest, encode_base64, read_json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::oneshot;

use crate::outgoing::{Outgoing, Reply};
use crate::{Error, Result};

/// Who can call other modules: a [`Context`](crate::Context), whose calls are part of the request that is handled, and a
/// [`Runtime`](crate::Runtime), whose calls stand for themselves.
pub trait Caller: sealed::Sealed + Sync {}

pub(crate) mod sealed {
    pub trait Sealed {
        fn link(&self) -> &super::Link;
    }
}

/// The way from something in the module to the host.
#[derive(Debug, Clone)]
pub struct Link {
    calls: Arc<Calls>,
    trace_id: String,
    /// The request that is handled.
    parent: Option<u64>,
}

impl Link {
    pub(crate) fn new(calls: Arc<Calls>, trace_id: String, parent: Option<u64>) -> Self {
        Self { calls, trace_id, parent }
    }

    pub(crate) fn trace_id(&self) -> &str {
        &self.trace_id
    }

    async fn request(&self, service: &str, method: &str, params: &impl Serialize) -> Result<Box<RawValue>> {
        let params = to_raw_value(params)?;
        let context = CallContext { trace_id: self.trace_id.as_str().into(), parent: self.parent };
        let request = ServiceRequest { service: service.into(), method: method.into(), params: &params, context };
        self.calls.request(ModuleFrame::ServiceRequest(request)).await
    }
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
    responses: HashMap<u64, oneshot::Sender<Reply>>,
    closed: bool,
}

impl Calls {
    pub(crate) fn new(outgoing: Arc<Outgoing>) -> Self {
        Self { outgoing, waiting: Mutex::default() }
    }

    async fn request(&self, body: ModuleFrame<'_>) -> Reply {
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

    /// Brings a response to the one who waits for it. False if nobody does.
    pub(crate) fn respond(&self, id: Option<u64>, response: Reply) -> bool {
        let waiting = id.and_then(|id| self.lock().responses.remove(&id));
        waiting.is_some_and(|waiting| waiting.send(response).is_ok())
    }

    /// Ends all calls: the host is gone.
    pub(crate) fn close(&self) {
        let mut waiting = self.lock();
        waiting.closed = true;
        waiting.responses.clear();
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

#[derive(Serialize)]
struct Send<'a> {
    topic: &'a str,
    payload: String,
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
}

#[derive(Serialize)]
struct Publish<'a> {
    topic: &'a str,
    payload: String,
}

/// Calls a service with a declared request.
///
/// # Errors
///
/// Those of the service and of the host; `INTERNAL` if the request is not JSON, or the response not what was declared.
pub async fn call<R: DeserializeOwned>(
    caller: &impl Caller,
    topic: &str,
    request: &(impl Serialize + Sync),
    ttl_ms: Option<u64>,
) -> Result<R> {
    call_raw(caller, topic, &serde_json::to_vec(request)?, ttl_ms).await
}

/// Calls a service that takes bytes.
///
/// # Errors
///
/// Those of the service and of the host; `INTERNAL` if the response is not what was declared.
pub async fn call_raw<R: DeserializeOwned>(
    caller: &impl Caller,
    topic: &str,
    payload: &[u8],
    ttl_ms: Option<u64>,
) -> Result<R> {
    let params = Send { topic, payload: encode_base64(payload), priority: Priority::default(), ttl_ms };
    let data = caller.link().request("message_bus", "send", &params).await?;
    read_json(data.get().as_bytes())
        .map_err(|invalid| Error::internal(format!("`{topic}` answered what its manifest does not declare: {invalid}")))
}

/// Publishes an event with a declared payload.
///
/// # Errors
///
/// Those of the host; `INTERNAL` if the event is not JSON.
pub async fn publish(caller: &impl Caller, topic: &str, event: &(impl Serialize + Sync)) -> Result<()> {
    publish_raw(caller, topic, &serde_json::to_vec(event)?).await
}

/// Publishes an event that carries bytes.
///
/// # Errors
///
/// Those of the host.
pub async fn publish_raw(caller: &impl Caller, topic: &str, payload: &[u8]) -> Result<()> {
    let params = Publish { topic, payload: encode_base64(payload) };
    caller.link().request("event_bus", "publish", &params).await.map(drop)
}
