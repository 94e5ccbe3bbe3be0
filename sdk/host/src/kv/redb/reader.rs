//! The reader thread: answers all reads that wait from one snapshot, so that no task blocks on the disk.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, sync_channel};

use ::redb::Error;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::cache::{CacheEpoch, ValueCache};
use super::file::StoreFile;
use super::inbox::WriterCommand;
use super::snapshot::Snapshot;
use crate::kv::KvError;

/// A request to the reader thread; `None` ends the thread.
pub(super) type ReadRequest = Option<Box<dyn PendingRead>>;

/// A read, with the sender of its reply.
pub(super) trait PendingRead: Send {
    /// Reads and replies. After an error no reply was sent, and the read can be tried again.
    fn read(&mut self, snapshot: &Snapshot, epoch: CacheEpoch) -> Result<(), Error>;
    /// Replies that the read failed.
    fn fail(self: Box<Self>, reason: &Arc<str>);
}

/// A [`PendingRead`] with a reply of a certain type.
pub(super) struct TypedRead<T, F> {
    /// What to read. It may run twice, if the first attempt fails.
    pub(super) query: F,
    /// `None` once the reply was sent.
    pub(super) reply: Option<oneshot::Sender<Result<T, KvError>>>,
    /// One of the reads that may wait.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl<T: Send, F: Fn(&Snapshot, CacheEpoch) -> Result<T, Error> + Send> PendingRead for TypedRead<T, F> {
    fn read(&mut self, snapshot: &Snapshot, epoch: CacheEpoch) -> Result<(), Error> {
        let answer = (self.query)(snapshot, epoch)?;
        if let Some(reply) = self.reply.take() {
            // An error means that the caller no longer waits.
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

/// The state of the reader thread.
pub(super) struct Reader {
    pub(super) file: Arc<StoreFile>,
    /// Has the epoch, which each query gets; the query puts small values there.
    pub(super) cache: Arc<ValueCache>,
    pub(super) requests: Receiver<ReadRequest>,
    /// The writer, which opens the database again when a read fails.
    pub(super) writer: Sender<WriterCommand>,
}

impl Reader {
    /// The body of the reader thread: reads until it gets `None`, or all senders are dropped. Reads that were sent
    /// before `None` are still answered.
    pub(super) fn run(self) {
        while let Ok(Some(first)) = self.requests.recv() {
            // All requests are taken before the snapshot, which must contain what was written before each was sent.
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

    /// Answers the reads. Those that fail because of the disk, or all if no snapshot can be made, are tried once more,
    /// after the database was opened again.
    fn read(&self, batch: Vec<Box<dyn PendingRead>>) {
        let (generation, unread, _) = self.read_from_current(batch);
        if unread.is_empty() {
            return;
        }
        // After one failure redb reads nothing more. If a write has failed too, the database was opened again already.
        let (done, is_done) = sync_channel(1);
        if self.writer.send(WriterCommand::Failed { generation, done }).is_ok() {
            // An error means that the writer has ended.
            let _ = is_done.recv();
        }
        let (_, unread, reason) = self.read_from_current(unread);
        let reason = reason.unwrap_or_else(|| self.file.reason(&"it could not be opened anew after a failure"));
        for read in unread {
            read.fail(&reason);
        }
    }

    /// Answers the reads from the open database. Returns its generation, the reads that can be tried again after it was
    /// opened again, and the reason of their failure; `None` if there are none, or the database is not open.
    fn read_from_current(
        &self,
        batch: Vec<Box<dyn PendingRead>>,
    ) -> (u64, Vec<Box<dyn PendingRead>>, Option<Arc<str>>) {
        let epoch = self.cache.epoch();
        let current = self.file.current();
        let generation = current.generation;
        let Ok(database) = current.get() else { return (generation, batch, None) };
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
