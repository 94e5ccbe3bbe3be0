//! Reports to a service manager, systemd or another one with its protocol (`sd_notify`): that the host is ready, reloads or stops, a line
//! about its modules, and for the watchdog that it is alive. Without `NOTIFY_SOCKET` in the environment nothing is reported. The sockets
//! that a service manager hands over are in `activation`.

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
use ixt_host::{Host, InstanceState, LogLevel, ModuleStatus};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// The interval at which the line about the modules is made, and reported if it has changed. The watchdog's reports may make it sooner.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a report is sent again while the service manager's queue is full. After that it is lost, which the log says, unless the report
/// before it was lost too.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause between two attempts to send a report.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);
/// How many of the processes that are not ready the line names at most. An ellipsis stands for more.
const NAMED_PROCESSES: usize = 3;

/// The service manager of this process; `None` if there is none, and then nothing is reported. A method that reports waits up to
/// [`SEND_TIMEOUT`] while the queue is full, and never fails. Clones are handles of the same service manager.
#[derive(Clone)]
pub(super) struct ServiceManager(Option<Arc<NotifySocket>>);

/// The way to a service manager.
struct NotifySocket {
    socket: UnixDatagram,
    /// The address in `NOTIFY_SOCKET`.
    address: SocketAddr,
    /// The log, which gets a warning if reporting fails.
    logs: Logs,
    /// Whether the last report failed. Only the first failure in a row is logged.
    has_failed: AtomicBool,
}

impl ServiceManager {
    /// The service manager that `NOTIFY_SOCKET` names; none if that is unset or empty. If there can be no socket for it, or the address is
    /// of another kind, the log has a warning, and nothing is reported. Sends nothing yet, so that a service manager that is not there
    /// shows later.
    pub(super) fn of_environment(logs: &Logs) -> Self {
        let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return Self(None) };
        let open = || {
            let (socket, address) = (UnixDatagram::unbound()?, address(&path)?);
            // A service manager that does not read must not block the host.
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        };
        match open() {
            Ok((socket, address)) => Self(Some(Arc::new(NotifySocket {
                socket,
                address,
                logs: logs.clone(),
                has_failed: AtomicBool::new(false),
            }))),
            Err(error) => {
                warn(logs, &error);
                Self(None)
            }
        }
    }

    /// Reports, as the line of the status, that this number of modules is being built. Called before the build, also if none has to be
    /// built.
    pub(super) async fn builds(&self, modules: usize) {
        self.send(&[NotifyState::Status(&format!("builds {modules} modules"))]).await;
    }

    /// Reports that the host is ready, at the start and after a reload. Modules that did not start don't matter.
    pub(super) async fn ready(&self) {
        self.send(&[NotifyState::Ready]).await;
    }

    /// Reports that a reload has begun. It ends with [`Self::ready`]. Reports nothing if the system has no monotonic clock.
    pub(super) async fn reloading(&self) {
        let states = NotifyState::monotonic_usec_now().map(|now| [NotifyState::Reloading, now]);
        // systemd takes a reload without the time for a failure.
        if let Ok(states) = states {
            self.send(&states).await;
        }
    }

    /// Reports that the host shuts down, whose modules may still work.
    pub(super) async fn stopping(&self) {
        self.send(&[NotifyState::Stopping, NotifyState::Status("the modules finish what they have begun")]).await;
    }

    /// Reports the line about the modules each time it has changed, and if the service manager has a watchdog, that the host is alive,
    /// twice in the watchdog's period. A line that was lost is not sent again before the next change. Goes on until the future is dropped,
    /// also without a service manager, and then does nothing. Both need the host's locks and the runtime's clock: if one of them hangs, the
    /// watchdog gets no report.
    pub(super) async fn report(self, host: Host) -> Infallible {
        if self.0.is_none() {
            return pending().await;
        }
        let every = |period: Duration| {
            let mut ticks = interval(period.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let mut status_ticks = every(STATUS_INTERVAL);
        // Twice as often as the watchdog demands, as sd_watchdog_enabled(3) advises.
        let mut watchdog_ticks = sd_notify::watchdog_enabled().map(|period| every(period / 2));
        let mut reported = String::new();
        loop {
            let beat = async {
                match &mut watchdog_ticks {
                    Some(ticks) => drop(ticks.tick().await),
                    None => pending().await,
                }
            };
            let is_beat = tokio::select! {
                () = beat => true,
                _ = status_ticks.tick() => false,
            };
            let status = summary(&host.status());
            let beat = is_beat.then_some(NotifyState::Watchdog);
            let change = (status != reported).then_some(NotifyState::Status(&status));
            let news: Vec<_> = beat.into_iter().chain(change).collect();
            if !news.is_empty() {
                self.send(&news).await;
            }
            reported = status;
        }
    }

    /// Sends one datagram with these states, and tries again while the queue is full, up to [`SEND_TIMEOUT`]. If that fails, it is lost;
    /// the first failure in a row is a warning in the log.
    async fn send(&self, states: &[NotifyState<'_>]) {
        let Some(notify) = &self.0 else { return };
        let message = states.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        let sending = async {
            loop {
                match notify.socket.send_to_addr(message.as_bytes(), &notify.address) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(RETRY_INTERVAL).await,
                    sent => return sent,
                }
            }
        };
        match timeout(SEND_TIMEOUT, sending).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
            Ok(_) => notify.has_failed.store(false, Ordering::Relaxed),
            Err(error) if !notify.has_failed.swap(true, Ordering::Relaxed) => warn(&notify.logs, &error),
            Err(_) => {}
        }
    }
}

/// Logs that the service manager can't be reached.
fn warn(logs: &Logs, error: &io::Error) {
    let path = env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let message = format!("can't report to the service manager (NOTIFY_SOCKET={}): {error}", path.display());
    logs.host(LogLevel::Warn, "host", message);
}

/// The address in `NOTIFY_SOCKET`: an absolute path, or `@` and an abstract name. Any other text, such as `vsock:…`, is an error, and so is
/// one that is too long.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    match path.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(path),
        _ => Err(io::Error::new(ErrorKind::Unsupported, "it is neither a path nor an abstract name behind an `@`")),
    }
}

/// How many processes are ready, and the states of the first ones that are not, as one line without a line end.
fn summary(modules: &[ModuleStatus]) -> String {
    let instances: Vec<_> = modules.iter().flat_map(|module| &module.instances).collect();
    let others: Vec<_> = instances.iter().filter(|instance| instance.state != InstanceState::Ready).collect();
    let mut summary = format!("{} of {} processes are ready", instances.len() - others.len(), instances.len());
    for instance in others.iter().take(NAMED_PROCESSES) {
        let _ = write!(summary, "; {}: {}", harmless(&instance.id), instance.state);
    }
    if others.len() > NAMED_PROCESSES {
        summary.push_str("; …");
    }
    summary
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_line_names_only_some_of_the_processes_that_are_not_ready() {
        let modules = |states: &[&str]| {
            let instance = |(index, state): (usize, &&str)| {
                json!({
                    "id": format!("m/{index}"), "state": state, "pid": null, "restarts": 0, "in_flight": 0, "seconds": 0.0,
                    "healthy": null, "health": null, "reason": null, "last_lines": [],
                })
            };
            let instances: Vec<_> = states.iter().enumerate().map(instance).collect();
            let module = json!({
                "name": "m", "version": "1.0.0", "instances": instances, "topics": [], "calls_waiting": 0, "events_waiting": 0,
                "events_dropped": 0,
            });
            [serde_json::from_value::<ModuleStatus>(module).unwrap()]
        };
        assert_eq!(summary(&modules(&["ready", "ready"])), "2 of 2 processes are ready");
        assert_eq!(summary(&modules(&["ready", "failed"])), "1 of 2 processes are ready; m/1: failed");
        let many = summary(&modules(&["backoff"; 4]));
        assert_eq!(many, "0 of 4 processes are ready; m/0: backoff; m/1: backoff; m/2: backoff; …");
    }

    #[test]
    fn an_address_is_a_path_or_an_abstract_name() {
        assert_eq!(address(OsStr::new("/run/n")).unwrap().as_pathname(), Some(std::path::Path::new("/run/n")));
        assert_eq!(address(OsStr::new("@n")).unwrap().as_abstract_name(), Some(&b"n"[..]));
        assert!(address(OsStr::new("vsock:2:1")).is_err() && address(OsStr::new("n")).is_err());
    }
}
