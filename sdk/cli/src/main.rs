//! `ixt`, the command for IXT modules. `ixt help` lists the commands; `ixt help COMMAND` has the options and the exit status of one.
//!
//! `args` is the command line. This file calls the function that carries out each command:
//!
//! - `manifest`: the commands that work on manifests and need no host;
//! - `building`: `ixt build`; `run`: `ixt run`; `call`: `ixt call` and `ixt publish`; `conformance`: `ixt conformance`;
//! - `remote`: the other commands that talk to a running host, and those that check and repair a host's data while it is not running.
//!
//! `ixt guard` is `ixt_host::guard`. The other files are what several commands need. Results go to stdout, and so does the log of
//! `ixt run`; everything else goes to stderr. A command that ends early returns a [`Failure`]: `exit` prints it, and returns its status.
//! `exit` also ends a command line that clap refuses. Only `interrupts` ends the process without coming back here.

#![warn(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod building;
mod call;
mod children;
mod configuration;
mod conformance;
mod data_dir;
mod exit;
mod failure;
mod interrupts;
mod lock;
mod log_files;
mod manifest;
mod module_dirs;
mod output;
mod remote;
mod run;
mod runtime;
mod suggestion;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;

use args::{CliCommand, CommandLine};
use failure::Failure;
use ixt_host::guard;

fn main() -> ExitCode {
    ixt_host::kv::quiet_panics();
    let CommandLine { host, json, command } = match CommandLine::try_parse() {
        Ok(args) => args,
        Err(error) => return exit::explain(&error),
    };
    let host = host.as_deref();
    let result = match command {
        CliCommand::Check(args) => manifest::check::check(&args, json),
        CliCommand::Generate(args) => manifest::generate::generate(&args),
        CliCommand::Diff(args) => manifest::diff::diff(&args, json),
        CliCommand::Docs { manifest } => manifest::docs::docs(&manifest),
        CliCommand::Schema => manifest::schema::schema(),
        CliCommand::Build(args) => building::build(&args, json),
        CliCommand::Run(args) => run::run(&args, host, json),
        CliCommand::Call(args) => call::call(&args, host),
        CliCommand::Publish(args) => call::publish(&args, host),
        CliCommand::Ps => remote::ps::ps(host, json),
        CliCommand::Top => remote::ps::top(host, json),
        CliCommand::Logs(args) => remote::logs::logs(&args, host, json),
        CliCommand::Restart { module, no_build } => remote::restart::restart(module, !no_build, host, json),
        CliCommand::Stop { module } => remote::stop(module, host),
        CliCommand::Kv(args) => remote::kv::kv(&args, host, json),
        CliCommand::Guard { shutdown_grace, exit_grace } => {
            let [shutdown_grace, exit_grace] = [shutdown_grace, exit_grace].map(Duration::from_millis);
            guard::run(shutdown_grace, exit_grace).map_err(Failure::module)
        }
        CliCommand::Conformance(args) => conformance::conformance(args, json),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::report(&failure),
    }
}
