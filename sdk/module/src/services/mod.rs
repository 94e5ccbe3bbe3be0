//! What a module asks of its host.

pub(crate) mod bus;
pub(crate) mod call;
pub mod kv;
pub(crate) mod log;
#[cfg(feature = "tracing")]
pub mod tracing;
mod watch;
