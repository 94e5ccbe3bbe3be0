//! The key-value store of a module.

use std::pin::Pin;
use std::time::Duration;

use ixt_protocol::{InvalidJson, Object, deserialize_base64};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::calls::object;
use super::link::Link;
pub use super::stored::{Change, Entry};
pub use super::watch::Watch;
use crate::error::{Error, Result};

/// The module's key-value store, which the host keeps: `kv_get`, `kv_set`, `kv_delete` and `kv_exists` of the Python and Node.js SDKs.
/// All processes of the module share it; no other module sees it. Keys are strings, values bytes; the `_json` methods read and write
/// values as JSON. The host of this project takes keys of 1 to 1,024 bytes and values of up to 8 MiB, and answers others with
/// `INVALID_INPUT`. It answers a write with `RESOURCE_EXHAUSTED` if the module would store more than it may. Whether the values outlive
/// the host depends on its configuration.
///
/// ```
/// # use std::time::Duration;
/// # use ixt_sdk::{Caller, Context, Result};
/// # async fn example(ctx: Context) -> Result<()> {
/// let visits: u64 = ctx.kv().get_json("visits").await?.unwrap_or_default();
/// ctx.kv().set_json("visits", &(visits + 1)).ttl(Duration::from_secs(3600)).await?;
/// # Ok(())
/// # }
/// ```
///
/// Two handlers that run this at the same time may both read the same count, and one visit is lost. With the revision, the second
/// write fails instead:
///
/// ```
/// # use ixt_sdk::{Caller, Context, Result, code};
/// # async fn example(ctx: Context) -> Result<()> {
/// loop {
///     let entry = ctx.kv().entry("visits").await?;
///     let (visits, revision) = match &entry {
///         Some(entry) => (entry.to_json::<u64>()?, entry.revision),
///         None => (0, 0),
///     };
///     match ctx.kv().set_json("visits", &(visits + 1)).expected_revision(revision).await {
///         Err(error) if error.code() == code::ABORTED => {}
///         done => return done.map(drop),
///     }
/// }
/// # }
/// ```
///
/// Every method sends its request when it is first polled, and waits for the host's response: up to the deadline of the request that it is
/// called for, without a limit if there is none. It may fail with an error of the host's (`UNAVAILABLE` if the store fails); with
/// `RESOURCE_EXHAUSTED` if the value is over the host's limit for a frame, the host does not read, or 16,384 calls of the process wait;
/// with `DEADLINE_EXCEEDED` at that deadline; with `INTERNAL` if the response can't be read; and with `UNAVAILABLE`, retryable, if the host
/// is gone. After `DEADLINE_EXCEEDED` or `UNAVAILABLE`, or if the future is dropped, a write or a removal may have been made all the same.
#[derive(Debug, Clone, Copy)]
pub struct Kv<'a> {
    link: &'a Link,
}

/// The parameters of the methods for a single key, except for `set`'s value, which is attached. What is `None` is left out.
#[derive(Serialize)]
struct Params<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_revision: Option<u64>,
}

impl<'a> Params<'a> {
    fn of(key: &'a str) -> Self {
        Self { key, ttl_ms: None, expected_revision: None }
    }
}

impl<'a> Kv<'a> {
    pub(crate) fn new(link: &'a Link) -> Self {
        Self { link }
    }

    /// Reads the value of a key; `None` if there is no such key, or it has expired. A value may be empty.
    ///
    /// # Errors
    ///
    /// See [`Kv`].
    pub async fn get(self, key: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.entry(key).await?.map(|entry| entry.value))
    }

    /// Reads the value of a key as JSON; `None` if there is no such key, or it has expired.
    ///
    /// # Errors
    ///
    /// See [`Kv`]; `INTERNAL`, which names the key and does not quote the value, if the value is not JSON of this type. An empty value is
    /// not JSON.
    pub async fn get_json<T: DeserializeOwned>(self, key: &str) -> Result<Option<T>> {
        let entry = self.entry(key).await?;
        let value = entry.map(|entry| entry.to_json()).transpose();
        value.map_err(|error| Error::internal(format!("`{key}`: {}", error.message())))
    }

    /// Reads the value of a key with its revision; `None` if there is no such key, or it has expired.
    ///
    /// # Errors
    ///
    /// See [`Kv`].
    pub async fn entry(self, key: &str) -> Result<Option<Entry>> {
        #[derive(Deserialize)]
        struct Got {
            found: bool,
            #[serde(default)]
            value: Base64,
            #[serde(default)]
            revision: u64,
        }
        let Got { found, value, revision } = self.request("get", object(&Params::of(key))?).await?;
        Ok(found.then_some(Entry { value: value.0, revision }))
    }

    /// Writes a value, in place of an earlier one. The key then has the ttl of this write; without one it does not expire, even if the
    /// earlier value had a ttl. Awaited, it returns the new revision.
    #[must_use = "nothing is written before it is awaited"]
    pub fn set(self, key: &'a str, value: impl AsRef<[u8]>) -> Set<'a> {
        Set { kv: self, key, value: Ok(value.as_ref().to_vec()), ttl: None, expected_revision: None }
    }

    /// Writes a value as JSON; see [`set`](Self::set). A value that can't be JSON is the error `INTERNAL` when it is awaited.
    #[must_use = "nothing is written before it is awaited"]
    pub fn set_json(self, key: &'a str, value: &impl Serialize) -> Set<'a> {
        let value = serde_json::to_vec(value).map_err(Error::from);
        Set { kv: self, key, value, ttl: None, expected_revision: None }
    }

    /// Removes a key. Awaited, it returns whether the key existed: if it did not, that is no error.
    #[must_use = "nothing is removed before it is awaited"]
    pub fn delete(self, key: &'a str) -> Delete<'a> {
        Delete { kv: self, key, expected_revision: None }
    }

    /// Whether a key exists, and has not expired. Reads no value.
    ///
    /// # Errors
    ///
    /// See [`Kv`].
    pub async fn exists(self, key: &str) -> Result<bool> {
        #[derive(Deserialize)]
        struct Data {
            exists: bool,
        }
        Ok(self.request::<Data>("exists", object(&Params::of(key))?).await?.exists)
    }

    /// All keys with this prefix, sorted by their bytes; with `""`, all keys. Empty if there is none. The SDK reads them from the host page
    /// by page, so that keys that are written or removed meanwhile may or may not be among them.
    ///
    /// # Errors
    ///
    /// See [`Kv`]; `INVALID_INPUT` if the prefix has more than 1,024 bytes.
    pub async fn list(self, prefix: &str) -> Result<Vec<String>> {
        #[derive(Serialize)]
        struct List<'a> {
            prefix: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            after: Option<String>,
        }
        #[derive(Deserialize)]
        struct Page {
            keys: Vec<String>,
            #[serde(default)]
            next: Option<String>,
        }
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page: Page = self.request("list", object(&List { prefix, after })?).await?;
            keys.extend(page.keys);
            after = page.next;
            if after.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Watches all keys with this prefix; with `""`, all keys. Returns when the host has begun the watch. The watch reports changes from
    /// then on, not the values from before: to miss nothing, watch first, and then read. It reports the changes of this process too. A
    /// process may have 1,024 watches, also several with the same prefix.
    ///
    /// ```
    /// # use ixt_sdk::{Caller, Context, Result};
    /// # async fn example(ctx: Context) -> Result<()> {
    /// let mut watch = ctx.kv().watch("jobs/7").await?;
    /// while !ctx.kv().exists("jobs/7").await? {
    ///     // `None` when the host is gone.
    ///     let Some(change) = watch.next().await else { break };
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// See [`Kv`]; `INVALID_INPUT` if the prefix has more than 1,024 bytes; `RESOURCE_EXHAUSTED` beyond 1,024 watches; `UNIMPLEMENTED` from
    /// a host that knows no watches. After `DEADLINE_EXCEEDED`, and if the future is dropped, no watch stays.
    pub async fn watch(self, prefix: &str) -> Result<Watch> {
        #[derive(Serialize)]
        struct Params<'a> {
            prefix: &'a str,
        }
        self.link.watch(&Params { prefix }).await
    }

    /// Calls a method of the host's store, and reads its response. `INTERNAL` if the response is not an `R`.
    async fn request<R: DeserializeOwned>(self, method: &'static str, params: Object<'static>) -> Result<R> {
        let what = format!("kv_store.{method}");
        let data = self.link.request("kv_store", method, params, &what, self.link.limit(None)).await?;
        data.read()
            .map_err(InvalidJson::without_value)
            .map_err(|invalid| Error::internal(format!("the host's response to `{what}` is wrong: {invalid}")))
    }
}

/// A value in a response: base64 text, or attached bytes.
#[derive(Default, Deserialize)]
struct Base64(#[serde(deserialize_with = "deserialize_base64")] Vec<u8>);

/// A write of a key: see [`Kv::set`]. It is sent when it is awaited. The errors are those of [`Kv`], and `INTERNAL` if the value can't be
/// JSON.
#[derive(Debug)]
#[must_use = "nothing is written before it is awaited"]
pub struct Set<'a> {
    kv: Kv<'a>,
    key: &'a str,
    value: Result<Vec<u8>>,
    ttl: Option<Duration>,
    expected_revision: Option<u64>,
}

impl Set<'_> {
    /// Sets the time to live, rounded down to milliseconds: the host removes the key when it is over. With less than a millisecond the key
    /// expires at once. Without it the key does not expire. The last call counts.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Writes only if the key has this revision, or, for 0, if there is no such key. Otherwise nothing is written, and the error is
    /// `ABORTED`. The host of this project adds the key's revision as the detail `revision`, 0 if there is no such key; the test harness
    /// does not. The last call counts.
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.expected_revision = Some(revision);
        self
    }
}

impl<'a> IntoFuture for Set<'a> {
    type Output = Result<u64>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<u64>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        #[derive(Deserialize)]
        struct Written {
            revision: u64,
        }
        Box::pin(async move {
            let Self { kv, key, value, ttl, expected_revision } = self;
            let ttl_ms = ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
            let params = object(&Params { key, ttl_ms, expected_revision })?.attach("value", value?);
            Ok(kv.request::<Written>("set", params).await?.revision)
        })
    }
}

/// A removal of a key: see [`Kv::delete`]. It is sent when it is awaited. The errors are those of [`Kv`].
#[derive(Debug)]
#[must_use = "nothing is removed before it is awaited"]
pub struct Delete<'a> {
    kv: Kv<'a>,
    key: &'a str,
    expected_revision: Option<u64>,
}

impl Delete<'_> {
    /// Removes the key only if it has this revision. Otherwise, also if there is no such key, nothing is removed, and the error is
    /// `ABORTED`, as for a [`Set`]. With 0 the removal fails if there is such a key, and returns false if there is none.
    pub fn expected_revision(mut self, revision: u64) -> Self {
        self.expected_revision = Some(revision);
        self
    }
}

impl<'a> IntoFuture for Delete<'a> {
    type Output = Result<bool>;
    type IntoFuture = Pin<Box<dyn Future<Output = Result<bool>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        #[derive(Deserialize)]
        struct Deleted {
            deleted: bool,
        }
        Box::pin(async move {
            let Self { kv, key, expected_revision } = self;
            let params = object(&Params { expected_revision, ..Params::of(key) })?;
            Ok(kv.request::<Deleted>("delete", params).await?.deleted)
        })
    }
}
