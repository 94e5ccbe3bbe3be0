//! Keeps the program that cargo has built for a release, even if a later build puts another file in its place: after a
//! restart that fails, or when a process has ended, the old program has to be started again. Programs that cargo has
//! not built are not kept.

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file that is kept open, so that it exists as long as this does. Two are equal if they are the same file (device
/// and inode). It is no copy: a program that writes into the file changes it.
#[derive(Debug, Clone)]
pub(crate) struct PinnedFile {
    file: Arc<File>,
    /// The device and inode of the file.
    identity: (u64, u64),
}

impl PartialEq for PinnedFile {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for PinnedFile {}

impl PinnedFile {
    /// Opens the file. `None` if it can't be opened; the start then reports the reason.
    pub(crate) fn new(path: &Path) -> Option<Self> {
        let file = File::open(path).ok()?;
        let metadata = file.metadata().ok()?;
        Some(Self { identity: (metadata.dev(), metadata.ino()), file: Arc::new(file) })
    }

    /// A path by which a child process can execute this file, if there is another file or none at `path` by now. It is
    /// valid while this exists. `None` if this file is still at `path`, which is then the better path.
    pub(crate) fn path_if_replaced(&self, path: &Path) -> Option<PathBuf> {
        let is_there = fs::metadata(path).is_ok_and(|there| (there.dev(), there.ino()) == self.identity);
        (!is_there).then(|| format!("/proc/self/fd/{}", self.file.as_raw_fd()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_was_kept_is_started_though_something_else_is_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::copy("/bin/echo", &program).unwrap();
        let kept = PinnedFile::new(&program).unwrap();
        assert_eq!(kept.path_if_replaced(&program), None, "it is there");
        // As a build replaces it.
        fs::write(dir.path().join("new"), "no program").unwrap();
        fs::rename(dir.path().join("new"), &program).unwrap();
        assert!(PinnedFile::new(&program).unwrap() != kept);
        let output = Command::new(kept.path_if_replaced(&program).unwrap()).arg("kept").output().unwrap();
        assert_eq!(output.stdout, b"kept\n");
        fs::remove_file(&program).unwrap();
        assert!(kept.path_if_replaced(&program).is_some() && PinnedFile::new(&program).is_none());
    }
}
