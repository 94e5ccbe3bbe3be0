//! The replicas of a module: the list of them, and which of their processes take calls and events. The supervisor and
//! the replicas' tasks call what is here; which process gets a call is decided in `calls`.

use std::sync::Arc;

use tokio::time::Instant;

use super::{ModuleRouter, Ready};
use crate::bus::WriteBatch;
use crate::connection::{Connection, Undelivered};
use crate::lock::{lock, write};
use crate::logs::RateLimitedLog;
use crate::release::Release;
use crate::replica::Replica;

/// The list of a module's replicas.
#[derive(Default)]
pub(super) struct Replicas {
    /// The replicas in the order in which they are shown. A new one comes directly after the one that it replaces.
    list: Vec<Arc<Replica>>,
    /// Whether the host shuts down, so that no replica is added.
    is_closed: bool,
    /// How often the module was stopped by hand since the host started.
    stops: u64,
}

/// The permit to add replicas to a module. It is void once the module is stopped by hand, so that a restart that is
/// under way adds none after that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartPermit {
    /// How often the module had been stopped when the permit was given.
    stops: u64,
}

impl ModuleRouter {
    /// All replicas, in the order in which they are shown.
    pub(crate) fn replicas(&self) -> Vec<Arc<Replica>> {
        lock(&self.replicas).list.clone()
    }

    /// A permit to add replicas until the module is stopped by hand the next time.
    pub(crate) fn start_permit(&self) -> StartPermit {
        StartPermit { stops: lock(&self.replicas).stops }
    }

    /// Makes a replica with the lowest free number, from 1, and adds it to the list: directly after `behind`, or at the
    /// end if that is `None` or not in the list. The caller has to run it. `None` if the host shuts down, or the module
    /// was stopped after the permit was given.
    pub(crate) fn add_replica(
        &self,
        release: &Arc<Release>,
        behind: Option<&Arc<Replica>>,
        permit: StartPermit,
    ) -> Option<Arc<Replica>> {
        let mut replicas = lock(&self.replicas);
        if replicas.is_closed || replicas.stops != permit.stops {
            return None;
        }
        let is_free = |number: &u32| replicas.list.iter().all(|replica| replica.number() != *number);
        let number = (1..=u32::MAX).find(is_free)?;
        let replica = Arc::new(Replica::new(Arc::clone(release), number));
        let is_it = |replica: &Arc<Replica>| behind.is_some_and(|behind| Arc::ptr_eq(replica, behind));
        let index = replicas.list.iter().position(is_it).map_or(replicas.list.len(), |index| index + 1);
        replicas.list.insert(index, Arc::clone(&replica));
        drop(replicas);
        self.update_mixed();
        Some(replica)
    }

    /// Removes a replica from the list, when it has stopped. Its number is free then.
    pub(crate) fn forget(&self, replica: &Arc<Replica>) {
        lock(&self.replicas).list.retain(|other| !Arc::ptr_eq(other, replica));
        self.update_mixed();
    }

    /// Stops the module until it is restarted by hand: tells all replicas to end, and makes all permits void. Does not
    /// wait; returns the replicas, for the caller to wait for. They stay in the list.
    pub(crate) fn stop(&self) -> Vec<Arc<Replica>> {
        let mut replicas = lock(&self.replicas);
        replicas.stops += 1;
        for replica in &replicas.list {
            replica.retire();
        }
        replicas.list.clone()
    }

    /// Whether the host shuts down, so that no replica is added.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.replicas).is_closed
    }

    /// Adds no replica from here on. Called when the host shuts down.
    pub(crate) fn close(&self) {
        lock(&self.replicas).is_closed = true;
    }

    /// Kills all processes at once, and drops the topics without withdrawing them from the bus. Does not wait. Called
    /// when the host is dropped, also after an orderly shutdown.
    pub(crate) fn end(&self) {
        self.close();
        for replica in self.replicas() {
            replica.abort();
        }
        let topics = std::mem::take(&mut *lock(&self.topics));
        // After the lock is released: their endpoints may have the last reference to this router.
        drop(topics);
    }

    /// Sends calls and events to a process from here on. Its replica's task calls this once, when the process has
    /// replied to `init` and may take over. `old` is the replica that it replaces: its process gets no new ones, and
    /// what is queued for it is dispatched again. The module's current release becomes `release`, unless that is an
    /// older one. Then dispatches what waits for the module.
    pub(crate) fn add(&self, connection: &Arc<Connection>, release: &Arc<Release>, old: Option<&Replica>) {
        let this = self.this.clone();
        let log = RateLimitedLog::new(self.logs.clone(), Arc::clone(connection.id()), "whether it takes calls");
        connection.when_ready(move |is_ready| {
            let Some(this) = this.upgrade() else { return };
            let what = if is_ready { "takes calls again" } else { "says that it takes no calls now" };
            log.info(what);
            if is_ready {
                this.release_parked();
                this.pump(&mut WriteBatch::new());
            }
        });
        let replaced = old.and_then(|replica| replica.lock().connection.clone());
        let is_new_release = {
            let mut serving = write(&self.serving);
            serving.ready.push(Ready { connection: Arc::clone(connection), release: Arc::clone(release) });
            if let Some(replaced) = &replaced {
                serving.ready.retain(|ready| ready.connection.number() != replaced.number());
            }
            let is_new_release = serving.release.number() < release.number();
            if is_new_release {
                serving.release = Arc::clone(release);
            }
            is_new_release
        };
        if is_new_release {
            self.update_mixed();
            self.apply_rules(release);
        }
        if let Some(replaced) = replaced {
            self.take_back(replaced.stop());
        }
        self.release_parked();
        self.pump(&mut WriteBatch::new());
    }

    /// Sends no calls and events to a process from here on. What is queued for it goes to another process, or waits for
    /// one; what it was sent stays with it.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        {
            let mut serving = write(&self.serving);
            serving.ready.retain(|ready| ready.connection.number() != connection.number());
        }
        self.take_back(connection.stop());
    }

    /// Dispatches the calls that a process was not sent, and puts the events back to the front of the queue.
    fn take_back(&self, not_asked: Vec<Undelivered>) {
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        let mut events = Vec::new();
        for not_asked in not_asked {
            match not_asked {
                Undelivered::Call { envelope, topic, reply } => {
                    drop(self.dispatch(envelope, &topic, reply, now, &mut batch));
                }
                Undelivered::Event { envelope, topic, reply } => {
                    reply.discard();
                    events.push((topic, envelope));
                }
            }
        }
        // The last one first, so that they keep their order, before the events that wait already.
        for (topic, event) in events.into_iter().rev() {
            self.put_back(topic, event);
        }
        self.pump(&mut batch);
    }

    /// Refuses the parked calls that no replica will take soon. Called when a replica's process has ended or did not
    /// start.
    pub(crate) fn refuse_parked_in_vain(&self) {
        // Dispatches all of them: those that a replica will take are parked again.
        self.release_parked();
    }

    /// Called when a replica has stopped or failed: refuses the parked calls that no other replica will take soon.
    /// Drops the queued events if all replicas have stopped or failed.
    pub(crate) fn given_up(&self) {
        self.refuse_parked_in_vain();
        if self.replicas().iter().all(|replica| replica.state().is_final()) {
            self.drop_events("it does not run any more", |_| true);
        }
    }

    /// Called when a replica has failed for good, with a sentence: makes [`Host::failed`](crate::Host::failed) return
    /// it.
    pub(crate) fn has_failed(&self, failure: &str) {
        self.failures.send_replace(Some(failure.to_owned()));
    }

    /// Makes a release the module's current one before one of its processes is ready. Does nothing if any process of
    /// the module has become ready, and has neither ended nor been told to end. Called when a replica that is not ready
    /// is replaced.
    pub(crate) fn adopt(&self, release: &Arc<Release>) {
        {
            let mut serving = write(&self.serving);
            if !serving.ready.is_empty() {
                return;
            }
            serving.release = Arc::clone(release);
        }
        self.update_mixed();
        self.apply_rules(release);
    }

    /// Sets whether a start or restart is under way, during which replicas of several releases may run.
    pub(super) fn set_changing(&self, is_changing: bool) {
        write(&self.serving).is_changing = is_changing;
        self.update_mixed();
    }

    /// Updates `is_mixed`. To be called when replicas, the current release or `is_changing` have changed.
    fn update_mixed(&self) {
        let replicas = self.replicas();
        let mut serving = write(&self.serving);
        let is_other = |replica: &Arc<Replica>| !Arc::ptr_eq(replica.release(), &serving.release);
        serving.is_mixed = serving.is_changing || replicas.iter().any(is_other);
    }
}
