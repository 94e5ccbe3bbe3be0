//! `ixt call` and `ixt publish`: one request, to a module of a running host, or to one that is started for it.

use std::io::Read as _;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, bail};
use ixt_host::control::Command;
use ixt_host::logs::{Origin, Record};
use ixt_host::text::{harmless, harmless_lines};
use ixt_host::{Build, Builds, CallError, CallOptions, Config, Deployment, Host, LogLevel, Module, Restart};
use ixt_manifest::{Manifest, Source, closest};
use ixt_protocol::{DEFAULT_MAX_FRAME_BYTES, encode_base64};
use serde_json::{Map, Value};

use crate::args::{self, Call, Publish, Request, Setting};
use crate::building::{self, OnStderr};
use crate::configuration::{HostFile, Said};
use crate::exit::{Failure, Result, error_text};
use crate::interrupts::Interrupts;
use crate::output::{print_json, say};
use crate::remote::Remote;

pub(crate) fn call(args: &Call, socket: Option<&Path>) -> Result<()> {
    let Some(dir) = &args.module else {
        if !args.config.is_empty() || args.data_dir.is_some() {
            return Err(Failure::usage("--config and --data-dir are for a module that is started with --module"));
        }
        if !args.build.is_empty() || args.no_build {
            return Err(Failure::usage(
                "--release, --profile, --features, --bin and --no-build are for a module that is started with --module",
            ));
        }
        let payload = payload(&args.request).map_err(Failure::usage)?;
        let command = Command::Call {
            topic: args.request.topic.clone(),
            payload: encode_base64(&payload),
            priority: args.priority.into(),
            ttl_ms: args.ttl.map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX)),
        };
        let data = Remote::ask(socket, &command)?.raw()?;
        return print_json(data.get());
    };
    let module = Module::open(dir).map_err(|report| Failure::module_report(report.to_ansi_string()))?;
    let payload = checked_payload(&module, &args.request).map_err(Failure::usage)?;
    let config = config(&args.config, module.manifest(), module.source())?;
    let data = crate::runtime::new()?.block_on(alone(&module, &config, args, &payload))?;
    print_json(&data)
}

pub(crate) fn publish(args: &Publish, socket: Option<&Path>) -> Result<()> {
    let payload = payload(&args.request).map_err(Failure::usage)?;
    let command = Command::Publish { topic: args.request.topic.clone(), payload: encode_base64(&payload) };
    Remote::ask(socket, &command)?.done()
}

/// What `--config` makes of a module's configuration.
pub(crate) fn config<'m>(settings: &[Setting], manifest: &'m Manifest, source: &Source) -> Result<Config<'m>> {
    let file = HostFile::default();
    let said = Said { file: &file, settings: settings.iter().collect(), option: "--config ".to_owned() };
    let config = said.config(manifest, source).map_err(|report| Failure::wrong(report.to_ansi_string()))?;
    said.warn(&config);
    Ok(config)
}

/// The whole life of a module. Interrupted, it ends what it has started: first as a host does, and when interrupted again, at
/// once.
async fn alone(module: &Module, config: &Config<'_>, args: &Call, payload: &[u8]) -> Result<String> {
    let mut interrupts = Interrupts::new().map_err(Failure::module)?;
    let mut builds = Builds::new(args.build.build());
    builds.module(module.clone(), Build::default());
    let builds = if args.no_build { builds.without_building() } else { builds };
    let programs = interrupts.or(builds.programs(&OnStderr::new())).await?;
    let programs = programs.map_err(|error| building::failure(&error, &HostFile::default(), &[]))?;
    let [program] = <[_; 1]>::try_from(programs).expect("a module has a program");
    let mut settings = crate::runtime::settings();
    settings.restart = Restart::never();
    settings.data_dir.clone_from(&args.data_dir);
    let mut builder = Host::builder(settings);
    let mut follower = builder.logs().follow_all();
    // What the module writes, as it comes; of the host only what is wrong, which is told in the end.
    let output = tokio::spawn(async move {
        while let Some(line) = follower.next().await {
            show(&line);
        }
    });
    let deployment = Deployment::new(module, program, config).map_err(Failure::usage)?;
    builder.module(deployment).map_err(Failure::usage)?;
    let host = builder.start().await.map_err(Failure::usage)?;
    let host = match interrupts.or(host.ready()).await? {
        Ok(()) => host,
        Err(error) => {
            drop(host);
            // What it has written says more than the error.
            let _ = output.await;
            return Err(Failure::module(error.kind()));
        }
    };
    let options = CallOptions { priority: args.priority.into(), ttl: args.ttl };
    let reply = interrupts.or(host.call(&args.request.topic, payload, options)).await;
    let complaints = interrupts.or(host.shutdown()).await?;
    let _ = output.await;
    match reply? {
        Err(CallError::Replied(reply)) => Err(Failure::no(error_text(&reply))),
        Err(error @ CallError::TooLong { .. }) => Err(Failure::usage(error)),
        Err(error) => Err(Failure::module(error)),
        Ok(data) => {
            // The answer is there, so it is given; that the module did not end well is still worth telling.
            for complaint in complaints {
                say(&format!("warning: {}\n", harmless(&complaint)));
            }
            Ok(data.into_json())
        }
    }
}

fn show(record: &Record) {
    let name = record.module.split(':').next().unwrap_or_default();
    match record.origin {
        Origin::Stdout | Origin::Stderr | Origin::Module => {
            // What a program just writes has no level.
            let level = match (record.origin, record.level) {
                (Origin::Stdout | Origin::Stderr, LogLevel::Info) => String::new(),
                (_, level) => format!("{} ", level.as_str().to_uppercase()),
            };
            let (fields, blocks) = fields(record);
            let message = harmless_lines(&record.message, "    ");
            say(&format!("{name} | {level}{message}{}{blocks}\n", harmless(&fields)));
        }
        Origin::Host => {}
    }
}

/// The fields as JSON, and those of several lines, such as a backtrace, as what stands below.
fn fields(record: &Record) -> (String, String) {
    let Some(fields) = &record.fields else { return <_>::default() };
    let Ok(Value::Object(all)) = serde_json::from_str(fields.get()) else {
        return (format!(" {fields}"), String::new());
    };
    let has_lines = |value: &Value| value.as_str().is_some_and(|text| text.contains('\n'));
    let (blocks, inline): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(_, value)| has_lines(value));
    let blocks = blocks.iter().map(|(key, value)| {
        let text = harmless_lines(value.as_str().unwrap_or_default().trim_end(), "        ");
        format!("\n    {}:\n        {text}", harmless(key))
    });
    let fields = if inline.is_empty() { String::new() } else { format!(" {}", Value::Object(inline)) };
    (fields, blocks.collect())
}

/// The request's bytes.
fn payload(request: &Request) -> anyhow::Result<Vec<u8>> {
    let payload = match (&request.payload, &request.data) {
        (Some(payload), _) => payload.clone().into_bytes(),
        (None, Some(args::Source::File(path))) => {
            fs::read(path).with_context(|| format!("can't read the request from {}", path.display()))?
        }
        (None, Some(args::Source::Stdin)) => {
            let mut payload = Vec::new();
            io::stdin().read_to_end(&mut payload).context("can't read the request from stdin")?;
            payload
        }
        (None, None) => Vec::new(),
    };
    let bytes = payload.len();
    if bytes > DEFAULT_MAX_FRAME_BYTES {
        bail!(
            "the request has {bytes} bytes, and a frame {DEFAULT_MAX_FRAME_BYTES} at most: hand over a large file by its path"
        );
    }
    Ok(payload)
}

/// The same, checked as far as that is possible without the module's code.
fn checked_payload(module: &Module, request: &Request) -> anyhow::Result<Vec<u8>> {
    let services = &module.manifest().services;
    let Some(service) = services.iter().find(|service| service.topic.as_str() == request.topic) else {
        let name = &module.manifest().module.name;
        let topics: Vec<_> = services.iter().map(|service| service.topic.as_str()).collect();
        match closest(&request.topic, topics.iter().copied()) {
            Some(near) => bail!("the module `{name}` does not provide `{}`; did you mean `{near}`?", request.topic),
            None => {
                bail!("the module `{name}` does not provide `{}`; it provides: {}", request.topic, topics.join(", "))
            }
        }
    };
    let payload = payload(request)?;
    module.check_payload(service.topic.as_str(), &payload).map_err(anyhow::Error::msg)?;
    Ok(payload)
}
