//! Makes JSON of the author's values for the details of an error or a health check, and for the fields of a log line.

use serde::Serialize;
use serde_json::Value;

/// The value as JSON. If it can't be JSON (a map whose keys are not strings, say), a string with the reason: a wrong detail must not become
/// a second error. A float that is not finite becomes `null`.
pub(crate) fn json_or_reason(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_else(|error| Value::String(format!("not JSON: {error}")))
}
