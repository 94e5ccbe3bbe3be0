//! `kv_store`: a module's own keys and values. The namespace is the module's name, whichever of its processes asks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use ixt_protocol::{ErrorBody, HostFrame, KvChange, Object, code, decode_base64, encode_base64};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use tokio::task::AbortHandle;

use crate::connection::{Connection, Refused};
use crate::kv::{Entry, KvError, KvFuture, MAX_PAGE_KEYS, Page, SetOptions, Watch};
use crate::services::{HostServices, Refusal, read_params};

/// So many watches a process may have.
const MAX_WATCHES: usize = 1024;

/// The watches of a process. They end with its connection, since that holds them.
#[derive(Default)]
pub(crate) struct Watches(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    last: u64,
    tasks: HashMap<u64, AbortHandle>,
}

impl Watches {
    fn lock(&self) -> MutexGuard<'_, Open> {
        // Nothing that can panic happens under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (_, task) in self.lock().tasks.drain() {
            task.abort();
        }
    }
}

#[derive(Deserialize)]
struct Key<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// Of `delete`.
    expected_revision: Option<u64>,
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// Absent if it is attached.
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    ttl_ms: Option<u64>,
    expected_revision: Option<u64>,
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    limit: Option<usize>,
}

impl HostServices {
    pub(crate) fn kv(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        method: &str,
        params: &Object<'_>,
    ) -> Refusal {
        let (store, namespace) = (&self.backends.kv, self.module.name());
        match method {
            "get" => {
                let Key { key, .. } = read_params(params)?;
                answer(connection, id, store.get(namespace, &key), |entry| json(&Got::from(entry)));
            }
            "set" => {
                let Set { key, value, ttl_ms, expected_revision } = read_params(params)?;
                let value = match (params.attached("value"), value) {
                    (Some(attached), _) => attached.to_vec(),
                    (None, Some(text)) => decode_base64(&*text)
                        .map_err(|error| (code::INVALID_INPUT, format!("`params.value`: {error}")))?,
                    (None, None) => return Err((code::INVALID_INPUT, "`params.value`: missing".to_owned())),
                };
                let options = SetOptions { ttl: ttl_ms.map(Duration::from_millis), expected_revision };
                let holds = connection.hold(value.len());
                answer(connection, id, store.set(namespace, &key, value, options), move |revision| {
                    drop(holds);
                    json(&serde_json::json!({ "revision": revision }))
                });
            }
            "delete" => {
                let Key { key, expected_revision } = read_params(params)?;
                answer(connection, id, store.delete(namespace, &key, expected_revision), |deleted| {
                    json(&serde_json::json!({ "deleted": deleted }))
                });
            }
            "exists" => {
                let Key { key, .. } = read_params(params)?;
                answer(connection, id, store.exists(namespace, &key), |exists| {
                    json(&serde_json::json!({ "exists": exists }))
                });
            }
            "list" => {
                let List { prefix, after, limit } = read_params(params)?;
                let limit = limit.unwrap_or(MAX_PAGE_KEYS);
                answer(connection, id, store.list(namespace, &prefix, after.as_deref(), limit), |page| {
                    json(&Listed::from(page))
                });
            }
            "watch" => {
                #[derive(Deserialize)]
                struct Params<'a> {
                    #[serde(borrow, default)]
                    prefix: Cow<'a, str>,
                }
                let Params { prefix } = read_params(params)?;
                self.watch(connection, id, store.watch(namespace, &prefix))?;
            }
            "unwatch" => {
                #[derive(Deserialize)]
                struct Params {
                    watch: u64,
                }
                let Params { watch } = read_params(params)?;
                if let Some(task) = self.watches.lock().tasks.remove(&watch) {
                    task.abort();
                }
                connection.end_call(id, Ok(crate::bus::empty()));
            }
            _ => return Err((code::UNIMPLEMENTED, format!("this host has no `kv_store.{method}`"))),
        }
        Ok(())
    }

    fn watch(&self, connection: &Arc<Connection>, id: Option<u64>, changes: Watch) -> Refusal {
        let mut open = self.watches.lock();
        if open.tasks.len() >= MAX_WATCHES {
            let message = format!("this process has {MAX_WATCHES} watches already: end some with `kv_store.unwatch`");
            return Err((code::RESOURCE_EXHAUSTED, message));
        }
        open.last += 1;
        let number = open.last;
        // The response is in the socket before the first change, and no change after the response to `unwatch`.
        connection.end_call(id, Ok(json(&serde_json::json!({ "watch": number })).into()));
        let task = tokio::spawn(tell(Arc::downgrade(connection), number, changes, Arc::downgrade(&self.watches.0)));
        open.tasks.insert(number, task.abort_handle());
        Ok(())
    }
}

/// Tells a module of changes, as fast as it takes them: what it has not taken is kept by the store, for each key the last.
async fn tell(
    connection: std::sync::Weak<Connection>,
    number: u64,
    mut changes: Watch,
    open: std::sync::Weak<Mutex<Open>>,
) {
    while let Some(change) = changes.next().await {
        let (Some(connection), Some(open)) = (connection.upgrade(), open.upgrade()) else { return };
        loop {
            connection.room().await;
            // Under the lock, so that nothing comes after the response to `unwatch`.
            let open = open.lock().unwrap_or_else(PoisonError::into_inner);
            if !open.tasks.contains_key(&number) {
                return;
            }
            let value = change.value.as_deref().map(Cow::Borrowed);
            let change = KvChange { watch: number, key: Cow::Borrowed(&change.key), revision: change.revision, value };
            match connection.notify(HostFrame::KvChange(change)) {
                Err(Refused::Full) => {}
                Err(Refused::Closed) => return,
                // A value fits into a frame, unless the limit was set lower.
                Ok(()) | Err(Refused::TooLong { .. }) => break,
            }
        }
    }
}

/// Answers at once, if that can be done, or when it can.
fn answer<T: Send + 'static>(
    connection: &Arc<Connection>,
    id: Option<u64>,
    mut work: KvFuture<T>,
    data: impl FnOnce(T) -> Box<RawValue> + Send + 'static,
) {
    if let Poll::Ready(done) = work.as_mut().poll(&mut task::Context::from_waker(Waker::noop())) {
        return end(connection, id, done, data);
    }
    let connection = Arc::downgrade(connection);
    tokio::spawn(async move {
        let done = work.await;
        // Nobody to answer: the module is gone.
        if let Some(connection) = connection.upgrade() {
            end(&connection, id, done, data);
        }
    });
}

fn end<T>(connection: &Connection, id: Option<u64>, done: Result<T, KvError>, data: impl FnOnce(T) -> Box<RawValue>) {
    match done {
        Ok(done) => connection.end_call(id, Ok(data(done).into())),
        Err(failed) => {
            let details = match failed {
                KvError::RevisionMismatch { actual, .. } => Some(json(&serde_json::json!({ "revision": actual }))),
                _ => None,
            };
            let mut body = ErrorBody::new(failed.code(), failed.to_string(), failed.retryable());
            body.details = details.as_deref();
            connection.end_call(id, Err(body));
        }
    }
}

#[derive(Serialize)]
struct Got {
    found: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
}

impl From<Option<Entry>> for Got {
    fn from(entry: Option<Entry>) -> Self {
        let (value, revision) = entry.map(|entry| (encode_base64(&entry.value), entry.revision)).unzip();
        Self { found: revision.is_some(), value, revision }
    }
}

#[derive(Serialize)]
struct Listed {
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl From<Page> for Listed {
    fn from(Page { keys, next }: Page) -> Self {
        Self { keys, next }
    }
}

fn json(data: &impl Serialize) -> Box<RawValue> {
    to_raw_value(data).expect("texts and numbers are JSON")
}
