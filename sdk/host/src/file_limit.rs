//! This process's limit of open files (`RLIMIT_NOFILE`): a host has several open for each process of a module. The
//! limit is that of the whole process, also if that has several hosts.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The soft and hard limit before [`raise`] was first called.
static BEFORE: OnceLock<Rlimit> = OnceLock::new();

/// Raises the soft limit to the hard limit; the limit stays as it is if the system refuses. Called by each start of a
/// host; later calls set the same limit.
pub(crate) fn raise() {
    let before = BEFORE.get_or_init(|| getrlimit(Resource::Nofile));
    let _ = setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum });
}

/// The limit for processes that the host starts: the one before [`raise`]. `None` if that was not called, so that they
/// inherit the right one.
pub(crate) fn before() -> Option<Rlimit> {
    BEFORE.get().copied()
}
