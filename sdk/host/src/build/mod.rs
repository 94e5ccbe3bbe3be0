//! Builds modules that are cargo packages, and finds the programs that come out. Programs that a manifest declares are
//! found by `program/declared.rs`.
//!
//! `package` reads the output of `cargo metadata`; [`Builds`] makes a `plan` for each package from it; `run` runs one
//! `cargo build` for several packages; `cargo` starts the process, and `output` passes on what it writes.

mod cargo;
mod output;
mod package;
mod plan;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub use crate::build::output::BuildOutput;
use crate::build::package::{CargoMetadata, CargoPackage, configured, metadata};
use crate::build::plan::PackagePlan;
use crate::build::run::build;
use crate::guard::Guard;
use crate::module::Module;
use crate::program::{BuildError, Program, ProgramError};

/// Options for building the package of a module. They have no effect on a module whose manifest declares a program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// Cargo's profile, such as `release`. `None`: `dev`. Cargo refuses an unknown one, which is then [`BuildError::Failed`].
    pub profile: Option<String>,
    /// Features to enable in addition to the default ones: `name`, or `dependency/name`, in any order. Empty: the
    /// default ones alone. A `name` that the package does not have is an error before the build; `dependency/name` is
    /// checked by cargo.
    pub features: Vec<String>,
    /// The name of the program in the package that is the module's; only this one is built. An unknown one is an error.
    /// `None`: the package's `default-run`, or else its only program, or else the program with the package's name; all
    /// its programs are built then. Programs whose `required-features` are not enabled do not count.
    pub bin: Option<String>,
}

/// The modules of a host and how to build each of them.
///
/// Modules of one cargo workspace with the same profile are built by one cargo command: their common dependencies are
/// compiled once, with the features that all of them need, also when only one of them is built again. The cargo
/// commands of several workspaces or profiles run one after the other. Modules below a directory within the workspace
/// that has its own `.cargo/config.toml` or `rust-toolchain.toml` are built by a separate command, in that directory.
/// Nothing is built before [`programs`](Self::programs) or [`program`](Self::program) is called; each call runs cargo
/// again.
#[derive(Debug, Clone, Default)]
pub struct Builds {
    /// The options for all modules: see [`new`](Self::new).
    all: Build,
    /// In the order in which they were added; no two have the same name.
    modules: Vec<(Module, Build)>,
    /// Whether the programs of earlier builds are looked up, and nothing is built.
    finds_only: bool,
    /// The guard that gets the process group of each cargo process; `None`: none does.
    guard: Option<Guard>,
}

impl Builds {
    /// Begins without modules. `all` are options for all of them. From `all`, a module takes the profile, and those
    /// features and the program name that its package has, and every `dependency/name`. A feature or program name that
    /// no package has is an error of [`programs`](Self::programs).
    #[must_use]
    pub fn new(all: Build) -> Self {
        Self { all, ..Self::default() }
    }

    /// Adds a module, or replaces the one with the same name, whose place it takes. The module's own profile and
    /// program take precedence over those for all modules; its features are added to theirs.
    pub fn module(&mut self, module: Module, build: Build) -> &mut Self {
        let name = &module.manifest().module.name;
        match self.modules.iter_mut().find(|(other, _)| other.manifest().module.name == *name) {
            Some(known) => *known = (module, build),
            None => self.modules.push((module, build)),
        }
        self
    }

    /// Builds nothing: the programs are those of the last build with the same profile, which is not compared with the
    /// sources. It is an error ([`BuildError::NotBuilt`]) if there is none. `cargo metadata` is run all the same. Has
    /// no effect on modules whose manifest declares a program.
    #[must_use]
    pub fn without_building(self) -> Self {
        Self { finds_only: true, ..self }
    }

    /// Sets the guard of a host, which ends cargo if the host is killed while it builds. `None`, as at first: nothing
    /// ends cargo then.
    #[must_use]
    pub fn guarded_by(self, guard: Option<&Guard>) -> Self {
        Self { guard: guard.cloned(), ..self }
    }

    /// Builds all modules, and returns their programs in the order in which they were added. There is no timeout. When
    /// the future is dropped, cargo and its process group are killed.
    ///
    /// # Errors
    ///
    /// The first error: a module can't be built or has [no program](ProgramError). After a cargo command has failed, no
    /// other is run. A mistake that can be found without building, such as an unknown feature, is reported before
    /// anything is built.
    pub async fn programs(&self, output: &dyn BuildOutput) -> Result<Vec<Program>, ProgramError> {
        let mut programs = Vec::new();
        let (mut known, mut plans, mut places) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (module, build)) in self.modules.iter().enumerate() {
            programs.push(module.declared_program().await?);
            if programs[index].is_none() {
                plans.push(self.plan(module, build, &mut known, output).await.map_err(ProgramError::Build)?);
                places.push(index);
            }
        }
        self.check(&plans).map_err(ProgramError::Build)?;
        let paths = self.make(&plans, plans.len(), output).await.map_err(ProgramError::Build)?;
        for (index, path) in places.into_iter().zip(paths) {
            programs[index] = Some(self.modules[index].0.built_program(path));
        }
        Ok(programs.into_iter().flatten().collect())
    }

    /// Builds one module, with the same features as when all are built, so that its dependencies are not compiled
    /// again. Returns its program; `None` if there is no module with this name. When the future is dropped, cargo and
    /// its process group are killed.
    ///
    /// # Errors
    ///
    /// If the module can't be built or has [no program](ProgramError). Mistakes in other modules, and options for all
    /// modules that no package has, are not errors here.
    pub async fn program(&self, name: &str, output: &dyn BuildOutput) -> Result<Option<Program>, ProgramError> {
        let named = |(module, _): &&(Module, Build)| module.manifest().module.name.as_str() == name;
        let Some(wanted @ (module, build)) = self.modules.iter().find(named) else { return Ok(None) };
        if let Some(program) = module.declared_program().await? {
            return Ok(Some(program));
        }
        let mut known = Vec::new();
        let mut plans = vec![self.plan(module, build, &mut known, output).await.map_err(ProgramError::Build)?];
        for (module, build) in self.modules.iter().filter(|other| !std::ptr::eq(*other, wanted)) {
            // Mistakes in other modules do not matter here.
            let path = module.dir().join("Cargo.toml");
            let is_beside =
                known.iter().any(|(_, metadata): &(PathBuf, CargoMetadata)| metadata.package(&path).is_some());
            if module.manifest().process.path.is_none()
                && is_beside
                && let Ok(plan) = self.plan(module, build, &mut known, &|_: &str| ()).await
            {
                plans.push(plan);
            }
        }
        let paths = self.make(&plans, 1, output).await.map_err(ProgramError::Build)?;
        Ok(paths.into_iter().next().map(|path| module.built_program(path)))
    }

    /// Plans the build of one module. `known` caches the metadata of workspaces, each with the directory from
    /// [`configured`]; if the module's is not there, this runs `cargo metadata` and adds it.
    async fn plan(
        &self,
        module: &Module,
        build: &Build,
        known: &mut Vec<(PathBuf, CargoMetadata)>,
        output: &dyn BuildOutput,
    ) -> Result<PackagePlan, BuildError> {
        let path = module.dir().join("Cargo.toml");
        let is_known = |(place, metadata): &(PathBuf, CargoMetadata)| {
            metadata.package(&path).is_some() && configured(module.dir(), &metadata.workspace_root) == *place
        };
        let index = match known.iter().position(is_known) {
            Some(index) => index,
            None => {
                let metadata = metadata(module.dir(), &path, self.guard.as_ref(), output).await?;
                known.push((configured(module.dir(), &metadata.workspace_root), metadata));
                known.len() - 1
            }
        };
        let (place, metadata) = &known[index];
        let package = metadata.package(&path).ok_or_else(|| BuildError::NoPackage { path: path.clone() })?.clone();
        self.plan_package(package, path, build, place.clone(), metadata.target_directory.clone())
    }

    /// Plans the build of a package with the options `build` and those for all modules. `path` is its `Cargo.toml`,
    /// `place` the directory in which cargo is to run. Fails on unknown features and programs, or if it is not clear
    /// which program is the module's.
    fn plan_package(
        &self,
        package: CargoPackage,
        path: PathBuf,
        build: &Build,
        place: PathBuf,
        target_directory: PathBuf,
    ) -> Result<PackagePlan, BuildError> {
        let has = |feature: &str| package.features.contains_key(feature);
        // Features of dependencies, with a slash, are checked by cargo.
        if let Some(name) = build.features.iter().find(|feature| !feature.contains('/') && !has(feature)) {
            let found = package.features.keys().cloned().collect();
            return Err(BuildError::UnknownFeature { path: Some(path), name: name.clone(), found });
        }
        let of_all = self.all.features.iter().filter(|feature| feature.contains('/') || has(feature));
        let features: BTreeSet<_> = of_all.chain(&build.features).cloned().collect();
        let bin = build.bin.as_deref().or(self.all.bin.as_deref().filter(|name| package.has_program(name)));
        if let Some(name) = bin.filter(|name| !package.has_program(name)) {
            let (name, found) = (name.to_owned(), package.programs().map(|program| program.name.clone()).collect());
            return Err(BuildError::UnknownProgram { path: Some(path), name, found });
        }
        let (program, programs) = match bin {
            Some(name) => (name.to_owned(), vec![name.to_owned()]),
            None => match package.choose(&features) {
                Ok(chosen) => chosen,
                Err(found) => return Err(BuildError::NotOneProgram { path, found }),
            },
        };
        let profile = build.profile.as_ref().or(self.all.profile.as_ref()).map_or("dev", String::as_str).to_owned();
        let features = features.into_iter().collect();
        Ok(PackagePlan { package, path, place, target_directory, profile, features, program, programs })
    }

    /// Checks all plans together: that each feature without a slash and the program name of `all` exist in some package, and that no two
    /// programs are the same file.
    fn check(&self, plans: &[PackagePlan]) -> Result<(), BuildError> {
        let has = |feature: &String| plans.iter().any(|plan| plan.package.features.contains_key(feature));
        if let Some(name) = self.all.features.iter().find(|feature| !feature.contains('/') && !has(feature)) {
            let found = plans.iter().flat_map(|plan| plan.package.features.keys().cloned()).collect::<BTreeSet<_>>();
            let found = found.into_iter().collect();
            return Err(BuildError::UnknownFeature { path: None, name: name.clone(), found });
        }
        if let Some(name) = &self.all.bin
            && !plans.iter().any(|plan| plan.package.has_program(name))
        {
            let programs = plans.iter().flat_map(|plan| plan.package.programs());
            let found = programs.map(|program| program.name.clone()).collect();
            return Err(BuildError::UnknownProgram { path: None, name: name.clone(), found });
        }
        let mut files = BTreeMap::new();
        for plan in plans {
            if let Some(other) = files.insert(plan.file(), &plan.path) {
                let (name, paths) = (plan.program.clone(), [other.clone(), plan.path.clone()]);
                return Err(BuildError::SameProgram { name, paths });
            }
        }
        Ok(())
    }

    /// Builds the first `wanted` packages, with the features of the others that share their cargo command. Returns the
    /// paths of their programs, in the order of `plans`. The first cargo command that fails is the error; later ones
    /// are not run.
    async fn make(
        &self,
        plans: &[PackagePlan],
        wanted: usize,
        output: &dyn BuildOutput,
    ) -> Result<Vec<PathBuf>, BuildError> {
        if self.finds_only {
            return plans[..wanted].iter().map(PackagePlan::find).collect();
        }
        let mut groups = BTreeMap::<_, Vec<_>>::new();
        for (index, plan) in plans.iter().enumerate() {
            groups.entry((&plan.place, &plan.profile)).or_default().push(index);
        }
        let mut paths = BTreeMap::new();
        for group in groups.values() {
            let beside: Vec<_> = group.iter().map(|index| &plans[*index]).collect();
            let now: Vec<_> = group.iter().copied().filter(|index| *index < wanted).collect();
            if !now.is_empty() {
                let built = build(
                    &beside,
                    &now.iter().map(|index| &plans[*index]).collect::<Vec<_>>(),
                    self.guard.as_ref(),
                    output,
                )
                .await?;
                paths.extend(now.into_iter().zip(built));
            }
        }
        Ok(paths.into_values().collect())
    }
}

impl Module {
    /// Returns the program to start for this module: the one that `[artifacts.process]` names, or else the one that
    /// cargo builds from the package in the module's directory. Cargo's output goes to `output`, unless cargo succeeds
    /// within a second. When the future is dropped, cargo and its process group are killed. For several modules use
    /// [`Builds`].
    ///
    /// # Errors
    ///
    /// If the manifest names no program and the directory has no package, if the build fails, or if the program's file
    /// can't be read or does not have the size or the hash in the manifest.
    pub async fn program(&self, build: &Build, output: &dyn BuildOutput) -> Result<Program, ProgramError> {
        let mut builds = Builds::default();
        builds.module(self.clone(), build.clone());
        let mut programs = builds.programs(output).await?;
        Ok(programs.remove(0))
    }
}
