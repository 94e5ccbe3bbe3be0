//! `kv_store`: the module's own keys and values. The namespace is the module's name, whichever of its processes calls.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use ixt_protocol::{ErrorBody, InvalidJson, Object, WirePayload, code};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::{HostServices, Refusal, read_params, wrong_params};
use crate::bus::{WriteBatch, empty_object};
use crate::connection::Connection;
use crate::kv::{self, Entry, KvError, KvFuture, MAX_PAGE_KEYS, Page, SetOptions};

/// The parameters of `get`, `delete` and `exists`.
#[derive(Deserialize)]
struct KeyParams<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// Of `delete` alone.
    expected_revision: Option<u64>,
}

#[derive(Deserialize)]
struct SetParams<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// `None` if the value is attached.
    value: Option<WirePayload<'static>>,
    ttl_ms: Option<u64>,
    /// The key must have this revision, or, for 0, must not exist.
    expected_revision: Option<u64>,
}

#[derive(Deserialize)]
struct ListParams<'a> {
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
struct WatchParams<'a> {
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
}

#[derive(Deserialize)]
struct UnwatchParams {
    watch: u64,
}

/// The response to `list`.
#[derive(Serialize)]
struct Listed {
    keys: Vec<String>,
    /// `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl HostServices {
    pub(super) fn kv(
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
                let KeyParams { key, .. } = read_params(&params)?;
                respond(connection, id, store.get(namespace, &key), batch, entry);
            }
            "set" => {
                let attached = params.detach("value");
                let SetParams { key, value, ttl_ms, expected_revision } = read_params(&params)?;
                let value = match (attached, value) {
                    (Some(attached), _) => attached,
                    (None, Some(WirePayload::Bytes(bytes))) => bytes.into_owned(),
                    (None, _) => return Err(wrong_params(InvalidJson::missing("value"))),
                };
                let options = SetOptions { ttl: ttl_ms.map(Duration::from_millis), expected_revision };
                let held = connection.hold(value.len());
                respond(connection, id, store.set(namespace, &key, value, options), batch, move |revision| {
                    drop(held);
                    object(&json!({ "revision": revision }))
                });
            }
            "delete" => {
                let KeyParams { key, expected_revision } = read_params(&params)?;
                respond(connection, id, store.delete(namespace, &key, expected_revision), batch, |deleted| {
                    object(&json!({ "deleted": deleted }))
                });
            }
            "exists" => {
                let KeyParams { key, .. } = read_params(&params)?;
                respond(connection, id, store.exists(namespace, &key), batch, |exists| {
                    object(&json!({ "exists": exists }))
                });
            }
            "list" => {
                let ListParams { prefix, after, limit } = read_params(&params)?;
                check_prefix(&prefix)?;
                check_prefix(after.as_deref().unwrap_or_default())?;
                let page = store.list(namespace, &prefix, after.as_deref(), limit.unwrap_or(MAX_PAGE_KEYS));
                respond(connection, id, page, batch, |Page { keys, next }| object(&Listed { keys, next }));
            }
            "watch" => {
                let WatchParams { prefix } = read_params(&params)?;
                check_prefix(&prefix)?;
                self.watch(connection, id, store.watch(namespace, &prefix), batch)?;
            }
            "unwatch" => {
                let UnwatchParams { watch } = read_params(&params)?;
                self.watches.end(watch);
                connection.end_call(id, Ok(empty_object()), batch);
            }
            _ => return Err((code::UNIMPLEMENTED, format!("this host has no `kv_store.{method}`"))),
        }
        Ok(())
    }
}

/// Refuses a prefix that is longer than a key can be.
fn check_prefix(prefix: &str) -> Refusal {
    kv::check_prefix(prefix).map_err(|error| (error.code(), error.to_string()))
}

/// Responds with what the store's future gives: at once if it is ready, otherwise from a task.
fn respond<T: Send + 'static>(
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
        // Otherwise the module is gone.
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
        Err(error) => fail(connection, id, &error, batch),
    }
}

/// Responds with the store's error. The details of [`KvError::RevisionMismatch`] have the key's revision.
pub(super) fn fail(connection: &Connection, id: Option<u64>, error: &KvError, batch: &mut WriteBatch) {
    let details = match error {
        KvError::RevisionMismatch { actual, .. } => to_raw_value(&json!({ "revision": actual })).ok(),
        _ => None,
    };
    let mut body = ErrorBody::new(error.code(), error.to_string(), error.retryable());
    body.details = details.as_deref();
    connection.end_call(id, Err(body), batch);
}

/// The data of a response.
pub(super) fn object(data: &impl Serialize) -> Object<'static> {
    Object::serialize(data).expect("it has texts, numbers and lists, under keys that are texts")
}

/// The response to `get`. The value is attached as raw bytes where the framing can do that.
fn entry(entry: Option<Entry>) -> Object<'static> {
    match entry {
        Some(Entry { value, revision }) => {
            object(&json!({ "found": true, "revision": revision })).attach("value", value)
        }
        None => object(&json!({ "found": false })),
    }
}

#[cfg(test)]
mod tests {
    use ixt_protocol::{Frame, FrameDecoder, Framing, HostFrame};

    use super::*;

    #[test]
    fn a_large_value_is_attached_where_the_framing_can_do_that() {
        for (framing, bytes, attached) in
            [(Framing::Line, 5000, false), (Framing::Length, 5000, true), (Framing::Length, 3, false)]
        {
            let stored = Entry { value: vec![7; bytes], revision: 4 };
            let frame = Frame { id: Some(1), body: HostFrame::ServiceResponse(Ok(entry(Some(stored)))) };
            let mut decoder = FrameDecoder::new(1 << 20);
            decoder.set_framing(framing);
            frame.write(framing, decoder.input());
            let raw = decoder.next_frame().unwrap().unwrap();
            assert_eq!(raw.attachment.is_some(), attached);
            let HostFrame::ServiceResponse(Ok(data)) = HostFrame::read(raw).unwrap().body else { panic!() };
            let data: serde_json::Value = data.read().unwrap();
            let value = ixt_protocol::encode_base64(&vec![7; bytes]);
            assert_eq!(data, serde_json::json!({ "found": true, "value": value, "revision": 4 }));
        }
        assert_eq!(entry(None).json(), r#"{"found":false}"#);
    }
}
