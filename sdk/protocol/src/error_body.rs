//! Why a request failed: the fields of a module's `error`, and of a `service_response` that is not a success. The SDK's `Error` and
//! the host's `ErrorReply` are what they become outside of frames.

use std::borrow::Cow;
use std::ops::Not;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::frame_reader::deserialize_optional_object;

/// Why a request failed, as a frame carries it. Borrows from the frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ErrorBody<'a> {
    /// What kind of failure it is, for programs: one of [`code`](crate::code), or a code of the service. Must not be empty: a frame
    /// without it can't be read, nor can a module's frame with one of more than 256 bytes. Neither is checked when the frame is
    /// written, and the characters never are.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub code: Cow<'a, str>,
    /// What went wrong, for people. May be empty; absent on the wire if so. That of a module's frame is cut after 64 KiB when the
    /// frame is read.
    #[serde(borrow, default, skip_serializing_if = "str::is_empty")]
    pub message: Cow<'a, str>,
    /// More about the failure, for programs: a JSON object. `None` if there are no details; `null` on the wire is read as that. The
    /// host passes it on to the caller as it is.
    #[serde(
        borrow,
        default,
        deserialize_with = "deserialize_optional_object",
        skip_serializing_if = "Option::is_none"
    )]
    pub details: Option<&'a RawValue>,
    /// Whether the same request may succeed later. Absent on the wire if `false`.
    #[serde(default, skip_serializing_if = "Not::not")]
    pub retryable: bool,
}

impl<'a> ErrorBody<'a> {
    /// An error without details. Neither text is checked.
    pub fn new(code: &'a str, message: impl Into<Cow<'a, str>>, retryable: bool) -> Self {
        Self { code: Cow::Borrowed(code), message: message.into(), details: None, retryable }
    }
}
