//! The module's own requests: those that wait for an answer of the host, which can be taken back, and what they carry.

use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use foldhash::HashMap;
use ixt_protocol::{ErrorBody, Object};
use tokio::sync::Notify;

use super::Connection;
use crate::bus::Pending;
use crate::lock::lock;

/// So many requests of its own a module may have at once.
const MAX_CALLS: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) by_id: HashMap<u64, Pending>,
    /// Those that can't be taken back.
    without_id: usize,
}

/// A module that asks faster than it is answered is not read from when its requests carry so much.
const MAX_HELD_BYTES: usize = 32 * 1024 * 1024;

#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: AtomicUsize,
    less: Notify,
}

/// A request of a module that carries something, while it is worked on.
pub(crate) struct Holds {
    connection: Weak<Connection>,
    bytes: usize,
}

impl Drop for Holds {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.upgrade() {
            connection.held.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
            connection.held.less.notify_one();
        }
    }
}

impl Connection {
    /// The module has made a request of its own; what it waits for is told with [`Connection::waits_for`]. False if it has
    /// too many, or uses the id again.
    pub(crate) fn begin_call(&self, id: Option<u64>) -> bool {
        let mut calls = lock(&self.calls);
        if calls.by_id.len() + calls.without_id >= MAX_CALLS {
            return false;
        }
        let Some(id) = id else {
            calls.without_id += 1;
            return true;
        };
        match calls.by_id.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(Pending::default());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    pub(crate) fn waits_for(&self, id: u64, pending: Pending) {
        if let Some(call) = lock(&self.calls).by_id.get_mut(&id) {
            *call = pending;
        }
    }

    /// Answers the module's own request, unless it has taken it back.
    pub(crate) fn end_call(&self, id: Option<u64>, response: Result<Object<'_>, ErrorBody<'_>>) {
        let waits = {
            let mut calls = lock(&self.calls);
            match id {
                Some(id) => calls.by_id.remove(&id).is_some(),
                None => {
                    calls.without_id = calls.without_id.saturating_sub(1);
                    true
                }
            }
        };
        if waits {
            self.respond(id, response);
        }
    }

    /// A request of the module is worked on that carries so much.
    pub(crate) fn hold(self: &Arc<Self>, bytes: usize) -> Holds {
        self.held.bytes.fetch_add(bytes, Ordering::Relaxed);
        Holds { connection: Arc::downgrade(self), bytes }
    }

    /// Waits until the module's requests do not carry too much. One waits, the reader.
    pub(super) async fn holds_little(&self) {
        while self.held.bytes.load(Ordering::Relaxed) > MAX_HELD_BYTES {
            self.held.less.notified().await;
        }
    }
}
