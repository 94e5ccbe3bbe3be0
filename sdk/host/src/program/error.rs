//! The errors of finding, checking and building a module's program. Why a process did not start is a
//! [`StartError`](crate::StartError), which may have one of these.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use ixt_manifest::closest;
use ixt_manifest::text::harmless;

/// Why a module has no program to start, or why its file was refused before a start.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProgramError {
    /// Cargo could not build the program, the program of an earlier build is missing, or it is not clear which program
    /// is meant: see [`BuildError`].
    Build(BuildError),
    /// The module's manifest has no `path` in `[artifacts.process]`, and its directory no `Cargo.toml` to build a
    /// program.
    Nothing {
        /// The module's directory.
        dir: PathBuf,
    },
    /// The file of `[artifacts.process]` does not exist, can't be read, or is a directory. An `interpreter` is not
    /// looked at: a missing one is [`StartErrorKind::Spawn`](crate::StartErrorKind::Spawn).
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// The system's error, or a sentence of the host.
        error: io::Error,
    },
    /// The file is not the one that the manifest's `sha256` or `size_bytes` describes.
    Different {
        /// The file that was checked: the program, or, with an `interpreter`, the script.
        path: PathBuf,
        /// A clause with what was found, the key of `[artifacts.process]` and its value.
        found: String,
    },
    /// The manifest has a `sha256` for a file outside of the module's directory. Without a `sha256`, such a file is
    /// only a warning in the log.
    Outside {
        /// The file, with links resolved.
        path: PathBuf,
        /// The module's directory, with links resolved.
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

/// Why the program of a module could not be built, or that of an earlier build was not found.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The module's `Cargo.toml` has no `[package]`.
    NoPackage {
        /// The `Cargo.toml`.
        path: PathBuf,
    },
    /// Cargo could not be started, or its output could not be read.
    NoCargo {
        /// The system's error.
        error: io::Error,
    },
    /// `cargo metadata` or `cargo build` ran and has failed, or the build made no program. The output with the reason
    /// went to the [`BuildOutput`](crate::BuildOutput).
    Failed {
        /// The `Cargo.toml` of each package that this cargo command was for. Other packages may be fine.
        paths: Vec<PathBuf>,
    },
    /// The package has no program whose `required-features` are enabled, or several, and neither
    /// [`Build::bin`](crate::Build::bin) nor `default-run` nor the package's name says which one is meant.
    NotOneProgram {
        /// The package's `Cargo.toml`.
        path: PathBuf,
        /// The names of these programs, sorted. Empty if there are none.
        found: Vec<String>,
    },
    /// There is no program with the name in [`Build::bin`](crate::Build::bin).
    UnknownProgram {
        /// The `Cargo.toml` of the module that has asked for it; `None` if the name was given for all modules, and none
        /// has it.
        path: Option<PathBuf>,
        /// The name of the program.
        name: String,
        /// The names of the programs of this package, or of all packages: in no certain order, and twice if two
        /// packages have the same. May be empty.
        found: Vec<String>,
    },
    /// There is no feature with one of the names in [`Build::features`](crate::Build::features).
    UnknownFeature {
        /// The `Cargo.toml` of the module that has asked for it; `None` if the name was given for all modules, and none
        /// has it.
        path: Option<PathBuf>,
        /// The name of the feature.
        name: String,
        /// The names of the features of this package, or of all packages: sorted, each once. May be empty.
        found: Vec<String>,
    },
    /// The programs of two modules have the same name, and are built in the same target directory: one would overwrite
    /// the other.
    SameProgram {
        /// The program's name.
        name: String,
        /// The `Cargo.toml` of the two modules, in the order in which these were added.
        paths: [PathBuf; 2],
    },
    /// With [`Builds::without_building`](crate::Builds::without_building): there is no program from an earlier build.
    NotBuilt {
        /// Where the program was expected; with a `build.target` in cargo's configuration, it would be elsewhere.
        path: PathBuf,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPackage { path } => {
                write!(f, "{} has no [package]: a module is built with cargo", path.display())
            }
            Self::NoCargo { error } => write!(f, "can't run cargo: {error}; is Rust installed and on the PATH?"),
            Self::Failed { paths } => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(f, "cargo could not build {}; see above", paths.join(", "))
            }
            Self::NotOneProgram { path, found } if found.is_empty() => {
                write!(f, "{} has no program: a module needs a src/main.rs", path.display())
            }
            Self::NotOneProgram { path, found } => {
                let (path, found) = (path.display(), found.join(", "));
                write!(
                    f,
                    "{path} has several programs ({found}): say with `default-run` in [package] which one is the module, or \
                     with `--bin NAME`"
                )
            }
            Self::UnknownProgram { path, name, found } => unknown(f, "program", path.as_deref(), name, found),
            Self::UnknownFeature { path, name, found } => unknown(f, "feature", path.as_deref(), name, found),
            Self::SameProgram { name, paths: [first, second] } => {
                let (first, second) = (first.display(), second.display());
                write!(
                    f,
                    "{first} and {second} both have a program `{name}` in one target directory, so that one would take the \
                     other's place: give one of them another name"
                )
            }
            Self::NotBuilt { path } => {
                write!(f, "there is no {}, and nothing was to be built: `ixt build` builds it", path.display())
            }
        }
    }
}

/// Writes that there is no such program or feature (`what`), and which ones there are.
fn unknown(f: &mut fmt::Formatter<'_>, what: &str, path: Option<&Path>, name: &str, found: &[String]) -> fmt::Result {
    let shown = harmless(name);
    match path {
        Some(path) => write!(f, "{} has no {what} `{shown}`", path.display())?,
        None => write!(f, "no module has a {what} `{shown}`")?,
    }
    match closest(name, found.iter().map(String::as_str)) {
        Some(near) => write!(f, "; did you mean `{near}`?"),
        None if found.is_empty() => write!(f, "; there is none"),
        None => write!(f, "; there are: {}", found.join(", ")),
    }
}

impl std::error::Error for BuildError {}
