//! `ixt run`: a host for modules, until it is interrupted.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context as _, bail};
use ixt_host::control::Claim;
use ixt_host::logs::{Follower, Logs, Style};
use ixt_host::text::harmless;
use ixt_host::{Config, Host, Module, Settings};
use ixt_manifest::Report;

use crate::activation::Activation;
use crate::args::Run;
use crate::building::{self, OnStderr};
use crate::configuration::{HostFile, HttpName, check};
use crate::deploy::Deployer;
use crate::exit::{Failure, Result};
use crate::http::Server;
use crate::interrupts::Interrupts;
use crate::log_files::{Limits, LogFiles};
use crate::output::{is_terminal, print, print_bytes, say};
use crate::reload;
use crate::service_manager::ServiceManager;

/// How long it takes at most to kill all modules.
const KILLING: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &Run, socket: Option<&Path>, json: bool) -> Result<()> {
    // Before there is another thread.
    let activation = Activation::take().map_err(Failure::usage)?;
    let file = HostFile::of(args.config.as_deref());
    let (modules, wrong) = modules(&args.dirs)?;
    let configs = check(&modules, wrong, &file, &args.set, &args.instances);
    let configs = configs.map_err(|report| Failure::wrong(report.to_ansi_string()))?;
    let runtime = crate::runtime::new()?;
    let result = runtime.block_on(serve(args, &file, &modules, &configs, socket, activation, json));
    if result.as_ref().is_err_and(Failure::is_interrupted) {
        // Modules are killed in this, and it waits for nothing else that stands still.
        runtime.shutdown_timeout(KILLING);
    }
    result
}

async fn serve(
    args: &Run,
    file: &HostFile,
    modules: &[Module],
    configs: &[Config<'_>],
    socket: Option<&Path>,
    activation: Activation,
    json: bool,
) -> Result<()> {
    let settings = settings(args, file)?;
    let (mut interrupts, mut reloads) = Interrupts::of_host().map_err(Failure::module)?;
    // Before anything is built: where there is a host already, nothing has happened yet.
    let control = match activation.control {
        Some(listener) => Claim::of(listener, socket),
        None => Claim::new(socket.map_or_else(ixt_host::control::default_path, Path::to_owned)),
    };
    let control = control.map_err(Failure::usage)?;
    let mut builder = Host::builder(settings);
    let manager = ServiceManager::of_environment(builder.logs());
    #[cfg(feature = "otel")]
    if let Some(told) = crate::otel::send_spans(&mut builder, args.otlp.as_deref()).map_err(Failure::usage)? {
        say_beside(format!("* {told}\n"));
    }
    let printer = print_log(builder.logs().follow_all(), json).map_err(Failure::module)?;
    let writer = match args.log_dir.as_ref().or(file.log_dir.as_ref()) {
        Some(dir) => Some(write_log(builder.logs(), dir, file.log_limits()).map_err(Failure::usage)?),
        None => None,
    };
    let builds = building::builds(&args.build, file, modules);
    let builds = if args.no_build { builds.without_building() } else { builds };
    interrupts.or(manager.builds(modules.len())).await?;
    let programs = interrupts.or(builds.programs(&OnStderr::new())).await?;
    let programs = programs.map_err(|error| building::failure(&error, file, modules))?;
    let deployer = Arc::new(Deployer::new(args, file, modules));
    for ((module, program), config) in modules.iter().zip(programs).zip(configs) {
        let deployment = deployer.deployment(module, program, config, file).map_err(Failure::usage)?;
        builder.module(deployment).map_err(Failure::usage)?;
    }
    builder.loader(deployer);
    let http = http(args, file, activation.http).map_err(Failure::usage)?;
    let control = control.listen().map_err(Failure::usage)?;
    let host = builder.start().await.map_err(Failure::usage)?;
    say_beside(format!("* the host listens at {}; Ctrl-C ends it\n", control.path().display()));
    let http = http.map(|server| {
        say_beside(format!("* {}\n", server.told()));
        server.start(host.clone())
    });
    let mut serving = pin!(control.serve(&host));
    let attending = tokio::spawn(manager.clone().attend(host.clone()));
    let running = async {
        // What has not started is told in the log, and is tried again.
        let _ = host.ready().await;
        manager.ready().await;
        reload::whenever_wanted(&mut reloads, &host, !args.no_build, &manager).await
    };
    let failure = tokio::select! {
        () = &mut serving => None,
        () = control.asked_to_stop() => None,
        _ = interrupts.next() => None,
        failure = host.failed(), if args.exit_on_failure => Some(failure),
        never = running => match never {},
    };
    attending.abort();
    interrupts.or(manager.stopping()).await?;
    if let Some(failure) = &failure {
        say_beside(format!("* the host ends: {}\n", harmless(failure)));
    }
    say_beside("* the modules finish what they have begun; Ctrl-C again ends them at once\n".to_owned());
    if let Some(http) = &http {
        http.drain();
    }
    let complaints = tokio::select! {
        complaints = interrupts.or(host.clone().shutdown()) => complaints?,
        () = serving => Vec::new(),
    };
    if let Some(http) = http {
        interrupts.or(http.end()).await?;
    }
    // A terminal that stands still does not keep it from ending at once when that is wanted.
    let (written, all) = tokio::sync::oneshot::channel();
    let waiting = thread::Builder::new().spawn(move || {
        for follower in [Some(printer), writer].into_iter().flatten() {
            let _ = follower.join();
        }
        let _ = written.send(());
    });
    if waiting.is_ok() {
        let _ = interrupts.or(all).await?;
    }
    interrupts.end()?;
    match (complaints.is_empty(), failure) {
        (true, None) => Ok(()),
        // It was started again by hand, in this moment.
        (true, Some(failure)) => Err(Failure::failed(failure)),
        (false, _) => Err(Failure::failed(complaints.join("\n"))),
    }
}

/// Says something without waiting for a terminal that stands still.
fn say_beside(text: String) {
    // Without a thread it is not said; there is worse then.
    let _ = thread::Builder::new().spawn(move || say(&text));
}

/// The HTTP server, if one is wanted. What stands on the command line comes first.
fn http(args: &Run, file: &HostFile, listener: Option<TcpListener>) -> anyhow::Result<Option<Server>> {
    let said = file.http.names.iter().map(|HttpName(name)| name.clone()).collect();
    let names = if args.http_host.is_empty() { said } else { args.http_host.clone() };
    match (args.http.or(file.http.address), listener) {
        (Some(address), Some(_)) => bail!(
            "the service manager hands over a socket for HTTP, and `--http` or `[http] address` says {address}: leave out one of them"
        ),
        (None, Some(listener)) => Ok(Some(Server::new(listener, &names)?)),
        (Some(address), None) => Server::bind(address, &names).map(Some),
        (None, None) if names.is_empty() => Ok(None),
        (None, None) => bail!(
            "names for HTTP are given, and no address: `--http ADDRESS` or `[http] address` says where it is served"
        ),
    }
}

/// The modules of these directories: each is one, or its children are. And what is wrong with the manifests of others.
pub(crate) fn modules(dirs: &[PathBuf]) -> Result<(Vec<Module>, Report)> {
    let (mut modules, mut wrong) = (Vec::new(), Report::default());
    for dir in dirs {
        let failed = |error: std::io::Error| Failure::usage(format!("can't read {}: {error}", dir.display()));
        let dir = fs::canonicalize(dir).map_err(failed)?;
        let is_module = |dir: &PathBuf| dir.join("manifest.toml").is_file();
        let found = if is_module(&dir) {
            vec![dir.clone()]
        } else {
            let children = fs::read_dir(&dir).map_err(failed)?;
            let mut children =
                children.map(|child| child.map(|child| child.path())).collect::<std::io::Result<Vec<_>>>();
            let children = children.as_mut().map_err(|error| Failure::usage(&*error))?;
            children.retain(is_module);
            children.sort();
            std::mem::take(children)
        };
        if found.is_empty() {
            let dir = dir.display();
            let message = format!("{dir} is no module, and none of its children is one: there is no manifest.toml");
            return Err(Failure::usage(message));
        }
        for dir in found {
            match Module::open(dir) {
                Ok(module) => modules.push(module),
                Err(report) => wrong.extend(report),
            }
        }
    }
    Ok((modules, wrong))
}

fn settings(args: &Run, file: &HostFile) -> Result<Settings> {
    let mut settings = file.settings();
    settings.log_calls |= args.log_calls;
    settings.restart.give_up |= args.exit_on_failure;
    settings.data_dir = if args.ephemeral {
        None
    } else {
        Some(data_dir_or_default(args.data_dir.as_deref().or(file.data_dir.as_deref()))?)
    };
    Ok(settings)
}

/// Where keys and values are, if nothing is said: by the XDG Base Directory Specification.
pub(crate) fn data_dir_or_default(said: Option<&Path>) -> Result<PathBuf> {
    if let Some(said) = said {
        return Ok(said.to_owned());
    }
    let dir = |name| env::var_os(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let data = dir("XDG_DATA_HOME").or_else(|| dir("HOME").map(|home| home.join(".local/share")));
    let data = data.ok_or_else(|| {
        Failure::usage(
            "there is no place for data, for HOME is not set: give --data-dir DIR, or --ephemeral to keep nothing",
        )
    })?;
    Ok(data.join("ixt"))
}

/// Shows the log on stdout, from a thread of its own: a terminal may be slow.
fn print_log(mut follower: Follower, json: bool) -> anyhow::Result<thread::JoinHandle<()>> {
    let style = if !json && is_terminal() { Style::Pretty } else { Style::Json };
    let runtime = tokio::runtime::Handle::current();
    let printing = thread::Builder::new().name("ixt-log".to_owned()).spawn(move || {
        while let Some(line) = runtime.block_on(follower.next()) {
            let line = style.show(&line);
            let printed = if style == Style::Pretty { print(&line) } else { print_bytes(line.as_bytes()) };
            // If nobody reads it any more, the modules go on.
            if printed.is_err() {
                return;
            }
        }
    });
    printing.context("can't start a thread for the log")
}

/// Writes the log to files.
fn write_log(logs: &Logs, dir: &Path, limits: Limits) -> anyhow::Result<thread::JoinHandle<()>> {
    let mut files = LogFiles::open(dir, limits)?;
    let mut follower = logs.follow_all();
    let runtime = tokio::runtime::Handle::current();
    let dir = dir.to_owned();
    let writing = thread::Builder::new().name("ixt-log-files".to_owned()).spawn(move || {
        let mut complained = false;
        while let Some(line) = runtime.block_on(follower.next()) {
            // A disk that is full now may not be later.
            match files.write(Style::Json.show(&line).as_bytes()) {
                Ok(()) => complained = false,
                Err(error) if !complained => {
                    complained = true;
                    say(&format!("warning: can't write the log to {}: {error}\n", dir.display()));
                }
                Err(_) => {}
            }
        }
    });
    writing.context("can't start a thread for the log")
}
