//! The answer to a health check.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::json_value::json_or_reason;

/// What a module's health check says: whether the module works, and any details. It is what `on_health_check` returns in the Python and
/// Node.js SDKs.
///
/// ```
/// use ixt_sdk::Health;
///
/// let health = Health::healthy().detail("requests_processed", 42);
/// assert_eq!(serde_json::to_string(&health)?, r#"{"healthy":true,"requests_processed":42}"#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Health(Map<String, Value>);

impl Health {
    /// The module works.
    #[must_use]
    pub fn healthy() -> Self {
        Self::new(true)
    }

    /// The module doesn't work, for this reason, which becomes the detail `message`. What the host does then is set in its
    /// configuration.
    #[must_use]
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self::new(false).detail("message", reason.into())
    }

    /// The module works, but this process takes no new calls and events for now, for this reason: a cache that is being filled, say.
    /// The host sends them to other processes of the module, or queues them, until a later health check says otherwise. To tell the
    /// host at once, use [`Runtime::set_ready`](crate::Runtime::set_ready).
    #[must_use]
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self::new(true).detail("ready", false).detail("message", reason.into())
    }

    /// Whether the module works.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.get("healthy") == Some(&Value::Bool(true))
    }

    /// Whether this process takes new calls and events.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.get("ready") != Some(&Value::Bool(false))
    }

    /// All details, `healthy` included.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0
    }

    fn new(healthy: bool) -> Self {
        Self(Map::from_iter([("healthy".to_owned(), Value::Bool(healthy))]))
    }

    /// Sets a detail, in place of one with the same key. A value that can't be JSON is replaced by a string that says why.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.0.insert(key.into(), json_or_reason(value));
        self
    }
}

/// A health check that fails reports the module as unhealthy, with the error's message, code and details.
impl From<Error> for Health {
    fn from(error: Error) -> Self {
        let health = Self::unhealthy(error.message()).detail("code", error.code());
        if error.details().is_empty() { health } else { health.detail("details", error.details()) }
    }
}
