//! `ixt call --module`.

use std::io::Read as _;
use std::{env, fs, io};

use anyhow::{Context as _, bail};
use ixt_host::{CallError, Config, ErrorReply, Instance, Module};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Call, Setting, Source, Value};
use crate::exit::{Failure, Result};
use crate::manifest::print;

pub(crate) fn call(args: &Call) -> Result<()> {
    let module = Module::open(&args.module).map_err(|report| Failure::module_report(report.to_ansi_string()))?;
    let payload = payload(&module, args).map_err(Failure::usage)?;
    let config = config(&module, &args.config).map_err(Failure::usage)?;

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::module)?;
    let data = runtime.block_on(async {
        tokio::select! {
            data = run(&module, &config, &args.topic, &payload) => data,
            // What was started is ended by being dropped.
            () = interrupted() => Err(Failure::interrupted()),
        }
    })?;
    print(&format!("{data}\n"))
}

/// The whole life of the module.
async fn run(module: &Module, config: &Config<'_>, topic: &str, payload: &[u8]) -> Result<String> {
    let program = module.build().await.map_err(Failure::module)?;
    let label = module.manifest().module.name.to_string();
    let output = move |line: &str| anstream::eprintln!("{label} | {line}");
    let mut instance = Instance::start(module, &program, config, output).await.map_err(Failure::module)?;
    let reply = instance.call(topic, payload).await;
    let ended = instance.shutdown().await;
    match reply {
        Err(CallError::Replied(reply)) => Err(Failure::no(error_text(&reply))),
        Err(error) => Err(Failure::module(error)),
        Ok(data) => {
            // The answer is there, so it is given; that the module did not end well is still worth telling.
            if let Err(error) = ended {
                anstream::eprintln!("warning: {error}");
            }
            Ok(data.to_string())
        }
    }
}

fn error_text(reply: &ErrorReply) -> String {
    let details = if reply.details.is_null() { String::new() } else { format!("  details: {}\n", reply.details) };
    format!("error: {reply}\n{details}")
}

async fn interrupted() {
    let (Ok(mut int), Ok(mut term)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = int.recv() => {}
        _ = term.recv() => {}
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
    for Setting { key, value } in settings {
        match value {
            Value::Text(text) => config.set_text(key, text)?,
            Value::File(path) => {
                let content = fs::read(path)
                    .with_context(|| format!("can't read the config key `{key}` from {}", path.display()))?;
                config.set_content(key, &content)?;
            }
            Value::Variable(name) => {
                let text = env::var(name).with_context(|| {
                    format!("can't read the config key `{key}` from the environment variable `{name}`")
                })?;
                config.set_text(key, &text)?;
            }
        }
    }
    config.check()?;
    Ok(config)
}
