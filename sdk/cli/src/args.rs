//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand};

/// Checks, generates and calls IXT modules.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what is wrong with manifests.
    ///
    /// Exits 1 if anything is.
    Check {
        /// The manifests.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Print the Rust code that a build script makes from a manifest.
    ///
    /// Exits 1 if the manifest is wrong.
    Generate {
        /// The manifest.
        file: PathBuf,
    },
    /// Call a service of a module: build it, start it, call it, shut it down.
    ///
    /// Prints the reply's data as JSON on stdout; everything the module writes goes to stderr, after its name.
    ///
    /// Exits 1 if the module answers with an error, 2 if the call can't be made as it stands, 3 if the module could not
    /// be built, started or initialized, or is gone before it has answered, and 130 if it was interrupted.
    Call(Call),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Call {
    /// The module's directory, with its manifest.toml and Cargo.toml.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) module: PathBuf,
    /// The service's topic.
    pub(crate) topic: String,
    /// The request as JSON; for a service without a declared request, the bytes of the payload (after `--` if they
    /// begin with `-`).
    #[arg(value_name = "JSON", conflicts_with = "data", allow_negative_numbers = true)]
    pub(crate) json: Option<String>,
    /// Take the request from a file (`@FILE`) or from stdin (`-`).
    #[arg(long, value_name = "@FILE|-")]
    pub(crate) data: Option<Source>,
    /// Set a key of the module's configuration. `KEY=@FILE` takes the value from a file and `KEY=env:NAME` from an
    /// environment variable, so that a secret need not stand on a command line; so does a value that itself begins with
    /// `@` or `env:`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<Setting>,
}

/// Where a request is read from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    File(PathBuf),
    Stdin,
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix('@')) {
            ("-", _) => Ok(Self::Stdin),
            (_, Some(path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("expected `@FILE` or `-`; a request itself stands after the topic, without --data".to_owned()),
        }
    }
}

/// A key of the configuration and where its value comes from.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) key: String,
    pub(crate) value: Value,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Text(String),
    File(PathBuf),
    Variable(String),
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected `KEY=VALUE`, `KEY=@FILE` or `KEY=env:NAME`")?;
        let value = match (value.strip_prefix('@'), value.strip_prefix("env:")) {
            (Some(path), _) => Value::File(path.into()),
            (_, Some(name)) => Value::Variable(name.to_owned()),
            _ => Value::Text(value.to_owned()),
        };
        Ok(Self { key: key.to_owned(), value })
    }
}
