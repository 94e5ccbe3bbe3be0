//! The socket that one process of a module connects to, and the directory that holds the sockets of a host.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{env, io};

use tokio::net::{UnixListener, UnixStream};

use crate::lock::lock;
use crate::processes::ancestry::descends_from;

/// How many processes that are turned away from one socket are reported. Further ones are turned away in silence.
const MAX_TOLD: usize = 16;

/// The file that a host keeps locked in its directory as long as it lives.
const LOCK: &str = "lock";
/// What the name of the directory begins with.
const PREFIX: &str = "ixt-";

/// The sockets of a host: in a directory below the system's one for temporary files, that only this user can enter. It is made with the
/// first socket, and removed when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<Option<Dir>>);

#[derive(Debug)]
struct Dir {
    path: PathBuf,
    _lock: File,
    /// The number of the last socket.
    last: u64,
}

impl Drop for Dir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

impl Sockets {
    /// Makes a listening socket. `made` gets the directory if that was made for it.
    ///
    /// # Errors
    ///
    /// The path that could not be made, and why.
    pub(crate) fn socket(&self, made: impl FnOnce(&Path)) -> Result<Socket, (PathBuf, io::Error)> {
        let mut dir = lock(&self.0);
        // Somebody may have tidied up in the directory for temporary files.
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

/// Makes a directory.
fn make() -> io::Result<Dir> {
    let mut builder = tempfile::Builder::new();
    let dir = builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir()?;
    // Under another name until it is locked: `remove_left` of another host would take the directory for one that is left.
    let begun = dir.path().join("begun");
    let lock = File::options().create_new(true).write(true).mode(0o600).open(&begun)?;
    lock.lock()?;
    fs::rename(begun, dir.path().join(LOCK))?;
    Ok(Dir { path: dir.keep(), _lock: lock, last: 0 })
}

/// Removes the directories of this user's hosts that were killed together with their guards.
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

/// Opens a lock file, whoever has put it there: no link is followed, and a pipe is not waited for.
fn open_left(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    File::options().write(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Removes the sockets and the lock of a directory, and the directory if it is empty then.
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

/// A listening socket for one process. Its file is removed when this is dropped.
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

    /// Waits for the first connection of the process `started`, or of one that it has started: whoever connects gets the module's
    /// configuration, and speaks for the module. Connections of other processes are closed; `refused` gets the number of each such
    /// process once. Other users are kept out by the directory's mode already, but for root.
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
