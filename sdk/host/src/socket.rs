//! The socket that one module connects to.

use std::env;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use crate::descent::is_of;

/// So many processes that are turned away are told.
const MAX_TOLD: usize = 16;

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

    /// The first connection from the process that was started for it, or from one that this has started: it gets the module's
    /// configuration, and its answers are taken for the module's. Others are turned away, and told to `refused`, each process
    /// once. The directory's mode keeps other users out; where that does not hold, such as for root, this does.
    pub(crate) async fn accept(&self, started: Option<u32>, refused: impl Fn(u32)) -> io::Result<UnixStream> {
        let mut told = Vec::new();
        loop {
            let (stream, _) = self.listener.accept().await?;
            // It may be gone again.
            let Ok(peer) = stream.peer_cred() else { continue };
            let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
            let is_ours = peer.uid() == rustix::process::geteuid().as_raw();
            if is_ours && started.is_some_and(|started| is_of(pid, started)) {
                return Ok(stream);
            }
            if told.len() < MAX_TOLD && !told.contains(&pid) {
                told.push(pid);
                refused(pid);
            }
        }
    }
}

/// Short, since the path of a socket may be no longer than 107 bytes.
fn path(dir: &TempDir) -> PathBuf {
    dir.path().join("s")
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_first_is_not_taken_for_the_one_that_was_started() {
        let socket = Socket::new().unwrap();
        let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let refused = Mutex::new(Vec::new());
        // Both are from this process.
        let mut first = UnixStream::connect(socket.path()).await.unwrap();
        let mut second = UnixStream::connect(socket.path()).await.unwrap();
        {
            let accept = socket.accept(Some(other.id()), |pid| refused.lock().unwrap().push(pid));
            let closed = async {
                use tokio::io::AsyncReadExt as _;
                (first.read(&mut [0]).await.unwrap(), second.read(&mut [0]).await.unwrap())
            };
            tokio::select! {
                _ = accept => panic!("it is not the one that was started"),
                closed = closed => assert_eq!(closed, (0, 0)),
            }
        }
        assert_eq!(*refused.lock().unwrap(), [std::process::id()], "it is told once");
        drop(other.stdin.take());
        other.wait().unwrap();

        let _stream = UnixStream::connect(socket.path()).await.unwrap();
        socket.accept(Some(std::process::id()), |_| panic!("it is the one that was started")).await.unwrap();
    }
}
