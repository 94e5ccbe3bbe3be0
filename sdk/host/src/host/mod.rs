//! [`Host`]: the handle of a running host, for a program that embeds one.
//!
//! `builder.rs` makes a host and starts it; `calls.rs` and `reload.rs` hold what a host is asked for most. How the
//! processes are run is in [`supervisor`](crate::supervisor).

mod builder;
mod calls;
mod reload;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ixt_protocol::code;
use tokio::sync::{oneshot, watch};

use crate::budget::Budget;
use crate::bus::LocalBus;
use crate::call_log::CallLog;
use crate::guard::GuardMessage;
pub use crate::host::builder::{HostBuilder, HostError};
pub use crate::host::calls::CallOptions;
use crate::kv::KvStore;
use crate::lock::lock;
use crate::logs::Logs;
use crate::module::no_module;
use crate::module_router::ModuleRouter;
use crate::release::{Loader, refusal};
use crate::services::Backends;
use crate::status::{InstanceState, ModuleStatus};
use crate::supervisor::{StartError, Supervisor};
use crate::trace::Spans;
use crate::{CallError, Module, Settings};

/// How long [`Host::shutdown`] waits for the bus and the store to close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

struct RunningHost {
    supervisor: Supervisor,
    /// The modules by index, in the order in which they are started. They are shut down in the reverse order.
    groups: Vec<Vec<usize>>,
    loader: Option<Arc<dyn Loader>>,
    failures: watch::Sender<Option<String>>,
    /// The errors of the first attempt to start each process. Reservation by the first call of [`Host::ready`].
    starts: Mutex<Option<oneshot::Receiver<Vec<StartError>>>>,
    started: SystemTime,
}

impl RunningHost {
    async fn stop(&self) -> Vec<String> {
        let Supervisor { modules, backends, settings } = &self.supervisor;
        let mut complaints = Vec::new();
        // From here on nothing is started any more, whoever asks for it.
        for router in modules.iter() {
            router.close();
            for replica in router.replicas() {
                if replica.state() == InstanceState::Failed {
                    let reason = replica.reason().map_or_else(String::new, |reason| format!(": {reason}"));
                    complaints.push(format!("`{}` has failed{reason}", router.name()));
                }
                if replica.state() != InstanceState::Ready {
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
        backends.resources.end(settings.exit_grace).await;
        complaints
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        for router in self.supervisor.modules.iter() {
            router.end();
        }
        // Begins to withdraw the topics. Nobody is there to wait until other hosts have learned of it.
        drop(self.supervisor.backends.bus.close());
        self.supervisor.backends.logs.close();
    }
}

/// A running host. Clones are handles of the same host; dropping the last one kills all processes at once.
/// [`Host::shutdown`] ends them in order.
#[derive(Clone)]
pub struct Host(Arc<RunningHost>);

impl Host {
    /// Begins a host without modules.
    #[must_use]
    pub fn builder(settings: Settings) -> HostBuilder {
        let logs = Logs::default();
        let call_log = CallLog::new(logs.clone(), settings.log_calls);
        let refusals = call_log.clone();
        let bus = Arc::new(LocalBus::reporting(move |envelope, message| refusals.not_provided(envelope, message)));
        let spans = Spans::default();
        HostBuilder::new(settings, bus, logs, call_log, spans)
    }

    /// Waits until each process has become ready or its first start has failed. A process whose start has failed is
    /// started again after a pause, unless [`RestartPolicy`](crate::RestartPolicy) says otherwise; this does not wait for that.
    ///
    /// # Errors
    ///
    /// The error of the first process that did not start. It is returned once: a second call returns `Ok` immediately.
    pub async fn ready(&self) -> Result<(), StartError> {
        let starts = lock(&self.0.starts).take();
        let Some(starts) = starts else { return Ok(()) };
        match starts.await.unwrap_or_default().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The modules, each as its newest release that has been ready. A module that was reloaded has its new manifest
    /// here.
    pub fn modules(&self) -> impl Iterator<Item = Arc<Module>> {
        self.0.supervisor.modules.iter().map(|router| Arc::clone(router.release().module()))
    }

    pub(crate) fn routers(&self) -> &[Arc<ModuleRouter>] {
        &self.0.supervisor.modules
    }

    pub(crate) fn spans(&self) -> &Spans {
        &self.0.supervisor.backends.spans
    }

    /// When the host was started, by the wall clock.
    pub(crate) fn started(&self) -> SystemTime {
        self.0.started
    }

    /// The status of all modules, in the order in which they were added.
    #[must_use]
    pub fn status(&self) -> Vec<ModuleStatus> {
        self.0.supervisor.modules.iter().map(|module| module.status()).collect()
    }

    /// The host's log, to read it or to add lines to it.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.supervisor.backends.logs
    }

    /// Tells the guard the path of the control socket, which it removes if the host is killed.
    pub(crate) fn has_control(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            self.0.supervisor.backends.resources.tell(GuardMessage::Control(path));
        }
    }

    /// The budget for what waits in the host: 160 MiB.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.0.supervisor.backends.memory
    }

    /// The key-value store. Its namespaces are module names.
    #[must_use]
    pub fn kv(&self) -> &Arc<dyn KvStore> {
        &self.0.supervisor.backends.kv
    }

    /// Waits until a process has failed for good, that is with [`RestartPolicy::give_up`](crate::RestartPolicy::give_up) or without
    /// restarts. Returns a sentence with the module and the reason. If one has failed before, it returns immediately,
    /// with the last failure.
    pub async fn failed(&self) -> String {
        let mut failures = self.0.failures.subscribe();
        let failure = failures.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        // The sender belongs to this host, so that this can't fail.
        failure.unwrap_or_default()
    }

    /// Shuts a module down: it finishes its requests within the graces of [`Settings`]. Returns when all of its
    /// processes have ended. The module stays stopped until it is [restarted](Host::restart).
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

    /// Shuts down all modules, each before those whose services it requires. Each finishes its requests within the
    /// graces of [`Settings`], and is killed if it does not. When this returns, no process is left.
    ///
    /// Returns a sentence for each process that had failed or did not end as it should. Empty if all went well.
    pub async fn shutdown(self) -> Vec<String> {
        let complaints = self.0.stop().await;
        let Backends { bus, kv, .. } = &self.0.supervisor.backends;
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, async { tokio::join!(bus.close(), kv.close()) }).await;
        self.0.supervisor.backends.spans.shutdown().await;
        self.0.supervisor.backends.logs.close();
        complaints
    }

    pub(crate) fn find(&self, module: &str) -> Result<&Arc<ModuleRouter>, CallError> {
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
