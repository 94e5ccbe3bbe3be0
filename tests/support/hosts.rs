//! Hosts for tests, with actors: modules that do what a script in the request says (`tests/actor`).

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

/// The program of a module.
///
/// # Errors
///
/// See [`Module::program`].
pub async fn program(module: &Module) -> Result<Program, ProgramError> {
    module.program(&Build::default(), &|line: &str| eprintln!("{line}")).await
}

/// A host that is not started yet.
pub struct Hosts {
    dir: tempfile::TempDir,
    /// Its settings. By default no process is restarted.
    pub settings: Settings,
    modules: Vec<Planned>,
    loader: Option<Arc<dyn Loader>>,
}

struct Planned {
    module: Module,
    program: Program,
    config: Vec<(String, String)>,
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

    /// Processes that end are restarted at once, this often within a long time.
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

    /// Sets the loader, which reads modules again at a restart.
    #[must_use]
    pub fn loader(mut self, loader: Arc<dyn Loader>) -> Self {
        self.loader = Some(loader);
        self
    }

    /// Adds an actor. `rest` are the lines of its manifest beside its name and version.
    ///
    /// # Panics
    ///
    /// If the manifest is wrong.
    #[must_use]
    pub fn actor(self, name: &str, rest: &str) -> Self {
        self.actors(name, rest, 1)
    }

    /// Adds an actor with several processes.
    ///
    /// # Panics
    ///
    /// If the manifest is wrong.
    #[must_use]
    pub fn actors(self, name: &str, rest: &str, instances: u32) -> Self {
        self.program(name, rest, instances, Program::new(build("actor")))
    }

    /// Adds a module with this program.
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

    /// Adds a module of this workspace.
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

    /// Adds a module of this workspace whose manifest names the program.
    ///
    /// # Panics
    ///
    /// If there is none, or it does not say.
    pub async fn artifact(self, path: &str) -> Self {
        let module = Module::open(workspace().join(path)).unwrap_or_else(|report| panic!("{report}"));
        let program = program(&module).await.unwrap();
        self.module(path, program, &[])
    }

    /// The builder, with all modules.
    ///
    /// # Panics
    ///
    /// If a module is wrong.
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

    /// Starts the host, and waits until all modules are ready.
    ///
    /// # Panics
    ///
    /// If that fails.
    pub async fn start(self) -> Started {
        let host = self.builder().start().await.unwrap();
        let logs = host.logs().follow_all();
        host.ready().await.unwrap();
        Started { host, logs, files: self.dir }
    }

    /// Starts the host, without waiting for the modules.
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
    logs: Follower,
    /// The directory that has one for each module.
    pub files: tempfile::TempDir,
}

impl Started {
    /// Calls an actor with this script. Returns the answer as JSON.
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
    /// If the answer is not JSON.
    pub async fn ask_with(&self, topic: &str, script: Value, options: CallOptions) -> Result<Value, CallError> {
        let data = self.host.call(topic, script.to_string().as_bytes(), options).await?;
        Ok(data.read().unwrap())
    }

    /// Makes a call that has to fail. Returns the error's code and message.
    ///
    /// # Panics
    ///
    /// If it is none.
    pub async fn error(&self, topic: &str, script: Value) -> (String, String) {
        match self.ask(topic, script).await {
            Err(CallError::Replied(reply)) => (reply.code, reply.message),
            Err(CallError::Gone { reason }) => ("gone".to_owned(), reason),
            other => panic!("{topic} answers {other:?}"),
        }
    }

    /// Waits for a line of the log that contains this, from where the last one was found; returns its module and message.
    ///
    /// # Panics
    ///
    /// If there is none within a long time.
    pub async fn logged(&mut self, text: &str) -> (String, String) {
        let record = self.record(text).await;
        (record.module.clone(), record.message.clone())
    }

    /// Like [`logged`](Self::logged); returns the whole record.
    ///
    /// # Panics
    ///
    /// If there is none within a long time.
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

    /// Waits for the next line of the log.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub async fn logs_next(&mut self) -> Arc<Record> {
        self.logs.next().await.expect("the host has not ended")
    }

    /// The lines of the log that have come and were not returned yet.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(record) = self.logs.try_next() {
            lines.push(record.message.clone());
        }
        lines
    }

    /// The rest of the log of a host that has ended.
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
/// If there is none.
pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}
