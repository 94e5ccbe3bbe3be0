//! `ixt`, the command for IXT modules:
//!
//! - `ixt check [PATH…]` tells what is wrong with manifests;
//! - `ixt generate PATH` shows or writes the code that a build script makes from one;
//! - `ixt diff OLD NEW` tells what a change of a manifest breaks;
//! - `ixt docs MANIFEST` prints a module's reference page;
//! - `ixt schema` prints a JSON Schema of manifests, for editors;
//! - `ixt build DIR…` builds modules as `ixt run` does;
//! - `ixt run DIR…` runs modules, and `ixt call`, `publish`, `ps`, `top`, `logs`, `restart`, `stop` and `kv` talk to them;
//! - `ixt kv check` and `ixt kv repair` are for the keys and values of a host that does not run;
//! - `ixt call --module DIR TOPIC [JSON]` starts a module for one call.
//! - `ixt conformance --manifest FILE -- COMMAND…` tells where a module, in any language, breaks the protocol;
//!
//! Results go to stdout, everything else to stderr. `ixt help` explains the commands and their exit status.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod activation;
mod args;
mod building;
mod call;
mod check;
mod configuration;
mod conformance;
mod deploy;
mod diff;
mod docs;
mod exit;
mod files;
mod generate;
mod http;
mod interrupts;
mod json;
mod kv;
mod log_files;
mod logs;
#[cfg(feature = "otel")]
mod otel;
mod output;
mod ps;
mod reload;
mod remote;
mod restart;
mod run;
mod runtime;
mod schema;
mod service_manager;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use args::{Args, Command};
use exit::Failure;
use ixt_host::{control, guard};
use remote::Remote;

fn main() -> ExitCode {
    ixt_host::kv::quiet_panics();
    let Args { host, json, command } = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::explain(&error),
    };
    let host = host.as_deref();
    let result = match command {
        Command::Check(args) => check::check(&args, json),
        Command::Generate(args) => generate::generate(&args),
        Command::Diff(args) => diff::diff(&args, json),
        Command::Docs { manifest } => docs::docs(&manifest),
        Command::Schema => schema::schema(),
        Command::Build(args) => building::build(&args, json),
        Command::Run(args) => run::run(&args, host, json),
        Command::Call(args) => call::call(&args, host),
        Command::Publish(args) => call::publish(&args, host),
        Command::Ps => ps::ps(host, json),
        Command::Top => ps::top(host, json),
        Command::Logs(args) => logs::logs(&args, host, json),
        Command::Restart { module, no_build } => restart::restart(module, !no_build, host, json),
        Command::Stop { module: Some(module) } => {
            Remote::ask(host, &control::Command::Stop { module: Some(module) }).and_then(Remote::done)
        }
        Command::Stop { module: None } => {
            Remote::ask(host, &control::Command::Stop { module: None }).and_then(Remote::ended)
        }
        Command::Kv(args) => kv::kv(&args, host, json),
        Command::Guard { shutdown_grace, exit_grace } => {
            let [shutdown_grace, exit_grace] = [shutdown_grace, exit_grace].map(Duration::from_millis);
            guard::run(shutdown_grace, exit_grace).map_err(Failure::module)
        }
        Command::Conformance(args) => conformance::conformance(args, json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
