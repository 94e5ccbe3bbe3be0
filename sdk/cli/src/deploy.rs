//! What is run: modules with what the command line and the host's file say of them, at the start, and read anew at each restart.

use std::path::PathBuf;

use ixt_host::{BuildError, Config, ConfigError, Deployment, Loader, Loading, Module, Notice, Program, ProgramError};

use ixt_manifest::Report;

use crate::args::{BuildOptions, Run, Setting};
use crate::building;
use crate::configuration::{HostFile, ModuleTable, Said};

/// What `ixt run` was told of its modules.
pub(crate) struct Deployer {
    file: Option<PathBuf>,
    set: Vec<(String, Setting)>,
    instances: Vec<(String, u32)>,
    build: BuildOptions,
    /// Of all modules.
    dirs: Vec<PathBuf>,
    /// What the file has said of the host itself.
    settings: String,
}

impl Deployer {
    pub(crate) fn new(args: &Run, file: &HostFile, modules: &[Module]) -> Self {
        Self {
            settings: settings(file),
            file: args.config.clone(),
            set: args.set.clone(),
            instances: args.instances.clone(),
            build: args.build.clone(),
            dirs: modules.iter().map(|module| module.dir().to_owned()).collect(),
        }
    }

    pub(crate) fn deployment(
        &self,
        module: &Module,
        program: Program,
        config: &Config<'_>,
        file: &HostFile,
    ) -> Result<Deployment, ConfigError> {
        let name = module.manifest().module.name.as_str();
        let table = file.modules.get(name);
        let program = match table {
            Some(table) => table.program(program),
            None => program,
        };
        let said = self.instances.iter().find(|(module, _)| module == name).map(|(_, instances)| *instances);
        let instances = said.or(table.and_then(|table| table.instances?.get().into())).unwrap_or(1);
        let mut deployment = Deployment::new(module, program, config)?.instances(instances);
        let [connect, init] = table.map_or([None; 2], ModuleTable::start);
        if let Some(connect) = connect {
            deployment = deployment.connect_timeout(connect);
        }
        if let Some(init) = init {
            deployment = deployment.init_timeout(init);
        }
        Ok(deployment)
    }

    async fn read(
        &self,
        running: &Deployment,
        build: bool,
        notify: &(dyn Fn(Notice) + Send + Sync),
    ) -> Result<Deployment, String> {
        let wrong = |report: Report, what: &str| {
            notify(Notice::Report(report.to_string()));
            format!("{what}; see above")
        };
        let module = Module::open(running.module().dir()).map_err(|report| wrong(report, "its manifest is wrong"))?;
        let file = HostFile::of(self.file.as_deref());
        let name = module.manifest().module.name.as_str();
        let config = Said::of(name, &file, &self.set).config(module.manifest(), module.source());
        let config = config.map_err(|report| wrong(report, "its configuration is wrong"))?;
        if settings(&file) != self.settings {
            let what = "what the file of --config says of the host itself ([start], [restart], [health], [calls], [shutdown] and quotas) \
                        has changed: that holds from the host's next start";
            notify(Notice::Step(what.to_owned()));
        }
        // Those that are built with it; what is wrong with another one is of no concern here.
        let is_it = |dir: &PathBuf| dir == running.module().dir();
        let others = self.dirs.iter().filter(|dir| !is_it(dir)).filter_map(|dir| Module::open(dir).ok());
        let modules: Vec<_> = std::iter::once(module.clone()).chain(others).collect();
        let builds = building::builds(&self.build, &file, &modules);
        let output = |line: &str| notify(Notice::Build(format!("{line}\n")));
        let mut program = Err(ProgramError::Build(BuildError::NoCargo { error: std::io::ErrorKind::NotFound.into() }));
        if build {
            program = builds.program(name, &output).await;
        }
        if let Err(ProgramError::Build(BuildError::NoCargo { error })) = &program {
            if build {
                notify(Notice::Step(format!("cargo can't be run ({error}): its program is taken as it is")));
            }
            program = match builds.without_building().program(name, &output).await {
                // It tells where the program is, if it was built otherwise than now.
                Err(ProgramError::Build(BuildError::NoCargo { .. })) => Ok(Some(running.program().clone())),
                program => program,
            };
        }
        let program = program.map_err(|error| error.to_string())?.unwrap_or_else(|| running.program().clone());
        self.deployment(&module, program, &config, &file).map_err(|error| error.to_string())
    }
}

/// To be compared. There is no secret in it.
fn settings(file: &HostFile) -> String {
    format!("{:?}", file.settings())
}

impl Loader for Deployer {
    fn load<'a>(
        &'a self,
        running: &'a Deployment,
        build: bool,
        notify: &'a (dyn Fn(Notice) + Send + Sync),
    ) -> Loading<'a> {
        Box::pin(self.read(running, build, notify))
    }
}
