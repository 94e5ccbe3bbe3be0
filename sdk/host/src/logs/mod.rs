//! The log of a host: lines that modules send as log frames, their captured output, and the host's own lines. The
//! latest lines are kept in memory, with a share for each module; followers read them. In place of lines that were
//! dropped before a follower has read them, it gets a record with their number. If a follower of all lines falls
//! behind, processes that write to stdout or stderr wait for it, but for a second at most: a reader that stands still
//! does not stop the modules. Nothing is written to a file or a terminal here; a program that embeds a host does that
//! with a [`Follower`].
//!
//! `line_reader` and `process_output` capture the output of processes, `captured_line` finds the level in a line,
//! `rate_limit` limits the number of lines of one kind, `rate_limited` writes such lines about a process, `ring` keeps the
//! lines, `format` shows them.

mod captured_line;
mod format;
mod line_reader;
mod process_output;
mod rate_limit;
mod rate_limited;
mod ring;

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use ixt_protocol::LogLevel;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::lock::lock;

pub(crate) use captured_line::{CapturedLine, level_named};
pub use format::Style;
pub(crate) use format::rfc3339;
pub(crate) use line_reader::{LineReader, MAX_LINE_BYTES};
pub(crate) use process_output::ProcessOutput;
pub(crate) use rate_limit::RateLimit;
pub(crate) use rate_limited::RateLimitedLog;
use ring::{FollowerPosition, Ring};

/// The largest number of lines that are kept. Beyond it, or beyond [`KEPT_BYTES`], the oldest line of the largest share is
/// dropped.
const KEPT_LINES: usize = 10_000;
/// The memory of the lines that are kept, in bytes: see [`Record::bytes`].
const KEPT_BYTES: usize = 8 * 1024 * 1024;
/// The number of lines that a follower of all lines may be behind. Beyond it, or beyond [`MAX_BEHIND_BYTES`], captured output
/// waits.
const MAX_BEHIND_LINES: u64 = KEPT_LINES as u64 / 2;
/// The bytes of lines that a follower of all lines may be behind.
const MAX_BEHIND_BYTES: u64 = KEPT_BYTES as u64 / 2;
/// The longest time that captured output waits for a follower. If the follower is still behind then, output does not wait for
/// it again until it has caught up.
const PATIENCE: Duration = Duration::from_secs(1);

/// A line of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// When the host received the line. A record in place of dropped lines has the time of the next line that was kept.
    #[serde(with = "format::rfc3339")]
    pub time: SystemTime,
    /// The level. Of a captured line it is the one that was found in it, otherwise info.
    pub level: LogLevel,
    /// What the line is from or about: a process (`name:version/instance-NNN`), a module (`name` or `name:version`), or
    /// `host`.
    pub module: String,
    /// Where the line comes from.
    pub origin: Origin,
    /// The trace id of the request during which the line was logged, at most 256 bytes if a module has written it.
    /// Empty if it is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
    /// The text; it may contain any character, but a captured line comes without its line end. A module's message is cut after 64
    /// KiB, and then ends with `… (N bytes)`, its whole length. If a module's fields were too long, it says that at the end.
    pub message: String,
    /// Which piece of a captured line over 64 KiB this is. Such a line is split into several records, in order; other
    /// records may come between them. `None`: a whole line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// A JSON object with more facts, as text that may have line ends. `None` if there are none, or if those of a module were over
    /// 64 KiB. A record in place of dropped lines has their number as `missed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<Box<RawValue>>,
}

/// Where a line comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The host itself.
    Host,
    /// The module itself: a `log` frame, or the call `logging.log`.
    Module,
    /// Captured from the process's stdout.
    Stdout,
    /// Captured from the process's stderr.
    Stderr,
}

/// A piece of a line that is too long for one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// The first piece.
    First,
    /// A piece between the first and the last.
    Middle,
    /// The last piece.
    Last,
}

impl Record {
    /// A line of the host about `module`, with the level info and the current time.
    pub(crate) fn new(module: &str, message: impl Into<String>) -> Self {
        Self {
            time: SystemTime::now(),
            level: LogLevel::Info,
            module: module.to_owned(),
            origin: Origin::Host,
            trace_id: String::new(),
            message: message.into(),
            part: None,
            fields: None,
        }
    }

    /// About how many bytes of memory the record takes, for [`KEPT_BYTES`].
    pub(crate) fn bytes(&self) -> usize {
        let fields = self.fields.as_ref().map_or(0, |fields| fields.get().len());
        size_of::<Self>() + self.module.len() + self.trace_id.len() + self.message.len() + fields
    }
}

/// The text; if it has more than `max` bytes, its first `max` bytes or up to 3 fewer (it is cut between characters),
/// followed by `… (N bytes)` with its whole length, so that the result may be longer than `max`.
pub(crate) fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return text.into();
    }
    let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    format!("{}… ({} bytes)", &text[..end], text.len()).into()
}

/// The log of a host. Clones are handles of the same log; the default is a new log without lines. Any thread may write and read.
#[derive(Debug, Clone, Default)]
pub struct Logs(Arc<LogState>);

/// What the handles of a log share.
#[derive(Debug, Default)]
struct LogState {
    ring: Mutex<Ring>,
    /// Notified when a line was added, or the log was closed.
    grown: Notify,
    /// Notified when captured output that has waited for a follower may go on.
    taken: Notify,
}

impl Logs {
    /// Adds a line. Never waits: if there is no room, the largest share loses its oldest lines.
    pub(crate) fn write(&self, record: Record) {
        self.lock().write(record);
        self.0.grown.notify_waiters();
    }

    /// Adds a line of the host itself, with the current time, and without a trace id or fields. Never waits. `module` is what it
    /// is about: a process (`name:version/instance-NNN`), a module, or `host`.
    pub fn host(&self, level: LogLevel, module: &str, message: impl Into<String>) {
        self.write(Record { level, ..Record::new(module, message) });
    }

    /// Waits until no follower of all lines is far behind, for a second at most; after that, it does not wait again for
    /// the followers that are behind until they have caught up. To be called before captured output is added.
    pub(crate) async fn room(&self) {
        if timeout(PATIENCE, self.caught_up()).await.is_err() {
            self.lock().give_up();
            self.0.taken.notify_waiters();
        }
    }

    /// Waits, without a limit, until output need not wait for any follower.
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

    /// Ends the log: followers get the lines that are kept, and then `None`. Called when the host has ended.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.0.grown.notify_waiters();
    }

    /// Follows the log, without making any process wait. The follower first returns the last `last` of the kept lines (0: none of
    /// them), and then each new line. If `last` is at least the number of kept lines, it also returns records with the number of
    /// lines that were dropped before.
    #[must_use]
    pub fn follow(&self, last: usize) -> Follower {
        let position = self.lock().position(last);
        Follower { logs: self.clone(), position }
    }

    /// Follows the log from the oldest kept line on, for a reader that wants all lines. If this follower is more than 5,000 lines
    /// or 4 MiB behind, half of what is kept, processes that write to stdout or stderr wait for it, for up to a second. If it is
    /// still behind then, they do not wait for it again until it has caught up; like any other follower it may miss lines, and
    /// gets records with their number.
    #[must_use]
    pub fn follow_all(&self) -> Follower {
        let position = self.lock().complete_position();
        Follower { logs: self.clone(), position }
    }

    /// How many lines all followers of all lines together have missed.
    pub(crate) fn missed(&self) -> u64 {
        self.lock().missed
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        lock(&self.0.ring)
    }
}

/// Reads the log. In place of lines that were dropped before they were read, it returns a record of the host, a warning, that says
/// how many these were, and of which module. That record comes before the next line that was kept of that module's own lines, or
/// of the host's lines about it.
#[derive(Debug)]
pub struct Follower {
    logs: Logs,
    position: FollowerPosition,
}

impl Follower {
    /// The next line, or `None` if there is none now, also at the end of the log. Never waits.
    pub fn try_next(&mut self) -> Option<Arc<Record>> {
        let (record, caught_up) = self.logs.lock().take(&mut self.position)?;
        if caught_up {
            self.logs.0.taken.notify_waiters();
        }
        Some(record)
    }

    /// Waits for the next line. `None` when the host has ended and all kept lines were read. Cancel-safe: no line is lost.
    pub async fn next(&mut self) -> Option<Arc<Record>> {
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
        let others_waited = self.logs.lock().leave(&self.position);
        if others_waited {
            self.logs.0.taken.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    fn message(line: Option<Arc<Record>>) -> String {
        line.map_or_else(|| "end".to_owned(), |line| line.message.clone())
    }

    /// The message in place of dropped lines of the host about a module.
    fn missed(lines: usize) -> String {
        format!("{lines} lines of the host about it before this were dropped: they came too fast to be kept")
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(shortened("\u{e4}\u{e4}", 4), "\u{e4}\u{e4}");
        assert_eq!(shortened("\u{e4}\u{e4}", 3), "\u{e4}… (4 bytes)");
        assert_eq!(shortened("", 0), "");
    }

    #[tokio::test]
    async fn a_follower_that_is_too_slow_is_told_what_it_has_missed() {
        let logs = Logs::default();
        let mut follower = logs.follow(0);
        for number in 0..KEPT_LINES + 3 {
            logs.host(LogLevel::Info, "m", number.to_string());
        }
        let told = follower.next().await.unwrap();
        assert_eq!((&told.message, told.level, told.module.as_str()), (&missed(3), LogLevel::Warn, "m"));
        assert_eq!(told.fields.as_ref().unwrap().get(), r#"{"missed":3}"#);
        assert_eq!(message(follower.next().await), "3");
        logs.close();
        let mut last = logs.follow(1);
        assert_eq!(message(last.next().await), (KEPT_LINES + 2).to_string());
        assert_eq!(message(last.next().await), "end");
    }

    #[test]
    fn a_flood_of_one_wipes_nobody_elses_lines_and_what_was_dropped_is_told_where_it_was() {
        let logs = Logs::default();
        let says = |module: &str, message: &str| {
            logs.write(Record { origin: Origin::Stderr, ..Record::new(module, message) });
        };
        let slow = logs.follow(0);
        logs.host(LogLevel::Info, "quiet:1.0.0/instance-001", "is ready");
        logs.host(LogLevel::Info, "loud:1.0.0/instance-001", "is ready too");
        says("quiet:1.0.0/instance-001", "first");
        for number in 0..3 * KEPT_LINES {
            says("loud:1.0.0/instance-001", &number.to_string());
            if number == KEPT_LINES {
                says("quiet:1.0.0/instance-002", "second");
            }
        }
        says("quiet:1.0.0/instance-001", "third");
        // `KEPT_LINES` lines are kept. Five of them are not of the flood: four about and of `quiet`, one of the host about
        // `loud`.
        let dropped = 2 * KEPT_LINES + 5;
        let expected = [
            "is ready".to_owned(),
            "is ready too".to_owned(),
            "first".to_owned(),
            "second".to_owned(),
            format!("{dropped} lines that it wrote before this were dropped: they came too fast to be kept"),
            dropped.to_string(),
        ];
        for mut follower in [logs.follow(usize::MAX), logs.follow_all(), slow] {
            let lines: Vec<_> = std::iter::from_fn(|| follower.try_next()).collect();
            assert_eq!(lines.len(), KEPT_LINES + 1);
            assert_eq!(lines[..6].iter().map(|line| line.message.clone()).collect::<Vec<_>>(), expected);
            assert_eq!((lines[4].module.as_str(), lines[4].time), ("loud", lines[5].time));
            assert_eq!(message(lines.last().cloned()), "third");
        }
        // A follower of the last lines has missed nothing.
        let mut last = logs.follow(2);
        assert_eq!(message(last.try_next()), (3 * KEPT_LINES - 1).to_string());
        // The size of lines counts too.
        for _ in 0..KEPT_BYTES / 1024 {
            says("large:1.0.0/instance-001", &"x".repeat(1024));
        }
        let mut all = logs.follow(usize::MAX);
        let quiet = std::iter::from_fn(|| all.try_next()).filter(|line| line.module.starts_with("quiet")).count();
        assert_eq!(quiet, 4);
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
        // A follower that reads a line now and then does not hold up the others either.
        assert_eq!(message(all.try_next()), missed(KEPT_LINES));
        assert_eq!(logs.missed(), KEPT_LINES as u64);
        for _ in 0..10 {
            assert_eq!(message(all.try_next()), "line");
            assert_eq!(write(1).await, Duration::ZERO);
        }
        while all.try_next().is_some() {}
        // It has caught up, so output is held up for it again.
        assert_eq!(write(2 * KEPT_LINES).await, PATIENCE);
    }
}
