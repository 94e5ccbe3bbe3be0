//! The command line.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use clap::{Parser, Subcommand, ValueEnum};
use ixt_protocol::LogLevel;

/// Checks, generates, runs and calls IXT modules.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
pub(crate) struct Args {
    /// The socket of the host to run or to talk to, if not this user's default one.
    #[arg(long, global = true, env = "IXT_HOST", value_name = "PATH")]
    pub(crate) host: Option<PathBuf>,
    /// Print JSON, for programs: an object a line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
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
    /// Build modules as `ixt run` does, and print the programs that it would start.
    ///
    /// Exits 2 if something is wrong with what was given, 3 if a module could not be built, and 130 or 143 if Ctrl-C or SIGTERM came.
    Build(Build),
    /// Run modules: build them, start them, connect them, restart those that end, until Ctrl-C or SIGTERM.
    ///
    /// SIGHUP does the same if the host was started on a terminal, and otherwise replaces the modules that have changed by what they
    /// are now.
    ///
    /// The log goes to stdout, for people if that is a terminal, and as JSON lines otherwise and with --json.
    ///
    /// Exits 0 when all modules have ended well, 1 if one had failed or did not end well, 2 if something is wrong with what
    /// was given, 3 if a module could not be built, and 130 or 143 if Ctrl-C or SIGTERM came twice, or before the start.
    Run(Run),
    /// Call a service of a running host's module, or, with --module, of one that is started for this call alone.
    ///
    /// Prints the reply's data as JSON on stdout; with --module, everything that the module writes goes to stderr, after its
    /// name.
    ///
    /// Exits 1 if the module, or the host, answers with an error, 2 if the call can't be made as it stands, and with
    /// --module 3 if the module could not be built, started or initialized, or is gone before it has answered, and 130 or
    /// 143 if Ctrl-C or SIGTERM came.
    Call(Call),
    /// Publish an event at a running host.
    Publish(Publish),
    /// Show how a running host and its modules are.
    Ps,
    /// Show the same again and again, with how often each service is called and how long it takes.
    Top,
    /// Show the log of a running host.
    Logs(Logs),
    /// Start a module of a running host anew; what it has begun it finishes first.
    Restart {
        /// The module.
        module: String,
        /// Take its program as it is.
        #[arg(long)]
        no_build: bool,
    },
    /// Shut down a module of a running host, or the host with all of them.
    Stop {
        /// The module.
        module: Option<String>,
    },
    /// Read and write the keys and values that a running host keeps for its modules, back them up, and check and repair those
    /// of a host that does not run.
    #[command(subcommand)]
    Kv(Kv),
    /// End what a host has started, when the host has ended. Started by a host, beside itself.
    #[command(hide = true)]
    Guard {
        /// How many milliseconds the modules have to finish.
        shutdown_grace: u64,
        /// And again after SIGTERM.
        exit_grace: u64,
    },
    /// Check whether a module, in any language, keeps to the protocol (sdk/protocol/PROTOCOL.md).
    ///
    /// Starts the module again and again, plays its host, and prints a line for each check: `ok`, `FAILED` with what was
    /// expected and what came, or `skipped` with the reason. Every service of the manifest is really called, with an
    /// empty payload, and some with other bytes: --skip leaves out those that would do harm.
    ///
    /// Exits 1 if a check has failed, 2 if the checks can't be made as they stand, 3 if the manifest is wrong or the
    /// command can't be started, and 130 or 143 if Ctrl-C or SIGTERM came.
    Conformance(Conformance),
}

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Run {
    /// Modules: directories with a manifest.toml, or directories whose children are such.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// A file with the configuration of the host and of its modules.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Set a key of a module's configuration. `@FILE` takes the value from a file, `env:NAME` from an environment variable and
    /// `credential:NAME` from systemd's directory of credentials, so that a secret need not stand on a command line.
    #[arg(long, value_name = "MODULE.KEY=VALUE", value_parser = module_setting)]
    pub(crate) set: Vec<(String, Setting)>,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
    /// Build nothing: run the programs of the last build with the same profile.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// Run several processes of a module, among which its calls are divided.
    #[arg(long, value_name = "MODULE=NUMBER", value_parser = module_instances)]
    pub(crate) instances: Vec<(String, u32)>,
    /// End when a module has failed, which is when it was restarted as often as `[restart]` in the file of --config says; otherwise it is
    /// tried again and again.
    #[arg(long)]
    pub(crate) exit_on_failure: bool,
    /// Where the modules' keys and values are kept; without it, in `ixt` in the user's directory for data.
    #[arg(long, value_name = "DIR", conflicts_with = "ephemeral")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Keep the modules' keys and values in memory alone.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Write the log to files in this directory too, as JSON lines. `[log]` in the file of --config limits their size and number:
    /// 64 MiB and 14, if it says nothing.
    #[arg(long, value_name = "DIR")]
    pub(crate) log_dir: Option<PathBuf>,
    /// Log each call and each event that is handled, and not only those that fail.
    #[arg(long)]
    pub(crate) log_calls: bool,
    /// Serve HTTP at this address, such as `127.0.0.1:9100`: /metrics for Prometheus, /healthz and /readyz for whoever looks
    /// after the host.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
    /// Answer HTTP requests to this name too: at an address of this machine, only those to `localhost` and to addresses are
    /// answered otherwise, and at another one, then only these.
    #[arg(long, value_name = "NAME", value_parser = http_host)]
    pub(crate) http_host: Vec<String>,
    /// Send a span for each call to this OpenTelemetry collector, over HTTP, such as `http://localhost:4318/v1/traces`. The
    /// standard variables, such as `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_TRACES_SAMPLER`, say the same and more.
    #[cfg(feature = "otel")]
    #[arg(long, value_name = "URL")]
    pub(crate) otlp: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Build {
    /// Modules: directories with a manifest.toml, or directories whose children are such.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// The file for `ixt run`, of which `[build]` and `[modules.NAME.build]` count.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) options: BuildOptions,
}

/// How cargo builds modules.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct BuildOptions {
    /// Build them with optimizations: with the profile `release`.
    #[arg(long, conflicts_with = "profile")]
    pub(crate) release: bool,
    /// Build them with this profile of cargo's, if not `dev`.
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Enable these features, separated by commas, of the modules that have them.
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) features: Vec<String>,
    /// Of the modules that have several programs, one of this name is the module.
    #[arg(long, value_name = "NAME")]
    pub(crate) bin: Option<String>,
}

impl BuildOptions {
    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { release, profile, features, bin } = self;
        !release && profile.is_none() && features.is_empty() && bin.is_none()
    }

    pub(crate) fn build(&self) -> ixt_host::Build {
        let mut build = ixt_host::Build::default();
        build.profile = self.profile.clone().or_else(|| self.release.then(|| "release".to_owned()));
        build.features.extend(self.features.iter().filter(|feature| !feature.is_empty()).cloned());
        build.bin.clone_from(&self.bin);
        build
    }
}

/// A name, or an address; whichever port it comes with.
pub(crate) fn http_host(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && !text.contains([':', '/', '[']);
    if is_name || text.parse::<IpAddr>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("expected a name or an address, without a port".to_owned())
}

/// `MODULE.KEY=VALUE`; a module's name may have dots, a key has none.
fn module_setting(text: &str) -> Result<(String, Setting), String> {
    let expected = "expected `MODULE.KEY=VALUE`";
    let (name, _) = text.split_once('=').ok_or(expected)?;
    let (module, _) = name.rsplit_once('.').ok_or(expected)?;
    let setting = text[module.len() + 1..].parse()?;
    Ok((module.to_owned(), setting))
}

fn module_instances(text: &str) -> Result<(String, u32), String> {
    let (module, number) = text.split_once('=').ok_or("expected `MODULE=NUMBER`")?;
    match number.parse() {
        Ok(number @ 1..) => Ok((module.to_owned(), number)),
        _ => Err(format!("`{number}` is no number of processes")),
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Logs {
    /// Go on with what comes.
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// So many of the lines that are there, the last ones; without it, 100, or all with --trace or --since.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub(crate) lines: Option<usize>,
    /// Only what this module writes, and what the host says of it.
    pub(crate) module: Option<String>,
    /// Only what matters at least so much.
    #[arg(short, long)]
    pub(crate) level: Option<Level>,
    /// Only what belongs to the trace with this id, or whose id begins like this, as with the eight characters that are shown.
    #[arg(long, value_name = "ID", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(crate) trace: Option<String>,
    /// Only what came since then: a time ago, such as `10m`, or a point in time, such as `2026-11-28T10:00:00+01:00`.
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub(crate) since: Option<SystemTime>,
}

fn since(text: &str) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH));
    }
    let expected = "expected a duration such as `10m`, or a time in RFC 3339 such as `2026-11-28T10:00:00+01:00`";
    text.parse::<jiff::Timestamp>().map(Into::into).map_err(|_| expected.to_owned())
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl From<Level> for LogLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Kv {
    /// Print a value, as it is, or as text if that is to a terminal. Exits 1 if there is none.
    Get {
        /// The module whose key it is.
        module: String,
        key: String,
    },
    /// Put a value under a key.
    Set {
        /// The module whose key it is.
        module: String,
        key: String,
        /// The value; without it and --data it is read from stdin.
        #[arg(conflicts_with = "data", allow_hyphen_values = true)]
        value: Option<String>,
        /// Take the value from a file (`@FILE`) or from stdin (`-`).
        #[arg(long, value_name = "@FILE|-")]
        data: Option<Source>,
        /// Remove the key after this time, such as `10m`.
        #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
        ttl: Option<Duration>,
        /// Only if this is the key's revision; 0: if there is no such key.
        #[arg(long, value_name = "REVISION")]
        expected_revision: Option<u64>,
    },
    /// Remove a key. Exits 1 if there is none.
    Delete {
        /// The module whose key it is.
        module: String,
        key: String,
        /// Only if this is the key's revision.
        #[arg(long, value_name = "REVISION")]
        expected_revision: Option<u64>,
    },
    /// Print the keys that begin like this.
    List {
        /// The module whose keys they are.
        module: String,
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Print changes of the keys that begin like this, as they come.
    Watch {
        /// The module whose keys they are.
        module: String,
        #[arg(default_value = "")]
        prefix: String,
    },
    /// Have a running host write the keys and values of all modules, as they are now, to a new file.
    ///
    /// It goes on meanwhile. The file is for its user alone, and put in the place of `kv.redb` in a data directory it is
    /// opened by a host. There must be nothing by its name yet.
    Backup {
        /// The file.
        file: PathBuf,
    },
    /// Read all that there is in a data directory that no host uses, and tell what is whole and what is damaged.
    ///
    /// Nothing is changed. Exits 1 if anything is damaged, and 2 if it can't be read, as when a host uses it.
    Check {
        /// The data directory; without it, the one that `ixt run` uses without it.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
    /// Save what can be read in a damaged data directory that no host uses.
    ///
    /// It is copied to a new file, and the damaged one is kept beside it as `kv.redb.damaged-1`, or the next number. What is
    /// whole is left as it is. Exits 2 if nothing could be done, as when a host uses it.
    Repair {
        /// The data directory; without it, the one that `ixt run` uses without it.
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Manifests, and directories: of a directory every manifest.toml in it is checked, at any depth, or, if it has none,
    /// the .toml files directly in it.
    #[arg(default_value = ".", value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Diff {
    /// The manifest as it was; `-` takes it from stdin: git show main:manifest.toml | ixt diff - manifest.toml
    pub(crate) old: PathBuf,
    /// The manifest as it is.
    pub(crate) new: PathBuf,
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
    /// Start the module in this directory for the call, and end it afterwards.
    #[arg(short, long, value_name = "DIR")]
    pub(crate) module: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) request: Request,
    #[command(flatten)]
    pub(crate) build: BuildOptions,
    /// With --module: build nothing, and start the program of the last build with the same profile.
    #[arg(long)]
    pub(crate) no_build: bool,
    /// How urgent it is.
    #[arg(long, default_value = "normal")]
    pub(crate) priority: Priority,
    /// How long to wait, such as `5s`; if nothing is said, as long as the service's manifest says, or for ever.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub(crate) ttl: Option<Duration>,
    /// With --module: set a key of the module's configuration. `KEY=@FILE` takes the value from a file, `KEY=env:NAME`
    /// from an environment variable and `KEY=credential:NAME` from systemd's directory of credentials, so that a secret need
    /// not stand on a command line; so does a value that itself begins with `@`, `env:` or `credential:`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<Setting>,
    /// With --module: where its keys and values are kept; without it they are gone afterwards.
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) request: Request,
}

/// What is sent.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// The topic.
    pub(crate) topic: String,
    /// The request as JSON; where nothing is declared, the bytes of the payload (after `--` if they begin with `-`).
    #[arg(value_name = "JSON", conflicts_with = "data", allow_negative_numbers = true)]
    pub(crate) payload: Option<String>,
    /// Take the request from a file (`@FILE`) or from stdin (`-`).
    #[arg(long, value_name = "@FILE|-")]
    pub(crate) data: Option<Source>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Priority {
    Low,
    Normal,
    High,
    Critical,
}

impl From<Priority> for ixt_protocol::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => Self::Low,
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
            Priority::Critical => Self::Critical,
        }
    }
}

#[derive(Debug, clap::Args)]
pub(crate) struct Conformance {
    /// The module's manifest. The module runs in its directory.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) manifest: PathBuf,
    /// How long each step may take, from the connection to the end.
    #[arg(long, default_value = "10s", value_name = "DURATION")]
    pub(crate) timeout: humantime::Duration,
    /// Set a key of the module's configuration, as in `ixt call`.
    #[arg(short, long = "config", value_name = "KEY=VALUE")]
    pub(crate) config: Vec<Setting>,
    /// Make only the checks that have this text in their names, after the two that every module has to pass first. The
    /// services are then called only if they are named, so that the other checks need --echo to call one.
    #[arg(long, value_name = "TEXT")]
    pub(crate) only: Vec<String>,
    /// Don't call this service.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) skip: Vec<String>,
    /// A service whose reply holds its payload, whatever that is, as the value of a key: with it the bytes that go to and
    /// fro are checked too.
    #[arg(long, value_name = "TOPIC")]
    pub(crate) echo: Option<String>,
    /// The command that starts the module, from the manifest's directory. A path to the program itself is one from here.
    /// Without a command, it is what the manifest's [artifacts.process] says.
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
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
    /// One that systemd has put into the directory for credentials.
    Credential(String),
}

impl FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = "expected `KEY=VALUE`, `KEY=@FILE`, `KEY=env:NAME` or `KEY=credential:NAME`";
        let (key, value) = text.split_once('=').ok_or(expected)?;
        Ok(Self { key: key.to_owned(), value: value.parse()? })
    }
}

impl FromStr for Value {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix('@') {
            return Ok(Self::File(path.into()));
        }
        if let Some(name) = text.strip_prefix("env:") {
            return Ok(Self::Variable(name.to_owned()));
        }
        match text.strip_prefix("credential:") {
            None => Ok(Self::Text(text.to_owned())),
            Some("" | "." | "..") => Err("a credential has a name: `credential:NAME`".to_owned()),
            Some(name) if name.contains('/') => Err("the name of a credential is no path, and has no `/`".to_owned()),
            Some(name) => Ok(Self::Credential(name.to_owned())),
        }
    }
}
