//! Makes deployments of the modules of `ixt run`: at the start, and again at each restart by `ixt restart` or SIGHUP, which reads the
//! manifest, the host's file and the configuration again. A process that is restarted because it has ended keeps its deployment. The
//! processes are replaced by `ixt_host`.

use std::path::PathBuf;

use ixt_host::{
    BuildError, Config, ConfigError, Deployment, LoadRequest, Loader, Loading, Module, Notice, Program, ProgramError,
};
use ixt_manifest::Report;

use crate::args::{BuildOptions, RunArgs, Setting};
use crate::building;
use crate::configuration::{ConfigSources, HostFile, ModuleTable};

/// The options of `ixt run` that concern its modules. It is the host's [`Loader`], and does not change: a reload reads files, but the
/// command line stays as it was at the start.
pub(super) struct Deployer {
    /// The path of the host's file, `--config`, which is read again at each reload. `None`: there is none.
    file: Option<PathBuf>,
    /// `--set`: modules and settings. Files and credentials are read again at each reload.
    set: Vec<(String, Setting)>,
    /// `--instances`: modules and the numbers of their processes. The first one for a module counts.
    instances: Vec<(String, u32)>,
    /// How cargo builds modules. [`building::builds`] says what the file adds to it.
    build: BuildOptions,
    /// The directories of all modules, with which a module is built: their features count for it.
    dirs: Vec<PathBuf>,
    /// The host's settings in the file when the host was started, as [`settings`] shows them, to notice a change.
    settings: String,
}

impl Deployer {
    /// `file` is the host's file as it is at the start, `modules` are all modules of the host. Reads nothing.
    pub(super) fn new(args: &RunArgs, file: &HostFile, modules: &[Module]) -> Self {
        Self {
            settings: settings(file),
            file: args.config.clone(),
            set: args.set.clone(),
            instances: args.instances.clone(),
            build: args.build.clone(),
            dirs: modules.iter().map(|module| module.dir().to_owned()).collect(),
        }
    }

    /// A deployment of a module: what the host is to run. `[modules.NAME]` of the file adds environment variables and timeouts. The number
    /// of processes is that of `--instances`, or else that of the file, or else 1. The error is that a required key of `config` is missing.
    pub(super) fn deployment(
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
        let given = self.instances.iter().find(|(module, _)| module == name).map(|(_, instances)| *instances);
        let instances = given.or(table.and_then(|table| table.instances?.get().into())).unwrap_or(1);
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

    /// Reads a running module again, and builds it if `build` is set, without a timeout. Starts and ends no process of the module. Progress
    /// and reports go to `notify`, also that settings of the host itself have changed, which have no effect now. The error is one sentence;
    /// then the module goes on as it was. If cargo can't be run for the build, `notify` gets that. Then, and without `build`, the program
    /// is that of the last build, or, if cargo can't say where that is, the one that runs.
    async fn read(&self, request: LoadRequest<'_>) -> Result<Deployment, String> {
        let LoadRequest { running, build, notify, guard, .. } = request;
        let wrong = |report: Report, what: &str| {
            notify(Notice::Report(report.to_string()));
            format!("{what}; see above")
        };
        let module = Module::open(running.module().dir()).map_err(|report| wrong(report, "its manifest is wrong"))?;
        let file = HostFile::of(self.file.as_deref());
        let name = module.manifest().module.name.as_str();
        let config = ConfigSources::of_module(name, &file, &self.set).config(module.manifest(), module.source());
        let config = config.map_err(|report| wrong(report, "its configuration is wrong"))?;
        if settings(&file) != self.settings {
            let what = "the host's own settings in the file of --config ([start], [restart], [health], [calls], [shutdown] and quotas) have \
                        changed: they take effect at the host's next start";
            notify(Notice::Step(what.to_owned()));
        }
        // Modules of one workspace are built together. A mistake in another manifest does not matter here.
        let is_it = |dir: &PathBuf| dir == running.module().dir();
        let others = self.dirs.iter().filter(|dir| !is_it(dir)).filter_map(|dir| Module::open(dir).ok());
        let modules: Vec<_> = std::iter::once(module.clone()).chain(others).collect();
        let builds = building::builds(&self.build, &file, &modules).guarded_by(guard);
        let output = |line: &str| notify(Notice::Build(format!("{line}\n")));
        let mut program = Err(ProgramError::Build(BuildError::NoCargo { error: std::io::ErrorKind::NotFound.into() }));
        if build {
            program = builds.program(name, &output).await;
        }
        if let Err(ProgramError::Build(BuildError::NoCargo { error })) = &program {
            if build {
                notify(Notice::Step(format!("cargo can't be run ({error}): the program that is there is started")));
            }
            program = match builds.without_building().program(name, &output).await {
                // Without cargo nothing says where the program is, so that the running one is taken.
                Err(ProgramError::Build(BuildError::NoCargo { .. })) => Ok(Some(running.program().clone())),
                program => program,
            };
        }
        let program = program.map_err(|error| error.to_string())?.unwrap_or_else(|| running.program().clone());
        self.deployment(&module, program, &config, &file).map_err(|error| error.to_string())
    }
}

/// The host's settings in the file as text, to find out whether they have changed. `data_dir`, `log_dir`, the limits of the log files and
/// `[http]` are not in it. They hold no secrets.
fn settings(file: &HostFile) -> String {
    format!("{:?}", file.settings())
}

impl Loader for Deployer {
    fn load<'a>(&'a self, request: LoadRequest<'a>) -> Loading<'a> {
        Box::pin(self.read(request))
    }
}
