//! The configuration of a host: the file of `ixt run --config`, and what is set on the command line. Where the file is wrong
//! the error says in which line.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context as _, bail};
use ixt_host::{Build, Config, Program, Settings};
use ixt_manifest::language::reserved_variable;
use serde::Deserialize;

use crate::args::{Setting, Value};
use crate::output::say;

/// The file. Times are text such as `"5s"`, sizes text such as `"256MiB"`; paths are relative to it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HostFile {
    pub(crate) data_dir: Option<PathBuf>,
    pub(crate) log_dir: Option<PathBuf>,
    restart: RestartTable,
    health: HealthTable,
    shutdown: ShutdownTable,
    calls: CallsTable,
    kv: KvTable,
    build: BuildTable,
    pub(crate) modules: BTreeMap<String, ModuleTable>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RestartTable {
    intensity: Option<u32>,
    window: Option<Time>,
    backoff: Option<Time>,
    max_backoff: Option<Time>,
    stable_after: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HealthTable {
    interval: Option<Time>,
    timeout: Option<Time>,
    failures: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct ShutdownTable {
    grace: Option<Time>,
    exit_grace: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct CallsTable {
    timeout: Option<Time>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KvTable {
    quota: Option<Size>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct BuildTable {
    profile: Option<String>,
    features: Vec<String>,
    bin: Option<String>,
}

impl BuildTable {
    fn build(&self) -> Build {
        let mut build = Build::default();
        build.profile.clone_from(&self.profile);
        build.features.clone_from(&self.features);
        build.bin.clone_from(&self.bin);
        build
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ModuleTable {
    pub(crate) instances: Option<u32>,
    kv_quota: Option<Size>,
    build: BuildTable,
    config: BTreeMap<String, toml::Value>,
    /// Keys of `config` whose values are elsewhere: `@FILE` or `env:NAME`.
    config_from: BTreeMap<String, String>,
    /// Variables of the environment of its processes.
    env: BTreeMap<String, String>,
}

/// A duration as text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Time(Duration);

impl TryFrom<String> for Time {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match humantime::parse_duration(&text) {
            // Nothing here makes sense without any time.
            Ok(Duration::ZERO) | Err(_) => {
                Err(format!("expected a duration such as \"5s\" or \"250ms\", and not `{text}`"))
            }
            Ok(duration) => Ok(Self(duration)),
        }
    }
}

/// A number of bytes as text.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct Size(u64);

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match ixt_manifest::Value::size(&text) {
            Ok(ixt_manifest::Value::Size(bytes)) => Ok(Self(bytes)),
            _ => Err(format!("expected a size such as \"256MiB\" or \"500kB\", and not `{text}`")),
        }
    }
}

impl HostFile {
    /// The file, or what holds without one.
    pub(crate) fn of(path: Option<&Path>) -> anyhow::Result<Self> {
        path.map_or_else(|| Ok(Self::default()), Self::read)
    }

    /// How modules are built.
    pub(crate) fn build(&self) -> Build {
        self.build.build()
    }

    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
        let mut file: Self = toml::from_str(&text).with_context(|| format!("{} is wrong", path.display()))?;
        let base = path.parent().unwrap_or(Path::new(""));
        for dir in [&mut file.data_dir, &mut file.log_dir].into_iter().flatten() {
            *dir = base.join(&*dir);
        }
        for (name, module) in &mut file.modules {
            check_variables(name, &module.env).with_context(|| format!("{} is wrong", path.display()))?;
            for from in module.config_from.values_mut() {
                if let Some(path) = from.strip_prefix('@') {
                    *from = format!("@{}", base.join(path).display());
                }
            }
        }
        Ok(file)
    }

    pub(crate) fn settings(&self) -> Settings {
        let mut settings = crate::runtime::settings();
        let put = |place: &mut Duration, time: Option<Time>| {
            if let Some(Time(time)) = time {
                *place = time;
            }
        };
        let RestartTable { intensity, window, backoff, max_backoff, stable_after } = self.restart;
        let restart = &mut settings.restart;
        restart.intensity = intensity.unwrap_or(restart.intensity);
        put(&mut restart.window, window);
        put(&mut restart.backoff, backoff);
        put(&mut restart.max_backoff, max_backoff);
        put(&mut restart.stable_after, stable_after);
        let HealthTable { interval, timeout, failures } = self.health;
        put(&mut settings.health_interval, interval);
        put(&mut settings.health_timeout, timeout);
        settings.health_failures = failures.unwrap_or(settings.health_failures);
        put(&mut settings.call_timeout, self.calls.timeout);
        put(&mut settings.shutdown_grace, self.shutdown.grace);
        put(&mut settings.exit_grace, self.shutdown.exit_grace);
        settings.kv_quota = self.kv.quota.map(|Size(bytes)| bytes);
        let quotas = self.modules.iter().filter_map(|(name, table)| Some((name.clone(), table.kv_quota?.0)));
        settings.kv_quotas = quotas.collect();
        settings
    }
}

/// Whether these can be variables of a module.
fn check_variables(module: &str, variables: &BTreeMap<String, String>) -> anyhow::Result<()> {
    for (name, value) in variables {
        if let Some(reason) = reserved_variable(name) {
            bail!("[modules.{module}.env] can't set `{name}`: {reason}");
        }
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            let name = name.escape_debug();
            bail!(
                "[modules.{module}.env] can't set `{name}`: a name is neither empty nor has `=`, and nothing has a zero byte"
            );
        }
    }
    Ok(())
}

impl ModuleTable {
    /// How this one is built.
    pub(crate) fn build(&self) -> Build {
        self.build.build()
    }

    /// The program with what the file says of its environment.
    pub(crate) fn program(&self, program: Program) -> Program {
        self.env.iter().fold(program, |program, (name, value)| program.env(name, value))
    }

    /// What the file says of a module's configuration.
    pub(crate) fn apply(&self, config: &mut Config<'_>) -> anyhow::Result<()> {
        for (key, value) in &self.config {
            if self.config_from.contains_key(key) {
                bail!("the config key `{key}` is in both `config` and `config_from`");
            }
            config.set_json(key, json(value))?;
        }
        for (key, from) in &self.config_from {
            let setting: Setting = format!("{key}={from}").parse().map_err(anyhow::Error::msg)?;
            if matches!(setting.value, Value::Text(_)) {
                bail!(
                    "`config_from.{key}` is where the value is: `@FILE` or `env:NAME`; a value itself stands in `config`"
                );
            }
            apply(config, &setting)?;
        }
        Ok(())
    }
}

/// What a value is in JSON; times are text there.
fn json(value: &toml::Value) -> serde_json::Value {
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

/// Sets one key.
pub(crate) fn apply(config: &mut Config<'_>, Setting { key, value }: &Setting) -> anyhow::Result<()> {
    match value {
        Value::Text(text) => config.set_text(key, text)?,
        Value::File(path) => {
            let content =
                fs::read(path).with_context(|| format!("can't read the config key `{key}` from {}", path.display()))?;
            config.set_content(key, &content)?;
        }
        // Not `env::var`, whose error shows the value.
        Value::Variable(name) => match env::var_os(name).map(OsString::into_string) {
            Some(Ok(text)) => config.set_text(key, &text)?,
            Some(Err(_)) => bail!("the environment variable `{name}`, for the config key `{key}`, is not UTF-8"),
            None => bail!("the environment variable `{name}`, for the config key `{key}`, is not set"),
        },
    }
    Ok(())
}

/// Sets keys from a command line, none of them twice. `option` is how they are set there, up to the key.
pub(crate) fn apply_all<'s>(
    config: &mut Config<'_>,
    option: &str,
    settings: impl Iterator<Item = &'s Setting>,
) -> anyhow::Result<()> {
    let mut seen = Vec::new();
    for setting in settings {
        if seen.contains(&&setting.key) {
            bail!("the config key `{}` is set twice", setting.key);
        }
        seen.push(&setting.key);
        apply(config, setting)?;
        if matches!(setting.value, Value::Text(_)) && config.is_secret(&setting.key) {
            let key = &setting.key;
            say(&format!(
                "warning: `{option}{key}=…` is secret, and others can read a command line, in `ps` or a shell's history: take it \
                 from a file, `{option}{key}=@FILE`, or from a variable, `{option}{key}=env:NAME`\n"
            ));
        }
    }
    Ok(())
}
