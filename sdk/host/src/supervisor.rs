//! Runs the replicas of the modules, and replaces them, one after the other, without a gap.

use std::sync::Arc;

use ixt_protocol::{LogLevel, code};
use serde_json::{Value, json};
use tokio::sync::{OwnedMutexGuard, oneshot};

use crate::bus::BusError;
use crate::instance::StartError;
use crate::module_router::{ModuleRouter, StartPermit, Unregistered};
use crate::release::Release;
use crate::replica::{Life, Predecessor, Replica};
use crate::restart::refusal;
use crate::services::Backends;
use crate::settings::Settings;
use crate::status::State;
use crate::{CallError, ErrorReply};

#[derive(Clone)]
pub(crate) struct Supervisor {
    pub(crate) modules: Arc<[Arc<ModuleRouter>]>,
    pub(crate) backends: Backends,
    pub(crate) settings: Arc<Settings>,
}

/// A restart that is this one's to make.
pub(crate) struct RestartTurn {
    guard: OwnedMutexGuard<()>,
    turn: StartPermit,
}

impl RestartTurn {
    /// Waits until no other one is under way.
    pub(crate) async fn of(router: &ModuleRouter) -> Self {
        let guard = Arc::clone(&router.restarting).lock_owned().await;
        Self { guard, turn: router.start_permit() }
    }
}

/// What became of a start: nothing, if it was told to end before.
type Started = oneshot::Receiver<Result<(), StartError>>;

impl Supervisor {
    /// Runs a replica from when it is its turn.
    pub(crate) fn run(
        &self,
        router: &Arc<ModuleRouter>,
        replica: &Arc<Replica>,
        predecessor: Option<Predecessor>,
        its_turn: impl Future<Output = ()> + Send + 'static,
    ) -> Started {
        let (first, started) = oneshot::channel();
        let (router, backends, settings) = (Arc::clone(router), self.backends.clone(), Arc::clone(&self.settings));
        let life = Life::new(router, Arc::clone(replica), backends, settings, predecessor, first);
        let task = tokio::spawn(async move {
            its_turn.await;
            life.run().await;
        });
        replica.runs_as(task.abort_handle());
        started
    }

    /// Which events are kept until they were taken, says the module that publishes them.
    pub(crate) fn set_durable(&self) {
        let mut releases: Vec<_> = self.modules.iter().map(|router| router.release()).collect();
        // Also of those that are being replaced, or are about to be there.
        let replicas = self.modules.iter().flat_map(|router| router.replicas());
        releases.extend(replicas.map(|replica| Arc::clone(replica.release())));
        let mut events = releases.iter().flat_map(|release| &release.manifest().events).filter(|event| event.durable);
        let durable: Vec<_> = events.by_ref().map(|event| event.topic.as_str()).collect();
        for router in self.modules.iter() {
            router.set_durable(&|topic| durable.contains(&topic));
        }
    }

    /// Tells what is missing, or strange, around a release.
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

    /// Replaces the replicas of a module by such of this release. Goes on even if nobody waits for it any more. The turn is one's own
    /// until that is done.
    pub(crate) async fn replace(
        &self,
        router: &Arc<ModuleRouter>,
        release: Arc<Release>,
        turn: RestartTurn,
    ) -> Result<(), CallError> {
        let (this, router) = (self.clone(), Arc::clone(router));
        let replacing = tokio::spawn(async move {
            let RestartTurn { guard: _guard, turn } = turn;
            let logs = &this.backends.logs;
            let old = router.release();
            let what = match (old.source(), release.source()) {
                (old, new) if old == new => String::new(),
                (_, new) => format!(", with {new}"),
            };
            logs.host(LogLevel::Info, old.source(), format!("is restarted{what}"));
            let replaced = match this.connect(&router, &release).await {
                Ok(()) => {
                    let replaced = this.replace_all(&router, &release, turn).await;
                    router.disconnect().await;
                    this.set_durable();
                    replaced
                }
                refused => refused,
            };
            if let Err(error) = &replaced {
                logs.host(LogLevel::Warn, old.source(), format!("was not restarted: {error}"));
            }
            replaced
        });
        replacing.await.unwrap_or_else(|_| Err(shutting_down()))
    }

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

    async fn replace_all(
        &self,
        router: &Arc<ModuleRouter>,
        release: &Arc<Release>,
        turn: StartPermit,
    ) -> Result<(), CallError> {
        let mut old = router.replicas().into_iter();
        for _ in 0..release.deployment().instances {
            match old.next() {
                // One after the other, so that most of them serve all the time.
                Some(old) => self.replace_one(router, release, &old, turn).await?,
                None => {
                    let replica = router.add_replica(release, None, turn).ok_or_else(|| stopped(router))?;
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

    /// What becomes of one that did not get ready, where there is nothing to go back to.
    fn what_now(&self) -> &'static str {
        if self.settings.restart.intensity == 0 { "" } else { ", and is tried again" }
    }

    async fn replace_one(
        &self,
        router: &Arc<ModuleRouter>,
        release: &Arc<Release>,
        old: &Arc<Replica>,
        turn: StartPermit,
    ) -> Result<(), CallError> {
        let served = old.state() == State::Ready;
        let overlaps = served && release.overlaps();
        let new = router.add_replica(release, Some(old), turn).ok_or_else(|| stopped(router))?;
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
                // Somebody has stopped the module meanwhile.
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
            let goes_on = if old.state() == State::Ready { "goes on" } else { "is restarted" };
            return Err(not_ready(&new, &error, &format!(", and {} {goes_on}", old.id())));
        }
        router.forget(old);
        if !served {
            return Err(not_ready(&new, &error, self.what_now()));
        }
        // The old one has made room for nothing: back to what it was.
        let back = router.add_replica(old.release(), Some(&new), turn);
        let Some(back) = back else {
            new.retire();
            return Err(not_ready(&new, &error, ", and was stopped meanwhile"));
        };
        let predecessor = Predecessor { replica: Arc::clone(&new), overlaps: false, served: false };
        let started = self.run(router, &back, Some(predecessor), std::future::ready(()));
        let what_now = match started.await {
            Ok(Ok(())) => format!(", and what ran before was started again, as {}", back.id()),
            Ok(Err(again)) => format!(", nor does what ran before any more ({})", again.kind()),
            Err(_) => ", and was stopped meanwhile".to_owned(),
        };
        router.forget(&new);
        Err(not_ready(&new, &error, &what_now))
    }
}

fn not_ready(replica: &Replica, error: &StartError, what_now: &str) -> CallError {
    let message = format!("{} did not get ready{what_now}: {}", replica.id(), error.kind());
    let details = match error.last_lines() {
        [] => Value::Null,
        lines => json!({ "last_lines": lines }),
    };
    CallError::Replied(ErrorReply::new(code::UNAVAILABLE.to_owned(), message, details, false))
}

fn stopped(router: &ModuleRouter) -> CallError {
    if router.is_closed() {
        return shutting_down();
    }
    refusal(code::UNAVAILABLE, "the module was stopped before that was done".to_owned())
}

fn shutting_down() -> CallError {
    refusal(code::UNAVAILABLE, "the host is shutting down".to_owned())
}
