//! The two halves of a module's socket. Only the reading half is registered with tokio's reactor all the time: a registered writing
//! half would wake the host each time the module has read something. The writing half is registered while a write is left over.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use tokio::net::unix::pipe;

/// The pause between attempts to write when there is no file descriptor left to wait with.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// The reading half. A pipe is tokio's type for what is registered for one direction alone.
pub(super) type Reader = pipe::Receiver;

/// The writing half.
#[derive(Debug)]
pub(super) struct Writer(UnixStream);

pub(super) fn split(stream: tokio::net::UnixStream) -> io::Result<(Reader, Writer)> {
    let stream = stream.into_std()?;
    let reader = Reader::from_owned_fd_unchecked(stream.try_clone()?.into())?;
    Ok((reader, Writer(stream)))
}

impl Writer {
    /// Writes what the socket takes now, without blocking; `WouldBlock` if that is nothing.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match (&self.0).write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Calls `write` each time that the socket takes more, until it returns something else than `WouldBlock`.
    pub(super) async fn finish(&self, write: impl Fn() -> io::Result<()>) {
        let socket = self.0.try_clone().and_then(|stream| pipe::Sender::from_owned_fd_unchecked(stream.into()));
        let Ok(socket) = socket else { return finish_by_retrying(write).await };
        loop {
            if socket.writable().await.is_err() {
                // The runtime ends. The reader, if there is one left, sees that the connection is over.
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

/// The same without a file descriptor to wait with.
async fn finish_by_retrying(write: impl Fn() -> io::Result<()>) {
    while write().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_can_not_be_waited_for_is_tried_again() {
        let left = Cell::new(3);
        finish_by_retrying(|| {
            left.set(left.get() - 1);
            if left.get() > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
        })
        .await;
        assert_eq!(left.get(), 0);
        finish_by_retrying(|| Err(io::ErrorKind::BrokenPipe.into())).await;
    }
}
