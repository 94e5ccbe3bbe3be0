//! `ixt run`: builds modules, runs a host for them until a signal or `ixt stop` comes, or with `--exit-on-failure` a process has failed,
//! and shuts them down.
//!
//! - `activation` takes over sockets from a service manager, `service_manager` reports to it;
//! - `deployer` makes deployments of modules, at the start and at each restart; `reload` replaces modules at SIGHUP;
//! - `log_output` writes the log to stdout and to files, `http` serves metrics and health, `spans` exports traces.
//!
//! The host itself is `ixt_host::Host`. This folder gives it modules and settings, and decides when it ends.

mod activation;
mod deployer;
mod http;
mod log_output;
mod reload;
mod service_manager;
#[cfg(feature = "otel")]
mod spans;

use std::net::TcpListener;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use ixt_host::control::{Claim, default_path};
use ixt_host::text::harmless;
use ixt_host::{Config, Host, HostBuilder, Module, Settings};

use crate::args::RunArgs;
use crate::building::{self, OnStderr};
use crate::configuration::{HostFile, HttpName, check};
use crate::data_dir::data_dir_or_default;
use crate::failure::{Failure, Result};
use crate::interrupts::Interrupts;
use crate::module_dirs::modules;
use crate::output::say;
use activation::Activation;
use deployer::Deployer;
use http::Server;
use log_output::LogOutput;
use service_manager::ServiceManager;

/// How long an `ixt run` that a signal has interrupted waits until its modules are killed and its threads have ended. Then it exits all the
/// same.
const KILL_TIMEOUT: Duration = Duration::from_secs(2);

/// `ixt run`. Blocks until the host has ended: by a signal, `ixt stop`, or with `--exit-on-failure` when a process has failed. A closed
/// stdout does not end it, nor without that option does a module that does not start. Mistakes in manifests and configurations are
/// reported, with status 2, before anything is built or started. `socket` is the path of `--host`; `None`: that of the service manager's
/// socket, or the default one.
pub(crate) fn run(args: &RunArgs, socket: Option<&Path>, json: bool) -> Result<()> {
    // It changes the environment, so it has to come before there is another thread.
    let activation = Activation::take().map_err(Failure::usage)?;
    let file = HostFile::of(args.config.as_deref());
    let (modules, wrong) = modules(&args.dirs)?;
    let configs = check(&modules, wrong, &file, &args.set, &args.instances);
    let configs = configs.map_err(|report| Failure::wrong(report.to_ansi_string()))?;
    let runtime = crate::runtime::new()?;
    let result = runtime.block_on(serve(args, &file, &modules, &configs, socket, activation, json));
    if result.as_ref().is_err_and(Failure::is_interrupted) {
        // The modules are killed as the runtime drops its tasks. A thread that is blocked, such as by a stopped terminal, is not
        // waited for longer.
        runtime.shutdown_timeout(KILL_TIMEOUT);
    }
    result
}

/// Builds and adds the modules, runs the host, and shuts it down. `configs` are those of `modules`, in the same order. Call it once, within
/// a runtime.
///
/// Fails with status 1 if a process has failed or did not end as it should; with 2 if the control socket, the HTTP address, the data
/// directory or another setting can't be used, for example because a host is running there already; with 3 if a module can't be built, or
/// the system has no threads; and with the signal's status if a signal ended the build, or a second one came. After one signal that came
/// later the status is that of the modules.
async fn serve(
    args: &RunArgs,
    file: &HostFile,
    modules: &[Module],
    configs: &[Config<'_>],
    socket: Option<&Path>,
    activation: Activation,
    json: bool,
) -> Result<()> {
    let settings = settings(args, file)?;
    let (mut interrupts, mut reloads) = Interrupts::for_host().map_err(Failure::module)?;
    // Before anything is built, so that nothing has happened yet if a host is running there already.
    let control = match activation.control {
        Some(listener) => Claim::of(listener, socket),
        None => Claim::new(socket.map_or_else(default_path, Path::to_owned)),
    };
    let control = control.map_err(Failure::usage)?;
    let mut builder = Host::builder(settings);
    let manager = ServiceManager::of_environment(builder.logs());
    #[cfg(feature = "otel")]
    if let Some(told) = spans::export_spans(&mut builder, args.otlp.as_deref()).map_err(Failure::usage)? {
        say_beside(format!("* {told}\n"));
    }
    let log_dir = args.log_dir.as_ref().or(file.log_dir.as_ref());
    let log = LogOutput::start(builder.logs(), json, log_dir.map(|dir| (dir.as_path(), file.log_limits())))?;
    interrupts.or(manager.builds(modules.len())).await?;
    interrupts.or(add_modules(&mut builder, args, file, modules, configs)).await??;
    let http = http(args, file, activation.http).map_err(Failure::usage)?;
    let control = control.listen().map_err(Failure::usage)?;
    let host = builder.start().await.map_err(Failure::usage)?;
    say_beside(format!("* the host listens at {}; Ctrl-C ends it\n", control.path().display()));
    let http = http.map(|server| {
        say_beside(format!("* {}\n", server.description()));
        server.start(host.clone())
    });
    let mut serving = pin!(control.serve(&host));
    let reporting = tokio::spawn(manager.clone().report(host.clone()));
    let running = async {
        // A module that has not started is in the log, and is started again.
        let _ = host.ready().await;
        manager.ready().await;
        reload::at_each_signal(&mut reloads, &host, !args.no_build, &manager).await
    };
    let failure = tokio::select! {
        () = &mut serving => None,
        () = control.asked_to_stop() => None,
        _ = interrupts.next() => None,
        failure = host.failed(), if args.exit_on_failure => Some(failure),
        never = running => match never {},
    };
    reporting.abort();
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
    // A stopped terminal may block the log, so that a signal ends the wait.
    interrupts.or(log.written()).await?;
    interrupts.end()?;
    match (complaints.is_empty(), failure) {
        (true, None) => Ok(()),
        // The module was restarted by hand after the host began to end, and so did not complain at the end.
        (true, Some(failure)) => Err(Failure::failed(failure)),
        (false, _) => Err(Failure::failed(complaints.join("\n"))),
    }
}

/// Builds the modules (with `--no-build`, finds their programs), and adds them to the host in their order, with the loader that reads them
/// again at a reload. Starts nothing. The failures are those of [`building::failure`], and status 2 if the host refuses a module.
async fn add_modules(
    builder: &mut HostBuilder,
    args: &RunArgs,
    file: &HostFile,
    modules: &[Module],
    configs: &[Config<'_>],
) -> Result<()> {
    let builds = building::builds(&args.build, file, modules);
    let builds = if args.no_build { builds.without_building() } else { builds };
    let programs = builds.programs(&OnStderr::new()).await;
    let programs = programs.map_err(|error| building::failure(&error, file, modules))?;
    let deployer = Arc::new(Deployer::new(args, file, modules));
    for ((module, program), config) in modules.iter().zip(programs).zip(configs) {
        let deployment = deployer.deployment(module, program, config, file).map_err(Failure::usage)?;
        builder.module(deployment).map_err(Failure::usage)?;
    }
    builder.loader(deployer);
    Ok(())
}

/// Writes text, which has a line end, to stderr from another thread, and does not wait for it: a stopped terminal would block the host. Two
/// texts may come in any order, and one that is not written at the end of the process is lost.
fn say_beside(text: String) {
    // If the system starts no more threads, the text is lost; the modules have other troubles then.
    let _ = thread::Builder::new().spawn(move || say(&text));
}

/// Binds the HTTP server if the command line, the host's file or the service manager asks for one; `None` otherwise. `listener` is the
/// socket of the service manager. The command line overrides the file: its address that of the file, and its names all those of the file.
/// It is an error if there is an address beside `listener`, if there are names without an address, or if the address can't be bound. Serves
/// nothing yet.
fn http(args: &RunArgs, file: &HostFile, listener: Option<TcpListener>) -> anyhow::Result<Option<Server>> {
    let in_file = file.http.names.iter().map(|HttpName(name)| name.clone()).collect();
    let names = if args.http_host.is_empty() { in_file } else { args.http_host.clone() };
    match (args.http.or(file.http.address), listener) {
        (Some(address), Some(_)) => bail!(
            "the service manager hands over a socket for HTTP, and `--http` or `[http] address` says {address}: remove one of them"
        ),
        (None, Some(listener)) => Ok(Some(Server::new(listener, &names)?)),
        (Some(address), None) => Server::bind(address, &names).map(Some),
        (None, None) if names.is_empty() => Ok(None),
        (None, None) => bail!(
            "there are host names for HTTP, but no address: give `--http ADDRESS`, or `[http] address` in the file of --config"
        ),
    }
}

/// The host's settings: those of the file, with what the command line sets. Without `--ephemeral` they have a data directory, which is not
/// made here; fails with status 2 if there is no place for it.
fn settings(args: &RunArgs, file: &HostFile) -> Result<Settings> {
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
