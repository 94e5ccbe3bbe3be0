//! A host: its modules, what they share, and what can be done with them from outside.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ixt_protocol::{LogLevel, Object, Payload, Priority, code};
use serde_json::value::RawValue;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::budget::Budget;
use crate::bus::{Bus, Endpoint, LocalBus, Message, Pending, ReplyTo};
use crate::guard::Entry;
use crate::instance::StartError;
use crate::kv::{FILE_QUOTA, KvStore, MEMORY_QUOTA, OpenError, Quotas, RedbStore};
use crate::life::Life;
use crate::logs::Logs;
use crate::machine::Machine;
use crate::managed::Managed;
use crate::services::{Backends, new_trace};
use crate::slot::Slot;
use crate::status::{ModuleStatus, State};
use crate::trace::Spans;
use crate::{CallError, Config, ConfigError, ErrorReply, Module, Program, Settings, connection, listener, order};

/// Why a host does not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostError {
    /// A module's configuration is not complete.
    Config {
        /// The module.
        module: String,
        /// What is wrong.
        error: ConfigError,
    },
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
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config { module, error } => write!(f, "the module `{module}`: {error}"),
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
        }
    }
}

impl std::error::Error for HostError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Kv(error) => std::error::Error::source(error),
            _ => None,
        }
    }
}

/// What a host is made of.
pub struct HostBuilder {
    settings: Settings,
    modules: Vec<(Module, Program, Box<RawValue>, u32)>,
    bus: Arc<dyn Bus>,
    kv: Option<Arc<dyn KvStore>>,
    logs: Logs,
    spans: Spans,
}

impl HostBuilder {
    /// Adds a module that runs in so many processes, 1 or more.
    ///
    /// # Errors
    ///
    /// If its configuration is not complete, or there is one with this name.
    pub fn module(
        &mut self,
        module: Module,
        program: Program,
        config: &Config<'_>,
        instances: u32,
    ) -> Result<&mut Self, HostError> {
        let name = module.manifest().module.name.to_string();
        if self.modules.iter().any(|(other, ..)| other.manifest().module.name.as_str() == name) {
            return Err(HostError::SameName { name });
        }
        let config = config.to_json().map_err(|error| HostError::Config { module: name, error })?;
        self.modules.push((module, program, config, instances.max(1)));
        Ok(self)
    }

    /// Another message bus than the one within this process.
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
    /// a call through several modules is one trace.
    #[cfg(feature = "otel")]
    pub fn spans(&mut self, processor: Arc<dyn opentelemetry_sdk::trace::SpanProcessor>) -> &mut Self {
        self.spans = Spans::new(processor);
        self
    }

    /// The log, which can be followed before the host starts.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Starts the modules, those that others require first, and does not wait for them: see [`Host::ready`]. To be called
    /// within a tokio runtime. Raises this process's limit of open files to the hard limit; modules get what it was before.
    ///
    /// # Errors
    ///
    /// If two modules provide the same service, or the store can't be opened.
    pub fn start(self) -> Result<Host, HostError> {
        let Self { settings, modules, bus, kv, logs, spans } = self;
        listener::raise_file_limit();
        let quotas = |each| Quotas { each: settings.kv_quota.unwrap_or(each), namespaces: settings.kv_quotas.clone() };
        let kv = match (kv, &settings.data_dir) {
            (Some(kv), _) => kv,
            (None, Some(dir)) => Arc::new(RedbStore::open_with(dir, quotas(FILE_QUOTA)).map_err(HostError::Kv)?),
            (None, None) => Arc::new(RedbStore::ephemeral_with(quotas(MEMORY_QUOTA)).map_err(HostError::Kv)?),
        };
        let (memory, connections) = (Budget::new(MEMORY_BYTES), connection::Shared::default());
        let machine = Machine::new(&settings, &logs);
        let backends = Backends { bus, kv, logs, spans, memory, connections, machine };
        let durable: Vec<_> = modules.iter().flat_map(|(module, ..)| &module.manifest().events).collect();
        let durable: Vec<_> =
            durable.iter().filter(|event| event.durable).map(|event| event.topic.as_str().to_owned()).collect();
        let is_durable = |topic: &str| durable.iter().any(|durable| durable == topic);
        let modules: Vec<_> = modules
            .into_iter()
            .map(|(module, program, config, instances)| {
                let timeout = settings.call_timeout;
                Managed::new(module, program, config, instances, &is_durable, timeout, &backends)
            })
            .collect();
        connect(&modules, &backends)?;
        let groups = order::groups(&modules.iter().map(|module| module.manifest()).collect::<Vec<_>>());
        let (exit_grace, tasks) = (settings.exit_grace, Vec::new());
        let mut shared = Shared { modules, groups, backends, exit_grace, tasks, starts: Mutex::default() };
        shared.start(&Arc::new(settings));
        Ok(Host(Arc::new(shared)))
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// What waits in a host takes no more than this: requests, events, what was not read yet.
const MEMORY_BYTES: usize = 160 * 1024 * 1024;

/// Brings the modules to the bus, and tells what is missing there.
fn connect(modules: &[Arc<Managed>], backends: &Backends) -> Result<(), HostError> {
    for module in modules {
        for service in &module.manifest().services {
            let topic = service.topic.as_str();
            let endpoint: Arc<dyn Endpoint> = Arc::clone(module) as _;
            backends.bus.provide(topic, endpoint).map_err(|_| {
                let provides = |other: &&Arc<Managed>| {
                    other.manifest().services.iter().any(|service| service.topic.as_str() == topic)
                };
                let first = modules.iter().find(provides).map_or("another host", |first| first.name());
                let modules = [first.to_owned(), module.name().to_owned()];
                HostError::SameTopic { topic: topic.to_owned(), modules }
            })?;
        }
        for event in &module.manifest().requires.events {
            backends.bus.subscribe(event.as_str(), Arc::clone(module) as _);
        }
    }
    for module in modules {
        for path in module.program().outside() {
            let message = format!("runs {}, which is not in its directory", path.display());
            backends.logs.host(LogLevel::Warn, module.source(), message);
        }
        let requires = &module.manifest().requires;
        let missing = requires.services.iter().filter(|topic| !backends.bus.is_provided(topic.as_str()));
        for topic in missing {
            let message =
                format!("requires `{topic}`, which no module here provides: its calls will fail with NOT_FOUND");
            backends.logs.host(LogLevel::Warn, module.source(), message);
        }
    }
    Ok(())
}

struct Shared {
    modules: Vec<Arc<Managed>>,
    /// In which order they are started; they are ended the other way round.
    groups: Vec<Vec<usize>>,
    backends: Backends,
    exit_grace: Duration,
    tasks: Vec<AbortHandle>,
    /// What became of the first attempts to start each process.
    starts: Mutex<Option<oneshot::Receiver<Vec<StartError>>>>,
}

impl Shared {
    fn start(&mut self, settings: &Arc<Settings>) {
        let turn = watch::Sender::new(0);
        let mut firsts = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            let mut of_group = Vec::new();
            for managed in group.iter().map(|index| &self.modules[*index]) {
                for slot in managed.slots() {
                    let (first, started) = oneshot::channel();
                    let life = Life {
                        managed: Arc::clone(managed),
                        slot: Arc::clone(slot),
                        backends: self.backends.clone(),
                        settings: Arc::clone(settings),
                        turn: turn.subscribe(),
                    };
                    self.tasks.push(tokio::spawn(life.run(index, first)).abort_handle());
                    of_group.push(started);
                }
            }
            firsts.push(of_group);
        }
        let (done, starts) = oneshot::channel();
        let starter = tokio::spawn(async move {
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
        self.tasks.push(starter.abort_handle());
        self.starts = Mutex::new(Some(starts));
    }

    async fn stop(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        // None of them is started any more, whoever asks for it.
        for slot in self.modules.iter().flat_map(|module| module.slots()).filter(|slot| slot.state() != State::Ready) {
            slot.close();
        }
        for group in self.groups.iter().rev() {
            let slots: Vec<_> = group.iter().flat_map(|index| self.modules[*index].slots()).collect();
            for slot in &slots {
                slot.close();
            }
            for slot in slots {
                slot.reaches(|state| state == State::Stopped).await;
                if let Some(reason) = slot.end_reason() {
                    complaints.push(format!("{}: {reason}", slot.id()));
                }
            }
        }
        self.backends.machine.end(self.exit_grace).await;
        complaints
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.backends.bus.close();
        self.backends.logs.close();
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
        let bus = Arc::new(LocalBus::default());
        HostBuilder { settings, modules: Vec::new(), bus, kv: None, logs: Logs::default(), spans: Spans::default() }
    }

    /// Waits until each process is ready or has failed to be. One that has failed is started again after a while, unless
    /// [`Restart`](crate::Restart) says otherwise.
    ///
    /// # Errors
    ///
    /// The first error of a process that could not be started, once.
    pub async fn ready(&self) -> Result<(), StartError> {
        let starts = self.0.starts.lock().unwrap_or_else(PoisonError::into_inner).take();
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
        struct CancelOnDrop(Option<Pending>);
        impl Drop for CancelOnDrop {
            fn drop(&mut self) {
                if let Some(pending) = self.0.take() {
                    pending.cancel();
                }
            }
        }
        let (sender, answer) = oneshot::channel();
        let reply = ReplyTo::new(move |answer| drop(sender.send(CallError::of(answer))));
        let message = message(source, topic, payload, options);
        let mut pending = CancelOnDrop(Some(self.0.backends.bus.call(message, reply)));
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
        let reply = ReplyTo::new(move |answer| drop(sender.send(CallError::of(answer))));
        self.0.backends.bus.publish(message(source, topic, payload, CallOptions::default()), reply);
        match answer.await {
            Ok(answer) => answer.map(drop),
            Err(_) => Err(CallError::Gone { reason: "the host has ended".to_owned() }),
        }
    }

    /// The modules, as they were given.
    pub fn modules(&self) -> impl Iterator<Item = &Module> {
        self.0.modules.iter().map(|managed| managed.module())
    }

    pub(crate) fn managed(&self) -> &[Arc<Managed>] {
        &self.0.modules
    }

    /// How the modules are.
    #[must_use]
    pub fn status(&self) -> Vec<ModuleStatus> {
        self.0.modules.iter().map(|module| module.status()).collect()
    }

    /// The log.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.backends.logs
    }

    /// Whoever removes what a host has left that was killed is told of its control socket.
    pub(crate) fn has_control(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            self.0.backends.machine.tell(Entry::Control(path));
        }
    }

    /// What waits in the host takes no more than this.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.0.backends.memory
    }

    /// The store of keys and values. The namespaces are the modules' names.
    #[must_use]
    pub fn kv(&self) -> &Arc<dyn KvStore> {
        &self.0.backends.kv
    }

    /// Starts the processes of a module anew: the one that runs finishes what it has begun. Returns when each is ready, or
    /// has failed to be.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such module, `UNAVAILABLE` if a process does not get ready.
    pub async fn restart(&self, module: &str) -> Result<(), CallError> {
        let slots = self.slots(module)?;
        // One after the other, so that there is always one that answers, if there are several.
        for slot in slots {
            let round = slot.restart();
            let round = round.ok_or_else(|| error(code::UNAVAILABLE, "the host is shutting down".to_owned()))?;
            slot.restarted(round).await;
            if slot.state() != State::Ready {
                let reason = slot.reason().map_or_else(String::new, |reason| format!(": {reason}"));
                return Err(error(code::UNAVAILABLE, format!("{} did not get ready{reason}", slot.id())));
            }
        }
        Ok(())
    }

    /// Shuts a module down; it stays so until it is [restarted](Host::restart). Returns when it has ended.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such module.
    pub async fn stop(&self, module: &str) -> Result<(), CallError> {
        let slots = self.slots(module)?;
        for slot in slots {
            slot.stop();
        }
        for slot in slots {
            slot.reaches(|state| state == State::Stopped).await;
        }
        Ok(())
    }

    /// Shuts all modules down, those that require others first: each finishes what it has begun, and is ended if it does
    /// not. Tells of those that did not end well. Nothing is left running.
    pub async fn shutdown(self) -> Vec<String> {
        let complaints = self.0.stop().await;
        self.0.backends.logs.close();
        complaints
    }

    fn slots(&self, module: &str) -> Result<&[Arc<Slot>], CallError> {
        let found = self.0.modules.iter().find(|managed| managed.name() == module);
        found.map(|managed| managed.slots()).ok_or_else(|| {
            let names: Vec<_> = self.0.modules.iter().map(|managed| format!("`{}`", managed.name())).collect();
            error(code::NOT_FOUND, format!("there is no module `{module}` here; there are: {}", names.join(", ")))
        })
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.modules.iter().map(|managed| managed.name())).finish()
    }
}

fn error(code: &str, message: String) -> CallError {
    CallError::Replied(ErrorReply {
        code: code.to_owned(),
        message,
        details: serde_json::Value::Null,
        retryable: false,
    })
}

fn message<'a>(source: Option<Arc<str>>, topic: &'a str, payload: &'a [u8], options: CallOptions) -> Message<'a> {
    let host = || concat!(env!("CARGO_PKG_NAME"), ":", env!("CARGO_PKG_VERSION")).into();
    Message {
        topic: topic.into(),
        payload: Payload::from(payload),
        priority: options.priority,
        deadline: options.ttl.and_then(|ttl| Instant::now().checked_add(ttl)),
        trace_id: new_trace(),
        source: source.unwrap_or_else(host),
        cause: None,
    }
}
