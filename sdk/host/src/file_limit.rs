//! This process's limit of open files: a host has several for each process of a module.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit before it was raised.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the limit to the hard limit. Does nothing where that is not allowed.
pub(crate) fn raise() {
    let before = BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
}

/// The limit for processes that the host starts: the one before it was raised. `None` if it was not.
pub(crate) fn before() -> Option<Rlimit> {
    BEFORE.get().copied()
}
