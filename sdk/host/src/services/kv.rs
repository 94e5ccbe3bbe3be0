//! `kv_store`: a module's own keys and values. The namespace is the module's name, whichever of its processes asks.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use ixt_protocol::{ErrorBody, HostFrame, KvChange, KvSet, LogLevel, Object, code};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;
use tokio::task::AbortHandle;

use crate::bus::WriteBatch;
use crate::connection::{Connection, Refused};
use crate::kv::{self, Entry, KvError, KvFuture, MAX_PAGE_KEYS, Page, SetOptions, Watch};
use crate::logs::Logs;
use crate::services::{HostServices, Refusal, read_params, wrong_params};

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

impl<'a> Key<'a> {
    fn of(params: &'a Object<'_>) -> Refusal<Self> {
        match params.only_text(b"key") {
            Some(key) => Ok(Self { key: Cow::Borrowed(key), expected_revision: None }),
            None => read_params(params),
        }
    }
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
        mut params: Object<'_>,
        batch: &mut WriteBatch,
    ) -> Refusal {
        let (store, namespace) = (&self.backends.kv, self.release.deployment().name());
        match method {
            "get" => {
                let Key { key, .. } = Key::of(&params)?;
                answer(connection, id, store.get(namespace, &key), batch, got);
            }
            "set" => {
                let set = KvSet::of_params(&mut params).map_err(wrong_params)?;
                let KvSet { key, value, ttl_ms, expected_revision } = set;
                let options = SetOptions { ttl: ttl_ms.map(Duration::from_millis), expected_revision };
                let holds = connection.hold(value.len());
                answer(connection, id, store.set(namespace, &key, value, options), batch, move |revision| {
                    drop(holds);
                    Object::trusted(format!("{{\"revision\":{revision}}}"))
                });
            }
            "delete" => {
                let Key { key, expected_revision } = Key::of(&params)?;
                answer(connection, id, store.delete(namespace, &key, expected_revision), batch, |deleted| {
                    Object::trusted(if deleted { "{\"deleted\":true}" } else { "{\"deleted\":false}" })
                });
            }
            "exists" => {
                let Key { key, .. } = Key::of(&params)?;
                answer(connection, id, store.exists(namespace, &key), batch, |exists| {
                    Object::trusted(if exists { "{\"exists\":true}" } else { "{\"exists\":false}" })
                });
            }
            "list" => {
                let List { prefix, after, limit } = read_params(&params)?;
                check_prefix(&prefix)?;
                check_prefix(after.as_deref().unwrap_or_default())?;
                let limit = limit.unwrap_or(MAX_PAGE_KEYS);
                answer(connection, id, store.list(namespace, &prefix, after.as_deref(), limit), batch, |page| {
                    let data = to_raw_value(&Listed::from(page)).expect("texts are JSON");
                    data.into()
                });
            }
            "watch" => {
                #[derive(Deserialize)]
                struct Params<'a> {
                    #[serde(borrow, default)]
                    prefix: Cow<'a, str>,
                }
                let Params { prefix } = read_params(&params)?;
                check_prefix(&prefix)?;
                self.watch(connection, id, store.watch(namespace, &prefix), batch)?;
            }
            "unwatch" => {
                #[derive(Deserialize)]
                struct Params {
                    watch: u64,
                }
                let Params { watch } = read_params(&params)?;
                if let Some(task) = self.watches.lock().tasks.remove(&watch) {
                    task.abort();
                }
                connection.end_call(id, Ok(crate::bus::empty_object()), batch);
            }
            _ => return Err((code::UNIMPLEMENTED, format!("this host has no `kv_store.{method}`"))),
        }
        Ok(())
    }

    fn watch(&self, connection: &Arc<Connection>, id: Option<u64>, changes: Watch, batch: &mut WriteBatch) -> Refusal {
        let mut open = self.watches.lock();
        if open.tasks.len() >= MAX_WATCHES {
            let message = format!("this process has {MAX_WATCHES} watches already: end some with `kv_store.unwatch`");
            return Err((code::RESOURCE_EXHAUSTED, message));
        }
        open.last += 1;
        let number = open.last;
        // The response is in the socket before the first change, and no change after the response to `unwatch`.
        connection.end_call(id, Ok(Object::trusted(format!("{{\"watch\":{number}}}"))), batch);
        let task = tokio::spawn(tell(
            Arc::downgrade(connection),
            number,
            changes,
            Arc::downgrade(&self.watches.0),
            (self.backends.logs.clone(), Arc::clone(&self.instance)),
        ));
        open.tasks.insert(number, task.abort_handle());
        Ok(())
    }
}

/// What is longer than a key can be is the beginning of none.
fn check_prefix(prefix: &str) -> Refusal {
    kv::check_prefix(prefix).map_err(|error| (error.code(), error.to_string()))
}

/// Tells a module of changes, as fast as it takes them: what it has not taken is kept by the store, for each key the last.
async fn tell(
    connection: std::sync::Weak<Connection>,
    number: u64,
    mut changes: Watch,
    open: std::sync::Weak<Mutex<Open>>,
    (logs, instance): (Logs, Arc<str>),
) {
    loop {
        // Nothing is taken before there is room for it: what waits is counted by the store.
        match connection.upgrade() {
            Some(connection) => connection.room().await,
            None => return,
        }
        let Some(change) = changes.next().await else { break };
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
    let (Some(connection), Some(open)) = (connection.upgrade(), open.upgrade()) else { return };
    if !changes.is_overrun() {
        return;
    }
    let ended = "does not take the changes of the keys that it watches: the watch was ended, and some are lost";
    logs.host(LogLevel::Warn, &instance, ended);
    while open.lock().unwrap_or_else(PoisonError::into_inner).tasks.remove(&number).is_some() {
        connection.room().await;
        let _ = connection.notify(HostFrame::KvWatchEnded { watch: number });
    }
}

/// Answers at once, if that can be done, or when it can.
fn answer<T: Send + 'static>(
    connection: &Arc<Connection>,
    id: Option<u64>,
    mut work: KvFuture<T>,
    batch: &mut WriteBatch,
    data: impl FnOnce(T) -> Object<'static> + Send + 'static,
) {
    if let Poll::Ready(done) = work.as_mut().poll(&mut task::Context::from_waker(Waker::noop())) {
        return end(connection, id, done, batch, data);
    }
    let connection = Arc::downgrade(connection);
    tokio::spawn(async move {
        let done = work.await;
        // Nobody to answer: the module is gone.
        if let Some(connection) = connection.upgrade() {
            end(&connection, id, done, &mut WriteBatch::none(), data);
        }
    });
}

fn end<T>(
    connection: &Connection,
    id: Option<u64>,
    done: Result<T, KvError>,
    batch: &mut WriteBatch,
    data: impl FnOnce(T) -> Object<'static>,
) {
    match done {
        Ok(done) => connection.end_call(id, Ok(data(done)), batch),
        Err(failed) => {
            let details = match failed {
                KvError::RevisionMismatch { actual, .. } => {
                    Some(Object::trusted(format!("{{\"revision\":{actual}}}")).into_raw())
                }
                _ => None,
            };
            let mut body = ErrorBody::new(failed.code(), failed.to_string(), failed.retryable());
            body.details = details.as_deref();
            connection.end_call(id, Err(body), batch);
        }
    }
}

/// What `get` answers. The value goes on as it is, where the framing can do that.
fn got(entry: Option<Entry>) -> Object<'static> {
    match entry {
        Some(Entry { value, revision }) => {
            Object::trusted(format!("{{\"found\":true,\"revision\":{revision}}}")).attach("value", value)
        }
        None => Object::trusted("{\"found\":false}"),
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

#[cfg(test)]
mod tests {
    use ixt_protocol::{Decoder, Frame, Framing};

    use super::*;

    #[test]
    fn a_large_value_is_attached_where_the_framing_can_do_that() {
        for (framing, bytes, attached) in
            [(Framing::Line, 5000, false), (Framing::Length, 5000, true), (Framing::Length, 3, false)]
        {
            let entry = Entry { value: vec![7; bytes], revision: 4 };
            let frame = Frame { id: Some(1), body: HostFrame::ServiceResponse(Ok(got(Some(entry)))) };
            let mut decoder = Decoder::new(1 << 20);
            decoder.set_framing(framing);
            frame.write(framing, decoder.input());
            let raw = decoder.next_frame().unwrap().unwrap();
            assert_eq!(raw.attachment.is_some(), attached);
            let HostFrame::ServiceResponse(Ok(data)) = HostFrame::read(raw).unwrap().body else { panic!() };
            let data: serde_json::Value = data.read().unwrap();
            let value = ixt_protocol::encode_base64(&vec![7; bytes]);
            assert_eq!(data, serde_json::json!({ "found": true, "value": value, "revision": 4 }));
        }
        assert_eq!(got(None).json(), r#"{"found":false}"#);
    }
}
