//! How one package is built.

use std::fs;
use std::path::PathBuf;

use crate::build::package::Package;
use crate::program::BuildError;

/// How one package is built.
pub(super) struct PackagePlan {
    pub(super) package: Package,
    /// Its `Cargo.toml`, as the module's directory is called.
    pub(super) path: PathBuf,
    /// Where cargo runs: the innermost directory whose configuration counts.
    pub(super) place: PathBuf,
    pub(super) target_directory: PathBuf,
    pub(super) profile: String,
    pub(super) features: Vec<String>,
    /// The module.
    pub(super) program: String,
    /// It, and what else is built.
    pub(super) programs: Vec<String>,
}

impl PackagePlan {
    /// Where the program is, unless it is built for another target than that of this machine.
    pub(super) fn file(&self) -> PathBuf {
        self.target_directory.join(self.profile_directory()).join(&self.program)
    }

    fn profile_directory(&self) -> &str {
        match &*self.profile {
            "dev" | "test" => "debug",
            "bench" => "release",
            other => other,
        }
    }

    /// The program of the last build.
    pub(super) fn find(&self) -> Result<PathBuf, BuildError> {
        let expected = self.file();
        // A `build.target` in cargo's configuration puts it into a directory of its own.
        let targets = fs::read_dir(&self.target_directory).into_iter().flatten().flatten();
        let elsewhere = targets.map(|target| target.path().join(self.profile_directory()).join(&self.program));
        let built = [expected.clone()].into_iter().chain(elsewhere).filter(|path| path.is_file());
        built
            .max_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
            .ok_or(BuildError::NotBuilt { path: expected })
    }
}
