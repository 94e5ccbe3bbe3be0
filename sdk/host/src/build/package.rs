//! Reads with `cargo metadata` which packages, programs and features a workspace has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use crate::build::cargo::{RunningCargo, command};
use crate::build::output::{BuildOutput, pass_on};
use crate::guard::Guard;
use crate::program::BuildError;

/// The part of `cargo metadata`'s output that is used here. It is of one workspace.
#[derive(Deserialize)]
pub(super) struct CargoMetadata {
    /// The packages of the workspace, without dependencies.
    pub(super) packages: Vec<CargoPackage>,
    /// The directory of the workspace's `Cargo.toml`.
    pub(super) workspace_root: PathBuf,
    /// The directory for what cargo builds.
    pub(super) target_directory: PathBuf,
}

/// A package of the workspace; the fields are named as in `cargo metadata`.
#[derive(Clone, Deserialize)]
pub(super) struct CargoPackage {
    /// Cargo's package id, which no other package has.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) manifest_path: PathBuf,
    /// The program that `default-run` names; `None` if the package has no such key.
    pub(super) default_run: Option<String>,
    pub(super) targets: Vec<CargoTarget>,
    /// For each feature, what it enables: other features, or features of dependencies.
    pub(super) features: BTreeMap<String, Vec<String>>,
}

/// A target of a package: a program, a library, a test and so on.
#[derive(Clone, Deserialize)]
pub(super) struct CargoTarget {
    /// What it is, such as `bin` or `lib`.
    pub(super) kind: Vec<String>,
    pub(super) name: String,
    #[serde(default, rename = "required-features")]
    pub(super) required_features: Vec<String>,
}

impl CargoTarget {
    /// Whether it is a program of the package, not an example or a test.
    pub(super) fn is_program(&self) -> bool {
        self.kind.iter().any(|kind| kind == "bin")
    }
}

impl CargoMetadata {
    /// The package whose `Cargo.toml` has this path, through symbolic links or not. `None` if the workspace has no such
    /// package, or the file can't be found.
    pub(super) fn package(&self, path: &Path) -> Option<&CargoPackage> {
        let real = fs::canonicalize(path).ok()?;
        self.packages.iter().find(|package| fs::canonicalize(&package.manifest_path).ok().as_ref() == Some(&real))
    }
}

impl CargoPackage {
    /// Its targets of the kind `bin`, whether their `required-features` are enabled or not.
    pub(super) fn programs(&self) -> impl Iterator<Item = &CargoTarget> {
        self.targets.iter().filter(|target| target.is_program())
    }

    /// Whether it has a program with this name, whether its `required-features` are enabled or not.
    pub(super) fn has_program(&self, name: &str) -> bool {
        self.programs().any(|program| program.name == name)
    }

    /// Returns the name of the program that is the module's, and those of all programs that can be built with these
    /// features and the default ones, that one included, in cargo's order. If no program is clearly the module's, or
    /// the one of `default-run` can't be built, the error has the names of all that can be built, sorted.
    pub(super) fn choose(&self, features: &BTreeSet<String>) -> Result<(String, Vec<String>), Vec<String>> {
        let enabled = self.enabled(features);
        let built =
            |program: &&CargoTarget| program.required_features.iter().all(|feature| enabled.contains(feature.as_str()));
        let mut programs: Vec<_> = self.programs().filter(built).map(|program| program.name.clone()).collect();
        let chosen = match (&self.default_run, &*programs) {
            (Some(name), _) => name,
            (None, [only]) => only,
            (None, _) => &self.name,
        };
        let chosen = chosen.clone();
        if programs.contains(&chosen) {
            return Ok((chosen, programs));
        }
        programs.sort();
        Err(programs)
    }

    /// All features that `features` and the default ones enable, directly or through others, themselves included. Also
    /// names that the package does not have, such as `dependency/name`.
    pub(super) fn enabled<'a>(&'a self, features: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
        let mut enabled = BTreeSet::new();
        let mut next: Vec<&str> = features.iter().map(String::as_str).chain(["default"]).collect();
        while let Some(feature) = next.pop() {
            if enabled.insert(feature) {
                next.extend(self.features.get(feature).into_iter().flatten().map(String::as_str));
            }
        }
        enabled
    }
}

/// Runs `cargo metadata` in a module's directory. `path` is its `Cargo.toml`, for the error if cargo fails.
///
/// # Errors
///
/// [`BuildError::Failed`] if cargo fails, with its messages in `output`; [`BuildError::NoCargo`] if it can't be run or
/// its output can't be read.
pub(super) async fn metadata(
    dir: &Path,
    path: &Path,
    guard: Option<&Guard>,
    output: &dyn BuildOutput,
) -> Result<CargoMetadata, BuildError> {
    let mut cargo = command(dir);
    cargo.args(["metadata", "--no-deps", "--format-version=1"]);
    let no_cargo = |error| BuildError::NoCargo { error };
    let (running, mut stdout, stderr) = RunningCargo::start(cargo, guard).map_err(no_cargo)?;
    let read = async {
        let mut json = Vec::new();
        stdout.read_to_end(&mut json).await?;
        io::Result::Ok((json, running.ended().await?))
    };
    let (read, held_back) = tokio::join!(read, pass_on(stderr, output));
    let (json, status) = read.map_err(no_cargo)?;
    if !status.success() {
        for line in &held_back {
            output.line(line);
        }
        return Err(BuildError::Failed { paths: vec![path.to_owned()] });
    }
    serde_json::from_slice(&json).map_err(|error| no_cargo(error.into()))
}

/// The directory in which cargo has to run for the package in `dir`: the innermost one, from `dir` up to the
/// workspace's, with a configuration of cargo or rustup; without one, the workspace's, or `dir` if that is not below
/// the workspace's.
pub(super) fn configured(dir: &Path, workspace: &Path) -> PathBuf {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let workspace = fs::canonicalize(workspace).unwrap_or_else(|_| workspace.to_owned());
    let files = [".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain"];
    let within = dir.ancestors().take_while(|dir| dir.starts_with(&workspace));
    let mut found = within.filter(|dir| files.iter().any(|file| dir.join(file).is_file())).map(Path::to_owned);
    let inner = found.next();
    // The `workspace` key of a package may name a directory that is not above the package's.
    inner.unwrap_or_else(|| if dir.starts_with(&workspace) { workspace } else { dir.clone() })
}
