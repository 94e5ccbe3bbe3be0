//! The two halves of a module's socket. Only the reading half is registered with tokio's reactor all the time: a registered writing half
//! would wake the host each time the module has read something. The writing half is registered while the socket takes no more.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;

#[cfg(test)]
use crate::simulation;

/// The pause between attempts to write when the process has no file descriptor left to register.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// A module's socket once it is connected.
#[derive(Debug)]
pub(crate) enum ModuleSocket {
    Unix(tokio::net::UnixStream),
    #[cfg(test)]
    Simulated(simulation::Socket),
}

impl From<tokio::net::UnixStream> for ModuleSocket {
    fn from(socket: tokio::net::UnixStream) -> Self {
        Self::Unix(socket)
    }
}

/// The reading half. It is read by one task alone.
#[derive(Debug)]
pub(super) enum Reader {
    /// tokio registers a pipe for one direction alone; for a socket it has no such type.
    Unix(pipe::Receiver),
    #[cfg(test)]
    Simulated(simulation::ReadEnd),
}

/// The writing half. Any thread may write, one at a time.
#[derive(Debug)]
pub(super) enum Writer {
    Unix(UnixStream),
    #[cfg(test)]
    Simulated(simulation::WriteEnd),
}

/// Splits a connected socket into its halves. Fails if its file descriptor can't be duplicated or registered, such as
/// when the process has too many open files.
pub(super) fn split(socket: impl Into<ModuleSocket>) -> io::Result<(Reader, Writer)> {
    match socket.into() {
        ModuleSocket::Unix(socket) => {
            let socket = socket.into_std()?;
            let reader = pipe::Receiver::from_owned_fd_unchecked(socket.try_clone()?.into())?;
            Ok((Reader::Unix(reader), Writer::Unix(socket)))
        }
        #[cfg(test)]
        ModuleSocket::Simulated(simulation::Socket { reader, writer }) => {
            Ok((Reader::Simulated(reader), Writer::Simulated(writer)))
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(reader) => Pin::new(reader).poll_read(cx, buffer),
            #[cfg(test)]
            Self::Simulated(reader) => Pin::new(reader).poll_read(cx, buffer),
        }
    }
}

impl Writer {
    /// Writes as many of the bytes as the socket takes now, without blocking, and returns their number. The error is
    /// `WouldBlock` if it takes none; any other means that the module has closed its socket.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut socket = match self {
            Self::Unix(socket) => socket,
            #[cfg(test)]
            Self::Simulated(socket) => return socket.write(bytes),
        };
        loop {
            match socket.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    /// Calls `write` each time the socket takes more, until it returns something else than `WouldBlock`. Calls it every 10 ms instead if
    /// no file descriptor is left to register. If the runtime ends before, closes the connection.
    pub(super) async fn finish(&self, write: impl Fn() -> io::Result<()>) {
        let whole = match self {
            Self::Unix(socket) => socket,
            #[cfg(test)]
            Self::Simulated(socket) => return socket.finish(write).await,
        };
        let socket = whole.try_clone().and_then(|stream| pipe::Sender::from_owned_fd_unchecked(stream.into()));
        let Ok(socket) = socket else { return finish_by_retrying(write).await };
        loop {
            if socket.writable().await.is_err() {
                // The runtime ends. A reader that is left, such as the module's, sees that the connection is closed.
                let _ = whole.shutdown(Shutdown::Both);
                return;
            }
            match socket.try_io(&write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => return,
            }
        }
    }
}

/// Like [`Writer::finish`], but calls `write` every 10 ms, since there is no file descriptor to register.
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
    async fn without_a_file_descriptor_a_write_is_tried_again() {
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
