//! The message bus: brings a call to the module that provides its topic, and an event to those that want it. [`Bus`] is what
//! the host needs of one, [`LocalBus`] is the one within a host.
//!
//! Nothing here waits: what answers a call is given to its [`ReplyTo`], whenever that is, and exactly once.

#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod local;

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, Weak};

use ixt_protocol::{ErrorBody, Object, Payload, Priority, code};
use tokio::time::Instant;

pub use local::LocalBus;
pub(crate) use local::empty;

/// Who makes a call that is no module's.
pub(crate) const HOST_SOURCE: &str = concat!(env!("CARGO_PKG_NAME"), ":", env!("CARGO_PKG_VERSION"));

/// A call of a service, or an event, on its way.
#[derive(Debug, Clone)]
pub struct Message<'a> {
    /// The topic.
    pub topic: Cow<'a, str>,
    /// What it carries, in the form in which it came.
    pub payload: Payload<'a>,
    /// How urgent it is.
    pub priority: Priority,
    /// When nobody waits for it any more.
    pub deadline: Option<Instant>,
    /// The same for all messages that one cause sets off.
    pub trace_id: Arc<str>,
    /// Who sends it, `name:version`.
    pub source: Arc<str>,
    /// The request that is handled by the one who sends it.
    pub cause: Option<Arc<Cause>>,
    /// Which attempt this is, from 1: a call that was lost is tried again, if that does no harm.
    pub attempt: u32,
}

impl Message<'_> {
    /// The same, which borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Message<'static> {
        Message { topic: Cow::Owned(self.topic.into_owned()), payload: self.payload.into_owned(), ..self }
    }

    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let payload = match &self.payload {
            Payload::Bytes(bytes) => bytes.len(),
            Payload::Base64(text) => text.as_str().len(),
        };
        size_of::<Self>() + payload + self.topic.len() + self.trace_id.len() + self.source.len()
    }

    /// The same, borrowed.
    #[must_use]
    pub fn borrowed(&self) -> Message<'_> {
        Message {
            topic: Cow::Borrowed(&self.topic),
            payload: self.payload.borrowed(),
            trace_id: Arc::clone(&self.trace_id),
            source: Arc::clone(&self.source),
            cause: self.cause.clone(),
            ..*self
        }
    }
}

/// A request that is being handled, and the one that waits for it: the way back to where a chain of calls began. Nobody waits
/// for an event, so that it begins a chain of its own.
#[derive(Debug, Clone)]
pub struct Cause {
    /// The process that handles it, by its number in this host.
    pub(crate) connection: u64,
    /// Its id, `name:version/instance-NNN`.
    pub(crate) instance: Arc<str>,
    /// The request's span, in the trace of the call.
    pub(crate) span: u64,
    /// That of the request whose handling made this one; 0 if there was none.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "spans are with the feature"))]
    pub(crate) parent_span: u64,
    /// There is a span of the request, or will be.
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "spans are with the feature"))]
    pub(crate) is_sampled: bool,
    /// The request that waits for this one.
    pub(crate) parent: Option<Arc<Cause>>,
    /// How many requests there are from the first one to this.
    pub(crate) depth: usize,
}

impl Cause {
    /// This one, the one that it is part of, and so on.
    pub(crate) fn chain(self: &Arc<Self>) -> impl Iterator<Item = &Arc<Self>> {
        std::iter::successors(Some(self), |cause| cause.parent.as_ref())
    }
}

/// What becomes of a call.
#[derive(Debug)]
pub enum Answer<'a> {
    /// The service's data.
    Success(Object<'a>),
    /// The service's error, or one of the bus.
    Error(ErrorBody<'a>),
    /// The module's reply could not be read: what is wrong with it.
    Unreadable(&'a str),
    /// The process that had taken it ended before it answered.
    Lost {
        /// Why it ended.
        reason: &'a str,
        /// Whether the process had nothing else to do: then this call has ended it, most likely.
        was_alone: bool,
    },
}

impl<'a> Answer<'a> {
    /// One of a process that had other requests too, or had not begun with this one.
    pub(crate) fn lost(reason: &'a str) -> Self {
        Self::Lost { reason, was_alone: false }
    }

    /// The code with which it goes back, if it is an error.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Self::Success(_) => None,
            Self::Error(error) => Some(&error.code),
            Self::Unreadable(_) => Some(code::INTERNAL),
            Self::Lost { .. } => Some(code::UNAVAILABLE),
        }
    }

    /// The same as it goes back over the wire: what could not be read is `INTERNAL`, and what was lost `UNAVAILABLE`.
    pub(crate) fn into_result(self) -> Result<Object<'a>, ErrorBody<'a>> {
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

/// To whom a call is answered. Dropped, it says that the call was lost: there is no way not to answer.
pub struct ReplyTo {
    answer: Option<Box<Reply>>,
    asks_again: bool,
}

type Reply = dyn FnOnce(Answer<'_>) + Send;

impl ReplyTo {
    /// What to do with the answer.
    pub fn new(answer: impl FnOnce(Answer<'_>) + Send + 'static) -> Self {
        Self { answer: Some(Box::new(answer)), asks_again: false }
    }

    /// The same of one who asks again if the answer is lost, and tells of it.
    pub(crate) fn asking_again(answer: impl FnOnce(Answer<'_>) + Send + 'static) -> Self {
        Self { answer: Some(Box::new(answer)), asks_again: true }
    }

    /// Whether it asks again if the answer is lost.
    pub(crate) fn asks_again(&self) -> bool {
        self.asks_again
    }

    /// Answers.
    pub fn send(mut self, answer: Answer<'_>) {
        if let Some(reply) = self.answer.take() {
            reply(answer);
        }
    }

    /// Nobody waits for the answer any more.
    pub(crate) fn forget(mut self) {
        self.answer = None;
    }

    /// Answers with an error.
    pub(crate) fn error(self, code: &str, message: &str, retryable: bool) {
        self.send(Answer::Error(ErrorBody::new(code, message, retryable)));
    }
}

impl Drop for ReplyTo {
    fn drop(&mut self) {
        if let Some(reply) = self.answer.take() {
            reply(Answer::lost("it was not answered"));
        }
    }
}

impl fmt::Debug for ReplyTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ReplyTo").finish_non_exhaustive()
    }
}

/// A call that was made, by which it can be taken back.
#[derive(Debug, Default)]
#[must_use = "without it the call can't be taken back"]
pub struct Pending(Option<(Weak<dyn Cancel>, u64)>);

impl Pending {
    /// Of a call that `of` knows by this number.
    pub fn new(of: Weak<dyn Cancel>, number: u64) -> Self {
        Self(Some((of, number)))
    }

    /// Nobody waits for the answer any more. There may be one all the same.
    pub fn cancel(self) {
        if let Some((of, number)) = self.0
            && let Some(of) = of.upgrade()
        {
            of.cancel(number);
        }
    }
}

/// Something that has taken calls.
pub trait Cancel: fmt::Debug + Send + Sync {
    /// Nobody waits for this call any more.
    fn cancel(&self, number: u64);
}

/// One who takes calls and events: a module.
pub trait Endpoint: Send + Sync {
    /// Takes a call.
    fn call(&self, message: Message<'_>, reply: ReplyTo) -> Pending;
    /// Takes an event. It must not wait: what it can't take it drops, and tells.
    fn event(&self, message: &Message<'_>);
}

/// Why a module can't have a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlreadyProvided;

/// A message bus.
pub trait Bus: Send + Sync + 'static {
    /// From now on `endpoint` takes the calls of this topic.
    ///
    /// # Errors
    ///
    /// If another one does.
    fn provide(&self, topic: &str, endpoint: Arc<dyn Endpoint>) -> Result<(), AlreadyProvided>;

    /// `endpoint` takes no more calls of this topic. Nothing happens if it is not the one that does.
    fn withdraw(&self, topic: &str, endpoint: &Arc<dyn Endpoint>);

    /// From now on `endpoint` gets the events of this topic.
    fn subscribe(&self, topic: &str, endpoint: Arc<dyn Endpoint>);

    /// `endpoint` gets no more events of this topic.
    fn unsubscribe(&self, topic: &str, endpoint: &Arc<dyn Endpoint>);

    /// Calls a service. Where nobody provides the topic, the answer is `NOT_FOUND`.
    fn call(&self, message: Message<'_>, reply: ReplyTo) -> Pending;

    /// Publishes an event to every subscriber, and answers when all of them have it, or have told that they drop it.
    fn publish(&self, message: Message<'_>, reply: ReplyTo);

    /// Whether somebody provides the topic.
    fn is_provided(&self, topic: &str) -> bool;

    /// Ends it: the endpoints are let go.
    fn close(&self);
}
