//! Supervision: starts the replicas of each module, checks and restarts their processes, replaces the replicas on a
//! restart by hand, and shuts them down. Which replica gets a call is decided in the [router](crate::module_router).
//!
//! Each item holds those below it (in brackets: its file in this folder, or its folder):
//!
//! ```text
//! Host                        the handle (host/)
//!  └─ Supervisor              starts and replaces replicas; one per host (this file, first_start, replace)
//!      ├─ ModuleRouter        one per module: routes its calls and events, knows its replicas (module_router/)
//!      │   └─ Replica         status of one replica, shared with the router and the task (replica.rs)
//!      └─ ReplicaTask         one tokio task per replica, until the replica has stopped (replica_task); spawned, not held
//!          ├─ Replica         the status that the task keeps up to date
//!          ├─ RestartBackoff  how long to wait before the next start (restart_backoff)
//!          └─ Instance        the process that runs now, if any (instance; checked by health)
//!              ├─ ChildProcess  the process and its descendants (process)
//!              └─ Connection  its socket: calls, events and the host's services (connection/)
//! ```
//!
//! A *release* is what a replica's processes are started from: manifest, program and configuration. A replica keeps its
//! release. A *replica* has one process after the other, until it is told to stop. A restart by hand makes new replicas
//! beside the old ones, and stops these. The states of a replica are drawn in [`replica`](crate::replica).
//! `start_order` decides which modules are started together, `start_error` says why a start failed.

mod first_start;
mod health;
mod instance;
mod process;
mod replace;
mod replica_task;
mod restart_backoff;
mod start_error;
pub(crate) mod start_order;

use std::sync::Arc;

use ixt_protocol::LogLevel;
use tokio::sync::oneshot;

use crate::module_router::ModuleRouter;
use crate::release::Release;
use crate::replica::Replica;
use crate::services::Backends;
use crate::settings::Settings;
pub(crate) use crate::supervisor::replace::RestartPermit;
use crate::supervisor::replica_task::{Predecessor, ReplicaTask};
pub use crate::supervisor::start_error::{StartError, StartErrorKind};

/// Starts and replaces the replicas of all modules of a host. The host has one; a task that replaces a module has a
/// clone, which is cheap.
#[derive(Clone)]
pub(crate) struct Supervisor {
    /// The modules in the order in which they were added to the host. The set never changes.
    pub(crate) modules: Arc<[Arc<ModuleRouter>]>,
    /// What all modules share.
    pub(crate) backends: Backends,
    /// The host's settings, which never change.
    pub(crate) settings: Arc<Settings>,
}

/// Receives the result of a replica's first start. The channel is closed without a result if the replica was told to
/// stop before that.
type Started = oneshot::Receiver<Result<(), StartError>>;

impl Supervisor {
    /// Spawns the task of a replica, which begins when `may_start` completes. `predecessor` is the replica that this
    /// one replaces; `None` if it replaces none. Returns at once. To be called once for each replica.
    pub(crate) fn run(
        &self,
        router: &Arc<ModuleRouter>,
        replica: &Arc<Replica>,
        predecessor: Option<Predecessor>,
        may_start: impl Future<Output = ()> + Send + 'static,
    ) -> Started {
        let (first, started) = oneshot::channel();
        let (router, backends, settings) = (Arc::clone(router), self.backends.clone(), Arc::clone(&self.settings));
        let task = ReplicaTask::new(router, Arc::clone(replica), backends, settings, predecessor, first);
        let running = tokio::spawn(async move {
            may_start.await;
            task.run().await;
        });
        replica.runs_as(running.abort_handle());
        started
    }

    /// Tells each module's router which events are durable: those that a manifest of this host provides as such. An
    /// event of another host's module is never durable here. To be called after each change of the releases that have
    /// replicas.
    pub(crate) fn set_durable(&self) {
        let mut releases: Vec<_> = self.modules.iter().map(|router| router.release()).collect();
        // Also the releases of replicas that are being replaced, or were just added.
        let replicas = self.modules.iter().flat_map(|router| router.replicas());
        releases.extend(replicas.map(|replica| Arc::clone(replica.release())));
        let mut events = releases.iter().flat_map(|release| &release.manifest().events).filter(|event| event.durable);
        let durable: Vec<_> = events.by_ref().map(|event| event.topic.as_str()).collect();
        for router in self.modules.iter() {
            router.set_durable(&|topic| durable.contains(&topic));
        }
    }

    /// Logs warnings about a release: for each file that is run from outside of the module's directory, and for each
    /// required service that the bus does not know. Waits for the bus. Called before the release is started.
    pub(crate) async fn warn(&self, release: &Release) {
        let warn = |message| self.backends.logs.host(LogLevel::Warn, release.source(), message);
        for path in release.program().outside() {
            warn(format!("runs {}, which is not in its directory", path.display()));
        }
        let requires = &release.manifest().requires;
        for topic in &requires.services {
            if !self.backends.bus.is_provided(topic.as_str()).await {
                warn(format!("requires `{topic}`, which no module here provides: its calls will fail with NOT_FOUND"));
            }
        }
    }
}
