//! `ixt`, the command for IXT modules:
//!
//! - `ixt check [PATH…]` tells what is wrong with manifests;
//! - `ixt generate PATH` shows or writes the code that a build script makes from one;
//! - `ixt diff OLD NEW` tells what a change of a manifest breaks;
//! - `ixt docs MANIFEST` prints a module's reference page;
//! - `ixt schema` prints a JSON Schema of manifests, for editors;
//! - `ixt call --module DIR TOPIC [JSON]` builds a module, starts it, calls one of its services and ends it.
//!
//! Results go to stdout, everything else to stderr. `ixt help` explains the commands and their exit status.

mod args;
mod call;
mod check;
mod diff;
mod docs;
mod exit;
mod files;
mod generate;
mod json;
mod schema;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Args, Command};

fn main() -> ExitCode {
    let result = match Args::parse().command {
        Command::Check(args) => check::check(&args),
        Command::Generate(args) => generate::generate(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Docs { manifest } => docs::docs(&manifest),
        Command::Schema => schema::schema(),
        Command::Call(call) => call::call(&call),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
