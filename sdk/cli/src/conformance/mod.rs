//! `ixt conformance`: plays the host against any module and tells where that does not keep to the protocol. For those who
//! write an SDK in another language.
//!
//! - `process` starts and ends the module, `wire` reads and writes frames, `session` numbers requests and matches replies;
//! - `lab` is what the checks share, `checks` are the checks, and `report` prints what they find.

mod checks;
mod lab;
mod process;
mod report;
mod session;
mod wire;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ixt_manifest::{Manifest, Source};
use tokio::sync::oneshot;

use crate::args::Conformance;
use crate::failure::{Failure, Result};
use crate::interrupts::Interrupts;
use crate::lock::lock;
use lab::Lab;
use process::{Groups, Launch};
use report::{Report, Stop, Verdict, skipped};

/// How long the checks have to end when they are interrupted: what they wait for is gone then.
const INTERRUPTED_GRACE: Duration = Duration::from_secs(2);

pub(crate) fn conformance(args: Conformance, json: bool) -> Result<()> {
    let wrong = |report: ixt_manifest::Report| Failure::module_report(report.to_ansi_string());
    let source = Source::read(&args.manifest).map_err(wrong)?;
    let manifest = Manifest::parse(&source).map_err(wrong)?;
    for topic in args.skip.iter().chain(&args.echo) {
        if !manifest.services.iter().any(|service| service.topic.as_str() == topic) {
            return Err(Failure::usage(format!("the module `{}` does not provide `{topic}`", manifest.module.name)));
        }
    }
    let services = manifest.services.iter().map(|service| of_service(service.topic.as_str()));
    let names: Vec<_> = checks::MORE.map(|(name, _)| name.to_owned()).into_iter().chain(services).collect();
    if let Some(text) = args.only.iter().find(|text| !names.iter().any(|name| name.contains(*text))) {
        return Err(Failure::usage(format!("no check has `{text}` in its name; there are: {}", names.join(", "))));
    }
    let config = crate::configuration::config_of_one(&args.config, &manifest, &source)?;
    let config = config.to_json().map_err(Failure::usage)?;
    let groups = Groups::default();
    let lab = Lab {
        launch: launch(&args, &manifest)?,
        config: serde_json::from_str(config.get()).map_err(Failure::usage)?,
        manifest,
        patience: args.timeout,
        skip: args.skip,
        echo: args.echo,
        groups: groups.clone(),
        log: process::Log::default(),
        ids: None,
        tells_version: false,
        tells_health: false,
        hangs_up: true,
        called: Vec::new(),
        service_requests: Vec::new(),
    };

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::module)?;
    runtime.block_on(async {
        let mut interrupts = Interrupts::new().map_err(Failure::module)?;
        let (sender, mut done) = oneshot::channel();
        let report = Report::new(json);
        std::thread::spawn(move || sender.send(run(lab, &args.only, report)));
        match interrupts.or(&mut done).await {
            Ok(result) => result.map_err(|_| Failure::module("the checks ended before they were done"))?,
            Err(interrupted) => {
                groups.close();
                // They still remove what they have made.
                let _ = tokio::time::timeout(INTERRUPTED_GRACE, done).await;
                Err(interrupted)
            }
        }
    })
}

/// The command, or what the manifest says.
fn launch(args: &Conformance, manifest: &Manifest) -> Result<Launch> {
    let unusable = |error: std::io::Error| Failure::module(format!("can't enter the manifest's directory: {error}"));
    let dir = args.manifest.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = dir.canonicalize().map_err(unusable)?;
    let module = &manifest.module;
    let id = format!("{}:{}/instance-001", module.name, module.version);
    let (program, args) = match (args.command.split_first(), &manifest.process.path) {
        (Some((program, args)), _) => {
            // Where the module runs, a path that was given here would be another.
            let path = Path::new(program);
            let is_path = path.components().count() > 1;
            let program = if is_path { std::path::absolute(path).map_err(unusable)?.into() } else { program.clone() };
            (program, args.to_vec())
        }
        (None, Some(path)) => {
            let process = &manifest.process;
            let file: PathBuf = [path.as_str()].into_iter().chain(process.entry.as_deref()).collect();
            let file = dir.join(file).into_os_string();
            let (program, mut args) = match &process.interpreter {
                // As a host does it: one with a slash lies with the module.
                Some(interpreter) if interpreter.contains('/') => (dir.join(interpreter).into(), vec![file]),
                Some(interpreter) => (OsString::from(interpreter), vec![file]),
                None => (file, Vec::new()),
            };
            args.splice(0..0, process.interpreter_args.iter().map(OsString::from));
            args.extend(process.args.iter().map(OsString::from));
            (program, args)
        }
        (None, None) => {
            let path = args.manifest.display();
            let error = format!(
                "there is nothing to start: give a command after `--`, or {path} an [artifacts.process] with a `path`"
            );
            return Err(Failure::usage(error));
        }
    };
    let env = manifest.env.set.iter().map(|variable| (variable.name.to_string(), variable.value.clone())).collect();
    Ok(Launch { program, args, env, dir, id })
}

/// The name of a service's check.
fn of_service(topic: &str) -> String {
    format!("the service `{topic}`")
}

/// Whether a check is to be made.
fn wanted(only: &[String], check: &str) -> bool {
    only.is_empty() || only.iter().any(|text| check.contains(text))
}

/// All checks, or those that are wanted, one after the other.
fn run(mut lab: Lab, only: &[String], mut report: Report) -> Result<()> {
    for (name, check) in checks::FIRST {
        let verdict = check(&mut lab);
        let starts = verdict.is_ok();
        add(&lab, &mut report, name, verdict)?;
        if !starts {
            add(&lab, &mut report, "all others", Err(skipped("it has to start first")))?;
            report.summary()?;
            return Err(Failure::no(""));
        }
    }
    let topics: Vec<_> = lab.manifest.services.iter().map(|service| service.topic.to_string()).collect();
    for topic in topics {
        let name = of_service(&topic);
        if wanted(only, &name) {
            let verdict = checks::service(&mut lab, &topic);
            add(&lab, &mut report, &name, verdict)?;
        }
    }
    for (name, check) in checks::MORE.into_iter().filter(|(name, _)| wanted(only, name)) {
        let verdict = check(&mut lab);
        add(&lab, &mut report, name, verdict)?;
    }
    report.summary()?;
    if report.failed() > 0 { Err(Failure::no("")) } else { Ok(()) }
}

fn add(lab: &Lab, report: &mut Report, name: &str, verdict: Verdict) -> Result<()> {
    if lab.groups.is_closed() {
        // It was interrupted, and whoever waits for it knows.
        return Err(Failure::no(""));
    }
    match verdict {
        Err(Stop::CannotStart(reason)) => Err(Failure::module(reason)),
        verdict => {
            let log: Vec<_> = lock(&lab.log).iter().cloned().collect();
            report.add(name, &verdict, &log)
        }
    }
}
