//! What SIGHUP does to a host that was started without a terminal: the modules that have changed are replaced, one after the other, by what
//! they are now. What comes of it is in the log.

use std::convert::Infallible;

use ixt_host::{CallError, Host, LogLevel, Notice};

use crate::interrupts::Reloads;
use crate::service_manager::ServiceManager;

/// Does that whenever it is wanted.
pub(crate) async fn whenever_wanted(
    reloads: &mut Reloads,
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
    for (module, result) in host.reload_changed(build, &notify).await {
        match result {
            Ok(true) => replaced += 1,
            Ok(false) => same += 1,
            Err(error) => {
                failed += 1;
                let message = match error {
                    CallError::Replied(reply) => reply.message,
                    error => error.to_string(),
                };
                logs.host(LogLevel::Error, &module, message);
            }
        }
    }
    let level = if failed == 0 { LogLevel::Info } else { LogLevel::Error };
    logs.host(level, "host", format!("SIGHUP: {replaced} replaced, {same} unchanged, {failed} failed"));
}
