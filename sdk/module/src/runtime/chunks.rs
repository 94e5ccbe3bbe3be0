//! Bytes on their way out, in pieces that needn't be copied into one; and what large pieces were in, to be used again.

use std::collections::VecDeque;

/// Bytes in several pieces, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    /// Those before the last, and whether they are to be used again.
    front: Vec<(Vec<u8>, bool)>,
    /// To which small frames are appended.
    pub(crate) last: Vec<u8>,
}

impl Chunks {
    pub(crate) fn len(&self) -> usize {
        self.front.iter().map(|(chunk, _)| chunk.len()).sum::<usize>() + self.last.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.last.is_empty()
    }

    /// Appends a piece that is not copied, and perhaps is to be used again.
    pub(crate) fn push(&mut self, chunk: Vec<u8>, again: bool) {
        let pieces = [(std::mem::take(&mut self.last), false), (chunk, again)];
        self.front.extend(pieces.into_iter().filter(|(chunk, _)| !chunk.is_empty()));
    }

    /// The pieces from this byte on.
    pub(crate) fn slices(&self, mut from: usize) -> impl Iterator<Item = &[u8]> {
        self.front.iter().map(|(chunk, _)| chunk).chain([&self.last]).filter_map(move |chunk| {
            let skip = from.min(chunk.len());
            from -= skip;
            Some(&chunk[skip..]).filter(|rest| !rest.is_empty())
        })
    }

    /// Empties it, and gives the pieces that are to be used again.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.last.clear();
        self.front.drain(..).filter_map(|(chunk, again)| again.then_some(chunk))
    }
}

/// What large pieces were in: the system takes longer to give so much memory anew than it takes to fill it.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// The one that was used last, and may still be in the processor's cache, is the last.
    buffers: VecDeque<Vec<u8>>,
    /// Their capacities together.
    bytes: usize,
    /// How often there was nothing to do since the last of them was asked for.
    unused: u32,
    /// One was asked for, since they were given back. Otherwise none is kept.
    in_use: bool,
}

/// So much is kept,
const SPARE_BYTES: usize = 4 * 1024 * 1024;
/// for so many times at which there was nothing to do.
const SPARE_TIMES: u32 = 64;

impl Spare {
    /// An empty buffer with room for so many bytes.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        (self.in_use, self.unused) = (true, 0);
        let fits = self.buffers.iter().rposition(|buffer| buffer.capacity() >= bytes);
        let Some(buffer) = fits.and_then(|at| self.buffers.remove(at)) else { return Vec::with_capacity(bytes) };
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Keeps it in place of older ones.
    pub(crate) fn keep(&mut self, mut buffer: Vec<u8>) {
        if !self.in_use || buffer.capacity() > SPARE_BYTES {
            return;
        }
        buffer.clear();
        self.bytes += buffer.capacity();
        self.buffers.push_back(buffer);
        while self.bytes > SPARE_BYTES
            && let Some(oldest) = self.buffers.pop_front()
        {
            self.bytes -= oldest.capacity();
        }
    }

    /// There is nothing to do at the moment.
    pub(crate) fn rest(&mut self) {
        self.unused = self.unused.saturating_add(1);
        if self.unused == SPARE_TIMES {
            self.release();
        }
    }

    /// Gives back what is kept.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }

    /// Whether there is something to give back, or will be when it is written.
    pub(crate) fn is_in_use(&self) -> bool {
        self.in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_that_was_used_last_and_has_room_is_used_again() {
        let mut spare = Spare::default();
        let kept = [100_000, 300_000, 200_000].map(|bytes| {
            let buffer = spare.take(bytes);
            assert!(buffer.is_empty() && buffer.capacity() >= bytes);
            buffer
        });
        let places = kept.each_ref().map(Vec::as_ptr);
        for mut buffer in kept {
            buffer.push(1);
            spare.keep(buffer);
        }
        for (bytes, place) in [(150_000, places[2]), (150_000, places[1]), (50_000, places[0])] {
            let again = spare.take(bytes);
            assert_eq!((again.as_ptr(), again.len()), (place, 0));
            assert_eq!(spare.bytes, spare.buffers.iter().map(Vec::capacity).sum::<usize>());
        }
        assert!(spare.buffers.is_empty());
    }

    #[test]
    fn no_more_is_kept_than_may_be_and_not_for_ever() {
        let mut spare = Spare::default();
        spare.keep(Vec::with_capacity(1000));
        assert!(spare.buffers.is_empty(), "nobody has asked for it");

        let large = spare.take(SPARE_BYTES + 1);
        spare.keep(large);
        assert!(spare.buffers.is_empty() && spare.is_in_use());
        for _ in 0..10 {
            spare.keep(Vec::with_capacity(SPARE_BYTES / 4));
        }
        assert_eq!((spare.buffers.len(), spare.bytes), (4, SPARE_BYTES));

        let buffer = spare.take(1);
        spare.keep(buffer);
        for _ in 1..SPARE_TIMES {
            spare.rest();
            assert!(spare.is_in_use());
        }
        spare.rest();
        assert!(spare.buffers.is_empty() && spare.bytes == 0 && !spare.is_in_use());

        // What comes back late is not kept.
        let late = spare.take(1000);
        spare.release();
        spare.keep(late);
        assert!(spare.buffers.is_empty());
    }
}
