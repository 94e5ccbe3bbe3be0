//! Builds a module that is a cargo package, and finds the program that came out.

use std::env;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use crate::Module;
use crate::process::Group;

/// Why a module was not built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The directory holds no cargo package.
    NotAPackage {
        /// Where a `Cargo.toml` was expected.
        path: PathBuf,
    },
    /// Cargo could not be run.
    NoCargo {
        /// Why not.
        error: io::Error,
    },
    /// Cargo failed; it has written the reason to stderr.
    Failed {
        /// The package's `Cargo.toml`.
        path: PathBuf,
    },
    /// The package has no program, or several.
    NotOneProgram {
        /// The package's `Cargo.toml`.
        path: PathBuf,
        /// The programs it has.
        found: Vec<String>,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAPackage { path } => {
                write!(f, "there is no {}: a module is built with cargo", path.display())
            }
            Self::NoCargo { error } => write!(f, "can't run cargo: {error}; is Rust installed and on the PATH?"),
            Self::Failed { path } => write!(f, "cargo could not build {}; see above", path.display()),
            Self::NotOneProgram { path, found } if found.is_empty() => {
                write!(f, "{} has no program: a module needs a src/main.rs", path.display())
            }
            Self::NotOneProgram { path, found } => {
                write!(f, "{} has several programs ({}): a module has one", path.display(), found.join(", "))
            }
        }
    }
}

impl std::error::Error for BuildError {}

/// A build that takes no longer than this shows nothing if it succeeds.
const SILENCE: Duration = Duration::from_secs(1);

/// The part of cargo's `--message-format=json` that is needed here.
#[derive(Deserialize)]
struct CargoMessage {
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

impl Module {
    /// Builds the module with cargo, and returns its program. What cargo has to say goes to stderr, unless it succeeds
    /// within a second.
    ///
    /// # Errors
    ///
    /// If the module is no cargo package, does not compile, or is not exactly one program.
    pub async fn build(&self) -> Result<PathBuf, BuildError> {
        let path = self.dir().join("Cargo.toml");
        if !path.is_file() {
            return Err(BuildError::NotAPackage { path });
        }
        let (mut cargo, stdout, stderr) = spawn(&path).map_err(|error| BuildError::NoCargo { error })?;
        let mut group = Group::of(&cargo);
        let progress = tokio::spawn(show_progress(stderr));
        let mut programs = Vec::new();
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Build scripts have an `executable` too, but are not of kind `bin`.
            if let Ok(CargoMessage { executable: Some(executable), target: Some(target) }) = serde_json::from_str(&line)
                && target.kind.iter().any(|kind| kind == "bin")
            {
                programs.push((target.name, executable));
            }
        }
        let status = cargo.wait().await.map_err(|error| BuildError::NoCargo { error })?;
        group.end();
        let unshown = progress.await.unwrap_or_default();
        if !status.success() {
            show(&unshown);
            return Err(BuildError::Failed { path });
        }
        match <[_; 1]>::try_from(programs) {
            Ok([(_, executable)]) => Ok(executable),
            Err(programs) => {
                let found = programs.into_iter().map(|(name, _)| name).collect();
                Err(BuildError::NotOneProgram { path, found })
            }
        }
    }
}

fn spawn(manifest: &Path) -> io::Result<(Child, ChildStdout, ChildStderr)> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--message-format=json-render-diagnostics", "--manifest-path"])
        .arg(manifest)
        .args(io::stderr().is_terminal().then_some("--color=always"))
        // Rustc and build scripts are in it too.
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = cargo.stdout.take().expect("stdout is piped");
    let stderr = cargo.stderr.take().expect("stderr is piped");
    Ok((cargo, stdout, stderr))
}

/// Passes on what cargo writes, once the build has taken a while. Returns what it has not passed on.
async fn show_progress(mut cargo: ChildStderr) -> Vec<u8> {
    let mut unshown = Vec::new();
    let silence = Instant::now() + SILENCE;
    while let Ok(read) = timeout_at(silence, cargo.read_buf(&mut unshown)).await {
        if !matches!(read, Ok(1..)) {
            return unshown;
        }
    }
    loop {
        show(&unshown);
        unshown.clear();
        if !matches!(cargo.read_buf(&mut unshown).await, Ok(1..)) {
            return unshown;
        }
    }
}

fn show(text: &[u8]) {
    // If stderr is closed, there is nobody to tell.
    let _ = io::stderr().write_all(text);
}
