//! The control socket: accepts connections, each of which becomes a [`ControlSession`].

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ixt_protocol::{LogLevel, code};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::SetOnce;

use crate::Host;
use crate::connection_limit::ConnectionLimit;
use crate::control::lines::refusal;
use crate::control::peer::ControlPeer;
use crate::control::session::ControlSession;

/// How many bytes all requests and replies may take together, while they are read, worked on or written.
const LINES_BYTES: usize = 64 * 1024 * 1024;

/// A control socket that is listening. It is removed when this is dropped, unless it was handed over by a service
/// manager.
#[derive(Debug)]
pub struct Control {
    pub(super) path: PathBuf,
    pub(super) listener: UnixListener,
    /// The socket, if the host has made it itself.
    pub(super) made: Option<BoundSocket>,
    pub(super) stop: Arc<SetOnce<()>>,
    pub(super) started: Instant,
}

/// A socket that the host has made, and removes.
#[derive(Debug)]
pub(super) struct BoundSocket {
    /// Its device and inode. Another file at its path is not removed.
    pub(super) inode: (u64, u64),
    pub(super) _lock: File,
}

impl Control {
    /// The path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until a client asks the host to stop.
    pub async fn asked_to_stop(&self) {
        self.stop.wait().await;
    }

    /// Serves requests for as long as the future is polled. To be polled also while the host shuts down; calls are then
    /// refused as `UNAVAILABLE`.
    pub async fn serve(&self, host: &Host) {
        if self.made.is_some() {
            host.has_control(&self.path);
        }
        let (limit, lines) = (Arc::new(ConnectionLimit::default()), host.memory().part(LINES_BYTES));
        let mut is_told = false;
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        let message =
                            format!("can't take connections to the host's socket, and goes on trying: {error}");
                        host.logs().host(LogLevel::Error, "host", message);
                    }
                    // Most likely there are no more file descriptors; others will be closed.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            is_told = false;
            let Ok(peer) = stream.peer_cred() else { continue };
            if peer.uid() != rustix::process::geteuid().as_raw() {
                continue;
            }
            let Some(permit) = limit.admit() else {
                refuse(&stream);
                continue;
            };
            // At once: the process may be gone before its request is served.
            let peer = ControlPeer::of(peer.pid(), host.routers());
            let (host, stop, started) = (host.clone(), Arc::clone(&self.stop), self.started);
            tokio::spawn(ControlSession { host, peer, stop, started, permit, lines: Arc::clone(&lines) }.run(stream));
        }
    }
}

/// Refuses a connection when there are as many as the host serves.
fn refuse(stream: &UnixStream) {
    let reply = refusal(code::RESOURCE_EXHAUSTED, "the host serves as many connections as it can: try again later");
    if let Ok(mut line) = serde_json::to_vec(&reply) {
        line.push(b'\n');
        // It is short, and the socket is empty, so that it fits.
        let _ = stream.try_write(&line);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The lock is held until the end, so that no other host has the path meanwhile. The lock file stays: removing
        // it would take away the lock of a host that has just opened it.
        let Some(BoundSocket { inode, .. }) = self.made else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
