//! The answer to a health check.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;
use crate::json_value::json_or_reason;

/// Whether a module can do its work, and what it adds to that (seeds: `on_health_check`).
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
    /// All is well.
    #[must_use]
    pub fn healthy() -> Self {
        Self::new(true)
    }

    /// The module can't do its work, for this reason.
    #[must_use]
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self::new(false).detail("message", reason.into())
    }

    /// Nothing is wrong with the module, but it takes no new calls and events for now, for this reason, such as a cache that is
    /// being filled. The host gives them to others of its processes, or lets them wait. It holds until the next health check:
    /// [`Runtime::set_ready`](crate::Runtime::set_ready) says it at once.
    #[must_use]
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self::new(true).detail("ready", false).detail("message", reason.into())
    }

    /// Whether the module can do its work.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.get("healthy") == Some(&Value::Bool(true))
    }

    /// Whether the module takes new calls and events.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.get("ready") != Some(&Value::Bool(false))
    }

    /// All details, with `healthy`.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0
    }

    fn new(healthy: bool) -> Self {
        Self(Map::from_iter([("healthy".to_owned(), Value::Bool(healthy))]))
    }

    /// Adds a detail, in place of one of the same key. A value that is not JSON is replaced by the reason why.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.0.insert(key.into(), json_or_reason(value));
        self
    }
}

/// A health check that fails says that the module is not healthy.
impl From<Error> for Health {
    fn from(error: Error) -> Self {
        let health = Self::unhealthy(error.message()).detail("code", error.code());
        if error.details().is_empty() { health } else { health.detail("details", error.details()) }
    }
}
