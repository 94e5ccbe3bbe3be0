//! How a call ends, where its result goes, and how its caller cancels it.

use std::fmt;
use std::sync::{Arc, Weak};

use ixt_protocol::{ErrorBody, Object, code};

use super::{CallLocation, WriteBatch};

/// How a call ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallResult<'a> {
    /// The handler succeeded, with this data. For [`publish`](super::Bus::publish): the bus has accepted the event; the data is
    /// an empty object.
    Success(Object<'a>),
    /// The handler failed, or the host or the bus refused the call; [`ErrorBody::code`] tells which.
    Error(ErrorBody<'a>),
    /// The module replied with something that can't be read: what is wrong with it. Its caller gets `INTERNAL`.
    Unreadable(&'a str),
    /// No reply will come, and whether the call was handled is not known: its process ended or closed its connection, it
    /// refused the call while it shut down, its [`ReplyTo`] was dropped, or the bus lost its connection. Its caller gets
    /// `UNAVAILABLE`, retryable.
    Lost {
        /// What happened, for people.
        reason: &'a str,
        /// Whether a process ended while this was its only request, so that the call has probably ended it. A host retries
        /// such a call less often.
        was_alone: bool,
    },
}

impl<'a> CallResult<'a> {
    /// [`Lost`](Self::Lost) for a reason that this call did not cause.
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

    /// What the caller gets: an unreadable reply becomes `INTERNAL`, a lost one `UNAVAILABLE`.
    ///
    /// # Errors
    ///
    /// For everything but success.
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

/// Where the result of one call goes: a callback that is called at most once.
///
/// There are three ways to end it: [send](Self::send) the result; drop it, which sends [`CallResult::Lost`]; or, once the caller has
/// cancelled, [discard](Self::discard) it, which sends nothing.
pub struct ReplyTo {
    callback: Option<Box<Callback>>,
    retries: bool,
    /// `Some` if the call may go from one place to another.
    location: Option<Arc<CallLocation>>,
}

type Callback = dyn FnOnce(CallResult<'_>, &mut WriteBatch) + Send;

impl ReplyTo {
    /// Calls `callback` with the result and with the batch of the one who sends it, on that thread. It must not block.
    pub fn new(callback: impl FnOnce(CallResult<'_>, &mut WriteBatch) + Send + 'static) -> Self {
        Self { callback: Some(Box::new(callback)), retries: false, location: None }
    }

    /// The same for a callback that handles [`CallResult::Lost`] by another attempt, and logs it.
    pub(crate) fn retrying(callback: impl FnOnce(CallResult<'_>, &mut WriteBatch) + Send + 'static) -> Self {
        Self { callback: Some(Box::new(callback)), retries: true, location: None }
    }

    /// The same reply, of a call whose location is this.
    pub(crate) fn at(mut self, location: Arc<CallLocation>) -> Self {
        self.location = Some(location);
        self
    }

    /// Where the call is, if that can change.
    pub(crate) fn location(&self) -> Option<&Arc<CallLocation>> {
        self.location.as_ref()
    }

    /// Where the call is, from now on kept for its caller's cancel.
    pub(crate) fn track(&mut self) -> Arc<CallLocation> {
        Arc::clone(self.location.get_or_insert_default())
    }

    /// Whether the callback tries again and logs when the result is [`CallResult::Lost`], so that the sender need not log.
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

    /// Sends nothing, for a caller that has cancelled and no longer waits.
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

/// A call in progress, by which its caller can cancel it. Dropping it changes nothing: the call goes on.
#[derive(Debug, Default)]
#[must_use = "a call can't be cancelled without its handle"]
pub struct CallHandle(Option<(Weak<dyn Cancel>, u64)>);

impl CallHandle {
    /// A handle that cancels the call that `owner` knows by `number`. [`CallHandle::default`] is one of a call that can't be
    /// cancelled, such as one that has already been answered.
    pub fn new(owner: &Arc<impl Cancel + 'static>, number: u64) -> Self {
        let owner: Weak<dyn Cancel> = Arc::downgrade(owner) as _;
        Self(Some((owner, number)))
    }

    /// Tells the endpoint that the caller no longer waits. The [`ReplyTo`] may still get a result, which was on its way, or it may be
    /// discarded.
    pub fn cancel(self, batch: &mut WriteBatch) {
        if let Some((owner, number)) = self.0
            && let Some(owner) = owner.upgrade()
        {
            owner.cancel(number, batch);
        }
    }
}

/// The side that has taken calls, and can cancel them.
pub trait Cancel: fmt::Debug + Send + Sync {
    /// The caller of this call no longer waits. Nothing happens if the call has ended.
    fn cancel(&self, number: u64, batch: &mut WriteBatch);
}
