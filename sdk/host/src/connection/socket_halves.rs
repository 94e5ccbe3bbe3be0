//! The socket of a module. Who waits for something to read is woken for nothing else: a socket of tokio wakes the host each
//! time that the module has read, too. Who can't write waits for that apart, and only then.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::net::unix::pipe;

/// The time between two tries to write, where nothing tells that it can be done.
const TRY_EVERY: Duration = Duration::from_millis(10);

/// The end from which is read. What tokio calls a pipe is whatever is registered for one direction alone.
pub(super) type Reader = pipe::Receiver;

/// The end to which is written.
#[derive(Debug)]
pub(super) struct Writer(UnixStream);

pub(super) fn split(stream: tokio::net::UnixStream) -> io::Result<(Reader, Writer)> {
    let stream = stream.into_std()?;
    let reader = Reader::from_owned_fd_unchecked(stream.try_clone()?.into())?;
    Ok((reader, Writer(stream)))
}

impl Writer {
    /// Writes what the socket takes now.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&self.0).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Tries again to write, each time that the socket takes more.
    pub(super) async fn finish(&self, write: impl Fn() -> io::Result<()>) {
        let socket = self.0.try_clone().and_then(|stream| pipe::Sender::from_owned_fd_unchecked(stream.into()));
        // Without a descriptor left there is nothing by which to wait for it.
        let Ok(socket) = socket else { return finish_by_the_clock(write).await };
        loop {
            if socket.writable().await.is_err() {
                // The runtime ends. Whoever reads from the module sees that it is over.
                let _ = self.0.shutdown(Shutdown::Both);
                return;
            }
            match socket.try_io(&write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

/// Tries again to write every now and then.
async fn finish_by_the_clock(write: impl Fn() -> io::Result<()>) {
    while write().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        tokio::time::sleep(TRY_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_waited_for_is_tried_again() {
        let left = Cell::new(3);
        finish_by_the_clock(|| {
            left.set(left.get() - 1);
            if left.get() > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        })
        .await;
        assert_eq!(left.get(), 0);
        finish_by_the_clock(|| Err(io::ErrorKind::BrokenPipe.into())).await;
    }
}
