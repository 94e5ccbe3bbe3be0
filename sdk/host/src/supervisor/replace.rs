//! A restart by hand: replaces the replicas of a module by new ones, one after the other, so that calls find a process
//! meanwhile. The restart of a process that has ended is in `replica_task`.

use std::sync::Arc;

use ixt_protocol::{LogLevel, code};
use serde_json::{Value, json};
use tokio::sync::OwnedMutexGuard;

use crate::bus::BusError;
use crate::call_error::{CallError, ErrorReply};
use crate::module_router::{ModuleRouter, StartPermit, Unregistered};
use crate::release::{Release, refusal};
use crate::replica::Replica;
use crate::status::InstanceState;
use crate::supervisor::replica_task::Predecessor;
use crate::supervisor::{StartError, Supervisor};

/// The permit to restart a module by hand. While it exists, no other such restart of the same module begins. If the
/// module is stopped after the permit was given, no replica can be added with it, and the restart fails.
pub(crate) struct RestartPermit {
    /// The lock of [`ModuleRouter::restarting`].
    guard: OwnedMutexGuard<()>,
    /// The permit to add replicas.
    start: StartPermit,
}

impl RestartPermit {
    /// Waits until no other restart by hand of the module is under way, in the order of the calls. Cancel-safe.
    pub(crate) async fn of(router: &ModuleRouter) -> Self {
        let guard = Arc::clone(&router.restarting).lock_owned().await;
        Self { guard, start: router.start_permit() }
    }
}

impl Supervisor {
    /// Replaces all replicas of a module by replicas of `release`, and logs the begin and a failure. Returns when the
    /// old replicas have stopped. If the future is dropped, a task goes on with the work, and keeps the permit until it
    /// is done.
    ///
    /// # Errors
    ///
    /// `FAILED_PRECONDITION` if another module provides a topic of the release; `UNAVAILABLE` if the bus did not take a
    /// topic for another reason, a new replica did not become ready, or the module or the host was stopped meanwhile.
    /// The message says what runs now.
    pub(crate) async fn replace(
        &self,
        router: &Arc<ModuleRouter>,
        release: Arc<Release>,
        permit: RestartPermit,
    ) -> Result<(), CallError> {
        let (this, router) = (self.clone(), Arc::clone(router));
        let replacing = tokio::spawn(async move {
            let RestartPermit { guard: _guard, start } = permit;
            let logs = &this.backends.logs;
            let old = router.release();
            let what = match (old.source(), release.source()) {
                (old, new) if old == new => String::new(),
                (_, new) => format!(", with {new}"),
            };
            logs.host(LogLevel::Info, old.source(), format!("is restarted{what}"));
            let replaced = match this.connect(&router, &release).await {
                Ok(()) => {
                    let replaced = this.replace_all(&router, &release, start).await;
                    router.disconnect().await;
                    this.set_durable();
                    replaced
                }
                refused => refused,
            };
            if let Err(error) = &replaced {
                logs.host(LogLevel::Error, old.source(), format!("was not restarted: {error}"));
            }
            replaced
        });
        replacing.await.unwrap_or_else(|_| Err(shutting_down()))
    }

    /// Registers the topics of a new release at the bus, after warnings about the release. The error is for the caller
    /// of the restart: `FAILED_PRECONDITION` if another module provides one of them, `UNAVAILABLE` if the bus does not
    /// take one for another reason. Nothing has changed then.
    async fn connect(&self, router: &ModuleRouter, release: &Release) -> Result<(), CallError> {
        self.warn(release).await;
        router.connect(release).await.map_err(|Unregistered { topic, error }| {
            let name = router.name();
            if error != BusError::AlreadyProvided {
                let message = format!("`{topic}` of `{name}` can't be registered: {error}. It goes on as it was");
                return refusal(code::UNAVAILABLE, message);
            }
            let other = self.modules.iter().find(|other| other.name() != name && other.release().provides(&topic));
            let other = other.map_or_else(|| "another host".to_owned(), |other| format!("`{}`", other.name()));
            let message = format!(
                "`{name}` can't provide `{topic}`, for {other} does: a topic has one provider. It goes on as it was"
            );
            refusal(code::FAILED_PRECONDITION, message)
        })
    }

    /// Replaces each old replica by a new one, then adds or ends replicas until there are as many as the release
    /// demands. Returns the error of the first new replica that does not become ready. Those that were replaced before
    /// it stay replaced, and further ones are not.
    async fn replace_all(
        &self,
        router: &Arc<ModuleRouter>,
        release: &Arc<Release>,
        permit: StartPermit,
    ) -> Result<(), CallError> {
        let mut old = router.replicas().into_iter();
        for _ in 0..release.deployment().instances {
            match old.next() {
                // One after the other, so that the others serve meanwhile.
                Some(old) => self.replace_one(router, release, &old, permit).await?,
                None => {
                    let replica = router.add_replica(release, None, permit).ok_or_else(|| stopped(router))?;
                    self.set_durable();
                    let started = self.run(router, &replica, None, std::future::ready(()));
                    match started.await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return Err(not_ready(&replica, &error, self.what_now())),
                        Err(_) => return Err(stopped(router)),
                    }
                }
            }
        }
        for old in old {
            old.retire();
            old.stopped().await;
            router.forget(&old);
        }
        Ok(())
    }

    /// What becomes of a new replica that did not become ready and has no predecessor to go back to, for the message of
    /// [`not_ready`].
    fn what_now(&self) -> &'static str {
        if self.settings.restart.intensity == 0 { "" } else { ", and is tried again" }
    }

    /// Replaces one replica. If the new one does not become ready, the old one goes on; if the two must not overlap,
    /// what the old one ran is started again in a third replica. An old one that was not ready is ended in any case,
    /// and the new one is tried again as the restart policy says.
    async fn replace_one(
        &self,
        router: &Arc<ModuleRouter>,
        release: &Arc<Release>,
        old: &Arc<Replica>,
        permit: StartPermit,
    ) -> Result<(), CallError> {
        let served = old.state() == InstanceState::Ready;
        let overlaps = served && release.overlaps();
        let new = router.add_replica(release, Some(old), permit).ok_or_else(|| stopped(router))?;
        if !served {
            router.adopt(release);
        }
        self.set_durable();
        let predecessor = Predecessor { replica: Arc::clone(old), overlaps, served };
        let started = self.run(router, &new, Some(predecessor), std::future::ready(()));
        let error = match started.await {
            Ok(Ok(())) => {
                old.stopped().await;
                router.forget(old);
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(_) => {
                // The module was stopped meanwhile.
                old.retire();
                old.stopped().await;
                router.forget(old);
                return Err(stopped(router));
            }
        };
        if overlaps {
            new.retire();
            new.stopped().await;
            router.forget(&new);
            let goes_on = if old.state() == InstanceState::Ready { "goes on" } else { "is restarted" };
            return Err(not_ready(&new, &error, &format!(", and {} {goes_on}", old.id())));
        }
        router.forget(old);
        if !served {
            return Err(not_ready(&new, &error, self.what_now()));
        }
        // The old replica has ended before the new one was started: its release is started again.
        let back = router.add_replica(old.release(), Some(&new), permit);
        let Some(back) = back else {
            new.retire();
            return Err(not_ready(&new, &error, ", and was stopped meanwhile"));
        };
        let predecessor = Predecessor { replica: Arc::clone(&new), overlaps: false, served: false };
        let started = self.run(router, &back, Some(predecessor), std::future::ready(()));
        let what_now = match started.await {
            Ok(Ok(())) => format!(", and what ran before was started again, as {}", back.id()),
            Ok(Err(again)) => format!(", and what ran before does not start any more ({})", again.kind()),
            Err(_) => ", and was stopped meanwhile".to_owned(),
        };
        router.forget(&new);
        Err(not_ready(&new, &error, &what_now))
    }
}

/// The error for a replica that did not become ready: `UNAVAILABLE`, not retryable. `what_now` goes into the message,
/// and says what runs now. The process's last lines are in the details, under `last_lines`.
fn not_ready(replica: &Replica, error: &StartError, what_now: &str) -> CallError {
    let message = format!("{} did not get ready{what_now}: {}", replica.id(), error.kind());
    let details = match error.last_lines() {
        [] => Value::Null,
        lines => json!({ "last_lines": lines }),
    };
    CallError::Replied(ErrorReply::new(code::UNAVAILABLE.to_owned(), message, details, false))
}

/// The error for a restart during which the module was stopped, or the host began to shut down.
fn stopped(router: &ModuleRouter) -> CallError {
    if router.is_closed() {
        return shutting_down();
    }
    refusal(code::UNAVAILABLE, "the module was stopped before its restart was done".to_owned())
}

/// The error for a restart while the host shuts down.
fn shutting_down() -> CallError {
    refusal(code::UNAVAILABLE, "the host is shutting down".to_owned())
}
