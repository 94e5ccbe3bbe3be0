//! The topics of a module: which the bus knows, and the rules and counts of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ModuleRouter;
use crate::bus::{BusError, CallHandle, Endpoint, Envelope, ReplyTo, WriteBatch};
use crate::lock::lock;
use crate::release::Release;
use crate::topic::{ModuleTopic, TopicKind};

/// Every topic that a release of the module has had. Those that no release has now stay, for their counts.
#[derive(Default)]
pub(super) struct Topics {
    services: BTreeMap<String, TopicEntry>,
    events: BTreeMap<String, TopicEntry>,
}

struct TopicEntry {
    topic: Arc<ModuleTopic>,
    endpoint: Arc<dyn Endpoint>,
    /// Whether it is registered at the bus.
    is_registered: bool,
}

/// What the bus calls for one topic of the module.
struct TopicEndpoint {
    router: Arc<ModuleRouter>,
    topic: Arc<ModuleTopic>,
}

impl Endpoint for TopicEndpoint {
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        self.router.call(&self.topic, envelope, reply, batch)
    }

    fn event(&self, envelope: &Envelope<'_>, batch: &mut WriteBatch) {
        self.router.take_event(envelope, batch);
    }
}

/// A topic that the bus did not take, and why.
#[derive(Debug)]
pub(crate) struct Unregistered {
    pub(crate) topic: String,
    pub(crate) error: BusError,
}

impl Topics {
    /// All topics, by name.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ModuleTopic>> {
        let mut all: Vec<_> = self.services.values().chain(self.events.values()).map(|entry| &entry.topic).collect();
        all.sort_by_key(|topic| topic.name());
        all.into_iter()
    }

    pub(super) fn event(&self, topic: &str) -> Option<&Arc<ModuleTopic>> {
        self.events.get(topic).map(|entry| &entry.topic)
    }

    fn of_kind(&mut self, kind: TopicKind) -> &mut BTreeMap<String, TopicEntry> {
        match kind {
            TopicKind::Service => &mut self.services,
            TopicKind::Event => &mut self.events,
        }
    }
}

impl ModuleRouter {
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
        added: &mut Vec<(TopicKind, String)>,
    ) -> Result<(), Unregistered> {
        for service in &release.manifest().services {
            let topic = service.topic.as_str();
            let Some(endpoint) = self.endpoint_to_register(TopicKind::Service, topic) else { continue };
            if let Some(entry) = lock(&self.topics).services.get(topic) {
                entry.topic.set_rules(service.ttl_ms, service.idempotent);
            }
            let provided = self.bus.provide(topic, endpoint).await;
            provided.map_err(|error| Unregistered { topic: topic.to_owned(), error })?;
            self.set_registered(TopicKind::Service, topic, true);
            added.push((TopicKind::Service, topic.to_owned()));
        }
        for event in &release.manifest().requires.events {
            let topic = event.as_str();
            let Some(endpoint) = self.endpoint_to_register(TopicKind::Event, topic) else { continue };
            let subscribed = self.bus.subscribe(topic, endpoint).await;
            subscribed.map_err(|error| Unregistered { topic: topic.to_owned(), error })?;
            self.set_registered(TopicKind::Event, topic, true);
            added.push((TopicKind::Event, topic.to_owned()));
        }
        Ok(())
    }

    /// The endpoint of a topic that is to be registered; `None` if it is registered.
    fn endpoint_to_register(self: &Arc<Self>, kind: TopicKind, topic: &str) -> Option<Arc<dyn Endpoint>> {
        let mut topics = lock(&self.topics);
        let entry = topics.of_kind(kind).entry(topic.to_owned()).or_insert_with(|| {
            let topic = Arc::new(ModuleTopic::new(topic));
            let endpoint = Arc::new(TopicEndpoint { router: Arc::clone(self), topic: Arc::clone(&topic) });
            TopicEntry { topic, endpoint, is_registered: false }
        });
        (!entry.is_registered).then(|| Arc::clone(&entry.endpoint))
    }

    fn set_registered(&self, kind: TopicKind, topic: &str, is_registered: bool) {
        if let Some(entry) = lock(&self.topics).of_kind(kind).get_mut(topic) {
            entry.is_registered = is_registered;
        }
    }

    async fn unregister(&self, kind: TopicKind, topic: &str) {
        let Some(endpoint) = lock(&self.topics).of_kind(kind).get(topic).map(|entry| Arc::clone(&entry.endpoint))
        else {
            return;
        };
        match kind {
            TopicKind::Service => self.bus.withdraw(topic, &endpoint).await,
            TopicKind::Event => self.bus.unsubscribe(topic, &endpoint).await,
        }
        self.set_registered(kind, topic, false);
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
            for kind in [TopicKind::Service, TopicKind::Event] {
                let entries = topics.of_kind(kind).iter();
                let entries = entries.filter(|(topic, entry)| entry.is_registered && !is_taken(topic));
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

    /// Puts what a release's manifest says of its services in force.
    pub(super) fn apply_rules(&self, release: &Release) {
        let topics = lock(&self.topics);
        for service in &release.manifest().services {
            if let Some(entry) = topics.services.get(service.topic.as_str()) {
                entry.topic.set_rules(service.ttl_ms, service.idempotent);
            }
        }
    }

    /// Sets which of the events that the module takes are durable: that is up to the manifest of their publisher.
    pub(crate) fn set_durable(&self, is_durable: &dyn Fn(&str) -> bool) {
        for (name, event) in &lock(&self.topics).events {
            event.topic.set_rules(None, is_durable(name));
        }
    }
}
