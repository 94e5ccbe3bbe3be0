//! What the SDK has to know of the calling thread. Each of these belongs to the thread and to nothing else, and is asked for where the
//! author's code is in between, so that nobody could pass it.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::thread::gettid;

/// A reader of frames, told from all others in this process, those of other sessions too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReaderId(u64);

impl ReaderId {
    /// An id that no other reader has.
    pub(crate) fn new() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed))
    }
}

thread_local! {
    static READER: Cell<Option<ReaderId>> = const { Cell::new(None) };
    static GATHERS: Cell<bool> = const { Cell::new(false) };
    static TID: i32 = gettid().as_raw_nonzero().get();
}

/// The reader as which this thread runs steps now; `None` if it doesn't.
pub(crate) fn reader() -> Option<ReaderId> {
    READER.get()
}

/// Whether the frames that this thread sends are gathered: see `outgoing/writing.rs`.
pub(crate) fn gathers() -> bool {
    GATHERS.get()
}

/// Sets whether the frames that this thread sends are gathered.
pub(crate) fn set_gathers(gathers: bool) {
    GATHERS.set(gathers);
}

/// The kernel's id of this thread. It is asked for only once.
pub(crate) fn tid() -> i32 {
    TID.with(|tid| *tid)
}

/// While it lives, this thread reads: it is this reader, and its frames are gathered. Dropping it makes the thread what it was before.
pub(crate) struct Reading {
    before: (Option<ReaderId>, bool),
}

impl Reading {
    pub(crate) fn begin(reader: ReaderId) -> Self {
        Self { before: (READER.replace(Some(reader)), GATHERS.replace(true)) }
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        READER.set(self.before.0);
        GATHERS.set(self.before.1);
    }
}
