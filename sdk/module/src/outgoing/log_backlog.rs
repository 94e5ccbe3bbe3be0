//! Log lines that wait while the host reads too slowly.

use std::collections::VecDeque;

/// The most that is kept. Beyond it the oldest lines are dropped.
pub(super) const MAX_BACKLOG_BYTES: usize = 1024 * 1024;

/// Encoded `log` frames, the oldest first.
#[derive(Debug, Default)]
pub(super) struct LogBacklog {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    dropped: u64,
}

impl LogBacklog {
    /// Adds a line, and drops the oldest ones if there are too many.
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

    /// Takes all lines, and the number of those that were dropped before them.
    pub(super) fn take(&mut self) -> (u64, VecDeque<Vec<u8>>) {
        let Self { lines, dropped, .. } = std::mem::take(self);
        (dropped, lines)
    }
}
