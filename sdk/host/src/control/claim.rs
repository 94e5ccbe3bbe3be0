//! Claims the path of a control socket for this host, before anything is built or started, and then makes the socket.

use std::fs::{self, File, Permissions, TryLockError};
use std::os::unix::fs::{
    DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use std::{fmt, io};

use tokio::net::UnixListener;

use crate::control::server::{BoundSocket, Control};
use crate::control_lock::lock_path;

/// Why a host can't have its control socket. Nothing that others use was changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlError {
    /// Another host uses this path, or another program listens at it.
    InUse {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The socket's directory belongs to another user, or others may write to it.
    NotPrivate {
        /// The directory.
        dir: PathBuf,
    },
    /// At the path is something else than a socket of this user. It is left as it is.
    Occupied {
        /// The path of the socket.
        path: PathBuf,
    },
    /// The service manager has handed over a socket that has another path than the one that was asked for, or no path.
    HandedOver {
        /// The path of the socket that was handed over; `None` if it has none.
        path: Option<PathBuf>,
    },
    /// The directory, the lock or the socket could not be made.
    Failed {
        /// The path of the socket.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
}

impl fmt::Display for ControlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { path } => write!(
                f,
                "a host is running already, at {}: `ixt ps` shows it, `ixt stop` ends it; for another one give `--host PATH`",
                path.display()
            ),
            Self::NotPrivate { dir } => write!(
                f,
                "the directory {} for the host's socket can be changed by others: `chmod 700` it, or give another place with \
                 `--host PATH`",
                dir.display()
            ),
            Self::Occupied { path } => write!(
                f,
                "there is something else at {}, where the host's socket is to be: give another place with `--host PATH`",
                path.display()
            ),
            Self::HandedOver { path: Some(path) } => write!(
                f,
                "the service manager hands over a socket at {}, and another place is given with --host or IXT_HOST",
                path.display()
            ),
            Self::HandedOver { path: None } => f.write_str(
                "the service manager hands over a socket that has no path, at which no client would find this host: in its unit \
                 `ListenStream=` names one",
            ),
            Self::Failed { path, error } => write!(f, "can't make the host's socket {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ControlError {}

/// The right to the path of a control socket. No other host can claim the path until this, or the [`Control`] that
/// [`listen`](Self::listen) makes of it, is dropped. The lock file of [`new`](Self::new) is unlocked then, and stays.
/// There is none for [`of`](Self::of): the path is in use as long as the service manager's socket listens.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    held: Claimed,
}

/// How the path was claimed.
#[derive(Debug)]
enum Claimed {
    /// By its lock file, which this host has locked.
    Lock(File),
    /// By a service manager, which has made the socket and owns the path.
    Listener(std::os::unix::net::UnixListener),
}

impl Claim {
    /// Takes over a listening socket that a service manager has made. `wanted` is the path at which the host is to
    /// listen; `None` accepts any. The paths are compared without a look at the file system, so that a link is another
    /// path than its target.
    ///
    /// # Errors
    ///
    /// [`ControlError::HandedOver`] if the socket has another path, or none.
    pub fn of(listener: std::os::unix::net::UnixListener, wanted: Option<&Path>) -> Result<Self, ControlError> {
        let path = listener.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_owned()));
        match path {
            Some(path) if wanted.is_none_or(|wanted| wanted == path) => {
                Ok(Self { path, held: Claimed::Listener(listener) })
            }
            path => Err(ControlError::HandedOver { path }),
        }
    }

    /// Claims a path: makes its directory, and those above it, with mode 700, if they are missing, and locks the lock
    /// file beside it (`.lock` is added to the path). Does not wait for another host. No socket is made yet. After an
    /// error what was made stays.
    ///
    /// # Errors
    ///
    /// [`ControlError::InUse`] if another host has claimed it or a program listens there, [`ControlError::NotPrivate`]
    /// if the directory belongs to another user or others can write to it, [`ControlError::Occupied`] if there is
    /// something else than a socket of this user, [`ControlError::Failed`] if the directory or the lock file can't be
    /// made.
    pub fn new(path: impl Into<PathBuf>) -> Result<Self, ControlError> {
        let path = path.into();
        let failed = |error| ControlError::Failed { path: path.clone(), error };
        check_place(&path)?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir.to_owned(),
            _ => PathBuf::from("."),
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).map_err(failed)?;
        let metadata = fs::metadata(&dir).map_err(failed)?;
        // In a directory that others can write to, such as /tmp, they could replace the socket.
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(ControlError::NotPrivate { dir });
        }
        let mut lock = File::options();
        let lock = lock.create(true).truncate(false).write(true).mode(0o600).open(lock_path(&path)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ControlError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        Ok(Self { path, held: Claimed::Lock(lock) })
    }

    /// Makes the socket with mode 600 and listens, or listens on the one that was handed over. Removes the socket that
    /// a killed host has left there. Clients that connect wait until [`Control::serve`] is polled.
    ///
    /// # Errors
    ///
    /// [`ControlError::InUse`] or [`ControlError::Occupied`] if another program has made something at the path meanwhile,
    /// [`ControlError::Failed`] if the socket can't be made.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub fn listen(self) -> Result<Control, ControlError> {
        let Self { path, held } = self;
        let failed = |error| ControlError::Failed { path: path.clone(), error };
        let lock = match held {
            Claimed::Lock(lock) => lock,
            Claimed::Listener(listener) => {
                listener.set_nonblocking(true).map_err(failed)?;
                let listener = UnixListener::from_std(listener).map_err(failed)?;
                return Ok(Control { path, listener, made: None, stop: Arc::default(), started: Instant::now() });
            }
        };
        // A socket that is there was left by a host that was killed.
        check_place(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed)?;
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        let inode = (metadata.dev(), metadata.ino());
        let made = Some(BoundSocket { inode, _lock: lock });
        Ok(Control { path, listener, made, stop: Arc::default(), started: Instant::now() })
    }
}

/// Checks that there is nothing at the path, or only a socket of this user on which no process listens. Anything else
/// was not made by a host, or is in use: [`ControlError::Occupied`] or [`ControlError::InUse`].
fn check_place(path: &Path) -> Result<(), ControlError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let is_ours = metadata.file_type().is_socket() && metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Err(ControlError::Occupied { path: path.to_owned() });
    }
    // A running host is found by its lock anyway; this finds other programs.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(ControlError::InUse { path: path.to_owned() }),
    }
}
