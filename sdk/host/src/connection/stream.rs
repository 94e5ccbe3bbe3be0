//! The socket of a module. Who waits for something to read is woken for nothing else: a socket of tokio wakes the host each
//! time that the module has read, too. Who can't write waits for that apart, and only then.

use std::io::{self, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use tokio::net::unix::pipe;

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
        let writes = async {
            let socket = pipe::Sender::from_owned_fd_unchecked(self.0.try_clone()?.into())?;
            loop {
                socket.writable().await?;
                match socket.try_io(&write) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    done => return done,
                }
            }
        };
        if writes.await.is_err() {
            // There is nothing by which to wait for it. Whoever reads from the module sees that it is over.
            let _ = self.0.shutdown(Shutdown::Both);
        }
    }
}
