//! `ixt conformance`: plays the host against a module in any language, and reports where the module breaks the
//! protocol. It is for authors of SDKs. It does not use the host of `ixt run`.
//!
//! - `launch` is the command that starts the module, `subject` the module under test;
//! - `process` starts and ends the module, `wire` reads and writes frames, `frame` makes the frames that are sent,
//!   `reply` checks the shape of replies, and `session` is a conversation with one process;
//! - `facts` are gathered first; `services` calls the module's services; `checks` are the other checks, and a `trial`
//!   is the surroundings of one check;
//! - `suite` makes the selected checks; `verdict` is the result of one, with a `section` of PROTOCOL.md; `report`
//!   prints it.

mod checks;
mod facts;
mod frame;
mod launch;
mod process;
mod reply;
mod report;
mod section;
mod services;
mod session;
mod subject;
mod suite;
#[cfg(test)]
mod tests;
mod trial;
mod verdict;
mod wire;

use std::time::Duration;

use ixt_manifest::{Manifest, Source};
use tokio::sync::oneshot;

use crate::args::ConformanceArgs;
use crate::configuration::config_of_one;
use crate::failure::{Failure, Result};
use crate::interrupts::Interrupts;
use crate::suggestion::unknown_topic;
use launch::LaunchCommand;
use process::ProcessGroups;
use report::VerdictPrinter;
use subject::Subject;
use suite::Selection;

/// How long an interrupted command waits for the current check, whose process is killed, to end and to remove its
/// socket. Then the command ends without it.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Checks the arguments, and makes the checks in a separate thread, one after the other. Prints each verdict as it
/// comes. `Ok` if no check has failed. Failures: status 1 if one has; 2 if an argument or the configuration is wrong,
/// or nothing says what to start; 3 if the manifest has mistakes, the module's command can't be started, or a socket
/// can't be made. A signal kills the module and ends the command with the signal's status.
pub(crate) fn conformance(args: ConformanceArgs, json: bool) -> Result<()> {
    let wrong = |report: ixt_manifest::Report| Failure::module_report(report.to_ansi_string());
    let source = Source::read(&args.manifest).map_err(wrong)?;
    let manifest = Manifest::parse(&source).map_err(wrong)?;
    for topic in args.skip.iter().chain(&args.echo) {
        if !manifest.services.iter().any(|service| service.topic.as_str() == topic) {
            return Err(Failure::usage(unknown_topic(&manifest, topic)));
        }
    }
    let config = config_of_one(&args.config, &manifest, &source)?.to_json().map_err(Failure::usage)?;
    let groups = ProcessGroups::default();
    let subject = Subject {
        launch: LaunchCommand::new(&args, &manifest)?,
        config: serde_json::from_str(config.get()).map_err(Failure::usage)?,
        manifest,
        timeout: args.timeout,
        skip: args.skip,
        echo: args.echo,
        groups: groups.clone(),
    };
    let selection = Selection::new(args.only, &subject)?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::module)?;
    runtime.block_on(async {
        let mut interrupts = Interrupts::new().map_err(Failure::module)?;
        let (sender, mut done) = oneshot::channel();
        let printer = VerdictPrinter::new(json);
        std::thread::spawn(move || sender.send(suite::run(&subject, &selection, printer)));
        match interrupts.or(&mut done).await {
            Ok(result) => result.map_err(|_| Failure::module("a check has panicked, which is a mistake in `ixt`"))?,
            Err(interrupted) => {
                groups.close();
                let _ = tokio::time::timeout(CLEANUP_TIMEOUT, done).await;
                Err(interrupted)
            }
        }
    })
}
