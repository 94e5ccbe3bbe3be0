//! Decides when to make the file smaller. redb only returns room at the end of the file, so that one key that is kept
//! there keeps the room of all that were deleted before it.
//!
//! Nobody can read or write while the file is compacted, which takes about as long as writing what is kept. So it is
//! done when there is enough to gain, and when nothing was written for a second.

use std::time::{Duration, Instant};

/// A file of this size, in bytes, is not compacted.
const SMALL_BYTES: u64 = 8 * 1024 * 1024;
/// How long nothing must have been written …
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// … unless that does not happen for this long.
const PATIENCE: Duration = Duration::from_secs(60);

/// When to compact the file next.
pub(super) struct CompactionSchedule {
    /// The ratio of file size to stored bytes that the last compaction reached: the file will not get smaller than
    /// that.
    reached: u64,
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    due: Instant,
}

impl Default for CompactionSchedule {
    fn default() -> Self {
        Self { reached: 1, waiting: None }
    }
}

impl CompactionSchedule {
    /// To be called after each write, with the size of the file and the number of stored bytes.
    pub(super) fn wrote(&mut self, now: Instant, file: u64, stored: u64) {
        let enough = SMALL_BYTES.saturating_add(stored.saturating_mul(2 * self.reached));
        self.waiting = (file > enough).then(|| {
            let since = self.waiting.as_ref().map_or(now, |waiting| waiting.since);
            Waiting { since, due: (now + QUIET).min(since + PATIENCE) }
        });
    }

    /// When to compact the file; `None` if there is not enough to gain.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.due)
    }

    /// To be called after an attempt, with the size of the file and the number of stored bytes.
    pub(super) fn compacted(&mut self, file: u64, stored: u64) {
        self.reached = file.saturating_sub(SMALL_BYTES).div_ceil(stored.max(1)).max(1);
        self.waiting = None;
    }

    /// To be called if the file could not be compacted now.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.waiting = Some(Waiting { since: now, due: now + QUIET });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn it_is_worth_it_when_the_file_has_more_than_twice_what_is_stored() {
        let mut compaction = CompactionSchedule::default();
        let now = Instant::now();
        compaction.wrote(now, 28 * MIB, 10 * MIB);
        assert_eq!(compaction.due(), None);
        compaction.wrote(now, 28 * MIB + 1, 10 * MIB);
        assert_eq!(compaction.due(), Some(now + QUIET));
        // Each write puts it off, but not for ever.
        compaction.wrote(now + PATIENCE / 2, 29 * MIB, 10 * MIB);
        assert_eq!(compaction.due(), Some(now + PATIENCE / 2 + QUIET));
        compaction.wrote(now + PATIENCE, 29 * MIB, 10 * MIB);
        assert_eq!(compaction.due(), Some(now + PATIENCE));
        compaction.wrote(now + PATIENCE, 29 * MIB, 20 * MIB);
        assert_eq!(compaction.due(), None);
    }

    #[test]
    fn what_gets_no_smaller_is_not_tried_again_and_again() {
        let mut compaction = CompactionSchedule::default();
        let now = Instant::now();
        // Small entries take more than twice their bytes.
        compaction.wrote(now, 100 * MIB, 20 * MIB);
        compaction.compacted(95 * MIB, 20 * MIB);
        compaction.wrote(now, 100 * MIB, 20 * MIB);
        assert_eq!(compaction.due(), None);
        compaction.wrote(now, 300 * MIB, 20 * MIB);
        assert!(compaction.due().is_some());
        compaction.compacted(100, 0);
        compaction.wrote(now, 9 * MIB, 0);
        assert!(compaction.due().is_some());
    }
}
