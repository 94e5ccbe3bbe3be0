//! The requests that a module has to answer: which ones it has, which ones wait for it, and when the time of one is over.
//! What is decided here is done by the [`Connection`](super::Connection), without the lock.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use foldhash::HashMap;
use tokio::time::Instant;

use crate::bus::{Message, ReplyTo};
use crate::topic::CallInFlight;

/// So many requests may wait for a module that takes one at a time.
const MAX_QUEUED: usize = 1024;
/// And so much payload.
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;
/// So many requests a module may have at once. It has a limit of its own; this is for one that has none.
const MAX_IN_FLIGHT: usize = 16 * 1024;

/// The id of `init`; those of the others follow.
pub(crate) const INIT_ID: u64 = 1;

/// A request of the host.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Handle(Message<'a>),
    Event(Message<'a>),
    HealthCheck,
    Shutdown { grace_ms: u64 },
}

impl Request<'_> {
    fn into_owned(self) -> Request<'static> {
        match self {
            Self::Handle(message) => Request::Handle(message.into_owned()),
            Self::Event(message) => Request::Event(message.into_owned()),
            Self::HealthCheck => Request::HealthCheck,
            Self::Shutdown { grace_ms } => Request::Shutdown { grace_ms },
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Handle(message) | Self::Event(message) => message.bytes(),
            _ => 0,
        }
    }

    /// What overtakes what in the queue of a module that takes one request at a time.
    fn urgency(&self) -> u64 {
        match self {
            Self::Handle(message) | Self::Event(message) => message.priority.into(),
            Self::HealthCheck => 5,
            Self::Shutdown { .. } => 6,
        }
    }
}

/// A request that was not answered yet.
#[derive(Debug)]
pub(crate) struct InFlight {
    /// Taken when the caller was answered, be it because its time is over.
    pub(crate) reply: Option<ReplyTo>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) started: Instant,
    /// Since when nobody waits for it any more.
    abandoned: Option<Instant>,
    /// Of a call.
    pub(crate) call: Option<CallInFlight>,
}

#[derive(Debug)]
pub(crate) struct Requests {
    last_id: u64,
    in_flight: HashMap<u64, InFlight>,
    sequential: Option<Sequential>,
    next_deadline: Option<Instant>,
    /// Only `shutdown` is taken.
    closed: bool,
    /// Nothing is taken.
    ended: bool,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            last_id: INIT_ID,
            in_flight: HashMap::default(),
            sequential: None,
            next_deadline: None,
            closed: false,
            ended: false,
        }
    }
}

/// Of a module that answers without ids, and so gets one request at a time.
#[derive(Debug, Default)]
struct Sequential {
    current: Option<u64>,
    /// The most urgent first, and the oldest of those.
    queue: BTreeMap<(Reverse<u64>, u64), Request<'static>>,
    /// What they carry.
    bytes: usize,
}

impl Sequential {
    fn put(&mut self, id: u64, request: Request<'static>) {
        self.bytes += request.bytes();
        self.queue.insert((Reverse(request.urgency()), id), request);
    }

    fn take(&mut self, id: u64) -> Option<Request<'static>> {
        let key = *self.queue.keys().find(|(_, queued)| *queued == id)?;
        let request = self.queue.remove(&key)?;
        self.bytes -= request.bytes();
        Some(request)
    }

    fn next(&mut self) -> Option<(u64, Request<'static>)> {
        let ((_, id), request) = self.queue.pop_first()?;
        self.bytes -= request.bytes();
        Some((id, request))
    }
}

/// A request for which nobody waits any more.
pub(crate) struct Abandoned {
    pub(crate) reply: ReplyTo,
    pub(crate) started: Instant,
    pub(crate) call: Option<CallInFlight>,
    pub(crate) has: Has,
}

/// Whether the module has a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Has {
    Not,
    AmongOthers,
    /// It does nothing else.
    Alone,
}

/// What to do with a new request.
pub(crate) enum Admitted<'a> {
    Send {
        id: u64,
        request: Request<'a>,
        look_sooner: bool,
        /// The module has others, too.
        beside_others: bool,
    },
    Queued {
        id: u64,
        look_sooner: bool,
    },
    /// Too many wait.
    Refused {
        reply: ReplyTo,
        call: Option<CallInFlight>,
    },
    /// Nothing is taken any more.
    Closed {
        request: Request<'a>,
        reply: ReplyTo,
    },
}

/// What a reply, or the end of a time, sets off.
#[derive(Default)]
pub(crate) struct Next {
    /// The next request of a module that takes one at a time.
    pub(crate) send: Option<(u64, Request<'static>)>,
}

impl Requests {
    /// The module answers without ids.
    pub(crate) fn make_sequential(&mut self) {
        self.sequential.get_or_insert_default();
    }

    pub(crate) fn is_sequential(&self) -> bool {
        self.sequential.is_some()
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        self.in_flight.keys().copied().collect()
    }

    /// How many requests the module has, with those that wait for it.
    pub(crate) fn len(&self) -> usize {
        self.in_flight.len()
    }

    pub(crate) fn admit<'a>(
        &mut self,
        request: Request<'a>,
        reply: ReplyTo,
        deadline: Option<Instant>,
        call: Option<CallInFlight>,
        now: Instant,
    ) -> Admitted<'a> {
        let is_full = self
            .sequential
            .as_ref()
            .is_some_and(|sequential| sequential.queue.len() >= MAX_QUEUED || sequential.bytes >= MAX_QUEUED_BYTES);
        let own = matches!(request, Request::HealthCheck | Request::Shutdown { .. });
        let closed = if matches!(request, Request::Shutdown { .. }) { self.ended } else { self.closed };
        if closed {
            return Admitted::Closed { request, reply };
        }
        if !own && (is_full || self.in_flight.len() >= MAX_IN_FLIGHT) {
            return Admitted::Refused { reply, call };
        }
        self.last_id += 1;
        let id = self.last_id;
        let in_flight = InFlight { reply: Some(reply), deadline, started: now, abandoned: None, call };
        self.in_flight.insert(id, in_flight);
        let look_sooner = deadline.is_some_and(|deadline| self.next_deadline.is_none_or(|next| deadline < next));
        if look_sooner {
            self.next_deadline = deadline;
        }
        match &mut self.sequential {
            Some(sequential) if sequential.current.is_some() => {
                sequential.put(id, request.into_owned());
                Admitted::Queued { id, look_sooner }
            }
            Some(sequential) => {
                sequential.current = Some(id);
                Admitted::Send { id, request, look_sooner, beside_others: false }
            }
            None => Admitted::Send { id, request, look_sooner, beside_others: self.in_flight.len() > 1 },
        }
    }

    /// A reply has come, for the request with this id, or for the oldest.
    pub(crate) fn complete(&mut self, id: Option<u64>) -> (Option<InFlight>, Next) {
        let id = match (&self.sequential, id) {
            (_, Some(id)) => Some(id),
            (Some(sequential), None) => sequential.current,
            (None, None) => self.in_flight.keys().min().copied(),
        };
        let Some(id) = id else { return (None, Next::default()) };
        let done = self.in_flight.remove(&id);
        (done, self.next_after(id))
    }

    fn next_after(&mut self, id: u64) -> Next {
        let Some(sequential) = &mut self.sequential else { return Next::default() };
        if sequential.current != Some(id) {
            return Next::default();
        }
        let next = sequential.next();
        sequential.current = next.as_ref().map(|(id, _)| *id);
        Next { send: next }
    }

    /// Nobody waits for this request any more.
    pub(crate) fn abandon(&mut self, id: u64) -> Option<Abandoned> {
        let in_flight = self.in_flight.get_mut(&id)?;
        let reply = in_flight.reply.take()?;
        in_flight.abandoned = Some(Instant::now());
        let (started, call) = (in_flight.started, in_flight.call.clone());
        let has = match &mut self.sequential {
            None => Has::AmongOthers,
            Some(sequential) => match sequential.take(id) {
                Some(_) => {
                    self.in_flight.remove(&id);
                    Has::Not
                }
                None => Has::Alone,
            },
        };
        Some(Abandoned { reply, started, call, has })
    }

    /// The requests whose time is over, and when to look again.
    pub(crate) fn expired(&mut self, now: Instant) -> (Vec<u64>, Option<Instant>) {
        let waited_for = self.in_flight.iter().filter(|(_, in_flight)| in_flight.reply.is_some());
        let deadlines = waited_for.filter_map(|(id, in_flight)| Some((*id, in_flight.deadline?)));
        let (over, left): (Vec<_>, Vec<_>) = deadlines.partition(|(_, deadline)| *deadline <= now);
        self.next_deadline = left.iter().map(|(_, deadline)| *deadline).min();
        (over.into_iter().map(|(id, _)| id).collect(), self.next_deadline)
    }

    /// The call that the module handles with this id, or, if it handles one at a time, the one that it handles.
    pub(crate) fn handled(&self, id: Option<u64>) -> Option<&CallInFlight> {
        let id = id.or_else(|| self.sequential.as_ref()?.current)?;
        self.in_flight.get(&id)?.call.as_ref()
    }

    /// What the module does now, if it takes one request at a time: since when nobody waits for it, if that is so.
    pub(crate) fn is_late(&self, now: Instant) -> Option<std::time::Duration> {
        let current = self.in_flight.get(&self.sequential.as_ref()?.current?)?;
        Some(now.saturating_duration_since(current.abandoned?))
    }

    /// Whether the next request would have to wait for another one.
    pub(crate) fn is_busy(&self) -> bool {
        self.sequential.as_ref().is_some_and(|sequential| sequential.current.is_some())
    }

    /// Takes no request any more, and gives out those that the module has.
    pub(crate) fn close(&mut self) -> Vec<InFlight> {
        self.closed = true;
        self.ended = true;
        self.in_flight.drain().map(|(_, in_flight)| in_flight).collect()
    }

    /// Takes no request any more but `shutdown`, and gives out those that the module does not have yet.
    pub(crate) fn stop(&mut self) -> Vec<InFlight> {
        self.closed = true;
        let Some(sequential) = &mut self.sequential else { return Vec::new() };
        sequential.bytes = 0;
        let waiting = std::mem::take(&mut sequential.queue).into_keys();
        waiting.filter_map(|(_, id)| self.in_flight.remove(&id)).collect()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}
