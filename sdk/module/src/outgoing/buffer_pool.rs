//! Large buffers, kept to be used again: the system takes longer to hand out that much fresh memory (a page fault for each 4 KiB)
//! than a frame takes to fill it. Without the pool, calls of 64 KiB are a third slower (tests/bench/README.md).

use std::collections::VecDeque;

/// The buffers that are kept. Nothing is kept before the first one was taken, nor after the connection was quiet for a while.
#[derive(Debug, Default)]
pub(crate) struct BufferPool {
    /// The one that was used last is at the end, and is taken first: it may still be in the processor's cache.
    buffers: VecDeque<Vec<u8>>,
    /// The sum of their capacities.
    bytes: usize,
    /// The calls of `age` since the last `take`.
    unused: u32,
    /// There was a `take` since the last `release`. Otherwise `put` frees the buffer.
    in_use: bool,
}

/// The capacity that is kept at most. Beyond it the oldest buffers are freed.
const MAX_POOL_BYTES: usize = 4 * 1024 * 1024;
/// The calls of `age` without a `take` after which the pool is emptied.
const MAX_UNUSED: u32 = 64;

impl BufferPool {
    /// Takes an empty buffer with at least this capacity, or makes one.
    pub(crate) fn take(&mut self, bytes: usize) -> Vec<u8> {
        (self.in_use, self.unused) = (true, 0);
        let fits = self.buffers.iter().rposition(|buffer| buffer.capacity() >= bytes);
        let Some(buffer) = fits.and_then(|at| self.buffers.remove(at)) else { return Vec::with_capacity(bytes) };
        self.bytes -= buffer.capacity();
        buffer
    }

    /// Returns a buffer.
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

    /// Counts that the connection came to rest. The pool is emptied at the 64th time without a `take`.
    pub(crate) fn age(&mut self) {
        self.unused = self.unused.saturating_add(1);
        if self.unused == MAX_UNUSED {
            self.release();
        }
    }

    /// Empties the pool. Buffers that are still out are freed when they are returned.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }

    /// Whether the pool holds buffers, or will when those that are out are returned.
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
    fn no_more_is_kept_than_may_be_and_not_for_ever() {
        let mut pool = BufferPool::default();
        pool.put(Vec::with_capacity(1000));
        assert!(pool.buffers.is_empty(), "nobody has asked for it");

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

        // What comes back late is not kept.
        let late = pool.take(1000);
        pool.release();
        pool.put(late);
        assert!(pool.buffers.is_empty());
    }
}
