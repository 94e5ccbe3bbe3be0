//! Writes to the Unix socket of a process: the system calls alone. When frames are written, and by which thread, is decided in
//! `outgoing/writing.rs`; `connection` reads.

use std::io::{self, IoSlice, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;

use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, send, sendmsg};

use super::process_executor::ProcessExecutor;
use crate::outgoing::{Done, Sink, WriteBuffer};
use crate::this_thread;

/// The module's end of the connection to its host.
#[derive(Debug)]
pub(crate) struct Socket {
    stream: Arc<UnixStream>,
    /// The queue of the thread that writes while the socket is full. It does nothing else: all other threads may be waiting for a response
    /// of the host, and the host may read nothing before the module has read.
    writer: OnceLock<Sender<Job>>,
    /// Has the watchdog, which flushes what was gathered for too long.
    executor: Arc<ProcessExecutor>,
}

/// Writes the rest of a buffer, and waits while the socket is full.
type Job = Box<dyn FnOnce() + Send>;

impl Socket {
    /// Writes to this stream. Starts no thread before the socket is full.
    pub(crate) fn new(stream: &Arc<UnixStream>, executor: Arc<ProcessExecutor>) -> Self {
        Self { stream: Arc::clone(stream), writer: OnceLock::new(), executor }
    }

    /// The queue of the writer thread. The first call starts the thread. If the system has none, the queue is closed.
    fn writer(&self) -> &Sender<Job> {
        self.writer.get_or_init(|| {
            let (jobs, queue) = mpsc::channel::<Job>();
            let work = move || queue.into_iter().for_each(|job| job());
            // If the thread can't be started, the queue is dropped, and `send` returns the job.
            let _ = thread::Builder::new().name("ixt-write".to_owned()).spawn(work);
            jobs
        })
    }
}

impl Sink for Socket {
    fn try_write(&self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        loop {
            let sent = match bytes {
                // It takes the system less time.
                [only] => send(&self.stream, only, flags),
                _ => sendmsg(&self.stream, bytes, &mut SendAncillaryBuffer::default(), flags),
            };
            match sent {
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(0),
                sent => return Ok(sent?),
            }
        }
    }

    fn write_later(&self, bytes: WriteBuffer, from: usize, done: Done) {
        let stream = Arc::clone(&self.stream);
        let job: Job = Box::new(move || {
            let written = bytes.slices(from).try_for_each(|slice| (&*stream).write_all(slice));
            done(bytes, written);
        });
        if let Err(mpsc::SendError(job)) = self.writer().send(job) {
            job();
        }
    }

    fn gathers(&self) -> bool {
        this_thread::gathers()
    }

    fn flush_soon(&self) {
        self.executor.keep_watching();
    }
}
