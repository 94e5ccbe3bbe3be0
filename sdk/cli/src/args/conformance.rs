//! `ixt conformance`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::{Setting, timeout};

#[derive(Debug, clap::Args)]
pub(crate) struct ConformanceArgs {
    /// The module's manifest. The module runs in its directory.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// The time that the module has for each step: to connect, to answer each request, and to end.
    #[arg(long, default_value = "10s", value_name = "DURATION", value_parser = timeout)]
    pub(crate) timeout: Duration,
    /// Set a key of the module's configuration, as in `ixt call`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<Setting>,
    /// Make only the checks that have this text in their names. The checks `connects to its host` and `init` are always made, first.
    /// Services that a check needs are called even if their own checks are not made.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,
    /// Don't call this service.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) skip: Vec<String>,
    /// A service whose reply has the payload of the request, whatever that is, as the value of a key. With it the bytes of payloads are
    /// checked too.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) echo: Option<String>,
    /// The command that starts the module, from the manifest's directory. A path to the program itself is relative to the current
    /// directory. Without a command, the manifest's [artifacts.process] says what is started.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}
