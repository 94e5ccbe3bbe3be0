//! Module crates outside the workspace, like those of authors, for tests that compile them.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::program::{cargo, fetch, target_dir, workspace};

/// A module crate in a temporary directory, which is removed when this is dropped.
pub struct Scratch {
    dir: tempfile::TempDir,
}

impl Scratch {
    /// The crate that the README describes, with this name, `manifest.toml` and `src/main.rs`. Nothing is compiled yet. Its dependencies
    /// have the features that they have in the workspace, so that only the crate itself is compiled: use this unless features matter.
    ///
    /// # Panics
    ///
    /// If its files can't be written, or the dependencies can't be downloaded.
    #[must_use]
    pub fn new(name: &str, manifest: &str, main: &str) -> Self {
        let scratch = Self::exact(name, manifest, main);
        scratch.use_the_workspaces_features();
        scratch
    }

    /// Like [`new`](Self::new), but with the dependencies of the README alone, which have the features that they have for an author. They
    /// are compiled for this crate, which takes long.
    ///
    /// # Panics
    ///
    /// If its files can't be written, or the dependencies can't be downloaded.
    #[must_use]
    pub fn exact(name: &str, manifest: &str, main: &str) -> Self {
        // From here on it is offline.
        fetch();
        let scratch = Self { dir: tempfile::tempdir().unwrap() };
        let root = workspace().display();
        scratch.write(
            "Cargo.toml",
            &format!(
                r#"
                [package]
                name = "{name}"
                version = "0.1.0"
                edition = "2024"

                [dependencies]
                ixt-sdk = {{ path = "{root}/sdk/module" }}

                [build-dependencies]
                ixt-build = {{ path = "{root}/build-support/codegen" }}

                # As in the workspace, for which this is compiled already.
                [profile.dev]
                debug = "line-tables-only"
                [profile.dev.build-override]
                debug = false

                [workspace]
                "#
            ),
        );
        scratch.write("build.rs", "fn main() {\n    ixt_build::compile(\"manifest.toml\");\n}\n");
        scratch.write("manifest.toml", manifest);
        scratch.write("src/main.rs", main);
        scratch.lock();
        scratch
    }

    /// Gives its dependencies the features that they have in the workspace, so that only the crate itself is compiled. Call it once, for a
    /// crate made by [`exact`](Self::exact).
    ///
    /// # Panics
    ///
    /// If its files can't be written.
    pub fn use_the_workspaces_features(&self) {
        let features = workspace().join("tests/features");
        let dependency = format!("[dependencies]\nixt-test-features = {{ path = \"{}\" }}", features.display());
        self.edit("Cargo.toml", "[dependencies]", &dependency);
        self.lock();
    }

    /// Copies the workspace's lock file, so that no versions have to be looked up. Cargo removes from it what the crate does not depend on.
    fn lock(&self) {
        fs::copy(workspace().join("Cargo.lock"), self.dir().join("Cargo.lock")).unwrap();
    }

    /// The directory of the crate.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Writes one of its files, with its directory, in place of an earlier one. `path` is relative to the crate.
    ///
    /// # Panics
    ///
    /// If it can't be written.
    pub fn write(&self, path: &str, text: &str) {
        let path = self.dir().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
    }

    /// Replaces each `from` in one of its files by `to`.
    ///
    /// # Panics
    ///
    /// If what is to be replaced isn't there.
    pub fn edit(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.dir().join(path)).unwrap();
        assert!(text.contains(from), "{path} has no `{from}`");
        self.write(path, &text.replace(from, to));
    }

    /// Runs a cargo command in it, such as `build`, offline and with the workspace's target directory, where the dependencies are compiled
    /// already. Waits for its end, and returns its status and output, also if it fails.
    ///
    /// # Panics
    ///
    /// If cargo can't be run.
    #[must_use]
    pub fn cargo(&self, command: &str) -> Output {
        Command::new(cargo())
            .args([command, "--offline", "--color=never", "--target-dir"])
            .arg(target_dir())
            .env("RUST_BACKTRACE", "1")
            .current_dir(self.dir())
            .output()
            .unwrap()
    }
}
