//! A host: its modules, what they share, and what can be done with them from outside.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ixt_protocol::{Object, Priority, code};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::bus::{Bus, BusError, CallHandle, Envelope, HOST_SOURCE, LocalBus, ReplyTo, WriteBatch};
use crate::call_log::CallLog;
use crate::guard::Entry;
use crate::instance::StartError;
use crate::kv::{FILE_QUOTA, KvStore, MEMORY_QUOTA, OpenError, Quotas, RedbStore};
use crate::lock::lock;
use crate::logs::Logs;
use crate::machine::Machine;
use crate::module::no_module;
use crate::module_router::{ModuleRouter, Unregistered};
use crate::restart::{self, Loader, Notice, refusal};
use crate::services::{Backends, new_trace_id};
use crate::status::{ModuleStatus, State};
use crate::supervisor::{RestartTurn, Supervisor};
use crate::trace::Spans;
use crate::{CallError, Deployment, Module, Settings, connection, file_limit, order};

/// Why a host does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostError {
    /// Two modules have the same name.
    SameName {
        /// The name.
        name: String,
    },
    /// Two modules provide the same service.
    SameTopic {
        /// The service's topic.
        topic: String,
        /// The modules.
        modules: [String; 2],
    },
    /// The store of keys and values can't be opened.
    Kv(OpenError),
    /// The message bus did not take a topic, for another reason than that somebody else provides it.
    Bus {
        /// The topic of a service, or of an event that a module subscribes to.
        topic: String,
        /// Why.
        error: BusError,
    },
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameName { name } => {
                write!(
                    f,
                    "two modules have the name `{name}`: for more processes of one module, give their number instead"
                )
            }
            Self::SameTopic { topic, modules: [one, other] } => {
                write!(f, "both `{one}` and `{other}` provide `{topic}`: a topic has one provider")
            }
            Self::Kv(error) => error.fmt(f),
            Self::Bus { topic, error } => write!(f, "`{topic}` can't be registered: {error}"),
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kv(error) => std::error::Error::source(error),
            Self::Bus { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// What a host is made of.
pub struct HostBuilder {
    settings: Settings,
    modules: Vec<Deployment>,
    loader: Option<Arc<dyn Loader>>,
    bus: Arc<dyn Bus>,
    kv: Option<Arc<dyn KvStore>>,
    logs: Logs,
    call_log: CallLog,
    spans: Spans,
}

impl HostBuilder {
    /// Adds a module.
    ///
    /// # Errors
    ///
    /// If there is one with its name.
    pub fn module(&mut self, module: Deployment) -> Result<&mut Self, HostError> {
        if self.modules.iter().any(|other| other.name() == module.name()) {
            return Err(HostError::SameName { name: module.name().to_owned() });
        }
        self.modules.push(module);
        Ok(self)
    }

    /// Reads modules anew when they are [reloaded](Host::reload). Without one they are then started as they were.
    pub fn loader(&mut self, loader: Arc<dyn Loader>) -> &mut Self {
        self.loader = Some(loader);
        self
    }

    /// Sets the message bus; the default is a [`LocalBus`]. The host closes it when it ends.
    pub fn bus(&mut self, bus: Arc<dyn Bus>) -> &mut Self {
        self.bus = bus;
        self
    }

    /// Another store of keys and values than the one in the data directory. Quotas are its own matter.
    pub fn kv(&mut self, kv: Arc<dyn KvStore>) -> &mut Self {
        self.kv = Some(kv);
        self
    }

    /// A span for each call goes here, and one for each event that is taken, within that of the call for which it was made:
    /// a call through several modules is one trace. The exporter is called by a task, so that it should not block.
    ///
    /// # Panics
    ///
    /// Outside of a runtime of tokio.
    #[cfg(feature = "otel")]
    pub fn spans(
        &mut self,
        exporter: impl opentelemetry_sdk::trace::SpanExporter + 'static,
        options: crate::SpanOptions,
    ) -> &mut Self {
        self.spans = Spans::new(exporter, options, &self.logs);
        self
    }

    /// The log, which can be followed before the host starts.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Registers the modules' topics at the message bus, and starts the modules, those that others require first, without
    /// waiting until they are ready: see [`Host::ready`]. Raises this process's limit of open files to the hard limit; modules get
    /// what it was before. If the future is dropped, nothing is started, and the topics are given back.
    ///
    /// # Errors
    ///
    /// If two modules provide the same service, the store can't be opened, or the message bus does not take a topic.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn start(self) -> Result<Host, HostError> {
        let Self { settings, modules, loader, bus, kv, logs, call_log, spans } = self;
        file_limit::raise();
        let quotas = |each| Quotas { each: settings.kv_quota.unwrap_or(each), namespaces: settings.kv_quotas.clone() };
        let kv = match (kv, &settings.data_dir) {
            (Some(kv), _) => kv,
            (None, Some(dir)) => Arc::new(RedbStore::open_with(dir, quotas(FILE_QUOTA)).map_err(HostError::Kv)?),
            (None, None) => Arc::new(RedbStore::ephemeral_with(quotas(MEMORY_QUOTA)).map_err(HostError::Kv)?),
        };
        let (memory, connections) = (Budget::new(MEMORY_BYTES), connection::SharedLimits::default());
        let machine = Machine::new(&settings, &logs);
        let backends = Backends { bus, kv, logs, spans, call_log, memory, connections, machine };
        let failures = watch::Sender::new(None);
        let modules: Arc<[_]> = modules
            .into_iter()
            .map(|module| ModuleRouter::new(module.into_release(), settings.call_timeout, &backends, failures.clone()))
            .collect();
        let supervisor = Supervisor { modules, backends, settings: Arc::new(settings) };
        let manifests: Vec<_> = supervisor.modules.iter().map(|router| Arc::clone(router.release().module())).collect();
        let groups = order::groups(&manifests.iter().map(|module| module.manifest()).collect::<Vec<_>>());
        let (starts, started) = (Mutex::default(), SystemTime::now());
        // From here on the topics are given back, also if this is dropped or fails.
        let host = Host(Arc::new(Shared { supervisor, groups, loader, failures, starts, started }));
        connect(&host.0.supervisor).await?;
        *lock(&host.0.starts) = Some(start(&host.0.supervisor, &host.0.groups));
        Ok(host)
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What waits in a host takes no more than this: requests, events, what was not read yet.
const MEMORY_BYTES: usize = 160 * 1024 * 1024;

/// How long [`Host::shutdown`] waits until other hosts know that its topics are free.
const BUS_CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Brings the modules to the bus, and tells what is missing there.
async fn connect(supervisor: &Supervisor) -> Result<(), HostError> {
    for router in supervisor.modules.iter() {
        router.connect(&router.release()).await.map_err(|Unregistered { topic, error }| match error {
            BusError::AlreadyProvided => {
                let is_first =
                    |other: &&Arc<ModuleRouter>| other.name() != router.name() && other.release().provides(&topic);
                let first = supervisor.modules.iter().find(is_first);
                let first = first.map_or_else(|| "another host".to_owned(), |first| first.name().to_owned());
                HostError::SameTopic { topic, modules: [first, router.name().to_owned()] }
            }
            error => HostError::Bus { topic, error },
        })?;
    }
    supervisor.set_durable();
    for router in supervisor.modules.iter() {
        router.disconnect().await;
        supervisor.warn(&router.release()).await;
    }
    Ok(())
}

/// Starts the modules, group by group. Gives what became of the first attempt to start each process.
fn start(supervisor: &Supervisor, groups: &[Vec<usize>]) -> oneshot::Receiver<Vec<StartError>> {
    let turn = watch::Sender::new(0);
    let mut firsts = Vec::new();
    for (index, group) in groups.iter().enumerate() {
        let mut of_group = Vec::new();
        for router in group.iter().map(|index| &supervisor.modules[*index]) {
            let release = router.release();
            for _ in 0..release.deployment().instances {
                let Some(replica) = router.add_replica(&release, None, router.start_permit()) else { continue };
                let (mut turn, waiting) = (turn.subscribe(), Arc::clone(&replica));
                let its_turn = async move {
                    tokio::select! {
                        // Its sender is gone when all of them have had their turn.
                        _ = turn.wait_for(|turn| *turn >= index) => {}
                        () = waiting.retired() => {}
                    }
                };
                of_group.push(supervisor.run(router, &replica, None, its_turn));
            }
        }
        firsts.push(of_group);
    }
    let (done, starts) = oneshot::channel();
    tokio::spawn(async move {
        let mut failed = Vec::new();
        for (index, group) in firsts.into_iter().enumerate() {
            turn.send_replace(index);
            for first in group {
                // One that was stopped meanwhile is none to wait for.
                if let Ok(Err(error)) = first.await {
                    failed.push(error);
                }
            }
        }
        let _ = done.send(failed);
    });
    starts
}

struct Shared {
    supervisor: Supervisor,
    /// In which order they are started; they are ended the other way round.
    groups: Vec<Vec<usize>>,
    loader: Option<Arc<dyn Loader>>,
    failures: watch::Sender<Option<String>>,
    /// What became of the first attempts to start each process.
    starts: Mutex<Option<oneshot::Receiver<Vec<StartError>>>>,
    started: SystemTime,
}

impl Shared {
    async fn stop(&self) -> Vec<String> {
        let Supervisor { modules, backends, settings } = &self.supervisor;
        let mut complaints = Vec::new();
        // None of them is started any more, whoever asks for it.
        for router in modules.iter() {
            router.close();
            for replica in router.replicas() {
                if replica.state() == State::Failed {
                    let reason = replica.reason().map_or_else(String::new, |reason| format!(": {reason}"));
                    complaints.push(format!("`{}` has failed{reason}", router.name()));
                }
                if replica.state() != State::Ready {
                    replica.retire();
                }
            }
        }
        for group in self.groups.iter().rev() {
            let replicas: Vec<_> = group.iter().flat_map(|index| modules[*index].replicas()).collect();
            for replica in &replicas {
                replica.retire();
            }
            for replica in replicas {
                replica.stopped().await;
                if let Some(reason) = replica.end_reason() {
                    complaints.push(format!("{}: {reason}", replica.id()));
                }
            }
        }
        backends.machine.end(settings.exit_grace).await;
        complaints
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for router in self.supervisor.modules.iter() {
            router.end();
        }
        // Other hosts learn of it in time: there is nobody to wait for that.
        drop(self.supervisor.backends.bus.close());
        self.supervisor.backends.logs.close();
    }
}

/// Modules that run. All handles are of the same host; with the last one the processes are killed.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

/// How to call.
#[derive(Debug, Clone, Copy, Default)]
pub struct CallOptions {
    /// How urgent it is.
    pub priority: Priority,
    /// How long the caller waits; if it does not say, as long as the service's manifest says, or for ever.
    pub ttl: Option<Duration>,
}

impl Host {
    /// A host without modules.
    #[must_use]
    pub fn builder(settings: Settings) -> HostBuilder {
        let logs = Logs::default();
        let call_log = CallLog::new(logs.clone(), settings.log_calls);
        let refusals = call_log.clone();
        let bus = Arc::new(LocalBus::reporting(move |envelope, message| refusals.not_provided(envelope, message)));
        let spans = Spans::default();
        HostBuilder { settings, modules: Vec::new(), loader: None, bus, kv: None, logs, call_log, spans }
    }

    /// Waits until each process is ready or has failed to be. One that has failed is started again after a while, unless
    /// [`Restart`](crate::Restart) says otherwise.
    ///
    /// # Errors
    ///
    /// The first error of a process that could not be started, once.
    pub async fn ready(&self) -> Result<(), StartError> {
        let starts = lock(&self.0.starts).take();
        let Some(starts) = starts else { return Ok(()) };
        match starts.await.unwrap_or_default().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Calls a service. A call that is dropped is cancelled. The answer is as it came, and is read with [`Object::read`].
    ///
    /// # Errors
    ///
    /// The module's own error reply, `NOT_FOUND` if nobody provides the topic, `UNAVAILABLE` if the module does not run, or
    /// that its process has ended.
    pub async fn call(&self, topic: &str, payload: &[u8], options: CallOptions) -> Result<Object<'static>, CallError> {
        self.call_as(None, topic, payload, options).await
    }

    /// The same by whom this is, if it is not the host itself.
    pub(crate) async fn call_as(
        &self,
        source: Option<Arc<str>>,
        topic: &str,
        payload: &[u8],
        options: CallOptions,
    ) -> Result<Object<'static>, CallError> {
        struct CancelOnDrop(Option<CallHandle>);
        impl Drop for CancelOnDrop {
            fn drop(&mut self) {
                if let Some(pending) = self.0.take() {
                    pending.cancel(&mut WriteBatch::none());
                }
            }
        }
        let (sender, answer) = oneshot::channel();
        let reply = ReplyTo::new(move |result, _| drop(sender.send(CallError::of(result))));
        let message = message(source, topic, payload, options);
        let mut pending =
            CancelOnDrop(Some(self.0.supervisor.backends.bus.call(message, reply, &mut WriteBatch::none())));
        let answer = answer.await;
        pending.0 = None;
        answer.unwrap_or_else(|_| Err(CallError::Gone { reason: "the host has ended".to_owned() }))
    }

    /// Publishes an event.
    ///
    /// # Errors
    ///
    /// That of the bus; the one within this process has none.
    pub async fn publish(&self, topic: &str, payload: &[u8]) -> Result<(), CallError> {
        self.publish_as(None, topic, payload).await
    }

    /// The same by whom this is, if it is not the host itself.
    pub(crate) async fn publish_as(
        &self,
        source: Option<Arc<str>>,
        topic: &str,
        payload: &[u8],
    ) -> Result<(), CallError> {
        let (sender, answer) = oneshot::channel();
        let reply = ReplyTo::new(move |result, _| drop(sender.send(CallError::of(result))));
        self.0.supervisor.backends.bus.publish(
            message(source, topic, payload, CallOptions::default()),
            reply,
            &mut WriteBatch::none(),
        );
        match answer.await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(CallError::Gone { reason: "the host has ended".to_owned() }),
        }
    }

    /// The modules, as they run now.
    pub fn modules(&self) -> impl Iterator<Item = Arc<Module>> {
        self.0.supervisor.modules.iter().map(|router| Arc::clone(router.release().module()))
    }

    pub(crate) fn routers(&self) -> &[Arc<ModuleRouter>] {
        &self.0.supervisor.modules
    }

    pub(crate) fn spans(&self) -> &Spans {
        &self.0.supervisor.backends.spans
    }

    /// When it was started.
    pub(crate) fn started(&self) -> SystemTime {
        self.0.started
    }

    /// How the modules are.
    #[must_use]
    pub fn status(&self) -> Vec<ModuleStatus> {
        self.0.supervisor.modules.iter().map(|module| module.status()).collect()
    }

    /// The log.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.supervisor.backends.logs
    }

    /// Whoever removes what a host has left that was killed is told of its control socket.
    pub(crate) fn has_control(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            self.0.supervisor.backends.machine.tell(Entry::Control(path));
        }
    }

    /// What waits in the host takes no more than this.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.0.supervisor.backends.memory
    }

    /// The store of keys and values. The namespaces are the modules' names.
    #[must_use]
    pub fn kv(&self) -> &Arc<dyn KvStore> {
        &self.0.supervisor.backends.kv
    }

    /// Starts the processes of a module anew, as they are: a new one beside each that runs, which takes over when it is ready, while the
    /// old one finishes what it has begun (see [`HOST.md`](crate::guide)). Returns when each has taken over, and the old ones have ended.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such module, `UNAVAILABLE` if a process does not get ready; then the old one goes on.
    pub async fn restart(&self, module: &str) -> Result<(), CallError> {
        let router = self.find(module)?;
        let turn = RestartTurn::of(router).await;
        self.0.supervisor.replace(router, router.release(), turn).await
    }

    /// The same with what the module is now: its manifest, configuration and program are [loaded](HostBuilder::loader) anew, and built
    /// if that is wanted. `notify` is told what is done, before it is done.
    ///
    /// If this is dropped while it loads, nothing happens; what was begun after that goes on.
    ///
    /// # Errors
    ///
    /// Those of [`restart`](Self::restart), and `FAILED_PRECONDITION` if it can't be loaded, or provides what another module does.
    pub async fn reload(
        &self,
        module: &str,
        build: bool,
        notify: &(dyn Fn(Notice) + Send + Sync),
    ) -> Result<(), CallError> {
        self.reload_one(self.find(module)?, build, false, notify).await.map(drop)
    }

    /// [Reloads](Self::reload) those modules of which something has changed: the manifest, the configuration, the program (and, where cargo
    /// does not build it, files with its extension in the module's directory). One after the other; `notify` is told of which module it
    /// hears. Gives for each whether it was replaced, or why not.
    pub async fn reload_changed(
        &self,
        build: bool,
        notify: &(dyn Fn(&str, Notice) + Send + Sync),
    ) -> Vec<(String, Result<bool, CallError>)> {
        let mut results = Vec::new();
        for router in self.0.supervisor.modules.iter() {
            let name = router.name();
            let notify = |notice: Notice| notify(name, notice);
            results.push((name.to_owned(), self.reload_one(router, build, true, &notify).await));
        }
        results
    }

    /// Whether it was replaced: if `only_changed`, it is not where there is no difference.
    async fn reload_one(
        &self,
        router: &Arc<ModuleRouter>,
        build: bool,
        only_changed: bool,
        notify: &(dyn Fn(Notice) + Send + Sync),
    ) -> Result<bool, CallError> {
        if router.restarting.try_lock().is_err() {
            notify(Notice::Step("another restart of it is under way, for which this one waits".to_owned()));
        }
        let turn = RestartTurn::of(router).await;
        // One that was stopped by hand stays so.
        if only_changed && router.replicas().iter().all(|replica| replica.is_retired()) {
            return Ok(false);
        }
        let running = router.release();
        let release = match &self.0.loader {
            Some(loader) => restart::load(&**loader, &running, build, notify).await?,
            None => Arc::clone(&running),
        };
        if only_changed && release.is_same(&running) {
            return Ok(false);
        }
        self.0.supervisor.replace(router, release, turn).await.map(|()| true)
    }

    /// Waits until a process has failed, and is not started again by itself: see [`Restart::give_up`](crate::Restart::give_up). Tells
    /// which, and why.
    pub async fn failed(&self) -> String {
        let mut failures = self.0.failures.subscribe();
        let failure = failures.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        // Its sender is this host's.
        failure.unwrap_or_default()
    }

    /// Shuts a module down; it stays so until it is [restarted](Host::restart). Returns when it has ended.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such module.
    pub async fn stop(&self, module: &str) -> Result<(), CallError> {
        let replicas = self.find(module)?.stop();
        for replica in &replicas {
            replica.stopped().await;
        }
        Ok(())
    }

    /// Shuts all modules down, those that require others first: each finishes what it has begun, and is ended if it does
    /// not. Tells of those that did not end well. Nothing is left running.
    pub async fn shutdown(self) -> Vec<String> {
        let complaints = self.0.stop().await;
        let _ = tokio::time::timeout(BUS_CLOSE_TIMEOUT, self.0.supervisor.backends.bus.close()).await;
        self.0.supervisor.backends.spans.shutdown().await;
        self.0.supervisor.backends.logs.close();
        complaints
    }

    fn find(&self, module: &str) -> Result<&Arc<ModuleRouter>, CallError> {
        let modules = &self.0.supervisor.modules;
        let found = modules.iter().find(|router| router.name() == module);
        let names = modules.iter().map(|router| router.name());
        found.ok_or_else(|| refusal(code::NOT_FOUND, no_module(module, names)))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.supervisor.modules.iter().map(|router| router.name())).finish()
    }
}

fn message<'a>(source: Option<Arc<str>>, topic: &'a str, payload: &'a [u8], options: CallOptions) -> Envelope<'a> {
    Envelope {
        priority: options.priority,
        deadline: options.ttl.and_then(|ttl| Instant::now().checked_add(ttl)),
        ..Envelope::new(topic, payload, source.unwrap_or_else(|| HOST_SOURCE.into()), new_trace_id())
    }
}
