//! Instructions of a process in user space, as valgrind's callgrind counts them. Callgrind counts each byte of a large copy as one.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

/// One run of a program under callgrind.
pub struct Callgrind {
    report: NamedTempFile,
}

impl Callgrind {
    /// The command that runs the program, to which arguments may be added.
    pub fn new(program: &Path) -> Result<(Self, Command)> {
        let report = NamedTempFile::new()?;
        let mut command = Command::new("valgrind");
        command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
        command.arg(format!("--log-file={}", report.path().display())).arg(program);
        Ok((Self { report }, command))
    }

    /// The instructions from the start of the process to its end. Fails if it has not ended.
    pub fn instructions(&self) -> Result<u64> {
        let report = std::fs::read_to_string(self.report.path())?;
        let (_, count) = report
            .lines()
            .find_map(|line| line.split_once("Collected : "))
            .with_context(|| format!("callgrind has reported no count:\n{report}"))?;
        Ok(count.trim().parse()?)
    }
}
