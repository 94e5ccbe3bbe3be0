//! Why there is no program to start.

use std::path::{Path, PathBuf};
use std::{fmt, io};

use ixt_manifest::closest;
use ixt_manifest::text::harmless;

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

/// Why a module was not built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The `Cargo.toml` in it is that of a workspace alone.
    NoPackage {
        /// The workspace's `Cargo.toml`.
        path: PathBuf,
    },
    /// Cargo could not be run.
    NoCargo {
        /// Why not.
        error: io::Error,
    },
    /// Cargo failed; it has said why.
    Failed {
        /// The `Cargo.toml` of each package that was to be built.
        paths: Vec<PathBuf>,
    },
    /// The package has no program, or several of which none is the default one.
    NotOneProgram {
        /// The package's `Cargo.toml`.
        path: PathBuf,
        /// The programs it has.
        found: Vec<String>,
    },
    /// There is no program of the name that [`Build::bin`] has.
    UnknownProgram {
        /// The package's `Cargo.toml`; `None`: no module has such a program.
        path: Option<PathBuf>,
        /// The name.
        name: String,
        /// The programs there are.
        found: Vec<String>,
    },
    /// There is no feature of a name in [`Build::features`].
    UnknownFeature {
        /// The package's `Cargo.toml`; `None`: no module has such a feature.
        path: Option<PathBuf>,
        /// The name.
        name: String,
        /// The features there are.
        found: Vec<String>,
    },
    /// The programs of two modules would be one file.
    SameProgram {
        /// The program's name.
        name: String,
        /// The `Cargo.toml` of each.
        paths: [PathBuf; 2],
    },
    /// Nothing was to be built, and the program is not there.
    NotBuilt {
        /// Where it was expected.
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
