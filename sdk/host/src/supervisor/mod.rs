//! Runs the replicas of the modules, and replaces them, one after the other, without a gap.

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

use crate::managed::Managed;
use crate::release::Release;
use crate::replica::Replica;
use crate::services::Backends;
use crate::settings::Settings;
pub(crate) use crate::supervisor::replace::RestartPermit;
use crate::supervisor::replica_task::{Predecessor, ReplicaTask};
pub use crate::supervisor::start_error::{StartError, StartErrorKind};

#[derive(Clone)]
pub(crate) struct Supervisor {
    pub(crate) modules: Arc<[Arc<Managed>]>,
    pub(crate) backends: Backends,
    pub(crate) settings: Arc<Settings>,
}

/// What became of a start: nothing, if it was told to end before.
type Started = oneshot::Receiver<Result<(), StartError>>;

impl Supervisor {
    /// Runs a replica from when it is its turn.
    pub(crate) fn run(
        &self,
        managed: &Arc<Managed>,
        replica: &Arc<Replica>,
        predecessor: Option<Predecessor>,
        its_turn: impl Future<Output = ()> + Send + 'static,
    ) -> Started {
        let (first, started) = oneshot::channel();
        let (managed, backends, settings) = (Arc::clone(managed), self.backends.clone(), Arc::clone(&self.settings));
        let task = ReplicaTask::new(managed, Arc::clone(replica), backends, settings, predecessor, first);
        let running = tokio::spawn(async move {
            its_turn.await;
            task.run().await;
        });
        replica.runs_as(running.abort_handle());
        started
    }

    /// Which events are kept until they were taken, says the module that publishes them.
    pub(crate) fn set_durable(&self) {
        let mut releases: Vec<_> = self.modules.iter().map(|managed| managed.release()).collect();
        // Also of those that are being replaced, or are about to be there.
        let replicas = self.modules.iter().flat_map(|managed| managed.replicas());
        releases.extend(replicas.map(|replica| Arc::clone(replica.release())));
        let mut events = releases.iter().flat_map(|release| &release.manifest().events).filter(|event| event.durable);
        let durable: Vec<_> = events.by_ref().map(|event| event.topic.as_str()).collect();
        for managed in self.modules.iter() {
            managed.set_durable(&|topic| durable.contains(&topic));
        }
    }

    /// Tells what is missing, or strange, around a release.
    pub(crate) fn warn(&self, release: &Release) {
        let warn = |message| self.backends.logs.host(LogLevel::Warn, release.source(), message);
        for path in release.program().outside() {
            warn(format!("runs {}, which is not in its directory", path.display()));
        }
        let requires = &release.manifest().requires;
        for topic in requires.services.iter().filter(|topic| !self.backends.bus.is_provided(topic.as_str())) {
            warn(format!("requires `{topic}`, which no module here provides: its calls will fail with NOT_FOUND"));
        }
    }
}
