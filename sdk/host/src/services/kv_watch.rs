//! `kv_store.watch`: sends a module the changes of its keys as `kv_change` frames, as fast as the module reads them.
//! What waits for a slow module stays in the store, which limits and merges it (`kv/watch.rs`).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::{self, Poll, Waker};

use ixt_protocol::{HostFrame, KvChange, KvWatchEnded, LogLevel, Object, code};
use serde_json::json;
use tokio::task::AbortHandle;

use super::kv::{fail, object};
use super::{HostServices, OwnCall, Refusal};
use crate::bus::WriteBatch;
use crate::connection::{Connection, Refused};
use crate::kv::{KvFuture, Watch};
use crate::lock::lock;
use crate::logs::Logs;

/// How many watches a process may have. More are refused with `RESOURCE_EXHAUSTED`, not retryable.
const MAX_WATCHES: usize = 1024;

/// The watches of one process. Dropping this ends them; it is dropped when the reader of the process's connection ends.
#[derive(Default)]
pub(super) struct Watches(Arc<Mutex<OpenWatches>>);

/// The watches of one process that have not ended, and those that the store has yet to begin.
#[derive(Default)]
struct OpenWatches {
    /// The number of the last watch; 0 before the first. Numbers are not used again.
    last: u64,
    /// The task of each watch that has not ended, by the number of the watch. A watch counts from when it is asked for.
    tasks: HashMap<u64, AbortHandle>,
}

impl Watches {
    /// Ends a watch, as the module has asked by `unwatch`. After this no change of it is sent, and no `kv_watch_ended`.
    /// Nothing happens if there is no watch with this number.
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
    /// Responds with the number of the watch when the store has begun it, now or later. From then on a task sends the
    /// changes. Refused with `RESOURCE_EXHAUSTED` beyond [`MAX_WATCHES`]. If the module cancels the call before the
    /// response, the watch ends as soon as the store has begun it.
    pub(super) fn watch(&self, call: &mut OwnCall<'_>, mut opening: KvFuture<Watch>) -> Refusal {
        let mut open = lock(&self.watches.0);
        if open.tasks.len() >= MAX_WATCHES {
            let message = format!("this process has {MAX_WATCHES} watches already: end some with `kv_store.unwatch`");
            return Err((code::RESOURCE_EXHAUSTED, message));
        }
        let number = open.last + 1;
        let sender = ChangeSender {
            connection: Arc::downgrade(call.connection),
            number,
            open: Arc::downgrade(&self.watches.0),
            logs: self.backends.logs.clone(),
            instance: Arc::clone(&self.instance),
        };
        let task = match opening.as_mut().poll(&mut task::Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(changes)) => {
                // Before the first change is sent.
                call.end(Ok(watching(number)));
                tokio::spawn(sender.run(changes))
            }
            Poll::Ready(Err(error)) => {
                fail(call, &error);
                return Ok(());
            }
            Poll::Pending => tokio::spawn(sender.open(call.id, opening)),
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

/// Sends a module the changes of one watch.
struct ChangeSender {
    connection: Weak<Connection>,
    /// The number of the watch.
    number: u64,
    /// The watches of the process. The watch ends when it is no longer in there.
    open: Weak<Mutex<OpenWatches>>,
    logs: Logs,
    /// The id of the process.
    instance: Arc<str>,
}

impl ChangeSender {
    /// Waits until the store has begun the watch, responds, and then sends the changes. If the store refuses the watch,
    /// responds with that error and ends. If the module has cancelled the call, ends the watch: the module does not know
    /// its number.
    async fn open(self, id: Option<u64>, opening: KvFuture<Watch>) {
        let opened = opening.await;
        let (Some(connection), Some(open)) = (self.connection.upgrade(), self.open.upgrade()) else { return };
        let mut call = OwnCall { connection: &connection, id, batch: &mut WriteBatch::none() };
        match opened {
            Ok(changes) => {
                if !call.end(Ok(watching(self.number))) {
                    lock(&open).tasks.remove(&self.number);
                    return;
                }
                drop((connection, open));
                self.run(changes).await;
            }
            Err(error) => {
                lock(&open).tasks.remove(&self.number);
                fail(&mut call, &error);
            }
        }
    }

    /// Sends the changes until the process or its watch has ended. The host ends the watch if the store does (too many
    /// changes are unread, or the store closes), or if a change does not fit into a frame, which only happens where
    /// `max_frame_bytes` was lowered. Then it logs that, and sends `kv_watch_ended` when there is room for it.
    async fn run(self, mut changes: Watch) {
        let mut too_long = None;
        'watch: loop {
            // A change is only taken from the store when the module has room for it: what waits in the store is counted
            // there, and only the last change of each key waits.
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
                    // Changes are not refused for lack of memory.
                    Err(Refused::Full | Refused::NoMemory) => {}
                    Err(Refused::Closed) => return,
                    Ok(()) => break,
                    Err(Refused::TooLong { bytes, max_frame_bytes }) => {
                        too_long = Some(format!(
                            "watches the key `{}`, whose change has {bytes} bytes as a frame, more than max_frame_bytes \
                             ({max_frame_bytes}): the watch was ended, and the change is lost",
                            change.key
                        ));
                        break 'watch;
                    }
                }
            }
        }
        let (Some(connection), Some(open)) = (self.connection.upgrade(), self.open.upgrade()) else { return };
        let message = if let Some(too_long) = too_long {
            too_long
        } else if changes.is_overrun() {
            "reads the changes of the keys that it watches too slowly: the watch was ended, and some changes are lost"
                .to_owned()
        } else {
            "watched keys, but the store has ended the watch: some changes may be lost".to_owned()
        };
        self.logs.host(LogLevel::Warn, &self.instance, message);
        if lock(&open).tasks.remove(&self.number).is_none() {
            return;
        }
        let ended = || HostFrame::KvWatchEnded(KvWatchEnded { watch: self.number });
        while connection.notify(ended()) == Err(Refused::Full) {
            connection.room().await;
        }
    }
}
