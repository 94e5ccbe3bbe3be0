//! The data directory: this user's alone, in a format that is known, and one host's at a time.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::DatabaseError;
use ::redb::backends::FileBackend;
use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::file::RedbFailure;
use super::open_error::{OpenError, failed_to_open};

/// The file with the keys and values.
pub(super) const FILE_NAME: &str = "kv.redb";
/// The file with the version of the format: a number.
const FORMAT_NAME: &str = "format";
/// The version of what this program writes. A directory that says nothing has version 1.
///
/// - 2: how much each module has is counted, and entries have checksums.
pub(super) const FORMAT: u32 = 2;

/// A data directory that nobody else uses meanwhile.
pub(super) struct DataDir {
    directory: PathBuf,
    pub(super) path: PathBuf,
    pub(super) backend: Arc<FileBackend>,
}

impl DataDir {
    /// Opens the store's file, or creates it, the directory too, for this user alone.
    pub(super) fn create(directory: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { directory: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let opened = Self::lock(directory, true)?;
        opened.mark()?;
        Ok(opened)
    }

    /// Says in the directory that it has this format; to be done before anything in it does: what an earlier version does not
    /// know, it must not open.
    pub(super) fn mark(&self) -> Result<(), OpenError> {
        if read_format(&self.directory)?.is_some_and(|found| found >= FORMAT) {
            return Ok(());
        }
        let failed = |source| OpenError::Directory { directory: self.directory.clone(), source };
        self.write_format().map_err(failed)
    }

    /// Opens a store's file that is there, and leaves all as it is.
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::lock(directory, false)
    }

    fn lock(directory: &Path, create: bool) -> Result<Self, OpenError> {
        check_private(directory)?;
        // Also before the file is touched: a later version may have no such file.
        read_format(directory)?;
        let path = directory.join(FILE_NAME);
        let file = open_file(&path, create).map_err(|source| {
            let of_no_file = [Errno::LOOP, Errno::ISDIR, Errno::NXIO].map(|errno| Some(errno.raw_os_error()));
            match source.kind() {
                _ if of_no_file.contains(&source.raw_os_error()) => OpenError::NoFile { path: path.clone() },
                io::ErrorKind::NotFound => OpenError::NoStore { directory: directory.to_owned() },
                _ => OpenError::File { path: path.clone(), source },
            }
        })?;
        let opened = file.metadata().map_err(|source| OpenError::File { path: path.clone(), source })?;
        if !opened.is_file() {
            return Err(OpenError::NoFile { path });
        }
        let in_use = || OpenError::InUse { directory: directory.to_owned() };
        let backend = FileBackend::new(file).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => in_use(),
            error => failed_to_open(&path, RedbFailure::Error(error.into())),
        })?;
        // ReplacedEntry it was locked, another may have put another file into its place.
        match fs::symlink_metadata(&path) {
            Ok(now) if (now.dev(), now.ino()) == (opened.dev(), opened.ino()) => {}
            _ => return Err(in_use()),
        }
        Ok(Self { directory: directory.to_owned(), path, backend: Arc::new(backend) })
    }

    fn write_format(&self) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.directory)?;
        writeln!(file, "{FORMAT}")?;
        file.as_file().sync_all()?;
        file.persist(self.directory.join(FORMAT_NAME))?;
        sync_directory(&self.directory)
    }
}

/// So that a name that was given survives a crash of the machine.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some file systems have no such thing.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn open_file(path: &Path, create: bool) -> io::Result<File> {
    // Not waiting, where a pipe has been put there.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

/// In a directory that others can write to, they could put another file, or a link, in the store's place.
fn check_private(directory: &Path) -> Result<(), OpenError> {
    let metadata = fs::metadata(directory).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => OpenError::NoStore { directory: directory.to_owned() },
        _ => OpenError::Directory { directory: directory.to_owned(), source },
    })?;
    let owner = Some(metadata.uid()).filter(|owner| *owner != rustix::process::geteuid().as_raw());
    let mode = metadata.mode() & 0o7777;
    if owner.is_some() || mode & 0o022 != 0 {
        return Err(OpenError::NotPrivate { directory: directory.to_owned(), owner, mode });
    }
    Ok(())
}

/// What the directory says, if it says anything; newer ones are refused.
fn read_format(directory: &Path) -> Result<Option<u32>, OpenError> {
    let path = directory.join(FORMAT_NAME);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Text that is none.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(source) => return Err(OpenError::File { path, source }),
    };
    match text.trim().parse::<u32>() {
        Ok(found) if found > FORMAT => Err(OpenError::Newer { directory: directory.to_owned(), found, newest: FORMAT }),
        Ok(found) => Ok(Some(found)),
        // What it said is not known, and the store tells by itself whether it can be read.
        Err(_) => Ok(None),
    }
}
