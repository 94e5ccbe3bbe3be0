//! The file and the backends between redb and it. [`LockedFile`] is the file, which others can't open meanwhile. [`Fenced`] can be shut off,
//! so that a database that was replaced can't touch the file. [`Overlay`] keeps writes in memory, so that a file can be opened and read when
//! nothing can be written.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use ::redb::StorageBackend;

use crate::lock;

/// A file with an exclusive lock (`flock`), which lasts until the backend is closed, or dropped together with all copies of its descriptor.
///
/// redb's own backend does not do: since redb 4.3 the database that is opened on it takes and returns the lock. But the file has to stay locked
/// while no database is open on it.
#[derive(Debug)]
pub(super) struct LockedFile(File);

impl LockedFile {
    /// Locks the file. `None` if someone else has locked it.
    pub(super) fn new(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl StorageBackend for LockedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn close(&self) -> io::Result<()> {
        self.0.unlock()
    }
}

/// The backend of one [`redb::Database`]. Closing the database neither closes the inner backend nor unlocks the file.
/// After [`Fence::shut`] all operations fail.
#[derive(Debug)]
pub(super) struct Fenced {
    inner: Arc<dyn StorageBackend>,
    fence: Fence,
    /// Gets each new length of the file: asking the system for it after each write takes long on some file systems.
    len: Arc<AtomicU64>,
}

/// A switch that shuts a database off from its backend.
#[derive(Debug, Clone, Default)]
pub(super) struct Fence(Arc<AtomicBool>);

impl Fence {
    /// From now on lets every operation of the database fail, also in clones of this fence. An operation that runs on
    /// another thread may still complete.
    pub(super) fn shut(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn check(&self) -> io::Result<()> {
        if self.0.load(Ordering::SeqCst) { Err(io::Error::other("the file was opened anew")) } else { Ok(()) }
    }
}

impl Fenced {
    /// The backend of a database that is about to be opened. `fence` shuts it off, `len` gets the length of the file.
    pub(super) fn new(inner: Arc<dyn StorageBackend>, fence: Fence, len: Arc<AtomicU64>) -> Self {
        Self { inner, fence, len }
    }
}

impl StorageBackend for Fenced {
    fn len(&self) -> io::Result<u64> {
        self.fence.check()?;
        self.inner.len().inspect(|len| self.len.store(*len, Ordering::Relaxed))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.fence.check()?;
        self.inner.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.fence.check()?;
        self.inner.set_len(len)?;
        self.len.store(len, Ordering::Relaxed);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.fence.check()?;
        self.inner.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.fence.check()?;
        self.inner.write(offset, data)
    }
}

/// A backend that reads from its base and keeps writes in memory. redb writes little when it opens a file, so they take
/// little memory.
pub(super) struct Overlay {
    base: Arc<dyn StorageBackend>,
    written: RwLock<OverlayState>,
}

/// What the overlay shows instead of the base.
struct OverlayState {
    len: u64,
    /// How many bytes of the base are still visible. The number shrinks with the length, and never grows.
    base_len: u64,
    /// The blocks that were written to, by their number.
    blocks: BTreeMap<u64, Box<[u8]>>,
}

/// The size of a block, in bytes: that of redb's pages.
const BLOCK_BYTES: usize = 4096;
const BLOCK: u64 = BLOCK_BYTES as u64;

impl Overlay {
    /// An overlay without any writes. The error is that the length of the base can't be read.
    pub(super) fn new(base: Arc<dyn StorageBackend>) -> io::Result<Self> {
        let len = base.len()?;
        Ok(Self { base, written: RwLock::new(OverlayState { len, base_len: len, blocks: BTreeMap::new() }) })
    }

    /// Reads within one block, from the offset `from`: from the block if it was written, otherwise from the base, and zeros
    /// beyond the base.
    fn read_block(&self, written: &OverlayState, block: u64, from: usize, out: &mut [u8]) -> io::Result<()> {
        if let Some(data) = written.blocks.get(&block) {
            out.copy_from_slice(&data[from..from + out.len()]);
            return Ok(());
        }
        let offset = block * BLOCK + from as u64;
        let in_base = usize::try_from(written.base_len.saturating_sub(offset)).unwrap_or(usize::MAX).min(out.len());
        let (of_base, beyond) = out.split_at_mut(in_base);
        beyond.fill(0);
        if of_base.is_empty() { Ok(()) } else { self.base.read(offset, of_base) }
    }

    fn lock(&self) -> RwLockReadGuard<'_, OverlayState> {
        lock::read(&self.written)
    }

    fn lock_to_write(&self) -> RwLockWriteGuard<'_, OverlayState> {
        lock::write(&self.written)
    }
}

/// Splits a range by blocks. Yields the number of each block, the offset in it, and the number of bytes.
fn blocks(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let mut at = offset;
    let end = offset + len as u64;
    std::iter::from_fn(move || {
        let block = at / BLOCK;
        let part = end.min((block + 1) * BLOCK).checked_sub(at).filter(|part| *part > 0)?;
        let from = at % BLOCK;
        at += part;
        // Both are at most the size of a block.
        Some((block, usize::try_from(from).ok()?, usize::try_from(part).ok()?))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, mut out: &mut [u8]) -> io::Result<()> {
        let written = self.lock();
        if offset.saturating_add(out.len() as u64) > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        for (block, from, len) in blocks(offset, out.len()) {
            let (part, rest) = out.split_at_mut(len);
            self.read_block(&written, block, from, part)?;
            out = rest;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.lock_to_write();
        written.len = len;
        written.base_len = written.base_len.min(len);
        let within = len / BLOCK;
        let _ = written.blocks.split_off(&len.div_ceil(BLOCK));
        if let Some(last) = written.blocks.get_mut(&within) {
            for (_, from, _) in blocks(len, 1) {
                last[from..].fill(0);
            }
        }
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, mut data: &[u8]) -> io::Result<()> {
        let mut written = self.lock_to_write();
        written.len = written.len.max(offset.saturating_add(data.len() as u64));
        for (block, from, len) in blocks(offset, data.len()) {
            let (part, rest) = data.split_at(len);
            let mut whole = vec![0; BLOCK_BYTES].into_boxed_slice();
            self.read_block(&written, block, 0, &mut whole)?;
            whole[from..from + len].copy_from_slice(part);
            written.blocks.insert(block, whole);
            data = rest;
        }
        Ok(())
    }
}

impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use ::redb::backends::InMemoryBackend;
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Write(u64, Vec<u8>),
        SetLen(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..20_000_u64, 1..9000_usize, any::<u8>()).prop_map(|(at, len, byte)| Step::Write(at, vec![byte; len])),
            1 => (0..20_000_u64).prop_map(Step::SetLen),
        ]
    }

    proptest! {
        #[test]
        fn an_overlay_reads_as_if_it_were_written_to(base in 0..20_000_u64, steps in prop::collection::vec(step(), 0..20)) {
            let [plain, under] = [(); 2].map(|()| InMemoryBackend::new());
            for backend in [&plain, &under] {
                backend.set_len(base).unwrap();
                backend.write(0, &vec![7; usize::try_from(base).unwrap()]).unwrap();
            }
            let under: Arc<dyn StorageBackend> = Arc::new(under);
            let overlay = Overlay::new(Arc::clone(&under)).unwrap();
            for step in steps {
                match step {
                    Step::Write(at, data) => {
                        let len = plain.len().unwrap().max(at + data.len() as u64);
                        plain.set_len(len).unwrap();
                        plain.write(at, &data).unwrap();
                        overlay.write(at, &data).unwrap();
                    }
                    Step::SetLen(len) => {
                        plain.set_len(len).unwrap();
                        overlay.set_len(len).unwrap();
                    }
                }
                let [all, over] = [&plain as &dyn StorageBackend, &overlay].map(|backend| {
                    let mut all = vec![0; usize::try_from(backend.len().unwrap()).unwrap()];
                    backend.read(0, &mut all).unwrap();
                    all
                });
                prop_assert!(all == over);
            }
            let mut untouched = vec![0; usize::try_from(base).unwrap()];
            under.read(0, &mut untouched).unwrap();
            prop_assert!(untouched.iter().all(|byte| *byte == 7) && under.len().unwrap() == base);
        }
    }
}
