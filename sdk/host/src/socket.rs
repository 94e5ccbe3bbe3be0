//! The socket that one module connects to.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::{env, io};

use tokio::net::{UnixListener, UnixStream};

use crate::processes::ancestry::descends_from;

/// So many processes that are turned away are told.
const MAX_TOLD: usize = 16;

/// The file whose lock says that the host of a directory lives.
const LOCK: &str = "lock";
const PREFIX: &str = "ixt-";

/// Where the sockets of a host are: in a directory that only this user can enter, which is made when it is needed.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<Option<Dir>>);

#[derive(Debug)]
struct Dir {
    path: PathBuf,
    _lock: File,
    last: u64,
}

impl Drop for Dir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

impl Sockets {
    /// A listening socket. An error comes with the path that it is about. If the directory was made for it, `made` is told.
    pub(crate) fn socket(&self, made: impl FnOnce(&Path)) -> Result<Socket, (PathBuf, io::Error)> {
        let mut dir = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody may tidy up in the system's directory for temporary files.
        if !dir.as_ref().is_some_and(|dir| dir.path.is_dir()) {
            remove_left();
            let new = make().map_err(|error| (env::temp_dir(), error))?;
            made(&new.path);
            *dir = Some(new);
        }
        let Some(dir) = dir.as_mut() else { return Err((env::temp_dir(), io::ErrorKind::NotFound.into())) };
        dir.last += 1;
        // Short, since the path of a socket may be no longer than 107 bytes.
        let path = dir.path.join(dir.last.to_string());
        match UnixListener::bind(&path) {
            Ok(listener) => Ok(Socket { path, listener }),
            Err(error) => Err((path, error)),
        }
    }
}

fn make() -> io::Result<Dir> {
    let mut builder = tempfile::Builder::new();
    let dir = builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir()?;
    // Whoever tidies up finds it locked, or not at all.
    let begun = dir.path().join("begun");
    let lock = File::options().create_new(true).write(true).mode(0o600).open(&begun)?;
    lock.lock()?;
    fs::rename(begun, dir.path().join(LOCK))?;
    Ok(Dir { path: dir.keep(), _lock: lock, last: 0 })
}

/// Removes the directories of this user's hosts that were killed with their guards.
fn remove_left() {
    let user = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(env::temp_dir()).into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX))
            && entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        if is_ours
            && let Ok(lock) = open_left(&entry.path().join(LOCK))
            && lock.metadata().is_ok_and(|lock| lock.is_file() && lock.len() == 0)
            && lock.try_lock().is_ok()
        {
            remove(&entry.path());
        }
    }
}

/// Whatever lies there, by whomever: no link is followed, and nobody is waited for at the other end of a pipe.
fn open_left(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    File::options().write(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Removes such a directory: the sockets and the lock, and itself, if there is nothing else in it.
pub(crate) fn remove(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let is_numbered = entry.file_name().to_str().is_some_and(|name| name.parse::<u64>().is_ok());
        if is_numbered && entry.file_type().is_ok_and(|kind| kind.is_socket()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    let _ = fs::remove_file(dir.join(LOCK));
    let _ = fs::remove_dir(dir);
}

/// A socket on which one process is awaited. Removed when this is dropped.
pub(crate) struct Socket {
    path: PathBuf,
    listener: UnixListener,
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Socket {
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
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
            if is_ours && started.is_some_and(|started| descends_from(pid, started)) {
                return Ok(stream);
            }
            if told.len() < MAX_TOLD && !told.contains(&pid) {
                told.push(pid);
                refused(pid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[tokio::test]
    async fn whoever_comes_first_is_not_taken_for_the_one_that_was_started() {
        let sockets = Sockets::default();
        let socket = sockets.socket(|_| {}).unwrap();
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

    #[tokio::test]
    async fn the_directory_goes_with_the_host_and_that_of_one_that_was_killed_with_the_next_one() {
        let (sockets, mut made) = (Sockets::default(), None);
        let first = sockets.socket(|dir| made = Some(dir.to_owned())).unwrap();
        let second = sockets.socket(|_| panic!("there is one")).unwrap();
        let dir = made.unwrap();
        assert_ne!(first.path(), second.path());
        assert!(second.path().starts_with(&dir) && second.path().exists());
        drop(second);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "the other one and the lock");
        // As it would be left, but for the lock that a process holds.
        let left = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap().keep();
        drop(std::os::unix::net::UnixListener::bind(left.join("1")).unwrap());
        fs::write(left.join(LOCK), "").unwrap();
        // Of somebody else, or not only sockets.
        let other = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
        let kept = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap();
        fs::write(kept.path().join(LOCK), "").unwrap();
        fs::write(kept.path().join("letter"), "text").unwrap();
        fs::remove_file(first.path()).unwrap();
        let next = Sockets::default();
        drop(next.socket(|_| {}).unwrap());
        assert!(!left.exists() && dir.exists() && other.path().exists());
        assert_eq!(fs::read_to_string(kept.path().join("letter")).unwrap(), "text");
        drop(sockets);
        assert!(!dir.exists());
    }
}
