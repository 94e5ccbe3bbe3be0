//! `ixt build`, and the options of the other commands that build modules.

use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct BuildArgs {
    /// Modules: directories with a manifest.toml, or directories whose direct children are such.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// The file for `ixt run --config`. Only its `[build]` and `[modules.NAME.build]` matter here.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: BuildOptions,
}

/// How cargo builds modules.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BuildOptions {
    /// Build modules with optimizations, in cargo's profile `release`.
    #[arg(long, conflicts_with = "profile")]
    pub(crate) release: bool,
    /// Build modules in this profile of cargo. The default is `dev`.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Enable these cargo features, separated by commas, in the modules that have them, beside the default ones.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) features: Vec<String>,
    /// Start the program of this name, where a module's package has several.
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Option<String>,
}

impl BuildOptions {
    /// Whether none of the options is given. One with an empty text counts as given. `ixt call` refuses them without `--module`.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { release, profile, features, bin } = self;
        !release && profile.is_none() && features.is_empty() && bin.is_none()
    }

    /// The options in the form that the host takes. `--release` is the profile `release`; features have the order of the command line,
    /// without empty names. Nothing is checked: cargo or `ixt_host` refuses a profile, feature or program that does not exist.
    pub(crate) fn build(&self) -> ixt_host::Build {
        let mut build = ixt_host::Build::default();
        build.profile = self.profile.clone().or_else(|| self.release.then(|| "release".to_owned()));
        build.features.extend(self.features.iter().filter(|feature| !feature.is_empty()).cloned());
        build.bin.clone_from(&self.bin);
        build
    }
}
