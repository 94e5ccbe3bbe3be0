//! The path of the lock file beside a control socket. The host that listens there keeps the file locked
//! (`control/claim.rs`); the guard looks at the lock before it removes a socket that a killed host has left.

use std::path::{Path, PathBuf};

/// The path of the lock file: that of the socket with `.lock` added. The host that has the file locked owns the
/// socket's path. The file is never removed.
pub(crate) fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
