//! What is started as a process of a module: a program with its arguments and environment. The process itself is
//! started by `supervisor/process.rs`.
//!
//! `declared` finds the program that the manifest names; the folder `build`, beside this one, builds one with cargo.
//! `file_check` compares the file of a declared one with the manifest's hash and size; `pinned` keeps a built one;
//! `environment` makes the environment; `error` has the errors.

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

/// A program with its arguments and additional environment variables. Two are equal if all of these are, and what is
/// checked before a start; of a program that cargo has built, also only if no build has replaced the file in between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// See [`Program::path`].
    path: PathBuf,
    /// See [`Program::args`].
    args: Vec<OsString>,
    /// What [`Program::env`] has set.
    env: BTreeMap<OsString, OsString>,
    /// What to check before each start. `None` if the manifest has neither a hash nor a size.
    check: Option<FileCheck>,
    /// The file that cargo has built, kept open. `None` if cargo has not built the program, or its file could not be
    /// opened.
    pinned: Option<PinnedFile>,
    /// See [`Self::outside`].
    outside: Vec<PathBuf>,
}

/// A command for a process of a module, with arguments, environment and working directory. The supervisor adds what
/// belongs to the one process, such as its socket.
pub(crate) struct LaunchCommand {
    /// Its environment is complete except for the variables that the host sets itself.
    pub(crate) command: Command,
    /// The file that was checked; `None` if none had to be. To be kept until the process was started: it may be
    /// executed from this open file.
    pub(crate) verified: Option<VerifiedFile>,
}

impl Program {
    /// A program by its path, which is made absolute now (a relative one starts at the current directory); or by a name
    /// without a slash, which is looked up at each start, on the `PATH` that the process gets. A program that does not
    /// exist is an error of the start, not here.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = from_here(path.into());
        Self { path, args: Vec::new(), env: BTreeMap::new(), check: None, pinned: None, outside: Vec::new() }
    }

    /// The absolute path of the program, or its name if it is looked up on the `PATH`.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The arguments in their order, without the program itself.
    #[must_use]
    pub fn args(&self) -> &[OsString] {
        &self.args
    }

    /// Adds one argument after the others. It is passed on as it is: no shell splits or expands it.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Sets an environment variable of its processes. It takes precedence over the manifest and the host's environment,
    /// and a later call over an earlier one. A guard ([`Settings::guard`](crate::Settings::guard)) does not get it.
    /// Reserved variables are ignored: see [`reserved_variable`](ixt_manifest::language::reserved_variable).
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The files of `[artifacts.process]` that are outside of the module's directory: the program or script, with links
    /// resolved, and an interpreter with a relative path, by the directory it is in. An interpreter with an absolute path
    /// or from the `PATH` is not among them. Empty for any other program. The supervisor logs a warning about each.
    pub(crate) fn outside(&self) -> &[PathBuf] {
        &self.outside
    }

    /// Checks the file against the manifest, and returns the command for a process of this module. Called before each
    /// start.
    ///
    /// # Errors
    ///
    /// [`ProgramError::Unreadable`] and [`ProgramError::Different`], only if the manifest has a `sha256` or `size_bytes`.
    /// Otherwise, and with a program that cargo has built, the file is not looked at: that it is missing is an error of
    /// the spawn.
    pub(crate) async fn launch(&self, module: &Module) -> Result<LaunchCommand, ProgramError> {
        let verified = match self.check.clone() {
            Some(check) => {
                let opened = tokio::task::spawn_blocking(move || check.open());
                Some(opened.await.map_err(|error| self.unreadable(io::Error::other(error)))??)
            }
            None => None,
        };
        // With an interpreter, the checked file is the script, and the interpreter is executed.
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

    /// The error for a file that could not be checked.
    fn unreadable(&self, error: io::Error) -> ProgramError {
        ProgramError::Unreadable { path: self.path.clone(), error }
    }
}

/// Makes the path of a program absolute, since it is started from another directory. A name without a slash stays as it
/// is, for the `PATH`; so does a path if the current directory can't be found.
pub(crate) fn from_here(program: PathBuf) -> PathBuf {
    let is_name = program.components().count() == 1;
    if is_name { program } else { path::absolute(&program).unwrap_or(program) }
}
