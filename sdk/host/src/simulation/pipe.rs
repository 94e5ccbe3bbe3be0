//! The simulated socket between the host and a process, made of two directions. Like a real one, it loses and reorders
//! no bytes, but it may deliver them late and in pieces of any size, and has room for a limited number.

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::lock::lock;

/// The longest delay of a write. Three of four writes have none.
const MAX_DELAY: Duration = Duration::from_millis(40);

/// What the two ends of a direction share.
#[derive(Debug)]
struct Wire {
    rng: fastrand::Rng,
    /// How many bytes there is room for: a power of two from 128 to 65,536.
    capacity: usize,
    /// The bytes that were written and not read, each chunk with the time at which it arrives.
    chunks: VecDeque<(Instant, VecDeque<u8>)>,
    /// How many bytes are in `chunks`.
    bytes: usize,
    /// Whether the [`WriteEnd`] was dropped: after the bytes that are left, the reader gets the end of the stream.
    writer_gone: bool,
    /// Whether the [`ReadEnd`] was dropped: writes fail.
    reader_gone: bool,
    /// The task that waits for bytes.
    reader: Option<Waker>,
    /// The tasks that wait for room.
    writers: Vec<Waker>,
}

/// The end at which bytes are written.
#[derive(Debug)]
pub(crate) struct WriteEnd(Arc<Mutex<Wire>>);

/// The end at which bytes are read.
#[derive(Debug)]
pub(crate) struct ReadEnd {
    wire: Arc<Mutex<Wire>>,
    /// Wakes the reader when the next chunk arrives.
    arrival: Pin<Box<Sleep>>,
}

/// Makes one direction of a socket, with a random capacity and random delays.
pub(crate) fn pipe(rng: &mut fastrand::Rng) -> (WriteEnd, ReadEnd) {
    let wire = Arc::new(Mutex::new(Wire {
        capacity: 1 << rng.usize(7..17),
        rng: rng.fork(),
        chunks: VecDeque::new(),
        bytes: 0,
        writer_gone: false,
        reader_gone: false,
        reader: None,
        writers: Vec::new(),
    }));
    let arrival = Box::pin(sleep_until(Instant::now()));
    (WriteEnd(Arc::clone(&wire)), ReadEnd { wire, arrival })
}

impl WriteEnd {
    /// Writes the first of the bytes, as many as there is room for or fewer, and returns how many. Does not wait: fails
    /// with `WouldBlock` if there is no room, and with `BrokenPipe` if the other end was dropped.
    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut wire = lock(&self.0);
        if wire.reader_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let room = wire.capacity.saturating_sub(wire.bytes).min(bytes.len());
        if room == 0 {
            return if bytes.is_empty() { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        // Now and then it takes less than there is room for, as a socket that is almost full does.
        let taken = if wire.rng.u8(..8) == 0 { wire.rng.usize(1..=room) } else { room };
        let delay = if wire.rng.u8(..4) == 0 { MAX_DELAY.mul_f64(wire.rng.f64()) } else { Duration::ZERO };
        let arrival = wire.chunks.back().map_or_else(Instant::now, |(last, _)| *last).max(Instant::now() + delay);
        wire.chunks.push_back((arrival, bytes[..taken].iter().copied().collect()));
        wire.bytes += taken;
        if let Some(reader) = wire.reader.take() {
            reader.wake();
        }
        Ok(taken)
    }

    /// Calls `write` whenever there is room, until it succeeds or fails with another error than `WouldBlock`.
    pub(crate) async fn finish(&self, write: impl Fn() -> io::Result<()>) {
        loop {
            self.writable().await;
            if !write().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return;
            }
        }
    }

    /// Waits until there is room, or the other end was dropped.
    async fn writable(&self) {
        std::future::poll_fn(|cx| self.poll_writable(cx)).await;
    }

    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = lock(&self.0);
        if wire.reader_gone || wire.bytes < wire.capacity {
            return Poll::Ready(());
        }
        wire.writers.push(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        let mut wire = lock(&self.0);
        wire.writer_gone = true;
        if let Some(reader) = wire.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncWrite for WriteEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        std::task::ready!(self.poll_writable(cx));
        Poll::Ready(self.write(bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ReadEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Self { wire, arrival } = self.get_mut();
        let mut wire = lock(wire);
        loop {
            let Some((arrives, _)) = wire.chunks.front() else {
                if wire.writer_gone {
                    return Poll::Ready(Ok(()));
                }
                wire.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            if *arrives > Instant::now() {
                arrival.as_mut().reset(*arrives);
                std::task::ready!(arrival.as_mut().poll(cx));
                continue;
            }
            break;
        }
        let most = if wire.rng.u8(..4) == 0 { wire.rng.usize(1..64) } else { usize::MAX };
        let mut taken = 0;
        while taken < most
            && buffer.remaining() > 0
            && let Some((arrives, chunk)) = wire.chunks.front_mut()
            && *arrives <= Instant::now()
        {
            let (bytes, _) = chunk.as_slices();
            let part = bytes.len().min(buffer.remaining()).min(most - taken);
            buffer.put_slice(&bytes[..part]);
            chunk.drain(..part);
            taken += part;
            if chunk.is_empty() {
                wire.chunks.pop_front();
            }
        }
        wire.bytes -= taken;
        for writer in std::mem::take(&mut wire.writers) {
            writer.wake();
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        let mut wire = lock(&self.wire);
        wire.reader_gone = true;
        wire.chunks.clear();
        wire.bytes = 0;
        for writer in std::mem::take(&mut wire.writers) {
            writer.wake();
        }
    }
}

/// One end of a socket: it reads one direction and writes the other.
#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) reader: ReadEnd,
    pub(crate) writer: WriteEnd,
}

/// Makes a socket, and returns its two ends.
pub(crate) fn socket_pair(rng: &mut fastrand::Rng) -> (Socket, Socket) {
    let (one, other) = (pipe(rng), pipe(rng));
    (Socket { reader: other.1, writer: one.0 }, Socket { reader: one.1, writer: other.0 })
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().reader).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().writer).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
