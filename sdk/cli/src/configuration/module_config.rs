//! The configuration of one module, from three sources: the defaults of its manifest, the host's file, and the command
//! line. A later one wins; a key that one source sets twice is a mistake. Each value is checked against its declared
//! type.

use anyhow::anyhow;
use ixt_host::{Config, ConfigError};
use ixt_manifest::{Code, Diagnostic, Manifest, Report, Source};

use super::document::KeyPosition;
use super::host_file::{HostFile, json};
use super::mistakes::ConfigMistakes;
use super::set_key::set_key;
use crate::args::{Setting, ValueSource};
use crate::failure::Failure;
use crate::output::say;
use crate::suggestion::suggest;

/// The sources of one module's configuration beside its manifest: the host's file and the options of the command line.
pub(crate) struct ConfigSources<'a> {
    file: &'a HostFile,
    /// The options for this module, in the order of the command line.
    settings: Vec<&'a Setting>,
    /// The option of `settings` as messages show it, up to the key: `--config ` or `--set MODULE.`.
    option: String,
}

/// The configuration of a module that `--config` alone sets, without a host's file: for `ixt call --module` and
/// `ixt conformance`. `source` is the manifest's text. All mistakes are one failure with status 2. If there are none,
/// warns on stderr of each secret on the command line.
pub(crate) fn config_of_one<'m>(
    settings: &[Setting],
    manifest: &'m Manifest,
    source: &Source,
) -> Result<Config<'m>, Failure> {
    let file = HostFile::default();
    let sources = ConfigSources { file: &file, settings: settings.iter().collect(), option: "--config ".to_owned() };
    let config = sources.config(manifest, source).map_err(|report| Failure::wrong(report.to_ansi_string()))?;
    sources.warn_of_secrets(&config);
    Ok(config)
}

impl<'a> ConfigSources<'a> {
    /// The sources for a module of `ixt run`: `[modules.NAME]` of the host's file, and `--set`. Reads nothing yet.
    /// Neither need say anything about the module.
    pub(crate) fn of_module(name: &str, file: &'a HostFile, set: &'a [(String, Setting)]) -> Self {
        let settings = set.iter().filter(|(module, _)| module == name).map(|(_, setting)| setting).collect();
        Self { file, settings, option: format!("--set {name}.") }
    }

    /// Reads the configuration, with the files, variables and credentials as they are now. The report has all mistakes,
    /// also those of the host's file itself; values of other modules are not checked. Does not warn of secrets; blocks
    /// while files are read. A reload of a module calls this; `ixt run` calls [`check()`](super::check()) before it
    /// starts any.
    pub(crate) fn config<'m>(&self, manifest: &'m Manifest, source: &Source) -> Result<Config<'m>, Report> {
        let mut mistakes = ConfigMistakes::default();
        let config = self.read(manifest, source, &mut mistakes);
        mistakes.report(self.file).map(|()| config)
    }

    /// Warns on stderr of each secret whose value, and not only its source, is on the command line. A key that holds a
    /// secret in a field is one too. Does nothing about keys that the manifest does not declare.
    pub(super) fn warn_of_secrets(&self, config: &Config<'_>) {
        let option = &self.option;
        for Setting { key, value } in &self.settings {
            if matches!(value, ValueSource::Text(_)) && config.is_secret(key) {
                say(&format!(
                    "warning: `{option}{key}=…` is secret, and others can read a command line, in `ps` or a shell's history: \
                     take it from a file, `{option}{key}=@FILE`, or from a variable, `{option}{key}=env:NAME`\n"
                ));
            }
        }
    }

    /// Reads the configuration. Wrong values are left out, so their keys have the value of an earlier source, their
    /// default, or none, and the mistakes are added to `mistakes`; so are required keys without a value, unless a wrong
    /// value was left out. Of a key that is set twice on the command line, the first value counts. The configuration is
    /// only usable if no mistake was added. Missing keys are not looked for if the host's file can't be read or parsed,
    /// since it may set them.
    pub(super) fn read<'m>(
        &self,
        manifest: &'m Manifest,
        source: &Source,
        mistakes: &mut ConfigMistakes,
    ) -> Config<'m> {
        let name = manifest.module.name.as_str();
        let mut config = Config::of(manifest);
        // Keys with a wrong value. They are not reported as missing too.
        let mut wrong = Vec::new();
        self.read_file(&mut config, &mut wrong, mistakes);
        let mut seen = Vec::new();
        for setting in &self.settings {
            let (key, option) = (&setting.key, &self.option);
            if seen.contains(&key) {
                let message = format!("`{option}{key}`: the config key `{key}` is set twice");
                mistakes.on_command_line(Diagnostic::new(Code::Duplicate, message));
                continue;
            }
            seen.push(key);
            if let Err(error) = set_key(&mut config, setting) {
                wrong.push(key.clone());
                mistakes.on_command_line(refused(&error, name, &format!("`{option}{key}`: ")));
            }
        }
        if self.file.document.is_complete()
            && let Err(ConfigError::Missing { keys }) = config.check()
        {
            for key in keys.iter().filter(|key| !wrong.contains(key)) {
                self.missing(key, manifest, source, mistakes);
            }
        }
        config
    }

    /// Sets what `[modules.NAME.config]` and `config_from` of the host's file say. A key in both is a mistake, and has
    /// the value of `config`. Keys with a wrong value are added to `wrong`, mistakes to `mistakes`. The declared keys
    /// of `config` that are not secret, and the keys of `config_from` that name a source, are added to its
    /// `not_secret`, so that a report may show their values.
    fn read_file(&self, config: &mut Config<'_>, wrong: &mut Vec<String>, mistakes: &mut ConfigMistakes) {
        let name = config.manifest().module.name.as_str();
        let Some(table) = self.file.modules.get(name) else { return };
        let entry = |table: &str, key: &str| self.file.document.entry(&["modules", name, table, key]);
        for (key, value) in &table.config {
            let entry = entry("config", key);
            if config.is_declared(key) && !config.is_secret(key) {
                mistakes.not_secret.push(["modules", name, "config", key].map(str::to_owned).to_vec());
            }
            if let Err(error) = config.set_json(key, json(value)) {
                wrong.push(key.clone());
                mistakes.in_file.push(at(refused(&error.into(), name, ""), entry));
            }
        }
        for (key, from) in &table.config_from {
            let entry = entry("config_from", key);
            if let Some(other) = self.file.document.entry(&["modules", name, "config", key]) {
                let message =
                    format!("the config key `{key}` is in both `config` and `config_from` of [modules.{name}]");
                let diagnostic = Diagnostic::new(Code::Contradiction, message).related(other.key, "here too");
                mistakes.in_file.push(at_key(diagnostic, entry));
                continue;
            }
            let value = match from.parse() {
                Ok(ValueSource::Text(_)) => Err(anyhow!(
                    "`{key}` in [modules.{name}.config_from] is where the value is: `@FILE`, `env:NAME` or `credential:NAME`; a \
                     value itself stands in [modules.{name}.config]"
                )),
                Ok(value) => {
                    mistakes.not_secret.push(["modules", name, "config_from", key].map(str::to_owned).to_vec());
                    Ok(value)
                }
                Err(error) => Err(anyhow::Error::msg(error)),
            };
            let set = value.and_then(|value| set_key(config, &Setting { key: key.clone(), value }));
            if let Err(error) = set {
                wrong.push(key.clone());
                mistakes.in_file.push(at(refused(&error, name, ""), entry));
            }
        }
    }

    /// Reports a key that has neither a value nor a default, at its place in the manifest; the help says which option
    /// sets it.
    fn missing(&self, key: &str, manifest: &Manifest, source: &Source, mistakes: &mut ConfigMistakes) {
        let (name, option) = (&manifest.module.name, &self.option);
        let message = format!("the module `{name}` has no value for its config key `{key}`, which has no default");
        let mut diagnostic = Diagnostic::new(Code::MissingKey, message);
        let declared = manifest.config.iter().find(|declared| declared.name.as_str() == key);
        if let Some(declared) = declared {
            diagnostic = diagnostic.at(declared.name.span(), format!("`{}`", declared.ty));
        }
        let value = if declared.is_some_and(ixt_manifest::Field::holds_secret) { "@FILE" } else { "VALUE" };
        let on_command_line = format!("with `{option}{key}={value}`");
        let help = match option.strip_prefix("--set ") {
            Some(_) => format!("set it {on_command_line}, or in [modules.{name}.config] of the file of `--config`"),
            None => format!("set it {on_command_line}"),
        };
        mistakes.in_manifest(source, diagnostic.help(help));
    }
}

/// The diagnostic for a key that was not set. Its message begins with `whose`, which names the option of the command
/// line, or is empty if there is a line to point at.
fn refused(error: &anyhow::Error, module: &str, whose: &str) -> Diagnostic {
    match error.downcast_ref() {
        Some(ConfigError::UnknownKey { key, known }) => {
            let message = format!("{whose}the module `{module}` has no config key `{}`", key.escape_debug());
            let known = known.iter().map(String::as_str);
            suggest(Diagnostic::new(Code::UnknownKey, message), key, known, "its config keys are")
        }
        Some(error @ ConfigError::WrongType { .. }) => Diagnostic::new(Code::WrongKind, format!("{whose}{error}")),
        _ => Diagnostic::new(Code::InvalidValue, format!("{whose}{error:#}")),
    }
}

/// Adds the place in the host's file: the key if it is unknown, and otherwise the value. `entry` is `None` if the file
/// does not have the key.
fn at(diagnostic: Diagnostic, entry: Option<KeyPosition>) -> Diagnostic {
    match entry {
        Some(entry) if diagnostic.code() == Code::UnknownKey.as_str() => diagnostic.at(entry.key, ""),
        Some(entry) => diagnostic.at(entry.value, ""),
        None => diagnostic,
    }
}

/// Adds the place of the key in the host's file, if there is one.
pub(super) fn at_key(diagnostic: Diagnostic, entry: Option<KeyPosition>) -> Diagnostic {
    match entry {
        Some(entry) => diagnostic.at(entry.key, ""),
        None => diagnostic,
    }
}
