//! The lock beside a control socket.

use std::path::{Path, PathBuf};

/// Who has this locked has the socket's place.
pub(crate) fn lock_path(socket: &Path) -> PathBuf {
    let mut path = socket.as_os_str().to_owned();
    path.push(".lock");
    path.into()
}
