//! The key-value store of the test host: in memory, and without the limits of a real host.

use std::collections::BTreeMap;
use std::time::Duration;

use ixt_protocol::{KvChange, code, decode_base64, encode_base64};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::error::{Error, Result};

/// The values of the module under test, and its watches. Time is tokio's.
#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<String, Entry>,
    /// The last revision; they count from 1, over all keys.
    revision: u64,
    /// The prefix of each watch, by the watch's number.
    watches: BTreeMap<u64, String>,
    last_watch: u64,
    /// The changes that were not sent to their watches yet.
    changes: Vec<KvChange<'static>>,
}

/// A stored value. It may have expired: [`Store::expire`] removes it then.
#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    revision: u64,
    /// `None` if it does not expire.
    expires: Option<Instant>,
}

/// The parameters of all methods together. Each method uses its own.
#[derive(Debug, Deserialize)]
struct Params {
    #[serde(default)]
    key: String,
    #[serde(default)]
    value: String,
    ttl_ms: Option<u64>,
    expected_revision: Option<u64>,
    #[serde(default)]
    prefix: String,
    after: Option<String>,
    #[serde(default)]
    watch: u64,
}

/// How many keys a page of `list` has at most. Fewer than a real host's, so that authors' tests reach the end of a page.
const PAGE: usize = 100;

impl Store {
    /// The value of a key; `None` if there is no such key, or it has expired.
    pub(super) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.expire();
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    /// Writes a value, and returns its revision. Without a ttl it does not expire, whatever the value before did.
    pub(super) fn set(&mut self, key: String, value: Vec<u8>, ttl: Option<Duration>) -> u64 {
        let revision = self.changed(&key, Some(&value));
        // An expiry beyond the clock's range counts as none.
        let expires = ttl.and_then(|ttl| Instant::now().checked_add(ttl));
        self.entries.insert(key, Entry { value, revision, expires });
        revision
    }

    /// Removes a key. Returns whether it existed.
    pub(super) fn delete(&mut self, key: &str) -> bool {
        self.expire();
        let deleted = self.entries.remove(key).is_some();
        if deleted {
            self.changed(key, None);
        }
        deleted
    }

    /// When the next key expires; `None` if none does.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.entries.values().filter_map(|entry| entry.expires).min()
    }

    /// Takes the changes that were not sent to watches yet.
    pub(super) fn take_changes(&mut self) -> Vec<KvChange<'static>> {
        std::mem::take(&mut self.changes)
    }

    /// Makes a new revision, records the change for each watch of the key, and returns the revision.
    fn changed(&mut self, key: &str, value: Option<&[u8]>) -> u64 {
        self.revision += 1;
        for (&watch, _) in self.watches.iter().filter(|(_, prefix)| key.starts_with(*prefix)) {
            let (key, value) = (key.to_owned().into(), value.map(|value| value.to_vec().into()));
            self.changes.push(KvChange { watch, key, revision: self.revision, value });
        }
        self.revision
    }

    /// Makes the response to a `kv_store` request. Watches get the changes when the caller sends [`take_changes`](Self::take_changes).
    ///
    /// # Errors
    ///
    /// `ABORTED` if the key has another revision than the expected one; `UNIMPLEMENTED` for an unknown method; `INTERNAL` for parameters of
    /// a wrong shape. Nothing is written then.
    pub(super) fn request(&mut self, method: &str, params: &str) -> Result<Value> {
        let Params { key, value, ttl_ms, expected_revision, prefix, after, watch } = serde_json::from_str(params)?;
        self.expire();
        let revision = self.entries.get(&key).map_or(0, |entry| entry.revision);
        if expected_revision.is_some_and(|expected| expected != revision) {
            return Err(Error::new(code::ABORTED, format!("`{key}` has the revision {revision}")));
        }
        Ok(match method {
            "get" => match self.entries.get(&key) {
                Some(entry) => {
                    json!({ "found": true, "value": encode_base64(&entry.value), "revision": entry.revision })
                }
                None => json!({ "found": false }),
            },
            "set" => {
                let value = decode_base64(&value)?;
                json!({ "revision": self.set(key, value, ttl_ms.map(Duration::from_millis)) })
            }
            "delete" => json!({ "deleted": self.delete(&key) }),
            "exists" => json!({ "exists": self.entries.contains_key(&key) }),
            "list" => {
                let keys = self.entries.keys().filter(|key| key.starts_with(&prefix));
                let mut keys: Vec<_> =
                    keys.filter(|key| after.as_ref().is_none_or(|after| *key > after)).take(PAGE + 1).collect();
                let more = keys.len() > PAGE;
                keys.truncate(PAGE);
                json!({ "keys": keys, "next": keys.last().filter(|_| more) })
            }
            "watch" => {
                self.last_watch += 1;
                self.watches.insert(self.last_watch, prefix);
                json!({ "watch": self.last_watch })
            }
            "unwatch" => {
                self.watches.remove(&watch);
                self.changes.retain(|change| change.watch != watch);
                json!({})
            }
            _ => return Err(Error::new(code::UNIMPLEMENTED, format!("the test host has no kv_store.{method}"))),
        })
    }

    /// Removes the keys that have expired; their watches get the changes.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        let over = |entry: &Entry| entry.expires.is_some_and(|expires| expires <= now);
        let expired = self.entries.iter().filter(|(_, entry)| over(entry)).map(|(key, _)| key.clone());
        for key in expired.collect::<Vec<_>>() {
            self.entries.remove(&key);
            self.changed(&key, None);
        }
    }
}
