//! The host's end of the control socket.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ixt_protocol::{LogLevel, code};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::SetOnce;

use crate::Host;
use crate::control::lines::refusal;
use crate::control::peer::Peer;
use crate::control::session::Session;
use crate::listener::Door;

/// And so much of all that are being read or worked on.
const LINES_BYTES: usize = 64 * 1024 * 1024;

/// The control socket of a host. Unless it was handed over, it is removed when this is dropped.
#[derive(Debug)]
pub struct Control {
    pub(super) path: PathBuf,
    pub(super) listener: UnixListener,
    pub(super) made: Option<BoundSocket>,
    pub(super) stop: Arc<SetOnce<()>>,
    pub(super) started: Instant,
}

/// What the host has made, and removes.
#[derive(Debug)]
pub(super) struct BoundSocket {
    /// That of the socket: whatever else is there is none of this host's.
    pub(super) inode: (u64, u64),
    pub(super) _lock: File,
}

impl Control {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until somebody asks the host to stop.
    pub async fn asked_to_stop(&self) {
        self.stop.wait().await;
    }

    /// Answers, as long as this is awaited: also while the host shuts down, when calls are answered `UNAVAILABLE`.
    pub async fn serve(&self, host: &Host) {
        if self.made.is_some() {
            host.has_control(&self.path);
        }
        let (door, lines) = (Arc::new(Door::default()), host.memory().part(LINES_BYTES));
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
                    // Out of files, most likely: others will be closed.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            is_told = false;
            let Ok(peer) = stream.peer_cred() else { continue };
            if peer.uid() != rustix::process::geteuid().as_raw() {
                continue;
            }
            let Some(guest) = door.enter() else {
                refuse(&stream);
                continue;
            };
            // At once: it may be gone before it is answered.
            let peer = Peer::of(peer.pid(), host.managed());
            let (host, stop, started) = (host.clone(), Arc::clone(&self.stop), self.started);
            tokio::spawn(Session { host, peer, stop, started, guest, lines: Arc::clone(&lines) }.run(stream));
        }
    }
}

/// The host works for as many as it can.
fn refuse(stream: &UnixStream) {
    let reply = refusal(code::RESOURCE_EXHAUSTED, "the host works for as many connections as it can: try again later");
    if let Ok(mut line) = serde_json::to_vec(&reply) {
        line.push(b'\n');
        // It is short, and the first thing in the socket.
        let _ = stream.try_write(&line);
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The lock is kept to the end, so that this is nobody else's. It stays: to remove it would be to take the place of
        // one who has just opened it.
        let Some(BoundSocket { inode, .. }) = self.made else { return };
        if fs::symlink_metadata(&self.path).is_ok_and(|there| (there.dev(), there.ino()) == inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
