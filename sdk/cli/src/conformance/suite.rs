//! Makes the checks: first the two that gather the facts, then one for each service, then those of `checks`.

use super::checks::{CHECKS, CheckBody, ConformanceCheck};
use super::facts::{Facts, connects, gather};
use super::process::OutputTail;
use super::report::VerdictPrinter;
use super::services::{PayloadTarget, ServiceCall};
use super::subject::Subject;
use super::trial::Trial;
use super::verdict::{Stop, Verdict, skipped};
use crate::failure::{Failure, Result};

/// The checks that were asked for with `--only`.
pub(super) struct Selection {
    /// A check is made if its name contains one of these texts, with the same case of letters. If there are none, all
    /// checks are made.
    only: Vec<String>,
}

impl Selection {
    /// A usage error if a text is in the name of no check. The first two checks do not count, since they are always
    /// made.
    pub(super) fn new(only: Vec<String>, subject: &Subject) -> Result<Self> {
        let services = subject.manifest.services.iter().map(|service| of_service(service.topic.as_str()));
        let names: Vec<_> = CHECKS.iter().map(|check| check.name.to_owned()).chain(services).collect();
        match only.iter().find(|text| !names.iter().any(|name| name.contains(*text))) {
            None => Ok(Self { only }),
            Some(text) => {
                Err(Failure::usage(format!("no check has `{text}` in its name; there are: {}", names.join(", "))))
            }
        }
    }

    /// Whether the check with this name is made. The first two checks are made in any case.
    pub(super) fn has(&self, check: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|text| check.contains(text))
    }

    /// Whether a service has to be called: for its own check, or for one that needs its call. A service of `--skip` is
    /// included; [`ServiceCall::make`] does not call it.
    pub(super) fn calls(&self, subject: &Subject, topic: &str) -> bool {
        let needs_it = |check: &ConformanceCheck| match check.body {
            CheckBody::Plain(_) => false,
            CheckBody::WithTarget(_) => subject.echo.is_none() && subject.takes_bytes(topic),
            CheckBody::OfCalls(_) => true,
        };
        self.has(&of_service(topic)) || CHECKS.iter().any(|check| self.has(check.name) && needs_it(check))
    }
}

/// The name of a service's check.
fn of_service(topic: &str) -> String {
    format!("the service `{topic}`")
}

/// Makes one check of [`CHECKS`]. `calls` are those of the services that the selection calls. Also returns the last
/// lines of the module's output.
pub(super) fn verdict(
    check: &ConformanceCheck,
    subject: &Subject,
    facts: &Facts,
    calls: &[ServiceCall],
) -> (Verdict, OutputTail) {
    let trial = Trial::new(subject, facts);
    let verdict = match check.body {
        CheckBody::Plain(run) => run(&trial),
        CheckBody::WithTarget(run) => run(&trial, &PayloadTarget::choose(subject, calls)),
        CheckBody::OfCalls(run) => run(calls),
    };
    (verdict, trial.output)
}

/// Makes the selected checks, and prints each verdict as it comes, and a summary at the end. A failure with status 1 if
/// a check has failed. A failure with status 3, at once and without a summary, if the module's command can't be started
/// or a socket can't be made. If one of the first two checks fails, all others are reported as one that was skipped.
pub(super) fn run(subject: &Subject, selection: &Selection, mut printer: VerdictPrinter) -> Result<()> {
    let Some(facts) = gather_facts(subject, &mut printer)? else {
        print(subject, &mut printer, "all others", Err(skipped("it has to start first")), &OutputTail::default())?;
        printer.summary()?;
        return Err(Failure::no(""));
    };
    let topics = subject.manifest.services.iter().map(|service| service.topic.as_str());
    let mut calls = Vec::new();
    for topic in topics.filter(|topic| selection.calls(subject, topic)) {
        let trial = Trial::new(subject, &facts);
        let call = ServiceCall::make(&trial, topic);
        let name = of_service(topic);
        if selection.has(&name) {
            print(subject, &mut printer, &name, call.verdict.clone(), &trial.output)?;
        }
        calls.push(call);
    }
    for check in CHECKS.iter().filter(|check| selection.has(check.name)) {
        let (verdict, output) = self::verdict(check, subject, &facts, &calls);
        print(subject, &mut printer, check.name, verdict, &output)?;
    }
    printer.summary()?;
    if printer.failed() > 0 { Err(Failure::no("")) } else { Ok(()) }
}

/// Makes the first two checks. `None` if one of them has failed: then no other check can be made.
fn gather_facts(subject: &Subject, printer: &mut VerdictPrinter) -> Result<Option<Facts>> {
    let output = OutputTail::default();
    let verdict = connects(subject, &output);
    let has_connected = verdict.is_ok();
    print(subject, printer, "connects to its host", verdict, &output)?;
    if !has_connected {
        return Ok(None);
    }
    let output = OutputTail::default();
    let (verdict, facts) = match gather(subject, &output) {
        Ok((facts, note)) => (Ok(Some(note)), Some(facts)),
        Err(stop) => (Err(stop), None),
    };
    print(subject, printer, "init", verdict, &output)?;
    Ok(facts)
}

/// Prints a verdict. Prints nothing and fails if the command was interrupted, or the verdict is [`Stop::CannotStart`].
fn print(
    subject: &Subject,
    printer: &mut VerdictPrinter,
    name: &str,
    verdict: Verdict,
    output: &OutputTail,
) -> Result<()> {
    if subject.groups.is_closed() {
        // The main thread returns the failure with the signal's status; this one is dropped.
        return Err(Failure::no(""));
    }
    match verdict {
        Err(Stop::CannotStart(reason)) => Err(Failure::module(reason)),
        verdict => printer.verdict(name, &verdict, &output.lines()),
    }
}
