//! Hosts in the test's own process, with real processes as modules. Mostly these are actors: modules that do what a script in the request
//! says (`tests/actor`).

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use ixt_host::logs::{Follower, Record};
use ixt_host::{
    Build, CallError, CallOptions, Config, Deployment, Host, HostBuilder, Loader, Module, Program, ProgramError,
    RestartPolicy, Settings,
};
use serde_json::Value;

use crate::{build, workspace};

/// The program of a module; builds it with cargo if the manifest names none. cargo's output goes to stderr.
///
/// # Errors
///
/// See [`Module::program`].
pub async fn program(module: &Module) -> Result<Program, ProgramError> {
    module.program(&Build::default(), &|line: &str| eprintln!("{line}")).await
}

/// A host that is not started yet: add its modules, and [start](Self::start) it.
pub struct Hosts {
    dir: tempfile::TempDir,
    /// Its settings. At first those of `Settings::default`, but without restarts: a process that ends has failed.
    pub settings: Settings,
    modules: Vec<Planned>,
    /// `None`: a reload starts the same deployment again.
    loader: Option<Arc<dyn Loader>>,
}

/// A module that is to be added.
struct Planned {
    module: Module,
    program: Program,
    /// Keys of its configuration, and their values as text.
    config: Vec<(String, String)>,
    /// The number of its processes.
    instances: u32,
}

impl Default for Hosts {
    fn default() -> Self {
        Self::new()
    }
}

impl Hosts {
    /// A host without modules.
    ///
    /// # Panics
    ///
    /// If there is no place for its files.
    #[must_use]
    pub fn new() -> Self {
        let mut settings = Settings::default();
        settings.restart = RestartPolicy::never();
        Self { dir: tempfile::tempdir().unwrap(), settings, modules: Vec::new(), loader: None }
    }

    /// Restarts processes that end, after some milliseconds, up to `intensity` times within an hour. Then they have failed.
    #[must_use]
    pub fn restarting(mut self, intensity: u32) -> Self {
        let mut restart = RestartPolicy::default();
        restart.give_up = true;
        restart.intensity = intensity;
        restart.window = Duration::from_secs(3600);
        restart.backoff = Duration::from_millis(1);
        restart.max_backoff = Duration::from_millis(10);
        self.settings.restart = restart;
        self
    }

    /// Sets the loader, which reads modules again at a reload.
    #[must_use]
    pub fn loader(mut self, loader: Arc<dyn Loader>) -> Self {
        self.loader = Some(loader);
        self
    }

    /// Adds an actor with one process. `rest` are the lines of its manifest behind `[module]`. Builds the programs.
    ///
    /// # Panics
    ///
    /// If the manifest is wrong.
    #[must_use]
    pub fn actor(self, name: &str, rest: &str) -> Self {
        self.actors(name, rest, 1)
    }

    /// Adds an actor with this many processes.
    ///
    /// # Panics
    ///
    /// If the manifest is wrong.
    #[must_use]
    pub fn actors(self, name: &str, rest: &str, instances: u32) -> Self {
        self.program(name, rest, instances, Program::new(build("actor")))
    }

    /// Adds a module with this program and this many processes. `rest` is as for [`actor`](Self::actor).
    ///
    /// # Panics
    ///
    /// If the manifest is wrong.
    #[must_use]
    pub fn program(mut self, name: &str, rest: &str, instances: u32, program: Program) -> Self {
        let dir = self.dir.path().join(name);
        fs::create_dir(&dir).unwrap();
        let manifest = format!("schema_version = \"3.0\"\n[module]\nname = \"{name}\"\nversion = \"1.0.0\"\n{rest}\n");
        fs::write(dir.join("manifest.toml"), manifest).unwrap();
        let module = Module::open(dir).unwrap_or_else(|report| panic!("{report}"));
        self.modules.push(Planned { module, program, config: Vec::new(), instances });
        self
    }

    /// Adds the module at this path in the workspace, with one process, this program, and these keys of its configuration.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn module(mut self, path: &str, program: Program, settings: &[(&str, &str)]) -> Self {
        let module = Module::open(workspace().join(path)).unwrap_or_else(|report| panic!("{report}"));
        let config = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        self.modules.push(Planned { module, program, config, instances: 1 });
        self
    }

    /// Adds the module at this path in the workspace, with the program that its manifest names, or else the one that cargo builds.
    ///
    /// # Panics
    ///
    /// If there is no such module, or no program.
    pub async fn artifact(self, path: &str) -> Self {
        let module = Module::open(workspace().join(path)).unwrap_or_else(|report| panic!("{report}"));
        let program = program(&module).await.unwrap();
        self.module(path, program, &[])
    }

    /// A builder with the settings, the loader and all modules, for a test that adds more to it. Keep this value until the host has ended:
    /// it removes the modules' directories when it is dropped.
    ///
    /// # Panics
    ///
    /// If a configuration is wrong, or two modules have one name.
    #[must_use]
    pub fn builder(&self) -> HostBuilder {
        let mut builder = Host::builder(self.settings.clone());
        if let Some(loader) = &self.loader {
            builder.loader(Arc::clone(loader));
        }
        for Planned { module, program, config: set, instances } in &self.modules {
            let mut config = Config::of(module.manifest());
            for (key, value) in set {
                config.set_text(key, value).unwrap();
            }
            let deployment = Deployment::new(module, program.clone(), &config).unwrap().instances(*instances);
            builder.module(deployment).unwrap();
        }
        builder
    }

    /// Starts the host, and waits until all processes are ready.
    ///
    /// # Panics
    ///
    /// If the host or a process does not start.
    pub async fn start(self) -> Started {
        let host = self.builder().start().await.unwrap();
        let logs = host.logs().follow_all();
        host.ready().await.unwrap();
        Started { host, logs, files: self.dir }
    }

    /// Starts the host, without waiting for its processes.
    ///
    /// # Panics
    ///
    /// If the host itself does not start.
    pub async fn begin(self) -> Started {
        let host = self.builder().start().await.unwrap();
        let logs = host.logs().follow_all();
        Started { host, logs, files: self.dir }
    }
}

/// A running host.
pub struct Started {
    /// The host.
    pub host: Host,
    /// All lines of the log; each is returned once.
    logs: Follower,
    /// The directory with a directory for each module that has no other place.
    pub files: tempfile::TempDir,
}

impl Started {
    /// Calls an actor with this script, with the default options, and waits. Returns the data of the reply as JSON.
    ///
    /// # Errors
    ///
    /// Those of the call.
    pub async fn ask(&self, topic: &str, script: Value) -> Result<Value, CallError> {
        self.ask_with(topic, script, CallOptions::default()).await
    }

    /// Like [`ask`](Self::ask), with options.
    ///
    /// # Errors
    ///
    /// Those of the call.
    ///
    /// # Panics
    ///
    /// If the data can't be read as JSON.
    pub async fn ask_with(&self, topic: &str, script: Value, options: CallOptions) -> Result<Value, CallError> {
        let data = self.host.call(topic, script.to_string().as_bytes(), options).await?;
        Ok(data.read().unwrap())
    }

    /// Makes a call that has to fail. Returns the error's code and message; the code is `gone` if no reply came, and the message is the
    /// reason.
    ///
    /// # Panics
    ///
    /// If the call succeeds, or the request is too long.
    pub async fn error(&self, topic: &str, script: Value) -> (String, String) {
        match self.ask(topic, script).await {
            Err(CallError::Replied(reply)) => (reply.code, reply.message),
            Err(CallError::Gone { reason }) => ("gone".to_owned(), reason),
            other => panic!("{topic} answers {other:?}"),
        }
    }

    /// Waits for a line of the log whose message contains this text, from the last line that was returned on. Returns its module and
    /// message.
    ///
    /// # Panics
    ///
    /// If there is none within 60 seconds, or the host ends.
    pub async fn logged(&mut self, text: &str) -> (String, String) {
        let record = self.record(text).await;
        (record.module.clone(), record.message.clone())
    }

    /// Like [`logged`](Self::logged); returns the whole record.
    ///
    /// # Panics
    ///
    /// If there is none within 60 seconds, or the host ends.
    pub async fn record(&mut self, text: &str) -> Arc<Record> {
        let search = async {
            loop {
                match self.logs.next().await {
                    Some(record) if record.message.contains(text) => return record,
                    Some(_) => {}
                    None => panic!("the log has no `{text}`"),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), search).await.unwrap_or_else(|_| panic!("no `{text}` is logged"))
    }

    /// Waits for the next line of the log, without a limit.
    ///
    /// # Panics
    ///
    /// If the host has ended.
    pub async fn logs_next(&mut self) -> Arc<Record> {
        self.logs.next().await.expect("the host has not ended")
    }

    /// The messages of the log that have come and were not returned yet. Does not wait.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(record) = self.logs.try_next() {
            lines.push(record.message.clone());
        }
        lines
    }

    /// The rest of the log's messages, up to the end of the host. Waits for that end: shut the host down before, and drop all other
    /// handles.
    pub async fn rest(mut self) -> Vec<String> {
        drop(self.host);
        let mut lines = Vec::new();
        while let Some(record) = self.logs.next().await {
            lines.push(record.message.clone());
        }
        lines
    }
}

/// Runs a test on a runtime with the real clock: a paused clock would let every timeout expire while the test waits for a process.
///
/// # Panics
///
/// If the system has no thread for the runtime.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}
