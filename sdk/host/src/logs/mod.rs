//! The log of a host: lines of modules, sent as frames or captured from their output, and the host's own. The last ones are
//! kept; whoever wants them follows. A follower that is too slow is told how many lines it has missed. For one that wants all of them
//! the output of modules waits, as with any pipe, but no longer than a second: nobody who does not read stops others.

mod format;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use ixt_protocol::LogLevel;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::timeout;

pub use format::Style;

/// So many lines are kept, and not more than so many bytes.
const KEPT_LINES: usize = 10_000;
const KEPT_BYTES: usize = 8 * 1024 * 1024;
/// How far one that wants all lines may be behind before the output of modules waits for it.
const MAX_BEHIND_LINES: u64 = KEPT_LINES as u64 / 2;
const MAX_BEHIND_BYTES: u64 = KEPT_BYTES as u64 / 2;
/// How long it waits. A follower that is still behind then is not waited for before it has caught up.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// When the host got it.
    #[serde(with = "format::rfc3339")]
    pub time: SystemTime,
    /// How much it matters.
    pub level: LogLevel,
    /// The process that it is from or about, `name:version/instance-NNN`; `host` for the host itself.
    pub module: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The trace of the message that was handled, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// What happened.
    pub message: String,
    /// More about it, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Box<RawValue>>,
}

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The host.
    Host,
    /// The module's own log.
    Module,
    /// What the process has written to stdout.
    Stdout,
    /// What the process has written to stderr.
    Stderr,
}

impl Record {
    /// A line of the host about this process, at this moment.
    pub(crate) fn new(module: &str, message: impl Into<String>) -> Self {
        Self {
            time: SystemTime::now(),
            level: LogLevel::Info,
            module: module.to_owned(),
            origin: Origin::Host,
            trace_id: String::new(),
            message: message.into(),
            fields: None,
        }
    }

    fn bytes(&self) -> usize {
        let fields = self.fields.as_ref().map_or(0, |fields| fields.get().len());
        size_of::<Self>() + self.module.len() + self.trace_id.len() + self.message.len() + fields
    }
}

/// The log of a host.
#[derive(Debug, Clone, Default)]
pub struct Logs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ring: Mutex<Ring>,
    /// There is a new line.
    grown: Notify,
    /// One who wants all lines has taken some.
    taken: Notify,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<Arc<Record>>,
    /// The number of the first of them.
    first: u64,
    bytes: usize,
    /// How much there ever was.
    written: u64,
    /// Those who want all lines.
    complete: Vec<Complete>,
    last_follower: u64,
    closed: bool,
    /// How many lines those who want all have missed.
    missed: u64,
}

/// One who wants all lines.
#[derive(Debug)]
struct Complete {
    id: u64,
    /// What it gets next.
    next: u64,
    /// How much it has got.
    taken: u64,
    /// It was waited for long enough.
    stands_still: bool,
}

impl Ring {
    fn end(&self) -> u64 {
        self.first + self.lines.len() as u64
    }

    fn has_fallen_behind(&self, follower: &Complete) -> bool {
        self.end() - follower.next > MAX_BEHIND_LINES || self.written - follower.taken > MAX_BEHIND_BYTES
    }

    /// Whether there is one to be waited for.
    fn is_behind(&self) -> bool {
        self.complete.iter().any(|follower| !follower.stands_still && self.has_fallen_behind(follower))
    }

    /// Nobody is waited for any more, until it has caught up.
    fn give_up(&mut self) {
        let behind: Vec<_> = self.complete.iter().map(|follower| self.has_fallen_behind(follower)).collect();
        for (follower, behind) in self.complete.iter_mut().zip(behind) {
            follower.stands_still |= behind;
        }
    }
}

impl Logs {
    /// Adds a line.
    pub(crate) fn write(&self, record: Record) {
        {
            let mut ring = self.lock();
            ring.bytes += record.bytes();
            ring.written += record.bytes() as u64;
            ring.lines.push_back(Arc::new(record));
            while ring.lines.len() > KEPT_LINES || ring.bytes > KEPT_BYTES {
                let Some(oldest) = ring.lines.pop_front() else { break };
                ring.bytes -= oldest.bytes();
                ring.first += 1;
            }
        }
        self.0.grown.notify_waiters();
    }

    /// A line of the host itself, about this process.
    pub(crate) fn host(&self, level: LogLevel, module: &str, message: impl Into<String>) {
        self.write(Record { level, ..Record::new(module, message) });
    }

    /// Waits until those who want all lines have most of them, or for as long as they are waited for.
    pub(crate) async fn room(&self) {
        if timeout(PATIENCE, self.caught_up()).await.is_err() {
            self.lock().give_up();
            self.0.taken.notify_waiters();
        }
    }

    async fn caught_up(&self) {
        loop {
            let taken = self.0.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            if !self.lock().is_behind() {
                return;
            }
            taken.await;
        }
    }

    /// Nothing is added any more: those who follow come to an end.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.0.grown.notify_waiters();
    }

    /// The lines from here on, and up to `last` of those before.
    #[must_use]
    pub fn follow(&self, last: usize) -> Follower {
        let ring = self.lock();
        let next = ring.end().saturating_sub(last as u64).max(ring.first);
        Follower { logs: self.clone(), next, complete: None }
    }

    /// All lines that there are, and from here on. The output of modules waits for it for a second, when it is far behind; then it is
    /// told how many lines it has missed, as others are.
    #[must_use]
    pub fn follow_all(&self) -> Follower {
        let mut ring = self.lock();
        ring.last_follower += 1;
        let (id, next) = (ring.last_follower, ring.first);
        let taken = ring.written - ring.bytes as u64;
        ring.complete.push(Complete { id, next, taken, stands_still: false });
        Follower { logs: self.clone(), next, complete: Some(id) }
    }

    /// How many lines those have missed who want all of them.
    pub(crate) fn missed(&self) -> u64 {
        self.lock().missed
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        // Nothing that can panic happens under this lock.
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who follows a log.
#[derive(Debug)]
pub struct Follower {
    logs: Logs,
    next: u64,
    complete: Option<u64>,
}

/// What a follower gets.
#[derive(Debug, Clone)]
pub enum Line {
    /// A line.
    Record(Arc<Record>),
    /// So many lines came faster than they were taken, and are gone.
    Missed(u64),
}

impl Line {
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Record(record) => record.bytes(),
            Self::Missed(_) => 0,
        }
    }
}

impl Follower {
    /// The next line that is there already.
    pub fn try_next(&mut self) -> Option<Line> {
        let mut ring = self.logs.lock();
        let line = if self.next < ring.first {
            let missed = ring.first - self.next;
            self.next = ring.first;
            Line::Missed(missed)
        } else {
            let index = usize::try_from(self.next - ring.first).ok()?;
            let record = Arc::clone(ring.lines.get(index)?);
            self.next += 1;
            Line::Record(record)
        };
        if let Some(complete) = self.complete {
            if let Line::Missed(missed) = line {
                ring.missed += missed;
            }
            let was_behind = ring.is_behind();
            // What was missed is as good as taken.
            let missed_to = ring.written - ring.bytes as u64;
            if let Some(follower) = ring.complete.iter_mut().find(|follower| follower.id == complete) {
                follower.next = self.next;
                match &line {
                    Line::Record(record) => follower.taken += record.bytes() as u64,
                    Line::Missed(_) => follower.taken = missed_to,
                }
            }
            let caught_up: Vec<_> = ring.complete.iter().map(|follower| !ring.has_fallen_behind(follower)).collect();
            for (follower, caught_up) in ring.complete.iter_mut().zip(caught_up) {
                follower.stands_still &= !caught_up;
            }
            if was_behind && !ring.is_behind() {
                drop(ring);
                self.logs.0.taken.notify_waiters();
            }
        }
        Some(line)
    }

    /// The next line; `None` when the host has ended. Cancel-safe.
    pub async fn next(&mut self) -> Option<Line> {
        let logs = self.logs.clone();
        loop {
            let grown = logs.0.grown.notified();
            tokio::pin!(grown);
            grown.as_mut().enable();
            if let Some(line) = self.try_next() {
                return Some(line);
            }
            if logs.lock().closed {
                return None;
            }
            grown.await;
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        if let Some(complete) = self.complete {
            self.logs.lock().complete.retain(|follower| follower.id != complete);
            self.logs.0.taken.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn message(line: Option<Line>) -> String {
        match line {
            Some(Line::Record(record)) => record.message.clone(),
            Some(Line::Missed(missed)) => format!("missed {missed}"),
            None => "end".to_owned(),
        }
    }

    #[tokio::test]
    async fn a_follower_that_is_too_slow_is_told_what_it_has_missed() {
        let logs = Logs::default();
        let mut follower = logs.follow(0);
        for number in 0..KEPT_LINES + 3 {
            logs.host(LogLevel::Info, "m", number.to_string());
        }
        assert_eq!(message(follower.next().await), "missed 3");
        assert_eq!(message(follower.next().await), "3");
        logs.close();
        let mut last = logs.follow(1);
        assert_eq!(message(last.next().await), (KEPT_LINES + 2).to_string());
        assert_eq!(message(last.next().await), "end");
    }

    #[tokio::test]
    async fn the_output_of_modules_waits_for_one_who_wants_all_lines() {
        let logs = Logs::default();
        let mut all = logs.follow_all();
        for _ in 0..=MAX_BEHIND_LINES {
            logs.room().await;
            logs.host(LogLevel::Info, "m", "line");
        }
        let waits = tokio::spawn({
            let logs = logs.clone();
            async move { logs.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        all.next().await;
        waits.await.unwrap();
        logs.host(LogLevel::Info, "m", "line");
        drop(all);
        logs.room().await;
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_one_that_stands_still_before_it_has_caught_up() {
        let logs = Logs::default();
        let mut all = logs.follow_all();
        let write = async |lines: usize| {
            let start = Instant::now();
            for _ in 0..lines {
                logs.room().await;
                logs.host(LogLevel::Info, "m", "line");
            }
            start.elapsed()
        };
        assert_eq!(write(2 * KEPT_LINES).await, PATIENCE, "once");
        // One that takes a line now and then does not hold up the others either.
        assert_eq!(message(all.try_next()), format!("missed {KEPT_LINES}"));
        assert_eq!(logs.missed(), KEPT_LINES as u64);
        for _ in 0..10 {
            assert_eq!(message(all.try_next()), "line");
            assert_eq!(write(1).await, Duration::ZERO);
        }
        while all.try_next().is_some() {}
        // It has caught up: it is waited for again.
        assert_eq!(write(2 * KEPT_LINES).await, PATIENCE);
    }
}
