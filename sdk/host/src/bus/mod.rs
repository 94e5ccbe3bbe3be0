//! The message bus: it brings calls to the module that provides their topic, and events to the modules that subscribe to them.
//!
//! [`Bus`] is what a host needs of a bus. [`LocalBus`], the default, connects the modules of one host;
//! [`HostBuilder::bus`](crate::HostBuilder::bus) takes another one.
//!
//! ```text
//!  caller's host                                          callee's host
//!  module ──> rights, trace, deadline ──> Bus::call ──…──> Endpoint::call ──> module
//!  module <───────────── ReplyTo::send <──────────────…─── ReplyTo::send <─── module
//! ```
//!
//! # A service of the program itself
//!
//! A program that embeds a host can provide topics too, and call those of modules without a [`Host`](crate::Host):
//!
//! ```
//! use std::sync::Arc;
//!
//! use ixt_host::bus::{Bus, CallHandle, Endpoint, Envelope, LocalBus, ReplyTo, WriteBatch};
//!
//! struct Stock;
//!
//! impl Endpoint for Stock {
//!     fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
//!         reply.error("OUT_OF_STOCK", &format!("{} asks in vain", envelope.source), true, batch);
//!         // The call has ended: there is nothing to cancel.
//!         CallHandle::default()
//!     }
//!
//!     fn event(&self, _: &Envelope<'_>, _: &mut WriteBatch) {}
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = LocalBus::default();
//! bus.provide("stock.get", Arc::new(Stock)).await?;
//!
//! let envelope = Envelope::new("stock.get", b"{}".as_slice(), "shop:1.0.0", "trace-1");
//! let reply = ReplyTo::new(|result, _| assert_eq!(result.code(), Some("OUT_OF_STOCK")));
//! let _handle = bus.call(envelope, reply, &mut WriteBatch::none());
//! # Ok(())
//! # }
//! ```
//!
//! # How to implement a bus
//!
//! - Registrations ([`provide`](Bus::provide), [`withdraw`](Bus::withdraw), [`subscribe`](Bus::subscribe),
//!   [`unsubscribe`](Bus::unsubscribe)) are futures, since a bus across hosts asks others. When one completes, it is in force for
//!   every host of the bus.
//! - [`call`](Bus::call) and [`publish`](Bus::publish) return at once and never block; a bus that has to wait copies the
//!   [`Envelope`] ([`into_owned`](Envelope::into_owned), or serialized) and goes on in a task of its own. So does
//!   [`Endpoint::call`], and a [`ReplyTo`] may be used from any thread.
//! - Every call ends exactly once, unless its caller cancels it: with what the endpoint sends to the [`ReplyTo`] that the bus gives
//!   it, or with an error of the bus. The endpoint observes [`Envelope::deadline`] while it holds a call. A bus that may lose messages
//!   has to observe it too, and send `DEADLINE_EXCEEDED`; when it loses its connection, it sends [`CallResult::Lost`] to the calls
//!   that it has sent, and `UNAVAILABLE` to the others.
//! - [`CallHandle::cancel`] reaches the [`CallHandle`] that the endpoint returned. After that the bus discards the caller's
//!   [`ReplyTo`], or sends a late result to it.
//! - Calls may overtake each other, and so may events; a bus need not keep an order.
//! - The [`WriteBatch`] that methods get says when the sockets of modules are flushed. A bus passes it on, or one of its own for each
//!   row of messages that it receives; where it has only one message, [`WriteBatch::none`].
//! - The host does not log what a bus refuses; a bus may write to [`HostBuilder::logs`](crate::HostBuilder::logs).
//!
//! `bus::conformance::check` (feature `conformance`) tests this, but for deadlines, blocking, and lost connections. Types here are
//! `#[non_exhaustive]` where fields or variants will be added, such as those of streams; what will be added to the traits will have a
//! default that refuses.

mod call_location;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
mod envelope;
mod local;
mod reply;
mod write_batch;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

pub use ixt_protocol::{ErrorBody, Object, Priority, WirePayload};

pub(crate) use call_location::CallLocation;
pub(crate) use envelope::HOST_SOURCE;
pub use envelope::{Cause, Envelope, ParentSpan};
pub use local::LocalBus;
pub(crate) use local::empty_object;
pub use reply::{CallHandle, CallResult, Cancel, ReplyTo};
pub use write_batch::{Flush, WriteBatch};

/// What asynchronous methods of a [`Bus`] return: boxed, so that there can be a `dyn Bus`.
pub type BusFuture<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message bus, or one host's connection to it. The host that it is given to is its only user, and closes it.
pub trait Bus: Send + Sync + 'static {
    /// Makes `endpoint` the one that gets the calls of this topic.
    ///
    /// # Errors
    ///
    /// [`BusError::AlreadyProvided`] if the topic has a provider, even if that is the same endpoint. Nothing has changed then.
    fn provide<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>>;

    /// Takes the topic back from `endpoint`, which gets no more calls of it; calls that it has go on. Nothing happens if it does
    /// not provide the topic. A bus that can't reach other hosts keeps trying.
    fn withdraw<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a>;

    /// Gives `endpoint` every event of this topic from now on. The host subscribes an endpoint once.
    ///
    /// # Errors
    ///
    /// If the bus can't be reached.
    fn subscribe<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>>;

    /// Gives `endpoint` no more events of this topic. Nothing happens if it is not subscribed.
    fn unsubscribe<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a>;

    /// Calls the provider of the envelope's topic. Without one, the result is the error `NOT_FOUND`, with the topic in its
    /// message.
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle;

    /// Publishes an event: each current subscriber gets it at most once. `reply` gets success when the bus has accepted it; that
    /// does not mean that a module has handled it. It is no error if nobody subscribes.
    fn publish(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch);

    /// Whether the topic has a provider, on any host. The host only uses it to warn of a missing one.
    fn is_provided<'a>(&'a self, topic: &'a str) -> BusFuture<'a, bool>;

    /// Ends this host's part of the bus. When the method returns, the bus has let go of all endpoints; when the future completes,
    /// other hosts know that the topics are free. A host that is shut down waits up to 5 s for that; one that is dropped drops the
    /// future unpolled.
    fn close(&self) -> BusFuture<'static>;
}

/// What takes calls and events of topics: for the host, a module.
pub trait Endpoint: Send + Sync {
    /// Takes a call, without blocking. The result goes to `reply`, perhaps before this returns.
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle;

    /// Takes an event, without blocking. A module for which too many events wait drops it, and its host logs that.
    fn event(&self, envelope: &Envelope<'_>, batch: &mut WriteBatch);
}

/// Why a topic could not be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusError {
    /// Another endpoint provides the topic, on this host or on another.
    AlreadyProvided,
    /// The bus did not answer: why, for people.
    Unavailable(String),
}

impl fmt::Display for BusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyProvided => f.write_str("the topic has a provider already"),
            Self::Unavailable(reason) => write!(f, "the message bus can't be reached: {reason}"),
        }
    }
}

impl std::error::Error for BusError {}
