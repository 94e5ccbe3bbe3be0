//! What is started as a process of a module: a program with its arguments and environment.
//!
//! `declared` takes it from the manifest; `build` (beside this folder) makes it with cargo; `file_check` compares it
//! with the manifest's hash before each start; `pinned` keeps what cargo has built; `environment` makes its
//! environment; `error` says why there is none.

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

use crate::module::Module;
use crate::program::environment::environment;
pub use crate::program::error::{BuildError, ProgramError};
use crate::program::file_check::{FileCheck, VerifiedFile};
use crate::program::pinned::PinnedFile;

/// A program with its arguments and additional environment variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    /// The file to check before each start, if the manifest has a hash or a size.
    check: Option<FileCheck>,
    /// The file that cargo has built, kept open.
    pinned: Option<PinnedFile>,
    /// Files of `[artifacts.process]` that lie outside of the module's directory.
    outside: Vec<PathBuf>,
}

/// A command that is ready to be started.
pub(crate) struct LaunchCommand {
    pub(crate) command: Command,
    /// To be kept until the process runs: the executable is opened through this file.
    pub(crate) verified: Option<VerifiedFile>,
}

impl Program {
    /// A program by its path, relative to the current directory, or by a name alone, which is looked up on the `PATH`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = from_here(path.into());
        Self { path, args: Vec::new(), env: BTreeMap::new(), check: None, pinned: None, outside: Vec::new() }
    }

    /// The path of the program, or its name.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The arguments.
    #[must_use]
    pub fn args(&self) -> &[OsString] {
        &self.args
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable of its processes. Variables that are reserved for the host are ignored: see
    /// [`reserved_variable`](ixt_manifest::language::reserved_variable).
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Files of `[artifacts.process]` that lie outside of the module's directory. They are warned of at the start.
    pub(crate) fn outside(&self) -> &[PathBuf] {
        &self.outside
    }

    /// The command for a process of this module, after its file was checked against the manifest.
    pub(crate) async fn launch(&self, module: &Module) -> Result<LaunchCommand, ProgramError> {
        let verified = match self.check.clone() {
            Some(check) => {
                let opened = tokio::task::spawn_blocking(move || check.open());
                Some(opened.await.map_err(|error| self.unreadable(io::Error::other(error)))??)
            }
            None => None,
        };
        // With an interpreter, it is the interpreter that is executed.
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
        Ok(LaunchCommand { command, verified })
    }

    fn unreadable(&self, error: io::Error) -> ProgramError {
        ProgramError::Unreadable { path: self.path.clone(), error }
    }
}

/// Makes the path of a program absolute, since it will run in another directory. A name alone is left to the `PATH`.
pub(crate) fn from_here(program: PathBuf) -> PathBuf {
    let is_name = program.components().count() == 1;
    if is_name { program } else { path::absolute(&program).unwrap_or(program) }
}
