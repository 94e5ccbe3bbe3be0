//! Packages in temporary directories, and the time that cargo takes to build them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::ensure;
use tempfile::TempDir;

/// A package in a temporary directory, which is its own workspace and has its own target directory.
pub struct Project {
    dir: TempDir,
}

impl Project {
    /// Writes a package. `dependencies` is the end of its `Cargo.toml`; `files` are paths in the package, and their texts.
    pub fn new(dependencies: &str, files: &[(&str, &str)]) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let package = "[package]\nname = \"project\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
        fs::create_dir(dir.path().join("src"))?;
        fs::write(dir.path().join("Cargo.toml"), format!("{package}{dependencies}"))?;
        for (path, text) in files {
            fs::write(dir.path().join(path), text)?;
        }
        Ok(Self { dir })
    }

    /// Runs cargo with these arguments, and returns how long it took. Incremental compilation is off. Cargo's stderr is passed on.
    pub fn cargo(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let mut command = Command::new("cargo");
        command.args(arguments).arg("--quiet").current_dir(&self.dir);
        command.env("CARGO_TARGET_DIR", self.target()).env("CARGO_INCREMENTAL", "0");
        let start = Instant::now();
        ensure!(command.status()?.success(), "cargo {arguments:?} failed");
        Ok(start.elapsed())
    }

    /// Gives a file a new modification time, and returns how long cargo takes then.
    pub fn cargo_after_change(&self, changed: &str, arguments: &[&str]) -> anyhow::Result<Duration> {
        fs::File::options()
            .append(true)
            .open(self.dir.path().join(changed))?
            .set_modified(std::time::SystemTime::now())?;
        self.cargo(arguments)
    }

    /// Deletes all that was built.
    pub fn clean(&self) -> anyhow::Result<()> {
        Ok(fs::remove_dir_all(self.target())?)
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }
}

/// The absolute path of a directory of this repository, for a path dependency.
pub fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}
