//! The thread that reads: what waits is read from one snapshot, and no task ever waits for the disk in its own thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, sync_channel};

use ::redb::Error;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::cache::{CacheEpoch, ValueCache};
use super::file::File;
use super::snapshot::Snapshot;
use super::writer::WriterCommand;
use crate::kv::KvError;

/// What the reader is told; `None` to end.
pub(super) type ReadRequest = Option<Box<dyn Read>>;

/// Something to read, and who waits for it.
pub(super) trait Read: Send {
    /// Reads and answers; if it fails, nothing was answered.
    fn read(&mut self, snapshot: &Snapshot, epoch: CacheEpoch) -> Result<(), Error>;
    /// Answers that it failed.
    fn fail(self: Box<Self>, reason: &Arc<str>);
}

/// A [`Read`] with an answer of some type.
pub(super) struct TypedRead<T, F> {
    pub(super) query: F,
    pub(super) reply: Option<oneshot::Sender<Result<T, KvError>>>,
    /// Its share of what may wait.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl<T: Send, F: Fn(&Snapshot, CacheEpoch) -> Result<T, Error> + Send> Read for TypedRead<T, F> {
    fn read(&mut self, snapshot: &Snapshot, epoch: CacheEpoch) -> Result<(), Error> {
        let answer = (self.query)(snapshot, epoch)?;
        if let Some(reply) = self.reply.take() {
            // Whoever no longer waits doesn't want to know.
            let _ = reply.send(Ok(answer));
        }
        Ok(())
    }

    fn fail(self: Box<Self>, reason: &Arc<str>) {
        if let Some(reply) = self.reply {
            let _ = reply.send(Err(KvError::Storage { reason: Arc::clone(reason) }));
        }
    }
}

pub(super) struct Reader {
    pub(super) file: Arc<File>,
    pub(super) cache: Arc<ValueCache>,
    pub(super) requests: Receiver<ReadRequest>,
    /// To have the database opened anew when reading fails.
    pub(super) writer: Sender<WriterCommand>,
}

impl Reader {
    /// Reads until the store is closed.
    pub(super) fn run(self) {
        while let Ok(Some(first)) = self.requests.recv() {
            // Taken before the snapshot is: what was written before one of them was sent must be in it.
            let mut open = true;
            let mut batch = vec![first];
            while let Ok(request) = self.requests.try_recv() {
                match request {
                    Some(read) => batch.push(read),
                    None => {
                        open = false;
                        break;
                    }
                }
            }
            self.read(batch);
            if !open {
                return;
            }
        }
    }

    fn read(&self, batch: Vec<Box<dyn Read>>) {
        let (generation, unread, _) = self.read_from_current(batch);
        if unread.is_empty() {
            return;
        }
        // After one failure redb reads nothing more. It may have been a write that failed; then this is done already.
        let (done, is_done) = sync_channel(1);
        if self.writer.send(WriterCommand::Failed { generation, done }).is_ok() {
            // Fails if the writer has ended.
            let _ = is_done.recv();
        }
        let (_, unread, reason) = self.read_from_current(unread);
        let reason = reason.unwrap_or_else(|| self.file.reason(&"it could not be opened anew after a failure"));
        for read in unread {
            read.fail(&reason);
        }
    }

    /// Which database it was, and what may be read when that was opened anew, with the reason.
    fn read_from_current(&self, batch: Vec<Box<dyn Read>>) -> (u64, Vec<Box<dyn Read>>, Option<Arc<str>>) {
        let epoch = self.cache.epoch();
        let current = self.file.current();
        let generation = current.generation;
        let Some(database) = &current.database else { return (generation, batch, None) };
        let snapshot = match self.file.catch(|| Snapshot::of(database)) {
            Ok(snapshot) => snapshot,
            Err(failure) => return (generation, batch, Some(failure.reason)),
        };
        let mut unread = Vec::new();
        let mut reason = None;
        for mut read in batch {
            match self.file.catch(|| read.read(&snapshot, epoch)) {
                Ok(()) => {}
                Err(failure) if failure.of_the_disk => {
                    reason.get_or_insert(failure.reason);
                    unread.push(read);
                }
                Err(failure) => read.fail(&failure.reason),
            }
        }
        (generation, unread, reason)
    }
}
