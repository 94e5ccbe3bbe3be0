//! Projects that are written, and built with cargo, for the sake of the time that it takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::ensure;
use tempfile::TempDir;

/// A package in a directory of its own.
pub struct Project {
    dir: TempDir,
}

impl Project {
    /// Writes a package with these sections of dependencies and these files.
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

    /// Runs cargo and says how long it took.
    pub fn cargo(&self, arguments: &[&str]) -> anyhow::Result<Duration> {
        let mut command = Command::new("cargo");
        command.args(arguments).arg("--quiet").current_dir(&self.dir);
        command.env("CARGO_TARGET_DIR", self.target()).env("CARGO_INCREMENTAL", "0");
        let start = Instant::now();
        ensure!(command.status()?.success(), "cargo {arguments:?} failed");
        Ok(start.elapsed())
    }

    /// The time of what cargo does when a file has changed.
    pub fn again(&self, changed: &str, arguments: &[&str]) -> anyhow::Result<Duration> {
        fs::File::options()
            .append(true)
            .open(self.dir.path().join(changed))?
            .set_modified(std::time::SystemTime::now())?;
        self.cargo(arguments)
    }

    /// Forgets what was built.
    pub fn clean(&self) -> anyhow::Result<()> {
        Ok(fs::remove_dir_all(self.target())?)
    }

    fn target(&self) -> PathBuf {
        self.dir.path().join("target")
    }
}

/// The path of one of this repository's crates, for a dependency.
pub fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path).display().to_string()
}
