//! [`Host`]: the handle of a running host, for a program that embeds one.
//!
//! `builder.rs` makes a host and starts it, `calls.rs` has calls and events, `reload.rs` restarts; the rest of a host's
//! methods is here. The processes are run by the [`supervisor`](crate::supervisor).

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
use crate::call_error::CallError;
use crate::call_log::CallLog;
use crate::guard::GuardMessage;
pub use crate::host::builder::{HostBuilder, HostError};
pub use crate::host::calls::CallOptions;
use crate::kv::KvStore;
use crate::lock::lock;
use crate::logs::Logs;
use crate::module::{Module, no_module};
use crate::module_router::ModuleRouter;
use crate::release::{Loader, refusal};
use crate::services::Backends;
use crate::settings::Settings;
use crate::status::{InstanceState, ModuleStatus};
use crate::supervisor::{StartError, Supervisor};
use crate::trace::Spans;

/// How long [`Host::shutdown`] waits for the bus and the store to close, both at the same time.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What the handles of a host share. When the last handle is dropped, this is dropped, and kills all processes.
struct RunningHost {
    supervisor: Supervisor,
    /// The groups in which modules are started, one after the other: indices of `supervisor.modules`. They are shut down
    /// in the reverse order.
    groups: Vec<Vec<usize>>,
    /// `None`: a reload starts the same deployment again.
    loader: Option<Arc<dyn Loader>>,
    /// The last failure of a process for good, for [`Host::failed`]; `None` if there was none.
    failures: watch::Sender<Option<String>>,
    /// Receives the errors of the first attempt to start each process. `None` before the start, and once the first call
    /// of [`Host::ready`] has taken it.
    starts: Mutex<Option<oneshot::Receiver<Vec<StartError>>>>,
    /// When the host was started, by the wall clock.
    started: SystemTime,
}

impl RunningHost {
    /// Shuts down all modules in the reverse order of their start, and ends what they have left behind. Returns a
    /// sentence for each process that had failed or did not end as it should.
    async fn stop(&self) -> Vec<String> {
        let Supervisor { modules, backends, settings } = &self.supervisor;
        let mut complaints = Vec::new();
        // From here on no process is started any more.
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
        // Withdraws the topics at this host. Its future, which would wait for other hosts, is dropped.
        drop(self.supervisor.backends.bus.close());
        self.supervisor.backends.logs.close();
    }
}

/// A running host. Clones are handles of the same host; dropping the last one kills all processes at once.
/// [`Host::shutdown`] ends them in order.
#[derive(Clone)]
pub struct Host(Arc<RunningHost>);

impl Host {
    /// Returns a builder for a host, which has no modules yet. Starts nothing.
    #[must_use]
    pub fn builder(settings: Settings) -> HostBuilder {
        let logs = Logs::default();
        let call_log = CallLog::new(logs.clone(), settings.log_calls);
        let refusals = call_log.clone();
        let bus = Arc::new(LocalBus::reporting(move |envelope, message| refusals.not_provided(envelope, message)));
        let spans = Spans::default();
        HostBuilder::new(settings, bus, logs, call_log, spans)
    }

    /// Waits until each process has become ready (has replied to `init`), its first start has failed, or it was
    /// stopped. This does not wait for a second start, which follows after a pause unless the
    /// [`RestartPolicy`](crate::RestartPolicy) says otherwise. There is no timeout beside those of the starts.
    ///
    /// # Errors
    ///
    /// The error of the first process, in the order in which they are started, whose first start has failed. Only the
    /// first call waits and returns it: each further one returns `Ok` at once, also while the first still waits, or if
    /// its future was dropped.
    pub async fn ready(&self) -> Result<(), StartError> {
        let starts = lock(&self.0.starts).take();
        let Some(starts) = starts else { return Ok(()) };
        match starts.await.unwrap_or_default().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The modules, in the order in which they were added. Each is as in its newest release of which a process has been
    /// ready, so that a module that was reloaded has its new manifest here. If none of its processes was ready when it
    /// was started or reloaded, it is as in the release that is being started.
    pub fn modules(&self) -> impl Iterator<Item = Arc<Module>> {
        self.0.supervisor.modules.iter().map(|router| Arc::clone(router.release().module()))
    }

    /// The modules with their processes, in the order in which they were added.
    pub(crate) fn routers(&self) -> &[Arc<ModuleRouter>] {
        &self.0.supervisor.modules
    }

    /// The exporter of spans, whose counts are among the metrics.
    pub(crate) fn spans(&self) -> &Spans {
        &self.0.supervisor.backends.spans
    }

    /// When the host was started, by the wall clock.
    pub(crate) fn started(&self) -> SystemTime {
        self.0.started
    }

    /// The current status of all modules, in the order in which they were added. Does not wait for a health check. Its
    /// parts are read one after the other, not at one moment.
    #[must_use]
    pub fn status(&self) -> Vec<ModuleStatus> {
        self.0.supervisor.modules.iter().map(|module| module.status()).collect()
    }

    /// The host's log, to read it or to add lines to it.
    #[must_use]
    pub fn logs(&self) -> &Logs {
        &self.0.supervisor.backends.logs
    }

    /// Sends the guard the path of the control socket, which the guard removes if the host is killed. Does nothing
    /// without a guard.
    pub(crate) fn has_control(&self, path: &Path) {
        if let Ok(path) = std::path::absolute(path) {
            self.0.supervisor.backends.resources.tell(GuardMessage::Control(path));
        }
    }

    /// The budget for everything that waits in the host: 160 MiB.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.0.supervisor.backends.memory
    }

    /// The key-value store. Each module's keys are in the namespace with its name. Any namespace may be used here; the
    /// quotas hold all the same.
    #[must_use]
    pub fn kv(&self) -> &Arc<dyn KvStore> {
        &self.0.supervisor.backends.kv
    }

    /// Waits until a process has failed, so that it is not started again: with
    /// [`RestartPolicy::give_up`](crate::RestartPolicy::give_up), or with an `intensity` of 0. Returns a sentence with
    /// the module and the reason. If a process has failed since the host was started, it returns at once, with the last
    /// failure, even if the module was restarted since. Cancel-safe.
    pub async fn failed(&self) -> String {
        let mut failures = self.0.failures.subscribe();
        let failure = failures.wait_for(Option::is_some).await.ok().and_then(|failure| failure.clone());
        // The sender belongs to this host, so that this can't fail.
        failure.unwrap_or_default()
    }

    /// Shuts a module down: its processes finish their requests within the graces of [`Settings`], and are killed if
    /// they do not. Returns when all of them have ended, at once if none runs; if the future is dropped, the shutdown
    /// goes on. The module stays stopped until it is [restarted](Host::restart); meanwhile its calls fail with
    /// `UNAVAILABLE`, and its events are dropped, those included that wait. A restart of this module that is under way
    /// fails.
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
    /// graces of [`Settings`], and is killed if it does not. When this returns, no process is left, the bus and the
    /// store are closed, and waiting spans were sent; it waits up to 5 s for the bus and the store, and then up to 5 s
    /// for the spans, and gives up what takes longer. Other handles of the host can't start a module again.
    ///
    /// Returns a sentence for each process that had failed, and then for each that did not end as it should. Empty if
    /// all went well. If the future is dropped, this handle is: unless there are others, all processes are killed.
    pub async fn shutdown(self) -> Vec<String> {
        let complaints = self.0.stop().await;
        let Backends { bus, kv, .. } = &self.0.supervisor.backends;
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, async { tokio::join!(bus.close(), kv.close()) }).await;
        self.0.supervisor.backends.spans.shutdown().await;
        self.0.supervisor.backends.logs.close();
        complaints
    }

    /// The module with this name. The error is `NOT_FOUND`, and names the most similar module, or all if none is
    /// similar.
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
