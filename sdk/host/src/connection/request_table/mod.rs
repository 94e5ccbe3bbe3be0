//! The requests that a module has to reply to: those that it has, those in its queue, and the deadline of each.
//!
//! A module that replies with ids is *concurrent*: it gets each request at once. One that replies without ids is *sequential*: it
//! gets one request at a time, and the others wait in a queue.
//!
//! ```text
//!              admit ──────> refused: too many, or too much memory
//!      ┌─────────┴─────────┐
//!      │ concurrent, or    │ sequential and busy
//!      │ idle              v
//!      │                Queued ─── cancelled, timed out, or the module stops: removed
//!      v                   │
//!    Sent <────────────────┘ the module has replied to the one before
//!      │
//!      ├── reply: removed
//!      │
//!      │ cancelled or timed out: the caller has its result, the module still has the request
//!      v
//!  Abandoned ── late reply: removed
//!      │
//!      │ concurrent, `overdue_after` later
//!      v
//!   Overdue: only the id is kept, to recognize a late reply; the request no longer counts as in flight
//! ```
//!
//! The table only decides; [`Connection`](super::Connection) acts on it after it has released the lock.

mod queue;
mod request;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use tokio::time::Instant;

use crate::budget::Budget;
use crate::bus::ReplyTo;
use crate::topic::RequestInfo;

use queue::SequentialQueue;
pub(crate) use request::{HostRequest, InFlight};

/// How many calls and events may wait in the queue of a sequential module. More are refused with `RESOURCE_EXHAUSTED`.
/// The host's own requests in the queue count, but are never refused for their number.
const MAX_QUEUED: usize = 1024;
/// How many requests a concurrent module may have. Further calls and events are refused with `RESOURCE_EXHAUSTED`; the host's own requests
/// count, but are never refused for it. The SDK refuses calls long before that; this limit is for modules that do not. The ids of the same
/// number of overdue requests are kept; a late reply to a further one is taken for a mistake of the module.
const MAX_IN_FLIGHT: usize = 16 * 1024;

/// The id of `init`. Other requests count up from it.
pub(crate) const INIT_ID: u64 = 1;

/// The requests of one connection that have no reply.
#[derive(Debug)]
pub(crate) struct RequestTable {
    /// The id of the last request.
    last_id: u64,
    /// The requests without a reply, by id: those that were sent, abandoned or not, and those in the queue.
    in_flight: HashMap<u64, InFlight>,
    /// `None` for a concurrent module.
    queue: Option<SequentialQueue>,
    /// The budget for queued requests.
    memory: Arc<Budget>,
    /// The earliest deadline that the timer knows.
    next_deadline: Option<Instant>,
    /// How long after it was abandoned a request of a concurrent module becomes overdue.
    overdue_after: Duration,
    /// The ids of overdue requests, at most [`MAX_IN_FLIGHT`].
    overdue: HashSet<u64>,
    intake: Intake,
}

/// Which new requests are taken. It only changes to a later variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
enum Intake {
    All,
    /// Only `shutdown`: the module is being ended.
    OnlyShutdown,
    /// None: the connection is closed.
    None,
}

/// What the caller of [`RequestTable::admit`] has to do with a request.
pub(crate) enum Admitted<'a> {
    /// Send it now. If `is_sooner`, its deadline is before the next one that the timer knows, and the timer has to be woken.
    Send {
        id: u64,
        request: HostRequest<'a>,
        is_sooner: bool,
        /// Whether the module has other requests, so that this frame may wait a moment for more of them.
        beside_others: bool,
    },
    /// Nothing but to wake the timer if `is_sooner`: the request is in the queue.
    Queued { id: u64, is_sooner: bool },
    /// Refuse it with `RESOURCE_EXHAUSTED`: too many requests wait, or they take too much memory.
    Refused { reply: ReplyTo, call: Option<RequestInfo> },
    /// Pass it to another process: this one takes no more requests of this kind.
    Closed { request: HostRequest<'a>, reply: ReplyTo },
}

/// A request whose caller has stopped waiting before the module has replied.
pub(crate) struct Abandoned {
    pub(crate) reply: ReplyTo,
    /// When the request was admitted.
    pub(crate) started: Instant,
    /// The call or event; `None` for a request of the host itself.
    pub(crate) call: Option<RequestInfo>,
    pub(crate) delivery: Delivery,
}

/// Whether the module has an abandoned request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// No: it was in the queue, and has been removed.
    NotSent,
    /// A concurrent module has it, and takes a `cancel` frame for it.
    Concurrent,
    /// A sequential module is busy with it, and takes no `cancel` frame.
    Sequential,
}

impl RequestTable {
    pub(crate) fn new(overdue_after: Duration, memory: Arc<Budget>) -> Self {
        Self {
            last_id: INIT_ID,
            in_flight: HashMap::default(),
            queue: None,
            memory,
            next_deadline: None,
            overdue_after,
            overdue: HashSet::default(),
            intake: Intake::All,
        }
    }

    /// Makes the module sequential, since it has replied to `init` without an id. To be called before any other request
    /// is admitted.
    pub(crate) fn make_sequential(&mut self) {
        self.queue.get_or_insert_default();
    }

    /// Whether the module replies without ids, and so has one request at a time.
    pub(crate) fn is_sequential(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether the module is sequential and has a request, so that a new one would have to wait.
    pub(crate) fn is_busy(&self) -> bool {
        self.queue.as_ref().is_some_and(|queue| queue.current.is_some())
    }

    /// The ids of all requests in flight, the oldest first.
    pub(crate) fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<_> = self.in_flight.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// How many requests the module has not replied to: queued ones count, overdue ones do not.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// How many of them are in the queue.
    pub(crate) fn queued(&self) -> usize {
        self.queue.as_ref().map_or(0, SequentialQueue::len)
    }

    /// How many of the requests in [`len`](Self::len) have a caller that waits.
    pub(crate) fn waited_for(&self) -> usize {
        self.in_flight.values().filter(|in_flight| in_flight.reply.is_some()).count()
    }

    /// How many requests are overdue, up to [`MAX_IN_FLIGHT`].
    pub(crate) fn overdue(&self) -> usize {
        self.overdue.len()
    }

    /// Whether a request is a further attempt of a call that was lost with an earlier process.
    pub(crate) fn has_retried_call(&self) -> bool {
        self.in_flight.values().filter_map(|in_flight| in_flight.call.as_ref()).any(|call| call.attempt > 1)
    }

    /// How long ago the caller of a sequential module's current request stopped waiting. `None` if the caller waits, or there is no such
    /// request.
    pub(crate) fn abandoned_for(&self, now: Instant) -> Option<Duration> {
        let current = self.in_flight.get(&self.queue.as_ref()?.current?)?;
        Some(now.saturating_duration_since(current.abandoned?))
    }

    /// The call or event that the module handles under this id; without an id, the current one of a sequential module.
    pub(crate) fn handled(&self, id: Option<u64>) -> Option<&RequestInfo> {
        let id = id.or_else(|| self.queue.as_ref()?.current)?;
        self.in_flight.get(&id)?.call.as_ref()
    }

    /// Takes a new request, or says why not. `call` is `None` for a request of the host itself, to which the limits on
    /// the number of requests do not apply.
    pub(crate) fn admit<'a>(
        &mut self,
        request: HostRequest<'a>,
        reply: ReplyTo,
        deadline: Option<Instant>,
        call: Option<RequestInfo>,
        now: Instant,
    ) -> Admitted<'a> {
        let needs = if matches!(request, HostRequest::Shutdown { .. }) { Intake::OnlyShutdown } else { Intake::All };
        if self.intake > needs {
            return Admitted::Closed { request, reply };
        }
        let is_exempt = request.is_hosts_own();
        let memory = match self.queue.as_ref().filter(|queue| queue.current.is_some()) {
            Some(queue) if is_exempt || queue.len() < MAX_QUEUED => self.memory.take(request.bytes()).map(Some),
            Some(_) => None,
            None => (is_exempt || self.in_flight.len() < MAX_IN_FLIGHT).then_some(None),
        };
        let Some(memory) = memory else { return Admitted::Refused { reply, call } };
        self.last_id += 1;
        let id = self.last_id;
        let in_flight = InFlight { reply: Some(reply), deadline, started: now, abandoned: None, call };
        self.in_flight.insert(id, in_flight);
        let is_sooner = deadline.is_some_and(|deadline| self.next_deadline.is_none_or(|next| deadline < next));
        if is_sooner {
            self.next_deadline = deadline;
        }
        match (&mut self.queue, memory) {
            (Some(queue), Some(memory)) => {
                queue.push(id, request.into_owned(), memory);
                Admitted::Queued { id, is_sooner }
            }
            (Some(queue), None) => {
                queue.current = Some(id);
                Admitted::Send { id, request, is_sooner, beside_others: false }
            }
            (None, _) => Admitted::Send { id, request, is_sooner, beside_others: self.in_flight.len() > 1 },
        }
    }

    /// Removes the request with this id, since its reply has come; without an id, the current one of a sequential module. Returns that
    /// request (of an overdue one, a stand-in without a caller), or `None` if there is none; and the next request to send to a sequential
    /// module.
    pub(crate) fn complete(&mut self, id: Option<u64>) -> (Option<InFlight>, Option<(u64, HostRequest<'static>)>) {
        let Some(id) = id.or_else(|| self.queue.as_ref()?.current) else { return (None, None) };
        let done = self.in_flight.remove(&id).or_else(|| self.overdue.remove(&id).then(InFlight::overdue));
        let next = match &mut self.queue {
            Some(queue) if queue.current == Some(id) => {
                // Queued calls and events of a module that is being ended go to another process.
                if self.intake == Intake::All { queue.next() } else { queue.next_if_shutdown() }
            }
            _ => None,
        };
        (done, next)
    }

    /// Records that the caller of this request has stopped waiting. `None` if it has its result already.
    pub(crate) fn abandon(&mut self, id: u64, now: Instant) -> Option<Abandoned> {
        let in_flight = self.in_flight.get_mut(&id)?;
        let reply = in_flight.reply.take()?;
        in_flight.abandoned = Some(now);
        let (started, call) = (in_flight.started, in_flight.call.clone());
        let delivery = match self.queue.as_mut().map(|queue| queue.remove(id)) {
            None => Delivery::Concurrent,
            Some(None) => Delivery::Sequential,
            Some(Some(_)) => {
                self.in_flight.remove(&id);
                Delivery::NotSent
            }
        };
        Some(Abandoned { reply, started, call, delivery })
    }

    /// Returns the ids of the requests whose deadline has passed while their callers wait, the oldest first, and the next deadline. The
    /// requests stay; the caller abandons them.
    pub(crate) fn expired(&mut self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let waited_for = self.in_flight.iter().filter(|(_, in_flight)| in_flight.reply.is_some());
        let deadlines = waited_for.filter_map(|(id, in_flight)| Some((*id, in_flight.deadline?)));
        let (over, left): (Vec<_>, Vec<_>) = deadlines.partition(|(_, deadline)| *deadline <= now);
        self.next_deadline = left.iter().map(|(_, deadline)| *deadline).min();
        let mut over: Vec<_> = over.into_iter().map(|(id, _)| id).collect();
        over.sort_unstable();
        (over, self.next_deadline)
    }

    /// Makes the abandoned requests of a concurrent module overdue whose time has come, and returns when the next one will be; `None` if
    /// no request is abandoned. The request of a sequential module stays: the next one can't be sent before the module has replied.
    pub(crate) fn drop_overdue(&mut self, now: Instant) -> Option<Instant> {
        if self.is_sequential() {
            return None;
        }
        let overdue_at = |in_flight: &InFlight| in_flight.abandoned?.checked_add(self.overdue_after);
        let is_overdue = |in_flight: &InFlight| overdue_at(in_flight).is_some_and(|at| at <= now);
        let ids: Vec<_> = self.in_flight.extract_if(|_, in_flight| is_overdue(in_flight)).map(|(id, _)| id).collect();
        let room = MAX_IN_FLIGHT.saturating_sub(self.overdue.len());
        self.overdue.extend(ids.into_iter().take(room));
        self.in_flight.values().filter_map(overdue_at).min()
    }

    /// From now on takes no request but `shutdown`. Queued requests stay in the queue.
    pub(crate) fn take_only_shutdown(&mut self) {
        if self.intake == Intake::All {
            self.intake = Intake::OnlyShutdown;
        }
    }

    /// From now on takes no request but `shutdown`. Removes the queued requests and returns them, in the order of the queue; none for a
    /// concurrent module.
    pub(crate) fn stop(&mut self) -> Vec<(HostRequest<'static>, InFlight)> {
        self.take_only_shutdown();
        let Some(queue) = &mut self.queue else { return Vec::new() };
        queue.drain().filter_map(|(id, request)| Some((request, self.in_flight.remove(&id)?))).collect()
    }

    /// From now on takes no request. Removes all requests, queued ones included, and returns them, the oldest first; none the second time.
    pub(crate) fn close(&mut self) -> Vec<InFlight> {
        self.intake = Intake::None;
        let mut all: Vec<_> = self.in_flight.drain().collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all.into_iter().map(|(_, in_flight)| in_flight).collect()
    }

    /// Whether calls and events are no longer taken.
    pub(crate) fn is_closed(&self) -> bool {
        self.intake != Intake::All
    }

    /// Whether calls and events are no longer taken, and no caller waits.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_closed() && self.waited_for() == 0
    }
}
