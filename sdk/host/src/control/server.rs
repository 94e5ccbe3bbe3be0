//! The listening control socket: accepts connections, and runs a [`ControlSession`] for each.
//! [`Claim::listen`](crate::control::Claim::listen) in `claim.rs` makes the socket.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ixt_protocol::{LogLevel, code};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::SetOnce;

use crate::connection_limit::ConnectionLimit;
use crate::control::lines::refusal;
use crate::control::peer::ControlPeer;
use crate::control::session::ControlSession;
use crate::host::Host;

/// How many bytes the requests and replies of all connections may take together, while they are read, worked on or
/// written; the first 64 KiB of each do not count. It is a part of the host's memory; beyond it requests are refused
/// with `RESOURCE_EXHAUSTED`.
const LINES_BYTES: usize = 64 * 1024 * 1024;

/// A listening control socket, from [`Claim::listen`](crate::control::Claim::listen). The socket is removed when this
/// is dropped, unless a service manager has handed it over or another file is at its path by then. Connections are
/// accepted only while [`serve`](Self::serve) is polled; until then clients wait.
#[derive(Debug)]
pub struct Control {
    /// The path of the socket, as it was given or handed over.
    pub(super) path: PathBuf,
    pub(super) listener: UnixListener,
    /// `None` if a service manager has made the socket.
    pub(super) made: Option<BoundSocket>,
    /// Set once a client has asked to stop the host.
    pub(super) stop: Arc<SetOnce<()>>,
    /// When the socket began to listen.
    pub(super) started: Instant,
}

/// A socket that the host has made itself and removes.
#[derive(Debug)]
pub(super) struct BoundSocket {
    /// The device and inode of the socket: another file at its path is not removed.
    pub(super) inode: (u64, u64),
    /// The lock file, locked until this is dropped: see `control_lock`.
    pub(super) _lock: File,
}

impl Control {
    /// The path of the socket, as it was given or handed over; it may be relative.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until a client asks to stop the host, which the caller then has to do: see [`Host::shutdown`]. Returns at
    /// once if one already has. Cancel-safe.
    pub async fn asked_to_stop(&self) {
        self.stop.wait().await;
    }

    /// Accepts connections for as long as the future is polled, and spawns a task for each; these go on if the future
    /// is dropped, and hold a handle of the host until they end. Never completes: if no connection can be accepted, it
    /// logs that and tries again every 50 ms. To be called once: each call has a [limit](crate::connection_limit) of
    /// its own. Keep polling it while the host shuts down, so that clients get answers; their calls then fail with
    /// `UNAVAILABLE`.
    pub async fn serve(&self, host: &Host) {
        if self.made.is_some() {
            host.has_control(&self.path);
        }
        let (limit, lines) = (Arc::new(ConnectionLimit::default()), host.memory().part(LINES_BYTES));
        let mut is_logged = false;
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if !std::mem::replace(&mut is_logged, true) {
                        let message =
                            format!("can't accept connections at the host's socket, and tries again: {error}");
                        host.logs().host(LogLevel::Error, "host", message);
                    }
                    // Probably the process has no more file descriptors. Some will be closed soon.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            is_logged = false;
            let Ok(peer) = stream.peer_cred() else { continue };
            if peer.uid() != rustix::process::geteuid().as_raw() {
                continue;
            }
            let Some(permit) = limit.admit() else {
                refuse(&stream);
                continue;
            };
            // Before its request is read, since the process may end meanwhile.
            let peer = ControlPeer::of(peer.pid(), host.routers());
            let (host, stop, started) = (host.clone(), Arc::clone(&self.stop), self.started);
            tokio::spawn(ControlSession { host, peer, stop, started, permit, lines: Arc::clone(&lines) }.run(stream));
        }
    }
}

/// Refuses a connection with `RESOURCE_EXHAUSTED`, since the host is working on the requests of as many as it serves.
fn refuse(stream: &UnixStream) {
    let reply = refusal(code::RESOURCE_EXHAUSTED, "the host serves as many connections as it can: try again later");
    if let Ok(mut line) = serde_json::to_vec(&reply) {
        line.push(b'\n');
        // The socket takes this at once: the line is short, and the first one.
        let _ = stream.try_write(&line);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The lock is released only after this, so that no other host can claim the path meanwhile. The lock file stays: if
        // it were removed, a host that has just opened it would lock a file that others do not see.
        let Some(BoundSocket { inode, .. }) = self.made else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|now| (now.dev(), now.ino()) == inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
