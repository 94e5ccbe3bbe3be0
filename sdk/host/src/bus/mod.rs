//! The message bus: it brings calls to the module that provides their topic, and events to the modules that subscribe to them.
//!
//! [`Bus`] is the trait through which a host uses its bus. [`LocalBus`], the default, connects the modules of one host;
//! [`HostBuilder::bus`](crate::HostBuilder::bus) sets another one.
//!
//! ```text
//!  caller's host                                          callee's host
//!  module ──> rights, trace, deadline ──> Bus::call ──…──> Endpoint::call ──> module
//!  module <───────────── ReplyTo::send <──────────────…─── ReplyTo::send <─── module
//! ```
//!
//! # A service of the program itself
//!
//! A program that embeds a host can provide topics too, and call topics without a [`Host`](crate::Host):
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
//!   [`unsubscribe`](Bus::unsubscribe)) are futures, since a bus across hosts has to ask other hosts. When such a future completes, the
//!   change is in force for every host of the bus.
//! - [`call`](Bus::call) and [`publish`](Bus::publish) return at once and never block. A bus that has to wait copies the [`Envelope`]
//!   ([`into_owned`](Envelope::into_owned), or serialized) and goes on in another task. [`Endpoint::call`] and [`Endpoint::event`] never
//!   block either. A [`ReplyTo`] may be used from any thread.
//! - Every call ends exactly once, unless its caller cancels it. It ends with what the endpoint sends to the [`ReplyTo`] that the bus has
//!   passed to it, or with an error of the bus. The endpoint observes [`Envelope::deadline`] while it holds a call. A bus that may lose
//!   messages has to observe it too, and send `DEADLINE_EXCEEDED`. When it loses its connection, it sends [`CallResult::Lost`] for the
//!   calls that another host may have got, and `UNAVAILABLE` for the others.
//! - [`CallHandle::cancel`] on the handle that the bus has returned calls `cancel` on the handle that the endpoint has returned. After
//!   that the bus discards the caller's [`ReplyTo`], or sends a late result to it.
//! - Calls may overtake each other, and so may events; a bus need not keep an order.
//! - The [`WriteBatch`] that methods get collects the sockets of modules that have to be flushed. A bus passes on the one that it gets.
//!   For messages from other hosts it makes one for all messages that one read has brought, or passes [`WriteBatch::none`] for a single
//!   message.
//! - The host logs what its default bus refuses, but not what another bus does; that one may write to
//!   [`HostBuilder::logs`](crate::HostBuilder::logs).
//!
//! `local.rs` is the smallest example. `bus::conformance::check` (feature `conformance`) tests all of this, except deadlines, blocking,
//! and lost connections. Types here are `#[non_exhaustive]` where fields or variants will be added, such as those of streams; methods that
//! will be added to the traits will have a default implementation that refuses.

mod call_handle;
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

pub use call_handle::{CallHandle, Cancel};
pub(crate) use call_location::CallLocation;
pub(crate) use envelope::HOST_SOURCE;
pub use envelope::{Cause, Envelope, ParentSpan};
pub use local::LocalBus;
pub use reply::{CallResult, ReplyTo};
pub use write_batch::{Flush, WriteBatch};

/// The future that asynchronous methods of a [`Bus`] return: boxed, so that there can be a `dyn Bus`. The host waits for it without a
/// timeout, except for that of [`close`](Bus::close).
pub type BusFuture<'a, T = ()> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A message bus, or one host's connection to it. The host that gets it (by [`HostBuilder::bus`](crate::HostBuilder::bus)) is its only
/// user, and closes it when it ends.
pub trait Bus: Send + Sync + 'static {
    /// Makes `endpoint` the provider of this topic, which gets its calls.
    ///
    /// # Errors
    ///
    /// [`BusError::AlreadyProvided`] if the topic has a provider, even if that is the same endpoint; [`BusError::Unavailable`] if the bus
    /// can't be reached. Nothing has changed then.
    fn provide<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>>;

    /// Removes `endpoint` as the provider of this topic: it gets no more calls, and goes on with those that it has. Nothing happens if it
    /// is not the provider. A bus that can't reach other hosts keeps trying.
    fn withdraw<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a>;

    /// Delivers the events of this topic to `endpoint` that are published after the future has completed. The host
    /// subscribes an endpoint to a topic once.
    ///
    /// # Errors
    ///
    /// [`BusError::Unavailable`] if the bus can't be reached. Nothing has changed then.
    fn subscribe<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>>;

    /// Delivers no more events of this topic to `endpoint` once the future has completed. Nothing happens if it is not subscribed.
    fn unsubscribe<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a>;

    /// Calls the provider of the envelope's topic, without blocking. The result goes to `reply`, perhaps before this
    /// returns. If the topic has no provider, the result is the error `NOT_FOUND`, with the topic in its message. The
    /// returned handle cancels the call.
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle;

    /// Publishes an event: the bus delivers it to each current subscriber at most once. (The subscriber's host may send
    /// a durable event to a module again, if its process ends meanwhile.) `reply` gets success when the bus has
    /// accepted the event, and otherwise the error of the bus; success does not mean that a module has handled it. A
    /// topic without a subscriber is not an error.
    fn publish(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch);

    /// Whether the topic has a provider, on any host. The host uses this only to warn of a required service without a
    /// provider, when it starts or restarts a module.
    fn is_provided<'a>(&'a self, topic: &'a str) -> BusFuture<'a, bool>;

    /// Ends this host's part of the bus. When the method returns, the bus has dropped all endpoints; when the future completes, the
    /// topics are free for other hosts. A host that is shut down waits up to 5 s for that, and one that is dropped does not poll the
    /// future. May be called twice.
    fn close(&self) -> BusFuture<'static>;
}

/// The receiver of the calls and events of topics. The host passes one for each topic of a module to the bus; a program
/// may pass its own.
pub trait Endpoint: Send + Sync {
    /// Takes a call, without blocking. The result goes to `reply`, perhaps before this returns. The returned handle cancels the call.
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle;

    /// Takes an event, without blocking. It has no result. A module's endpoint queues it, or drops it if all its
    /// replicas have stopped or failed, or too much waits for it. The host logs the first dropped event, and then one
    /// each time that ten times as many were dropped.
    fn event(&self, envelope: &Envelope<'_>, batch: &mut WriteBatch);
}

/// Why a topic could not be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BusError {
    /// The topic has a provider already, on this host or on another; it may be the same endpoint.
    AlreadyProvided,
    /// The bus can't be reached. The text has the reason, for people, as a clause.
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
