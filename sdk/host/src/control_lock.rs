//! The lock file beside a control socket. The control socket locks it, and the guard looks at it before it removes a
//! socket that was left behind.

use std::path::{Path, PathBuf};

/// The path of the lock file: that of the socket with `.lock` added. The host that has the file locked owns the socket's path.
pub(crate) fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
