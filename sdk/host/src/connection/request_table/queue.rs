//! The queue of a sequential module, which replies without ids and so has one request at a time. The most urgent request is the next one,
//! always: a request of low priority may wait until its deadline.
//!
//! The SDK has another queue for a module that handles many requests at once (`requests/priority_queue.rs` in `sdk/module`), in which
//! every eighth request is the oldest one.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::HostRequest;
use crate::budget::Reservation;

#[derive(Debug, Default)]
pub(super) struct SequentialQueue {
    /// The id of the request that the module has; `None` if it has none.
    pub(super) current: Option<u64>,
    /// The requests that wait, by urgency and id: the most urgent first, and of equally urgent ones the oldest.
    waiting: BTreeMap<(Reverse<u64>, u64), Queued>,
}

#[derive(Debug)]
struct Queued {
    request: HostRequest<'static>,
    /// The memory of the request, until it is sent.
    _memory: Reservation,
}

impl SequentialQueue {
    /// How many requests wait; the current one does not count.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

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
        let next = self.waiting.pop_first().map(|((_, id), queued)| (id, queued.request));
        self.current = next.as_ref().map(|(id, _)| *id);
        next
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

    /// Removes all waiting requests, with their ids, in the order of the queue.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, HostRequest<'static>)> {
        std::mem::take(&mut self.waiting).into_iter().map(|((_, id), queued)| (id, queued.request))
    }
}
