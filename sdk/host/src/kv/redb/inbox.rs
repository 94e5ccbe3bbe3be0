//! The commands that the writer gets, and which writes it makes together.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::kv::{KvError, SetOptions};

/// How long a transaction stays open at most for the writes of callers that were answered together with the one before. Many write again
/// at once; without the wait they would stay in two groups, each of which waits for the other's commit.
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

/// The commands to the writer.
pub(super) struct Inbox {
    commands: Receiver<WriterCommand>,
    /// Commands that were received and not yet done.
    pending: VecDeque<WriterCommand>,
    /// How many callers there were when the last writes were answered: theirs, and those whose writes waited.
    callers: usize,
    /// [`MAX_GATHERING`] and [`MAX_GAP`].
    max_gathering: Duration,
    max_gap: Duration,
}

impl Inbox {
    pub(super) fn new(commands: Receiver<WriterCommand>) -> Self {
        let (max_gathering, max_gap) = (MAX_GATHERING, MAX_GAP);
        Self { commands, pending: VecDeque::new(), callers: 0, max_gathering, max_gap }
    }

    /// Waits for the next command; `None` after the timeout. [`WriterCommand::Close`] when nobody can send one.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> Option<WriterCommand> {
        if let Some(command) = self.pending.pop_front() {
            return Some(command);
        }
        let Some(timeout) = timeout else {
            return Some(self.commands.recv().unwrap_or(WriterCommand::Close));
        };
        match self.commands.recv_timeout(timeout) {
            Ok(command) => Some(command),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(WriterCommand::Close),
        }
    }

    /// The next write for a transaction that was begun then, and has this number of writes. Waits for it if as many as before have not come
    /// yet. `None` if there is none, or another command comes first.
    ///
    /// A transaction does not grow without end: its callers wait, and the bytes of all that may wait are limited.
    pub(super) fn next_write(&mut self, taken: usize, begun: Instant) -> Option<WriteRequest> {
        let next = self.pending.pop_front().or_else(|| self.commands.try_recv().ok()).or_else(|| {
            let left =
                if taken < self.callers { self.max_gathering.saturating_sub(begun.elapsed()) } else { Duration::ZERO };
            if left.is_zero() { None } else { self.commands.recv_timeout(left.min(self.max_gap)).ok() }
        });
        match next {
            Some(WriterCommand::Write(write)) => Some(write),
            Some(other) => {
                self.pending.push_front(other);
                None
            }
            None => None,
        }
    }

    /// To be called before this number of writes is answered: afterwards some callers may have written again.
    pub(super) fn before_replies(&mut self, answered: usize) {
        self.pending.extend(self.commands.try_iter());
        self.callers = answered + self.pending.len();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;
    use std::thread;

    use tokio::sync::Semaphore;

    use super::*;

    fn write(key: &str) -> WriterCommand {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let kind = WriteKind::Delete { expected_revision: None };
        let (reply, _) = oneshot::channel();
        WriterCommand::Write(WriteRequest {
            namespace: "space".to_owned(),
            key: key.to_owned(),
            kind,
            reply,
            _permit: permit,
        })
    }

    #[test]
    fn a_transaction_waits_for_those_who_were_answered_together() {
        let (commands, received) = channel();
        // So long that only what comes ends the wait.
        let long = Duration::from_secs(60);
        let mut inbox = Inbox { max_gathering: long, max_gap: long, ..Inbox::new(received) };
        let next = |inbox: &mut Inbox, taken, begun| inbox.next_write(taken, begun).map(|write| write.key);
        // One was answered, and one more waits.
        commands.send(write("waits")).unwrap();
        inbox.before_replies(1);
        let begun = Instant::now();
        assert_eq!(next(&mut inbox, 0, begun).as_deref(), Some("waits"));
        let sender = {
            let commands = commands.clone();
            thread::spawn(move || commands.send(write("comes later")).unwrap())
        };
        assert_eq!(next(&mut inbox, 1, begun).as_deref(), Some("comes later"));
        sender.join().unwrap();
        // All have come, or the time is over: nothing is waited for.
        assert_eq!(next(&mut inbox, 2, begun), None);
        inbox.max_gathering = Duration::ZERO;
        assert_eq!(next(&mut inbox, 1, begun), None);
        // Another command ends the transaction, and stays.
        commands.send(WriterCommand::Close).unwrap();
        assert_eq!(next(&mut inbox, 1, begun), None);
        assert!(matches!(inbox.wait(None), Some(WriterCommand::Close)));
        assert!(begun.elapsed() < long, "something was waited for");
    }
}
