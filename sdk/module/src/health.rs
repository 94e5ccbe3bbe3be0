//! The author's report in the reply to a health check.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::json_value::json_or_reason;

/// The result of a module's health check: whether the module works, whether it takes calls, and any details. `on_health_check` of the
/// Python and Node.js SDKs returns the same. In JSON it is the object of its details.
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
    /// The module works: the only detail is `healthy`, which is true.
    #[must_use]
    pub fn healthy() -> Self {
        Self::new(true)
    }

    /// The module doesn't work, for this reason, which becomes the detail `message`. After some such checks in a row, the host ends the
    /// process; the host's configuration says how many. The process takes calls meanwhile.
    #[must_use]
    pub fn unhealthy(reason: impl Into<String>) -> Self {
        Self::new(false).detail("message", reason.into())
    }

    /// The module works, but this process takes no new calls and events for now, for this reason, which becomes the detail `message`: a
    /// cache is being filled, say. Until a later health check is ready again, the host sends them to other processes of the module, or
    /// queues them. To tell the host at once, use [`Runtime::set_ready`](crate::Runtime::set_ready).
    #[must_use]
    pub fn not_ready(reason: impl Into<String>) -> Self {
        Self::new(true).detail("ready", false).detail("message", reason.into())
    }

    /// Whether the module works: the detail `healthy` is `true`. Without that detail it is false.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.get("healthy") == Some(&Value::Bool(true))
    }

    /// Whether this process takes new calls and events, as far as this check says: true unless the detail `ready` is `false`.
    /// [`Runtime::set_ready`](crate::Runtime::set_ready) is separate: it changes no report.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.get("ready") != Some(&Value::Bool(false))
    }

    /// All details, `healthy` included. The SDK adds `ixt` when it replies, so that the test harness gets a report with it.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0
    }

    fn new(healthy: bool) -> Self {
        Self(Map::from_iter([("healthy".to_owned(), Value::Bool(healthy))]))
    }

    /// Sets a detail, in place of one with the same key. The SDK replaces `ixt` with its own; `healthy`, `ready` and `message` mean what
    /// the constructors say. A value that can't be JSON (a map whose keys are not strings, say) becomes a string with the reason, and a
    /// float that is not finite `null`. If the whole report has more than 64 KiB as JSON, the host keeps only `healthy` and `ready`.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.0.insert(key.into(), json_or_reason(value));
        self
    }
}

/// A health check that returns an error, or panics, reports the module as unhealthy: with the error's message as `message`, its code as
/// `code`, and its details, if it has any, as `details`.
impl From<Error> for Health {
    fn from(error: Error) -> Self {
        let health = Self::unhealthy(error.message()).detail("code", error.code());
        if error.details().is_empty() { health } else { health.detail("details", error.details()) }
    }
}
