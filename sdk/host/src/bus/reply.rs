//! The result of a call, and the callback that gets it.

use std::fmt;
use std::sync::Arc;

use ixt_protocol::{ErrorBody, Object, code};

use super::{CallLocation, WriteBatch};

/// How a call ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallResult<'a> {
    /// The handler succeeded, with this data. For [`publish`](super::Bus::publish): the bus has accepted the event; the
    /// data means nothing, and is usually an empty object.
    Success(Object<'a>),
    /// The handler failed, or the host or the bus refused the call. Its caller gets this error.
    Error(ErrorBody<'a>),
    /// The module's reply can't be read; the text says what is wrong with it, for people. The caller gets `INTERNAL`, not retryable.
    Unreadable(&'a str),
    /// No reply will come, and whether the call was handled is not known: its process ended, closed its connection, or
    /// refused the call while it shut down; its [`ReplyTo`] was dropped; or the bus lost its connection. A module that
    /// calls gets `UNAVAILABLE`, retryable; [`Host::call`](crate::Host::call) returns
    /// [`CallError::Gone`](crate::CallError::Gone). The callee's host first tries an idempotent call again.
    Lost {
        /// What happened, for people.
        reason: &'a str,
        /// Whether a process ended while this was its only request, so that the call is probably to blame. A host tries
        /// an idempotent call three times, but not a third time if it was alone both times.
        was_alone: bool,
    },
}

impl<'a> CallResult<'a> {
    /// Makes a [`Lost`](Self::Lost) for a reason that the call is not to blame for.
    #[must_use]
    pub fn lost(reason: &'a str) -> Self {
        Self::Lost { reason, was_alone: false }
    }

    /// The error code that a module that calls would get; `None` for success.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Success(_) => None,
            Self::Error(error) => Some(&error.code),
            Self::Unreadable(_) => Some(code::INTERNAL),
            Self::Lost { .. } => Some(code::UNAVAILABLE),
        }
    }

    /// Returns what a module that calls would get.
    ///
    /// # Errors
    ///
    /// For everything but success. An unreadable reply becomes `INTERNAL`, not retryable; a lost call `UNAVAILABLE`,
    /// retryable.
    pub fn into_result(self) -> Result<Object<'a>, ErrorBody<'a>> {
        match self {
            Self::Success(data) => Ok(data),
            Self::Error(error) => Err(error),
            Self::Unreadable(error) => {
                Err(ErrorBody::new(code::INTERNAL, format!("the module's reply is wrong: {error}"), false))
            }
            Self::Lost { reason, .. } => Err(ErrorBody::new(code::UNAVAILABLE, reason, true)),
        }
    }
}

/// The callback that gets the result of one call. It is called at most once.
///
/// There are three ways to end it: [send](Self::send) the result; drop it, which sends [`CallResult::Lost`]; or, once the caller has
/// cancelled, [discard](Self::discard) it, which sends nothing.
pub struct ReplyTo {
    callback: Option<Box<Callback>>,
    retries: bool,
    /// `Some` if the call may move from one place to another.
    location: Option<Arc<CallLocation>>,
}

/// What a [`ReplyTo`] calls with its result.
type Callback = dyn FnOnce(CallResult<'_>, &mut WriteBatch) + Send;

impl ReplyTo {
    /// Makes a reply that calls `callback` with the result and the batch that are passed to [`send`](Self::send), on
    /// the thread that sends or drops it. The callback must not block.
    pub fn new(callback: impl FnOnce(CallResult<'_>, &mut WriteBatch) + Send + 'static) -> Self {
        Self { callback: Some(Box::new(callback)), retries: false, location: None }
    }

    /// Like [`new`](Self::new), for a callback that handles a [`CallResult::Lost`] itself: it tries the request again,
    /// or logs that it does not.
    pub(crate) fn retrying(callback: impl FnOnce(CallResult<'_>, &mut WriteBatch) + Send + 'static) -> Self {
        Self { callback: Some(Box::new(callback)), retries: true, location: None }
    }

    /// Sets the location of the call that this reply continues: the caller's handle points to it already. For a reply
    /// that wraps another one.
    pub(crate) fn at(mut self, location: Arc<CallLocation>) -> Self {
        self.location = Some(location);
        self
    }

    /// Where the call is. `None` if it was never tracked: it stays with the process that it was sent to.
    pub(crate) fn location(&self) -> Option<&Arc<CallLocation>> {
        self.location.as_ref()
    }

    /// The location of the call, made if there is none. To be called before the caller gets its handle.
    pub(crate) fn track(&mut self) -> Arc<CallLocation> {
        Arc::clone(self.location.get_or_insert_default())
    }

    /// Whether it was made by [`retrying`](Self::retrying): then the sender of a [`CallResult::Lost`] does not log it.
    pub(crate) fn retries(&self) -> bool {
        self.retries
    }

    /// Calls the callback with this result and this batch, on this thread, before it returns.
    pub fn send(mut self, result: CallResult<'_>, batch: &mut WriteBatch) {
        if let Some(callback) = self.callback.take() {
            callback(result, batch);
        }
    }

    /// Sends an error without details.
    pub fn error(self, code: &str, message: &str, retryable: bool, batch: &mut WriteBatch) {
        self.send(CallResult::Error(ErrorBody::new(code, message, retryable)), batch);
    }

    /// Sends nothing. For a call whose caller has cancelled it and no longer waits.
    pub fn discard(mut self) {
        self.callback = None;
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if let Some(callback) = self.callback.take() {
            callback(CallResult::lost("it was dropped without a reply"), &mut WriteBatch::none());
        }
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplyTo").finish_non_exhaustive()
    }
}
