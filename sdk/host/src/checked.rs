//! Whether a program is the one that its manifest was written for. That is looked at before each start, and what was looked at
//! is what is started: the file is open from before it is read until it runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use sha2::{Digest as _, Sha256};

use crate::ProgramError;

/// What `[artifacts.process]` says of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Check {
    pub(crate) file: PathBuf,
    pub(crate) sha256: Option<String>,
    pub(crate) size_bytes: Option<u64>,
}

/// A file that has passed.
#[derive(Debug)]
pub(crate) struct Checked {
    file: File,
    /// It is a program of the system's own form: what is a script to it is opened once more, by whatever runs it.
    is_elf: bool,
}

impl Check {
    /// Opens the file and reads it. It may be large: not to be called where others wait.
    pub(crate) fn open(&self) -> Result<Checked, ProgramError> {
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
        Ok(Checked { file, is_elf: beginning == *b"\x7fELF" })
    }
}

impl Checked {
    /// The path by which a process that is started from here executes this very file, whatever stands at its path by then.
    /// Nothing for a script: its interpreter would find the file closed, and look beside it for what it belongs to.
    pub(crate) fn executable(&self) -> Option<PathBuf> {
        self.is_elf.then(|| format!("/proc/self/fd/{}", self.file.as_raw_fd()).into())
    }
}
