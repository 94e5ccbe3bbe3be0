//! Socket activation: a service manager such as systemd creates the sockets, and passes them to the host when it starts it. Clients can
//! connect before the host has started, and while it is restarted: they wait, and are not refused.
//!
//! `LISTEN_FDNAMES` says what a socket is for: `control` for the commands of `ixt`, `http` for `--http`. A socket with another name, or
//! without one, is recognized by its kind: Unix or TCP. Where the host listens otherwise is decided in `mod` and `http`.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// The sockets that the service manager has passed on, each of which listens; `None` where there was none of that kind. The default has
/// none.
#[derive(Debug, Default)]
pub(super) struct Activation {
    /// For the commands of `ixt`: a Unix stream socket, at any path.
    pub(super) control: Option<UnixListener>,
    /// For the HTTP server: a TCP socket, at any address.
    pub(super) http: Option<TcpListener>,
}

impl Activation {
    /// Takes the sockets over. Without `LISTEN_FDS` for this process (`LISTEN_PID`) there are none. Call it once, while the process has a
    /// single thread: it removes `LISTEN_PID` and `LISTEN_FDS` from the environment. Does not wait.
    ///
    /// # Errors
    ///
    /// If a socket is neither of the two kinds, is not of the kind that its name says, does not listen, or is the second one of its kind:
    /// its clients would wait without an answer. The message names the first such socket.
    pub(super) fn take() -> anyhow::Result<Self> {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let (mut sockets, mut this) = (ListenFd::from_env(), Self::default());
        for index in 0..sockets.len() {
            let name = names.next().unwrap_or_default();
            this.add(&mut sockets, index, name).with_context(|| {
                format!("the socket `{name}`, number {} of those that the service manager hands over", index + 1)
            })?;
        }
        Ok(this)
    }

    /// Takes the socket with this index, from 0, and this name, which may be empty.
    fn add(&mut self, sockets: &mut ListenFd, index: usize, name: &str) -> anyhow::Result<()> {
        match name {
            "control" => put(&mut self.control, sockets.take_unix_listener(index), "control"),
            "http" => put(&mut self.http, sockets.take_tcp_listener(index), "http"),
            // systemd's default is the name of the unit, which does not say what the socket is for.
            _ => match sockets.take_unix_listener(index) {
                Ok(control) => put(&mut self.control, Ok(control), "control"),
                Err(_) => match sockets.take_tcp_listener(index) {
                    Ok(http) => put(&mut self.http, Ok(http), "http"),
                    Err(_) => bail!("is neither a Unix stream socket (`control`) nor one of TCP (`http`)"),
                },
            },
        }
    }
}

/// Puts a socket into its place. It is an error if it is of another kind, was taken before, does not listen, or if the place has one; the
/// place stays as it was then. `name` is the kind.
fn put<T: AsFd>(place: &mut Option<T>, socket: io::Result<Option<T>>, name: &str) -> anyhow::Result<()> {
    let socket = socket?.context("was handed over twice")?;
    ensure!(socket_acceptconn(&socket)?, "is a connection, not a listening socket: its unit must say `Accept=no`");
    ensure!(place.is_none(), "is the second one of the kind `{name}`: a host has one of each");
    *place = Some(socket);
    Ok(())
}
