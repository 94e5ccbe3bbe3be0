//! `ixt call` and `ixt publish`.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::{BuildOptions, DataInput, Setting, duration};

#[derive(Debug, clap::Args)]
pub(crate) struct CallArgs {
    /// Start the module in this directory for the call, and shut it down afterwards.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) module: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) request: MessageArgs,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
    /// With --module: don't build, start the program of the last build with the same profile.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// The priority of the call. More urgent calls are handled first.
    #[arg(long, default_value = "normal")]
    pub(crate) priority: PriorityArg,
    /// The timeout of the call, such as `5s`. The default is the `ttl_ms` of the service in its manifest; if there is none, the call
    /// has no timeout.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) ttl: Option<Duration>,
    /// With --module: set a key of the module's configuration. `KEY=@FILE` takes the value from a file, `KEY=env:NAME`
    /// from an environment variable and `KEY=credential:NAME` from systemd's directory of credentials, so that no secret has to
    /// stand on a command line. A value that itself begins with `@`, `env:` or `credential:` needs one of these too.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<Setting>,
    /// With --module: the directory for the module's keys and values. Without it they are kept in memory, and gone afterwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) request: MessageArgs,
}

/// The topic and the payload of a call or an event.
#[derive(Debug, clap::Args)]
pub(crate) struct MessageArgs {
    /// The topic.
    pub(crate) topic: String,
    /// The payload: JSON, or any bytes if the manifest declares no type for it. It follows `--` if it begins with `-`. Without it
    /// and --data, the payload is empty.
    #[arg(value_name = "JSON", conflicts_with = "data", allow_negative_numbers = true)]
    pub(crate) payload: Option<String>,
    /// Read the payload from a file (`@FILE`) or from stdin (`-`).
    #[arg(long, value_name = "@FILE|-")]
    pub(crate) data: Option<DataInput>,
}

/// The value of `--priority`: `Priority` with the names that the command line takes, which are in lower case only. From the lowest to the
/// most urgent.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PriorityArg {
    Low,
    Normal,
    High,
    Critical,
}

impl From<PriorityArg> for ixt_protocol::Priority {
    fn from(priority: PriorityArg) -> Self {
        match priority {
            PriorityArg::Low => Self::Low,
            PriorityArg::Normal => Self::Normal,
            PriorityArg::High => Self::High,
            PriorityArg::Critical => Self::Critical,
        }
    }
}
