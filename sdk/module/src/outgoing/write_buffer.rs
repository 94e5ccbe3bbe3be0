//! The bytes that are not written yet, in chunks, so that a large frame is not copied behind the small ones.

/// Bytes in several chunks, in the order in which they are written.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    /// The chunks before `last`, each with whether its memory goes back to the pool.
    front: Vec<(Vec<u8>, bool)>,
    /// The chunk to which small frames are appended.
    pub(crate) last: Vec<u8>,
}

impl WriteBuffer {
    /// The number of bytes in all chunks.
    pub(crate) fn len(&self) -> usize {
        self.front.iter().map(|(chunk, _)| chunk.len()).sum::<usize>() + self.last.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.last.is_empty()
    }

    /// Appends a chunk behind all bytes so far, without copying it. Drops an empty chunk. If `pooled` is true, [`clear`](Self::clear)
    /// returns the chunk.
    pub(crate) fn push(&mut self, chunk: Vec<u8>, pooled: bool) {
        let chunks = [(std::mem::take(&mut self.last), false), (chunk, pooled)];
        self.front.extend(chunks.into_iter().filter(|(chunk, _)| !chunk.is_empty()));
    }

    /// All bytes from the index `from` on, as slices that are not empty. None if `from` is at or beyond the end.
    pub(crate) fn slices(&self, mut from: usize) -> impl Iterator<Item = &[u8]> {
        self.front.iter().map(|(chunk, _)| chunk).chain([&self.last]).filter_map(move |chunk| {
            let skip = from.min(chunk.len());
            from -= skip;
            Some(&chunk[skip..]).filter(|rest| !rest.is_empty())
        })
    }

    /// Empties the buffer, and returns its pooled chunks, which still have their bytes. `last` keeps its capacity.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.last.clear();
        self.front.drain(..).filter_map(|(chunk, pooled)| pooled.then_some(chunk))
    }
}
