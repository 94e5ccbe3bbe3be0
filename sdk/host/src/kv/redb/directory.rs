//! The data directory: checks that no other user can change it and that it has a known format, and locks the store's
//! file for one host.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;
use tempfile::NamedTempFile;

use super::backend::LockedFile;
use super::open_error::OpenError;

/// The name of the file with the keys and values.
pub(super) const FILE_NAME: &str = "kv.redb";
/// The name of the file with the version of the format, a decimal number.
const FORMAT_NAME: &str = "format";
/// The version of the format that this program writes. A directory without a format file has version 1. Since version 2
/// the file counts what each module uses, and has a checksum for each entry. Since version 3 its counts are right only when it is settled.
pub(super) const FORMAT: u32 = 3;

/// A data directory with the store's file open and locked. The lock lasts until the backend is closed or dropped.
pub(super) struct DataDir {
    directory: PathBuf,
    /// The path of the store's file.
    pub(super) path: PathBuf,
    /// The store's file, open and locked.
    pub(super) backend: Arc<LockedFile>,
}

impl DataDir {
    /// Opens and locks the store's file. Creates it and the directory, for this user alone, if they do not exist, and
    /// writes the version of the format.
    pub(super) fn create(directory: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Directory { directory: directory.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let opened = Self::lock(directory, true)?;
        opened.mark()?;
        Ok(opened)
    }

    /// Writes the version of the format into the directory, unless that has this version or a higher one. To be called
    /// before anything in the directory is changed, so that an earlier program refuses it from then on.
    pub(super) fn mark(&self) -> Result<(), OpenError> {
        if read_format(&self.directory)?.is_some_and(|found| found >= FORMAT) {
            return Ok(());
        }
        let failed = |source| OpenError::Directory { directory: self.directory.clone(), source };
        self.write_format().map_err(failed)
    }

    /// Opens and locks the file of an existing store, and changes nothing. [`OpenError::NoStore`] if there is none.
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        Self::lock(directory, false)
    }

    /// Checks the directory, and opens and locks the store's file. With `create`, a missing file is created.
    fn lock(directory: &Path, create: bool) -> Result<Self, OpenError> {
        check_private(directory)?;
        // Before the file is opened or created: a later version may have no such file.
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
        let locked = LockedFile::new(file).map_err(|source| OpenError::File { path: path.clone(), source })?;
        let backend = locked.ok_or_else(in_use)?;
        // A repair may have replaced the file before it was locked.
        match fs::symlink_metadata(&path) {
            Ok(now) if (now.dev(), now.ino()) == (opened.dev(), opened.ino()) => {}
            _ => return Err(in_use()),
        }
        Ok(Self { directory: directory.to_owned(), path, backend: Arc::new(backend) })
    }

    /// Writes the format file, under another name first, and syncs it and the directory.
    fn write_format(&self) -> io::Result<()> {
        let mut file = NamedTempFile::new_in(&self.directory)?;
        writeln!(file, "{FORMAT}")?;
        file.as_file().sync_all()?;
        file.persist(self.directory.join(FORMAT_NAME))?;
        sync_directory(&self.directory)
    }
}

/// Syncs a directory, so that new names in it survive a crash of the machine.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    match File::open(directory)?.sync_all() {
        // Some file systems can't sync directories.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

fn open_file(path: &Path, create: bool) -> io::Result<File> {
    // A link is not followed, and a FIFO is not waited for.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    OpenOptions::new().read(true).write(true).create(create).truncate(false).mode(0o600).custom_flags(flags).open(path)
}

/// Checks that no other user can change the directory, and so replace the store by another file or a link.
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

/// Reads the version of the format. `None` if there is no format file, or it has no number. A newer version than this
/// program's is an error.
fn read_format(directory: &Path) -> Result<Option<u32>, OpenError> {
    let path = directory.join(FORMAT_NAME);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // The file is not text.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(source) => return Err(OpenError::File { path, source }),
    };
    match text.trim().parse::<u32>() {
        Ok(found) if found > FORMAT => Err(OpenError::Newer { directory: directory.to_owned(), found, newest: FORMAT }),
        Ok(found) => Ok(Some(found)),
        // Whether the store can be read shows when it is opened.
        Err(_) => Ok(None),
    }
}
