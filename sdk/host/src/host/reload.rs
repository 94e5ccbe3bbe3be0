//! Restarts of modules: with the same release, or reloaded from disk.

use std::sync::Arc;

use ixt_protocol::LogLevel;

use crate::call_error::CallError;
use crate::host::Host;
use crate::module_router::ModuleRouter;
use crate::release::{self, Notice};
use crate::supervisor::RestartPermit;

impl Host {
    /// Replaces the processes of a module by new ones of the same release, one after the other. Each new process is
    /// started beside an old one and takes over when it is ready; the old one finishes its requests (see
    /// [`HOST.md`](crate::guide)). If the manifest forbids that (`overlap = false`), or the old process is not ready,
    /// the old one ends before the new one is started. A module that was stopped, or has failed, is started again.
    ///
    /// Waits first for another restart of this module, if one is under way. Returns when all processes have been
    /// replaced and the old ones have ended. If the future is dropped before the restart has begun, nothing has
    /// changed; afterwards the restart goes on.
    ///
    /// # Errors
    ///
    /// `NOT_FOUND` if there is no such module; `UNAVAILABLE`, not retryable, if a new process did not become ready, the
    /// module or the host was stopped meanwhile, or the bus can't be reached. The message says what runs now: an old
    /// process that was ready goes on, or is started again. Those that were replaced before stay replaced, and no
    /// further one is.
    pub async fn restart(&self, module: &str) -> Result<(), CallError> {
        let router = self.find(module)?;
        let permit = RestartPermit::of(router).await;
        self.0.supervisor.replace(router, router.release(), permit).await
    }

    /// Restarts a module as it is on disk now: the [loader](crate::HostBuilder::loader) reads its manifest and
    /// configuration again, and builds the program if `build` is set. Without a loader, the running release is started
    /// again. `notify` is called with each step of the loader, the output of the build, and each difference between the
    /// manifests, and before the wait for another restart of the module; it is not called while processes are replaced.
    ///
    /// If the future is dropped while the loader works, nothing has changed. Once processes are being replaced, the
    /// restart goes on.
    ///
    /// # Errors
    ///
    /// Those of [`restart`](Self::restart), and `FAILED_PRECONDITION` if the module could not be loaded, has another
    /// name now, or provides a topic of another module; then it goes on as it was. Each failure but `NOT_FOUND` is
    /// logged too.
    pub async fn reload(
        &self,
        module: &str,
        build: bool,
        notify: &(dyn Fn(Notice) + Send + Sync),
    ) -> Result<(), CallError> {
        self.reload_one(self.find(module)?, build, false, notify).await.map(drop)
    }

    /// [Reloads](Self::reload) the modules that have changed, one after the other. To find that out, the loader reads
    /// each of them, and builds its program if `build` is set. A module has changed if its manifest, configuration,
    /// number of processes, timeouts or program has, or a file with an absolute path among the program's arguments; or,
    /// where the manifest names the program's file, a file in the module's directory or the directories in it with the
    /// same extension. Files are compared by inode, size and time, not by content. Modules whose processes were all
    /// stopped by hand are left out. `notify` is called with the module's name and each step.
    ///
    /// Returns when all of them are done: for each module of the host, in the order in which they were added, its name,
    /// and whether it was replaced, or why that failed. `false` stands for a module that has not changed or was left
    /// out. A failure does not keep the next modules from being reloaded. There is no timeout for the whole; each start
    /// and shutdown has one, a build has none.
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

    /// Reloads one module, and returns whether it was replaced. With `only_changed` it is not replaced if nothing has
    /// changed, or if all of its processes were stopped by hand. Waits for another restart of the module first.
    async fn reload_one(
        &self,
        router: &Arc<ModuleRouter>,
        build: bool,
        only_changed: bool,
        notify: &(dyn Fn(Notice) + Send + Sync),
    ) -> Result<bool, CallError> {
        if router.restarting.try_lock().is_err() {
            notify(Notice::Step("waits for another restart of this module".to_owned()));
        }
        let permit = RestartPermit::of(router).await;
        // A module that was stopped by hand stays stopped.
        if only_changed && router.replicas().iter().all(|replica| replica.is_retired()) {
            return Ok(false);
        }
        let running = router.release();
        let release = match &self.0.loader {
            Some(loader) => {
                let guard = self.0.supervisor.backends.resources.guard();
                release::load(&**loader, &running, build, notify, guard).await.inspect_err(|error| {
                    let message = match error {
                        CallError::Replied(reply) => reply.message.clone(),
                        error => error.to_string(),
                    };
                    self.logs().host(LogLevel::Error, router.name(), message);
                })?
            }
            None => Arc::clone(&running),
        };
        if only_changed && release.is_same(&running) {
            return Ok(false);
        }
        self.0.supervisor.replace(router, release, permit).await.map(|()| true)
    }
}
