//! The result of a call, and the callback that gets it.

use std::fmt;
use std::sync::Arc;

use ixt_protocol::{ErrorBody, Object, code};

use super::{CallLocation, WriteBatch};

/// How a call ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallResult<'a> {
    /// The handler succeeded, with this data. For [`publish`](super::Bus::publish): the bus has accepted the event; the data is
    /// an empty object.
    Success(Object<'a>),
    /// The handler failed, or the host or the bus refused the call. Its caller gets this error.
    Error(ErrorBody<'a>),
    /// The module's reply can't be read; the text says what is wrong with it. The caller gets `INTERNAL`.
    Unreadable(&'a str),
    /// No reply will come, and whether the call was handled is not known: its process ended, closed its connection, or refused the call
    /// while it shut down; its [`ReplyTo`] was dropped; or the bus lost its connection. The caller gets `UNAVAILABLE`, retryable.
    Lost {
        /// What happened, for people.
        reason: &'a str,
        /// Whether a process ended while this was its only request, so that the call is probably to blame. A host tries such a call at
        /// most twice, instead of three times.
        was_alone: bool,
    },
}

impl<'a> CallResult<'a> {
    /// Makes a [`Lost`](Self::Lost) for a reason that the call is not to blame for.
    #[must_use]
    pub fn lost(reason: &'a str) -> Self {
        Self::Lost { reason, was_alone: false }
    }

    /// The code that the caller gets; `None` for success.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Success(_) => None,
            Self::Error(error) => Some(&error.code),
            Self::Unreadable(_) => Some(code::INTERNAL),
            Self::Lost { .. } => Some(code::UNAVAILABLE),
        }
    }

    /// Returns what the caller gets.
    ///
    /// # Errors
    ///
    /// For everything but success. An unreadable reply becomes `INTERNAL`, a lost call `UNAVAILABLE`.
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

type Callback = dyn FnOnce(CallResult<'_>, &mut WriteBatch) + Send;

impl ReplyTo {
    /// Makes a reply that calls `callback` with the result and the batch that were passed to [`send`](Self::send), on the thread that
    /// sends. The callback must not block.
    pub fn new(callback: impl FnOnce(CallResult<'_>, &mut WriteBatch) + Send + 'static) -> Self {
        Self { callback: Some(Box::new(callback)), retries: false, location: None }
    }

    /// Like [`new`](Self::new), for a callback that tries the call again when the result is [`CallResult::Lost`], and logs that.
    pub(crate) fn retrying(callback: impl FnOnce(CallResult<'_>, &mut WriteBatch) + Send + 'static) -> Self {
        Self { callback: Some(Box::new(callback)), retries: true, location: None }
    }

    /// Continues a call whose caller's handle already points to `location`. For a reply that wraps another one.
    pub(crate) fn at(mut self, location: Arc<CallLocation>) -> Self {
        self.location = Some(location);
        self
    }

    /// Where the call is. `None` if it was never tracked: it stays with the process that it was sent to.
    pub(crate) fn location(&self) -> Option<&Arc<CallLocation>> {
        self.location.as_ref()
    }

    /// The location of the call. The first call of this method makes it.
    pub(crate) fn track(&mut self) -> Arc<CallLocation> {
        Arc::clone(self.location.get_or_insert_default())
    }

    /// Whether it was made by [`retrying`](Self::retrying): then the sender of a [`CallResult::Lost`] does not log it.
    pub(crate) fn retries(&self) -> bool {
        self.retries
    }

    /// Sends the result.
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
