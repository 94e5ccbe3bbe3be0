//! Values of the author's that become details of an error, of a health check or of a log line.

use serde::Serialize;
use serde_json::Value;

/// The value as JSON. If it can't be JSON (a map whose keys are not strings, say), the reason as a string: a detail that can't
/// be shown must not turn into a second error.
pub(crate) fn json_or_reason(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("not JSON: {error}")))
}
