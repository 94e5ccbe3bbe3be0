//! The plan by which one package is built, and the path of the program that comes out.

use std::fs;
use std::path::PathBuf;

use crate::build::package::CargoPackage;
use crate::program::BuildError;

/// The plan for one package. Packages with the same `place` and `profile` share a cargo command, whose target directory
/// is therefore the same.
pub(super) struct PackagePlan {
    pub(super) package: CargoPackage,
    /// The path of its `Cargo.toml`, below the module's directory as it was given.
    pub(super) path: PathBuf,
    /// The directory in which cargo is run, whose configuration applies.
    pub(super) place: PathBuf,
    /// Cargo's target directory, an absolute path.
    pub(super) target_directory: PathBuf,
    /// The name of cargo's profile, such as `dev`.
    pub(super) profile: String,
    /// The features to enable in addition to the default ones: `name` or `dependency/name`, sorted.
    pub(super) features: Vec<String>,
    /// The name of the program that is the module's.
    pub(super) program: String,
    /// The names of all programs that are built.
    pub(super) programs: Vec<String>,
}

impl PackagePlan {
    /// The path of the program, unless cargo's configuration sets a `build.target`. The file need not exist.
    pub(super) fn file(&self) -> PathBuf {
        self.target_directory.join(self.profile_directory()).join(&self.program)
    }

    /// The name that cargo gives the directory of the profile.
    fn profile_directory(&self) -> &str {
        match &*self.profile {
            "dev" | "test" => "debug",
            "bench" => "release",
            other => other,
        }
    }

    /// The path of the program of the last build, of whichever target: the file that was modified last. An error if
    /// there is none.
    pub(super) fn find(&self) -> Result<PathBuf, BuildError> {
        let expected = self.file();
        // With a `build.target` in cargo's configuration it is in a directory of that target.
        let targets = fs::read_dir(&self.target_directory).into_iter().flatten().flatten();
        let elsewhere = targets.map(|target| target.path().join(self.profile_directory()).join(&self.program));
        let built = [expected.clone()].into_iter().chain(elsewhere).filter(|path| path.is_file());
        built
            .max_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
            .ok_or(BuildError::NotBuilt { path: expected })
    }
}
