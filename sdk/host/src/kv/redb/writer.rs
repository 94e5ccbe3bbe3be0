//! The writer thread: makes all writes that wait in one transaction, so that they share one wait for the disk. It also
//! removes expired keys, compacts the file, and reopens the database after a failure.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::cache::ValueCache;
use super::compaction::{CompactionSchedule, QUIET};
use super::expiry;
use super::file::StoreFile;
use super::tables::StoreState;
use super::transaction::{TransactionOutcome, WriteTables};
use crate::kv::watchers::{Watchers, Written};
use crate::kv::{KvError, Quotas, SetOptions};

/// The longest time to wait for the next expiry: the wall clock may be set, and a computer may sleep.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The pause after a failure to remove expired keys. Nobody sees them meanwhile.
const RETRY_EXPIRY: Duration = Duration::from_secs(1);

/// A command to the writer.
pub(super) enum WriterCommand {
    Write(WriteRequest),
    /// A read has failed in this generation of the database. `done` is told when the database was reopened.
    Failed {
        generation: u64,
        done: SyncSender<()>,
    },
    /// End, after all writes that came before.
    Close,
}

/// A write, and who waits for it.
pub(super) struct WriteRequest {
    pub(super) namespace: String,
    pub(super) key: String,
    pub(super) kind: WriteKind,
    /// Receives the revision; 0 if there was nothing to remove.
    pub(super) reply: oneshot::Sender<Result<u64, KvError>>,
    /// Its share of the bytes that may wait.
    pub(super) _permit: OwnedSemaphorePermit,
}

pub(super) enum WriteKind {
    Set { value: Vec<u8>, options: SetOptions },
    Delete { expected_revision: Option<u64> },
}

/// The state of the writer thread.
pub(super) struct Writer {
    pub(super) file: Arc<StoreFile>,
    pub(super) cache: Arc<ValueCache>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) commands: Receiver<WriterCommand>,
    pub(super) quotas: Quotas,
    pub(super) revision: u64,
    pub(super) next_expiry: Option<u64>,
    /// What all namespaces are charged for.
    pub(super) stored: u64,
    pub(super) compaction: CompactionSchedule,
    /// When to [settle](StoreFile::settle) the file, if something was written since it was.
    pub(super) settle_at: Option<Instant>,
    /// Why the database can only be read, if so.
    pub(super) broken: Option<Arc<str>>,
    /// The last revision and the writes of a transaction whose commit has failed. It may have been committed
    /// nevertheless; the reopened database shows.
    pub(super) unsure: Option<(u64, Vec<(String, Written)>)>,
    pub(super) retry_expiry: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        file: Arc<StoreFile>,
        cache: Arc<ValueCache>,
        watchers: Arc<Watchers>,
        commands: Receiver<WriterCommand>,
        quotas: Quotas,
        begin: &StoreState,
    ) -> Self {
        let StoreState { revision, next_expiry, stored } = *begin;
        Self {
            file,
            cache,
            watchers,
            commands,
            quotas,
            revision,
            next_expiry,
            stored,
            compaction: CompactionSchedule::default(),
            settle_at: None,
            broken: None,
            unsure: None,
            retry_expiry: None,
        }
    }

    /// Writes until the store is closed.
    pub(super) fn run(mut self) {
        self.compaction.wrote(Instant::now(), self.file.len(), self.stored);
        let mut open = true;
        while open {
            let mut writes = Vec::new();
            let mut failed = Vec::new();
            let mut next = self.wait();
            // The number of bytes that may wait is limited, and so is this batch.
            while let Some(command) = next {
                match command {
                    WriterCommand::Write(write) => writes.push(write),
                    WriterCommand::Failed { generation, done } => failed.push((generation, done)),
                    WriterCommand::Close => {
                        open = false;
                        break;
                    }
                }
                next = self.commands.try_recv().ok();
            }
            if failed.iter().any(|(generation, _)| *generation == self.file.current().generation) {
                self.reopen();
            }
            for (_, done) in failed {
                // An error means that the reader has ended.
                let _ = done.try_send(());
            }
            self.write(writes);
            let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
            if is_due(self.compaction.due()) {
                self.shrink();
            }
            if is_due(self.settle_at) {
                self.settle();
            }
        }
        self.watchers.close();
        self.file.close();
    }

    /// The next command; `None` when it is time for something else.
    fn wait(&self) -> Option<WriterCommand> {
        let now = Instant::now();
        let expiry = self.next_expiry.map(|at| {
            let until_expiry = Duration::from_millis(at.saturating_sub(expiry::now())).min(LONGEST_WAIT);
            until_expiry.max(self.retry_expiry.map_or(Duration::ZERO, |at| at.saturating_duration_since(now)))
        });
        let others = [self.compaction.due(), self.settle_at].into_iter().flatten();
        let others = others.map(|at| at.saturating_duration_since(now));
        let Some(timeout) = others.chain(expiry).min() else {
            return Some(self.commands.recv().unwrap_or(WriterCommand::Close));
        };
        match self.commands.recv_timeout(timeout) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(WriterCommand::Close),
        }
    }

    /// Makes the file smaller.
    fn shrink(&mut self) {
        if self.broken.is_some() {
            // What is open is an overlay in memory.
            return self.compaction.postpone(Instant::now());
        }
        match self.file.compact() {
            Ok(false) => return self.compaction.postpone(Instant::now()),
            Ok(true) => {}
            // Nothing is lost. It is not tried again before there is more to gain.
            Err(_) => self.reopen(),
        }
        self.compaction.compacted(self.file.len(), self.stored);
        self.settle_at = Some(Instant::now());
    }

    /// Settles the file: nothing was written for a while.
    fn settle(&mut self) {
        self.settle_at = None;
        if self.broken.is_none() && self.file.settle().is_err() {
            self.reopen();
        }
    }

    /// Makes the writes in one transaction, and replies when they are on the disk.
    fn write(&mut self, mut writes: Vec<WriteRequest>) {
        let expiry_is_due = self.next_expiry.is_some_and(|at| at <= expiry::now());
        if writes.is_empty() && !expiry_is_due {
            return;
        }
        if self.broken.is_some() {
            self.reopen();
        }
        let result = match &self.broken {
            None => self.transact(&mut writes),
            Some(reason) => Err(Arc::clone(reason)),
        };
        match result {
            Ok(answers) => {
                self.retry_expiry = None;
                for (write, answer) in writes.into_iter().zip(answers) {
                    // An error means that nobody waits any more.
                    let _ = write.reply.send(answer);
                }
            }
            Err(reason) => {
                self.retry_expiry = Some(Instant::now() + RETRY_EXPIRY);
                if self.broken.is_none() {
                    // At once, so that reads go on.
                    self.reopen();
                }
                for write in writes {
                    let _ = write.reply.send(Err(KvError::Storage { reason: Arc::clone(&reason) }));
                }
            }
        }
    }

    /// Runs the transaction. Returns the reply for each write.
    fn transact(&mut self, writes: &mut [WriteRequest]) -> Result<Vec<Result<u64, KvError>>, Arc<str>> {
        let file = Arc::clone(&self.file);
        let result = file.catch(|| {
            let current = file.current();
            let Some(database) = &current.database else { return Err(::redb::StorageError::DatabaseClosed.into()) };
            let transaction = database.begin_write()?;
            let mut tables = WriteTables::open(&transaction, self.revision)?;
            tables.expire()?;
            let mut answers = Vec::with_capacity(writes.len());
            for WriteRequest { namespace, key, kind, .. } in writes {
                answers.push(match kind {
                    WriteKind::Set { value, options } => tables.set(namespace, key, value, *options, &self.quotas)?,
                    WriteKind::Delete { expected_revision } => tables.delete(namespace, key, *expected_revision)?,
                });
            }
            let TransactionOutcome { revision, written, next_expiry, stored } = tables.finish()?;
            if written.is_empty() {
                transaction.abort()?;
            } else {
                // Before the commit: if that fails, it may have reached the disk nevertheless, and these revisions are
                // used up.
                self.revision = revision;
                self.cache.begin_write(written.iter().map(|(namespace, written)| (&**namespace, &*written.key)));
                self.unsure = Some((revision, written));
                transaction.commit()?;
                self.cache.end_write();
            }
            Ok((answers, next_expiry, stored))
        });
        let (answers, next_expiry, [before, now]) = result.map_err(|failure| failure.reason)?;
        self.next_expiry = next_expiry;
        self.stored = (self.stored + now).saturating_sub(before);
        let now = Instant::now();
        self.compaction.wrote(now, self.file.len(), self.stored);
        self.settle_at = Some(now + QUIET);
        self.publish();
        Ok(answers)
    }

    /// Tells the watchers what was written.
    fn publish(&mut self) {
        for (namespace, written) in self.unsure.take().into_iter().flat_map(|(_, written)| written) {
            self.watchers.publish(&namespace, written);
        }
    }

    /// Reopens the database, for writing if possible, else for reading.
    fn reopen(&mut self) {
        let (beginning, result) = self.file.reopen();
        self.cache.clear();
        self.broken = result.err();
        let Some(beginning) = beginning else { return };
        self.next_expiry = beginning.next_expiry;
        self.revision = self.revision.max(beginning.revision);
        self.stored = beginning.stored;
        // A transaction is committed as a whole or not at all.
        match &self.unsure {
            Some((revision, _)) if beginning.revision >= *revision => self.publish(),
            _ => self.unsure = None,
        }
    }
}
