//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Parser, Subcommand, ValueEnum};

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
    /// Exits 1 if there are errors; warnings alone are none.
    Check(Check),
    /// Print or write the Rust code that a build script makes from a manifest.
    ///
    /// Exits 1 if the manifest is wrong, or if --check finds a file that is not up to date.
    Generate(Generate),
    /// Tell what a change of a manifest does to those who call the module and who configure it.
    ///
    /// Exits 1 if the change breaks anything, and 2 if a manifest is wrong.
    Diff(Diff),
    /// Print a module's reference page, in Markdown: its services, events, configuration and types.
    ///
    /// Exits 1 if the manifest is wrong.
    Docs {
        /// The manifest.
        manifest: PathBuf,
    },
    /// Print a JSON Schema of manifests, with which TOML editors complete and check them.
    Schema,
    /// Call a service of a module: build it, start it, call it, shut it down.
    ///
    /// Prints the reply's data as JSON on stdout; everything the module writes goes to stderr, after its name.
    ///
    /// Exits 1 if the module answers with an error, 2 if the call can't be made as it stands, 3 if the module could not
    /// be built, started or initialized, or is gone before it has answered, and 130 if it was interrupted.
    Call(Call),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Manifests, and directories: of a directory every manifest.toml in it is checked, at any depth, or, if it has none,
    /// the .toml files directly in it.
    #[arg(default_value = ".", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How to print what was found: for people on stderr, or as a JSON object a line on stdout.
    #[arg(long, default_value = "human", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Human,
    Json,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The manifest as it was; `-` takes it from stdin: git show main:manifest.toml | ixt diff - manifest.toml
    pub(crate) old: PathBuf,
    /// The manifest as it is.
    pub(crate) new: PathBuf,
    /// How to print the changes: for people, or as a JSON object a line.
    #[arg(long, default_value = "human", value_name = "FORMAT")]
    pub(crate) format: Format,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Generate {
    /// The manifest, or a directory of manifests.
    pub(crate) path: PathBuf,
    /// Write the code to this file, and not to stdout; of a directory of manifests, to files in this directory.
    #[arg(short, long, value_name = "PATH")]
    pub(crate) out: Option<PathBuf>,
    /// Write nothing, and tell with a diff whether the files are up to date.
    #[arg(long, requires = "out")]
    pub(crate) check: bool,
    /// Derive more for a generated type.
    #[arg(long, value_name = "TYPE=DERIVES", value_parser = pair)]
    pub(crate) derive: Vec<(String, String)>,
    /// Add an attribute to a generated type.
    #[arg(long, value_name = "TYPE=ATTRIBUTE", value_parser = pair)]
    pub(crate) attribute: Vec<(String, String)>,
    /// Use a type of the crate instead of a generated one.
    #[arg(long, value_name = "TYPE=RUST_PATH", value_parser = pair)]
    pub(crate) replace: Vec<(String, String)>,
    /// The path of the SDK crate, if not `::ixt_sdk`.
    #[arg(long, value_name = "RUST_PATH")]
    pub(crate) sdk: Option<String>,
}

/// `TYPE=…`
fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected the name of a type, `=`, and what it gets")?;
    Ok((name.to_owned(), value.to_owned()))
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
