//! `ixt call --module`.

use std::ffi::OsString;
use std::io::Read as _;
use std::{env, fs, io};

use anyhow::{Context as _, bail};
use ixt_host::{CallError, Config, ErrorReply, Instance, Module};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args::{Call, Setting, Source, Value};
use crate::exit::{Failure, Result, print, say};

pub(crate) fn call(args: &Call) -> Result<()> {
    let module = Module::open(&args.module).map_err(|report| Failure::module_report(report.to_ansi_string()))?;
    let payload = payload(&module, args).map_err(Failure::usage)?;
    let config = config(&module, &args.config).map_err(Failure::usage)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::module)?;
    let data = runtime.block_on(run(&module, &config, &args.topic, &payload))?;
    print(&format!("{data}\n"))
}

/// The whole life of the module. Interrupted, it ends what it has started: first as a host does, and when interrupted
/// again, at once.
async fn run(module: &Module, config: &Config<'_>, topic: &str, payload: &[u8]) -> Result<String> {
    let mut interrupts = Interrupts::new().map_err(Failure::module)?;
    let label = module.manifest().module.name.to_string();
    let output = move |line: &str| say(&format!("{label} | {line}\n"));

    let program = interrupts.or(module.build()).await?.map_err(Failure::module)?;
    let start = Instance::start(module, &program, config, output);
    let mut instance = interrupts.or(start).await?.map_err(Failure::module)?;
    let reply = interrupts.or(instance.call(topic, payload)).await;
    let ended = interrupts.or(instance.shutdown()).await?;
    match reply? {
        Err(CallError::Replied(reply)) => Err(Failure::no(error_text(&reply))),
        Err(error @ CallError::TooLong { .. }) => Err(Failure::usage(error)),
        Err(error) => Err(Failure::module(error)),
        Ok(data) => {
            // The answer is there, so it is given; that the module did not end well is still worth telling.
            if let Err(error) = ended {
                say(&format!("warning: {error}\n"));
            }
            Ok(data.to_string())
        }
    }
}

fn error_text(reply: &ErrorReply) -> String {
    let details = if reply.details.is_null() { String::new() } else { format!("  details: {}\n", reply.details) };
    format!("error: {reply}\n{details}")
}

/// Ctrl-C and SIGTERM.
struct Interrupts {
    int: Signal,
    term: Signal,
}

impl Interrupts {
    fn new() -> io::Result<Self> {
        Ok(Self { int: signal(SignalKind::interrupt())?, term: signal(SignalKind::terminate())? })
    }

    /// Does the work, unless interrupted; then the work is dropped, which ends what it has started.
    async fn or<T>(&mut self, work: impl Future<Output = T>) -> Result<T> {
        tokio::select! {
            done = work => Ok(done),
            _ = self.int.recv() => Err(Failure::interrupted()),
            _ = self.term.recv() => Err(Failure::interrupted()),
        }
    }
}

/// The request's bytes, checked as far as that is possible without the module's code.
fn payload(module: &Module, args: &Call) -> anyhow::Result<Vec<u8>> {
    let services = &module.manifest().services;
    let Some(service) = services.iter().find(|service| service.topic.as_str() == args.topic) else {
        let name = &module.manifest().module.name;
        let topics: Vec<_> = services.iter().map(|service| service.topic.as_str()).collect();
        bail!("the module `{name}` does not provide `{}`; it provides: {}", args.topic, topics.join(", "));
    };
    let payload = match (&args.json, &args.data) {
        (Some(json), _) => json.clone().into_bytes(),
        (None, Some(Source::File(path))) => {
            fs::read(path).with_context(|| format!("can't read the request from {}", path.display()))?
        }
        (None, Some(Source::Stdin)) => {
            let mut payload = Vec::new();
            io::stdin().read_to_end(&mut payload).context("can't read the request from stdin")?;
            payload
        }
        (None, None) => Vec::new(),
    };
    if service.request.is_some() && !payload.is_empty() {
        serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&payload)
            .with_context(|| format!("`{}` takes a JSON object", args.topic))?;
    }
    Ok(payload)
}

fn config<'a>(module: &'a Module, settings: &[Setting]) -> anyhow::Result<Config<'a>> {
    let mut config = Config::of(module.manifest());
    for (index, Setting { key, value }) in settings.iter().enumerate() {
        if settings[..index].iter().any(|earlier| earlier.key == *key) {
            bail!("the config key `{key}` is set twice");
        }
        match value {
            Value::Text(text) => config.set_text(key, text)?,
            Value::File(path) => {
                let content = fs::read(path)
                    .with_context(|| format!("can't read the config key `{key}` from {}", path.display()))?;
                config.set_content(key, &content)?;
            }
            // Not `env::var`, whose error shows the value.
            Value::Variable(name) => match env::var_os(name).map(OsString::into_string) {
                Some(Ok(text)) => config.set_text(key, &text)?,
                Some(Err(_)) => bail!("the environment variable `{name}`, for the config key `{key}`, is not UTF-8"),
                None => bail!("the environment variable `{name}`, for the config key `{key}`, is not set"),
            },
        }
    }
    config.check()?;
    Ok(config)
}
