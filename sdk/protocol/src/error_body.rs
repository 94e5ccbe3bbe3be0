//! Why a request failed: the fields of a module's `error`, and of a `service_response` that is not a success.

use std::borrow::Cow;
use std::ops::Not;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::frame_reader::deserialize_optional_object;

/// Why a request failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody<'a> {
    /// What kind of failure it is, for programs: one of [`code`](crate::code), or a code of the service. Never empty in a frame
    /// that was read; up to 256 bytes in one of a module.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub code: Cow<'a, str>,
    /// What went wrong, for people. May be empty. In a frame of a module it is cut after 64 KiB.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
    /// More about the failure, for programs: a JSON object.
    #[serde(
        borrow,
        default,
        deserialize_with = "deserialize_optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub details: Option<&'a RawValue>,
    /// Whether the same request may succeed later. Absent on the wire if not.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub retryable: bool,
}

impl<'a> ErrorBody<'a> {
    /// An error without details.
    pub fn new(code: &'a str, message: impl Into<Cow<'a, str>>, retryable: bool) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into(), details: None, retryable }
    }
}
