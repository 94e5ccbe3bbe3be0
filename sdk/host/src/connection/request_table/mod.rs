//! The requests that a module has to answer: which ones it has, which ones wait for it, and when the time of one is over.
//! What is decided here is done by the [`Connection`](super::Connection), without the lock.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use foldhash::{HashMap, HashSet};
use tokio::time::Instant;

use crate::budget::{Budget, Taken};
use crate::bus::{Envelope, ReplyTo};
use crate::topic::CallInFlight;

/// So many requests may wait for a module that takes one at a time.
const MAX_QUEUED: usize = 1024;
/// So many requests a module may have at once. It has a limit of its own; this is for one that has none.
const MAX_IN_FLIGHT: usize = 16 * 1024;

/// The id of `init`; those of the others follow.
pub(crate) const INIT_ID: u64 = 1;

/// A request of the host.
#[derive(Debug)]
pub(crate) enum Request<'a> {
    Handle(Envelope<'a>),
    Event(Envelope<'a>),
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

impl InFlight {
    /// One that has taken no place any more, so that nothing is known of it.
    fn overdue() -> Self {
        Self { reply: None, deadline: None, started: Instant::now(), abandoned: None, call: None }
    }
}

#[derive(Debug)]
pub(crate) struct Requests {
    last_id: u64,
    in_flight: HashMap<u64, InFlight>,
    sequential: Option<Sequential>,
    /// For what waits.
    waiting: Arc<Budget>,
    next_deadline: Option<Instant>,
    /// How long the module has for its answer after nobody waits for it any more. Then the request takes no place any more.
    overdue_after: Duration,
    /// The requests that took longer.
    overdue: HashSet<u64>,
    /// Only `shutdown` is taken.
    closed: bool,
    /// Nothing is taken.
    ended: bool,
}

impl Requests {
    pub(crate) fn new(overdue_after: Duration, waiting: Arc<Budget>) -> Self {
        Self {
            waiting,
            overdue_after,
            overdue: HashSet::default(),
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
    queue: BTreeMap<(Reverse<u64>, u64), Queued>,
}

/// A request that waits, and what it takes.
#[derive(Debug)]
struct Queued {
    request: Request<'static>,
    _held: Taken,
}

impl Sequential {
    fn put(&mut self, id: u64, request: Request<'static>, held: Taken) {
        self.queue.insert((Reverse(request.urgency()), id), Queued { request, _held: held });
    }

    fn take(&mut self, id: u64) -> Option<Request<'static>> {
        let key = *self.queue.keys().find(|(_, queued)| *queued == id)?;
        self.queue.remove(&key).map(|queued| queued.request)
    }

    fn next(&mut self) -> Option<(u64, Request<'static>)> {
        let ((_, id), queued) = self.queue.pop_first()?;
        Some((id, queued.request))
    }

    /// The same, if it is `shutdown`, than which nothing is more urgent.
    fn shutdown(&mut self) -> Option<(u64, Request<'static>)> {
        let is_shutdown = |queued: &Queued| matches!(queued.request, Request::Shutdown { .. });
        self.queue.first_key_value().filter(|(_, queued)| is_shutdown(queued))?;
        self.next()
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

    /// How many of them wait for it.
    pub(crate) fn waiting(&self) -> usize {
        self.sequential.as_ref().map_or(0, |sequential| sequential.queue.len())
    }

    pub(crate) fn admit<'a>(
        &mut self,
        request: Request<'a>,
        reply: ReplyTo,
        deadline: Option<Instant>,
        call: Option<CallInFlight>,
        now: Instant,
    ) -> Admitted<'a> {
        let own = matches!(request, Request::HealthCheck | Request::Shutdown { .. });
        let closed = if matches!(request, Request::Shutdown { .. }) { self.ended } else { self.closed };
        if closed {
            return Admitted::Closed { request, reply };
        }
        // Of the host's own there are few, and they carry nothing.
        let held = match self.sequential.as_ref().filter(|sequential| sequential.current.is_some()) {
            Some(sequential) if own || sequential.queue.len() < MAX_QUEUED => {
                self.waiting.take(request.bytes()).map(Some)
            }
            Some(_) => None,
            None => (own || self.in_flight.len() < MAX_IN_FLIGHT).then_some(None),
        };
        let Some(held) = held else { return Admitted::Refused { reply, call } };
        self.last_id += 1;
        let id = self.last_id;
        let in_flight = InFlight { reply: Some(reply), deadline, started: now, abandoned: None, call };
        self.in_flight.insert(id, in_flight);
        let look_sooner = deadline.is_some_and(|deadline| self.next_deadline.is_none_or(|next| deadline < next));
        if look_sooner {
            self.next_deadline = deadline;
        }
        match (&mut self.sequential, held) {
            (Some(sequential), Some(held)) => {
                sequential.put(id, request.into_owned(), held);
                Admitted::Queued { id, look_sooner }
            }
            (Some(sequential), None) => {
                sequential.current = Some(id);
                Admitted::Send { id, request, look_sooner, beside_others: false }
            }
            (None, _) => Admitted::Send { id, request, look_sooner, beside_others: self.in_flight.len() > 1 },
        }
    }

    /// A reply has come, for the request with this id, or, from a module that takes one at a time, for that one.
    pub(crate) fn complete(&mut self, id: Option<u64>) -> (Option<InFlight>, Next) {
        let id = id.or_else(|| self.sequential.as_ref()?.current);
        let Some(id) = id else { return (None, Next::default()) };
        let done = self.in_flight.remove(&id).or_else(|| self.overdue.remove(&id).then(InFlight::overdue));
        (done, self.next_after(id))
    }

    fn next_after(&mut self, id: u64) -> Next {
        let Some(sequential) = &mut self.sequential else { return Next::default() };
        if sequential.current != Some(id) {
            return Next::default();
        }
        // What waits goes to another process then.
        let next = if self.closed { sequential.shutdown() } else { sequential.next() };
        sequential.current = next.as_ref().map(|(id, _)| *id);
        Next { send: next }
    }

    /// Nobody waits for this request any more.
    pub(crate) fn abandon(&mut self, id: u64, now: Instant) -> Option<Abandoned> {
        let in_flight = self.in_flight.get_mut(&id)?;
        let reply = in_flight.reply.take()?;
        in_flight.abandoned = Some(now);
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

    /// Those that are overdue take no place any more. One that the module takes alone does: the next one waits for it. Gives when
    /// to look again.
    pub(crate) fn drop_overdue(&mut self, now: Instant) -> Option<Instant> {
        if self.sequential.is_some() {
            return None;
        }
        let since = |in_flight: &InFlight| in_flight.abandoned?.checked_add(self.overdue_after);
        let over = |in_flight: &InFlight| since(in_flight).is_some_and(|since| since <= now);
        let ids: Vec<_> = self.in_flight.extract_if(|_, in_flight| over(in_flight)).map(|(id, _)| id).collect();
        let room = MAX_IN_FLIGHT.saturating_sub(self.overdue.len());
        self.overdue.extend(ids.into_iter().take(room));
        self.in_flight.values().filter_map(since).min()
    }

    /// How many requests are overdue.
    pub(crate) fn overdue(&self) -> usize {
        self.overdue.len()
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

    /// Whether the module has a call that another process has ended with.
    pub(crate) fn has_tried_again(&self) -> bool {
        self.in_flight.values().filter_map(|in_flight| in_flight.call.as_ref()).any(|call| call.attempt > 1)
    }

    /// Takes no request any more, and gives out those that the module has.
    pub(crate) fn close(&mut self) -> Vec<InFlight> {
        self.closed = true;
        self.ended = true;
        self.in_flight.drain().map(|(_, in_flight)| in_flight).collect()
    }

    /// Takes no request any more but `shutdown`.
    pub(crate) fn refuse(&mut self) {
        self.closed = true;
    }

    /// The same, and gives out those that the module does not have yet.
    pub(crate) fn stop(&mut self) -> Vec<(Request<'static>, InFlight)> {
        self.refuse();
        let Some(sequential) = &mut self.sequential else { return Vec::new() };
        let waiting = std::mem::take(&mut sequential.queue).into_iter();
        waiting.filter_map(|((_, id), queued)| Some((queued.request, self.in_flight.remove(&id)?))).collect()
    }

    /// How many of those that the module has, or that wait for it, somebody waits for.
    pub(crate) fn waited_for(&self) -> usize {
        self.in_flight.values().filter(|in_flight| in_flight.reply.is_some()).count()
    }

    /// Whether nothing is taken any more, and all is answered that somebody waits for.
    pub(crate) fn is_drained(&self) -> bool {
        self.closed && self.waited_for() == 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use ixt_protocol::{Payload, Priority};

    use super::*;
    use crate::topic::{Kind, Topic};

    const OVERDUE_AFTER: Duration = Duration::from_secs(15);

    const WAITING_BYTES: usize = 1 << 20;

    fn concurrent() -> Requests {
        Requests::new(OVERDUE_AFTER, Budget::new(WAITING_BYTES))
    }

    fn handle(priority: Priority, bytes: usize) -> Request<'static> {
        Request::Handle(Envelope { priority, ..Envelope::new("t", Payload::from(vec![0; bytes]), "", "") })
    }

    fn nobody() -> ReplyTo {
        ReplyTo::new(|_, _| {})
    }

    /// What became of a request, in a word, and its id.
    fn admit(requests: &mut Requests, request: Request<'static>) -> (&'static str, u64) {
        match requests.admit(request, nobody(), None, None, Instant::now()) {
            Admitted::Send { id, beside_others: false, .. } => ("sent alone", id),
            Admitted::Send { id, beside_others: true, .. } => ("sent", id),
            Admitted::Queued { id, .. } => ("queued", id),
            Admitted::Refused { .. } => ("refused", 0),
            Admitted::Closed { .. } => ("closed", 0),
        }
    }

    fn sequential() -> Requests {
        let mut requests = concurrent();
        requests.make_sequential();
        requests
    }

    #[test]
    fn a_module_with_ids_has_many_requests_and_answers_each_by_its_id() {
        let mut requests = concurrent();
        assert!(!requests.is_sequential() && !requests.is_busy());
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)), ("sent alone", 2));
        assert_eq!(admit(&mut requests, Request::HealthCheck), ("sent", 3));
        assert_eq!((requests.len(), requests.is_busy()), (2, false));
        let mut ids = requests.ids();
        ids.sort_unstable();
        assert_eq!(ids, [2, 3]);
        let (done, next) = requests.complete(Some(3));
        assert!(done.is_some() && next.send.is_none());
        assert!(requests.complete(Some(3)).0.is_none(), "it was answered");
        assert!(requests.complete(Some(2)).0.is_some());
        assert_eq!(requests.len(), 0);
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "sent alone");
        assert!(requests.complete(None).0.is_none(), "whose reply that is can't be known");
    }

    #[test]
    fn a_module_without_ids_gets_one_request_at_a_time_the_most_urgent_first() {
        let mut requests = sequential();
        assert!(requests.is_sequential() && !requests.is_busy());
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)), ("sent alone", 2));
        assert!(requests.is_busy());
        for (id, priority) in
            [(3, Priority::Low), (4, Priority::Critical), (5, Priority::High), (6, Priority::Critical)]
        {
            assert_eq!(admit(&mut requests, handle(priority, 0)), ("queued", id));
        }
        assert_eq!(admit(&mut requests, Request::HealthCheck), ("queued", 7));
        assert_eq!(admit(&mut requests, Request::Shutdown { grace_ms: 1 }), ("queued", 8));
        assert_eq!((requests.len(), requests.waiting()), (7, 6));
        let mut order = Vec::new();
        while let (Some(_), next) = requests.complete(None) {
            order.extend(next.send.map(|(id, _)| id));
        }
        assert_eq!(order, [8, 7, 4, 6, 5, 3]);
        assert!(!requests.is_busy() && requests.len() == 0);
        // An answer to one that it does not have yet changes nothing for the one that it has.
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "sent alone");
        let (_, queued) = admit(&mut requests, handle(Priority::Low, 0));
        assert!(requests.complete(Some(queued)).1.send.is_none());
        assert!(requests.is_busy());
    }

    #[test]
    fn no_more_wait_than_may_in_number_and_bytes_but_for_the_hosts_own() {
        let mut requests = sequential();
        admit(&mut requests, handle(Priority::Low, 0));
        for _ in 0..MAX_QUEUED {
            assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "queued");
        }
        assert_eq!(admit(&mut requests, handle(Priority::Critical, 0)).0, "refused");
        assert_eq!(admit(&mut requests, Request::HealthCheck).0, "queued");
        // What was given out makes room.
        requests.complete(None);
        requests.complete(None);
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "queued");

        let mut requests = sequential();
        admit(&mut requests, handle(Priority::Low, WAITING_BYTES));
        assert_eq!(
            admit(&mut requests, handle(Priority::Low, WAITING_BYTES)).0,
            "refused",
            "with all that belongs to it"
        );
        let (_, large) = admit(&mut requests, handle(Priority::Low, WAITING_BYTES - 1000));
        assert_eq!(admit(&mut requests, handle(Priority::Low, 1000)).0, "refused");
        assert!(requests.abandon(large, Instant::now()).is_some_and(|abandoned| abandoned.has == Has::Not));
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "queued", "it is gone");

        let mut requests = concurrent();
        for _ in 0..MAX_IN_FLIGHT {
            assert_ne!(admit(&mut requests, handle(Priority::Low, 0)).0, "refused");
        }
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "refused");
        assert_eq!(admit(&mut requests, Request::HealthCheck).0, "sent");
    }

    #[test]
    fn one_that_nobody_waits_for_stays_with_a_module_that_has_it() {
        let mut requests = concurrent();
        let (_, id) = admit(&mut requests, handle(Priority::Low, 0));
        let abandoned = requests.abandon(id, Instant::now()).unwrap();
        assert_eq!(abandoned.has, Has::AmongOthers);
        assert!(requests.abandon(id, Instant::now()).is_none(), "once");
        assert_eq!(requests.len(), 1);
        assert!(requests.complete(Some(id)).0.is_some_and(|done| done.reply.is_none()));

        let mut requests = sequential();
        let (_, first) = admit(&mut requests, handle(Priority::Low, 0));
        let (_, second) = admit(&mut requests, handle(Priority::Low, 0));
        let now = Instant::now();
        assert_eq!(requests.is_late(now), None);
        assert_eq!(requests.abandon(first, Instant::now()).unwrap().has, Has::Alone);
        assert!(requests.is_late(now + Duration::from_secs(3)).unwrap() > Duration::from_secs(2));
        assert!(requests.is_busy(), "it is still at it");
        assert_eq!(requests.complete(None).1.send.map(|(id, _)| id), Some(second));
        assert_eq!(requests.is_late(now), None);
    }

    #[test]
    fn one_that_nobody_waits_for_takes_its_place_no_longer_than_it_may() {
        let mut requests = concurrent();
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let (_, first) = admit(&mut requests, handle(Priority::Low, 0));
        let (_, second) = admit(&mut requests, handle(Priority::Low, 0));
        admit(&mut requests, handle(Priority::Low, 0));
        assert_eq!(requests.drop_overdue(at(100)), None, "they are waited for");
        requests.abandon(first, at(0));
        requests.abandon(second, at(2));
        assert_eq!(requests.drop_overdue(at(14)), Some(at(15)));
        assert_eq!((requests.len(), requests.overdue()), (3, 0));
        assert_eq!(requests.drop_overdue(at(15)), Some(at(17)));
        assert_eq!((requests.len(), requests.overdue()), (2, 1));
        assert_eq!(requests.drop_overdue(at(17)), None);
        // Their late replies are no mistake.
        assert!(requests.complete(Some(first)).0.is_some_and(|done| done.reply.is_none()));
        assert_eq!((requests.len(), requests.overdue()), (1, 1));
        assert!(requests.complete(Some(first)).0.is_none());
        requests.complete(Some(second));
        assert_eq!(requests.overdue(), 0);

        let mut requests = sequential();
        let (_, alone) = admit(&mut requests, handle(Priority::Low, 0));
        requests.abandon(alone, now);
        assert_eq!(requests.drop_overdue(at(100)), None);
        assert!(requests.is_busy());
    }

    #[test]
    fn the_time_of_each_request_is_over_at_its_deadline() {
        let mut requests = concurrent();
        let now = Instant::now();
        let at = |seconds| Some(now + Duration::from_secs(seconds));
        let mut admit = |deadline| match requests.admit(handle(Priority::Low, 0), nobody(), deadline, None, now) {
            Admitted::Send { id, look_sooner, .. } => (id, look_sooner),
            _ => panic!("not sent"),
        };
        assert_eq!(
            [admit(None), admit(at(5)), admit(at(7)), admit(at(3))],
            [(2, false), (3, true), (4, false), (5, true)]
        );
        assert_eq!(requests.expired(now), (vec![], at(3)));
        assert_eq!(requests.expired(at(3).unwrap()), (vec![5], at(5)));
        requests.abandon(5, now);
        let (mut over, next) = requests.expired(at(7).unwrap());
        over.sort_unstable();
        assert_eq!((over, next), (vec![3, 4], None));
    }

    #[test]
    fn who_makes_a_call_for_which_request_is_known_by_its_id_or_by_there_being_one() {
        let topic = Arc::new(Topic::new("t"));
        let call = |trace: &str| {
            Some(CallInFlight {
                kind: Kind::Call,
                topic: Arc::clone(&topic),
                trace_id: trace.into(),
                source: "".into(),
                deadline: None,
                attempt: 1,
                priority: Priority::Low,
                cause: Arc::new(crate::bus::Cause::new(1, "", None)),
                span: 1,
                is_sampled: false,
                parent_span: None,
            })
        };
        let trace = |requests: &Requests, id| requests.handled(id).map(|call| call.trace_id.to_string());
        for (mut requests, without_id) in [(concurrent(), None), (sequential(), Some("one".to_owned()))] {
            requests.admit(handle(Priority::Low, 0), nobody(), None, call("one"), Instant::now());
            assert_eq!(trace(&requests, Some(2)).as_deref(), Some("one"));
            assert_eq!(trace(&requests, Some(9)), None);
            assert_eq!(trace(&requests, None), without_id);
        }
    }

    #[test]
    fn one_that_is_stopped_takes_nothing_but_shutdown_and_one_that_is_closed_nothing() {
        let mut requests = sequential();
        admit(&mut requests, handle(Priority::Low, 0));
        admit(&mut requests, handle(Priority::Low, 9));
        admit(&mut requests, handle(Priority::Low, 9));
        assert!(!requests.is_closed());
        assert_eq!(requests.stop().len(), 2, "those that it does not have");
        assert!(requests.is_closed() && requests.is_busy());
        assert_eq!(admit(&mut requests, handle(Priority::Low, 0)).0, "closed");
        assert_eq!(admit(&mut requests, Request::HealthCheck).0, "closed");
        assert_eq!(admit(&mut requests, Request::Shutdown { grace_ms: 1 }).0, "queued");
        assert_eq!(requests.close().len(), 2);
        assert_eq!(admit(&mut requests, Request::Shutdown { grace_ms: 1 }).0, "closed");
        assert_eq!(requests.len(), 0);

        let mut requests = concurrent();
        admit(&mut requests, handle(Priority::Low, 0));
        assert!(requests.stop().is_empty(), "it has all of them");
        assert_eq!(requests.len(), 1);
    }

    #[test]
    fn whoever_waits_is_answered_even_if_the_requests_are_dropped() {
        static ANSWERED: AtomicUsize = AtomicUsize::new(0);
        let mut requests = concurrent();
        let reply = ReplyTo::new(|answer, _| {
            assert!(matches!(answer, crate::bus::CallResult::Lost { .. }));
            ANSWERED.fetch_add(1, Ordering::Relaxed);
        });
        requests.admit(handle(Priority::Low, 0), reply, None, None, Instant::now());
        drop(requests);
        assert_eq!(ANSWERED.load(Ordering::Relaxed), 1);
    }
}
