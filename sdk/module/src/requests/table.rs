//! The requests that have no reply yet, by key. Plain data behind the lock of [`Requests`](super::Requests).

use async_task::Task;
use slab::Slab;
use tokio::time::Instant;

use super::priority_queue::PriorityQueue;
use super::stats::Stats;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::reply::Reply;
use crate::request::{Request, TopicKind};

/// The entries, the queue of those that wait for a permit, and the statistics.
pub(super) struct RequestTable {
    last_number: u64,
    entries: Slab<Entry>,
    /// The keys of the entries in [`EntryStage::Queued`].
    pub(super) queue: PriorityQueue<Key>,
    /// For when a call of `expire` is planned; `None` if none is. That is the earliest deadline, or up to
    /// [`EXPIRE_INTERVAL`](super::EXPIRE_INTERVAL) later. It stays if the request with that deadline ends before.
    pub(super) next_expiry: Option<Instant>,
    pub(super) stats: Stats,
}

/// The key of an entry. Not the host's id, since a host may send none, or the same one twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Counts all requests, from 1. Never used again.
    number: u64,
    /// The index of the entry in the slab. Used again after the entry was taken out.
    slot: usize,
}

impl Key {
    /// The number of the request, from 1.
    pub(super) fn number(self) -> u64 {
        self.number
    }
}

/// A request without a reply.
pub(super) struct Entry {
    number: u64,
    /// The host's id. `None` if the host has sent none.
    pub(super) id: Option<u64>,
    /// The context of a service call or an event. `None` for `init` and health checks.
    pub(super) handled: Option<(TopicKind, Context)>,
    /// How far it has come. [`EntryStage::Starting`] also stands in for a stage that was taken out of an entry that ends.
    pub(super) stage: EntryStage,
    /// Sends the reply. `None`: the reply is sent as a `success` or `error` frame.
    pub(super) respond: Option<Respond>,
}

/// Sends the reply to `init`, whether its handler, a `cancel` or the shutdown has ended it.
pub(super) type Respond = Box<dyn FnOnce(Result<Reply>) + Send>;

/// How far a request has come: see the diagram in [`requests`](super).
pub(super) enum EntryStage {
    /// Boxed, so that the entry of a request that begins at once is small.
    Queued(Box<Request>),
    /// The executor has it, as an [`ActiveRequest`](super::active::ActiveRequest) whose first poll runs or is scheduled.
    Starting,
    /// It was pending after its first poll, and is a task. Dropping this cancels the task.
    Running(Task<(), Option<Key>>),
}

impl RequestTable {
    pub(super) fn new(stats: Stats) -> Self {
        Self { last_number: 0, entries: Slab::new(), queue: PriorityQueue::default(), next_expiry: None, stats }
    }

    /// Makes an entry in the stage Starting, which is not yet in the table. `handled` is `None` for `init` and health checks.
    pub(super) fn entry(&mut self, id: Option<u64>, handled: Option<(TopicKind, Context)>) -> Entry {
        self.last_number += 1;
        Entry { number: self.last_number, id, handled, stage: EntryStage::Starting, respond: None }
    }

    /// Puts an entry into the table, but not into the queue.
    pub(super) fn insert(&mut self, entry: Entry) -> Key {
        let number = entry.number;
        Key { number, slot: self.entries.insert(entry) }
    }

    /// The entry with this key; `None` if it was taken out.
    pub(super) fn get(&mut self, key: Key) -> Option<&mut Entry> {
        self.entries.get_mut(key.slot).filter(|entry| entry.number == key.number)
    }

    /// The key of an entry for which `which` is true; `None` if there is none. Looks at all entries.
    pub(super) fn find(&self, which: impl Fn(&Entry) -> bool) -> Option<Key> {
        let found = self.entries.iter().find(|(_, entry)| which(entry));
        found.map(|(slot, entry)| Key { number: entry.number, slot })
    }

    /// Takes an entry out, also out of the queue. The caller has to send the reply. `None` if it was taken out before: it has a reply.
    pub(super) fn take(&mut self, key: Key) -> Option<Entry> {
        let entry = self.take_popped(key)?;
        if let (EntryStage::Queued(..), Some((_, context))) = (&entry.stage, &entry.handled) {
            self.queue.remove(context.priority(), key);
        }
        Some(entry)
    }

    /// Takes out an entry that is not in the queue any more, as [`take`](Self::take) does.
    pub(super) fn take_popped(&mut self, key: Key) -> Option<Entry> {
        self.get(key)?;
        self.entries.try_remove(key.slot)
    }

    /// Takes out all entries for which `which` is true, as [`take`](Self::take) does. They come in no certain order.
    pub(super) fn take_where(&mut self, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let found = self.entries.iter().filter(|(_, entry)| which(entry));
        let keys: Vec<_> = found.map(|(slot, entry)| Key { number: entry.number, slot }).collect();
        keys.into_iter().filter_map(|key| self.take(key)).collect()
    }

    /// Plans a call of `expire` at this deadline, unless one is planned earlier. Returns the deadline if it is now the earliest: the caller
    /// has to pass it to `Clock::wake_at`, without the lock. `None` if not, or if `deadline` is `None`.
    pub(super) fn plan_expiry(&mut self, deadline: Option<Instant>) -> Option<Instant> {
        let earlier = deadline.filter(|deadline| self.next_expiry.is_none_or(|planned| *deadline < planned));
        self.next_expiry = earlier.or(self.next_expiry);
        earlier
    }

    /// The earliest deadline; `None` if no entry has one.
    pub(super) fn first_deadline(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|(_, entry)| entry.deadline()).min()
    }

    /// Counts a request that has ended, in the statistics of its topic. Does nothing for `init` and health checks.
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

    /// The deadline; `None` if there is none, and for `init` and health checks.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.handled.as_ref().and_then(|(_, context)| context.deadline())
    }
}
