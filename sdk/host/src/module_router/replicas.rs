//! The replicas of a module: which there are, and which take calls and events.

use std::sync::Arc;

use tokio::time::Instant;

use super::{ModuleRouter, Ready};
use crate::bus::WriteBatch;
use crate::connection::{Connection, Undelivered};
use crate::lock::{lock, write};
use crate::logs::LimitedLog;
use crate::release::Release;
use crate::replica::Replica;

#[derive(Default)]
pub(super) struct Replicas {
    /// In the order in which they are shown; a new one stands behind the one that it replaces.
    list: Vec<Arc<Replica>>,
    /// The host ends: no replica is added.
    is_closed: bool,
    /// How often the module was stopped.
    stops: u64,
}

/// The right to add replicas. It ends when the module is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartPermit {
    /// How often the module had been stopped when this was given out.
    stops: u64,
}

impl ModuleRouter {
    /// All replicas, in the order in which they are shown.
    pub(crate) fn replicas(&self) -> Vec<Arc<Replica>> {
        lock(&self.replicas).list.clone()
    }

    /// The right to add replicas from here on, until the module is stopped.
    pub(crate) fn start_permit(&self) -> StartPermit {
        StartPermit { stops: lock(&self.replicas).stops }
    }

    /// Adds a replica with the lowest number that is free, behind this one. `None` if the host ends, or the module was stopped
    /// since the right was given out.
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

    /// Removes a replica that has ended and was replaced.
    pub(crate) fn forget(&self, replica: &Arc<Replica>) {
        lock(&self.replicas).list.retain(|other| !Arc::ptr_eq(other, replica));
        self.update_mixed();
    }

    /// Stops the module until it is restarted. Gives the replicas, which have been told to end.
    pub(crate) fn stop(&self) -> Vec<Arc<Replica>> {
        let mut replicas = lock(&self.replicas);
        replicas.stops += 1;
        for replica in &replicas.list {
            replica.retire();
        }
        replicas.list.clone()
    }

    /// Whether the host ends, so that no replica is added.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.replicas).is_closed
    }

    /// The host ends: no replica is added from here on.
    pub(crate) fn close(&self) {
        lock(&self.replicas).is_closed = true;
    }

    /// Ends all processes at once, and lets go of the topics.
    pub(crate) fn end(&self) {
        self.close();
        for replica in self.replicas() {
            replica.abort();
        }
        let topics = std::mem::take(&mut *lock(&self.topics));
        // After the lock is released: their endpoints may hold the last reference to this.
        drop(topics);
    }

    /// Gives calls and events to a process from here on, and no new ones to that of the replica which it replaces.
    pub(crate) fn add(&self, connection: &Arc<Connection>, release: &Arc<Release>, old: Option<&Replica>) {
        let this = self.this.clone();
        let log = LimitedLog::new(self.logs.clone(), Arc::clone(connection.id()), "whether it takes calls");
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

    /// Gives no calls and events to a process from here on. What is queued for it goes to another one.
    pub(crate) fn remove(&self, connection: &Arc<Connection>) {
        {
            let mut serving = write(&self.serving);
            serving.ready.retain(|ready| ready.connection.number() != connection.number());
        }
        self.take_back(connection.stop());
    }

    fn take_back(&self, not_asked: Vec<Undelivered>) {
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        let mut events = Vec::new();
        for not_asked in not_asked {
            match not_asked {
                Undelivered::Call { envelope, topic, reply } => {
                    drop(self.dispatch(envelope, &topic, reply, now, &mut batch));
                }
                Undelivered::Event { envelope, reply } => {
                    reply.discard();
                    events.push(envelope);
                }
            }
        }
        // In their order, before those that wait already.
        for event in events.into_iter().rev() {
            self.put_back(event);
        }
        self.pump(&mut batch);
    }

    /// Refuses the parked calls that no replica will take.
    pub(crate) fn refuse_parked_in_vain(&self) {
        // The others are parked again.
        self.release_parked();
    }

    /// A replica will not start again by itself: refuses the calls, and drops the events, that wait in vain.
    pub(crate) fn given_up(&self) {
        self.refuse_parked_in_vain();
        if self.replicas().iter().all(|replica| replica.state().is_final()) {
            self.drop_events("it does not run any more", |_| true);
        }
    }

    /// A replica has failed, and is not started again by itself: tells who waits for [`Host::failed`](crate::Host::failed).
    pub(crate) fn has_failed(&self, failure: &str) {
        self.failures.send_replace(Some(failure.to_owned()));
    }

    /// Makes a release the current one although none of its processes is ready, unless a process of another one is.
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

    /// Whether topics are being registered for another release, so that processes of several releases may run.
    pub(super) fn set_changing(&self, is_changing: bool) {
        write(&self.serving).is_changing = is_changing;
        self.update_mixed();
    }

    fn update_mixed(&self) {
        let replicas = self.replicas();
        let mut serving = write(&self.serving);
        let is_other = |replica: &Arc<Replica>| !Arc::ptr_eq(replica.release(), &serving.release);
        serving.is_mixed = serving.is_changing || replicas.iter().any(is_other);
    }
}
