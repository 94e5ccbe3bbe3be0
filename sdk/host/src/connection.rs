//! The host's side of a connection: numbers requests, and brings each reply to the one who waits for it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ixt_protocol::{Decoder, ErrorBody, Frame, Framing, HostFrame, ModuleFrame, RawFrame, Unreadable, code};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{mpsc, oneshot};

/// What a module answered instead of success.
#[derive(Debug, Clone, PartialEq)]
pub struct ErrorReply {
    /// What kind of failure it is.
    pub code: String,
    /// What went wrong, for people.
    pub message: String,
    /// More about it; `null` if there is nothing more.
    pub details: Value,
    /// Whether the same request may do better later.
    pub retryable: bool,
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Why a call got no data.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The module answered with an error.
    Replied(ErrorReply),
    /// The request is larger than a frame may be; it was not sent.
    TooLong {
        /// The frame's size.
        bytes: usize,
        /// The limit.
        max_frame_bytes: usize,
    },
    /// The connection ended before the reply came. What became of the request is not known.
    Gone {
        /// What is known about the reason.
        reason: String,
    },
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Replied(reply) => reply.fmt(f),
            Self::TooLong { bytes, max_frame_bytes } => {
                write!(f, "the request of {bytes} bytes is over the limit of {max_frame_bytes} bytes for a frame")
            }
            Self::Gone { reason } => f.write_str(reason),
        }
    }
}

impl std::error::Error for CallError {}

type Reply = Result<Box<RawValue>, ErrorReply>;

#[derive(Debug)]
pub(crate) struct Connection {
    lines: mpsc::UnboundedSender<Vec<u8>>,
    pending: Arc<Mutex<Pending>>,
    max_frame_bytes: usize,
}

#[derive(Debug, Default)]
struct Pending {
    last_id: u64,
    /// Sorted, so that the oldest is found for a module that answers without ids.
    waiting: BTreeMap<u64, oneshot::Sender<Reply>>,
    closed: bool,
}

impl Connection {
    /// `complain` is called with what is wrong with something the module sent that belongs to no call.
    pub(crate) fn new(
        stream: UnixStream,
        max_frame_bytes: usize,
        complain: impl Fn(String) + Send + Sync + 'static,
    ) -> Self {
        let (reader, mut writer) = stream.into_split();
        let (lines, mut outgoing) = mpsc::unbounded_channel::<Vec<u8>>();
        // A task of its own, so that a request that nobody waits for any more is still written to its end.
        tokio::spawn(async move {
            while let Some(line) = outgoing.recv().await {
                // If this fails the module is gone; then the reader sees that too, and ends all waits.
                if writer.write_all(&line).await.is_err() {
                    return;
                }
            }
        });
        let pending = Arc::<Mutex<Pending>>::default();
        tokio::spawn(read(reader, Decoder::new(max_frame_bytes), Arc::clone(&pending), lines.downgrade(), complain));
        Self { lines, pending, max_frame_bytes }
    }

    /// Whether the module has closed its end: no request is sent any more.
    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.pending).closed
    }

    /// Sends a request and waits for its reply. Dropped before that, it tells the module that nobody waits.
    pub(crate) async fn request(&self, body: HostFrame<'_>) -> Result<Box<RawValue>, CallError> {
        let gone = || CallError::Gone { reason: "the module closed its connection".to_owned() };
        let (sender, reply) = oneshot::channel();
        let id = {
            let mut pending = lock(&self.pending);
            if pending.closed {
                return Err(gone());
            }
            pending.last_id += 1;
            let id = pending.last_id;
            pending.waiting.insert(id, sender);
            id
        };
        let mut line = Vec::new();
        let bytes = Frame { id: Some(id), body }.write(Framing::Line, &mut line);
        let max_frame_bytes = self.max_frame_bytes;
        if bytes > max_frame_bytes {
            lock(&self.pending).waiting.remove(&id);
            return Err(CallError::TooLong { bytes, max_frame_bytes });
        }
        let _ = self.lines.send(line);
        let mut cancel = CancelOnDrop { id: Some(id), lines: &self.lines };
        let reply = reply.await;
        cancel.id = None;
        reply.map_err(|_| gone())?.map_err(CallError::Replied)
    }
}

struct CancelOnDrop<'a> {
    id: Option<u64>,
    lines: &'a mpsc::UnboundedSender<Vec<u8>>,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.id.is_some() {
            let mut line = Vec::new();
            Frame { id: self.id, body: HostFrame::Cancel }.write(Framing::Line, &mut line);
            let _ = self.lines.send(line);
        }
    }
}

async fn read(
    mut reader: OwnedReadHalf,
    mut decoder: Decoder,
    pending: Arc<Mutex<Pending>>,
    lines: mpsc::WeakUnboundedSender<Vec<u8>>,
    complain: impl Fn(String),
) {
    loop {
        while let Some(frame) = decoder.next_frame() {
            match frame {
                Ok(frame) => receive(frame, &pending, &lines, &complain),
                Err(too_long) => {
                    // Whose reply it was is lost with it, so that every call could wait for it for ever.
                    let reply = wrong_reply(&too_long);
                    complain(format!("{too_long}; it was skipped"));
                    for waiting in std::mem::take(&mut lock(&pending).waiting).into_values() {
                        let _ = waiting.send(Err(reply.clone()));
                    }
                }
            }
        }
        if !matches!(reader.read_buf(decoder.input()).await, Ok(1..)) {
            break;
        }
    }
    let mut pending = lock(&pending);
    pending.closed = true;
    pending.waiting.clear();
}

fn receive(
    frame: RawFrame<'_>,
    pending: &Mutex<Pending>,
    lines: &mpsc::WeakUnboundedSender<Vec<u8>>,
    complain: &impl Fn(String),
) {
    let (id, reply) = match ModuleFrame::read(frame) {
        Ok(Frame { id, body: ModuleFrame::Success { data } }) => (id, Ok(data.into_owned())),
        Ok(Frame { id, body: ModuleFrame::Error(error) }) => (
            id,
            Err(ErrorReply {
                code: error.code.into_owned(),
                message: error.message.into_owned(),
                details: error
                    .details
                    .map_or(Value::Null, |details| serde_json::from_str(details.get()).unwrap_or_default()),
                retryable: error.retryable,
            }),
        ),
        Ok(Frame { id, body: ModuleFrame::ServiceRequest(request) }) => {
            // There is nobody else whom it could call.
            let message =
                format!("this host runs one module alone: it has no `{}.{}`", request.service, request.method);
            let error = ErrorBody {
                code: code::UNIMPLEMENTED.into(),
                message: message.into(),
                details: None,
                retryable: false,
            };
            let mut line = Vec::new();
            Frame { id, body: HostFrame::ServiceResponse(Err(error)) }.write(Framing::Line, &mut line);
            // If the host has hung up, nothing is written any more.
            if let Some(lines) = lines.upgrade() {
                let _ = lines.send(line);
            }
            return;
        }
        // It was answered at once; and log lines are taken from stderr.
        Ok(Frame { body: ModuleFrame::Cancel | ModuleFrame::Log(_), .. }) => return,
        // A request is none of the replies; so is one of the wrong shape.
        Err(Unreadable::Invalid { kind, error, .. }) if kind == "service_request" || kind == "cancel" => {
            return complain(format!("skipped what it sent: {error}"));
        }
        // A reply of the wrong shape ends its call (protocol).
        Err(Unreadable::Invalid { id, error, .. }) => (id, Err(wrong_reply(&error))),
        Err(unreadable) => return complain(format!("skipped what it sent: {unreadable}")),
    };
    let mut pending = lock(pending);
    // A module that handles one request at a time may leave the id out (protocol).
    let id = id.or_else(|| pending.waiting.keys().next().copied());
    match id.and_then(|id| pending.waiting.remove(&id)) {
        // Nobody waits any more if the call was dropped.
        Some(waiting) => drop(waiting.send(reply)),
        None => complain("it sent a reply that nobody waits for".to_owned()),
    }
}

fn wrong_reply(error: &dyn fmt::Display) -> ErrorReply {
    ErrorReply {
        code: code::INTERNAL.to_owned(),
        message: format!("the module's reply is wrong: {error}"),
        details: Value::Null,
        retryable: false,
    }
}

fn lock(pending: &Mutex<Pending>) -> MutexGuard<'_, Pending> {
    // Nothing that can panic happens under this lock.
    pending.lock().unwrap_or_else(PoisonError::into_inner)
}
