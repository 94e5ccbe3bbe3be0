//! Builds modules that are cargo packages, and finds the programs that come out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{self, Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use std::{env, fmt, fs, io};

use ixt_manifest::closest;
use ixt_manifest::language::reserved_variable;
use ixt_manifest::text::{harmless, harmless_lines};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, BufReader};
use tokio::process::{ChildStderr, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use crate::processes::group::ProcessGroup;
use crate::processes::reaper;
use crate::program::from_here;
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

/// Where goes what cargo says while it builds. All of it is text that can do nothing to a terminal, with colours.
pub trait BuildOutput: Send + Sync {
    /// A line, without its end.
    fn line(&self, line: &str);

    /// What cargo is at, in place of what it was at before; `""` when that is over. Comes only where there are
    /// [`columns`](Self::columns).
    fn progress(&self, text: &str) {
        let _ = text;
    }

    /// How wide the terminal is that people see it on. `None`: it is none, so that there are no colours and no progress.
    fn columns(&self) -> Option<u16> {
        None
    }
}

impl<F: Fn(&str) + Send + Sync> BuildOutput for F {
    fn line(&self, line: &str) {
        self(line);
    }
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
}

/// Why a module was not built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// The `Cargo.toml` in it is that of a workspace alone.
    NoPackage {
        /// The workspace's `Cargo.toml`.
        path: PathBuf,
    },
    /// Cargo could not be run.
    NoCargo {
        /// Why not.
        error: io::Error,
    },
    /// Cargo failed; it has said why.
    Failed {
        /// The `Cargo.toml` of each package that was to be built.
        paths: Vec<PathBuf>,
    },
    /// The package has no program, or several of which none is the default one.
    NotOneProgram {
        /// The package's `Cargo.toml`.
        path: PathBuf,
        /// The programs it has.
        found: Vec<String>,
    },
    /// There is no program of the name that [`Build::bin`] has.
    UnknownProgram {
        /// The package's `Cargo.toml`; `None`: no module has such a program.
        path: Option<PathBuf>,
        /// The name.
        name: String,
        /// The programs there are.
        found: Vec<String>,
    },
    /// There is no feature of a name in [`Build::features`].
    UnknownFeature {
        /// The package's `Cargo.toml`; `None`: no module has such a feature.
        path: Option<PathBuf>,
        /// The name.
        name: String,
        /// The features there are.
        found: Vec<String>,
    },
    /// The programs of two modules would be one file.
    SameProgram {
        /// The program's name.
        name: String,
        /// The `Cargo.toml` of each.
        paths: [PathBuf; 2],
    },
    /// Nothing was to be built, and the program is not there.
    NotBuilt {
        /// Where it was expected.
        path: PathBuf,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPackage { path } => {
                write!(f, "{} has no [package]: a module is built with cargo", path.display())
            }
            Self::NoCargo { error } => write!(f, "can't run cargo: {error}; is Rust installed and on the PATH?"),
            Self::Failed { paths } => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(f, "cargo could not build {}; see above", paths.join(", "))
            }
            Self::NotOneProgram { path, found } if found.is_empty() => {
                write!(f, "{} has no program: a module needs a src/main.rs", path.display())
            }
            Self::NotOneProgram { path, found } => {
                let (path, found) = (path.display(), found.join(", "));
                write!(
                    f,
                    "{path} has several programs ({found}): say with `default-run` in [package] which one is the module, or \
                     with `--bin NAME`"
                )
            }
            Self::UnknownProgram { path, name, found } => unknown(f, "program", path.as_deref(), name, found),
            Self::UnknownFeature { path, name, found } => unknown(f, "feature", path.as_deref(), name, found),
            Self::SameProgram { name, paths: [first, second] } => {
                let (first, second) = (first.display(), second.display());
                write!(
                    f,
                    "{first} and {second} both have a program `{name}` in one target directory, so that one would take the \
                     other's place: give one of them another name"
                )
            }
            Self::NotBuilt { path } => {
                write!(f, "there is no {}, and nothing was to be built: `ixt build` builds it", path.display())
            }
        }
    }
}

fn unknown(f: &mut fmt::Formatter<'_>, what: &str, path: Option<&Path>, name: &str, found: &[String]) -> fmt::Result {
    let shown = harmless(name);
    match path {
        Some(path) => write!(f, "{} has no {what} `{shown}`", path.display())?,
        None => write!(f, "no module has a {what} `{shown}`")?,
    }
    match closest(name, found.iter().map(String::as_str)) {
        Some(near) => write!(f, "; did you mean `{near}`?"),
        None if found.is_empty() => write!(f, "; there is none"),
        None => write!(f, "; there are: {}", found.join(", ")),
    }
}

impl std::error::Error for BuildError {}

/// A build that takes no longer than this shows nothing if it succeeds.
const SILENCE: Duration = Duration::from_secs(1);

/// The part of `cargo metadata` that is needed here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

#[derive(Clone, Deserialize)]
struct Package {
    id: String,
    name: String,
    manifest_path: PathBuf,
    default_run: Option<String>,
    targets: Vec<Target>,
    features: BTreeMap<String, Vec<String>>,
}

/// The part of cargo's `--message-format=json` that is needed here.
#[derive(Deserialize)]
struct CargoMessage {
    package_id: Option<String>,
    executable: Option<PathBuf>,
    target: Option<Target>,
}

#[derive(Clone, Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
    #[serde(default, rename = "required-features")]
    required_features: Vec<String>,
}

impl Target {
    fn is_program(&self) -> bool {
        self.kind.iter().any(|kind| kind == "bin")
    }
}

/// How one package is built.
struct Plan {
    package: Package,
    /// Its `Cargo.toml`, as the module's directory is called.
    path: PathBuf,
    /// Where cargo runs: the innermost directory whose configuration counts.
    place: PathBuf,
    target_directory: PathBuf,
    profile: String,
    features: Vec<String>,
    /// The module.
    program: String,
    /// It, and what else is built.
    programs: Vec<String>,
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
    ) -> Result<Plan, BuildError> {
        let path = module.dir().join("Cargo.toml");
        let is_known = |(place, metadata): &(PathBuf, Metadata)| {
            metadata.package(&path).is_some() && configured(module.dir(), &metadata.workspace_root) == *place
        };
        let index = match known.iter().position(is_known) {
            Some(index) => index,
            None => {
                let metadata = metadata(module.dir(), &path, output).await?;
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
    ) -> Result<Plan, BuildError> {
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
        Ok(Plan { package, path, place, target_directory, profile, features, program, programs })
    }

    /// What only all of them together tell.
    fn check(&self, plans: &[Plan]) -> Result<(), BuildError> {
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
    async fn make(&self, plans: &[Plan], wanted: usize, output: &dyn BuildOutput) -> Result<Vec<PathBuf>, BuildError> {
        if self.finds_only {
            return plans[..wanted].iter().map(Plan::find).collect();
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
                let built = build(&beside, &now.iter().map(|index| &plans[*index]).collect::<Vec<_>>(), output).await?;
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

impl Metadata {
    fn package(&self, path: &Path) -> Option<&Package> {
        let real = fs::canonicalize(path).ok()?;
        self.packages.iter().find(|package| fs::canonicalize(&package.manifest_path).ok().as_ref() == Some(&real))
    }
}

impl Package {
    fn programs(&self) -> impl Iterator<Item = &Target> {
        self.targets.iter().filter(|target| target.is_program())
    }

    fn has_program(&self, name: &str) -> bool {
        self.programs().any(|program| program.name == name)
    }

    /// The module among the programs, and all that can be built; or, if the module can't be told, their names.
    fn choose(&self, features: &BTreeSet<String>) -> Result<(String, Vec<String>), Vec<String>> {
        let enabled = self.enabled(features);
        let built =
            |program: &&Target| program.required_features.iter().all(|feature| enabled.contains(feature.as_str()));
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

    /// All that these features, and the default ones, turn on.
    fn enabled<'a>(&'a self, features: &'a BTreeSet<String>) -> BTreeSet<&'a str> {
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

impl Plan {
    /// Where the program is, unless it is built for another target than that of this machine.
    fn file(&self) -> PathBuf {
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
    fn find(&self) -> Result<PathBuf, BuildError> {
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

/// The innermost directory, of this one and those around it in the workspace, in which cargo or rustup find a configuration; or else the
/// workspace.
fn configured(dir: &Path, workspace: &Path) -> PathBuf {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    let workspace = fs::canonicalize(workspace).unwrap_or_else(|_| workspace.to_owned());
    let files = [".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain"];
    let within = dir.ancestors().take_while(|dir| dir.starts_with(&workspace));
    let mut found = within.filter(|dir| files.iter().any(|file| dir.join(file).is_file())).map(Path::to_owned);
    let inner = found.next();
    // A package that names a workspace elsewhere has no directory in common with it.
    inner.unwrap_or_else(|| if dir.starts_with(&workspace) { workspace } else { dir.clone() })
}

async fn metadata(dir: &Path, path: &Path, output: &dyn BuildOutput) -> Result<Metadata, BuildError> {
    let mut command = cargo(dir);
    command.args(["metadata", "--no-deps", "--format-version=1"]);
    let no_cargo = |error| BuildError::NoCargo { error };
    let (running, mut stdout, stderr) = Running::start(command).map_err(no_cargo)?;
    let read = async {
        let mut json = Vec::new();
        stdout.read_to_end(&mut json).await?;
        io::Result::Ok((json, running.ended().await?))
    };
    let (read, unsaid) = tokio::join!(read, say(stderr, output));
    let (json, status) = read.map_err(no_cargo)?;
    if !status.success() {
        for line in &unsaid {
            output.line(line);
        }
        return Err(BuildError::Failed { paths: vec![path.to_owned()] });
    }
    serde_json::from_slice(&json).map_err(|error| no_cargo(error.into()))
}

/// Builds these, with the features that all of them ask for that are beside them. Returns their programs.
async fn build(beside: &[&Plan], wanted: &[&Plan], output: &dyn BuildOutput) -> Result<Vec<PathBuf>, BuildError> {
    let mut command = cargo(&beside[0].place);
    command.args(["build", "--message-format=json-render-diagnostics", "--profile", &beside[0].profile]);
    for plan in beside {
        // By its name alone it could not be told from others of the workspace and its dependencies.
        command.args(["--package", &plan.package.id]);
        for feature in &plan.features {
            let is_own = !feature.contains('/');
            command.arg("--features");
            command.arg(if is_own { format!("{}/{feature}", plan.package.name) } else { feature.clone() });
        }
    }
    for program in wanted.iter().flat_map(|plan| &plan.programs) {
        command.args(["--bin", program]);
    }
    if let Some(columns) = output.columns() {
        command.arg("--color=always");
        if env::var_os("CARGO_TERM_PROGRESS_WHEN").is_none() {
            command.env("CARGO_TERM_PROGRESS_WHEN", "always").env("CARGO_TERM_PROGRESS_WIDTH", columns.to_string());
        }
    }
    let no_cargo = |error| BuildError::NoCargo { error };
    let (running, stdout, stderr) = Running::start(command).map_err(no_cargo)?;
    let messages = async {
        let mut programs = BTreeMap::new();
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            // Dependencies may have programs too, and build scripts have an `executable`.
            if let Ok(CargoMessage { package_id: Some(id), executable: Some(executable), target: Some(target) }) =
                serde_json::from_str(&line)
                && target.is_program()
            {
                programs.insert((id, target.name), executable);
            }
        }
        io::Result::Ok((programs, running.ended().await?))
    };
    let (messages, unsaid) = tokio::join!(messages, say(stderr, output));
    let (mut programs, status) = messages.map_err(no_cargo)?;
    if !status.success() {
        for line in &unsaid {
            output.line(line);
        }
    }
    let built = wanted.iter().map(|plan| programs.remove(&(plan.package.id.clone(), plan.program.clone()))).collect();
    let built: Option<Vec<_>> = Some(built).filter(|_| status.success()).flatten();
    built.ok_or_else(|| BuildError::Failed { paths: wanted.iter().map(|plan| plan.path.clone()).collect() })
}

/// Cargo in this directory, whose `.cargo/config.toml` and `rust-toolchain.toml` count.
fn cargo(dir: &Path) -> Command {
    // What it has set when `ixt` itself was started by cargo is about `ixt`, and would stand before the module's toolchain.
    let started_by_cargo = env::var_os("CARGO_MANIFEST_DIR").is_some();
    let program = env::var_os("CARGO").filter(|_| !started_by_cargo);
    let mut cargo = Command::new(from_here(program.unwrap_or_else(|| "cargo".into()).into()));
    if started_by_cargo {
        cargo.env_remove("RUSTUP_TOOLCHAIN");
    }
    // What the service manager says to the host is not for build scripts.
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().and_then(reserved_variable).is_some()) {
        cargo.env_remove(name);
    }
    for name in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
        // A relative one is from here.
        if let Some(Ok(target)) = env::var_os(name).map(path::absolute) {
            cargo.env(name, target);
        }
    }
    cargo.current_dir(dir);
    cargo
}

/// Cargo, which ends with all that it has started when this is dropped.
struct Running {
    group: ProcessGroup,
    /// It is waited for in any case, and never by anybody else.
    ended: JoinHandle<io::Result<ExitStatus>>,
}

impl Running {
    fn start(mut command: Command) -> io::Result<(Self, ChildStdout, ChildStderr)> {
        // Rustc and build scripts are in its group too.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = reaper::spawn(&mut command)?;
        let (group, pid) = (ProcessGroup::of(&child), child.id());
        let stdout = child.stdout.take().expect("stdout is piped");
        let stderr = child.stderr.take().expect("stderr is piped");
        let ended = tokio::spawn(async move {
            let status = child.wait().await;
            if let Some(pid) = pid {
                reaper::reaped(pid);
            }
            status
        });
        Ok((Self { group, ended }, stdout, stderr))
    }

    /// Waits until cargo itself has ended, and ends what it has left behind.
    async fn ended(mut self) -> io::Result<ExitStatus> {
        let status = (&mut self.ended).await.map_err(io::Error::other)?;
        self.group.end();
        status
    }
}

/// Says what cargo writes, once that has taken a while. Returns the lines that were not said.
async fn say(mut cargo: impl AsyncRead + Unpin, output: &dyn BuildOutput) -> Vec<String> {
    let mut written = Vec::new();
    let mut unsaid = Vec::new();
    let silence = Instant::now() + SILENCE;
    while let Ok(read) = timeout_at(silence, cargo.read_buf(&mut written)).await {
        let has_ended = !matches!(read, Ok(1..));
        take_lines(&mut written, has_ended, output, &mut |line| unsaid.push(line.to_owned()));
        if has_ended {
            return unsaid;
        }
    }
    for line in &unsaid {
        output.line(line);
    }
    loop {
        let has_ended = !matches!(cargo.read_buf(&mut written).await, Ok(1..));
        take_lines(&mut written, has_ended, output, &mut |line| output.line(line));
        if has_ended {
            output.progress("");
            return Vec::new();
        }
        if output.columns().is_some() && written.ends_with(b"\r") {
            let progress = written[..written.len() - 1].rsplit(|byte| *byte == b'\r').next().unwrap_or_default();
            output.progress(&shown(progress.strip_prefix(ERASE).unwrap_or(progress)));
            written.clear();
        }
    }
}

/// With this cargo takes away what it was at before it says anything else.
const ERASE: &[u8] = b"\x1b[K";

/// Takes the lines that are complete, without what cargo was at before them.
fn take_lines(written: &mut Vec<u8>, has_ended: bool, output: &dyn BuildOutput, line: &mut dyn FnMut(&str)) {
    if has_ended && !written.is_empty() && !written.ends_with(b"\n") {
        written.push(b'\n');
    }
    let end = written.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    for mut text in written[..end].split_inclusive(|byte| *byte == b'\n') {
        if output.columns().is_some() {
            let erased = text.windows(ERASE.len() + 1).rposition(|bytes| bytes == b"\r\x1b[K");
            text = erased.map_or(text, |erased| &text[erased + 1..]);
            text = text.strip_prefix(ERASE).unwrap_or(text);
        }
        line(&shown(text.strip_suffix(b"\n").unwrap_or(text)));
    }
    written.drain(..end);
}

/// What the compiler quotes and what build scripts say is text from outside.
fn shown(text: &[u8]) -> String {
    harmless_lines(&String::from_utf8_lossy(text), "")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::io::{AsyncWriteExt as _, duplex};
    use tokio::sync::mpsc;

    use super::*;

    /// What is said, in order; progress in brackets.
    struct Said(mpsc::UnboundedSender<String>, Option<u16>);

    impl BuildOutput for Said {
        fn line(&self, line: &str) {
            self.0.send(line.to_owned()).unwrap();
        }

        fn progress(&self, text: &str) {
            self.0.send(format!("[{text}]")).unwrap();
        }

        fn columns(&self) -> Option<u16> {
            self.1
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_long_build_says_is_passed_on_as_it_comes() {
        let (mut cargo, stderr) = duplex(4096);
        let (said, mut lines) = mpsc::unbounded_channel();
        let saying = tokio::spawn(async move { say(stderr, &Said(said, Some(40))).await });
        let escape = "\u{1b}[1m";
        cargo.write_all(format!("{escape}Compiling\u{1b}[0m a\n  Building 1/3\r").as_bytes()).await.unwrap();
        // The clock goes on when nothing else is left to do.
        assert_eq!(lines.recv().await.unwrap(), format!("{escape}Compiling\u{1b}[0m a"));
        cargo.write_all(b"\x1b[K  Building 2/3\r").await.unwrap();
        assert_eq!(lines.recv().await.unwrap(), "[  Building 2/3]");
        // It is taken away before the next line, with which it may come together.
        cargo.write_all(b"  Building 3/3\r\x1b[Kwarning: a\x1b[Kb\n").await.unwrap();
        assert_eq!(lines.recv().await.unwrap(), "warning: a\\u{1b}[Kb");
        cargo.write_all(b"no line end").await.unwrap();
        drop(cargo);
        assert_eq!(lines.recv().await.unwrap(), "no line end");
        assert_eq!(lines.recv().await.unwrap(), "[]");
        assert_eq!(saying.await.unwrap(), [""; 0]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_short_build_says_is_kept_for_whoever_needs_it() {
        let said = Mutex::new(Vec::new());
        let output = |line: &str| said.lock().unwrap().push(line.to_owned());
        let unsaid = say(&b"warning: a\rb\nerror"[..], &output).await;
        assert_eq!(unsaid, ["warning: a\\rb", "error"]);
        assert!(said.lock().unwrap().is_empty());
    }
}
