//! `ixt run`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use super::{BuildOptions, Setting};

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct RunArgs {
    /// Modules: directories with a manifest.toml, or directories whose direct children are such.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// A TOML file with the configuration of the host and of its modules. Options on the command line override it; --features
    /// adds to it.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a key of a module's configuration. `@FILE` takes the value from a file, `env:NAME` from an environment variable and
    /// `credential:NAME` from systemd's directory of credentials, so that no secret has to stand on a command line.
    #[arg(long, value_name = "MODULE.KEY=VALUE", value_parser = module_setting)]
    pub(crate) set: Vec<(String, Setting)>,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
    /// Don't build: run the programs of the last build with the same profile.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Run several processes of a module. Each call goes to the one with the fewest requests. The default is the
    /// number in the file of --config, or else 1.
    #[arg(long, value_name = "MODULE=NUMBER", value_parser = module_instances)]
    pub(crate) instances: Vec<(String, u32)>,
    /// End the host when a module has failed: it has been restarted as often as `[restart]` in the file of --config allows.
    /// Without this option such a module is restarted again and again, after the longest pause.
    #[arg(long)]
    pub(crate) exit_on_failure: bool,
    /// The directory for the modules' keys and values. The default is that of the file of --config, or else `ixt` in
    /// `$XDG_DATA_HOME`, or in ~/.local/share.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep the modules' keys and values in memory only. They are gone when the host ends.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Also write the log to files in this directory, as JSON lines. `[log]` in the file of --config limits their size (64 MiB by
    /// default) and number (14). The oldest are removed.
    #[arg(long, value_name = "DIR")]
    pub(crate) log_dir: Option<PathBuf>,
    /// Log every call and every event that is handled, not only those that fail.
    #[arg(long)]
    pub(crate) log_calls: bool,
    /// Serve HTTP at this address, such as `127.0.0.1:9100`: /metrics for Prometheus, /healthz and /readyz for health checks.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// Also answer HTTP requests to this host name. Without it, a server at a loopback address answers requests to `localhost`
    /// and loopback addresses only, and a server at any other address answers all. With this option, such a server answers
    /// only requests to these names, to `localhost` and to its own addresses.
    #[arg(long, value_name = "NAME", value_parser = http_host)]
    pub(crate) http_host: Vec<String>,
    /// Send a span for each call to this OpenTelemetry collector, over HTTP, such as `http://localhost:4318/v1/traces`. The
    /// standard variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_SAMPLER`, are read too; this option comes first.
    #[cfg(feature = "otel")]
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

/// Reads a host name or an IP address for `--http-host` and `[http] names`. A port, a scheme, a path, brackets, or an empty text is an
/// error: the port of a request does not matter. The text is returned as it is; whether the name exists is not checked.
pub(crate) fn http_host(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && !text.contains([':', '/', '[']);
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("expected a name or an address, without a port".to_owned())
}

/// Reads the value of `--set`, `MODULE.KEY=VALUE`: the module's name and the setting. The key is what follows the last dot before the first
/// `=`: a module's name may have dots, a key has none. The error says what is expected. Whether the module and the key exist is checked
/// later, in `configuration`.
pub(super) fn module_setting(text: &str) -> Result<(String, Setting), String> {
    let expected = "expected `MODULE.KEY=VALUE`";
    let (name, _) = text.split_once('=').ok_or(expected)?;
    let (module, _) = name.rsplit_once('.').ok_or(expected)?;
    let setting = text[module.len() + 1..].parse()?;
    Ok((module.to_owned(), setting))
}

/// Reads the value of `--instances`, `MODULE=NUMBER`: the module's name and the number of its processes, 1 to `u32::MAX`. Any other number
/// is an error. Whether the module exists is checked later, in `configuration`.
pub(super) fn module_instances(text: &str) -> Result<(String, u32), String> {
    let (module, number) = text.split_once('=').ok_or("expected `MODULE=NUMBER`")?;
    match number.parse() {
        Ok(number @ 1..) => Ok((module.to_owned(), number)),
        _ => Err(format!("`{number}` is no number of processes: expected 1 or more")),
    }
}
