//! The place of a control socket: taken before anything is built or started.

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

/// Why there is no control socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlError {
    /// Another host has it.
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Others can put something into the directory for it, or it belongs to one of them.
    NotPrivate {
        /// The directory.
        dir: PathBuf,
    },
    /// There is something in its place that is no socket of a host that has ended: it is left as it is.
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// The service manager has made one, and another place is wanted, or it is at none.
    HandedOver {
        /// Where it is, if it has a path.
        path: Option<PathBuf>,
    },
    /// It can't be made.
    Failed {
        /// The socket.
        path: PathBuf,
        /// Why not.
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
                "the service manager hands over a socket that has no path, at which nobody would find this host: in its unit \
                 `ListenStream=` names one",
            ),
            Self::Failed { path, error } => write!(f, "can't make the host's socket {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ControlError {}

/// The place of a control socket, which is this host's as long as this is there.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    held: Claimed,
}

/// What makes a place this host's.
#[derive(Debug)]
enum Claimed {
    /// Locked.
    Lock(File),
    /// It belongs to whoever has made the socket.
    Listener(std::os::unix::net::UnixListener),
}

impl Claim {
    /// The place of a socket that a service manager has made. `wanted` is the one that was given.
    ///
    /// # Errors
    ///
    /// If it is another one, or none.
    pub fn of(listener: std::os::unix::net::UnixListener, wanted: Option<&Path>) -> Result<Self, ControlError> {
        let path = listener.local_addr().ok().and_then(|address| Some(address.as_pathname()?.to_owned()));
        match path {
            Some(path) if wanted.is_none_or(|wanted| wanted == path) => {
                Ok(Self { path, held: Claimed::Listener(listener) })
            }
            path => Err(ControlError::HandedOver { path }),
        }
    }

    /// Takes the place, before anything is built or started: where another host is running there, nothing has happened yet.
    ///
    /// # Errors
    ///
    /// If another host has it, the directory is not this user's alone, or it can't be made.
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
        // In a directory of others, such as /tmp, somebody else could put a socket in this one's place.
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

    /// Makes the socket, or takes the one that is there. To be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If that is not possible.
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
        // That of a host that was killed.
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

/// Nothing is there, or a socket of this user on which nobody listens: all else was not made by a host, or is in use.
fn check_place(path: &Path) -> Result<(), ControlError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    let is_ours = metadata.file_type().is_socket() && metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Err(ControlError::Occupied { path: path.to_owned() });
    }
    // A host has it locked, so that one that lives is found by that; somebody else may listen, too.
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        _ => Err(ControlError::InUse { path: path.to_owned() }),
    }
}
