//! Restarts of modules: as they are, or with what they are now on disk.

use std::sync::Arc;

use ixt_protocol::LogLevel;

use crate::managed::Managed;
use crate::release::{self, Notice};
use crate::supervisor::RestartPermit;
use crate::{CallError, Host};

impl Host {
    /// Starts the processes of a module anew, as they are: a new one beside each that runs, which takes over when it is ready, while the
    /// old one finishes what it has begun (see [`HOST.md`](crate::guide)). Returns when each has taken over, and the old ones have ended.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such module, `UNAVAILABLE` if a process does not get ready; then the old one goes on.
    pub async fn restart(&self, module: &str) -> Result<(), CallError> {
        let managed = self.find(module)?;
        let turn = RestartPermit::of(managed).await;
        self.0.supervisor.replace(managed, managed.release(), turn).await
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
        for managed in self.0.supervisor.modules.iter() {
            let name = managed.name();
            let notify = |notice: Notice| notify(name, notice);
            results.push((name.to_owned(), self.reload_one(managed, build, true, &notify).await));
        }
        results
    }

    /// Whether it was replaced: if `only_changed`, it is not where there is no difference.
    async fn reload_one(
        &self,
        managed: &Arc<Managed>,
        build: bool,
        only_changed: bool,
        notify: &(dyn Fn(Notice) + Send + Sync),
    ) -> Result<bool, CallError> {
        if managed.restarting.try_lock().is_err() {
            notify(Notice::Step("another restart of it is under way, for which this one waits".to_owned()));
        }
        let turn = RestartPermit::of(managed).await;
        // One that was stopped by hand stays so.
        if only_changed && managed.replicas().iter().all(|replica| replica.is_retired()) {
            return Ok(false);
        }
        let running = managed.release();
        let release = match &self.0.loader {
            Some(loader) => {
                let guard = self.0.supervisor.backends.resources.guard();
                release::load(&**loader, &running, build, notify, guard).await.inspect_err(|error| {
                    let message = match error {
                        CallError::Replied(reply) => reply.message.clone(),
                        error => error.to_string(),
                    };
                    self.logs().host(LogLevel::Error, managed.name(), message);
                })?
            }
            None => Arc::clone(&running),
        };
        if only_changed && release.is_same(&running) {
            return Ok(false);
        }
        self.0.supervisor.replace(managed, release, turn).await.map(|()| true)
    }
}
