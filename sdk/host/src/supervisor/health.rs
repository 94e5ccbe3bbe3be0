//! Health checks: the host asks each process at an interval, and the replica's task ends a process that has failed too
//! many in a row.

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

/// The largest health report that is kept, in bytes. Of a larger one only the result is.
const MAX_HEALTH_BYTES: usize = 64 * 1024;

impl ReplicaTask {
    /// Checks the process at each interval. Returns when it has failed `health_failures` checks in a row, with the
    /// reason for ending it.
    pub(super) async fn check_health(&self, connection: &Arc<Connection>) -> String {
        let Settings { health_interval, health_failures, .. } = *self.settings;
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
            if failures >= health_failures {
                return format!("it was ended: {complaint} ({failures} times in a row)");
            }
            if failures > 0 {
                let message = format!("{complaint} (check {failures} of {health_failures} that may fail in a row)");
                self.log(LogLevel::Warn, message);
            } else if !complaint.is_empty() {
                self.log(LogLevel::Warn, complaint);
            }
        }
    }

    /// Makes one health check. `None` if the process can't be judged now: it handles one request at a time and is busy
    /// with one that somebody still waits for, it has not been read from, or the host itself stood still.
    async fn examine(&self, connection: &Arc<Connection>) -> Option<Finding> {
        #[derive(Deserialize)]
        struct Data {
            healthy: bool,
        }
        let health_timeout = self.settings.health_timeout;
        if connection.is_busy() {
            // It handles one request at a time, and can't be asked meanwhile. A request may take as long as its caller
            // waits, but not much longer.
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
            // It replied, so it lives, but its health report is not known.
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
        // What became overdue while the host itself stood still does not count.
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

/// The result of a health check.
struct Finding {
    healthy: bool,
    /// The module's health report, or null.
    data: Value,
    /// What to log: why the check failed, or what was wrong with a report of a process that is well.
    complaint: Option<String>,
}

impl Finding {
    /// A failed check without a report.
    fn unwell(complaint: String) -> Self {
        Self { healthy: false, data: Value::Null, complaint: Some(complaint) }
    }
}
