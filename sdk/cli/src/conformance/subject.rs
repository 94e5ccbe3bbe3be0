//! The module under test: its command, its configuration, and the options of the checks. It does not change while the
//! checks are made.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use ixt_manifest::Manifest;
use serde_json::Value;

use super::launch::LaunchCommand;
use super::process::{ModuleProcess, OutputTail, POLL_INTERVAL, ProcessGroups};
use super::section::Section;
use super::session::{ModuleSession, ended};
use super::verdict::{Stop, failed};
use super::wire::{Framing, HostWire};

/// The module under test. Each check starts processes of it.
pub(super) struct Subject {
    pub(super) launch: LaunchCommand,
    pub(super) manifest: Manifest,
    /// The configuration for `init`: the manifest's defaults, and what `--config` sets.
    pub(super) config: Value,
    /// How long the module has for each step: to connect, to answer a request, to end.
    pub(super) timeout: Duration,
    /// The topics of services that are never called, from `--skip`.
    pub(super) skip: Vec<String>,
    /// The topic of a service whose reply has the payload of its request, from `--echo`. `None` if there is none.
    pub(super) echo: Option<String>,
    /// The running processes, which an interrupted command kills.
    pub(super) groups: ProcessGroups,
}

impl Subject {
    /// Starts a process, and waits until it has connected. Its output goes to `output`. [`Stop::Failed`] if it exits
    /// first or does not connect within the timeout, [`Stop::CannotStart`] if the socket can't be made or the program
    /// can't be started.
    pub(super) fn start(&self, output: &OutputTail) -> Result<ModuleSession, Stop> {
        let no_socket = |error: io::Error| Stop::CannotStart(format!("can't make a socket for the module: {error}"));
        let dir = tempfile::Builder::new().prefix("ixt-").permissions(Permissions::from_mode(0o700)).tempdir();
        let dir = dir.map_err(no_socket)?;
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).map_err(no_socket)?;
        listener.set_nonblocking(true).map_err(no_socket)?;

        let mut process = ModuleProcess::spawn(&self.launch, &path, &self.groups, output)
            .map_err(|error| Stop::CannotStart(format!("can't start {}: {error}", self.launch.program.display())))?;
        let deadline = Instant::now() + self.timeout;
        let expected = "the module connects to the socket in IXT_IPC_SOCKET";
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(no_socket(error)),
                Err(_) => {}
            }
            if let Some(status) = process.has_ended() {
                return Err(failed(Section::Transport, expected, ended(Some(status))));
            }
            if Instant::now() >= deadline {
                return Err(failed(Section::Transport, expected, format!("no connection within {:?}", self.timeout)));
            }
            std::thread::sleep(POLL_INTERVAL);
        };
        let wire = HostWire::new(stream, self.framing(), self.timeout).map_err(no_socket)?;
        Ok(ModuleSession::new(process, wire, self.timeout, self.launch.module_id.clone()))
    }

    /// The framing from the start of a connection: what the manifest asks for, or else `line`.
    pub(super) fn framing(&self) -> Framing {
        match self.manifest.process.framing.as_deref() {
            Some("length") => Framing::Length,
            _ => Framing::Line,
        }
    }

    /// Whether the manifest has a service of this topic without a declared request, which takes any bytes.
    pub(super) fn takes_bytes(&self, topic: &str) -> bool {
        let services = &self.manifest.services;
        services.iter().any(|service| service.topic.as_str() == topic && service.request.is_none())
    }

    /// Whether a service must not be called, because of `--skip`.
    pub(super) fn is_skipped(&self, topic: &str) -> bool {
        self.skip.iter().any(|skipped| skipped == topic)
    }
}
