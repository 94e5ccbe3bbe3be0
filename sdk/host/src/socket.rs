//! The socket to which one process of a module connects, and the directory with the sockets of a host. The host waits
//! for the connection in `supervisor/instance.rs`, for the time of `Release::connect_timeout`.
//! The control socket, to which commands connect, is in `control/`.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::{env, io};

use tokio::net::{UnixListener, UnixStream};

use crate::lock::lock;
use crate::processes::ancestry::descends_from;

/// How many of the processes that are turned away from one socket are reported. Further ones are turned away without a
/// report.
const MAX_REPORTED: usize = 16;

/// The name of the file in the directory that the host keeps locked until it ends.
const LOCK: &str = "lock";
/// The beginning of the directory's name; a random part follows.
const PREFIX: &str = "ixt-";

/// The sockets of a host. They are in a directory of `$TMPDIR` (or `/tmp`) that only this user can enter. The directory
/// is made with the first socket, and again if somebody has removed it. It is removed when this is dropped, unless
/// there is a file in it that the host has not made.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<Option<Dir>>);

/// The directory of a host's sockets. Removed when this is dropped.
#[derive(Debug)]
struct Dir {
    path: PathBuf,
    /// The file [`LOCK`] in it, locked while this exists.
    _lock: File,
    /// The number of the last socket, which is its file name; 0 before the first.
    last: u64,
}

impl Drop for Dir {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

impl Sockets {
    /// Makes a listening socket for one process that is about to be started. If the directory does not exist, this
    /// makes it first, and calls `made` with its path, for the guard. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// The path of the socket that could not be made, or the directory for temporary files, and the system's error.
    pub(crate) fn socket(&self, made: impl FnOnce(&Path)) -> Result<Socket, (PathBuf, io::Error)> {
        let mut dir = lock(&self.0);
        // A person or a timer may have removed it from the directory for temporary files.
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

/// Makes the directory for the sockets, with the locked file in it. Its mode is 700.
fn make() -> io::Result<Dir> {
    let mut builder = tempfile::Builder::new();
    let dir = builder.prefix(PREFIX).permissions(Permissions::from_mode(0o700)).tempdir()?;
    // Under another name until it is locked: otherwise `remove_left` of another host would remove the directory as left
    // behind.
    let begun = dir.path().join("begun");
    let lock = File::options().create_new(true).write(true).mode(0o600).open(&begun)?;
    lock.lock()?;
    fs::rename(begun, dir.path().join(LOCK))?;
    Ok(Dir { path: dir.keep(), _lock: lock, last: 0 })
}

/// Removes the directories of hosts of this user that were killed together with their guards: those whose lock file is
/// empty and not locked.
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

/// Opens a lock file. Another program may have put anything in its place: this follows no link, and does not wait for a
/// pipe.
fn open_left(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    File::options().write(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Removes the sockets and the lock file in a directory, and the directory itself if nothing else is in it. Errors are
/// ignored. The guard calls it too.
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
    /// The absolute path, which the process gets as `IXT_IPC_SOCKET`.
    pub(crate) fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// Waits for the first connection of the process with the id `started`, of a descendant, or of a process in its
    /// group (see `descends_from`), if that process runs as the host's user, and returns that connection. There is no
    /// timeout here: the caller sets one. If `started` is `None`, every connection is refused, and this does not
    /// return.
    ///
    /// Connections of other processes are closed, since the process that connects gets the module's configuration and
    /// speaks for the module. `refused` is called once with the id of each of these processes, and for at most
    /// [`MAX_REPORTED`]. All processes that are not in this pid namespace have the id 0 here, and count as one. The
    /// directory's mode keeps out all other users except root.
    ///
    /// # Errors
    ///
    /// The system's error if no connection can be accepted, such as that too many files are open.
    pub(crate) async fn accept(&self, started: Option<u32>, refused: impl Fn(u32)) -> io::Result<UnixStream> {
        let mut reported = Vec::new();
        loop {
            let (stream, _) = self.listener.accept().await?;
            // The process may have ended already.
            let Ok(peer) = stream.peer_cred() else { continue };
            let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
            let is_ours = peer.uid() == rustix::process::geteuid().as_raw();
            if is_ours && started.is_some_and(|started| descends_from(pid, started)) {
                return Ok(stream);
            }
            if reported.len() < MAX_REPORTED && !reported.contains(&pid) {
                reported.push(pid);
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
    async fn only_the_process_that_was_started_may_connect() {
        let sockets = Sockets::default();
        let socket = sockets.socket(|_| {}).unwrap();
        let mut other = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let refused = Mutex::new(Vec::new());
        // Both connections are from this process.
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
        assert_eq!(*refused.lock().unwrap(), [std::process::id()], "each process is reported once");
        drop(other.stdin.take());
        other.wait().unwrap();

        let _stream = UnixStream::connect(socket.path()).await.unwrap();
        socket.accept(Some(std::process::id()), |_| panic!("it is the one that was started")).await.unwrap();
    }

    #[tokio::test]
    async fn a_host_removes_its_directory_and_those_of_hosts_that_were_killed() {
        let (sockets, mut made) = (Sockets::default(), None);
        let first = sockets.socket(|dir| made = Some(dir.to_owned())).unwrap();
        let second = sockets.socket(|_| panic!("there is one")).unwrap();
        let dir = made.unwrap();
        assert_ne!(first.path(), second.path());
        assert!(second.path().starts_with(&dir) && second.path().exists());
        drop(second);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2, "the other one and the lock");
        // A directory as a killed host leaves it: its lock file is not locked.
        let left = tempfile::Builder::new().prefix(PREFIX).tempdir().unwrap().keep();
        drop(std::os::unix::net::UnixListener::bind(left.join("1")).unwrap());
        fs::write(left.join(LOCK), "").unwrap();
        // Directories that are not removed: one without a lock file, and one with another file in it.
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
