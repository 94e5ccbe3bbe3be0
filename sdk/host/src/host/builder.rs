//! Makes a host, and starts it. What a started host can do is in `mod.rs`, `calls.rs` and `reload.rs`.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use tokio::sync::watch;

use crate::budget::Budget;
use crate::bus::{Bus, BusError};
use crate::call_log::CallLog;
use crate::host::{Host, RunningHost};
use crate::host_resources::HostResources;
use crate::kv::{FILE_QUOTA, KvStore, MEMORY_QUOTA, OpenError, Quotas, RedbStore};
use crate::lock::lock;
use crate::logs::Logs;
use crate::module_router::{ModuleRouter, Unregistered};
use crate::release::{Deployment, Loader, Release};
use crate::services::Backends;
use crate::settings::Settings;
use crate::supervisor::{Supervisor, start_order};
use crate::trace::Spans;
use crate::{connection, file_limit};

/// How many bytes may wait in a host, for all modules together: requests, events, data that modules have not read yet,
/// and long lines at the control socket. Beyond it requests are refused with `RESOURCE_EXHAUSTED`, and events are
/// dropped.
const MEMORY_BYTES: usize = 160 * 1024 * 1024;

/// Why a host could not be made or started.
#[derive(Debug)]
#[non_exhaustive]
pub enum HostError {
    /// Two deployments are of modules with the same name.
    SameName {
        /// The name.
        name: String,
    },
    /// Two modules provide the same service, or a bus that was passed in has another provider for it.
    SameTopic {
        /// The service's topic.
        topic: String,
        /// The names of the two modules. The first is `another host` if no other module of this host provides the
        /// topic.
        modules: [String; 2],
    },
    /// The key-value store could not be opened.
    Kv(OpenError),
    /// The message bus did not register a topic, for another reason than that the topic has a provider, such as that it
    /// can't be reached.
    Bus {
        /// The topic of a service, or of an event that a module subscribes to.
        topic: String,
        /// The reason.
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

/// Collects the parts of a host, and starts it. From [`Host::builder`]. No module is started, no store is opened and no
/// topic is registered before [`start`](Self::start).
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
    pub(super) fn new(settings: Settings, bus: Arc<dyn Bus>, logs: Logs, call_log: CallLog, spans: Spans) -> Self {
        Self { settings, modules: Vec::new(), loader: None, bus, kv: None, logs, call_log, spans }
    }

    /// Adds a module to run. Modules are listed in this order; the order in which they start follows from what they
    /// require.
    ///
    /// # Errors
    ///
    /// [`HostError::SameName`] if a module of this name was added before. Then nothing has changed.
    pub fn module(&mut self, module: Deployment) -> Result<&mut Self, HostError> {
        if self.modules.iter().any(|other| other.name() == module.name()) {
            return Err(HostError::SameName { name: module.name().to_owned() });
        }
        self.modules.push(module);
        Ok(self)
    }

    /// Sets the loader, which reads a module again when it is [reloaded](Host::reload). Without a loader a reload
    /// starts the same deployment again. A later call replaces the loader.
    pub fn loader(&mut self, loader: Arc<dyn Loader>) -> &mut Self {
        self.loader = Some(loader);
        self
    }

    /// Replaces the message bus, which by default is a [`LocalBus`](crate::bus::LocalBus). The host is then the bus's
    /// only user, and closes it when it ends, or when its start fails after the store was opened. The log has no lines
    /// about calls that another bus refuses.
    pub fn bus(&mut self, bus: Arc<dyn Bus>) -> &mut Self {
        self.bus = bus;
        self
    }

    /// Replaces the key-value store, which by default is a [`RedbStore`] in the data directory or in memory. The data
    /// directory and the quotas of [`Settings`] are then ignored. The host closes the store when it is shut down.
    pub fn kv(&mut self, kv: Arc<dyn KvStore>) -> &mut Self {
        self.kv = Some(kv);
        self
    }

    /// Exports OpenTelemetry spans: one for each call that a module handles, and one for each event that it takes. A
    /// span is a child of that of the request during which the call or event was made, so that a call through several
    /// modules is one trace. The exporter is called from a task and should not block. A later call replaces the
    /// exporter.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    #[cfg(feature = "otel")]
    pub fn spans(
        &mut self,
        exporter: impl opentelemetry_sdk::trace::SpanExporter + 'static,
        options: crate::SpanOptions,
    ) -> &mut Self {
        self.spans = Spans::new(exporter, options, &self.logs);
        self
    }

    /// The host's log, the same as [`Host::logs`]. It can be read before the host is started.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.logs
    }

    /// Opens the store and registers the topics of all modules at the message bus. Then starts the modules in the
    /// background, those whose services others require first, and returns without waiting for them: see
    /// [`Host::ready`]. Starting the guard and opening the store block the thread.
    ///
    /// Raises this process's soft limit of open files to the hard limit. The processes of modules get the limit that
    /// was set before, unless their manifest sets `files`. If the future is dropped before it completes, no module has
    /// been started, and no topic stays registered.
    ///
    /// # Errors
    ///
    /// [`HostError::SameTopic`] if two modules provide the same service, [`HostError::Kv`] if the store can't be
    /// opened, [`HostError::Bus`] if the message bus does not register a topic. No module has been started then, and no
    /// topic stays registered.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub async fn start(self) -> Result<Host, HostError> {
        let resources = HostResources::new(&self.settings, &self.logs);
        self.start_with(resources).await
    }

    /// Like [`start`](Self::start), with these resources of the machine, which a test simulates.
    pub(crate) async fn start_with(self, resources: Arc<HostResources>) -> Result<Host, HostError> {
        let Self { settings, modules, loader, bus, kv, logs, call_log, spans } = self;
        file_limit::raise();
        let quotas = |each| Quotas { each: settings.kv_quota.unwrap_or(each), namespaces: settings.kv_quotas.clone() };
        let kv = match (kv, &settings.data_dir) {
            (Some(kv), _) => kv,
            (None, Some(dir)) => Arc::new(RedbStore::open_with(dir, quotas(FILE_QUOTA)).map_err(HostError::Kv)?),
            (None, None) => Arc::new(RedbStore::ephemeral_with(quotas(MEMORY_QUOTA)).map_err(HostError::Kv)?),
        };
        let (memory, connections) = (Budget::new(MEMORY_BYTES), connection::SharedLimits::default());
        let backends = Backends { bus, kv, logs, spans, call_log, memory, connections, resources };
        let failures = watch::Sender::new(None);
        let modules: Arc<[_]> = modules
            .into_iter()
            .map(|module| ModuleRouter::new(Release::new(module), settings.call_timeout, &backends, failures.clone()))
            .collect();
        let supervisor = Supervisor { modules, backends, settings: Arc::new(settings) };
        let manifests: Vec<_> = supervisor.modules.iter().map(|router| Arc::clone(router.release().module())).collect();
        let groups = start_order::groups(&manifests.iter().map(|module| module.manifest()).collect::<Vec<_>>());
        let (starts, started) = (Mutex::default(), SystemTime::now());
        // If this fails or is dropped from here on, `RunningHost` withdraws the topics when it is dropped.
        let host = Host(Arc::new(RunningHost { supervisor, groups, loader, failures, starts, started }));
        connect(&host.0.supervisor).await?;
        *lock(&host.0.starts) = Some(host.0.supervisor.start_all(&host.0.groups));
        Ok(host)
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Registers the topics of all modules at the bus, marks the durable events, and warns of services that a module
/// requires and none provides. From here on calls wait in the host until processes are ready. After an error, the
/// topics that were registered stay so until the bus is closed.
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
