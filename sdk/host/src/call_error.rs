//! The errors of this crate's API for calls and events, and for restarting and stopping modules.

use std::fmt;

use ixt_manifest::text::harmless;
use ixt_protocol::{ErrorBody, Object};
use serde_json::Value;

use crate::bus::CallResult;

/// The error with which a request was answered: by the module, or by the host or the bus in its place.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorReply {
    /// What kind of failure it is: one of [`ixt_protocol::code`], or one that the service's manifest declares. A module
    /// may also send any other text of 1 to 256 bytes.
    pub code: String,
    /// What went wrong, for people: at most 64 KiB if the module wrote it. It may contain any character. `Display`
    /// writes `CODE: message` in one line, with line ends and control characters escaped.
    pub message: String,
    /// Details in the form that the service declares for this code, which the host does not check; `null` if there are
    /// none.
    pub details: Value,
    /// Whether the same request may succeed later, as the sender of the error says. A caller that tries again should
    /// wait before.
    pub retryable: bool,
}

impl ErrorReply {
    /// Makes an error reply.
    #[must_use]
    pub fn new(code: String, message: String, details: Value, retryable: bool) -> Self {
        Self { code, message, details, retryable }
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", harmless(&self.code), harmless(&self.message))
    }
}

impl From<ErrorBody<'_>> for ErrorReply {
    fn from(error: ErrorBody<'_>) -> Self {
        let details = error.details.map(|details| serde_json::from_str(details.get()).unwrap_or_default());
        Self {
            code: error.code.into_owned(),
            message: error.message.into_owned(),
            details: details.unwrap_or_default(),
            retryable: error.retryable,
        }
    }
}

/// Why a call, or another request to the host, did not succeed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallError {
    /// The request was answered with an error, by the module, or by the host or the bus in its place.
    Replied(ErrorReply),
    /// The `init` frame, with the module's configuration, is longer than a frame may be, so it was not sent. Only a
    /// start fails with this, as the error of a [`StartErrorKind`](crate::StartErrorKind); a call that is too long
    /// fails with [`Replied`](Self::Replied) and the code `RESOURCE_EXHAUSTED`.
    TooLong {
        /// The size of the frame that was not sent, in bytes.
        bytes: usize,
        /// The limit for a frame, in bytes.
        max_frame_bytes: usize,
    },
    /// There is no reply, and whether the call was handled is not known: the process ended, or refused the call while
    /// it shut down; the connection with it or with the bus was lost; or the host has ended.
    Gone {
        /// What happened, for people.
        reason: String,
    },
}

impl CallError {
    /// The result of a call as this API returns it. It borrows nothing.
    pub(crate) fn of(result: CallResult<'_>) -> Result<Object<'static>, Self> {
        match result {
            CallResult::Lost { reason, .. } => Err(Self::Gone { reason: reason.to_owned() }),
            result => result.into_result().map(Object::into_owned).map_err(|error| Self::Replied(error.into())),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replied(reply) => reply.fmt(f),
            Self::TooLong { bytes, max_frame_bytes } => {
                write!(f, "`init` with the configuration has {bytes} bytes, more than the {max_frame_bytes} of a frame")
            }
            Self::Gone { reason } => f.write_str(&harmless(reason)),
        }
    }
}

impl std::error::Error for CallError {}
