//! The queue of a sequential module: it replies without ids, so it has one request at a time.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::HostRequest;
use crate::budget::Reservation;

#[derive(Debug, Default)]
pub(super) struct SequentialQueue {
    /// The id of the request that the module has.
    pub(super) current: Option<u64>,
    /// Those that wait for it: the most urgent first, and of these the oldest.
    waiting: BTreeMap<(Reverse<u64>, u64), Queued>,
}

#[derive(Debug)]
struct Queued {
    request: HostRequest<'static>,
    /// The memory that the request takes while it waits.
    _memory: Reservation,
}

impl SequentialQueue {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, id: u64, request: HostRequest<'static>, memory: Reservation) {
        self.waiting.insert((Reverse(request.urgency()), id), Queued { request, _memory: memory });
    }

    /// Removes a request that waits; `None` if it does not.
    pub(super) fn remove(&mut self, id: u64) -> Option<HostRequest<'static>> {
        let key = *self.waiting.keys().find(|(_, waiting)| *waiting == id)?;
        self.waiting.remove(&key).map(|queued| queued.request)
    }

    /// Removes the next request, which becomes the current one.
    pub(super) fn next(&mut self) -> Option<(u64, HostRequest<'static>)> {
        let next = self.waiting.pop_first().map(|((_, id), queued)| (id, queued.request));
        self.current = next.as_ref().map(|(id, _)| *id);
        next
    }

    /// The same, if the next request is `shutdown`, which no other precedes.
    pub(super) fn next_if_shutdown(&mut self) -> Option<(u64, HostRequest<'static>)> {
        let is_shutdown = |queued: &Queued| matches!(queued.request, HostRequest::Shutdown { .. });
        if self.waiting.first_key_value().is_some_and(|(_, queued)| is_shutdown(queued)) {
            return self.next();
        }
        self.current = None;
        None
    }

    /// Removes all requests that wait, with their ids.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = (u64, HostRequest<'static>)> {
        std::mem::take(&mut self.waiting).into_iter().map(|((_, id), queued)| (id, queued.request))
    }
}
