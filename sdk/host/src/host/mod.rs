//! A host: its modules, what they share, and what can be done with them from outside.

mod builder;
mod calls;
mod reload;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

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
use crate::managed::Managed;
use crate::module::no_module;
use crate::release::{Loader, refusal};
use crate::status::{ModuleStatus, State};
use crate::supervisor::{StartError, Supervisor};
use crate::trace::Spans;
use crate::{CallError, Module, Settings};

struct RunningHost {
    supervisor: Supervisor,
    /// In which order they are started; they are ended the other way round.
    groups: Vec<Vec<usize>>,
    loader: Option<Arc<dyn Loader>>,
    failures: watch::Sender<Option<String>>,
    /// What became of the first attempts to start each process.
    starts: Mutex<Option<oneshot::Receiver<Vec<StartError>>>>,
    started: SystemTime,
}

impl RunningHost {
    async fn stop(&self) -> Vec<String> {
        let Supervisor { modules, backends, settings } = &self.supervisor;
        let mut complaints = Vec::new();
        // None of them is started any more, whoever asks for it.
        for managed in modules.iter() {
            managed.close();
            for replica in managed.replicas() {
                if replica.state() == State::Failed {
                    let reason = replica.reason().map_or_else(String::new, |reason| format!(": {reason}"));
                    complaints.push(format!("`{}` has failed{reason}", managed.name()));
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
        backends.resources.end(settings.exit_grace).await;
        complaints
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        for managed in self.supervisor.modules.iter() {
            managed.end();
        }
        self.supervisor.backends.bus.close();
        self.supervisor.backends.logs.close();
    }
}

/// Modules that run. All handles are of the same host; with the last one the processes are killed.
#[derive(Clone)]
pub struct Host(Arc<RunningHost>);

impl Host {
    /// A host without modules.
    #[must_use]
    pub fn builder(settings: Settings) -> HostBuilder {
        let logs = Logs::default();
        let call_log = CallLog::new(logs.clone(), settings.log_calls);
        let bus = Arc::new(LocalBus::new(call_log.clone()));
        let spans = Spans::default();
        HostBuilder::new(settings, bus, logs, call_log, spans)
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

    /// The modules, as they run now.
    pub fn modules(&self) -> impl Iterator<Item = Arc<Module>> {
        self.0.supervisor.modules.iter().map(|managed| Arc::clone(managed.release().module()))
    }

    pub(crate) fn managed(&self) -> &[Arc<Managed>] {
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
            self.0.supervisor.backends.resources.tell(GuardMessage::Control(path));
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
        self.0.supervisor.backends.spans.shutdown().await;
        self.0.supervisor.backends.logs.close();
        complaints
    }

    fn find(&self, module: &str) -> Result<&Arc<Managed>, CallError> {
        let modules = &self.0.supervisor.modules;
        let found = modules.iter().find(|managed| managed.name() == module);
        let names = modules.iter().map(|managed| managed.name());
        found.ok_or_else(|| refusal(code::NOT_FOUND, no_module(module, names)))
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.supervisor.modules.iter().map(|managed| managed.name())).finish()
    }
}
