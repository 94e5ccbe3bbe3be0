//! How requests end: the module replies, their deadline passes, their caller cancels, or the connection closes.

use std::sync::{Arc, Weak};

use ixt_protocol::{ErrorBody, Frame, HostFrame, code};
use tokio::time::Instant;

use super::request_table::{Abandoned, Delivery, InFlight};
use super::send_buffer::FrameClass;
use super::{Connection, HostRequest, Undelivered};
use crate::bus::{CallResult, Cancel, ReplyTo, WriteBatch};
use crate::call_log::CallOutcome;
use crate::lock::lock;
use crate::topic::RequestInfo;

impl Connection {
    /// Ends the request with this id, since its reply has come, and sends the next one of the queue. Without an id it is the current
    /// request of a sequential module. False if there is no such request; true also for one whose caller has stopped waiting. If no more
    /// calls and events are taken, a retryable `UNAVAILABLE` ends the request as lost.
    pub(super) fn complete(self: &Arc<Self>, id: Option<u64>, result: CallResult<'_>, batch: &mut WriteBatch) -> bool {
        let (done, next, is_drained) = {
            let mut requests = lock(&self.requests);
            let (done, next) = requests.complete(id);
            (done, next, requests.is_drained())
        };
        if let Some((id, request)) = next {
            self.send(id, &request, Instant::now(), false, batch);
        }
        if is_drained {
            self.drained.notify_waiters();
        }
        let Some(done) = done else { return false };
        match result {
            // The module shuts down, and has not begun with this request: another process may handle it.
            CallResult::Error(error)
                if error.retryable && error.code == code::UNAVAILABLE && lock(&self.requests).is_closed() =>
            {
                let reason = format!("{}: {}", self.id, error.message);
                self.finish(done, CallOutcome::Refused, CallResult::lost(&reason), batch);
            }
            result => self.finish(done, CallOutcome::Answered, result, batch),
        }
        true
    }

    /// Ends every request as lost, for this reason, and cancels the module's own calls that have an id. From then on nothing is sent or
    /// read. Does nothing more if called again. Does not end the process.
    pub(crate) fn close(&self, reason: &str) {
        let requests = lock(&self.requests).close();
        let was_alone = requests.len() == 1;
        let mut batch = WriteBatch::new();
        for in_flight in requests {
            let reason = match &in_flight.call {
                Some(call) => format!("{} ended while it handled `{}`: {reason}", self.id, call.topic.name()),
                None => format!("{} ended: {reason}", self.id),
            };
            self.finish(in_flight, CallOutcome::Lost, CallResult::Lost { reason: &reason, was_alone }, &mut batch);
        }
        let own_calls = lock(&self.own_calls).take_all();
        for (_, handle) in own_calls {
            handle.cancel(&mut batch);
        }
        drop(batch);
        self.drained.notify_waiters();
        self.send_buffer.close();
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }

    /// Takes no more calls and events, and returns those that are queued here, in the order of the queue, for another process; none for a
    /// concurrent module. A queued request of the host itself is lost. The module goes on with the requests that it has.
    #[must_use]
    pub(crate) fn stop(&self) -> Vec<Undelivered> {
        let queued = lock(&self.requests).stop();
        self.notify_if_drained();
        let not_asked = queued.into_iter().filter_map(|(request, InFlight { reply, call, .. })| {
            let (reply, call) = (reply?, call.map(|call| call.topic));
            match (request, call) {
                (HostRequest::Handle(envelope), Some(topic)) => Some(Undelivered::Call { envelope, topic, reply }),
                (HostRequest::Event(envelope), Some(topic)) => Some(Undelivered::Event { envelope, topic, reply }),
                _ => {
                    reply.send(CallResult::lost("it takes nothing any more"), &mut WriteBatch::none());
                    None
                }
            }
        });
        not_asked.collect()
    }

    /// Waits until no caller waits for a request of this module; the module may still have requests that were given up.
    /// To be called after [`stop`](Self::stop). Cancel-safe.
    pub(crate) async fn drained(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // From here on no notification is missed.
            drained.as_mut().enable();
            if lock(&self.requests).waited_for() == 0 {
                return;
            }
            drained.await;
        }
    }

    fn notify_if_drained(&self) {
        if lock(&self.requests).is_drained() {
            self.drained.notify_waiters();
        }
    }

    /// Ends the requests whose deadline has passed, and makes abandoned ones overdue. Returns when to call this again; `None`: not before
    /// there is another request.
    fn expire(self: &Arc<Self>) -> Option<Instant> {
        let (now, mut batch) = (Instant::now(), WriteBatch::new());
        let (expired, next_deadline) = lock(&self.requests).expired(now);
        for id in expired {
            let why = |topic: &str| format!("the time for `{topic}` is over, and {} has not answered", self.id);
            let abandoned = self.abandon(id, CallOutcome::Timeout, code::DEADLINE_EXCEEDED, why, &mut batch);
            if let Some((reply, message)) = abandoned {
                reply.error(code::DEADLINE_EXCEEDED, &message, true, &mut batch);
            }
        }
        let next_overdue = lock(&self.requests).drop_overdue(now);
        next_deadline.into_iter().chain(next_overdue).min()
    }

    /// Records that the caller of a request has stopped waiting. A concurrent module that has the request gets `cancel`; of a sequential
    /// one that has it, the own calls with an id are cancelled and answered with `CANCELLED`. A queued request is removed. Returns the
    /// caller's [`ReplyTo`] and the error's message; `None` if the caller has its result already. `code` is the error's code.
    fn abandon(
        &self,
        id: u64,
        outcome: CallOutcome,
        code: &str,
        why: impl FnOnce(&str) -> String,
        batch: &mut WriteBatch,
    ) -> Option<(ReplyTo, String)> {
        let Abandoned { reply, started, call, delivery } = lock(&self.requests).abandon(id, Instant::now())?;
        self.notify_if_drained();
        let why = why(call.as_ref().map_or("the request", |call| call.topic.name()));
        if let Some(call) = &call {
            self.ended(call, started, outcome, &CallResult::Error(ErrorBody::new(code, &*why, true)), &reply);
        }
        match delivery {
            Delivery::NotSent => {}
            Delivery::Concurrent => {
                // If the module does not read what it is sent, the frame is dropped.
                let cancel = Frame { id: Some(id), body: HostFrame::Cancel };
                let _ = self.send_buffer.put(FrameClass::HostRequest, &cancel, batch);
            }
            // A sequential module takes no `cancel`. Its own calls are cancelled, so that it does not wait for them.
            Delivery::Sequential => {
                let own_calls = lock(&self.own_calls).take_all();
                for (id, handle) in own_calls {
                    handle.cancel(batch);
                    let error = ErrorBody::new(code::CANCELLED, "nobody waits for what this call was made for", false);
                    self.respond(Some(id), Err(error), batch);
                }
            }
        }
        Some((reply, why))
    }

    /// Sends a request's result to its caller, and counts, traces and logs it. Does nothing if the request was abandoned.
    fn finish(&self, done: InFlight, outcome: CallOutcome, result: CallResult<'_>, batch: &mut WriteBatch) {
        // The caller of an abandoned request has had its result.
        let Some(reply) = done.reply else { return };
        if let Some(call) = &done.call {
            self.ended(call, done.started, outcome, &result, &reply);
        }
        reply.send(result, batch);
    }

    /// Counts, traces and logs a call whose caller gets its result or has cancelled it.
    fn ended(
        &self,
        call: &RequestInfo,
        started: Instant,
        outcome: CallOutcome,
        result: &CallResult<'_>,
        reply: &ReplyTo,
    ) {
        call.topic.stats().finished(started.elapsed(), result.code());
        self.spans.finished(call, started, result);
        self.log(call, started, outcome, result, reply);
    }

    /// Logs the end of a call, unless it is lost and `reply` was made to try it again: then the code that does so logs
    /// it.
    pub(super) fn log(
        &self,
        call: &RequestInfo,
        started: Instant,
        outcome: CallOutcome,
        result: &CallResult<'_>,
        reply: &ReplyTo,
    ) {
        if !matches!(result, CallResult::Lost { .. }) || !reply.retries() {
            self.call_log.ended(call, started, outcome, result);
        }
    }
}

impl Cancel for Connection {
    fn cancel(&self, number: u64, batch: &mut WriteBatch) {
        let why = |topic: &str| format!("the caller of `{topic}` gave up");
        if let Some((reply, _)) = self.abandon(number, CallOutcome::Cancelled, code::CANCELLED, why, batch) {
            reply.discard();
            // The module still has to reply. The timer makes the request overdue if it does not.
            self.sooner_deadline.notify_one();
        }
    }
}

/// The task of a connection that ends requests when their deadlines pass. It holds the connection while it waits, so
/// [`Connection::close`] has to abort it.
pub(super) async fn run_timer(connection: Weak<Connection>) {
    let mut next = None;
    loop {
        let Some(connection) = connection.upgrade() else { return };
        let sooner = connection.sooner_deadline.notified();
        match next {
            Some(next) => drop(tokio::time::timeout_at(next, sooner).await),
            None => sooner.await,
        }
        next = connection.expire();
    }
}
