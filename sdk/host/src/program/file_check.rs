//! Checks a program, or an interpreter's script, against the hash and the size in its manifest: when it is found, and
//! before each start. The file of the second check stays open until the process runs; an ELF executable without an
//! `interpreter` is started from this open file, so that another file at its path is not started after the check.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::program::error::ProgramError;

/// What `[artifacts.process]` says about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileCheck {
    /// The path: of the program, or, with an `interpreter`, of the script.
    pub(crate) file: PathBuf,
    /// The SHA-256 in hexadecimal digits of either case. `None`: it is not checked.
    pub(crate) sha256: Option<String>,
    /// The size in bytes. `None`: it is not checked.
    pub(crate) size_bytes: Option<u64>,
}

/// A file that has passed the check, open.
#[derive(Debug)]
pub(crate) struct VerifiedFile {
    file: File,
    /// Whether it is an ELF executable. A script is opened again, by its interpreter.
    is_elf: bool,
}

impl FileCheck {
    /// Opens and checks the file; reads all of it if there is a hash, otherwise 4 bytes. Blocks, so it must not be
    /// called from an async task.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Unreadable`] if it can't be read or is a directory, [`ProgramError::Different`] if its size or
    /// hash differs. The size is checked first.
    pub(crate) fn open(&self) -> Result<VerifiedFile, ProgramError> {
        let unreadable = |error| ProgramError::Unreadable { path: self.file.clone(), error };
        let different = |found| ProgramError::Different { path: self.file.clone(), found };
        let mut file = File::open(&self.file).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(io::Error::other("it is a directory; `entry` names the file in it")));
        }
        if let Some(expected) = self.size_bytes.filter(|expected| *expected != metadata.len()) {
            return Err(different(format!("it has {} bytes, and `size_bytes` says {expected}", metadata.len())));
        }
        let mut beginning = Vec::new();
        (&mut file).take(4).read_to_end(&mut beginning).map_err(unreadable)?;
        if let Some(expected) = &self.sha256 {
            let mut digest = Sha256::new_with_prefix(&beginning);
            let mut piece = vec![0; 64 * 1024];
            loop {
                match file.read(&mut piece) {
                    Ok(0) => break,
                    Ok(read) => digest.update(&piece[..read]),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(unreadable(error)),
                }
            }
            let digest = digest.finalize().iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            if !digest.eq_ignore_ascii_case(expected) {
                return Err(different(format!("its SHA-256 is {digest}, and `sha256` says {expected}")));
            }
        }
        Ok(VerifiedFile { file, is_elf: beginning == *b"\x7fELF" })
    }
}

impl VerifiedFile {
    /// A path by which a child process executes this open file, even if there is another file at its own path by then.
    /// It is valid while this exists. `None` for any other file than ELF, such as a script or an empty file: it is then
    /// started by its own path. A script's interpreter would find the file closed, and a script looks for other files
    /// beside its own path.
    pub(crate) fn executable(&self) -> Option<PathBuf> {
        self.is_elf.then(|| format!("/proc/self/fd/{}", self.file.as_raw_fd()).into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_what_its_hash_and_its_size_say_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("program");
        fs::write(&file, "hello").unwrap();
        let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let both = FileCheck { file: file.clone(), sha256: Some(sha256.to_uppercase()), size_bytes: Some(5) };
        let size = FileCheck { sha256: None, ..both.clone() };
        assert_eq!(both.open().unwrap().executable(), None, "it is no program of the system's own form");
        fs::write(&file, "jello").unwrap();
        let different = both.open().unwrap_err().to_string();
        assert!(different.contains("its SHA-256 is ") && different.ends_with(&sha256.to_uppercase()), "{different}");
        size.open().unwrap();
        fs::write(&file, "hello!").unwrap();
        let different = size.open().unwrap_err().to_string();
        assert!(different.ends_with("it has 6 bytes, and `size_bytes` says 5"), "{different}");
        fs::remove_file(&file).unwrap();
        assert!(matches!(size.open().unwrap_err(), ProgramError::Unreadable { .. }));
    }

    #[test]
    fn what_was_looked_at_is_what_is_executed_whatever_stands_there_now() {
        let dir = tempfile::tempdir().unwrap();
        let (file, other) = (dir.path().join("program"), dir.path().join("other"));
        fs::write(&file, "\x7fELF, the one").unwrap();
        fs::write(&other, "\x7fELF, another").unwrap();
        let checked = FileCheck { file: file.clone(), sha256: None, size_bytes: Some(13) }.open().unwrap();
        fs::rename(&other, &file).unwrap();
        assert_eq!(fs::read(checked.executable().unwrap()).unwrap(), b"\x7fELF, the one");
        let empty = FileCheck { file: dir.path().join("empty"), sha256: None, size_bytes: Some(0) };
        fs::write(&empty.file, "").unwrap();
        assert_eq!(empty.open().unwrap().executable(), None);
    }
}
