//! The bytes that wait to be written, in chunks, so that a large frame is not copied behind the small ones.

/// Bytes in several chunks, in the order in which they are written.
#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    /// The chunks before `last`; true for those whose memory goes back to the pool.
    front: Vec<(Vec<u8>, bool)>,
    /// The chunk that small frames are appended to.
    pub(crate) last: Vec<u8>,
}

impl WriteBuffer {
    pub(crate) fn len(&self) -> usize {
        self.front.iter().map(|(chunk, _)| chunk.len()).sum::<usize>() + self.last.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.front.is_empty() && self.last.is_empty()
    }

    /// Appends a chunk without copying it. With `pooled`, [`clear`](Self::clear) returns it afterwards.
    pub(crate) fn push(&mut self, chunk: Vec<u8>, pooled: bool) {
        let chunks = [(std::mem::take(&mut self.last), false), (chunk, pooled)];
        self.front.extend(chunks.into_iter().filter(|(chunk, _)| !chunk.is_empty()));
    }

    /// All bytes from the byte `from` on, as slices.
    pub(crate) fn slices(&self, mut from: usize) -> impl Iterator<Item = &[u8]> {
        self.front.iter().map(|(chunk, _)| chunk).chain([&self.last]).filter_map(move |chunk| {
            let skip = from.min(chunk.len());
            from -= skip;
            Some(&chunk[skip..]).filter(|rest| !rest.is_empty())
        })
    }

    /// Empties the buffer, and returns the chunks that belong into the pool.
    pub(crate) fn clear(&mut self) -> impl Iterator<Item = Vec<u8>> {
        self.last.clear();
        self.front.drain(..).filter_map(|(chunk, pooled)| pooled.then_some(chunk))
    }
}
