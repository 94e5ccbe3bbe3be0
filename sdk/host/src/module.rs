//! A module on disk.

use std::path::{Path, PathBuf};

use ixt_manifest::{Manifest, Report, Source};

/// A directory with a `manifest.toml`.
#[derive(Debug, Clone)]
pub struct Module {
    dir: PathBuf,
    manifest: Manifest,
}

impl Module {
    /// Reads the manifest of the module in `dir`.
    ///
    /// # Errors
    ///
    /// If there is no manifest, or it has mistakes.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Report> {
        let dir = dir.into();
        let manifest = Manifest::parse(&Source::read(dir.join("manifest.toml"))?)?;
        Ok(Self { dir, manifest })
    }

    /// The directory: also the working directory of the module's processes.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What the manifest says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The id of the module's `number`th process, `name:version/instance-NNN` (seeds).
    pub(crate) fn instance_id(&self, number: u32) -> String {
        let module = &self.manifest.module;
        format!("{}:{}/instance-{number:03}", module.name, module.version)
    }
}
