//! What a call gives to those who made it in this process.

use std::fmt;

use ixt_manifest::text::harmless;
use ixt_protocol::{ErrorBody, Object};
use serde_json::Value;

use crate::bus::CallResult;

/// What a module answered instead of success.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorReply {
    /// What kind of failure it is.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
    /// More about it; `null` if there is nothing more.
    pub details: Value,
    /// Whether the same request may do better later.
    pub retryable: bool,
}

impl ErrorReply {
    /// An error.
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

/// Why a call got no data.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum CallError {
    /// The module, or the host in its place, answered with an error.
    Replied(ErrorReply),
    /// The request is larger than a frame may be; it was not sent.
    TooLong {
        /// The frame's size.
        bytes: usize,
        /// The limit.
        max_frame_bytes: usize,
    },
    /// The process that had taken the request ended before it answered. What became of the request is not known.
    Gone {
        /// What is known about the reason.
        reason: String,
    },
}

impl CallError {
    pub(crate) fn of(answer: CallResult<'_>) -> Result<Object<'static>, Self> {
        match answer {
            CallResult::Lost { reason, .. } => Err(Self::Gone { reason: reason.to_owned() }),
            answer => answer.into_result().map(Object::into_owned).map_err(|error| Self::Replied(error.into())),
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replied(reply) => reply.fmt(f),
            Self::TooLong { bytes, max_frame_bytes } => {
                write!(f, "the request of {bytes} bytes is over the limit of {max_frame_bytes} bytes for a frame")
            }
            Self::Gone { reason } => f.write_str(&harmless(reason)),
        }
    }
}

impl std::error::Error for CallError {}
