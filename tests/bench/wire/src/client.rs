//! The host's end of a socket, as lean as possible, so that the measurement is of the other end: one thread, frames that were made
//! before, and replies that are not parsed. All replies to the same frame have the same size, so after the first one it counts bytes.

use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::frame::Framing;

/// The timeout of a read or a write. A process that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// The most bytes of one read, and about the most of one write.
const BUFFER: usize = 256 * 1024;

pub struct Client {
    stream: UnixStream,
    framing: Framing,
    buffer: Vec<u8>,
}

/// A frame that is sent repeatedly, and the size of its reply.
pub struct Exchange {
    /// The frame as often as it is written at once.
    frames: Vec<u8>,
    frame: usize,
    reply: usize,
}

impl Client {
    pub fn new(stream: UnixStream, framing: Framing) -> Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, framing, buffer: vec![0; BUFFER] })
    }

    pub fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends a frame while nothing else is on its way, and returns its whole reply.
    pub fn call(&mut self, frame: &[u8]) -> Result<Vec<u8>> {
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
            bail!("it answers {}", String::from_utf8_lossy(&reply[..reply.len().min(500)]));
        }
        let frames = frame.repeat((BUFFER / frame.len()).max(1));
        Ok(Exchange { frames, frame: frame.len(), reply: reply.len() })
    }

    /// Sends the frame `times` times, one after the other. Returns the times from sending to having read the reply, sorted.
    pub fn one_by_one(&mut self, exchange: &Exchange, times: usize) -> Result<Vec<Duration>> {
        let mut trips = Vec::with_capacity(times);
        for _ in 0..times {
            let start = Instant::now();
            self.many(exchange, 1, 1)?;
            trips.push(start.elapsed());
        }
        trips.sort_unstable();
        Ok(trips)
    }

    /// Sends the frame `times` times, with at most `depth` of them on their way, and reads all replies.
    pub fn many(&mut self, exchange: &Exchange, depth: usize, times: usize) -> Result<()> {
        let Exchange { frames, frame, reply } = exchange;
        let (mut sent, mut received) = (0, 0);
        while received < times * reply {
            let allowed = times.min(received / reply + depth) * frame;
            received += self.step(frames, *frame, &mut sent, allowed)?;
        }
        ensure!(received == times * reply, "the replies have {received} bytes instead of {}", times * reply);
        Ok(())
    }

    /// Writes as much as the socket takes, up to `allowed` bytes in all, and then reads what is there. Waits if it can do neither, and
    /// for something to read when all is written.
    fn step(&mut self, frames: &[u8], frame: usize, sent: &mut usize, allowed: usize) -> Result<usize> {
        let socket = self.stream.as_raw_fd();
        while *sent < allowed {
            let begin = *sent % frame;
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
                ensure!(poll(&mut either, PollTimeout::try_from(PATIENCE)?)? > 0, "it neither reads nor writes");
                Ok(0)
            }
            Err(Errno::EAGAIN) => bail!("it does not answer"),
            Err(error) => Err(error.into()),
        }
    }
}
