//! What is started as a process of a module: the program at `path` in `[artifacts.process]`, or the one that cargo makes of its crate.

mod environment;
mod file_check;
mod pinned;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{self, Path, PathBuf};
use std::{env, fs, io};

use tokio::process::Command;

use crate::program::environment::environment;
use crate::program::file_check::{Check, Checked};
use crate::program::pinned::Kept;
use crate::{BuildError, Module};

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    /// What is looked at before each start.
    check: Option<Check>,
    /// What cargo has built.
    kept: Option<Kept>,
    /// What `[artifacts.process]` names that does not lie with the module.
    outside: Vec<PathBuf>,
}

/// What is started now.
pub(crate) struct Launch {
    pub(crate) command: Command,
    /// Open until the process runs, which is started from it.
    pub(crate) checked: Option<Checked>,
}

impl Program {
    /// This program: a path, from here if it is relative, or a name alone, which is looked for on the `PATH`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = from_here(path.into());
        Self { path, args: Vec::new(), env: BTreeMap::new(), check: None, kept: None, outside: Vec::new() }
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
        let checked = match self.check.clone() {
            Some(check) => {
                let opened = tokio::task::spawn_blocking(move || check.open());
                Some(opened.await.map_err(|error| self.unreadable(io::Error::other(error)))??)
            }
            None => None,
        };
        // With an interpreter it is that which is executed.
        let is_checked = self.check.as_ref().is_some_and(|check| check.file == self.path);
        let executable = checked.as_ref().filter(|_| is_checked).and_then(Checked::executable);
        let executable = executable.or_else(|| self.kept.as_ref()?.instead_of(&self.path));
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
        Ok(Launch { command, checked })
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

/// Why there is no program to start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProgramError {
    /// It could not be built.
    Build(BuildError),
    /// The module is no cargo package, and `[artifacts.process]` of its manifest has no `path`.
    Nothing {
        /// The module's directory.
        dir: PathBuf,
    },
    /// What `[artifacts.process]` names is not there, or can't be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The program is not the one that the manifest was written for.
    Different {
        /// The program.
        path: PathBuf,
        /// Which key of `[artifacts.process]` says so, what it says, and what was found.
        found: String,
    },
    /// What a hash is declared for does not lie with the module.
    Outside {
        /// The program.
        path: PathBuf,
        /// The module's directory.
        dir: PathBuf,
    },
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Nothing { dir } => {
                let dir = dir.display();
                write!(
                    f,
                    "there is nothing to start in {dir}: it has no Cargo.toml, and its manifest no [artifacts.process] with \
                     the `path` of a program"
                )
            }
            Self::Unreadable { path, error } => {
                write!(f, "can't start {}, which the manifest's [artifacts.process] names: {error}", path.display())
            }
            Self::Different { path, found } => {
                write!(f, "{} is not the program that the manifest was written for: {found}", path.display())
            }
            Self::Outside { path, dir } => {
                let (path, dir) = (path.display(), dir.display());
                write!(
                    f,
                    "{path} is not in the module's directory {dir}, and the manifest has a `sha256` for it: put it there, or \
                     leave the `sha256` out"
                )
            }
        }
    }
}

impl std::error::Error for ProgramError {}

impl Module {
    /// The program at `path` in `[artifacts.process]`, with the arguments that stand there, if it is what the manifest says it is; or
    /// `None`, where cargo is to build one.
    pub(crate) async fn declared_program(&self) -> Result<Option<Program>, ProgramError> {
        let process = &self.manifest().process;
        let Some(path) = &process.path else {
            if !self.dir().join("Cargo.toml").is_file() {
                return Err(ProgramError::Nothing { dir: self.dir().to_owned() });
            }
            return Ok(None);
        };
        let mut file = self.dir().join(path.as_str());
        if let Some(entry) = &process.entry {
            file.push(entry);
        }
        let unreadable = |error| ProgramError::Unreadable { path: file.clone(), error };
        let real = fs::canonicalize(&file).map_err(unreadable)?;
        if fs::metadata(&real).map_err(unreadable)?.is_dir() {
            return Err(unreadable(io::Error::other("it is a directory; `entry` names the file in it")));
        }
        let dir = fs::canonicalize(self.dir()).map_err(unreadable)?;
        let is_outside = !real.starts_with(&dir);
        if is_outside && process.sha256.is_some() {
            return Err(ProgramError::Outside { path: real, dir });
        }
        let (sha256, size_bytes) = (process.sha256.clone(), process.size_bytes);
        let check = Check { file: file.clone(), sha256, size_bytes };
        let check = Some(check).filter(|check| check.sha256.is_some() || check.size_bytes.is_some());
        if let Some(check) = check.clone() {
            // Now too, so that what is wrong from the beginning is told before anything is started.
            tokio::task::spawn_blocking(move || check.open()).await.map_err(|error| unreadable(error.into()))??;
        }
        let mut outside = Vec::from_iter(is_outside.then_some(real));
        let program = match &process.interpreter {
            None => Program::new(file),
            // One with a slash lies with the module; others are found on the PATH. Neither it nor the program is resolved where it
            // is a link: what is linked to may do what the link's name says, as with a virtual environment of Python.
            Some(interpreter) => {
                let interpreter = if interpreter.contains('/') {
                    Program::new(self.dir().join(interpreter))
                } else {
                    Program::new(interpreter)
                };
                process.interpreter_args.iter().fold(interpreter, Program::arg).arg(file)
            }
        };
        let program = process.args.iter().fold(program, Program::arg);
        if let Some(interpreter) = &process.interpreter
            && interpreter.contains('/')
            && Path::new(interpreter).is_relative()
            // A virtual environment's is a link out of it, so that it only matters where that is.
            && let Some(place) = program.path().parent().and_then(|place| fs::canonicalize(place).ok())
            && !place.starts_with(&dir)
        {
            outside.push(program.path().to_owned());
        }
        Ok(Some(Program { check, outside, ..program }))
    }

    /// The program that cargo has built, with the arguments of `[artifacts.process]`.
    pub(crate) fn built_program(&self, path: PathBuf) -> Program {
        let kept = Kept::new(&path);
        let program = Program { kept, ..Program::new(path) };
        self.manifest().process.args.iter().fold(program, Program::arg)
    }
}
