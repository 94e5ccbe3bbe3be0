//! The events that wait for a module. Each is given to one of its processes, so many at once; one that is slow holds up nobody,
//! and loses those that come when too many wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ixt_protocol::LogLevel;
use tokio::time::Instant;

use super::{Managed, Picked};
use crate::budget::Taken;
use crate::bus::{CallResult, Envelope, ReplyTo, WriteBatch};
use crate::connection::{Connection, Request};
use crate::lock::lock;

/// So many events wait for a module; more are dropped.
pub(super) const MAX_EVENTS: usize = 1024;
/// So many events a process has at once.
pub(super) const EVENTS_AT_ONCE: usize = 64;

#[derive(Default)]
pub(super) struct EventQueue {
    waiting: VecDeque<Waiting>,
    pub(super) dropped: u64,
    /// How many of those were told.
    told: u64,
    /// Somebody gives out events, and is to look again when done.
    pumping: bool,
    again: bool,
    /// Somebody waits until the module has read what it was sent.
    waits_for_room: bool,
}

/// An event that waits, or is kept to be given once more, and what it takes.
struct Waiting {
    message: Envelope<'static>,
    _held: Taken,
}

impl EventQueue {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

impl Managed {
    pub(super) fn take_event(&self, message: &Envelope<'_>, batch: &mut WriteBatch) {
        let is_gone = self.replicas().iter().all(|replica| replica.state().is_final());
        let complaint = {
            let mut queue = lock(&self.queue);
            let held =
                if is_gone || queue.waiting.len() >= MAX_EVENTS { None } else { self.waiting.take(message.bytes()) };
            if let Some(held) = held {
                // Its publisher does not wait for its handling, whatever a bus says.
                let deadline = Instant::now().checked_add(self.call_timeout);
                let message = Envelope { deadline, cause: None, ..message.borrowed().into_owned() };
                queue.waiting.push_back(Waiting { message, _held: held });
                None
            } else {
                queue.dropped += 1;
                // The first is told at once, and then ever fewer of them.
                let told = queue.dropped >= (queue.told * 10).max(1);
                told.then(|| {
                    queue.told = queue.dropped;
                    let (topic, dropped) = (&message.topic, queue.dropped);
                    let why = if is_gone { "does not run" } else { "takes its events too slowly" };
                    format!("{why}: `{topic}` was dropped, as were {dropped} events so far")
                })
            }
        };
        if let Some(complaint) = complaint {
            self.logs.host(LogLevel::Warn, self.release().source(), complaint);
        }
        self.pump(batch);
    }

    /// An event that a process was to get, and has not been asked for.
    pub(super) fn put_back(&self, message: Envelope<'static>) {
        let held = self.waiting.overdraw(message.bytes());
        let mut queue = lock(&self.queue);
        queue.waiting.push_front(Waiting { message, _held: held });
    }

    /// Drops the events of these topics that wait, and tells it.
    pub(super) fn drop_events(&self, why: &str, of: impl Fn(&str) -> bool) {
        let dropped = {
            let mut queue = lock(&self.queue);
            let before = queue.waiting.len();
            queue.waiting.retain(|event| !of(&event.message.topic));
            let dropped = before - queue.waiting.len();
            queue.dropped += dropped as u64;
            dropped
        };
        if dropped > 0 {
            let message = format!("{dropped} events that waited for it are dropped: {why}");
            self.logs.host(LogLevel::Warn, self.release().source(), message);
        }
    }

    /// Gives out events as long as there is somebody who takes them. Whoever answers one may be within this: then the one who
    /// is at it looks again.
    pub(super) fn pump(&self, batch: &mut WriteBatch) {
        {
            let mut queue = lock(&self.queue);
            queue.again = true;
            if std::mem::replace(&mut queue.pumping, true) {
                return;
            }
        }
        loop {
            lock(&self.queue).again = false;
            while self.give_one(batch) {}
            let mut queue = lock(&self.queue);
            if !queue.again {
                queue.pumping = false;
                return;
            }
        }
    }

    /// False if there is no event that somebody takes now.
    fn give_one(&self, batch: &mut WriteBatch) -> bool {
        let (connection, event) = {
            let mut queue = lock(&self.queue);
            // One that nobody takes now keeps its place, and does not hold up those of other topics.
            let mut taken_by_none: Vec<&str> = Vec::new();
            let mut found = None;
            for (index, event) in queue.waiting.iter().enumerate() {
                let topic = &*event.message.topic;
                if taken_by_none.contains(&topic) {
                    continue;
                }
                if let Picked::Ready(connection) = self.pick(topic, None) {
                    found = Some((index, connection));
                    break;
                }
                taken_by_none.push(topic);
            }
            let Some((index, connection)) = found else { return false };
            let most = if connection.is_sequential() { 1 } else { EVENTS_AT_ONCE };
            if connection.events().load(Ordering::Relaxed) >= most {
                return false;
            }
            if !connection.has_room() {
                if !std::mem::replace(&mut queue.waits_for_room, true) {
                    let this = self.this.clone();
                    tokio::spawn(async move {
                        connection.room().await;
                        let Some(this) = this.upgrade() else { return };
                        lock(&this.queue).waits_for_room = false;
                        this.pump(&mut WriteBatch::new());
                    });
                }
                return false;
            }
            let Some(event) = queue.waiting.remove(index) else { return false };
            (connection, event)
        };
        self.give(&connection, event, batch);
        true
    }

    fn give(&self, connection: &Arc<Connection>, event: Waiting, batch: &mut WriteBatch) {
        let Some(topic) = lock(&self.topics).event(&event.message.topic).map(Arc::clone) else { return };
        let (message, kept) = if topic.again() { (event.message.clone(), Some(event)) } else { (event.message, None) };
        let (this, is_kept) = (self.this.clone(), kept.is_some());
        let (name, trace_id) = (topic.name().to_owned(), Arc::clone(&message.trace_id));
        // Those of a process that is being replaced don't count for the next one.
        let events = Arc::clone(connection.events());
        events.fetch_add(1, Ordering::Relaxed);
        let answered = move |answer: CallResult<'_>, batch: &mut WriteBatch| {
            events.fetch_sub(1, Ordering::Relaxed);
            let Some(this) = this.upgrade() else { return };
            let again = {
                let mut queue = lock(&this.queue);
                match (answer, kept) {
                    (CallResult::Lost { reason, .. }, Some(event)) => {
                        // It was first, so it is again.
                        queue.waiting.push_front(event);
                        Some(format!("the event `{name}` is durable and will be sent again: {reason}"))
                    }
                    (CallResult::Lost { .. }, None) => {
                        queue.dropped += 1;
                        None
                    }
                    _ => None,
                }
            };
            if let Some(again) = again {
                this.warn(&trace_id, again);
            }
            this.pump(batch);
        };
        let reply = if is_kept { ReplyTo::retrying(answered) } else { ReplyTo::new(answered) };
        if let Err(back) = connection.send_message(Request::Event, message, &topic, reply, Instant::now(), batch) {
            let (message, reply) = *back;
            // In this moment it was told to end: another one, or the next, will get it.
            connection.events().fetch_sub(1, Ordering::Relaxed);
            reply.discard();
            self.put_back(message.into_owned());
        }
    }
}
