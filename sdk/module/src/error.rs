//! The error that handlers return and that calls of other modules and of the host return.

use std::borrow::Cow;
use std::fmt;

use ixt_protocol::{ErrorBody, InvalidJson, code};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::json_value::json_or_reason;
use crate::log::log_error;

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request failed: a code for programs, a message for people, and details. It is the `error(code, message, details)` of the
/// Python and Node.js SDKs. A handler that returns it sends all of this to the caller; a call of another module returns the callee's.
///
/// Every `std::error::Error` that is `Send`, `Sync` and `'static` converts into it with `?`, and becomes [`INTERNAL`](code::INTERNAL), not
/// retryable, with its own message. Its sources are not sent to the caller: if a handler, `init` or `shutdown` returns the error, they go
/// to the module's log. Because of this conversion, this type is not a `std::error::Error` itself.
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
    /// The error that was converted with `?`. Not sent to the caller.
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error that is not retryable, with one of the codes in [`code`](crate::code), or with a code of the service: by convention
    /// in upper case, such as `OUT_OF_STOCK`. An empty code is sent as `INTERNAL`. If the code has more than 256 bytes, the host
    /// can't read the reply, and the caller gets `INTERNAL`; the test host panics in its task, and its requests end with
    /// `UNAVAILABLE`. The host cuts a message after 64 KiB.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code: code.into(),
            message: message.into(),
            details: Map::new(),
            retryable: false,
            cause: None,
        }))
    }

    /// [`INVALID_INPUT`](code::INVALID_INPUT), not retryable: the request is wrong. The same request will fail again.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new(code::INVALID_INPUT, message)
    }

    /// [`NOT_FOUND`](code::NOT_FOUND), not retryable: what the request asks for does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(code::NOT_FOUND, message)
    }

    /// [`INTERNAL`](code::INTERNAL), not retryable: something is wrong with the service, not with the request. Takes anything that can be
    /// displayed, for errors that don't implement `std::error::Error`. The caller gets the message.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(code::INTERNAL, message.to_string())
    }

    /// [`UNAVAILABLE`](code::UNAVAILABLE), and retryable: the service can't answer now, but may later.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(code::UNAVAILABLE, message).retryable()
    }

    /// Sets a detail for the caller's program, in place of one with the same key. A value that can't be JSON (a map whose keys are not
    /// strings, say) becomes a string with the reason. A float that is not finite becomes `null`.
    #[must_use]
    pub fn detail(mut self, key: impl Into<String>, value: impl Serialize) -> Self {
        self.0.details.insert(key.into(), json_or_reason(value));
        self
    }

    /// Marks the error as retryable: the same request may succeed later. It is for the caller's program; the SDK doesn't repeat a call.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.retryable = true;
        self
    }

    /// The code: one of those in [`code`](crate::code), or a code of the service. An error made by [`new`](Self::new) has the code as it
    /// was given, even if it is empty.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The message, for people. May be empty.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The details, for programs. Empty if there are none.
    #[must_use]
    pub fn details(&self) -> &Map<String, Value> {
        &self.0.details
    }

    /// Whether the same request may succeed later: true after [`retryable`](Self::retryable), for [`unavailable`](Self::unavailable), and
    /// if the callee or the host has said so.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.0.retryable
    }

    /// Logs the error with its sources, if it was converted with `?` and has any. `what` names the work that has failed.
    pub(crate) fn log_causes(&self, what: &dyn fmt::Display) {
        let causes = self.causes();
        if !causes.is_empty() {
            log_error(format!("{what} failed: {self}; caused by: {}", causes.join("; caused by: ")));
        }
    }

    /// The messages of the sources, the nearest first.
    fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut cause = self.0.cause.as_deref().and_then(std::error::Error::source);
        while let Some(error) = cause {
            causes.push(error.to_string());
            cause = error.source();
        }
        causes
    }

    /// The error in a `service_response`, or in a module's reply to the test host. Its details are an object; they are left out as a
    /// whole if `serde_json` can't hold one of their values, such as `1e999`.
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

    /// `INVALID_INPUT` with the path of the wrong key as the detail `path`. Without the detail if the value as a whole is wrong. `what`
    /// begins the message.
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
