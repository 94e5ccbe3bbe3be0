//! The writer thread: makes all writes that wait in one transaction, so that they share one wait for the disk. It also
//! removes expired keys, compacts the file, and opens the database again after a failure.

use std::collections::VecDeque;
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

/// The longest time to wait for the next expiry, since the wall clock may be set, and the computer may sleep.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The pause after a failure to remove expired keys. Reads do not return them meanwhile.
const RETRY_EXPIRY: Duration = Duration::from_secs(1);

/// How long a batch waits at most for the writes of callers that were answered together with the one before. Many write again at once;
/// without the wait they would stay in two groups, each of which waits for the other's commit.
const MAX_GATHERING: Duration = Duration::from_micros(300);
/// How long it waits for the next one of them: the others are not about to write, either.
const MAX_GAP: Duration = Duration::from_micros(100);

/// A command to the writer.
pub(super) enum WriterCommand {
    /// Make this write.
    Write(WriteRequest),
    /// Open the database again, unless that was done since: a read has failed in this generation of it. `done` gets a
    /// message when it is open.
    Failed { generation: u64, done: SyncSender<()> },
    /// End, after the writes that were sent before.
    Close,
}

/// A write, with the sender of its reply.
pub(super) struct WriteRequest {
    pub(super) namespace: String,
    pub(super) key: String,
    /// What to do with the key.
    pub(super) kind: WriteKind,
    /// Receives the revision; 0 if there was nothing to remove.
    pub(super) reply: oneshot::Sender<Result<u64, KvError>>,
    /// Its part of the bytes that may wait.
    pub(super) _permit: OwnedSemaphorePermit,
}

/// What a write does to its key.
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
    /// Commands that were received and not yet done.
    pub(super) pending: VecDeque<WriterCommand>,
    /// How many callers there were when the last batch was answered: those of the batch, and those whose writes waited.
    pub(super) callers: usize,
    /// How many bytes each namespace may hold.
    pub(super) quotas: Quotas,
    /// The revision of the last change.
    pub(super) revision: u64,
    /// The next expiry of a key, in Unix milliseconds; `None` if no key expires.
    pub(super) next_expiry: Option<u64>,
    /// The bytes that all namespaces are charged for.
    pub(super) stored: u64,
    /// When to compact the file.
    pub(super) compaction: CompactionSchedule,
    /// When to [settle](StoreFile::settle) the file; `None` if there was no transaction since the last time.
    pub(super) settle_at: Option<Instant>,
    /// The reason why the database can only be read; `None` if it can be written.
    pub(super) broken: Option<Arc<str>>,
    /// The last revision and the changes of a transaction that is being committed, or whose commit has failed. In the latter
    /// case it may have been committed nevertheless, which shows when the database is opened again.
    pub(super) unsure: Option<(u64, Vec<(String, Written)>)>,
    /// When to try again to remove expired keys; `None` if the last write has not failed.
    pub(super) retry_expiry: Option<Instant>,
}

impl Writer {
    /// A writer for a file whose state was just read.
    pub(super) fn new(
        file: Arc<StoreFile>,
        cache: Arc<ValueCache>,
        watchers: Arc<Watchers>,
        commands: Receiver<WriterCommand>,
        quotas: Quotas,
        state: &StoreState,
    ) -> Self {
        let StoreState { revision, next_expiry, stored } = *state;
        Self {
            file,
            cache,
            watchers,
            commands,
            pending: VecDeque::new(),
            callers: 0,
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

    /// The body of the writer thread: writes until [`WriterCommand::Close`]. Writes that were sent before it are still
    /// made. Then the watches end, and the file is closed.
    pub(super) fn run(mut self) {
        self.compaction.wrote(Instant::now(), self.file.len(), self.stored);
        let mut open = true;
        while open {
            let mut writes = Vec::new();
            let mut failed = Vec::new();
            let mut next = self.wait();
            let begun = Instant::now();
            // The batch is limited, since the bytes that may wait are.
            while let Some(command) = next {
                match command {
                    WriterCommand::Write(write) => writes.push(write),
                    WriterCommand::Failed { generation, done } => failed.push((generation, done)),
                    WriterCommand::Close => {
                        open = false;
                        break;
                    }
                }
                next = self.pending.pop_front().or_else(|| self.commands.try_recv().ok());
                if next.is_none() && !writes.is_empty() && writes.len() < self.callers {
                    let left = MAX_GATHERING.saturating_sub(begun.elapsed());
                    next = self.commands.recv_timeout(left.min(MAX_GAP)).ok();
                }
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

    /// Waits for the next command. Returns `None` when keys expire, or the file has to be compacted or settled; and after [`LONGEST_WAIT`],
    /// if a key expires later.
    fn wait(&mut self) -> Option<WriterCommand> {
        if let Some(command) = self.pending.pop_front() {
            return Some(command);
        }
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

    /// Compacts the file, or puts that off if it can't be done now. Reads and writes wait meanwhile.
    fn shrink(&mut self) {
        if self.broken.is_some() {
            // The open database is on an overlay, which can't be compacted.
            return self.compaction.postpone(Instant::now());
        }
        match self.file.compact() {
            Ok(false) => return self.compaction.postpone(Instant::now()),
            Ok(true) => {}
            // No data is lost. It is not tried again before there is more to gain.
            Err(_) => self.reopen(),
        }
        self.compaction.compacted(self.file.len(), self.stored);
        self.settle_at = Some(Instant::now());
    }

    /// Settles the file, since nothing was written for a while.
    fn settle(&mut self) {
        self.settle_at = None;
        if self.broken.is_none() && self.file.settle().is_err() {
            self.reopen();
        }
    }

    /// Makes the writes in one transaction, and replies when they are on the disk. Removes expired keys, too.
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
                // Before the answers: afterwards those who were answered may be among them already.
                self.pending.extend(self.commands.try_iter());
                self.callers = writes.len() + self.pending.len();
                for (write, answer) in writes.into_iter().zip(answers) {
                    // An error means that the caller no longer waits.
                    let _ = write.reply.send(answer);
                }
            }
            Err(reason) => {
                self.retry_expiry = Some(Instant::now() + RETRY_EXPIRY);
                if self.broken.is_none() {
                    // Now, so that reads can go on.
                    self.reopen();
                }
                for write in writes {
                    let _ = write.reply.send(Err(KvError::Storage { reason: Arc::clone(&reason) }));
                }
            }
        }
    }

    /// Runs the transaction. Returns the reply for each write, in their order; the error is why all have failed.
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
                // Before the commit: if that fails, the writes may be on the disk nevertheless, so these revisions must not
                // be used again.
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

    /// Passes the changes of the transaction in `unsure`, which was committed, to the watches.
    fn publish(&mut self) {
        for (namespace, written) in self.unsure.take().into_iter().flat_map(|(_, written)| written) {
            self.watchers.publish(&namespace, written);
        }
    }

    /// Opens the database again: for writing if possible, otherwise for reading.
    fn reopen(&mut self) {
        let (state, result) = self.file.reopen();
        self.cache.clear();
        self.broken = result.err();
        let Some(state) = state else { return };
        self.next_expiry = state.next_expiry;
        self.revision = self.revision.max(state.revision);
        self.stored = state.stored;
        // A transaction is committed as a whole or not at all.
        match &self.unsure {
            Some((revision, _)) if state.revision >= *revision => self.publish(),
            _ => self.unsure = None,
        }
    }
}
