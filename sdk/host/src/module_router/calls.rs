//! Calls of the module's services: which replica gets each, which are refused, and which are tried again. Events are in
//! `event_queue`; the calls that the module itself makes are in `services/bus.rs`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use ixt_protocol::code;
use tokio::time::Instant;

use super::{ModuleRouter, Ready, Serving};
use crate::budget::Reservation;
use crate::bus::{CallHandle, CallResult, Cause, Envelope, ReplyTo, WriteBatch};
use crate::call_log::{CallOutcome, CallRecord};
use crate::connection::{Connection, HostRequest, ProcessLoad};
use crate::topic::ModuleTopic;

/// The most requests that may wait for a call, each for the next one. A call with more is refused with
/// `RESOURCE_EXHAUSTED`, since the modules must be calling each other in a circle.
pub(super) const MAX_DEPTH: usize = 1000;
/// The most attempts for an idempotent call, the first one included. If the last one is lost too, its caller gets that
/// result.
const MAX_ATTEMPTS: u32 = 3;
/// If this many processes have ended while the call was their only request, the call is not tried again.
const MAX_ENDED_ALONE: u32 = 2;

/// What [`ModuleRouter::pick`] finds.
pub(super) enum Picked {
    /// This process, which takes the topic and had the fewest requests when it was picked. It may stop at any moment.
    Ready { connection: Arc<Connection>, is_sequential: bool },
    /// All processes that could take the call are sequential, and busy with a request that waits for it. The cause is
    /// that of the call.
    WaitsForItself(Arc<Cause>),
    /// No process that takes the topic is ready.
    None,
}

/// The earlier attempts of an idempotent call.
#[derive(Debug, Clone, Copy)]
struct Attempts {
    /// When the first attempt began.
    started: Instant,
    /// How many processes have ended while the call was their only request.
    ended_alone: u32,
}

impl ModuleRouter {
    /// Takes a call from the bus, and returns at once. The result goes to `reply`, perhaps before this returns. If the
    /// call has no deadline, it gets one from the timeout of the topic; without that, from the call timeout if a
    /// module's handler makes it, and otherwise none. A call beyond [`MAX_DEPTH`] is refused. The returned handle
    /// cancels the call, and does nothing if the call has ended.
    pub(super) fn call(
        &self,
        topic: &Arc<ModuleTopic>,
        mut envelope: Envelope<'_>,
        reply: ReplyTo,
        batch: &mut WriteBatch,
    ) -> CallHandle {
        let depth = envelope.cause.as_ref().map_or(0, |cause| cause.depth());
        let now = Instant::now();
        if depth >= MAX_DEPTH {
            let why = format!("`{}` is the end of a chain of {depth} calls: they go round in a circle", topic.name());
            self.not_asked(topic, &envelope, now, (CallOutcome::Refused, code::RESOURCE_EXHAUSTED, &why));
            reply.error(code::RESOURCE_EXHAUSTED, &why, false, batch);
            return CallHandle::default();
        }
        if envelope.deadline.is_none() {
            // Every call of a module has a deadline, so that no two modules wait for each other without end.
            let for_module = envelope.cause.is_some().then_some(self.call_timeout);
            envelope.deadline = topic.timeout().or(for_module).and_then(|timeout| now.checked_add(timeout));
        }
        self.route(envelope, topic, reply, Attempts { started: now, ended_alone: 0 }, now, batch)
    }

    /// Dispatches a call. Of an idempotent one, a copy is kept for another attempt; if there is no memory for the copy,
    /// the call is refused with `RESOURCE_EXHAUSTED`.
    fn route(
        &self,
        envelope: Envelope<'_>,
        topic: &Arc<ModuleTopic>,
        mut reply: ReplyTo,
        attempts: Attempts,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> CallHandle {
        if !topic.is_retried() {
            return self.dispatch(envelope, topic, reply, now, batch);
        }
        let Some(memory) = self.waiting.take(envelope.bytes()) else {
            self.refuse(&envelope, topic, reply, batch);
            return CallHandle::default();
        };
        let location = reply.track();
        let reply = self.retrying(&envelope, topic, reply, attempts, memory).at(location);
        self.dispatch(envelope, topic, reply, now, batch)
    }

    /// A reply that routes the call again if it is lost, until there were [`MAX_ATTEMPTS`] of it, or
    /// [`MAX_ENDED_ALONE`] processes have ended while it was their only request. Every other result, and the last loss,
    /// goes to `reply`. `memory` is that of the copy.
    fn retrying(
        &self,
        envelope: &Envelope<'_>,
        topic: &Arc<ModuleTopic>,
        reply: ReplyTo,
        Attempts { started, ended_alone }: Attempts,
        memory: Reservation,
    ) -> ReplyTo {
        let (this, copy, topic) = (self.this.clone(), envelope.borrowed().into_owned(), Arc::clone(topic));
        ReplyTo::retrying(move |result, batch| match (result, this.upgrade()) {
            (CallResult::Lost { reason, was_alone }, Some(this)) => {
                let attempt = copy.attempt;
                let ended_alone = ended_alone + u32::from(was_alone);
                let why = format!("attempt {attempt} of {MAX_ATTEMPTS}: {reason}");
                if attempt >= MAX_ATTEMPTS || ended_alone >= MAX_ENDED_ALONE {
                    let (release, why) = (this.release(), format!("{why}; it is not tried again"));
                    let call = CallRecord::to_module(release.source(), &topic, &copy, started);
                    this.call_log.failed(&call, CallOutcome::Lost, code::UNAVAILABLE, &why);
                    return reply.send(CallResult::Lost { reason, was_alone }, batch);
                }
                let note = format!("`{}`, {why}; it is tried again, for it is idempotent", topic.name());
                this.warn(&copy.trace_id, note);
                drop(memory);
                let envelope = Envelope { attempt: attempt + 1, ..copy };
                let attempts = Attempts { started, ended_alone };
                // The caller keeps the handle of the first attempt, which is that of the location.
                drop(this.route(envelope, &topic, reply, attempts, Instant::now(), batch));
            }
            (result, _) => reply.send(result, batch),
        })
    }

    /// Sends a call to the process with the fewest requests, or [parks](Self::park) it if none is ready. Ends it if its
    /// caller has cancelled, its deadline has passed at `now`, or it would wait for itself. Returns the handle for the
    /// caller.
    pub(super) fn dispatch(
        &self,
        mut envelope: Envelope<'_>,
        topic: &Arc<ModuleTopic>,
        mut reply: ReplyTo,
        now: Instant,
        batch: &mut WriteBatch,
    ) -> CallHandle {
        let name = self.name();
        loop {
            if reply.location().is_some_and(|location| location.is_cancelled()) {
                self.cancelled(topic, &envelope, reply, now);
                return CallHandle::default();
            }
            if envelope.deadline.is_some_and(|deadline| deadline <= now) {
                let why = format!("the time for `{}` was over before `{name}` was asked", topic.name());
                self.not_asked(topic, &envelope, now, (CallOutcome::Timeout, code::DEADLINE_EXCEEDED, &why));
                reply.error(code::DEADLINE_EXCEEDED, &why, true, batch);
                return CallHandle::default();
            }
            match self.pick(topic.name(), envelope.cause.as_ref()) {
                Picked::Ready { connection, is_sequential } => {
                    // A sequential process gives its queue back when it stops, so the call may move.
                    let location = if is_sequential { Some(reply.track()) } else { reply.location().cloned() };
                    let location = location.map(|location| (location.begin_move(), location));
                    match connection.send_message(HostRequest::Handle, envelope, topic, reply, now, batch) {
                        Ok(handle) => {
                            let Some((number, location)) = location else { return handle };
                            location.arrived(number, handle, batch);
                            return location.handle();
                        }
                        // The process has stopped since it was picked. It is not picked again.
                        Err(back) => (envelope, reply) = *back,
                    }
                }
                Picked::WaitsForItself(cause) => {
                    let mut chain: Vec<_> = cause.chain().map(|cause| format!("`{}`", cause.instance())).collect();
                    chain.reverse();
                    let why = format!(
                        "`{name}` handles one request at a time, and `{}` is called from it: it would wait for itself \
                         (called from {})",
                        topic.name(),
                        chain.join(", then "),
                    );
                    self.not_asked(topic, &envelope, now, (CallOutcome::Refused, code::FAILED_PRECONDITION, &why));
                    reply.error(code::FAILED_PRECONDITION, &why, false, batch);
                    return CallHandle::default();
                }
                Picked::None => return self.park(envelope, topic, reply, batch),
            }
        }
    }

    /// Finds the process that takes this topic and has the fewest requests. A busy sequential process whose request
    /// waits for the call is left out. `cause` is the request that makes the call; `None` for an event, and for a call
    /// from outside.
    pub(super) fn pick(&self, topic: &str, cause: Option<&Arc<Cause>>) -> Picked {
        let serving = self.serving();
        let Serving { ready, is_mixed, .. } = &*serving;
        let start = self.next_start.fetch_add(1, Ordering::Relaxed);
        let mut waits_for_itself = None;
        let mut best: Option<(ProcessLoad, &Arc<Connection>)> = None;
        for index in 0..ready.len() {
            let Ready { connection, release } = &ready[(start + index) % ready.len()];
            if *is_mixed && !release.takes(topic) {
                continue;
            }
            let Some(load) = connection.load() else { continue };
            let is_in_chain = |cause: &Arc<Cause>| cause.chain().any(|cause| cause.process() == connection.number());
            if let Some(cause) = cause
                && load.is_busy
                && is_in_chain(cause)
            {
                waits_for_itself = Some(Arc::clone(cause));
                continue;
            }
            if best.as_ref().is_none_or(|(least, _)| load.in_flight < least.in_flight) {
                best = Some((load, connection));
            }
        }
        match (best, waits_for_itself) {
            (Some((ProcessLoad { is_sequential, .. }, connection)), _) => {
                Picked::Ready { connection: Arc::clone(connection), is_sequential }
            }
            (None, Some(cause)) => Picked::WaitsForItself(cause),
            (None, None) => Picked::None,
        }
    }

    /// Refuses a call for which there is no memory or no place to wait, with `RESOURCE_EXHAUSTED`, retryable.
    pub(super) fn refuse(&self, envelope: &Envelope<'_>, topic: &ModuleTopic, reply: ReplyTo, batch: &mut WriteBatch) {
        let why = format!("too many requests wait for `{}`, or they carry too much", self.name());
        self.not_asked(topic, envelope, Instant::now(), (CallOutcome::Refused, code::RESOURCE_EXHAUSTED, &why));
        reply.error(code::RESOURCE_EXHAUSTED, &why, true, batch);
    }

    /// Ends a call that its caller has cancelled before a process got it: counts and logs it, and sends no result.
    pub(super) fn cancelled(&self, topic: &ModuleTopic, envelope: &Envelope<'_>, reply: ReplyTo, since: Instant) {
        let why = format!("the caller of `{}` gave up", topic.name());
        self.not_asked(topic, envelope, since, (CallOutcome::Cancelled, code::CANCELLED, &why));
        reply.discard();
    }

    /// Counts and logs a call that ended before a process got it: how it ended, with which code, and why. `since` is
    /// the time from which the log line counts. Its caller gets the result elsewhere.
    pub(super) fn not_asked(
        &self,
        topic: &ModuleTopic,
        envelope: &Envelope<'_>,
        since: Instant,
        (outcome, code, why): (CallOutcome, &str, &str),
    ) {
        topic.stats().refused(code);
        let release = self.release();
        self.call_log.failed(&CallRecord::to_module(release.source(), topic, envelope, since), outcome, code, why);
    }
}
