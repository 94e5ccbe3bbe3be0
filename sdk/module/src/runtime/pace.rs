//! How much the thread that reads answers before it writes. The more, the fewer system calls; but a host that runs on a
//! processor of its own could have read the first answers meanwhile. No amount is right for both, so it is found out: what was
//! written before the end of the input was worth it if the host has sent more until that end was reached.

use std::cell::LazyCell;
use std::thread::available_parallelism;

/// Whether, and when, to write before the end.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Answers of so many bytes are written before the end.
    early_bytes: usize,
    /// Some were, since the last end.
    early: bool,
    /// The ends since it was last tried with less.
    ends: u32,
    /// Whether another process can run while this one does: asked only when it matters, for a module is to start fast.
    parallel: LazyCell<bool>,
}

/// The least that is written before the end.
const LEAST_BYTES: usize = 2 * 1024;
/// Never more than this is kept: about as much as a socket takes.
const MOST_BYTES: usize = 128 * 1024;
/// Where it does not pay, it is tried again after so many ends.
const TRY_AFTER: u32 = 64;

impl Pace {
    pub(crate) fn new() -> Self {
        Self::with(|| available_parallelism().map_or(1, usize::from) > 1)
    }

    fn with(parallel: fn() -> bool) -> Self {
        Self { early_bytes: MOST_BYTES, early: false, ends: 0, parallel: LazyCell::new(parallel) }
    }

    /// Whether so many bytes are to be written now.
    pub(crate) fn is_due(&mut self, bytes: usize) -> bool {
        let due = bytes >= self.early_bytes;
        self.early |= due;
        due
    }

    /// The end of the input, after which `bytes` are written. Tells whether it is to be found out if the host has sent more.
    pub(crate) fn end(&mut self, bytes: usize) -> bool {
        if std::mem::take(&mut self.early) {
            return *self.parallel;
        }
        // With so little there is nothing to gain.
        if bytes > LEAST_BYTES && *self.parallel {
            self.ends += 1;
            if self.ends > TRY_AFTER {
                self.ends = 0;
                self.early_bytes = (bytes / 4).clamp(LEAST_BYTES, MOST_BYTES);
            }
        }
        false
    }

    /// It was found out.
    pub(crate) fn learn(&mut self, more: bool) {
        let bytes = if more { self.early_bytes / 2 } else { self.early_bytes.saturating_mul(4) };
        self.early_bytes = bytes.clamp(LEAST_BYTES, MOST_BYTES);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers an input of so many bytes, 100 at a time. Tells how often it was written before the end.
    fn answer(pace: &mut Pace, bytes: usize, host_is_quick: bool) -> usize {
        let (mut kept, mut writes) = (0, 0);
        for _ in 0..bytes / 100 {
            kept += 100;
            if pace.is_due(kept) {
                (kept, writes) = (0, writes + 1);
            }
        }
        if pace.end(kept) {
            pace.learn(host_is_quick);
        }
        writes
    }

    #[test]
    fn a_host_that_is_quick_gets_its_answers_early() {
        let mut pace = Pace::with(|| true);
        assert_eq!(answer(&mut pace, 20_000, true), 0);
        let writes: Vec<_> = (0..200).map(|_| answer(&mut pace, 20_000, true)).collect();
        assert!(writes.last() > Some(&5), "{writes:?}");
    }

    #[test]
    fn for_one_that_is_not_they_are_written_at_once() {
        let mut pace = Pace::with(|| true);
        let writes: usize = (0..1000).map(|_| answer(&mut pace, 20_000, false)).sum();
        assert!((10..100).contains(&writes), "it is tried now and then: {writes}");
        let writes = (0..200).map(|_| answer(&mut pace, 20_000, true)).last();
        assert!(writes > Some(5), "it may become quick");
    }

    #[test]
    fn nothing_is_tried_with_one_processor_or_a_single_answer() {
        let mut pace = Pace::with(|| false);
        assert_eq!((0..1000).map(|_| answer(&mut pace, 20_000, true)).sum::<usize>(), 0);
        let mut pace = Pace::with(|| true);
        assert_eq!((0..1000).map(|_| answer(&mut pace, 200, true)).sum::<usize>(), 0);
        assert_eq!(answer(&mut pace, 1_000_000, true), 7, "it doesn't keep everything");
    }
}
