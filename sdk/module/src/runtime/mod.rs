//! What happens between the bytes of a connection and the author's handler.
//!
//! - `session`: what each frame of the host means.
//! - `in_flight`: the requests that are not answered yet; `queue`: those that wait; `handling`: those that are handled;
//!   `stats`: those that were.
//! - `outgoing`: the way back; `chunks`: what is on it; `pace`: how much is written at once.
//! - `executor`: what runs all that; in a process that is `connection`, the threads, and
//!   `turn`, whose turn it is;
//!   in a test `single`, a task.

pub(crate) mod chunks;
pub(crate) mod connection;
pub(crate) mod executor;
mod handling;
mod in_flight;
pub(crate) mod outgoing;
mod pace;
mod panic;
mod queue;
pub(crate) mod session;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod single;
mod stats;
#[cfg(test)]
mod tests;
mod turn;
pub(crate) mod turns;

pub(crate) use in_flight::{EXPIRE_EVERY, Limits, Slot};
pub(crate) use outgoing::Outgoing;
