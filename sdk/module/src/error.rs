//! The error that handlers return and callers receive.

use std::borrow::Cow;
use std::fmt;

use ixt_protocol::{ErrorBody, InvalidJson, code};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::json_value::json_or_reason;
use crate::log_error;

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed: a code for programs, a message for people, and details (seeds: `error(code, message,
/// details)`).
///
/// Every `std::error::Error` converts into it with `?`, as [`INTERNAL`](code::INTERNAL). For that reason this type is
/// not a `std::error::Error` itself.
///
/// ```
/// use ixt_sdk::{Error, Result, code};
///
/// fn parse(text: &str) -> Result<u32> {
///     Ok(text.parse::<u32>()?)
/// }
/// assert_eq!(parse("x").unwrap_err().code(), code::INTERNAL);
///
/// let error = Error::invalid_input("quantity is over the limit").detail("max", 100);
/// assert_eq!(error.to_string(), "INVALID_INPUT: quantity is over the limit");
/// assert_eq!(error.details()["max"], 100);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    code: Cow<'static, str>,
    message: String,
    details: Map<String, Value>,
    retryable: bool,
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error with a code of the service's own: by convention an upper-case word such as `OUT_OF_STOCK`.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code: code.into(),
            message: message.into(),
            details: Map::new(),
            retryable: false,
            cause: None,
        }))
    }

    /// The caller sent something that can't be right: [`INVALID_INPUT`](code::INVALID_INPUT).
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_INPUT, message)
    }

    /// What was asked for does not exist: [`NOT_FOUND`](code::NOT_FOUND).
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(code::NOT_FOUND, message)
    }

    /// Something went wrong that the caller can't help: [`INTERNAL`](code::INTERNAL). Takes anything that can be
    /// displayed, for errors that are not `std::error::Error`s.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(code::INTERNAL, message.to_string())
    }

    /// Not now, perhaps later: [`UNAVAILABLE`](code::UNAVAILABLE), retryable.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(code::UNAVAILABLE, message).retryable()
    }

    /// Adds a detail for the caller's program. A value that is not JSON is replaced by the reason why.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.0.details.insert(key.into(), json_or_reason(value));
        self
    }

    /// Says that the same request may do better later.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// The code: one of [`code`](crate::code), or a service's own.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What went wrong, for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// More about it, for programs.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// Whether the same request may do better later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Logs what stands behind an unexpected error. The caller gets its message alone.
    pub(crate) fn log_causes(&self, what: &dyn fmt::Display) {
        let causes = self.causes();
        if !causes.is_empty() {
            log_error(format!("{what} failed: {self}; caused by: {}", causes.join("; caused by: ")));
        }
    }

    fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut cause = self.0.cause.as_deref().and_then(std::error::Error::source);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        causes
    }

    /// What the host answered.
    pub(crate) fn from_body(body: ErrorBody<'_>) -> Self {
        let details = body.details.and_then(|details| serde_json::from_str(details.get()).ok());
        Self(Box::new(Inner {
            code: body.code.into_owned().into(),
            message: body.message.into_owned(),
            details: details.unwrap_or_default(),
            retryable: body.retryable,
            cause: None,
        }))
    }

    /// Input that is wrong at a path.
    pub(crate) fn invalid_json(what: &str, invalid: &InvalidJson) -> Self {
        let error = Self::invalid_input(format!("{what}: {invalid}"));
        if invalid.path.is_empty() { error } else { error.detail("path", &invalid.path) }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Error {
    fn from(cause: E) -> Self {
        let mut error = Self::internal(&cause);
        error.0.cause = Some(Box::new(cause));
        error
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { code, message, details, retryable, cause } = &*self.0;
        f.debug_struct("Error")
            .field("code", code)
            .field("message", message)
            .field("details", details)
            .field("retryable", retryable)
            .field("cause", cause)
            .finish()
    }
}
