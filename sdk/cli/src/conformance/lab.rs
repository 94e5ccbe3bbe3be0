//! What the checks share: how the module is started, and what is known of it so far.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use ixt_manifest::Manifest;
use serde_json::Value;

use super::process::{Groups, LOOK, Launch, Log, Process};
use super::report::{Stop, failed};
use super::session::{Offer, Reply, Session, ended, framing};
use super::wire::Wire;

/// A topic that no module provides.
pub(super) const NOWHERE: &str = "ixt.conformance.no_such_topic";
/// How long a service has at most that is called with nothing.
const SERVICE_TTL: Duration = Duration::from_secs(1);

/// How long to look for more replies of a module that does not end with its host.
const ENOUGH: Duration = Duration::from_millis(100);

pub(super) struct Lab {
    pub(super) launch: Launch,
    pub(super) manifest: Manifest,
    /// The configuration for `init`.
    pub(super) config: Value,
    /// How long anything may take.
    pub(super) patience: Duration,
    /// Services that are not to be called.
    pub(super) skip: Vec<String>,
    /// A service that gives back what it gets.
    pub(super) echo: Option<String>,
    pub(super) groups: Groups,
    /// What the process wrote that was started last.
    pub(super) log: Log,
    /// Whether the module's replies have ids: known from its reply to `init`.
    pub(super) ids: Option<bool>,
    /// Whether it has told its version of the protocol.
    pub(super) tells_version: bool,
    /// Whether it answers a `health_check` as it should.
    pub(super) tells_health: bool,
    /// Whether it closes its connection when the host does.
    pub(super) hangs_up: bool,
    /// The services that were called, and whether they answered with success.
    pub(super) called: Vec<(String, bool)>,
    /// The requests that the module made itself while they were.
    pub(super) service_requests: Vec<String>,
}

impl Lab {
    /// Starts a process and waits until it has connected.
    pub(super) fn start(&mut self) -> Result<Session, Stop> {
        let socket = |error: io::Error| Stop::CannotStart(format!("can't make a socket for the module: {error}"));
        let dir = tempfile::Builder::new().prefix("ixt-").permissions(Permissions::from_mode(0o700)).tempdir();
        let dir = dir.map_err(socket)?;
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).map_err(socket)?;
        listener.set_nonblocking(true).map_err(socket)?;

        self.log = Log::default();
        let mut process = Process::spawn(&self.launch, &path, &self.groups, &self.log)
            .map_err(|error| Stop::CannotStart(format!("can't start {}: {error}", self.launch.program.display())))?;
        let deadline = Instant::now() + self.patience;
        let expected = "the module connects to the socket in IXT_IPC_SOCKET";
        let stream = loop {
            match listener.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(socket(error)),
                Err(_) => {}
            }
            if let Some(status) = process.has_ended() {
                return Err(failed("Transport", expected, ended(Some(status))));
            }
            if Instant::now() >= deadline {
                return Err(failed("Transport", expected, format!("no connection within {:?}", self.patience)));
            }
            std::thread::sleep(LOOK);
        };
        let wire = Wire::new(stream, framing(&self.manifest), self.patience).map_err(socket)?;
        let mut session = Session::new(process, wire, self.patience, self.launch.id.clone());
        session.ids = self.ids;
        session.tells_health = self.tells_health;
        Ok(session)
    }

    /// Starts a process and initializes it.
    pub(super) fn ready(&mut self) -> Result<Session, Stop> {
        self.ready_with(&Offer::default()).map(|(session, _)| session)
    }

    /// The same with another offer.
    pub(super) fn ready_with(&mut self, offer: &Offer) -> Result<(Session, Reply), Stop> {
        let mut session = self.start()?;
        let reply = session.init(&self.config, offer)?;
        if reply.data().is_none() {
            let expected = "`success` to `init` with the manifest's defaults and what --config sets";
            return Err(failed("A life", expected, reply.shown()));
        }
        Ok((session, reply))
    }

    /// Checks that the module lives and has nothing more to say, and ends it.
    pub(super) fn finish(&mut self, mut session: Session) -> Result<(), Stop> {
        session.lives()?;
        // One that does not end with its host is found by a check of its own; no other needs to wait for it.
        let patience = if self.hangs_up { self.patience } else { ENOUGH };
        self.hangs_up &= session.end(patience)?;
        Ok(())
    }

    /// How many milliseconds a service has when it is called for the first time.
    pub(super) fn ttl_ms(&self) -> u64 {
        u64::try_from((self.patience / 2).min(SERVICE_TTL).as_millis()).unwrap_or(u64::MAX)
    }

    /// A topic that may be called with any bytes: the echo, or a service that takes bytes and has answered.
    pub(super) fn target(&self) -> &str {
        let takes_bytes = |topic: &str| {
            let services = &self.manifest.services;
            services.iter().any(|service| service.topic.as_str() == topic && service.request.is_none())
        };
        let mut called: Vec<_> = self.called.iter().filter(|(topic, _)| takes_bytes(topic)).collect();
        called.sort_by_key(|(_, success)| !success);
        let best = called.first().map(|(topic, _)| topic.as_str());
        self.echo.as_deref().or(best).unwrap_or(NOWHERE)
    }
}
