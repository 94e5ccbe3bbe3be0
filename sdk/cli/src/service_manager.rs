//! What a service manager is told, systemd or one that does the same (`sd_notify`): that the host is ready, replaces modules, or ends, how its
//! modules are, and that it lives. It says with `NOTIFY_SOCKET` where; without that nobody is told anything.

use std::convert::Infallible;
use std::env;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ixt_host::logs::Logs;
use ixt_host::text::harmless;
use ixt_host::{Host, LogLevel, ModuleStatus, State};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How often it is looked how the modules are.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long one who has too much to read is waited for, and how often it is tried.
const PATIENCE: Duration = Duration::from_secs(5);
const TRY_EVERY: Duration = Duration::from_millis(50);
/// So many processes that are not ready are named.
const NAMED: usize = 3;

#[derive(Clone)]
pub(crate) struct ServiceManager(Option<Arc<Told>>);

/// One that is told.
struct Told {
    socket: UnixDatagram,
    address: SocketAddr,
    logs: Logs,
    complained: AtomicBool,
}

impl ServiceManager {
    /// The one that has started this process. What goes wrong is in the log.
    pub(crate) fn of_environment(logs: &Logs) -> Self {
        let Some(place) = env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()) else { return Self(None) };
        let open = || {
            let (socket, address) = (UnixDatagram::unbound()?, address(&place)?);
            // One who does not read holds up nobody.
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        };
        match open() {
            Ok((socket, address)) => {
                Self(Some(Arc::new(Told { socket, address, logs: logs.clone(), complained: AtomicBool::new(false) })))
            }
            Err(error) => {
                complain(logs, &error);
                Self(None)
            }
        }
    }

    /// The modules are built.
    pub(crate) async fn builds(&self, modules: usize) {
        self.tell(&[NotifyState::Status(&format!("builds {modules} modules"))]).await;
    }

    /// The host does what it is there for.
    pub(crate) async fn ready(&self) {
        self.tell(&[NotifyState::Ready]).await;
    }

    /// Modules are being replaced, until it is ready again.
    pub(crate) async fn reloading(&self) {
        let states = NotifyState::monotonic_usec_now().map(|now| [NotifyState::Reloading, now]);
        // Without the time a service manager would take it for a failure.
        if let Ok(states) = states {
            self.tell(&states).await;
        }
    }

    /// The host ends.
    pub(crate) async fn stopping(&self) {
        self.tell(&[NotifyState::Stopping, NotifyState::Status("the modules finish what they have begun")]).await;
    }

    /// Tells how the modules are, and that the host lives, where that is wanted: as often as it asks its modules' locks and its runtime's
    /// clock and gets an answer.
    pub(crate) async fn attend(self, host: Host) -> Infallible {
        if self.0.is_none() {
            return pending().await;
        }
        let every = |period: Duration| {
            let mut ticks = interval(period.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut looks = every(LOOK_EVERY);
        let mut beats = sd_notify::watchdog_enabled().map(|within| every(within / 2));
        let mut said = String::new();
        loop {
            let beat = async {
                match &mut beats {
                    Some(beats) => drop(beats.tick().await),
                    None => pending().await,
                }
            };
            let is_beat = tokio::select! {
                () = beat => true,
                _ = looks.tick() => false,
            };
            let says = summary(&host.status());
            let beat = is_beat.then_some(NotifyState::Watchdog);
            let change = (says != said).then_some(NotifyState::Status(&says));
            let news: Vec<_> = beat.into_iter().chain(change).collect();
            if !news.is_empty() {
                self.tell(&news).await;
            }
            said = says;
        }
    }

    async fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(told) = &self.0 else { return };
        let message = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let sending = async {
            loop {
                match told.socket.send_to_addr(message.as_bytes(), &told.address) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(TRY_EVERY).await,
                    sent => return sent,
                }
            }
        };
        match timeout(PATIENCE, sending).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(_) => told.complained.store(false, Ordering::Relaxed),
            Err(error) if !told.complained.swap(true, Ordering::Relaxed) => complain(&told.logs, &error),
            Err(_) => {}
        }
    }
}

fn complain(logs: &Logs, error: &io::Error) {
    let place = env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let message =
        format!("the service manager can't be told how this host is (NOTIFY_SOCKET={}): {error}", place.display());
    logs.host(LogLevel::Warn, "host", message);
}

/// A path, or an abstract name behind an `@`.
fn address(place: &OsStr) -> io::Result<SocketAddr> {
    match place.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(place),
        _ => Err(io::Error::new(ErrorKind::Unsupported, "it is neither a path nor an abstract name behind an `@`")),
    }
}

/// How the modules are, in a line.
fn summary(modules: &[ModuleStatus]) -> String {
    let instances: Vec<_> = modules.iter().flat_map(|module| &module.instances).collect();
    let others: Vec<_> = instances.iter().filter(|instance| instance.state != State::Ready).collect();
    let mut summary = format!("{} of {} processes are ready", instances.len() - others.len(), instances.len());
    for instance in others.iter().take(NAMED) {
        let _ = write!(summary, "; {}: {}", harmless(&instance.id), instance.state);
    }
    if others.len() > NAMED {
        summary.push_str("; …");
    }
    summary
}
