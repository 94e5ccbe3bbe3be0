//! What a module's process needs around its session.

pub(crate) mod panic_hook;
pub(crate) mod signals;
pub(crate) mod stdio_relay;
