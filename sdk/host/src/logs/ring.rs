//! Keeps the latest lines. Each module has a share, and the host's lines about that module have another one. When there is no
//! room, the largest share loses its oldest line. So a module that floods the log displaces only its own lines, once its share
//! is the largest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use foldhash::HashMap;
use ixt_protocol::LogLevel;
use serde_json::value::to_raw_value;

use super::{KEPT_BYTES, KEPT_LINES, MAX_BEHIND_BYTES, MAX_BEHIND_LINES, Origin, Record};

/// The kept lines, and the positions of the followers that want all lines. `Logs` locks it for each use; nothing here
/// waits.
#[derive(Debug, Default)]
pub(super) struct Ring {
    /// The kept lines by their numbers, which count up in the order in which lines are written.
    lines: BTreeMap<u64, KeptRecord>,
    /// The memory of the kept lines.
    bytes: usize,
    /// Two for each module that a line was about: its own lines, and the host's lines about it. They are never removed.
    shares: Vec<Share>,
    /// The index of a module's share in `shares`, by the module's name. The share for the host's lines about the module comes
    /// after it.
    by_module: HashMap<String, usize>,
    /// The number of the next line.
    next: u64,
    /// The memory of all lines that were ever written, in bytes.
    written: u64,
    /// The followers of all lines.
    complete: Vec<CompleteFollower>,
    /// The id of the last of these; 0 before the first.
    last_follower: u64,
    /// Whether the log has ended, so that followers do not wait for more.
    pub(super) closed: bool,
    /// How many lines all followers of all lines together have missed.
    pub(super) missed: u64,
}

/// A kept line.
#[derive(Debug)]
struct KeptRecord {
    record: Arc<Record>,
    /// The index of its share in `shares`.
    share: usize,
    /// How many lines were written to its share before it.
    index: u64,
    /// How many bytes were written before it.
    before: u64,
}

/// The lines of a module, or of the host about a module.
#[derive(Debug)]
struct Share {
    /// The name of the module, or `host`.
    module: String,
    /// Whether these are the host's lines about the module.
    is_host: bool,
    /// The numbers of the kept lines of this share, in their order.
    numbers: VecDeque<u64>,
    /// The memory of these lines.
    bytes: usize,
    /// How many lines were ever written to this share.
    written: u64,
}

impl Share {
    /// The index (see [`KeptRecord::index`]) of the first line of this share with this number or a higher one.
    fn index_at(&self, number: u64) -> u64 {
        let before = self.numbers.partition_point(|other| *other < number);
        self.written - (self.numbers.len() - before) as u64
    }

    /// The record that a follower gets in place of dropped lines; `next` is the line after them.
    fn missed(&self, missed: u64, next: &Record) -> Record {
        let what = if self.is_host { "lines of the host about it" } else { "lines that it wrote" };
        Record {
            time: next.time,
            level: LogLevel::Warn,
            fields: to_raw_value(&serde_json::json!({ "missed": missed })).ok(),
            ..Record::new(
                &self.module,
                format!("{missed} {what} before this were dropped: they came too fast to be kept"),
            )
        }
    }
}

/// The progress of a follower of all lines.
#[derive(Debug)]
struct CompleteFollower {
    id: u64,
    /// The number of its next line.
    next: u64,
    /// How many of all bytes ever written it has read or missed.
    taken: u64,
    /// Whether output has waited for it in vain. Then output does not wait for it until it has caught up.
    stands_still: bool,
}

/// How far a follower has read.
#[derive(Debug)]
pub(super) struct FollowerPosition {
    /// The number of its next line.
    next: u64,
    /// For each share, the index of the next line that it expects. If the next line has a higher index, lines were dropped.
    seen: Vec<u64>,
    /// Its id among the followers of all lines; `None` if it is another one.
    complete: Option<u64>,
}

impl Ring {
    /// Adds a line, and drops the oldest of the largest share until all fit; that may be this line.
    pub(super) fn write(&mut self, record: Record) {
        let share = self.share_of(&record);
        let bytes = record.bytes();
        let (number, index, before) = (self.next, self.shares[share].written, self.written);
        self.next += 1;
        self.bytes += bytes;
        self.written += bytes as u64;
        let of = &mut self.shares[share];
        of.numbers.push_back(number);
        of.bytes += bytes;
        of.written += 1;
        self.lines.insert(number, KeptRecord { record: Arc::new(record), share, index, before });
        while self.lines.len() > KEPT_LINES || self.bytes > KEPT_BYTES {
            self.drop_one();
        }
    }

    /// The index of the record's share in `shares`, which is made if it does not exist.
    fn share_of(&mut self, record: &Record) -> usize {
        let name = record.module.split(':').next().unwrap_or_default();
        let is_host = record.origin == Origin::Host;
        let own = self.by_module.get(name).copied().unwrap_or_else(|| {
            let own = self.shares.len();
            self.shares.extend([false, true].map(|is_host| Share {
                module: name.to_owned(),
                is_host,
                numbers: VecDeque::new(),
                bytes: 0,
                written: 0,
            }));
            self.by_module.insert(name.to_owned(), own);
            own
        });
        own + usize::from(is_host)
    }

    /// Drops the oldest line of the share that has the most lines, or, if there are not too many lines, the most bytes.
    fn drop_one(&mut self) {
        let too_many = self.lines.len() > KEPT_LINES;
        let size = |share: &&mut Share| if too_many { share.numbers.len() } else { share.bytes };
        let Some(share) = self.shares.iter_mut().max_by_key(size) else { return };
        if let Some(oldest) = share.numbers.pop_front().and_then(|number| self.lines.remove(&number)) {
            share.bytes -= oldest.record.bytes();
            self.bytes -= oldest.record.bytes();
        }
    }

    /// The position of a new follower before the last `last` of the kept lines. If that is all of them, it is before the first
    /// line ever, so that the follower gets records for what was dropped.
    pub(super) fn position(&self, last: usize) -> FollowerPosition {
        if last >= self.lines.len() {
            return FollowerPosition { next: 0, seen: Vec::new(), complete: None };
        }
        let first = last.checked_sub(1).and_then(|last| self.lines.keys().rev().nth(last).copied());
        let next = first.unwrap_or(self.next);
        FollowerPosition { next, seen: self.shares.iter().map(|share| share.index_at(next)).collect(), complete: None }
    }

    /// Adds a follower of all lines, for which output waits, and returns its position.
    pub(super) fn complete_position(&mut self) -> FollowerPosition {
        self.last_follower += 1;
        let (next, first) =
            self.lines.first_key_value().map_or((self.next, self.written), |(next, kept)| (*next, kept.before));
        self.complete.push(CompleteFollower { id: self.last_follower, next, taken: first, stands_still: false });
        FollowerPosition { complete: Some(self.last_follower), ..self.position(usize::MAX) }
    }

    /// The next line for a follower, or the record in place of lines that were dropped; `None` if there is no further line. Also
    /// returns whether output that was waiting may go on.
    pub(super) fn take(&mut self, position: &mut FollowerPosition) -> Option<(Arc<Record>, bool)> {
        let (number, kept) = self.lines.range(position.next..).next()?;
        if position.seen.len() < self.shares.len() {
            position.seen.resize(self.shares.len(), 0);
        }
        let seen = &mut position.seen[kept.share];
        let missed = kept.index.saturating_sub(*seen);
        let (record, taken) = if missed > 0 {
            *seen = kept.index;
            position.next = *number;
            if position.complete.is_some() {
                self.missed += missed;
            }
            (Arc::new(self.shares[kept.share].missed(missed, &kept.record)), kept.before)
        } else {
            *seen = kept.index + 1;
            position.next = *number + 1;
            (Arc::clone(&kept.record), kept.before + kept.record.bytes() as u64)
        };
        Some((record, position.complete.is_some_and(|id| self.caught_up(id, position.next, taken))))
    }

    /// Notes the progress of a follower of all lines. Returns whether output that was waiting may go on.
    fn caught_up(&mut self, id: u64, next: u64, taken: u64) -> bool {
        let was_behind = self.is_behind();
        if let Some(follower) = self.complete.iter_mut().find(|follower| follower.id == id) {
            (follower.next, follower.taken) = (next, taken);
        }
        let caught_up: Vec<_> = self.complete.iter().map(|follower| !self.has_fallen_behind(follower)).collect();
        for (follower, caught_up) in self.complete.iter_mut().zip(caught_up) {
            follower.stands_still &= !caught_up;
        }
        was_behind && !self.is_behind()
    }

    fn has_fallen_behind(&self, follower: &CompleteFollower) -> bool {
        self.next - follower.next > MAX_BEHIND_LINES || self.written - follower.taken > MAX_BEHIND_BYTES
    }

    /// Whether output has to wait for a follower.
    pub(super) fn is_behind(&self) -> bool {
        self.complete.iter().any(|follower| !follower.stands_still && self.has_fallen_behind(follower))
    }

    /// Lets output go on although followers are behind. It does not wait for these until they have caught up.
    pub(super) fn give_up(&mut self) {
        let behind: Vec<_> = self.complete.iter().map(|follower| self.has_fallen_behind(follower)).collect();
        for (follower, behind) in self.complete.iter_mut().zip(behind) {
            follower.stands_still |= behind;
        }
    }

    /// Removes a follower, when it is dropped. Returns whether it was one of all lines, for which output may have
    /// waited.
    pub(super) fn leave(&mut self, position: &FollowerPosition) -> bool {
        let Some(id) = position.complete else { return false };
        self.complete.retain(|follower| follower.id != id);
        true
    }
}
