//! SIGHUP to an `ixt run` without a terminal: reads all modules again, and replaces those that have changed, one after the other. The log
//! says what was replaced.

use std::convert::Infallible;

use ixt_host::{Host, LogLevel, Notice};

use super::service_manager::ServiceManager;
use crate::interrupts::ReloadSignals;

/// Reloads the modules at each SIGHUP, for as long as this is polled. With `build` the modules are built first. Reports to the service
/// manager when a reload begins, and when the host is ready again. SIGHUPs that come during a reload lead to one more.
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

/// Reloads the modules once. A module that can't be reloaded goes on as it was, which the log says.
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
