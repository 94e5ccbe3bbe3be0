//! The parts of a module's process around its session: its panics, its signals, and its output.

pub(crate) mod panic_hook;
pub(crate) mod signals;
pub(crate) mod stdio_relay;
