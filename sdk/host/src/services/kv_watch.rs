//! `kv_store.watch`: tells a module of changes of its keys, as fast as it reads them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::{self, Poll, Waker};

use ixt_protocol::{HostFrame, KvChange, KvWatchEnded, LogLevel, Object, code};
use serde_json::json;
use tokio::task::AbortHandle;

use super::kv::{fail, object};
use super::{HostServices, Refusal};
use crate::bus::WriteBatch;
use crate::connection::{Connection, Refused};
use crate::kv::{KvFuture, Watch};
use crate::lock::lock;
use crate::logs::Logs;

/// How many watches a process may have. More are refused with `RESOURCE_EXHAUSTED`.
const MAX_WATCHES: usize = 1024;

/// The watches of a process. They end when this is dropped, which its connection does.
#[derive(Default)]
pub(super) struct Watches(Arc<Mutex<OpenWatches>>);

#[derive(Default)]
struct OpenWatches {
    /// The number of the last one.
    last: u64,
    tasks: HashMap<u64, AbortHandle>,
}

impl Watches {
    /// Ends a watch: no change is told after this. Nothing happens if there is none with this number.
    pub(super) fn end(&self, number: u64) {
        if let Some(task) = lock(&self.0).tasks.remove(&number) {
            task.abort();
        }
    }
}

impl Drop for Watches {
    fn drop(&mut self) {
        for (_, task) in lock(&self.0).tasks.drain() {
            task.abort();
        }
    }
}

impl HostServices {
    /// Responds with the number of the watch once the store has begun it, which may be now.
    pub(super) fn watch(
        &self,
        connection: &Arc<Connection>,
        id: Option<u64>,
        mut opening: KvFuture<Watch>,
        batch: &mut WriteBatch,
    ) -> Refusal {
        let mut open = lock(&self.watches.0);
        if open.tasks.len() >= MAX_WATCHES {
            let message = format!("this process has {MAX_WATCHES} watches already: end some with `kv_store.unwatch`");
            return Err((code::RESOURCE_EXHAUSTED, message));
        }
        let number = open.last + 1;
        let teller = Teller {
            connection: Arc::downgrade(connection),
            number,
            open: Arc::downgrade(&self.watches.0),
            logs: self.backends.logs.clone(),
            instance: Arc::clone(&self.instance),
        };
        let task = match opening.as_mut().poll(&mut task::Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(changes)) => {
                // Before the first change.
                connection.end_call(id, Ok(watching(number)), batch);
                tokio::spawn(teller.run(changes))
            }
            Poll::Ready(Err(error)) => {
                fail(connection, id, &error, batch);
                return Ok(());
            }
            Poll::Pending => tokio::spawn(teller.open(id, opening)),
        };
        open.last = number;
        open.tasks.insert(number, task.abort_handle());
        Ok(())
    }
}

/// The response to `watch`.
fn watching(number: u64) -> Object<'static> {
    object(&json!({ "watch": number }))
}

/// Tells a module of the changes of one watch.
struct Teller {
    connection: Weak<Connection>,
    number: u64,
    open: Weak<Mutex<OpenWatches>>,
    logs: Logs,
    instance: Arc<str>,
}

impl Teller {
    /// Waits until the store has begun the watch, responds, and then tells the changes.
    async fn open(self, id: Option<u64>, opening: KvFuture<Watch>) {
        let opened = opening.await;
        let (Some(connection), Some(open)) = (self.connection.upgrade(), self.open.upgrade()) else { return };
        match opened {
            Ok(changes) => {
                connection.end_call(id, Ok(watching(self.number)), &mut WriteBatch::none());
                drop((connection, open));
                self.run(changes).await;
            }
            Err(error) => {
                lock(&open).tasks.remove(&self.number);
                fail(&connection, id, &error, &mut WriteBatch::none());
            }
        }
    }

    /// Returns when the module or its watch is gone, or after the module was told that the store has ended the watch.
    async fn run(self, mut changes: Watch) {
        loop {
            // A change is only taken from the store when the module can take it: the store counts what waits, and keeps the last
            // change of each key.
            match self.connection.upgrade() {
                Some(connection) => connection.room().await,
                None => return,
            }
            let Some(change) = changes.next().await else { break };
            let (Some(connection), Some(open)) = (self.connection.upgrade(), self.open.upgrade()) else { return };
            loop {
                connection.room().await;
                // Under the lock, so that no change comes after the response to `unwatch`.
                let open = lock(&open);
                if !open.tasks.contains_key(&self.number) {
                    return;
                }
                let value = change.value.as_deref().map(Cow::Borrowed);
                let key = Cow::Borrowed(&*change.key);
                let frame = KvChange { watch: self.number, key, revision: change.revision, value };
                match connection.notify(HostFrame::KvChange(frame)) {
                    Err(Refused::Full) => {}
                    Err(Refused::Closed) => return,
                    // A value fits into a frame, unless the limit of frames was lowered.
                    Ok(()) | Err(Refused::TooLong { .. }) => break,
                }
            }
        }
        let (Some(connection), Some(open)) = (self.connection.upgrade(), self.open.upgrade()) else { return };
        let message = if changes.is_overrun() {
            "does not take the changes of the keys that it watches: the watch was ended, and some are lost"
        } else {
            "watched keys, but the store has ended the watch: changes may be lost"
        };
        self.logs.host(LogLevel::Warn, &self.instance, message);
        while lock(&open).tasks.remove(&self.number).is_some() {
            connection.room().await;
            let _ = connection.notify(HostFrame::KvWatchEnded(KvWatchEnded { watch: self.number }));
        }
    }
}
