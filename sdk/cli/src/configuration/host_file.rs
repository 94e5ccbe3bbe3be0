//! The file of `ixt run --config`, in TOML: which keys it has, and what they become. HOST.md explains each key. An
//! absent key means the default of `ixt_host::Settings`, or for the few that are no settings that of `ixt run`.
//! `ixt run` reads it at the start and at each reload of a module, `ixt build` once, for the tables `build`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ixt_host::{Build, Program, Settings};
use ixt_manifest::language::reserved_variable;
use ixt_manifest::{Code, Diagnostic, Report};
use serde::Deserialize;

use super::document::Document;
use super::values::{DurationText, HttpName, SizeText};
use crate::log_files;

/// The content of the file, without the keys that have mistakes. The relative paths of `data_dir`, `log_dir` and
/// `config_from` have been joined to the file's directory. The default stands for no file, and sets nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HostFile {
    /// The directory of the key-value store, unless `--data-dir` sets one or `--ephemeral` is given. `None`: the
    /// default of `--data-dir`.
    pub(crate) data_dir: Option<PathBuf>,
    /// The directory of the log files, unless `--log-dir` sets one. `None`: there are none without that option.
    pub(crate) log_dir: Option<PathBuf>,
    log: LogTable,
    start: StartTable,
    restart: RestartTable,
    health: HealthTable,
    shutdown: ShutdownTable,
    calls: CallsTable,
    kv: KvTable,
    /// `[build]`: for all modules.
    build: BuildTable,
    /// Where metrics and health checks are served.
    pub(crate) http: HttpTable,
    /// The settings of modules, by their names. A name may be that of no module, which [`check()`](super::check())
    /// reports. Empty: all have the defaults.
    pub(crate) modules: BTreeMap<String, ModuleTable>,
    /// The text of the file, with its mistakes.
    #[serde(skip)]
    pub(super) document: Document,
}

/// `[log]`: what is logged, and the limits of the log files.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LogTable {
    /// Whether each call and event is logged. `false`, the default: only those that fail. `--log-calls` wins over
    /// `false`.
    calls: Option<bool>,
    /// The greatest size of a log file; 64 MiB by default. 0: each line has a file.
    file_size: Option<SizeText>,
    /// The greatest number of log files, with the one that is written; 14 by default. 0 is a mistake.
    files: Option<NonZeroUsize>,
}

/// `[restart]`: the fields of [`ixt_host::RestartPolicy`] of the same names, which explains them. A time of 0 is a
/// mistake. `--exit-on-failure` sets `give_up`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RestartTable {
    intensity: Option<u32>,
    window: Option<DurationText>,
    backoff: Option<DurationText>,
    max_backoff: Option<DurationText>,
    stable_after: Option<DurationText>,
    give_up: Option<bool>,
}

/// `[start]` and `[modules.NAME.start]`: the times that a process has to start. The manifest's times come between the
/// two: they win over `[start]`, and lose to `[modules.NAME.start]`. When a time is over, the process is ended, and the
/// start has failed.
#[derive(Debug, Default, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StartTable {
    /// How long a process has to connect after it was started. In `[start]`, 10 s by default.
    connect: Option<DurationText>,
    /// How long it then has to answer `init`, unless it asks for more time. In `[start]`, 60 s by default.
    init: Option<DurationText>,
}

/// `[health]`: the health checks of each process. They can't be turned off here: an interval of 0 is a mistake.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HealthTable {
    /// The time between two checks of a process, and before the first; 10 s by default.
    interval: Option<DurationText>,
    /// How long a process has to reply to a check; 5 s by default. A check without a reply in time has failed, unless
    /// the host itself is behind.
    timeout: Option<DurationText>,
    /// After how many failed checks in a row a process is restarted; 3 by default. 0: failed checks are only logged.
    failures: Option<u32>,
}

/// `[shutdown]`: the times that a process has to end.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ShutdownTable {
    /// How long it has to finish its requests, and then again to reply to `shutdown`; 5 s by default. Without a reply
    /// in time it gets SIGTERM.
    grace: Option<DurationText>,
    /// How long it has to exit after that reply, and again after SIGTERM; 2 s by default. Then it is killed.
    exit_grace: Option<DurationText>,
}

/// `[calls]`: the time of calls and events.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CallsTable {
    /// The default timeout of calls that modules make while they handle a request; also the time that an event has for
    /// waiting, handling and further attempts together. 300 s by default.
    timeout: Option<DurationText>,
}

/// `[kv]`: limits of the key-value store.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KvTable {
    /// How many bytes each module may keep, unless its `kv_quota` sets another quota. By default 256 MiB, or 32 MiB
    /// with `--ephemeral`. With 0 a module can't keep anything.
    quota: Option<SizeText>,
}

/// `[build]` and `[modules.NAME.build]`: how cargo builds modules.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BuildTable {
    /// Cargo's profile, unless the command line sets one. `None`: for a module that of `[build]`, or else `dev`.
    profile: Option<String>,
    /// Cargo's features that are enabled, with those of the command line and of the other table. A feature of `[build]`
    /// is enabled only in the modules that have it; a name that no module of the table has is an error of the build.
    features: Vec<String>,
    /// The program that is started, of a package with several. `--bin` wins over that of `[build]`, but not over that
    /// of a module. That of `[build]` is for the packages that have it.
    bin: Option<String>,
}

impl BuildTable {
    /// The options of cargo that this table sets, in the form that the host takes. Nothing is checked.
    fn build(&self) -> Build {
        let mut build = Build::default();
        build.profile.clone_from(&self.profile);
        build.features.clone_from(&self.features);
        build.bin.clone_from(&self.bin);
        build
    }
}

/// `[http]`: where metrics and health checks are served.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HttpTable {
    /// The address and port to listen at, unless `--http` sets one. `None`: the file does not ask for HTTP.
    pub(crate) address: Option<SocketAddr>,
    /// The host names to which the server answers, besides those of the address. `--http-host` replaces them all. Names
    /// are an error if nothing asks for HTTP.
    pub(crate) names: Vec<HttpName>,
}

/// `[modules.NAME]`: the settings of one module. The default sets nothing. A reload of the module applies them anew,
/// except for `kv_quota`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModuleTable {
    /// The number of its processes, unless `--instances` says otherwise. `None`: 1. 0 is a mistake.
    pub(crate) instances: Option<NonZeroU32>,
    /// Its quota for keys and values, in bytes. `None`: that of `[kv]`.
    kv_quota: Option<SizeText>,
    /// `[modules.NAME.build]`: for this module.
    build: BuildTable,
    /// `[modules.NAME.start]`: for this module.
    start: StartTable,
    /// Values of keys of its configuration. `module_config` checks them: here a key may be unknown, or a value wrong.
    pub(super) config: BTreeMap<String, toml::Value>,
    /// Keys of its configuration whose values are elsewhere: `@FILE`, `env:NAME` or `credential:NAME`. They are not
    /// read yet, and a text may be none of these.
    pub(super) config_from: BTreeMap<String, String>,
    /// Environment variables of its processes. They win over those of the manifest. A name that can't be set is a
    /// mistake, but stays here.
    env: BTreeMap<String, String>,
}

impl HostFile {
    /// Reads the file; for `None`, nothing is set. It does not fail, and prints nothing: keys with mistakes are left
    /// out, or all keys if the file can't be read or parsed. [`Self::check`] reports the mistakes, as does
    /// [`check()`](super::check()) together with those of the modules. Blocks.
    pub(crate) fn of(path: Option<&Path>) -> Self {
        path.map_or_else(Self::default, Self::read)
    }

    /// `[build]`: how all modules are built. The caller adds the options of the command line and
    /// `[modules.NAME.build]`.
    pub(crate) fn build(&self) -> Build {
        self.build.build()
    }

    /// A report of a mistake that cargo has found: that there is no feature or program called `name`. `key` is
    /// `features` or `bin`, and `mistake` the message. The report points at the value of the key in
    /// `[modules.NAME.build]`, or in `[build]` if `module` is `None`. It has the file's own mistakes too, if there are
    /// any. `None` if that table does not name `name`, which then comes from the command line.
    pub(crate) fn build_mistake(&self, module: Option<&str>, key: &str, name: &str, mistake: &str) -> Option<Report> {
        let (table, path) = match module {
            Some(module) => (&self.modules.get(module)?.build, vec!["modules", module, "build", key]),
            None => (&self.build, vec!["build", key]),
        };
        let is_said = table.features.iter().chain(&table.bin).any(|said| said == name);
        let entry = self.document.entry(&path).filter(|_| is_said)?;
        let diagnostic = Diagnostic::new(Code::InvalidValue, mistake).at(entry.value, "");
        Some(self.document.report(vec![diagnostic], &[]))
    }

    /// Reads the file, joins relative paths to its directory, and checks the names and values in `env` of modules.
    fn read(path: &Path) -> Self {
        let (mut file, document) = Document::read::<Self>(path);
        file.document = document;
        let base = path.parent().unwrap_or(Path::new(""));
        for dir in [&mut file.data_dir, &mut file.log_dir].into_iter().flatten() {
            *dir = base.join(&*dir);
        }
        for (name, module) in &mut file.modules {
            for (variable, value) in &module.env {
                if let Some(mistake) = variable_mistake(variable, value) {
                    let mistake = format!("[modules.{name}.env] {mistake}");
                    file.document.add(&["modules", name, "env", variable], Code::InvalidName, mistake);
                }
            }
            for from in module.config_from.values_mut() {
                if let Some(path) = from.strip_prefix('@') {
                    *from = format!("@{}", base.join(path).display());
                }
            }
        }
        file
    }

    /// Reports the mistakes of the file itself, without looking at the modules' manifests, for `ixt build`. Unknown
    /// modules and the values of their configurations are not looked at. `Ok` without a file.
    pub(crate) fn check(&self) -> Result<(), Report> {
        let report = self.document.report(Vec::new(), &[]);
        if report.is_empty() { Ok(()) } else { Err(report) }
    }

    /// The settings of the host: those of the file, and for absent keys the defaults of `ixt`. `data_dir` is not among
    /// them: the caller sets it, since the command line takes precedence; so it does with `--log-calls` and
    /// `--exit-on-failure`. Quotas of unknown modules are in it too.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = crate::runtime::settings();
        let put = |setting: &mut Duration, time: Option<DurationText>| {
            if let Some(DurationText(time)) = time {
                *setting = time;
            }
        };
        let StartTable { connect, init } = self.start;
        put(&mut settings.connect_timeout, connect);
        put(&mut settings.init_timeout, init);
        let RestartTable { intensity, window, backoff, max_backoff, stable_after, give_up } = self.restart;
        let restart = &mut settings.restart;
        restart.intensity = intensity.unwrap_or(restart.intensity);
        put(&mut restart.window, window);
        put(&mut restart.backoff, backoff);
        put(&mut restart.max_backoff, max_backoff);
        put(&mut restart.stable_after, stable_after);
        restart.give_up = give_up.unwrap_or(restart.give_up);
        let HealthTable { interval, timeout, failures } = self.health;
        put(&mut settings.health_interval, interval);
        put(&mut settings.health_timeout, timeout);
        settings.health_failures = failures.unwrap_or(settings.health_failures);
        put(&mut settings.call_timeout, self.calls.timeout);
        put(&mut settings.shutdown_grace, self.shutdown.grace);
        put(&mut settings.exit_grace, self.shutdown.exit_grace);
        settings.log_calls = self.log.calls.unwrap_or(settings.log_calls);
        settings.kv_quota = self.kv.quota.map(|SizeText(bytes)| bytes);
        let quotas = self.modules.iter().filter_map(|(name, table)| Some((name.clone(), table.kv_quota?.0)));
        settings.kv_quotas = quotas.collect();
        settings
    }

    /// `[log]`: the limits of the log files, and for absent keys their defaults.
    pub(crate) fn log_limits(&self) -> log_files::LogFileLimits {
        let default = log_files::LogFileLimits::default();
        let LogTable { file_size, files, .. } = self.log;
        log_files::LogFileLimits {
            bytes: file_size.map_or(default.bytes, |SizeText(bytes)| bytes),
            files: files.map_or(default.files, NonZeroUsize::get),
        }
    }
}

/// The reason why `[modules.NAME.env]` can't set this variable to this value, without the value. `None` if it can; the
/// value may be empty.
fn variable_mistake(name: &str, value: &str) -> Option<String> {
    if let Some(reason) = reserved_variable(name) {
        return Some(format!("can't set `{name}`: {reason}"));
    }
    let can_be = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
    (!can_be).then(|| {
        let name = name.escape_debug();
        format!("can't set `{name}`: a name is neither empty nor has `=`, and nothing has a zero byte")
    })
}

impl ModuleTable {
    /// `[modules.NAME.build]`: how this module is built, beside what `[build]` and the command line say.
    pub(crate) fn build(&self) -> Build {
        self.build.build()
    }

    /// `[modules.NAME.start]`: how long its processes have to connect, first, and then to answer `init`, second.
    /// `None`: the time of the manifest holds, or else that of `[start]`.
    pub(crate) fn start(&self) -> [Option<Duration>; 2] {
        let StartTable { connect, init } = self.start;
        [connect, init].map(|time| time.map(|DurationText(time)| time))
    }

    /// The program with the variables of `[modules.NAME.env]`, which replace those of the same names. Its other
    /// variables, its path and its arguments stay.
    pub(crate) fn program(&self, program: Program) -> Program {
        self.env.iter().fold(program, |program, (name, value)| program.env(name, value))
    }
}

/// A TOML value as JSON. Dates and times become text, as TOML writes them; a float that is not finite becomes `null`.
/// Never fails.
pub(super) fn json(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(integer) => (*integer).into(),
        toml::Value::Float(float) => (*float).into(),
        toml::Value::Boolean(boolean) => (*boolean).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => {
            table.iter().map(|(key, value)| (key.clone(), json(value))).collect::<serde_json::Map<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_guide_is_right() {
        let (_, block) = include_str!("../../../host/HOST.md").split_once("```toml\n").unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.toml");
        std::fs::write(&path, block.split_once("```").unwrap().0).unwrap();
        let file = HostFile::of(Some(&path));
        file.check().unwrap_or_else(|report| panic!("{report}"));
        // The guide shows the default of each key that has one.
        let (shown, default) = (file.settings(), HostFile::default().settings());
        assert_eq!(shown.restart, default.restart);
        let times = |settings: &Settings| [settings.connect_timeout, settings.init_timeout, settings.call_timeout];
        assert_eq!(times(&shown), times(&default));
        assert_eq!(file.data_dir, Some(dir.path().join("data")));
        assert_eq!(file.build().profile.as_deref(), Some("release"));
        assert_eq!(file.modules["orders"].start(), [None, Some(Duration::from_secs(300))]);
        assert_eq!(file.modules["orders"].build().features, ["postgres"]);
    }
    #[test]
    fn an_impossible_time_is_a_mistake_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("host.toml");
        for (time, is_right) in [
            ("1ms", true),
            ("1000years", false),
            ("18446744073709551615s 1000000000ns", false),
            ("18446744073709551615s", false),
            ("0s", false),
            ("5", false),
        ] {
            for (table, key) in [("shutdown", "grace"), ("health", "interval"), ("modules.m.start", "init")] {
                std::fs::write(&path, format!("[{table}]\n{key} = \"{time}\"\n")).unwrap();
                let file = HostFile::of(Some(&path));
                let report = file.check().map_err(|report| report.to_string());
                assert_eq!(report.is_ok(), is_right, "{time}: {report:?}");
                let error = report.err().unwrap_or_else(|| "host.toml:2:".to_owned());
                assert!(error.contains("host.toml:2:"), "{error}");
            }
        }
    }
}
