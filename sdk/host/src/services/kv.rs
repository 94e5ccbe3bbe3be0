//! `kv_store`: the module's own keys and values. The namespace is the module's name, so that all of its processes and
//! releases share them. The store itself, with its limits and errors, is in `kv/`; watches are in `kv_watch`.

use std::borrow::Cow;
use std::sync::Arc;
use std::task::{self, Poll, Waker};
use std::time::Duration;

use ixt_protocol::{ErrorBody, InvalidJson, Object, WirePayload, code};
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::to_raw_value;

use super::{HostServices, OwnCall, Refusal, read_params, wrong_params};
use crate::bus::WriteBatch;
use crate::kv::{self, Entry, KvError, KvFuture, MAX_PAGE_KEYS, Page, SetOptions};

/// The parameters of `get`, `delete` and `exists`.
#[derive(Deserialize)]
struct KeyParams<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// Only `delete` has it: the key must have this revision, or, for 0, must not exist. `None`: any.
    expected_revision: Option<u64>,
}

/// The parameters of `set`.
#[derive(Deserialize)]
struct SetParams<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// `None` if the value is attached. Without either, `set` is refused with `INVALID_INPUT`; if there are both, the
    /// attachment counts.
    value: Option<WirePayload<'static>>,
    /// After how many milliseconds the key expires. 0: at once. `None`: never.
    ttl_ms: Option<u64>,
    /// The key must have this revision, or, for 0, must not exist. `None`: any.
    expected_revision: Option<u64>,
}

/// The parameters of `list`.
#[derive(Deserialize)]
struct ListParams<'a> {
    /// Only keys that begin with this are listed; all keys if it is empty or missing.
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
    /// Only keys that come after this one are listed. `None`: from the first on.
    #[serde(borrow)]
    after: Option<Cow<'a, str>>,
    /// The largest number of keys in the response. `None`, and more than [`MAX_PAGE_KEYS`]: [`MAX_PAGE_KEYS`]; 0: 1.
    limit: Option<usize>,
}

/// The parameters of `watch`.
#[derive(Deserialize)]
struct WatchParams<'a> {
    /// Only keys that begin with this are watched; all keys if it is empty or missing.
    #[serde(borrow, default)]
    prefix: Cow<'a, str>,
}

/// The parameters of `unwatch`.
#[derive(Deserialize)]
struct UnwatchParams {
    /// The number of the watch, from the response to `watch`. An unknown number is no error.
    watch: u64,
}

/// The response to `list`.
#[derive(Serialize)]
struct Listed {
    keys: Vec<String>,
    /// `after` for the next page; `None` if this is the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl HostServices {
    /// `kv_store.METHOD`: does what the method says to the module's keys, and responds when the store has done it.
    /// Values that are being written count against the limits in `connection/limits.rs`. A `cancel` of the module does
    /// not stop the store: a write may still take effect. An unknown method is refused with `UNIMPLEMENTED`.
    pub(super) fn kv(&self, call: &mut OwnCall<'_>, method: &str, mut params: Object<'_>) -> Refusal {
        let (store, namespace) = (&self.backends.kv, self.release.deployment().name());
        match method {
            "get" => {
                let KeyParams { key, .. } = read_params(&params)?;
                respond(call, store.get(namespace, &key), entry);
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
                let held = call.connection.hold(value.len());
                respond(call, store.set(namespace, &key, value, options), move |revision| {
                    drop(held);
                    object(&json!({ "revision": revision }))
                });
            }
            "delete" => {
                let KeyParams { key, expected_revision } = read_params(&params)?;
                respond(call, store.delete(namespace, &key, expected_revision), |deleted| {
                    object(&json!({ "deleted": deleted }))
                });
            }
            "exists" => {
                let KeyParams { key, .. } = read_params(&params)?;
                respond(call, store.exists(namespace, &key), |exists| object(&json!({ "exists": exists })));
            }
            "list" => {
                let ListParams { prefix, after, limit } = read_params(&params)?;
                check_prefix(&prefix)?;
                check_prefix(after.as_deref().unwrap_or_default())?;
                let page = store.list(namespace, &prefix, after.as_deref(), limit.unwrap_or(MAX_PAGE_KEYS));
                respond(call, page, |Page { keys, next }| object(&Listed { keys, next }));
            }
            "watch" => {
                let WatchParams { prefix } = read_params(&params)?;
                check_prefix(&prefix)?;
                self.watch(call, store.watch(namespace, &prefix))?;
            }
            "unwatch" => {
                let UnwatchParams { watch } = read_params(&params)?;
                self.watches.end(watch);
                call.end(Ok(Object::empty()));
            }
            _ => return Err((code::UNIMPLEMENTED, format!("this host has no `kv_store.{method}`"))),
        }
        Ok(())
    }
}

/// Refuses a prefix that is longer than a key may be (1,024 bytes) with `INVALID_INPUT`.
fn check_prefix(prefix: &str) -> Refusal {
    kv::check_prefix(prefix).map_err(|error| (error.code(), error.to_string()))
}

/// Ends the call with the result of the store's future: at once if it is ready, otherwise later, in a task. `data`
/// makes the response of a success.
fn respond<T: Send + 'static>(
    call: &mut OwnCall<'_>,
    mut work: KvFuture<T>,
    data: impl FnOnce(T) -> Object<'static> + Send + 'static,
) {
    if let Poll::Ready(done) = work.as_mut().poll(&mut task::Context::from_waker(Waker::noop())) {
        return end(call, done, data);
    }
    let (connection, id) = (Arc::downgrade(call.connection), call.id);
    tokio::spawn(async move {
        let done = work.await;
        // Otherwise the process has ended.
        if let Some(connection) = connection.upgrade() {
            end(&mut OwnCall { connection: &connection, id, batch: &mut WriteBatch::none() }, done, data);
        }
    });
}

/// Ends the call with the store's result. `data` makes the response of a success.
fn end<T>(call: &mut OwnCall<'_>, done: Result<T, KvError>, data: impl FnOnce(T) -> Object<'static>) {
    match done {
        Ok(done) => {
            call.end(Ok(data(done)));
        }
        Err(error) => fail(call, &error),
    }
}

/// Ends the call with the store's error. The details of [`KvError::RevisionMismatch`] have the key's revision,
/// `{"revision": N}`, 0 if there is no such key; other errors have none.
pub(super) fn fail(call: &mut OwnCall<'_>, error: &KvError) {
    let details = match error {
        KvError::RevisionMismatch { actual, .. } => to_raw_value(&json!({ "revision": actual })).ok(),
        _ => None,
    };
    let mut body = ErrorBody::new(error.code(), error.to_string(), error.retryable());
    body.details = details.as_deref();
    call.end(Err(body));
}

/// Serializes the data of a response, which must be a struct or an object.
pub(super) fn object(data: &impl Serialize) -> Object<'static> {
    Object::serialize(data).expect("it has texts, numbers and lists, under keys that are texts")
}

/// The response to `get`. A large value is attached as raw bytes if the framing is `length`; otherwise it is base64 in
/// the JSON.
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
