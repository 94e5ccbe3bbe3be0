//! A key-value store whose server is elsewhere: here, a task. Each operation goes there and back, and watchers learn of a change only after
//! its writer. It uses only what `ixt_host::kv` exports, and is the store to copy for another backend. `tests/remote_store.rs` tests it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ixt_host::kv::{
    Change, Entry, KvError, KvFuture, KvStore, MAX_PAGE_KEYS, Page, SetOptions, Watch, WatchSender, check_key,
    check_prefix, check_value,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

/// A client of a store's server. Clones are clients of the same server, which ends when the last one is dropped. It has no quotas, keeps
/// nothing on disk, and can't be backed up.
#[derive(Debug, Clone)]
pub struct RemoteStore(mpsc::UnboundedSender<Operation>);

/// What the server does for a client: changes the entries, and sends the reply.
type Operation = Box<dyn FnOnce(&mut Server) + Send>;

/// A namespace and a key.
type Place = (String, String);

/// The state of the server. Only its task uses it, so that operations come one after the other.
#[derive(Default)]
struct Server {
    entries: BTreeMap<Place, Stored>,
    /// The revision of the last change; 0 before the first.
    revision: u64,
    watchers: Vec<Watcher>,
    /// What the watchers are not told yet: the namespace, the change, and whether the key existed before.
    changes: Vec<(String, Change, bool)>,
}

/// What the server has for a key.
struct Stored {
    entry: Entry,
    /// When the key expires; `None`: never.
    expires: Option<Instant>,
}

/// A watch of the keys of a namespace that begin with a prefix.
struct Watcher {
    namespace: String,
    prefix: String,
    sender: WatchSender,
}

impl RemoteStore {
    /// Starts a server without keys. Call it within a runtime.
    #[must_use]
    pub fn start() -> Arc<Self> {
        let (client, operations) = mpsc::unbounded_channel();
        tokio::spawn(Server::default().run(operations));
        Arc::new(Self(client))
    }

    /// Ends all watches, as after a lost connection. Returns before they have ended.
    pub fn end_watches(&self) {
        let _ = self.0.send(Box::new(|server| server.watchers.clear()));
    }

    /// Runs an operation at the server, and waits for its result. Fails at once with the error in `checked`, and with `KvError::Closed` if
    /// the server has ended.
    fn ask<T: Send + 'static>(
        &self,
        checked: Result<(), KvError>,
        operation: impl FnOnce(&mut Server) -> Result<T, KvError> + Send + 'static,
    ) -> KvFuture<T> {
        let server = self.0.clone();
        Box::pin(async move {
            checked?;
            let (reply, replied) = oneshot::channel();
            let operation: Operation = Box::new(move |server| drop(reply.send(operation(server))));
            server.send(operation).map_err(|_| KvError::Closed)?;
            replied.await.map_err(|_| KvError::Closed)?
        })
    }
}

impl Server {
    /// Runs operations and removes expired keys, until the last client is gone.
    async fn run(mut self, mut operations: mpsc::UnboundedReceiver<Operation>) {
        loop {
            let expires = self.entries.values().filter_map(|stored| stored.expires).min();
            let expiry = async {
                match expires {
                    Some(expires) => sleep_until(expires.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                operation = operations.recv() => {
                    let Some(operation) = operation else { return };
                    self.expire();
                    operation(&mut self);
                }
                () = expiry => self.expire(),
            }
            // So that the caller of the operation goes on before the watchers are told.
            tokio::task::yield_now().await;
            self.tell_watchers();
        }
    }

    /// Gives a change the next revision, and returns that. `None` as the value: the key is removed. The caller changes the entry.
    fn changed(&mut self, (namespace, key): Place, value: Option<&[u8]>, existed: bool) -> u64 {
        self.revision += 1;
        let change = Change { key, revision: self.revision, value: value.map(Arc::from) };
        self.changes.push((namespace, change, existed));
        self.revision
    }

    /// Removes the keys whose time to live is over.
    fn expire(&mut self) {
        let now = Instant::now();
        let is_over = |stored: &Stored| stored.expires.is_some_and(|expires| expires <= now);
        let expired: Vec<_> =
            self.entries.iter().filter(|(_, stored)| is_over(stored)).map(|(place, _)| place.clone()).collect();
        for place in expired {
            self.entries.remove(&place);
            self.changed(place, None, true);
        }
    }

    /// Sends the watchers the changes that they were not told, and forgets watchers that are gone.
    fn tell_watchers(&mut self) {
        self.watchers.retain(|watcher| !watcher.sender.is_closed());
        for (namespace, change, existed) in self.changes.drain(..) {
            let watches =
                |watcher: &&Watcher| watcher.namespace == namespace && change.key.starts_with(&watcher.prefix);
            for Watcher { sender, .. } in self.watchers.iter().filter(watches) {
                sender.send(change.clone(), existed);
            }
        }
    }

    /// Whether the key exists. It is an error if its revision, 0 for a key that does not exist, is not `expected`; `None`: any revision
    /// will do.
    fn check(&self, place: &Place, expected: Option<u64>) -> Result<bool, KvError> {
        let stored = self.entries.get(place);
        let actual = stored.map_or(0, |stored| stored.entry.revision);
        match expected {
            Some(expected) if expected != actual => {
                Err(KvError::RevisionMismatch { key: place.1.clone(), expected, actual })
            }
            _ => Ok(stored.is_some()),
        }
    }
}

fn place(namespace: &str, key: &str) -> Place {
    (namespace.to_owned(), key.to_owned())
}

impl KvStore for RemoteStore {
    fn get(&self, namespace: &str, key: &str) -> KvFuture<Option<Entry>> {
        let place = place(namespace, key);
        self.ask(check_key(key), move |server| Ok(server.entries.get(&place).map(|stored| stored.entry.clone())))
    }

    fn set(&self, namespace: &str, key: &str, value: Vec<u8>, options: SetOptions) -> KvFuture<u64> {
        let place = place(namespace, key);
        let checked = check_key(key).and_then(|()| check_value(&value));
        self.ask(checked, move |server| {
            let existed = server.check(&place, options.expected_revision)?;
            let revision = server.changed(place.clone(), Some(&value), existed);
            let expires = options.ttl.and_then(|ttl: Duration| Instant::now().checked_add(ttl));
            server.entries.insert(place, Stored { entry: Entry { value, revision }, expires });
            Ok(revision)
        })
    }

    fn delete(&self, namespace: &str, key: &str, expected_revision: Option<u64>) -> KvFuture<bool> {
        let place = place(namespace, key);
        self.ask(check_key(key), move |server| {
            let existed = server.check(&place, expected_revision)?;
            if existed {
                server.entries.remove(&place);
                server.changed(place, None, true);
            }
            Ok(existed)
        })
    }

    fn exists(&self, namespace: &str, key: &str) -> KvFuture<bool> {
        let place = place(namespace, key);
        self.ask(check_key(key), move |server| Ok(server.entries.contains_key(&place)))
    }

    fn list(&self, namespace: &str, prefix: &str, after: Option<&str>, limit: usize) -> KvFuture<Page> {
        let checked = check_prefix(prefix).and_then(|()| check_prefix(after.unwrap_or_default()));
        let (namespace, prefix, after) = (namespace.to_owned(), prefix.to_owned(), after.map(str::to_owned));
        let limit = limit.clamp(1, MAX_PAGE_KEYS);
        self.ask(checked, move |server| {
            let keys = server.entries.keys().filter(|(space, _)| *space == namespace).map(|(_, key)| key);
            let keys = keys.filter(|key| key.starts_with(&prefix) && after.as_ref().is_none_or(|after| *key > after));
            let mut keys: Vec<_> = keys.take(limit + 1).cloned().collect();
            let is_last = keys.len() <= limit;
            keys.truncate(limit);
            Ok(Page { next: keys.last().filter(|_| !is_last).cloned(), keys })
        })
    }

    fn watch(&self, namespace: &str, prefix: &str) -> KvFuture<Watch> {
        let (namespace, own_prefix) = (namespace.to_owned(), prefix.to_owned());
        self.ask(check_prefix(prefix), move |server| {
            let (sender, watch) = Watch::channel();
            server.watchers.push(Watcher { namespace, prefix: own_prefix, sender });
            Ok(watch)
        })
    }
}
