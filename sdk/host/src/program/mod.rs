//! What is started as a process of a module: the program at `path` in `[artifacts.process]`, or the one that cargo makes of its crate.

mod declared;
mod environment;
mod error;
mod file_check;
mod pinned;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{self, Path, PathBuf};
use std::{env, io};

use tokio::process::Command;

use crate::Module;
use crate::program::environment::environment;
pub use crate::program::error::{BuildError, ProgramError};
use crate::program::file_check::{FileCheck, VerifiedFile};
use crate::program::pinned::PinnedFile;

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    /// What is looked at before each start.
    check: Option<FileCheck>,
    /// What cargo has built.
    pinned: Option<PinnedFile>,
    /// What `[artifacts.process]` names that does not lie with the module.
    outside: Vec<PathBuf>,
}

/// What is started now.
pub(crate) struct Launch {
    pub(crate) command: Command,
    /// Open until the process runs, which is started from it.
    pub(crate) verified: Option<VerifiedFile>,
}

impl Program {
    /// This program: a path, from here if it is relative, or a name alone, which is looked for on the `PATH`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = from_here(path.into());
        Self { path, args: Vec::new(), env: BTreeMap::new(), check: None, pinned: None, outside: Vec::new() }
    }

    /// The program itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its arguments.
    #[must_use]
    pub fn args(&self) -> &[OsString] {
        &self.args
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// One more variable of its environment, or another value of one that it has. Those that are the host's are left out: see
    /// [`reserved_variable`](ixt_manifest::language::reserved_variable).
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// What `[artifacts.process]` names that does not lie with the module.
    pub(crate) fn outside(&self) -> &[PathBuf] {
        &self.outside
    }

    /// The command for a process of this module, if it is the program that the manifest was written for.
    pub(crate) async fn launch(&self, module: &Module) -> Result<Launch, ProgramError> {
        let verified = match self.check.clone() {
            Some(check) => {
                let opened = tokio::task::spawn_blocking(move || check.open());
                Some(opened.await.map_err(|error| self.unreadable(io::Error::other(error)))??)
            }
            None => None,
        };
        // With an interpreter it is that which is executed.
        let is_verified = self.check.as_ref().is_some_and(|check| check.file == self.path);
        let executable = verified.as_ref().filter(|_| is_verified).and_then(VerifiedFile::executable);
        let executable = executable.or_else(|| self.pinned.as_ref()?.path_if_replaced(&self.path));
        let mut command = match executable {
            Some(executable) => {
                let mut command = Command::new(executable);
                command.arg0(&self.path);
                command
            }
            None => Command::new(&self.path),
        };
        command.args(&self.args).current_dir(module.dir());
        command.env_clear().envs(environment(env::vars_os(), &module.manifest().env, &self.env));
        Ok(Launch { command, verified })
    }

    fn unreadable(&self, error: io::Error) -> ProgramError {
        ProgramError::Unreadable { path: self.path.clone(), error }
    }
}

/// A path to a program that is to run in another directory.
pub(crate) fn from_here(program: PathBuf) -> PathBuf {
    let is_name = program.components().count() == 1;
    if is_name { program } else { path::absolute(&program).unwrap_or(program) }
}
