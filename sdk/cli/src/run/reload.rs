//! SIGHUP to an `ixt run` without a terminal: reads the modules again, and replaces those that have changed, one after the other;
//! `Host::reload_changed` says what counts as a change. The log says how many were replaced.

use std::convert::Infallible;

use ixt_host::{Host, LogLevel, Notice};

use super::service_manager::ServiceManager;
use crate::interrupts::ReloadSignals;

/// Reloads the modules at each SIGHUP, for as long as this is polled; never returns. With `build` each module is built before it is
/// compared. Reports to the service manager when a reload begins, and when it is over, even if modules have failed. SIGHUPs that come
/// during a reload lead to one more.
pub(super) async fn at_each_signal(
    reloads: &mut ReloadSignals,
    host: &Host,
    build: bool,
    manager: &ServiceManager,
) -> Infallible {
    loop {
        reloads.next().await;
        manager.reloading().await;
        reload(host, build).await;
        manager.ready().await;
    }
}

/// Reloads the modules once, in their order. A module that can't be reloaded goes on as it was, which the log says, and does not keep the
/// next ones from it. A module that was stopped by hand counts as unchanged.
async fn reload(host: &Host, build: bool) {
    let logs = host.logs();
    logs.host(LogLevel::Info, "host", "SIGHUP: replaces the modules that have changed");
    let notify = |module: &str, notice| {
        let (level, message) = match notice {
            Notice::Build(text) => (LogLevel::Info, text.trim_end().to_owned()),
            Notice::Step(step) => (LogLevel::Info, step),
            Notice::Report(text) => (LogLevel::Error, text),
            Notice::Change { breaking: true, text } => (LogLevel::Warn, format!("breaks callers: {text}")),
            Notice::Change { breaking: false, text } => (LogLevel::Info, text),
        };
        logs.host(level, module, message);
    };
    let (mut replaced, mut same, mut failed) = (0, 0, 0);
    for (_, result) in host.reload_changed(build, &notify).await {
        match result {
            Ok(true) => replaced += 1,
            Ok(false) => same += 1,
            // The host has logged why.
            Err(_) => failed += 1,
        }
    }
    let level = if failed == 0 { LogLevel::Info } else { LogLevel::Error };
    logs.host(level, "host", format!("SIGHUP: {replaced} replaced, {same} unchanged, {failed} failed"));
}
