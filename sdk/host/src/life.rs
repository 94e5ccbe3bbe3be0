//! The life of one process of a module after the other: it is started, is ready, and ends, and is followed by another one,
//! unless that happens too often.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{LogLevel, code};
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::connection::{Checked, Connection};
use crate::instance::{Instance, StartError, describe};
use crate::managed::Managed;
use crate::restarts::Restarts;
use crate::services::Backends;
use crate::settings::Settings;
use crate::slot::{Health, Slot, Wanted};
use crate::status::State;
use crate::{CallError, Restart};

/// What the life of a process needs.
pub(crate) struct Life {
    pub(crate) managed: Arc<Managed>,
    pub(crate) slot: Arc<Slot>,
    pub(crate) backends: Backends,
    pub(crate) settings: Arc<Settings>,
    /// Which group of modules is started.
    pub(crate) turn: watch::Receiver<usize>,
}

/// How long a host that lacks something waits before it tries again.
const SHORTAGE_PAUSE: Duration = Duration::from_secs(1);

/// How a process came to its end.
enum End {
    /// By itself, or since it was ended for what it did. Those who wait for it are told when it is known what becomes of it.
    Failed { reason: String, last_lines: Vec<String>, ended: Option<Box<Instance>> },
    /// It was not started, for the host lacks something: that is not its doing, and does not count.
    Shortage { reason: String },
    /// As was wanted.
    Wanted,
}

impl Life {
    /// Runs until the host ends; begins when it is this group's turn. The first attempt's result goes to `first`.
    pub(crate) async fn run(self, group: usize, first: oneshot::Sender<Result<(), StartError>>) {
        let Self { managed, slot, settings, .. } = &self;
        let mut first = Some(first);
        let mut wanted = slot.wanted.subscribe();
        let mut turn = self.turn.clone();
        tokio::select! {
            // Its sender is gone when all of them have had their turn.
            _ = turn.wait_for(|turn| *turn >= group) => {}
            _ = wanted.wait_for(|wanted| !wanted.runs) => {}
        }
        let mut restarts = Restarts::new(settings.restart.clone());
        loop {
            let now = *wanted.borrow_and_update();
            if !now.runs {
                slot.set(State::Stopped, |status| status.pid = None);
                // Nobody is to wait for it.
                drop(first.take());
                managed.given_up();
                // Ends with the slot.
                if wanted.wait_for(|wanted| wanted.runs).await.is_err() {
                    return;
                }
                restarts.forget();
                continue;
            }
            slot.set(State::Starting, |status| {
                status.pid = None;
                status.round = now.round;
                status.end_reason = None;
            });
            let started = tokio::select! {
                started = self.start() => started,
                // What was begun is ended.
                _ = wanted.wait_for(|wanted| *wanted != now) => continue,
            };
            let end = match started {
                Ok(instance) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                    }
                    let since = Instant::now();
                    let end = self.watch(instance, &mut wanted, now).await;
                    restarts.was_ready_for(since.elapsed());
                    end
                }
                Err(error) => Self::not_started(error, first.take()),
            };
            let (reason, last_lines, ended) = match end {
                End::Wanted => continue,
                End::Shortage { reason } => {
                    self.lacks(&reason);
                    tokio::select! {
                        () = sleep(SHORTAGE_PAUSE) => {}
                        _ = wanted.wait_for(|wanted| *wanted != now) => {}
                    }
                    continue;
                }
                End::Failed { reason, last_lines, ended } => (reason, last_lines, ended),
            };
            let next = restarts.next();
            let failed = if next.is_some() { State::Backoff } else { State::Failed };
            slot.set(failed, |status| {
                status.pid = None;
                status.restarts += u64::from(next.is_some());
                status.reason = Some(reason.clone());
                status.last_lines.clone_from(&last_lines);
            });
            // Now that it is known what becomes of it, those who wait for it are told.
            if let Some(mut ended) = ended {
                ended.connection().close(&reason);
                ended.output().await;
                slot.set(failed, |status| status.last_lines = ended.tail());
            }
            let last_lines = match &slot.lock().last_lines[..] {
                [] => String::new(),
                lines => format!("; its last lines were:\n{}", lines.join("\n")),
            };
            let Some(pause) = next else {
                managed.given_up();
                let Restart { intensity, window, .. } = &settings.restart;
                let given_up = match intensity {
                    0 => String::new(),
                    _ => format!(
                        "; it has failed, after {intensity} restarts within {}, and is not started again (see why, then: \
                         ixt restart {})",
                        humantime::format_duration(*window),
                        managed.name(),
                    ),
                };
                self.backends.logs.host(LogLevel::Error, slot.id(), format!("{reason}{given_up}{last_lines}"));
                if wanted.wait_for(|wanted| *wanted != now).await.is_err() {
                    return;
                }
                restarts.forget();
                continue;
            };
            let message = format!("{reason}; it is started again in {} ms{last_lines}", pause.as_millis());
            self.backends.logs.host(LogLevel::Error, slot.id(), message);
            tokio::select! {
                () = sleep(pause) => {}
                _ = wanted.wait_for(|wanted| *wanted != now) => {}
            }
        }
    }

    /// The host lacks what it needs to start it.
    fn lacks(&self, reason: &str) {
        let reason = format!("the host itself lacks what it needs: {reason}");
        // Once, as long as it lasts.
        if self.slot.reason().as_ref() != Some(&reason) {
            let message = format!("{reason}; it tries again every {} s", SHORTAGE_PAUSE.as_secs());
            self.backends.logs.host(LogLevel::Error, self.slot.id(), message);
        }
        self.slot.set(State::Backoff, |status| {
            status.pid = None;
            status.reason = Some(reason);
            status.last_lines.clear();
        });
    }

    /// What becomes of an attempt to start it that has failed, of which the first one is waited for.
    fn not_started(error: StartError, first: Option<oneshot::Sender<Result<(), StartError>>>) -> End {
        let reason = error.kind().to_string();
        let end = if error.kind().is_shortage() {
            End::Shortage { reason }
        } else {
            End::Failed { reason, last_lines: error.last_lines().to_vec(), ended: None }
        };
        if let Some(first) = first {
            let _ = first.send(Err(error));
        }
        end
    }

    async fn start(&self) -> Result<Instance, StartError> {
        let started = |pid| self.slot.set(State::Starting, |status| status.pid = pid);
        Instance::start(&self.managed, self.slot.id(), &self.backends, &self.settings, started).await
    }

    /// The time in which the process is ready.
    async fn watch(&self, mut instance: Instance, wanted: &mut watch::Receiver<Wanted>, now: Wanted) -> End {
        let Self { managed, slot, settings, backends, .. } = self;
        let connection = Arc::clone(instance.connection());
        // First this: whoever sees that it is ready may call it.
        managed.add(&connection);
        slot.set(State::Ready, |status| {
            status.connection = Some(connection.number());
            status.health = None;
        });
        backends.logs.host(LogLevel::Info, slot.id(), format!("is ready (pid {})", instance.pid().unwrap_or_default()));
        let end = tokio::select! {
            biased;
            _ = wanted.wait_for(|wanted| *wanted != now) => None,
            // Either of both: a process may close its connection and live on, or leave it to a child.
            () = connection.closed() => Some(None),
            () = instance.wait() => Some(None),
            unwell = self.check_health(&connection) => Some(Some(unwell)),
        };
        managed.remove(&connection);
        connection.stop();
        let Some(unwell) = end else {
            slot.set(State::Stopping, |_| {});
            match instance.shutdown(settings).await {
                Ok(()) => backends.logs.host(LogLevel::Info, slot.id(), "has ended"),
                Err(error) => {
                    backends.logs.host(LogLevel::Warn, slot.id(), error.to_string());
                    slot.set(State::Stopping, |status| status.end_reason = Some(error.to_string()));
                }
            }
            return End::Wanted;
        };
        let reason = match unwell {
            Some(unwell) => {
                instance.end(Duration::ZERO, settings).await;
                unwell
            }
            None => {
                let end_reason = connection.end_reason();
                let patience = if end_reason.is_some() { Duration::ZERO } else { settings.exit_grace };
                let status = instance.end(patience, settings).await;
                // What it has said before it ended is in the socket, and counts. A child may hold that open.
                let _ = timeout(settings.exit_grace, connection.closed()).await;
                let hung_up = || "it has closed its connection, and was ended".to_owned();
                end_reason.unwrap_or_else(|| status.map_or_else(hung_up, describe))
            }
        };
        End::Failed { reason, last_lines: Vec::new(), ended: Some(Box::new(instance)) }
    }

    /// Asks again and again how the process is. Ends when it is to be ended, with the reason.
    async fn check_health(&self, connection: &Arc<Connection>) -> String {
        let Settings { health_interval, health_failures, .. } = *self.settings;
        let mut ticks = interval_at(Instant::now() + health_interval, health_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = 0;
        loop {
            ticks.tick().await;
            let Some(Finding { healthy, data, complaint }) = self.examine(connection).await else { continue };
            self.slot.lock().health = Some(Health { healthy, data });
            failures = if healthy { 0 } else { failures + 1 };
            if failures >= health_failures {
                return format!("it was ended: {} ({failures} times in a row)", complaint.unwrap_or_default());
            }
            if let Some(complaint) = complaint {
                self.backends.logs.host(LogLevel::Warn, self.slot.id(), complaint);
            }
        }
    }

    /// How the process is; `None` if that can't be asked now.
    async fn examine(&self, connection: &Arc<Connection>) -> Option<Finding> {
        #[derive(Deserialize)]
        struct Data {
            healthy: bool,
        }
        let health_timeout = self.settings.health_timeout;
        if connection.is_busy() {
            // It takes one request at a time: what it does now may take as long as the caller waits, but no longer.
            let late = connection.is_late().filter(|late| *late >= health_timeout)?;
            let late = humantime::format_duration(Duration::from_secs(late.as_secs()));
            return Some(Finding::unwell(format!("it still handles a request for which nobody has waited for {late}")));
        }
        let data = match connection.check_health(health_timeout).await {
            Checked::Replied(data) => data,
            // So it lives. What it has said of itself is not known.
            Checked::Unreadable(error) => {
                let complaint = Some(format!("its reply to a health check is wrong: {error}"));
                return Some(Finding { healthy: true, data: Value::Null, complaint });
            }
            Checked::Failed(CallError::Gone { .. }) => std::future::pending().await,
            Checked::Failed(CallError::Replied(reply)) if reply.code == code::DEADLINE_EXCEEDED => {
                if !connection.is_read() {
                    return None;
                }
                let after = humantime::format_duration(health_timeout);
                return Some(Finding::unwell(format!("it has not answered a health check within {after}")));
            }
            Checked::Failed(error) => return Some(Finding::unwell(format!("its health check failed: {error}"))),
        };
        let healthy = match data.clone().read() {
            Ok(Data { healthy }) => healthy,
            Err(error) => return Some(Finding::unwell(format!("its reply to a health check is wrong: {error}"))),
        };
        let bytes = data.bytes();
        let (shown, too_long) = if bytes <= MAX_HEALTH_BYTES {
            (data.read().unwrap_or_default(), None)
        } else {
            let limit = format!("its health report has {bytes} bytes, more than the {MAX_HEALTH_BYTES} that are kept");
            (Value::Null, Some(limit))
        };
        let overdue = connection.overdue();
        let complaint = if !healthy {
            let said = if shown.is_null() { String::new() } else { format!(": {shown}") };
            Some(format!("it says that it is not healthy{said}"))
        } else if overdue > 0 {
            Some(format!("it has not answered {overdue} requests for which nobody has waited for long"))
        } else {
            None
        };
        Some(Finding { healthy: healthy && overdue == 0, data: shown, complaint: complaint.or(too_long) })
    }
}

/// So much of what a module says of its health is kept.
const MAX_HEALTH_BYTES: usize = 64 * 1024;

/// What a health check has found.
struct Finding {
    healthy: bool,
    /// What the module has said.
    data: Value,
    /// What is wrong.
    complaint: Option<String>,
}

impl Finding {
    fn unwell(complaint: String) -> Self {
        Self { healthy: false, data: Value::Null, complaint: Some(complaint) }
    }
}
