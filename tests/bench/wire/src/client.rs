//! The lean client: the host's end of a socket, made to cost as little as possible, so that what is measured is the other end.
//!
//! It is one thread that sends frames made beforehand and does not parse the replies. All replies to the same frame have the same size.
//! So it reads the first one to learn the size, and only counts bytes from then on.

use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::frame::Framing;

/// How long the process may neither read nor write before it counts as hung.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The maximum number of bytes of one read. A write has about as many at most.
const BUFFER_BYTES: usize = 256 * 1024;

/// How many bytes of replies are in flight at most. A module fails calls when 64 MiB of replies wait, because the host reads too slowly.
const MAX_IN_FLIGHT_BYTES: usize = 32 * 1024 * 1024;

/// One connection.
pub struct Client {
    stream: UnixStream,
    framing: Framing,
    buffer: Vec<u8>,
}

/// A frame that is sent repeatedly, and the size of its reply.
pub struct Exchange {
    /// The frame, repeated to fill one write.
    frames: Vec<u8>,
    frame_bytes: usize,
    reply_bytes: usize,
}

impl Client {
    pub fn new(stream: UnixStream, framing: Framing) -> Result<Self> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        Ok(Self { stream, framing, buffer: vec![0; BUFFER_BYTES] })
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends a small frame, without reading. A large one could block: nobody reads the replies to it.
    pub fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.stream.write_all(frame).context("it does not read any more")
    }

    /// Reads one whole reply. Only one may be on its way.
    pub fn receive(&mut self) -> Result<Vec<u8>> {
        self.call(&[])
    }

    /// Sends a frame while nothing else is in flight, and returns the whole reply.
    fn call(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
        let (mut sent, mut reply) = (0, Vec::new());
        while !self.framing.is_whole(&reply) {
            let read = self.step(frame, frame.len(), &mut sent, frame.len())?;
            reply.extend_from_slice(&self.buffer[..read]);
        }
        Ok(reply)
    }

    /// Sends a frame once, to learn the size of its reply. Fails if the reply is an error.
    pub fn exchange(&mut self, frame: &[u8]) -> Result<Exchange> {
        let reply = self.call(frame)?;
        if memchr::memmem::find(&reply, b"\"type\":\"error\"").is_some() {
            bail!("it replies {}", String::from_utf8_lossy(&reply[..reply.len().min(500)]));
        }
        let frames = frame.repeat((BUFFER_BYTES / frame.len()).max(1));
        Ok(Exchange { frames, frame_bytes: frame.len(), reply_bytes: reply.len() })
    }

    /// Sends the frame `times` times, each after the reply to the one before. Returns the times from sending to the whole reply, in
    /// ascending order.
    pub fn one_by_one(&mut self, exchange: &Exchange, times: usize) -> Result<Vec<Duration>> {
        let mut trips = Vec::with_capacity(times);
        for _ in 0..times {
            let start = Instant::now();
            self.in_flight(exchange, 1, 1)?;
            trips.push(start.elapsed());
        }
        trips.sort_unstable();
        Ok(trips)
    }

    /// Sends the frame `times` times, with at most `depth` in flight, and fewer if they have more than 32 MiB; reads all replies. Fails if
    /// they are not as long as the first reply was.
    pub fn in_flight(&mut self, exchange: &Exchange, depth: usize, times: usize) -> Result<()> {
        let Exchange { frames, frame_bytes, reply_bytes } = exchange;
        let depth = depth.min(MAX_IN_FLIGHT_BYTES / reply_bytes).max(1);
        let (mut sent, mut received) = (0, 0);
        while received < times * reply_bytes {
            let allowed = times.min(received / reply_bytes + depth) * frame_bytes;
            received += self.step(frames, *frame_bytes, &mut sent, allowed)?;
        }
        ensure!(
            received == times * reply_bytes,
            "the replies have {received} bytes instead of {}",
            times * reply_bytes
        );
        Ok(())
    }

    /// Writes as much as the socket takes, until `sent` is `allowed` bytes, and then reads what is there into the buffer. Returns the
    /// number of bytes read.
    ///
    /// While there is more to write, it waits until it can read or write, and may return 0. When all is written, it waits for bytes to
    /// read.
    fn step(&mut self, frames: &[u8], frame_bytes: usize, sent: &mut usize, allowed: usize) -> Result<usize> {
        let socket = self.stream.as_raw_fd();
        while *sent < allowed {
            let begin = *sent % frame_bytes;
            let end = frames.len().min(begin + allowed - *sent);
            match send(socket, &frames[begin..end], MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL) {
                Ok(more) => *sent += more,
                Err(Errno::EAGAIN) => break,
                Err(error) => return Err(error).context("it does not read any more"),
            }
        }
        let all = *sent == allowed;
        match recv(socket, &mut self.buffer, if all { MsgFlags::empty() } else { MsgFlags::MSG_DONTWAIT }) {
            Ok(0) => bail!("it closed the connection"),
            Ok(read) => Ok(read),
            Err(Errno::EAGAIN) if !all => {
                let mut either = [PollFd::new(self.stream.as_fd(), PollFlags::POLLIN | PollFlags::POLLOUT)];
                let timeout = PollTimeout::try_from(TIMEOUT)?;
                ensure!(poll(&mut either, timeout)? > 0, "it neither reads nor writes for {TIMEOUT:?}");
                Ok(0)
            }
            Err(Errno::EAGAIN) => bail!("it does not reply within {TIMEOUT:?}"),
            Err(error) => Err(error.into()),
        }
    }
}
