//! The requests that have no reply yet, by key. Plain data: whoever uses it holds the lock of [`Requests`](super::Requests).

use async_task::Task;
use slab::Slab;
use tokio::time::Instant;

use super::priority_queue::PriorityQueue;
use super::stats::Stats;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Request, TopicKind};

pub(super) struct RequestTable {
    last_number: u64,
    entries: Slab<Entry>,
    pub(super) queue: PriorityQueue<Key>,
    /// When `expire` has to be called: at the earliest deadline, or a moment later.
    pub(super) next_expiry: Option<Instant>,
    pub(super) stats: Stats,
}

/// The name of an entry. Not the host's id, since a plain host may send none, or the same one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Grows from one request to the next.
    number: u64,
    /// Where the entry is kept. Slots are used again, numbers are not.
    slot: usize,
}

impl Key {
    pub(super) fn number(self) -> u64 {
        self.number
    }
}

/// A request without a reply.
pub(super) struct Entry {
    number: u64,
    /// The host's id.
    pub(super) id: Option<u64>,
    /// For a service call or an event. `None` for `init` and health checks.
    pub(super) handled: Option<(TopicKind, Context)>,
    pub(super) stage: Stage,
    /// Sends the reply. `None`: as a `success` or `error` frame.
    pub(super) respond: Option<Respond>,
}

/// Sends the reply of `init`, whoever has ended it.
pub(super) type Respond = Box<dyn FnOnce(Result<Reply>) + Send>;

/// How far a request has come: see the diagram in [`requests`](super).
pub(super) enum Stage {
    /// Boxed, so that the entry of a request that begins at once is small.
    Queued(Box<Request>),
    /// The executor has it, as an [`ActiveRequest`](super::active::ActiveRequest) that is polled for the first time, or will be.
    Starting,
    /// It has returned `Pending` and is a task. Dropped, the task is cancelled.
    Running(Task<(), Option<Key>>),
}

impl RequestTable {
    pub(super) fn new(stats: Stats) -> Self {
        Self { last_number: 0, entries: Slab::new(), queue: PriorityQueue::default(), next_expiry: None, stats }
    }

    /// Makes an entry, which is not yet in the table.
    pub(super) fn entry(&mut self, id: Option<u64>, handled: Option<(TopicKind, Context)>) -> Entry {
        self.last_number += 1;
        Entry { number: self.last_number, id, handled, stage: Stage::Starting, respond: None }
    }

    pub(super) fn insert(&mut self, entry: Entry) -> Key {
        let number = entry.number;
        Key { number, slot: self.entries.insert(entry) }
    }

    pub(super) fn get(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(key.slot).filter(|entry| entry.number == key.number)
    }

    pub(super) fn find(&self, which: impl Fn(&Entry) -> bool) -> Option<Key> {
        let found = self.entries.iter().find(|(_, entry)| which(entry));
        found.map(|(slot, entry)| Key { number: entry.number, slot })
    }

    /// Takes an entry out. Whoever takes it owes the reply.
    pub(super) fn take(&mut self, key: Key) -> Option<Entry> {
        let entry = self.take_popped(key)?;
        if let (Stage::Queued(..), Some((_, context))) = (&entry.stage, &entry.handled) {
            self.queue.remove(context.priority(), key);
        }
        Some(entry)
    }

    /// Takes an entry out that is not in the queue any more.
    pub(super) fn take_popped(&mut self, key: Key) -> Option<Entry> {
        self.get(key)?;
        self.entries.try_remove(key.slot)
    }

    pub(super) fn take_where(&mut self, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let found = self.entries.iter().filter(|(_, entry)| which(entry));
        let keys: Vec<_> = found.map(|(slot, entry)| Key { number: entry.number, slot }).collect();
        keys.into_iter().filter_map(|key| self.take(key)).collect()
    }

    /// Makes sure that deadlines are looked at when this one is over. Returns it if that is earlier than was planned.
    pub(super) fn plan_expiry(&mut self, deadline: Option<Instant>) -> Option<Instant> {
        let earlier = deadline.filter(|deadline| self.next_expiry.is_none_or(|planned| *deadline < planned));
        self.next_expiry = earlier.or(self.next_expiry);
        earlier
    }

    /// The earliest deadline.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|(_, entry)| entry.deadline()).min()
    }

    /// Counts a request that has ended.
    pub(super) fn record(&mut self, entry: &Entry, reply: &Result<Reply>, now: Instant) {
        if let Some((kind, context)) = &entry.handled {
            let error = reply.as_ref().err().map(Error::code);
            self.stats.record(*kind, context.topic(), error, now.saturating_duration_since(context.received()));
        }
    }
}

impl Entry {
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.handled.as_ref().and_then(|(_, context)| context.deadline())
    }
}
