//! Parked calls, which wait until a replica is ready. In their present attempt they have not been sent to any process,
//! so calls that are not idempotent can be parked too. Calls that wait for a sequential process that is busy are in
//! that process's queue instead (`connection/request_table`).

use std::sync::Arc;

use ixt_protocol::code;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::ModuleRouter;
use super::calls::Picked;
use crate::budget::Reservation;
use crate::bus::{CallHandle, Cancel, Envelope, ReplyTo, WriteBatch};
use crate::call_log::CallOutcome;
use crate::lock::lock;
use crate::replica::Replica;
use crate::status::InstanceState;
use crate::topic::ModuleTopic;

/// The maximum number of calls that are parked for a module. Further ones are refused with `RESOURCE_EXHAUSTED`.
pub(super) const MAX_PARKED: usize = 1024;

/// The parked calls of one module.
#[derive(Default)]
pub(super) struct ParkedCalls {
    calls: Vec<Parked>,
    /// The number of the call that was parked last; 0 before the first. It is what a [`CallHandle`] cancels.
    last: u64,
}

/// A parked call.
struct Parked {
    /// See [`ParkedCalls::last`].
    number: u64,
    envelope: Envelope<'static>,
    topic: Arc<ModuleTopic>,
    reply: ReplyTo,
    /// When it was parked.
    since: Instant,
    /// The memory that the call takes while it is parked.
    memory: Reservation,
    /// `None` if the call has no deadline.
    _timer: Option<Timer>,
}

/// The task that ends all parked calls whose deadline has passed, at the deadline of one of them. It is aborted with
/// that call, which is usually dispatched long before its deadline. A call without a deadline has no timer.
struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl ParkedCalls {
    /// The number of parked calls.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }
}

impl ModuleRouter {
    /// Parks a call if a replica that takes its topic [comes](Replica::comes); otherwise refuses it with `UNAVAILABLE`,
    /// retryable. Beyond [`MAX_PARKED`], or the memory of the module or the host, it is refused with
    /// `RESOURCE_EXHAUSTED`, retryable too. Returns the handle for the caller.
    pub(super) fn park(
        &self,
        envelope: Envelope<'_>,
        topic: &Arc<ModuleTopic>,
        mut reply: ReplyTo,
        batch: &mut WriteBatch,
    ) -> CallHandle {
        if !self.one_comes_for(topic.name()) {
            let why = self.why_not(topic.name());
            self.not_asked(topic, &envelope, Instant::now(), (CallOutcome::Refused, code::UNAVAILABLE, &why));
            reply.error(code::UNAVAILABLE, &why, true, batch);
            return CallHandle::default();
        }
        let mut parked = lock(&self.parked);
        let memory = if parked.len() < MAX_PARKED { self.waiting.take(envelope.bytes()) } else { None };
        let Some(memory) = memory else {
            drop(parked);
            self.refuse(&envelope, topic, reply, batch);
            return CallHandle::default();
        };
        let timer = envelope.deadline.map(|deadline| {
            let this = self.this.clone();
            let expire = async move {
                tokio::time::sleep_until(deadline).await;
                if let Some(this) = this.upgrade() {
                    this.expire_parked();
                }
            };
            Timer(tokio::spawn(expire).abort_handle())
        });
        let (envelope, since) = (envelope.into_owned(), Instant::now());
        let location = reply.track();
        let moves = location.begin_move();
        parked.last += 1;
        let number = parked.last;
        let topic_of_call = Arc::clone(topic);
        parked.calls.push(Parked { number, envelope, topic: topic_of_call, reply, since, memory, _timer: timer });
        drop(parked);
        if let Some(this) = self.this.upgrade() {
            location.arrived(moves, CallHandle::new(&this, number), batch);
        }
        // A replica may have become ready, or have failed for good, before the call was in the list.
        let is_over = !self.one_comes_for(topic.name());
        if is_over || !matches!(self.pick(topic.name(), None), Picked::None) {
            self.release_parked();
        }
        location.handle()
    }

    /// Dispatches all parked calls. Those that no replica can take yet are parked again; those that no replica will
    /// take, or whose deadline has passed, are refused. Called when a process becomes ready, when one has ended or did
    /// not start, and when a topic is withdrawn.
    pub(super) fn release_parked(&self) {
        let parked = std::mem::take(&mut lock(&self.parked).calls);
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        for Parked { envelope, topic, reply, memory, .. } in parked {
            // The memory is reserved again where the call goes next.
            drop(memory);
            drop(self.dispatch(envelope, &topic, reply, now, &mut batch));
        }
    }

    /// Ends the parked calls whose deadline has passed with `DEADLINE_EXCEEDED`.
    fn expire_parked(&self) {
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        let is_over = |parked: &Parked| parked.envelope.deadline.is_some_and(|deadline| deadline <= now);
        let expired: Vec<_> = lock(&self.parked).calls.extract_if(.., |parked| is_over(parked)).collect();
        for Parked { envelope, topic, reply, since, .. } in expired {
            let why = format!("the time for `{}` is over: {}", topic.name(), self.why_not(topic.name()));
            self.not_asked(&topic, &envelope, since, (CallOutcome::Timeout, code::DEADLINE_EXCEEDED, &why));
            reply.error(code::DEADLINE_EXCEEDED, &why, true, &mut batch);
        }
    }

    /// Whether a replica that takes this topic is ready, or will be soon by itself.
    fn one_comes_for(&self, topic: &str) -> bool {
        self.replicas().iter().any(|replica| replica.comes() && replica.release().takes(topic))
    }

    /// Why no replica takes this topic, for the caller: a clause that begins with the module's name, without a full
    /// stop. If several reasons hold, the first in the order below.
    pub(super) fn why_not(&self, topic: &str) -> String {
        let name = self.name();
        let replicas = self.replicas();
        let in_state = |state: InstanceState| replicas.iter().find(|replica| replica.state() == state);
        let because =
            |replica: &Arc<Replica>| replica.reason().map_or_else(String::new, |reason| format!(": {reason}"));
        // Replicas that are being retired count only if all are.
        let stays = |replica: &&Arc<Replica>| !replica.is_retired() || replicas.iter().all(|other| other.is_retired());
        if !replicas.iter().filter(stays).any(|replica| replica.release().takes(topic)) {
            format!("`{name}` does not provide `{topic}`")
        } else if let Some(replica) = replicas.iter().find(|replica| replica.lock().keeps_ending) {
            format!("`{name}` ends again and again, and is restarted only now and then{}", because(replica))
        } else if let Some(replica) = in_state(InstanceState::Backoff) {
            format!("`{name}` is about to be restarted{}", because(replica))
        } else if let Some(replica) = in_state(InstanceState::Starting) {
            format!("`{name}` is starting{}", because(replica))
        } else if let Some(replica) = in_state(InstanceState::Failed) {
            format!("`{name}` has failed and is not restarted any more{}", because(replica))
        } else if self.serving().ready.iter().any(|ready| !ready.connection.is_ready()) {
            format!("`{name}` says that it is not ready")
        } else if in_state(InstanceState::Draining).is_some() || in_state(InstanceState::Ready).is_some() {
            format!("`{name}` is shutting down")
        } else {
            format!("`{name}` is stopped")
        }
    }
}

/// Cancels parked calls, by their numbers.
impl Cancel for ModuleRouter {
    fn cancel(&self, number: u64, _: &mut WriteBatch) {
        let cancelled = lock(&self.parked).calls.extract_if(.., |parked| parked.number == number).next();
        if let Some(Parked { envelope, topic, reply, since, .. }) = cancelled {
            self.cancelled(&topic, &envelope, reply, since);
        }
    }
}
