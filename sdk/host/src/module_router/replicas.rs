//! The replicas of a module, the releases that they are of, and the topics that these have on the bus.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use super::Managed;
use crate::bus::{BusError, CallHandle, Endpoint, Envelope, ReplyTo, WriteBatch};
use crate::lock::lock;
use crate::release::Release;
use crate::replica::Replica;
use crate::topic::{Kind, Topic};

#[derive(Default)]
pub(super) struct Replicas {
    list: Vec<Arc<Replica>>,
    /// The host ends: there are no new ones.
    closed: bool,
    /// How often the module was stopped.
    stops: u64,
}

/// Who may add replicas: whoever has begun before the module was stopped may not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn(u64);

/// What the module ever had on the bus. What no release has any more stays, for its counts.
#[derive(Default)]
pub(super) struct Topics {
    services: BTreeMap<String, Service>,
    events: BTreeMap<String, Service>,
}

struct Service {
    topic: Arc<Topic>,
    endpoint: Arc<dyn Endpoint>,
    /// Whether the bus knows it.
    is_connected: bool,
}

/// Takes the calls, or the events, of one topic.
struct TopicEndpoint {
    managed: Arc<Managed>,
    topic: Arc<Topic>,
}

impl Endpoint for TopicEndpoint {
    fn call(&self, message: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        self.managed.call(&self.topic, message, reply, batch)
    }

    fn event(&self, message: &Envelope<'_>, batch: &mut WriteBatch) {
        self.managed.take_event(message, batch);
    }
}

/// A topic that the bus did not take, and why.
#[derive(Debug)]
pub(crate) struct Unregistered {
    pub(crate) topic: String,
    pub(crate) error: BusError,
}

impl Topics {
    fn of_kind(&mut self, kind: Kind) -> &mut BTreeMap<String, Service> {
        match kind {
            Kind::Call => &mut self.services,
            Kind::Event => &mut self.events,
        }
    }

    /// All of them, by their names.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Topic>> {
        let mut all: Vec<_> =
            self.services.values().chain(self.events.values()).map(|service| &service.topic).collect();
        all.sort_by_key(|topic| topic.name());
        all.into_iter()
    }

    pub(super) fn event(&self, topic: &str) -> Option<&Arc<Topic>> {
        self.events.get(topic).map(|event| &event.topic)
    }
}

impl Managed {
    /// The replicas, in the order of their places.
    pub(crate) fn replicas(&self) -> Vec<Arc<Replica>> {
        lock(&self.replicas).list.clone()
    }

    /// From here on replicas may be added, until the module is stopped.
    pub(crate) fn turn(&self) -> Turn {
        Turn(lock(&self.replicas).stops)
    }

    /// It is to end, and to stay so until it is restarted. Gives the replicas that have to end.
    pub(crate) fn stop(&self) -> Vec<Arc<Replica>> {
        let mut replicas = lock(&self.replicas);
        replicas.stops += 1;
        for replica in &replicas.list {
            replica.retire();
        }
        replicas.list.clone()
    }

    /// A new replica, in the place behind that one. `None` if the host ends, or the module was stopped since the turn began.
    pub(crate) fn add_replica(
        &self,
        release: &Arc<Release>,
        behind: Option<&Arc<Replica>>,
        turn: Turn,
    ) -> Option<Arc<Replica>> {
        let mut replicas = lock(&self.replicas);
        if replicas.closed || replicas.stops != turn.0 {
            return None;
        }
        let is_free = |number: &u32| replicas.list.iter().all(|replica| replica.number() != *number);
        let number = (1..=u32::MAX).find(is_free)?;
        let replica = Arc::new(Replica::new(Arc::clone(release), number));
        let is_it = |replica: &Arc<Replica>| behind.is_some_and(|behind| Arc::ptr_eq(replica, behind));
        let place = replicas.list.iter().position(is_it).map_or(replicas.list.len(), |place| place + 1);
        replicas.list.insert(place, Arc::clone(&replica));
        drop(replicas);
        self.look_whether_mixed();
        Some(replica)
    }

    /// A replica that has ended, and in whose place there is another.
    pub(crate) fn forget(&self, replica: &Arc<Replica>) {
        lock(&self.replicas).list.retain(|other| !Arc::ptr_eq(other, replica));
        self.look_whether_mixed();
    }

    pub(super) fn look_whether_mixed(&self) {
        let replicas = self.replicas();
        let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = |replica: &Arc<Replica>| !Arc::ptr_eq(replica.release(), &serving.release);
        serving.is_mixed = serving.is_changing || replicas.iter().any(is_other);
    }

    fn set_changing(&self, is_changing: bool) {
        self.serving.write().unwrap_or_else(PoisonError::into_inner).is_changing = is_changing;
        self.look_whether_mixed();
    }

    /// Whether there are no new replicas any more, for the host ends.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.replicas).closed
    }

    /// There are no new replicas from here on.
    pub(crate) fn close(&self) {
        lock(&self.replicas).closed = true;
    }

    /// Where there is nothing to go back to, it is this from here on, be it ready or not.
    pub(crate) fn adopt(&self, release: &Arc<Release>) {
        {
            let mut serving = self.serving.write().unwrap_or_else(PoisonError::into_inner);
            if !serving.ready.is_empty() {
                return;
            }
            serving.release = Arc::clone(release);
        }
        self.look_whether_mixed();
        self.apply_rules(release);
    }

    /// Ends its processes at once, and lets go of what holds it.
    pub(crate) fn end(&self) {
        self.close();
        for replica in self.replicas() {
            replica.abort();
        }
        let topics = std::mem::take(&mut *lock(&self.topics));
        // Without the lock: this may be the last of it.
        drop(topics);
    }

    /// Registers the topics of a release at the bus, unless they are already: their calls wait for the release's first process.
    /// Until [`disconnect`](Self::disconnect), no process gets a topic that its own release lacks.
    ///
    /// # Errors
    ///
    /// The first topic that the bus did not take. Nothing has changed then.
    pub(crate) async fn connect(&self, release: &Release) -> Result<(), Unregistered> {
        let Some(this) = self.this.upgrade() else { return Ok(()) };
        self.set_changing(true);
        let mut added = Vec::new();
        let registered = this.register(release, &mut added).await;
        if registered.is_err() {
            for (kind, topic) in added {
                self.unregister(kind, &topic).await;
            }
            self.set_changing(false);
        }
        registered
    }

    /// Registers what is not registered yet; `added` gets the topics that are now.
    async fn register(
        self: &Arc<Self>,
        release: &Release,
        added: &mut Vec<(Kind, String)>,
    ) -> Result<(), Unregistered> {
        for service in &release.manifest().services {
            let topic = service.topic.as_str();
            let Some(endpoint) = self.endpoint_to_register(Kind::Call, topic) else { continue };
            if let Some(entry) = lock(&self.topics).services.get(topic) {
                entry.topic.set_rules(service.ttl_ms, service.idempotent);
            }
            let provided = self.bus.provide(topic, endpoint).await;
            provided.map_err(|error| Unregistered { topic: topic.to_owned(), error })?;
            self.set_connected(Kind::Call, topic, true);
            added.push((Kind::Call, topic.to_owned()));
        }
        for event in &release.manifest().requires.events {
            let topic = event.as_str();
            let Some(endpoint) = self.endpoint_to_register(Kind::Event, topic) else { continue };
            let subscribed = self.bus.subscribe(topic, endpoint).await;
            subscribed.map_err(|error| Unregistered { topic: topic.to_owned(), error })?;
            self.set_connected(Kind::Event, topic, true);
            added.push((Kind::Event, topic.to_owned()));
        }
        Ok(())
    }

    /// The endpoint of a topic that is to be registered; `None` if it is registered.
    fn endpoint_to_register(self: &Arc<Self>, kind: Kind, topic: &str) -> Option<Arc<dyn Endpoint>> {
        let mut topics = lock(&self.topics);
        let entry = topics.of_kind(kind).entry(topic.to_owned()).or_insert_with(|| {
            let topic = Arc::new(Topic::new(topic));
            let endpoint = Arc::new(TopicEndpoint { managed: Arc::clone(self), topic: Arc::clone(&topic) });
            Service { topic, endpoint, is_connected: false }
        });
        (!entry.is_connected).then(|| Arc::clone(&entry.endpoint))
    }

    fn set_connected(&self, kind: Kind, topic: &str, is_connected: bool) {
        if let Some(entry) = lock(&self.topics).of_kind(kind).get_mut(topic) {
            entry.is_connected = is_connected;
        }
    }

    async fn unregister(&self, kind: Kind, topic: &str) {
        let Some(endpoint) = lock(&self.topics).of_kind(kind).get(topic).map(|entry| Arc::clone(&entry.endpoint))
        else {
            return;
        };
        match kind {
            Kind::Call => self.bus.withdraw(topic, &endpoint).await,
            Kind::Event => self.bus.unsubscribe(topic, &endpoint).await,
        }
        self.set_connected(kind, topic, false);
    }

    /// Ends a change that [`connect`](Self::connect) has begun: topics that no replica takes are withdrawn from the bus, and
    /// events that wait for them are dropped.
    pub(crate) async fn disconnect(&self) {
        let (replicas, release) = (self.replicas(), self.release());
        let is_taken =
            |topic: &str| release.takes(topic) || replicas.iter().any(|replica| replica.release().takes(topic));
        let mut unused = Vec::new();
        {
            let mut topics = lock(&self.topics);
            for kind in [Kind::Call, Kind::Event] {
                let entries = topics.of_kind(kind).iter();
                let entries = entries.filter(|(topic, entry)| entry.is_connected && !is_taken(topic));
                unused.extend(entries.map(|(topic, _)| (kind, topic.clone())));
            }
        }
        for (kind, topic) in unused {
            self.unregister(kind, &topic).await;
        }
        self.drop_events("it does not take them any more", |topic| !is_taken(topic));
        // Calls of topics that are gone, before each process is given any topic again.
        self.release_parked();
        self.set_changing(false);
    }

    /// What a release says of its services holds from here on.
    pub(super) fn apply_rules(&self, release: &Release) {
        let topics = lock(&self.topics);
        for service in &release.manifest().services {
            if let Some(entry) = topics.services.get(service.topic.as_str()) {
                entry.topic.set_rules(service.ttl_ms, service.idempotent);
            }
        }
    }

    /// Which of the events that it takes are kept until they were taken: that says the one who publishes them.
    pub(crate) fn set_durable(&self, is_durable: &dyn Fn(&str) -> bool) {
        for (name, event) in &lock(&self.topics).events {
            event.topic.set_rules(None, is_durable(name));
        }
    }
}
