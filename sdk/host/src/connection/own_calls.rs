//! The module's own requests: those that wait for an answer of the host, which can be taken back, and what they carry.

use std::collections::hash_map::Entry;

use foldhash::HashMap;
use ixt_protocol::{ErrorBody, Object};

use super::Connection;
use crate::budget::Taken;
use crate::bus::{CallHandle, WriteBatch};
use crate::lock::lock;

/// So many requests of its own a module may have at once.
const MAX_CALLS: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Calls {
    pub(super) by_id: HashMap<u64, CallHandle>,
    /// Those that can't be taken back.
    without_id: usize,
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
                entry.insert(CallHandle::default());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    pub(crate) fn waits_for(&self, id: u64, pending: CallHandle) {
        if let Some(call) = lock(&self.calls).by_id.get_mut(&id) {
            *call = pending;
        }
    }

    /// Answers the module's own request, unless it has taken it back.
    pub(crate) fn end_call(
        &self,
        id: Option<u64>,
        response: Result<Object<'_>, ErrorBody<'_>>,
        batch: &mut WriteBatch,
    ) {
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
            self.respond(id, response, batch);
        }
    }

    /// A request of the module is worked on that carries so much. One that asks faster than it is answered is not read from when
    /// that is too much.
    pub(crate) fn hold(&self, bytes: usize) -> Taken {
        self.work.overdraw(bytes)
    }
}
