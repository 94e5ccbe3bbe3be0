//! The errors of opening a store, with messages that say what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use ::redb::Error;

use super::file::RedbFailure;

/// Why a [`RedbStore`](super::RedbStore) could not be opened, checked or repaired. The message says what to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    /// Another host uses this data directory, or this process does, or a check or a repair runs.
    InUse {
        /// The directory.
        directory: PathBuf,
    },
    /// The data directory could not be created, read or written.
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The data directory belongs to another user, or others may write to it.
    NotPrivate {
        /// The directory.
        directory: PathBuf,
        /// The id of its owner, if that is another user; `None` if the directory is this user's, and others may write
        /// to it.
        owner: Option<u32>,
        /// The directory's permission bits, without the bits of the type.
        mode: u32,
    },
    /// The data directory was written by a newer program.
    Newer {
        /// The directory.
        directory: PathBuf,
        /// The version of its format.
        found: u32,
        /// The newest version that this program knows.
        newest: u32,
    },
    /// At the path of the store's file is a link, or something else than a regular file. It is left as it is.
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// There is no store in the directory. Only from [`check`](super::RedbStore::check) and
    /// [`repair`](super::RedbStore::repair); opening creates one.
    NoStore {
        /// The directory.
        directory: PathBuf,
    },
    /// A file in the data directory could not be opened, created, read or written.
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The store's file is damaged, or is not one of a store.
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong, as a clause, such as "its end is missing".
        reason: String,
    },
    /// A thread for the store could not be started, with the error of the system.
    Thread(io::Error),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse { directory } => write!(
                f,
                "the data directory {} is in use by another host: end that one, or give this one another data directory",
                directory.display()
            ),
            Self::Directory { directory, source } => write!(
                f,
                "cannot use the data directory {}: {source}: give one that can be written to",
                directory.display()
            ),
            Self::NotPrivate { directory, owner: Some(owner), .. } => write!(
                f,
                "the data directory {} belongs to another user (number {owner}), who can change it: give one that belongs to \
                 this user",
                directory.display()
            ),
            Self::NotPrivate { directory, owner: None, mode } => write!(
                f,
                "the data directory {} can be changed by other users (its mode is {mode:o}): `chmod 700 {}`",
                directory.display(),
                directory.display()
            ),
            Self::Newer { directory, found, newest } => write!(
                f,
                "the data directory {} has format version {found}, and this program reads versions up to {newest}: use the \
                 newer version that has written it, or give another data directory",
                directory.display()
            ),
            Self::NoFile { path } => write!(
                f,
                "{} is no file, but a link or something else, and is not followed: move it away, or give another data \
                 directory",
                path.display()
            ),
            Self::NoStore { directory } => write!(
                f,
                "there is no store of keys and values in {}: give the data directory of a host",
                directory.display()
            ),
            Self::File { path, source } => write!(
                f,
                "cannot open the store of keys and values in {}: {source}: give a data directory that can be written to",
                path.display()
            ),
            Self::Damaged { path, reason } => {
                let directory = path.parent().unwrap_or(Path::new(".")).display();
                write!(
                    f,
                    "{} is damaged: {reason}: `ixt kv check --data-dir {directory}` tells what is whole, and \
                     `ixt kv repair --data-dir {directory}` saves what can be read, or put a backup in its place",
                    path.display()
                )
            }
            Self::Thread(source) => write!(f, "cannot start a thread for the store of keys and values: {source}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Directory { source, .. } | Self::File { source, .. } | Self::Thread(source) => Some(source),
            _ => None,
        }
    }
}

/// The error for a failure of redb while it opens a file.
pub(super) fn failed_to_open(path: &Path, failure: RedbFailure) -> OpenError {
    let path = path.to_owned();
    match failure {
        RedbFailure::Error(Error::Io(source)) if !is_damage(&source) => OpenError::File { path, source },
        failure => OpenError::Damaged { path, reason: plain_reason(&failure).to_owned() },
    }
}

/// Whether redb reports this for a file with a wrong beginning or a missing end.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

/// What is wrong with a file, for people: redb's own messages and panics are for its developers.
pub(super) fn plain_reason(failure: &RedbFailure) -> &'static str {
    match failure {
        RedbFailure::Error(Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
            "it does not begin as a store of keys and values does"
        }
        RedbFailure::Error(Error::Io(error)) if is_damage(error) => "its end is missing",
        RedbFailure::Error(Error::Io(_) | Error::PreviousIo) => "the disk failed while it was read",
        RedbFailure::Error(Error::UpgradeRequired(_)) => "it is a file of a version that this program does not read",
        RedbFailure::Error(
            Error::TableTypeMismatch { .. } | Error::TableDoesNotExist(_) | Error::TypeDefinitionChanged { .. },
        ) => "it holds something else than keys and values of modules",
        _ => "parts of it are not what was written there",
    }
}
