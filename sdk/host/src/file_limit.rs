//! This process's limit of open files (`RLIMIT_NOFILE`): a host has several open for each process of a module.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The limit before [`raise`] was first called.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard limit, if the system allows it.
pub(crate) fn raise() {
    let before = BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
}

/// The limit for processes that the host starts: the one before [`raise`]. `None` if that was not called.
pub(crate) fn before() -> Option<Rlimit> {
    BEFORE.get().copied()
}
