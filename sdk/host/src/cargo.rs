//! Builds a module that is a cargo package, and finds the program that came out.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{self, Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use std::{env, fmt, fs};

use ixt_manifest::text::harmless_lines;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::{Instant, timeout_at};

use crate::Module;
use crate::process::Group;
use crate::program::from_here;

/// Why a module was not built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The directory holds no cargo package.
    NotAPackage {
        /// Where a `Cargo.toml` was expected.
        path: PathBuf,
    },
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
    /// Cargo failed; it has written the reason to stderr.
    Failed {
        /// The package's `Cargo.toml`.
        path: PathBuf,
    },
    /// The package has no program, or several of which none is the default one.
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
            Self::NoPackage { path } => {
                write!(f, "{} has no [package]: a module is built with cargo", path.display())
            }
            Self::NoCargo { error } => write!(f, "can't run cargo: {error}; is Rust installed and on the PATH?"),
            Self::Failed { path } => write!(f, "cargo could not build {}; see above", path.display()),
            Self::NotOneProgram { path, found } if found.is_empty() => {
                write!(f, "{} has no program: a module needs a src/main.rs", path.display())
            }
            Self::NotOneProgram { path, found } => {
                write!(
                    f,
                    "{} has several programs ({}): say with `default-run` in [package] which one is the module",
                    path.display(),
                    found.join(", ")
                )
            }
        }
    }
}

impl std::error::Error for BuildError {}

/// A build that takes no longer than this shows nothing if it succeeds.
const SILENCE: Duration = Duration::from_secs(1);

/// The part of `cargo metadata` that is needed here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    default_run: Option<String>,
}

/// The part of cargo's `--message-format=json` that is needed here.
#[derive(Deserialize)]
struct CargoMessage {
    package_id: Option<String>,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

impl Module {
    /// Builds the module with cargo, in its directory, and returns its program: the only one, or the `default-run` of its
    /// package, or the one that is named as the package. What cargo has to say goes to stderr, unless it succeeds within a second.
    ///
    /// # Errors
    ///
    /// If the module is no cargo package, does not compile, or its program is none of these.
    pub async fn build(&self) -> Result<PathBuf, BuildError> {
        let path = self.dir().join("Cargo.toml");
        if !path.is_file() {
            return Err(BuildError::NotAPackage { path });
        }
        let package = package(self.dir(), &path).await?;
        let (mut cargo, stdout, stderr) =
            spawn(self.dir(), &package.id).map_err(|error| BuildError::NoCargo { error })?;
        let mut group = Group::of(&cargo);
        let progress = tokio::spawn(show_progress(stderr));
        let mut programs = Vec::new();
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Dependencies may have programs too, and build scripts have an `executable`.
            if let Ok(CargoMessage { package_id: Some(id), executable: Some(executable), target: Some(target) }) =
                serde_json::from_str(&line)
                && id == package.id
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
        package.choose(programs).map_err(|found| BuildError::NotOneProgram { path, found })
    }
}

impl Package {
    /// The module among the programs; or, if that can't be told, their names.
    fn choose(&self, mut programs: Vec<(String, PathBuf)>) -> Result<PathBuf, Vec<String>> {
        let named = |name: &String| programs.iter().position(|(program, _)| program == name);
        let chosen = match &self.default_run {
            Some(name) => named(name),
            None if programs.len() == 1 => Some(0),
            None => named(&self.name),
        };
        let Some(chosen) = chosen else {
            let mut found: Vec<_> = programs.into_iter().map(|(name, _)| name).collect();
            found.sort();
            return Err(found);
        };
        Ok(programs.swap_remove(chosen).1)
    }
}

/// The package in this directory. By its name alone it could not be told from others of the workspace and its dependencies.
async fn package(dir: &Path, path: &Path) -> Result<Package, BuildError> {
    let mut metadata = cargo(dir);
    metadata.args(["metadata", "--no-deps", "--format-version=1"]).stdin(Stdio::null()).kill_on_drop(true);
    let output = metadata.output().await.map_err(|error| BuildError::NoCargo { error })?;
    if !output.status.success() {
        show(&output.stderr);
        return Err(BuildError::Failed { path: path.to_owned() });
    }
    let metadata = serde_json::from_slice::<Metadata>(&output.stdout);
    let metadata = metadata.map_err(|error| BuildError::NoCargo { error: error.into() })?;
    let real = |path: &Path| fs::canonicalize(path).ok();
    let mut packages = metadata.packages.into_iter();
    let found = packages.find(|package| real(&package.manifest_path) == real(path));
    found.ok_or_else(|| BuildError::NoPackage { path: path.to_owned() })
}

/// Cargo in this directory, whose `.cargo/config.toml` and `rust-toolchain.toml` count.
fn cargo(dir: &Path) -> Command {
    // What it has set when `ixt` itself was started by cargo is about `ixt`, and would stand before the module's toolchain.
    let started_by_cargo = env::var_os("CARGO_MANIFEST_DIR").is_some();
    let program = env::var_os("CARGO").filter(|_| !started_by_cargo);
    let mut cargo = Command::new(from_here(program.unwrap_or_else(|| "cargo".into()).into()));
    if started_by_cargo {
        cargo.env_remove("RUSTUP_TOOLCHAIN");
    }
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        // A relative one is from here.
        if let Some(Ok(target)) = env::var_os(name).map(path::absolute) {
            cargo.env(name, target);
        }
    }
    cargo.current_dir(dir);
    cargo
}

fn spawn(dir: &Path, package: &str) -> io::Result<(Child, ChildStdout, ChildStderr)> {
    let mut cargo = cargo(dir)
        .args(["build", "--message-format=json-render-diagnostics", "--package", package])
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
        // Whole lines: the beginning of an escape is none.
        let end = unshown.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        show(&unshown[..end]);
        unshown.drain(..end);
        if !matches!(cargo.read_buf(&mut unshown).await, Ok(1..)) {
            return unshown;
        }
    }
}

/// What the compiler quotes and what build scripts say is text from outside.
fn show(text: &[u8]) {
    // If stderr is closed, there is nobody to tell.
    let _ = io::stderr().write_all(harmless_lines(&String::from_utf8_lossy(text), "").as_bytes());
}
