//! The KV store of the test host.

use std::collections::BTreeMap;
use std::time::Duration;

use ixt_protocol::{decode_base64, encode_base64};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{Error, Result, code};

#[derive(Debug, Default)]
pub(super) struct Store {
    entries: BTreeMap<String, Entry>,
    revision: u64,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    revision: u64,
    expires: Option<Instant>,
}

/// The parameters of all methods.
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
}

/// So few, that tests meet the end of a page.
const PAGE: usize = 100;

impl Store {
    pub(super) fn get(&mut self, key: &str) -> Option<Vec<u8>> {
        self.expire();
        self.entries.get(key).map(|entry| entry.value.clone())
    }

    pub(super) fn set(&mut self, key: String, value: Vec<u8>, ttl: Option<Duration>) -> u64 {
        self.revision += 1;
        let expires = ttl.map(|ttl| Instant::now() + ttl);
        self.entries.insert(key, Entry { value, revision: self.revision, expires });
        self.revision
    }

    /// Answers a `kv_store` request.
    pub(super) fn request(&mut self, method: &str, params: &str) -> Result<Value> {
        let Params { key, value, ttl_ms, expected_revision, prefix, after } = serde_json::from_str(params)?;
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
            "delete" => json!({ "deleted": self.entries.remove(&key).is_some() }),
            "exists" => json!({ "exists": self.entries.contains_key(&key) }),
            "list" => {
                let keys = self.entries.keys().filter(|key| key.starts_with(&prefix));
                let mut keys: Vec<_> =
                    keys.filter(|key| after.as_ref().is_none_or(|after| *key > after)).take(PAGE + 1).collect();
                let more = keys.len() > PAGE;
                keys.truncate(PAGE);
                json!({ "keys": keys, "next": keys.last().filter(|_| more) })
            }
            _ => return Err(Error::new(code::UNIMPLEMENTED, format!("the test host has no kv_store.{method}"))),
        })
    }

    fn expire(&mut self) {
        let now = Instant::now();
        self.entries.retain(|_, entry| entry.expires.is_none_or(|expires| expires > now));
    }
}
