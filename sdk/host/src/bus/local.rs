//! The bus within one host: a table from topics to endpoints.

use std::future::ready;
use std::sync::{Arc, RwLock};

use foldhash::HashMap;
use ixt_protocol::{Object, code};

use super::{Bus, BusError, BusFuture, CallHandle, CallResult, Endpoint, Envelope, ReplyTo, WriteBatch};
use crate::lock::{read, write};

/// A bus for the modules of one host. [`call`](Bus::call) and [`publish`](Bus::publish) hand a message to its endpoints
/// before they return, on the caller's thread, and an event is always accepted. A registration takes place in the call
/// of its method; the futures complete at once, and need not be polled. An endpoint that subscribes twice gets each
/// event twice, and unsubscribes from both at once. After [`close`](Bus::close) the bus is empty, and can be used
/// again.
#[derive(Default)]
pub struct LocalBus {
    topics: RwLock<Topics>,
    /// `None`: refused calls are not reported.
    on_refused: Option<Box<OnRefused>>,
}

/// Called with each call of a topic without a provider, and with the message that its caller gets.
type OnRefused = dyn Fn(&Envelope<'_>, &str) + Send + Sync;

/// The endpoints by topic: at most one provider, and any number of subscribers, in the order of their subscriptions.
#[derive(Default)]
struct Topics {
    providers: HashMap<String, Arc<dyn Endpoint>>,
    subscribers: HashMap<String, Vec<Arc<dyn Endpoint>>>,
}

impl LocalBus {
    /// A bus that calls `on_refused` with each call of a topic without a provider, and with the message that the call's caller gets: for a
    /// log. It is called on the caller's thread, before the caller gets its error, and must not block. The default bus reports nothing.
    pub fn reporting(on_refused: impl Fn(&Envelope<'_>, &str) + Send + Sync + 'static) -> Self {
        Self { topics: RwLock::default(), on_refused: Some(Box::new(on_refused)) }
    }
}

impl Topics {
    fn provide(&mut self, topic: &str, endpoint: Arc<dyn Endpoint>) -> Result<(), BusError> {
        if self.providers.contains_key(topic) {
            return Err(BusError::AlreadyProvided);
        }
        self.providers.insert(topic.to_owned(), endpoint);
        Ok(())
    }

    fn withdraw(&mut self, topic: &str, endpoint: &Arc<dyn Endpoint>) {
        if self.providers.get(topic).is_some_and(|provider| Arc::ptr_eq(provider, endpoint)) {
            self.providers.remove(topic);
        }
    }

    fn unsubscribe(&mut self, topic: &str, endpoint: &Arc<dyn Endpoint>) {
        let Some(subscribers) = self.subscribers.get_mut(topic) else { return };
        subscribers.retain(|subscriber| !Arc::ptr_eq(subscriber, endpoint));
        if subscribers.is_empty() {
            self.subscribers.remove(topic);
        }
    }
}

impl Bus for LocalBus {
    fn provide<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>> {
        Box::pin(ready(write(&self.topics).provide(topic, endpoint)))
    }

    fn withdraw<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a> {
        write(&self.topics).withdraw(topic, endpoint);
        Box::pin(ready(()))
    }

    fn subscribe<'a>(&'a self, topic: &'a str, endpoint: Arc<dyn Endpoint>) -> BusFuture<'a, Result<(), BusError>> {
        write(&self.topics).subscribers.entry(topic.to_owned()).or_default().push(endpoint);
        Box::pin(ready(Ok(())))
    }

    fn unsubscribe<'a>(&'a self, topic: &'a str, endpoint: &'a Arc<dyn Endpoint>) -> BusFuture<'a> {
        write(&self.topics).unsubscribe(topic, endpoint);
        Box::pin(ready(()))
    }

    fn call(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) -> CallHandle {
        let provider = read(&self.topics).providers.get(&*envelope.topic).map(Arc::clone);
        let Some(provider) = provider else {
            let message = format!("no module here provides `{}`", envelope.topic);
            if let Some(on_refused) = &self.on_refused {
                on_refused(&envelope, &message);
            }
            reply.error(code::NOT_FOUND, &message, false, batch);
            return CallHandle::default();
        };
        provider.call(envelope, reply, batch)
    }

    fn publish(&self, envelope: Envelope<'_>, reply: ReplyTo, batch: &mut WriteBatch) {
        let subscribers = read(&self.topics).subscribers.get(&*envelope.topic).cloned();
        for subscriber in subscribers.iter().flatten() {
            subscriber.event(&envelope, batch);
        }
        reply.send(CallResult::Success(Object::empty()), batch);
    }

    fn is_provided<'a>(&'a self, topic: &'a str) -> BusFuture<'a, bool> {
        Box::pin(ready(read(&self.topics).providers.contains_key(topic)))
    }

    fn close(&self) -> BusFuture<'static> {
        let topics = std::mem::take(&mut *write(&self.topics));
        // After the lock is released: an endpoint may use the bus when it is dropped.
        drop(topics);
        Box::pin(ready(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_conforms() {
        let bus: Arc<dyn Bus> = Arc::new(LocalBus::default());
        crate::bus::conformance::check(Arc::clone(&bus), bus).await;
    }
}
