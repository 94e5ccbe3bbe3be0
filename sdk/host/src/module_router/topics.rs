//! The topics of a module, the services that it provides and the events that it takes: which are registered at the bus,
//! and the rules and counts of each. Topics that the module calls or publishes are not here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::ModuleRouter;
use crate::bus::{BusError, CallHandle, Endpoint, Envelope, ReplyTo, WriteBatch};
use crate::lock::lock;
use crate::release::Release;
use crate::topic::ModuleTopic;
use crate::topic_kind::TopicKind;

/// All topics of the module's releases, by name. A topic that no release has any more stays, for its counts; so does
/// one of a release that the bus has refused.
#[derive(Default)]
pub(super) struct Topics {
    services: BTreeMap<String, TopicEntry>,
    events: BTreeMap<String, TopicEntry>,
}

/// One topic of the module.
struct TopicEntry {
    /// The topic's rules and counts.
    topic: Arc<ModuleTopic>,
    /// What the bus calls. It is kept, since the topic is withdrawn by the same endpoint.
    endpoint: Arc<dyn Endpoint>,
    /// Whether the topic is registered at the bus.
    is_registered: bool,
}

/// What the bus calls for a call or an event of one topic of the module.
struct TopicEndpoint {
    router: Arc<ModuleRouter>,
    topic: Arc<ModuleTopic>,
}

impl Endpoint for TopicEndpoint {
    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        self.router.call(&self.topic, envelope, reply, batch)
    }

    fn event(&self, envelope: &Envelope<'_>, batch: &mut WriteBatch) {
        self.router.take_event(&self.topic, envelope, batch);
    }
}

/// A topic that the bus did not take, and why.
#[derive(Debug)]
pub(crate) struct Unregistered {
    pub(crate) topic: String,
    /// [`BusError::AlreadyProvided`] if another module provides it, of this host or another one.
    pub(crate) error: BusError,
}

impl Topics {
    /// All topics, sorted by name. A service and an event of the same name both come, the service first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<ModuleTopic>> {
        let mut all: Vec<_> = self.services.values().chain(self.events.values()).map(|entry| &entry.topic).collect();
        all.sort_by_key(|topic| topic.name());
        all.into_iter()
    }

    fn of_kind(&mut self, kind: TopicKind) -> &mut BTreeMap<String, TopicEntry> {
        match kind {
            TopicKind::Service => &mut self.services,
            TopicKind::Event => &mut self.events,
        }
    }
}

impl ModuleRouter {
    /// Registers those topics of a release at the bus that are not registered yet, and waits for the bus. Calls of a
    /// new service are refused with `UNAVAILABLE` until a replica of the release is added, and then parked until one of
    /// its processes is ready. From here until [`disconnect`](Self::disconnect), each process only gets the topics of
    /// its own release. Called before replicas of the release are started.
    ///
    /// # Errors
    ///
    /// The first topic that the bus did not take. The topics that this has registered are withdrawn again then, and
    /// [`disconnect`](Self::disconnect) need not be called.
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

    /// Registers the topics of a release that are not registered yet, and adds each to `added`. Stops at the first one
    /// that the bus does not take.
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

    /// The endpoint to register for a topic, made if need be; `None` if the topic is registered.
    fn endpoint_to_register(self: &Arc<Self>, kind: TopicKind, topic: &str) -> Option<Arc<dyn Endpoint>> {
        let mut topics = lock(&self.topics);
        let entry = topics.of_kind(kind).entry(topic.to_owned()).or_insert_with(|| {
            let topic = Arc::new(ModuleTopic::new(kind, topic));
            let endpoint = Arc::new(TopicEndpoint { router: Arc::clone(self), topic: Arc::clone(&topic) });
            TopicEntry { topic, endpoint, is_registered: false }
        });
        (!entry.is_registered).then(|| Arc::clone(&entry.endpoint))
    }

    /// Records whether a topic is registered at the bus. Nothing happens if the module never had it.
    fn set_registered(&self, kind: TopicKind, topic: &str, is_registered: bool) {
        if let Some(entry) = lock(&self.topics).of_kind(kind).get_mut(topic) {
            entry.is_registered = is_registered;
        }
    }

    /// Withdraws a topic from the bus. Nothing happens if the module never had it.
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

    /// Ends a change that [`connect`](Self::connect) has begun, when the replicas were replaced or that has failed.
    /// Topics that neither the current release nor a replica takes are withdrawn from the bus, their queued events are
    /// dropped, and their parked calls are refused.
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
        // Refuses calls of topics that are gone, before it is no longer checked which process takes which topic.
        self.release_parked();
        self.set_changing(false);
    }

    /// Sets the timeouts of the services, and which are idempotent, from the manifest of the release that becomes the
    /// current one.
    pub(super) fn apply_rules(&self, release: &Release) {
        let topics = lock(&self.topics);
        for service in &release.manifest().services {
            if let Some(entry) = topics.services.get(service.topic.as_str()) {
                entry.topic.set_rules(service.ttl_ms, service.idempotent);
            }
        }
    }

    /// Sets which of the events that the module takes are durable: those for which `is_durable` is true. The manifests
    /// of their publishers say so, which the supervisor knows.
    pub(crate) fn set_durable(&self, is_durable: &dyn Fn(&str) -> bool) {
        for (name, event) in &lock(&self.topics).events {
            event.topic.set_rules(None, is_durable(name));
        }
    }
}
