//! Sockets that a service manager has made, and hands over when it starts the host (systemd's socket activation): whoever connects waits from
//! then on, whether the host runs, starts, or is started again.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;

use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// What was handed over.
#[derive(Debug, Default)]
pub(crate) struct Activation {
    pub(crate) control: Option<UnixListener>,
    pub(crate) http: Option<TcpListener>,
}

impl Activation {
    /// Takes what was handed over, which can be done once, and in a process that has one thread: `LISTEN_PID` and `LISTEN_FDS` are gone then.
    ///
    /// # Errors
    ///
    /// If there is something that this host has no use for: nobody would ever be served there.
    pub(crate) fn take() -> anyhow::Result<Self> {
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

    fn add(&mut self, sockets: &mut ListenFd, index: usize, name: &str) -> anyhow::Result<()> {
        match name {
            "control" => put(&mut self.control, sockets.take_unix_listener(index), "control"),
            "http" => put(&mut self.http, sockets.take_tcp_listener(index), "http"),
            // That of the unit, which says nothing: by what it is.
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

fn put<T: AsFd>(place: &mut Option<T>, socket: io::Result<Option<T>>, name: &str) -> anyhow::Result<()> {
    let socket = socket?.context("was handed over twice")?;
    ensure!(socket_acceptconn(&socket)?, "is a connection, and not a place to listen at: its unit says `Accept=no`");
    ensure!(place.is_none(), "would be the second one of the kind `{name}`, and a host has one of each");
    *place = Some(socket);
    Ok(())
}
