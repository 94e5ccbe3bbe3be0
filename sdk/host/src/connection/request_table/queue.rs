//! The queue of a sequential module, which replies without ids and so has one request at a time. The most urgent request is the next one.
//! But of the calls and events, every eighth that is taken is the oldest of all, so that low priorities don't starve.
//!
//! The SDK has a queue with the same rule, for a module that handles many requests at once: `requests/priority_queue.rs` in `sdk/module`.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::HostRequest;
use crate::budget::Reservation;

/// Every 8th call or event that is taken from the queue is the oldest one, of any priority.
const OLDEST_EVERY: u64 = 8;

/// The requests that wait for a sequential module, and the one that it has. There is no limit here:
/// [`RequestTable`](super::RequestTable) checks it.
#[derive(Debug, Default)]
pub(super) struct SequentialQueue {
    /// The id of the request that the module has; `None` if it has none.
    pub(super) current: Option<u64>,
    /// The requests that wait, by urgency and id: the most urgent first, and of equally urgent ones the oldest.
    waiting: BTreeMap<(Reverse<u64>, u64), Queued>,
    /// The number of calls and events that were taken so far.
    taken: u64,
}

/// A request in the queue.
#[derive(Debug)]
struct Queued {
    request: HostRequest<'static>,
    /// The memory of the request, until it is sent.
    _memory: Reservation,
}

impl SequentialQueue {
    /// The number of requests that wait. The current one does not count.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Adds a request, behind those that are as urgent. `memory` is given back when the request leaves the queue.
    pub(super) fn push(&mut self, id: u64, request: HostRequest<'static>, memory: Reservation) {
        self.waiting.insert((Reverse(request.urgency()), id), Queued { request, _memory: memory });
    }

    /// Removes a waiting request; `None` if there is none with this id.
    pub(super) fn remove(&mut self, id: u64) -> Option<HostRequest<'static>> {
        let key = *self.waiting.keys().find(|(_, waiting)| *waiting == id)?;
        self.waiting.remove(&key).map(|queued| queued.request)
    }

    /// Removes the next request, and makes it the current one. Without one, there is no current request either.
    pub(super) fn next(&mut self) -> Option<(u64, HostRequest<'static>)> {
        let key = self.next_key();
        self.current = key.map(|(_, id)| id);
        let ((_, id), queued) = self.waiting.remove_entry(&key?)?;
        Some((id, queued.request))
    }

    /// The key of the next request, of which a call or an event counts as taken.
    fn next_key(&mut self) -> Option<(Reverse<u64>, u64)> {
        let (first, queued) = self.waiting.first_key_value()?;
        if queued.request.is_hosts_own() {
            return Some(*first);
        }
        self.taken += 1;
        if self.taken.is_multiple_of(OLDEST_EVERY) {
            return self.waiting.keys().min_by_key(|(_, id)| *id).copied();
        }
        Some(*first)
    }

    /// Like [`next`](Self::next), but only if the next request is `shutdown`, which comes before all others.
    pub(super) fn next_if_shutdown(&mut self) -> Option<(u64, HostRequest<'static>)> {
        let is_shutdown = |queued: &Queued| matches!(queued.request, HostRequest::Shutdown { .. });
        if self.waiting.first_key_value().is_some_and(|(_, queued)| is_shutdown(queued)) {
            return self.next();
        }
        self.current = None;
        None
    }

    /// Removes all waiting requests, with their ids, the most urgent first. The current one stays.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, HostRequest<'static>)> {
        std::mem::take(&mut self.waiting).into_iter().map(|((_, id), queued)| (id, queued.request))
    }
}
