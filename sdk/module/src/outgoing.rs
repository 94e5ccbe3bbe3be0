//! Frames on their way to the host: written by one task, many at a time, so that no handler waits for the socket.

use ixt_protocol::{ErrorBody, Frame, ModuleFrame, code};
use serde_json::value::{RawValue, to_raw_value};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::{Error, Result, log_error};

/// What a request is answered with: data, or an error.
pub(crate) type Reply = Result<Box<RawValue>>;

/// Where replies are put. Shared by everyone who answers.
#[derive(Debug)]
pub(crate) struct Outgoing {
    lines: mpsc::UnboundedSender<Vec<u8>>,
    max_frame_bytes: AtomicUsize,
}

/// How many replies one write may hold.
const BATCH: usize = 64;

impl Outgoing {
    /// Gives also the task that writes; it ends when it is told to ([`close`](Self::close)) or the host is gone.
    pub(crate) fn new(mut socket: impl AsyncWrite + Unpin, max_frame_bytes: usize) -> (Self, impl Future<Output = ()>) {
        let (lines, mut receiver) = mpsc::unbounded_channel::<Vec<u8>>();
        let writer = async move {
            let mut batch = Vec::with_capacity(BATCH);
            while receiver.recv_many(&mut batch, BATCH).await > 0 {
                let closed = batch.iter().position(Vec::is_empty);
                batch.truncate(closed.unwrap_or(BATCH));
                // A failure to write means that the host is gone, which the reader finds out as well.
                let written = match batch.as_slice() {
                    [line] => socket.write_all(line).await,
                    lines => socket.write_all(&lines.concat()).await,
                };
                if written.is_err() || closed.is_some() {
                    break;
                }
                batch.clear();
            }
        };
        (Self { lines, max_frame_bytes: AtomicUsize::new(max_frame_bytes) }, writer)
    }

    /// Ends the task that writes, once it has written what was put here before.
    pub(crate) fn close(&self) {
        // No frame is empty, so this can't be mistaken for one.
        let _ = self.lines.send(Vec::new());
    }

    /// Takes over the limit that the host gave.
    pub(crate) fn set_max_frame_bytes(&self, max_frame_bytes: usize) {
        self.max_frame_bytes.store(max_frame_bytes, Ordering::Relaxed);
    }

    /// Sends a frame that is no reply.
    ///
    /// # Errors
    ///
    /// If it is larger than the host takes.
    pub(crate) fn send(&self, frame: &Frame<ModuleFrame<'_>>) -> Result<()> {
        let mut line = Vec::new();
        frame.write(&mut line);
        let (bytes, max) = (line.len() - 1, self.max_frame_bytes.load(Ordering::Relaxed));
        if bytes > max {
            let message = format!("the request of {bytes} bytes is over the limit of {max} bytes for a frame");
            let error = Error::new(code::RESOURCE_EXHAUSTED, message);
            return Err(error.detail("bytes", bytes).detail("max_frame_bytes", max));
        }
        // Fails only when the writer has ended because the host is gone, which ends all that waits.
        let _ = self.lines.send(line);
        Ok(())
    }

    /// Answers a request.
    pub(crate) fn reply(&self, id: Option<u64>, reply: &Reply) {
        let mut line = write(id, reply);
        let (bytes, max) = (line.len() - 1, self.max_frame_bytes.load(Ordering::Relaxed));
        if bytes > max {
            let message = format!("the reply of {bytes} bytes is over the limit of {max} bytes for a frame");
            log_error(&message);
            line = write(id, &Err(Error::internal(message).detail("bytes", bytes).detail("max_frame_bytes", max)));
        }
        // Fails only when the writer has ended because the host is gone.
        let _ = self.lines.send(line);
    }
}

fn write(id: Option<u64>, reply: &Reply) -> Vec<u8> {
    let details;
    let body = match reply {
        Ok(data) => ModuleFrame::Success { data },
        Err(error) => {
            details = (!error.details().is_empty())
                .then(|| to_raw_value(error.details()).expect("a map of JSON values is JSON"));
            let code = if error.code().is_empty() { code::INTERNAL } else { error.code() };
            ModuleFrame::Error(ErrorBody {
                code: code.into(),
                message: error.message().into(),
                details: details.as_deref(),
                retryable: error.is_retryable(),
            })
        }
    };
    let mut line = Vec::new();
    Frame { id, body }.write(&mut line);
    line
}
