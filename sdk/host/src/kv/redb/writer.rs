//! The writer thread: makes all writes that come together in one transaction, so that they share one wait for the disk. It also removes
//! expired keys, settles and compacts the file, and opens the database again after a failure.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use super::cache::ValueCache;
use super::compaction::{CompactionSchedule, QUIET};
use super::expiry;
use super::file::StoreFile;
use super::inbox::{Inbox, WriteKind, WriteRequest, WriterCommand};
use super::salvage::is_whole;
use super::tables::StoreState;
use super::transaction::WriteTables;
use crate::kv::watchers::{Watchers, Written};
use crate::kv::{KvError, Quotas};

/// The longest time to wait for the next expiry, since the wall clock may be set, and the computer may sleep.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The pause after a failure to remove expired keys, which reads do not return meanwhile, or to look for the changes of a commit that has
/// failed. Shorter in tests.
const RETRY: Duration = Duration::from_millis(if cfg!(test) { 1 } else { 1000 });
/// The pause after a failure to settle the file, each of which opens the database again.
const RETRY_SETTLING: Duration = Duration::from_secs(60);

/// The state of the writer thread.
pub(super) struct Writer {
    pub(super) file: Arc<StoreFile>,
    pub(super) cache: Arc<ValueCache>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) inbox: Inbox,
    /// How many bytes each namespace may hold.
    pub(super) quotas: Quotas,
    pub(super) state: StoreState,
    /// When to compact the file.
    pub(super) compaction: CompactionSchedule,
    /// When to [settle](StoreFile::settle) the file; `None` if it need not or can't be settled.
    pub(super) settle_at: Option<Instant>,
    /// The reason why the database can only be read; `None` if it can be written.
    pub(super) broken: Option<Arc<str>>,
    /// The changes of a transaction that is being committed, or whose commit has failed. In the latter case it may have been committed
    /// nevertheless, which shows when the database is opened again.
    pub(super) unsure: Vec<(String, Written)>,
    /// When to open the database again to look for `unsure` in it. `None` if it need not be looked for.
    pub(super) look_at: Option<Instant>,
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
        state: StoreState,
    ) -> Self {
        let settle_at = state.reserved.map(|_| Instant::now() + QUIET);
        Self {
            file,
            cache,
            watchers,
            inbox: Inbox::new(commands),
            quotas,
            state,
            compaction: CompactionSchedule::default(),
            settle_at,
            broken: None,
            unsure: Vec::new(),
            look_at: None,
            retry_expiry: None,
        }
    }

    /// The body of the writer thread: writes until [`WriterCommand::Close`]. Writes that were sent before it are still
    /// made. Then the watches end, and the file is closed.
    pub(super) fn run(mut self) {
        self.compaction.wrote(Instant::now(), self.file.len(), self.state.stored);
        loop {
            match self.inbox.wait(self.timeout()) {
                Some(WriterCommand::Write(write)) => self.write(Some(write)),
                Some(WriterCommand::Failed { generation, done }) => {
                    if generation == self.file.current().generation {
                        self.reopen();
                    }
                    // An error means that the reader has ended.
                    let _ = done.try_send(());
                }
                Some(WriterCommand::Close) => break,
                None => self.write(None),
            }
            let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= Instant::now());
            if is_due(self.compaction.due()) {
                self.shrink();
            }
            if is_due(self.settle_at) {
                self.settle();
            }
            if is_due(self.look_at) {
                self.reopen();
            }
        }
        if self.broken.is_some() {
            // The disk may work again.
            self.reopen();
        }
        self.watchers.close();
        if self.state.reserved.is_some() {
            // If it fails, the next one who opens the file counts the keys.
            self.settle();
        }
        self.file.close();
    }

    /// The time until keys expire, or something else is due; at most [`LONGEST_WAIT`] if a key expires. `None` if nothing is due without a
    /// command.
    fn timeout(&self) -> Option<Duration> {
        let now = Instant::now();
        let expiry = self.state.next_expiry.map(|at| {
            let until_expiry = Duration::from_millis(at.saturating_sub(expiry::now())).min(LONGEST_WAIT);
            until_expiry.max(self.retry_expiry.map_or(Duration::ZERO, |at| at.saturating_duration_since(now)))
        });
        let others = [self.compaction.due(), self.settle_at, self.look_at].into_iter().flatten();
        others.map(|at| at.saturating_duration_since(now)).chain(expiry).min()
    }

    /// Compacts the file, or puts that off if it can't be done now. Reads and writes wait meanwhile.
    fn shrink(&mut self) {
        if self.broken.is_some() {
            // The open database may be on an overlay, which can't be compacted.
            return self.compaction.postpone(Instant::now());
        }
        // Compaction would fail at a damaged page, and leave a file that redb refuses as a whole.
        let is_whole = self.file.current().get().is_ok_and(is_whole);
        match is_whole.then(|| self.file.compact()) {
            Some(Ok(false)) => return self.compaction.postpone(Instant::now()),
            // No data is lost. It is not tried again before there is more to gain.
            Some(Err(_)) => self.reopen(),
            Some(Ok(true)) | None => {}
        }
        self.compaction.compacted(self.file.len(), self.state.stored);
        self.settle_at = Some(Instant::now());
    }

    /// Settles the file: nothing was written for a while, or it will be closed.
    fn settle(&mut self) {
        self.settle_at = None;
        if self.broken.is_some() {
            // Opening the database again sets the time anew.
            return;
        }
        match self.file.settle(&self.state) {
            Ok(()) => self.state.reserved = None,
            Err(_) => {
                self.reopen();
                self.settle_at = self.settle_at.map(|_| Instant::now() + RETRY_SETTLING);
            }
        }
    }

    /// Makes this write and those that come behind it in one transaction, and replies when they are on the disk. Removes expired keys, too.
    fn write(&mut self, first: Option<WriteRequest>) {
        let expiry_is_due = self.state.next_expiry.is_some_and(|at| at <= expiry::now());
        if first.is_none() && !expiry_is_due {
            return;
        }
        if self.broken.is_some() {
            self.reopen();
        }
        let mut writes = Vec::from_iter(first);
        let result = match &self.broken {
            None => self.transact(&mut writes),
            Some(reason) => Err(Arc::clone(reason)),
        };
        match result {
            Ok(answers) => {
                self.retry_expiry = None;
                self.inbox.before_replies(writes.len());
                for (write, answer) in writes.into_iter().zip(answers) {
                    // An error means that the caller no longer waits.
                    let _ = write.reply.send(answer);
                }
            }
            Err(reason) => {
                self.retry_expiry = Some(Instant::now() + RETRY);
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

    /// Runs the transaction, and adds to `writes` what comes meanwhile. Returns the reply for each write, in their order; the error is why
    /// all have failed.
    fn transact(&mut self, writes: &mut Vec<WriteRequest>) -> Result<Vec<Result<u64, KvError>>, Arc<str>> {
        let begun = Instant::now();
        let file = Arc::clone(&self.file);
        let result = file.catch(|| {
            let current = file.current();
            let transaction = current.get()?.begin_write()?;
            let mut tables = WriteTables::open(&transaction, &self.state)?;
            tables.expire()?;
            let mut answers = Vec::new();
            while let Some(WriteRequest { namespace, key, kind, .. }) = writes.get_mut(answers.len()) {
                answers.push(match kind {
                    WriteKind::Set { value, options } => tables.set(namespace, key, value, *options, &self.quotas)?,
                    WriteKind::Delete { expected_revision } => tables.delete(namespace, key, *expected_revision)?,
                });
                writes.extend(self.inbox.next_write(writes.len(), begun));
            }
            let mut outcome = tables.finish()?;
            if outcome.written.is_empty() {
                transaction.abort()?;
            } else {
                self.unsure = std::mem::take(&mut outcome.written);
                // Before the commit: if that fails, the writes may be on the disk nevertheless, so these revisions must not
                // be used again.
                self.state.revision = outcome.revision;
                self.cache.begin_write(self.unsure.iter().map(|(namespace, written)| (&**namespace, &*written.key)));
                transaction.commit()?;
                self.cache.end_write();
                outcome.apply(&mut self.state);
                let now = Instant::now();
                self.compaction.wrote(now, self.file.len(), self.state.stored);
                self.settle_at = Some(now + QUIET);
            }
            Ok(answers)
        });
        let answers = result.map_err(|failure| failure.reason)?;
        self.publish();
        Ok(answers)
    }

    /// Passes the changes of the transaction in `unsure`, which was committed, to the watches.
    fn publish(&mut self) {
        for (namespace, written) in self.unsure.drain(..) {
            self.watchers.publish(&namespace, written);
        }
    }

    /// Opens the database again: for writing if possible, otherwise for reading.
    fn reopen(&mut self) {
        let (state, result) = self.file.reopen();
        self.cache.clear();
        self.broken = result.err();
        self.look_at = None;
        let Some(state) = state else {
            self.look_at = (!self.unsure.is_empty()).then(|| Instant::now() + RETRY);
            return;
        };
        // The file has only a limit of the revisions; this process knows the last one.
        self.state = StoreState { revision: self.state.revision, ..state };
        match self.file.has(&self.unsure) {
            Ok(true) => self.publish(),
            Err(failure) if failure.of_the_disk => {
                self.broken = Some(failure.reason);
                self.look_at = Some(Instant::now() + RETRY);
            }
            // A damaged place keeps its change from being read, too.
            Ok(false) | Err(_) => self.unsure.clear(),
        }
        self.settle_at = self.state.reserved.filter(|_| self.broken.is_none()).map(|_| Instant::now() + QUIET);
    }
}
