//! Keeps large buffers for the next large frames. Fresh memory is slow: its page faults, one for each 4 KiB, take longer than encoding
//! the frame. Without the pool, calls of 64 KiB take 60 % longer when several are in flight (tests/bench/README.md).

use std::collections::VecDeque;

/// The buffers that are kept. The pool is empty before the first `take`, and after a [`release`](Self::release).
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    /// The buffer that was used last is at the end, and is taken first: it may still be in the processor's cache.
    buffers: VecDeque<Vec<u8>>,
    /// The sum of their capacities.
    bytes: usize,
    /// The number of calls of `age` since the last `take`.
    unused: u32,
    /// Whether `take` was called since the last `release`. Otherwise `put` frees the buffer.
    in_use: bool,
}

/// The limit of the sum of capacities, in bytes. Beyond it the buffers that were used least recently are freed.
const MAX_POOL_BYTES: usize = 4 * 1024 * 1024;
/// After this many calls of `age` without a `take`, the pool is emptied.
const MAX_UNUSED: u32 = 64;

impl BufferPool {
    /// Takes an empty buffer with at least this capacity in bytes. Allocates one if the pool has none.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        (self.in_use, self.unused) = (true, 0);
        let fits = self.buffers.iter().rposition(|buffer| buffer.capacity() >= bytes);
        let Some(buffer) = fits.and_then(|at| self.buffers.remove(at)) else { return Vec::with_capacity(bytes) };
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Puts a buffer back, and empties it. Frees it instead if its capacity is over 4 MiB, or if the pool is not in use. Frees the buffers
    /// that were used least recently while all together have more than 4 MiB.
    pub(crate) fn put(&mut self, mut buffer: Vec<u8>) {
        if !self.in_use || buffer.capacity() > MAX_POOL_BYTES {
            return;
        }
        #[cfg(feature = "compare-machinery")]
        if crate::compare::is_plain("buffers") {
            return;
        }
        buffer.clear();
        self.bytes += buffer.capacity();
        self.buffers.push_back(buffer);
        while self.bytes > MAX_POOL_BYTES
            && let Some(oldest) = self.buffers.pop_front()
        {
            self.bytes -= oldest.capacity();
        }
    }

    /// Called by `Outgoing::flush_at_rest` each time the connection has no more input. At the 64th call since the last `take`, the pool is
    /// emptied.
    pub(crate) fn age(&mut self) {
        self.unused = self.unused.saturating_add(1);
        if self.unused == MAX_UNUSED {
            self.release();
        }
    }

    /// Empties the pool. Buffers that are still in use are freed when they are put back, unless another one was taken meanwhile.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }

    /// Whether the pool holds buffers, or will when those in use are put back.
    pub(crate) fn is_in_use(&self) -> bool {
        self.in_use
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_that_was_used_last_and_has_room_is_used_again() {
        let mut pool = BufferPool::default();
        let kept = [100_000, 300_000, 200_000].map(|bytes| {
            let buffer = pool.take(bytes);
            assert!(buffer.is_empty() && buffer.capacity() >= bytes);
            buffer
        });
        let places = kept.each_ref().map(Vec::as_ptr);
        for mut buffer in kept {
            buffer.push(1);
            pool.put(buffer);
        }
        for (bytes, place) in [(150_000, places[2]), (150_000, places[1]), (50_000, places[0])] {
            let again = pool.take(bytes);
            assert_eq!((again.as_ptr(), again.len()), (place, 0));
            assert_eq!(pool.bytes, pool.buffers.iter().map(Vec::capacity).sum::<usize>());
        }
        assert!(pool.buffers.is_empty());
    }

    #[test]
    fn the_pool_keeps_4_mib_at_most_and_is_emptied_when_it_is_not_used() {
        let mut pool = BufferPool::default();
        pool.put(Vec::with_capacity(1000));
        assert!(pool.buffers.is_empty(), "no buffer was taken yet");

        let large = pool.take(MAX_POOL_BYTES + 1);
        pool.put(large);
        assert!(pool.buffers.is_empty() && pool.is_in_use());
        for _ in 0..10 {
            pool.put(Vec::with_capacity(MAX_POOL_BYTES / 4));
        }
        assert_eq!((pool.buffers.len(), pool.bytes), (4, MAX_POOL_BYTES));

        let buffer = pool.take(1);
        pool.put(buffer);
        for _ in 1..MAX_UNUSED {
            pool.age();
            assert!(pool.is_in_use());
        }
        pool.age();
        assert!(pool.buffers.is_empty() && pool.bytes == 0 && !pool.is_in_use());

        // A buffer that is put back after the release is not kept.
        let late = pool.take(1000);
        pool.release();
        pool.put(late);
        assert!(pool.buffers.is_empty());
    }
}
