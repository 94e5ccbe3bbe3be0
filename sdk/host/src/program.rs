//! What is started as a process of a module: the program that cargo makes of its crate, or what `[artifacts.process]` says.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use crate::environment::environment;
use crate::{BuildError, Module};

/// A program with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
}

impl Program {
    /// This program.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), args: Vec::new(), env: BTreeMap::new() }
    }

    /// The program itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
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

    /// The command for a process of this module.
    pub(crate) fn command(&self, module: &Module) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args).current_dir(module.dir());
        command.env_clear().envs(environment(env::vars_os(), &module.manifest().env, &self.env));
        command
    }
}

/// Why there is no program to start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProgramError {
    /// It could not be built.
    Build(BuildError),
    /// The module is no cargo package, and its manifest names no program.
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
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Build(error) => error.fmt(f),
            Self::Nothing { dir } => {
                let dir = dir.display();
                write!(
                    f,
                    "there is nothing to start in {dir}: it has no Cargo.toml, and its manifest no [artifacts.process]"
                )
            }
            Self::Unreadable { path, error } => {
                write!(f, "can't start {}, which the manifest's [artifacts.process] names: {error}", path.display())
            }
            Self::Different { path, found } => {
                write!(f, "{} is not the program that the manifest was written for: {found}", path.display())
            }
        }
    }
}

impl std::error::Error for ProgramError {}

impl Module {
    /// What to start: what `[artifacts.process]` names, or else the program that cargo builds of the package.
    ///
    /// # Errors
    ///
    /// If there is neither, it can't be built, or it is not what the manifest says it is.
    pub async fn program(&self) -> Result<Program, ProgramError> {
        let Some(process) = &self.manifest().process else {
            if !self.dir().join("Cargo.toml").is_file() {
                return Err(ProgramError::Nothing { dir: self.dir().to_owned() });
            }
            return self.build().await.map(Program::new).map_err(ProgramError::Build);
        };
        let mut file = self.dir().join(process.path.as_str());
        if let Some(entry) = &process.entry {
            file.push(entry);
        }
        let unreadable = |error| ProgramError::Unreadable { path: file.clone(), error };
        let file = fs::canonicalize(&file).map_err(unreadable)?;
        let metadata = fs::metadata(&file).map_err(unreadable)?;
        if metadata.is_dir() {
            return Err(unreadable(io::Error::other("it is a directory; `entry` names the file in it")));
        }
        if let Some(expected) = process.size_bytes.filter(|expected| *expected != metadata.len()) {
            let found = format!("it has {} bytes, and `size_bytes` says {expected}", metadata.len());
            return Err(ProgramError::Different { path: file, found });
        }
        if let Some(expected) = &process.sha256 {
            let digest = Sha256::digest(fs::read(&file).map_err(unreadable)?);
            let digest = digest.iter().fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"));
            if !digest.eq_ignore_ascii_case(expected) {
                let found = format!("its SHA-256 is {digest}, and `sha256` says {expected}");
                return Err(ProgramError::Different { path: file, found });
            }
        }
        Ok(match &process.interpreter {
            None => Program::new(file),
            // One with a slash lies with the module; others are found on the PATH.
            Some(interpreter) if interpreter.contains('/') => Program::new(self.dir().join(interpreter)).arg(file),
            Some(interpreter) => Program::new(interpreter).arg(file),
        })
    }
}
