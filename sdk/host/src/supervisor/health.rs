//! Health checks: a replica's task asks its process at an interval how it is, and ends a process that has failed too
//! many checks in a row. HOST.md ("Health checks") has the rules.

use std::sync::Arc;
use std::time::Duration;

use ixt_protocol::{LogLevel, code};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::call_error::CallError;
use crate::connection::{Connection, HealthCheckResult};
use crate::replica::HealthReport;
use crate::settings::Settings;
use crate::standstill;
use crate::supervisor::instance::OVERDUE_HEALTH_TIMEOUTS;
use crate::supervisor::replica_task::ReplicaTask;

/// The largest health report that is kept for the status, in bytes of JSON. Of a larger one only `healthy` and `ready`
/// are used.
const MAX_HEALTH_BYTES: usize = 64 * 1024;

impl ReplicaTask {
    /// Checks the process at each interval, for the first time one interval after the call. Returns when it has failed
    /// `health_failures` checks in a row, with the reason for ending it as a sentence; never if `health_interval` (then
    /// no check is made) or `health_failures` (then failures are only logged) is 0. A check without a result counts
    /// neither as passed nor as failed.
    pub(super) async fn check_health(&self, connection: &Arc<Connection>) -> String {
        let Settings { health_interval, health_failures, .. } = *self.settings;
        if health_interval.is_zero() {
            return std::future::pending().await;
        }
        let mut ticks = interval_at(Instant::now() + health_interval, health_interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failures = 0;
        loop {
            ticks.tick().await;
            let Some(Finding { healthy, data, complaint }) = self.examine(connection).await else { continue };
            self.replica.lock().health = Some(HealthReport { healthy, data });
            if healthy && failures > 0 {
                self.log(LogLevel::Info, format!("is healthy again, after {failures} failed checks"));
            }
            failures = if healthy { 0 } else { failures + 1 };
            let complaint = complaint.unwrap_or_default();
            if failures > 0 && health_failures == 0 {
                self.log(LogLevel::Warn, format!("{complaint} (failed check {failures} in a row)"));
            } else if failures > 0 {
                if failures >= health_failures {
                    return format!("it was ended: {complaint} ({failures} times in a row)");
                }
                let message = format!("{complaint} (check {failures} of {health_failures} that may fail in a row)");
                self.log(LogLevel::Warn, message);
            } else if !complaint.is_empty() {
                self.log(LogLevel::Warn, complaint);
            }
        }
    }

    /// Makes one health check. `None` if there is no result:
    ///
    /// - the process handles one request at a time and is busy with one whose caller still waits, or gave up less than
    ///   the health timeout ago;
    /// - it has not replied in time, but the host does not read from it now (it has too much to do), or stood still
    ///   meanwhile.
    ///
    /// If the connection is closed, this never returns: the caller of [`check_health`](Self::check_health) also waits
    /// for that.
    async fn examine(&self, connection: &Arc<Connection>) -> Option<Finding> {
        #[derive(Deserialize)]
        struct Data {
            healthy: bool,
        }
        let health_timeout = self.settings.health_timeout;
        if connection.is_busy() {
            // The health check would wait behind the request. A request may take as long as its caller waits, and a
            // health timeout longer.
            let late = connection.abandoned_for()?.min(standstill::runs_for());
            if late < health_timeout {
                return None;
            }
            let late = humantime::format_duration(Duration::from_secs(late.as_secs()));
            return Some(Finding::unwell(format!("it still handles a request whose caller gave up {late} ago")));
        }
        let asked = std::time::Instant::now();
        let data = match connection.check_health(health_timeout).await {
            HealthCheckResult::Replied(data) => data,
            // A frame of the wrong shape, or a `ready` that is not a boolean. The process has replied, so it lives.
            HealthCheckResult::Unreadable(error) => {
                let complaint = Some(format!("its reply to a health check is wrong: {error}"));
                return Some(Finding { healthy: true, data: Value::Null, complaint });
            }
            HealthCheckResult::Failed(CallError::Gone { .. }) => std::future::pending().await,
            HealthCheckResult::Failed(CallError::Replied(reply)) if reply.code == code::DEADLINE_EXCEEDED => {
                if !connection.is_read() || standstill::runs_since(asked).is_some() {
                    return None;
                }
                let after = humantime::format_duration(health_timeout);
                return Some(Finding::unwell(format!("it has not answered a health check within {after}")));
            }
            HealthCheckResult::Failed(error) => {
                return Some(Finding::unwell(format!("its health check failed: {error}")));
            }
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
        // Requests that became overdue while the host itself stood still do not count.
        let is_known = standstill::runs_for() >= OVERDUE_HEALTH_TIMEOUTS * health_timeout;
        let overdue = if is_known { connection.overdue() } else { 0 };
        let complaint = if !healthy {
            let said = if shown.is_null() { String::new() } else { format!(": {shown}") };
            Some(format!("it says that it is not healthy{said}"))
        } else if overdue > 0 {
            Some(format!("it has not replied to {overdue} requests whose callers gave up long ago"))
        } else {
            None
        };
        Some(Finding { healthy: healthy && overdue == 0, data: shown, complaint: complaint.or(too_long) })
    }
}

/// The result of a health check, as it counts.
struct Finding {
    /// Whether the check has passed.
    healthy: bool,
    /// The module's health report, or null if there is none, or none that is kept.
    data: Value,
    /// What to log. If the check has failed: why. If it has passed: what is wrong with the reply, or `None`.
    complaint: Option<String>,
}

impl Finding {
    /// A failed check without a report.
    fn unwell(complaint: String) -> Self {
        Self { healthy: false, data: Value::Null, complaint: Some(complaint) }
    }
}
