//! The socket that one module connects to.

use std::env;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

/// A listening socket in a directory that only this user can enter. The directory is removed when this is dropped.
pub(crate) struct Socket {
    dir: TempDir,
    listener: UnixListener,
}

impl Socket {
    /// An error comes with the path that it is about.
    pub(crate) fn new() -> Result<Self, (PathBuf, io::Error)> {
        let dir = tempfile::Builder::new()
            .prefix("ixt-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| (env::temp_dir(), error))?;
        let path = path(&dir);
        let listener = UnixListener::bind(&path).map_err(|error| (path, error))?;
        Ok(Self { dir, listener })
    }

    pub(crate) fn path(&self) -> PathBuf {
        path(&self.dir)
    }

    /// The first connection from a process of the same user. The directory's mode keeps others out; where that does not
    /// hold, such as for root, this does.
    pub(crate) async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let (stream, _) = self.listener.accept().await?;
            if stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw() {
                return Ok(stream);
            }
        }
    }
}

/// Short, since the path of a socket may be no longer than 107 bytes.
fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("s")
}
