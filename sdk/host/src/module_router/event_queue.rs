//! The events that wait for a module. Each is sent to one of the module's processes, and each process has a limited
//! number at once. A durable event that was lost with its process waits again. A slow module does not hold up
//! publishers or other modules: events for which there is no room are dropped, counted and logged.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ixt_protocol::LogLevel;
use tokio::time::Instant;

use super::ModuleRouter;
use super::calls::Picked;
use crate::budget::Reservation;
use crate::bus::{CallResult, Envelope, ReplyTo, WriteBatch};
use crate::connection::{Connection, HostRequest};
use crate::lock::lock;
use crate::topic::ModuleTopic;

/// The maximum number of events that wait for a module, besides those that its processes have. When there are as many,
/// a new event is dropped. Events that come back from a process are kept even then.
pub(super) const MAX_EVENTS: usize = 1024;
/// The maximum number of events that a concurrent process has at once. A sequential one has at most one, also if that
/// is in its queue. Further events wait in the module's queue.
pub(super) const EVENTS_AT_ONCE: usize = 64;

/// The queue of one module.
#[derive(Default)]
pub(super) struct EventQueue {
    /// The events that no process has, in the order in which they are sent. An event that no process takes now is
    /// passed over.
    waiting: VecDeque<QueuedEvent>,
    /// The number of events that were dropped since the host started, or were not durable and lost with their process.
    /// An event that has ended with an error, such as one of its handler or `DEADLINE_EXCEEDED`, is not among them.
    pub(super) dropped: u64,
    /// The value of `dropped` when [`ModuleRouter::take_event`] last logged it; 0 before that.
    logged: u64,
    /// Whether a thread is in [`ModuleRouter::pump`].
    is_pumping: bool,
    /// Whether `pump` was called meanwhile: that thread goes through the queue once more before it returns.
    is_pump_due: bool,
    /// Whether a task waits until the process that is to get the next event has read more of what it was sent.
    waits_for_room: bool,
}

/// An event in the queue, or a copy of a durable one that a process has.
struct QueuedEvent {
    topic: Arc<ModuleTopic>,
    /// The event, with the deadline until which it has to be handled.
    envelope: Envelope<'static>,
    /// The memory that the event takes while it waits, and, if it is durable, until it was handled.
    _memory: Reservation,
}

/// What [`ModuleRouter::pump`] does next.
enum NextEvent {
    /// Sends this event, which is no longer in the queue, to this process.
    Send(Arc<Connection>, QueuedEvent),
    /// Ends. No process takes any of the topics now, or the process that is next has its limit of events or too much to
    /// read. The event is not offered to another process; the next `pump` picks anew.
    Wait,
}

impl EventQueue {
    /// The number of events that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl ModuleRouter {
    /// Takes an event from the bus. Queues it, with the call timeout for waiting and handling together; or drops it, if
    /// [`MAX_EVENTS`] wait, the memory of the module or of the host is used up, or each replica has stopped or failed,
    /// or there is none. Then sends what can be sent. Does not wait.
    pub(super) fn take_event(&self, topic: &Arc<ModuleTopic>, envelope: &Envelope<'_>, batch: &mut WriteBatch) {
        let is_gone = self.replicas().iter().all(|replica| replica.state().is_final());
        let complaint = {
            let mut queue = lock(&self.events);
            let is_full = queue.waiting.len() >= MAX_EVENTS;
            let memory = if is_gone || is_full { None } else { self.waiting.take(envelope.bytes()) };
            if let Some(memory) = memory {
                // The publisher does not wait for the handling: a deadline or a cause from the bus is ignored.
                let deadline = Instant::now().checked_add(self.call_timeout);
                let envelope = Envelope { deadline, cause: None, ..envelope.borrowed().into_owned() };
                queue.waiting.push_back(QueuedEvent { topic: Arc::clone(topic), envelope, _memory: memory });
                None
            } else {
                queue.dropped += 1;
                // The first event that is dropped is logged, then the 10th, the 100th and so on.
                let is_logged = queue.dropped >= (queue.logged * 10).max(1);
                is_logged.then(|| {
                    queue.logged = queue.dropped;
                    let (topic, dropped) = (topic.name(), queue.dropped);
                    let why = if is_gone { "does not run" } else { "takes its events too slowly" };
                    format!("{why}: `{topic}` was dropped (events dropped so far: {dropped})")
                })
            }
        };
        if let Some(complaint) = complaint {
            self.logs.host(LogLevel::Warn, self.release().source(), complaint);
        }
        self.pump(batch);
    }

    /// Puts an event that was not sent to a process back to the front of the queue, even if the queue or its memory is
    /// full. It keeps its deadline. The caller has to [`pump`](Self::pump) then.
    pub(super) fn put_back(&self, topic: Arc<ModuleTopic>, envelope: Envelope<'static>) {
        let memory = self.waiting.overdraw(envelope.bytes());
        lock(&self.events).waiting.push_front(QueuedEvent { topic, envelope, _memory: memory });
    }

    /// Drops the queued events for whose topic `is_dropped` returns true, counts them, and logs their number in one
    /// line; none if there are no such events. `why` is the reason, for the log.
    pub(super) fn drop_events(&self, why: &str, is_dropped: impl Fn(&str) -> bool) {
        let dropped = {
            let mut queue = lock(&self.events);
            let before = queue.waiting.len();
            queue.waiting.retain(|event| !is_dropped(event.topic.name()));
            let dropped = before - queue.waiting.len();
            queue.dropped += dropped as u64;
            dropped
        };
        if dropped > 0 {
            let message = format!("{dropped} events that waited for it are dropped: {why}");
            self.logs.host(LogLevel::Warn, self.release().source(), message);
        }
    }

    /// Sends queued events for as long as a process takes one. If another call of this is under way, perhaps further up
    /// in the same call stack, this returns at once, and the other call goes through the queue once more.
    pub(super) fn pump(&self, batch: &mut WriteBatch) {
        {
            let mut queue = lock(&self.events);
            queue.is_pump_due = true;
            if std::mem::replace(&mut queue.is_pumping, true) {
                return;
            }
        }
        loop {
            lock(&self.events).is_pump_due = false;
            while let NextEvent::Send(connection, event) = self.next_event() {
                self.send_event(&connection, event, batch);
            }
            let mut queue = lock(&self.events);
            if !queue.is_pump_due {
                queue.is_pumping = false;
                return;
            }
        }
    }

    /// Removes the first event in the queue whose topic a ready process takes, for the process with the fewest
    /// requests. That one has to have room: if it has its limit of events, [`pump`](Self::pump) is called when one of
    /// them has ended; if it has too much to read, a task calls that when it has read enough. Until then the result is
    /// [`NextEvent::Wait`].
    fn next_event(&self) -> NextEvent {
        let mut queue = lock(&self.events);
        // An event that no process takes keeps its place, and does not hold up events of other topics.
        let mut not_taken: Vec<&str> = Vec::new();
        let mut found = None;
        for (index, event) in queue.waiting.iter().enumerate() {
            let topic = event.topic.name();
            if not_taken.contains(&topic) {
                continue;
            }
            if let Picked::Ready { connection, .. } = self.pick(topic, None) {
                found = Some((index, connection));
                break;
            }
            not_taken.push(topic);
        }
        let Some((index, connection)) = found else { return NextEvent::Wait };
        let limit = if connection.is_sequential() { 1 } else { EVENTS_AT_ONCE };
        if connection.events().load(Ordering::Relaxed) >= limit {
            return NextEvent::Wait;
        }
        if !connection.has_room() {
            if !std::mem::replace(&mut queue.waits_for_room, true) {
                let this = self.this.clone();
                tokio::spawn(async move {
                    connection.room().await;
                    let Some(this) = this.upgrade() else { return };
                    lock(&this.events).waits_for_room = false;
                    this.pump(&mut WriteBatch::new());
                });
            }
            return NextEvent::Wait;
        }
        queue.waiting.remove(index).map_or(NextEvent::Wait, |event| NextEvent::Send(connection, event))
    }

    /// Sends an event to a process. If that takes no more requests, the event goes back to the front of the queue.
    fn send_event(&self, connection: &Arc<Connection>, event: QueuedEvent, batch: &mut WriteBatch) {
        let topic = Arc::clone(&event.topic);
        // A copy of a durable event is kept until the event was handled.
        let (envelope, kept) =
            if topic.is_retried() { (event.envelope.clone(), Some(event)) } else { (event.envelope, None) };
        // The count belongs to this connection: that of the next process begins at 0.
        let events = Arc::clone(connection.events());
        events.fetch_add(1, Ordering::Relaxed);
        let reply = self.event_reply(Arc::clone(&topic), Arc::clone(&envelope.trace_id), kept, events);
        if let Err(back) = connection.send_message(HostRequest::Event, envelope, &topic, reply, Instant::now(), batch) {
            let (envelope, reply) = *back;
            // The process has stopped since it was picked: another one, or the next one, gets the event.
            connection.events().fetch_sub(1, Ordering::Relaxed);
            reply.discard();
            self.put_back(topic, envelope.into_owned());
        }
    }

    /// The `ReplyTo` of an event. When the event has ended in any way, it lowers `events`, the number of events that
    /// the process has, and sends the next ones. If the event is lost, `kept` goes back to the front of the queue,
    /// however often that happens; of several that a process has lost, and that no other one takes at once, the newest
    /// is then the first. Without `kept` the event counts as dropped.
    fn event_reply(
        &self,
        topic: Arc<ModuleTopic>,
        trace_id: Arc<str>,
        kept: Option<QueuedEvent>,
        events: Arc<std::sync::atomic::AtomicUsize>,
    ) -> ReplyTo {
        let (this, is_kept) = (self.this.clone(), kept.is_some());
        let callback = move |result: CallResult<'_>, batch: &mut WriteBatch| {
            events.fetch_sub(1, Ordering::Relaxed);
            let Some(this) = this.upgrade() else { return };
            if let CallResult::Lost { reason, .. } = result {
                let is_sent_again = kept.is_some();
                {
                    let mut queue = lock(&this.events);
                    match kept {
                        Some(event) => queue.waiting.push_front(event),
                        None => queue.dropped += 1,
                    }
                }
                if is_sent_again {
                    let name = topic.name();
                    this.warn(&trace_id, format!("the event `{name}` is durable and will be sent again: {reason}"));
                }
            }
            this.pump(batch);
        };
        if is_kept { ReplyTo::retrying(callback) } else { ReplyTo::new(callback) }
    }
}
