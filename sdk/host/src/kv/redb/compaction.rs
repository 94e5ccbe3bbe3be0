//! Decides when to make the file smaller. redb only frees room at the end of the file, so that one key there keeps the
//! room of all keys that were deleted before it.
//!
//! Reads and writes wait while the file is compacted, which takes about as long as writing what is kept. So it is done
//! when there is enough to gain, and when nothing was written for a second, or a minute later at the latest.

use std::time::{Duration, Instant};

/// A file up to this size, in bytes, is not compacted.
const SMALL_BYTES: u64 = 8 * 1024 * 1024;
/// The pause in writes that is waited for before compaction.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// The longest time to wait for such a pause. Then the file is compacted between two writes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The time of the next compaction. The writer asks and tells it; it does nothing by itself.
pub(super) struct CompactionSchedule {
    /// The ratio of the file's size beyond 8 MiB to the stored bytes that the last compaction has reached, rounded up;
    /// at least 1, and 1 before the first. The file is expected not to get smaller than that.
    reached: u64,
    /// `None` if there is not enough to gain.
    waiting: Option<Waiting>,
}

/// A compaction that is due later.
struct Waiting {
    /// Since when there is enough to gain, or the last attempt was put off.
    since: Instant,
    /// When to compact: after [`QUIET`] without a write, or [`PATIENCE`] after `since`.
    due: Instant,
}

impl Default for CompactionSchedule {
    fn default() -> Self {
        Self { reached: 1, waiting: None }
    }
}

impl CompactionSchedule {
    /// To be called after each write, with the size of the file and the bytes that are stored in it. There is enough to
    /// gain if the file is larger than 8 MiB plus twice the stored bytes times the ratio that the last compaction has
    /// reached.
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

    /// To be called after a compaction, even if it has failed, with the size of the file and the bytes that are stored in it.
    pub(super) fn compacted(&mut self, file: u64, stored: u64) {
        self.reached = file.saturating_sub(SMALL_BYTES).div_ceil(stored.max(1)).max(1);
        self.waiting = None;
    }

    /// To be called if the file can't be compacted now: it is due again after another pause.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.waiting = Some(Waiting { since: now, due: now + QUIET });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn a_file_is_compacted_if_it_is_more_than_twice_as_large_as_what_is_stored() {
        let mut compaction = CompactionSchedule::default();
        let now = Instant::now();
        compaction.wrote(now, 28 * MIB, 10 * MIB);
        assert_eq!(compaction.due(), None);
        compaction.wrote(now, 28 * MIB + 1, 10 * MIB);
        assert_eq!(compaction.due(), Some(now + QUIET));
        // Each write puts it off, up to the limit.
        compaction.wrote(now + PATIENCE / 2, 29 * MIB, 10 * MIB);
        assert_eq!(compaction.due(), Some(now + PATIENCE / 2 + QUIET));
        compaction.wrote(now + PATIENCE, 29 * MIB, 10 * MIB);
        assert_eq!(compaction.due(), Some(now + PATIENCE));
        compaction.wrote(now + PATIENCE, 29 * MIB, 20 * MIB);
        assert_eq!(compaction.due(), None);
    }

    #[test]
    fn a_file_that_gets_no_smaller_is_not_compacted_again_and_again() {
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
