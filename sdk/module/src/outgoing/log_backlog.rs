//! The log lines that the module logs while the socket is full. Other frames are queued without this limit.

use std::collections::VecDeque;

/// The limit of the backlog, in bytes of encoded frames. Beyond it the oldest lines are dropped.
pub(super) const MAX_BACKLOG_BYTES: usize = 1024 * 1024;

/// Encoded `log` frames, the oldest first.
#[derive(Debug, Default)]
pub(super) struct LogBacklog {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    /// The number of lines that were dropped since the last `take`.
    dropped: u64,
}

impl LogBacklog {
    /// Adds a line. Drops the oldest lines while there are more than 1 MiB; also the new one, if it alone is larger.
    pub(super) fn push(&mut self, line: Vec<u8>) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > MAX_BACKLOG_BYTES
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len();
            self.dropped += 1;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Empties the backlog. Returns the number of lines that were dropped since the last time, and the lines after them.
    pub(super) fn take(&mut self) -> (u64, VecDeque<Vec<u8>>) {
        let Self { lines, dropped, .. } = std::mem::take(self);
        (dropped, lines)
    }
}
