//! A store in memory with random delays: an operation takes effect at one moment between its call and its reply. It has
//! only what the modules of the simulation use: no quotas, no checks of keys, no times to live, no lists and no
//! watches. As an example of a [`KvStore`] there is `tests/support/remote_store.rs`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::kv::{Entry, KvError, KvFuture, KvStore, Page, SetOptions, Watch};
use crate::lock::lock;

/// The longest delay before an operation takes effect, and again after it.
const MAX_DELAY: Duration = Duration::from_millis(15);

/// The store of one world. It is empty at first.
#[derive(Debug)]
pub(super) struct Store(Arc<Mutex<Contents>>);

#[derive(Debug)]
struct Contents {
    rng: fastrand::Rng,
    /// The revision of the last write to any key; 0 before the first.
    revision: u64,
    /// The keys that exist, by namespace and key.
    entries: BTreeMap<(String, String), Entry>,
}

impl Store {
    pub(super) fn new(rng: &mut fastrand::Rng) -> Self {
        Self(Arc::new(Mutex::new(Contents { rng: rng.fork(), revision: 0, entries: BTreeMap::new() })))
    }

    /// A future that runs `operation` after a random delay, and returns its result after another one. If it is dropped
    /// during the first delay, nothing has happened.
    fn at_some_moment<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&mut Contents) -> Result<T, KvError> + Send + 'static,
    ) -> KvFuture<T> {
        let contents = Arc::clone(&self.0);
        Box::pin(async move {
            let delays = {
                let rng = &mut lock(&contents).rng;
                [(); 2].map(|()| MAX_DELAY.mul_f64(rng.f64()))
            };
            tokio::time::sleep(delays[0]).await;
            let result = operation(&mut lock(&contents));
            tokio::time::sleep(delays[1]).await;
            result
        })
    }
}

impl Contents {
    /// Checks that a key has the expected revision: 0 if it must not exist, `None` if any will do.
    fn check(&self, at: &(String, String), expected: Option<u64>) -> Result<(), KvError> {
        let current = self.entries.get(at).map_or(0, |entry| entry.revision);
        match expected {
            Some(expected) if expected != current => {
                Err(KvError::RevisionMismatch { key: at.1.clone(), expected, actual: current })
            }
            _ => Ok(()),
        }
    }
}

impl KvStore for Store {
    fn get(&self, namespace: &str, key: &str) -> KvFuture<Option<Entry>> {
        let at = (namespace.to_owned(), key.to_owned());
        self.at_some_moment(move |contents| Ok(contents.entries.get(&at).cloned()))
    }

    fn set(&self, namespace: &str, key: &str, value: Vec<u8>, options: SetOptions) -> KvFuture<u64> {
        let at = (namespace.to_owned(), key.to_owned());
        self.at_some_moment(move |contents| {
            contents.check(&at, options.expected_revision)?;
            contents.revision += 1;
            let revision = contents.revision;
            contents.entries.insert(at, Entry { value, revision });
            Ok(revision)
        })
    }

    fn delete(&self, namespace: &str, key: &str, expected_revision: Option<u64>) -> KvFuture<bool> {
        let at = (namespace.to_owned(), key.to_owned());
        self.at_some_moment(move |contents| {
            contents.check(&at, expected_revision)?;
            Ok(contents.entries.remove(&at).is_some())
        })
    }

    fn exists(&self, namespace: &str, key: &str) -> KvFuture<bool> {
        let at = (namespace.to_owned(), key.to_owned());
        self.at_some_moment(move |contents| Ok(contents.entries.contains_key(&at)))
    }

    fn list(&self, _: &str, _: &str, _: Option<&str>, _: usize) -> KvFuture<Page> {
        unimplemented!("the modules of the simulation list no keys")
    }

    fn watch(&self, _: &str, _: &str) -> KvFuture<Watch> {
        unimplemented!("the modules of the simulation watch no keys")
    }
}
