//! Builds modules that are cargo packages, and finds the programs that come out.

mod cargo;
mod output;
mod package;
mod plan;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

pub use crate::build::output::BuildOutput;
use crate::build::package::{Metadata, Package, configured, metadata};
use crate::build::plan::PackagePlan;
use crate::build::run::build;
use crate::guard::Guard;
use crate::program::BuildError;
use crate::{Module, Program, ProgramError};

/// How the package of a module is built.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Build {
    /// Cargo's profile, such as `release`; `None`: `dev`.
    pub profile: Option<String>,
    /// Features of the package that are enabled beside its default ones: `name`, or `dependency/name`.
    pub features: Vec<String>,
    /// Which program of the package is the module, and the only one that is built. `None`: its only one, or the `default-run` of the
    /// package, or the one that is named as the package; its other programs are built too.
    pub bin: Option<String>,
}

/// The modules of a host, and how each is built.
///
/// Those of one cargo workspace that have the same profile are built by one command: what they depend on is compiled once, with the
/// features that all of them ask for, also when one of them is built again. Those of other workspaces follow in turn. A module that has
/// a `.cargo/config.toml` or a `rust-toolchain.toml` of its own within the workspace is built by itself.
#[derive(Debug, Clone, Default)]
pub struct Builds {
    all: Build,
    modules: Vec<(Module, Build)>,
    finds_only: bool,
    guard: Option<Guard>,
}

impl Builds {
    /// None yet. All of them are built like this where nothing else is said; each takes of the features, and of the program's name, what
    /// its package has.
    #[must_use]
    pub fn new(all: Build) -> Self {
        Self { all, ..Self::default() }
    }

    /// One more module, or another directory or build of one with the same name. Its profile and program come before those of all
    /// modules, its features beside theirs.
    pub fn module(&mut self, module: Module, build: Build) -> &mut Self {
        let name = &module.manifest().module.name;
        match self.modules.iter_mut().find(|(other, _)| other.manifest().module.name == *name) {
            Some(known) => *known = (module, build),
            None => self.modules.push((module, build)),
        }
        self
    }

    /// The same, but nothing is built: the programs are those of the last build with the same profile.
    #[must_use]
    pub fn without_building(self) -> Self {
        Self { finds_only: true, ..self }
    }

    /// The same, but this guard of a host knows of each cargo process while it runs, and ends it if the host is killed.
    #[must_use]
    pub fn guarded_by(self, guard: Option<&Guard>) -> Self {
        Self { guard: guard.cloned(), ..self }
    }

    /// The programs of all modules, in their order. Dropped, it ends cargo and all that this has started.
    ///
    /// # Errors
    ///
    /// If one can't be built, or [can't be started](Module::program). What can be told before anything is built is told then.
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

    /// The program of one module, built as it is with all of them; `None` if there is no module of this name. Dropped, it ends cargo and
    /// all that this has started.
    ///
    /// # Errors
    ///
    /// If it can't be built, or [can't be started](Module::program).
    pub async fn program(&self, name: &str, output: &dyn BuildOutput) -> Result<Option<Program>, ProgramError> {
        let named = |(module, _): &&(Module, Build)| module.manifest().module.name.as_str() == name;
        let Some(wanted @ (module, build)) = self.modules.iter().find(named) else { return Ok(None) };
        if let Some(program) = module.declared_program().await? {
            return Ok(Some(program));
        }
        let mut known = Vec::new();
        let mut plans = vec![self.plan(module, build, &mut known, output).await.map_err(ProgramError::Build)?];
        for (module, build) in self.modules.iter().filter(|other| !std::ptr::eq(*other, wanted)) {
            // What is wrong with another one does not matter here.
            let path = module.dir().join("Cargo.toml");
            let is_beside = known.iter().any(|(_, metadata): &(PathBuf, Metadata)| metadata.package(&path).is_some());
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

    /// How one is built. `known` is what cargo has said of others.
    async fn plan(
        &self,
        module: &Module,
        build: &Build,
        known: &mut Vec<(PathBuf, Metadata)>,
        output: &dyn BuildOutput,
    ) -> Result<PackagePlan, BuildError> {
        let path = module.dir().join("Cargo.toml");
        let is_known = |(place, metadata): &(PathBuf, Metadata)| {
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

    fn plan_package(
        &self,
        package: Package,
        path: PathBuf,
        build: &Build,
        place: PathBuf,
        target_directory: PathBuf,
    ) -> Result<PackagePlan, BuildError> {
        let has = |feature: &str| package.features.contains_key(feature);
        // Those of a dependency cargo looks at.
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

    /// What only all of them together tell.
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

    /// The programs of so many of the first of these, built as they are with the others.
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
    /// What to start: what `[artifacts.process]` names, or else the program that cargo builds of the package. What cargo has to say goes
    /// to the output, unless it succeeds within a second. Dropped, it ends cargo and all that this has started. [`Builds`] is for
    /// several modules.
    ///
    /// # Errors
    ///
    /// If there is neither, it can't be built, or it is not what the manifest says it is.
    pub async fn program(&self, build: &Build, output: &dyn BuildOutput) -> Result<Program, ProgramError> {
        let mut builds = Builds::default();
        builds.module(self.clone(), build.clone());
        let mut programs = builds.programs(output).await?;
        Ok(programs.remove(0))
    }
}
