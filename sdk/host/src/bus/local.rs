//! The bus within a host: a table from topics to modules.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use foldhash::HashMap;
use ixt_protocol::{Object, code};
use tokio::time::Instant;

use crate::bus::{AlreadyProvided, Answer, Bus, Endpoint, HOST_SOURCE, Message, Pending, ReplyTo};
use crate::call_log::{Call, CallLog, Outcome};
use crate::topic::Kind;

/// A bus for the modules of one host: a call is in its module's socket when [`call`](Bus::call) returns.
#[derive(Default)]
pub struct LocalBus {
    topics: RwLock<Topics>,
    call_log: CallLog,
}

#[derive(Default)]
struct Topics {
    providers: HashMap<String, Arc<dyn Endpoint>>,
    subscribers: HashMap<String, Vec<Arc<dyn Endpoint>>>,
}

impl LocalBus {
    /// One that tells of calls that nobody takes.
    pub(crate) fn new(call_log: CallLog) -> Self {
        Self { topics: RwLock::default(), call_log }
    }

    fn read(&self) -> RwLockReadGuard<'_, Topics> {
        // Nothing that can panic happens under this lock.
        self.topics.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Topics> {
        self.topics.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bus for LocalBus {
    fn provide(&self, topic: &str, endpoint: Arc<dyn Endpoint>) -> Result<(), AlreadyProvided> {
        let mut topics = self.write();
        if topics.providers.contains_key(topic) {
            return Err(AlreadyProvided);
        }
        topics.providers.insert(topic.to_owned(), endpoint);
        Ok(())
    }

    fn withdraw(&self, topic: &str, endpoint: &Arc<dyn Endpoint>) {
        let mut topics = self.write();
        if topics.providers.get(topic).is_some_and(|provider| Arc::ptr_eq(provider, endpoint)) {
            topics.providers.remove(topic);
        }
    }

    fn subscribe(&self, topic: &str, endpoint: Arc<dyn Endpoint>) {
        self.write().subscribers.entry(topic.to_owned()).or_default().push(endpoint);
    }

    fn unsubscribe(&self, topic: &str, endpoint: &Arc<dyn Endpoint>) {
        let mut topics = self.write();
        let Some(subscribers) = topics.subscribers.get_mut(topic) else { return };
        subscribers.retain(|subscriber| !Arc::ptr_eq(subscriber, endpoint));
        if subscribers.is_empty() {
            topics.subscribers.remove(topic);
        }
    }

    fn call(&self, message: Message<'_>, reply: ReplyTo) -> Pending {
        let provider = self.read().providers.get(&*message.topic).map(Arc::clone);
        match provider {
            Some(provider) => provider.call(message, reply),
            None => {
                let Message { topic, source, trace_id, .. } = &message;
                let why = format!("no module here provides `{topic}`");
                let module = if **source == *HOST_SOURCE { "host" } else { source };
                let started = Instant::now();
                let call = Call { module, topic, kind: Kind::Call, caller: source, trace_id, started };
                self.call_log.failed(&call, Outcome::Refused, code::NOT_FOUND, &why);
                reply.error(code::NOT_FOUND, &why, false);
                Pending::default()
            }
        }
    }

    fn publish(&self, message: Message<'_>, reply: ReplyTo) {
        let subscribers = self.read().subscribers.get(&*message.topic).cloned();
        for subscriber in subscribers.iter().flatten() {
            subscriber.event(&message);
        }
        reply.send(Answer::Success(empty()));
    }

    fn is_provided(&self, topic: &str) -> bool {
        self.read().providers.contains_key(topic)
    }

    fn close(&self) {
        let topics = std::mem::take(&mut *self.write());
        // Without the lock.
        drop(topics);
    }
}

/// `{}`.
pub(crate) fn empty() -> Object<'static> {
    Object::empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_a_bus() {
        crate::bus::conformance::check(Arc::new(LocalBus::default())).await;
    }
}
