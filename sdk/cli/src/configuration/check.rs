//! What was said of modules, held against their manifests: everything that is wrong, in one report, before anything is built.

use anyhow::anyhow;
use ixt_host::{Config, ConfigError, Module};
use ixt_manifest::{Code, Diagnostic, Manifest, Report, Source, closest};

use crate::args::{Setting, Value};
use crate::configuration::document::{Entry, quoted};
use crate::configuration::settings::apply;
use crate::configuration::{HostFile, json};
use crate::output::say;

/// What is said of one module's configuration.
pub(crate) struct Said<'a> {
    pub(crate) file: &'a HostFile,
    /// From the command line, before which the option stands, up to the key.
    pub(crate) settings: Vec<&'a Setting>,
    pub(crate) option: String,
}

/// What is wrong, in the file and elsewhere.
#[derive(Default)]
struct Mistakes {
    in_file: Vec<Diagnostic>,
    /// Keys in the file whose values may be shown.
    plain: Vec<Vec<String>>,
    elsewhere: Report,
}

impl Mistakes {
    /// What is wrong on the command line, which has no lines to be shown: a secret may stand there.
    fn on_command_line(&mut self, diagnostic: Diagnostic) {
        self.in_manifest(&Source::new("", ""), diagnostic);
    }

    fn in_manifest(&mut self, source: &Source, diagnostic: Diagnostic) {
        self.elsewhere.extend(Report::new(source, vec![diagnostic]));
    }

    /// Nothing, if nothing is wrong.
    fn report(self, file: &HostFile) -> Result<(), Report> {
        let mut report = file.document.report(self.in_file, &self.plain);
        report.extend(self.elsewhere);
        if report.is_empty() { Ok(()) } else { Err(report) }
    }
}

impl<'a> Said<'a> {
    /// What `ixt run` is told of a module.
    pub(crate) fn of(name: &str, file: &'a HostFile, set: &'a [(String, Setting)]) -> Self {
        let settings = set.iter().filter(|(module, _)| module == name).map(|(_, setting)| setting).collect();
        Self { file, settings, option: format!("--set {name}.") }
    }

    /// The configuration of one module, read now: files, variables and credentials may have changed since it was read last.
    pub(crate) fn config<'m>(&self, manifest: &'m Manifest, source: &Source) -> Result<Config<'m>, Report> {
        let mut mistakes = Mistakes::default();
        let config = self.read(manifest, source, &mut mistakes);
        mistakes.report(self.file).map(|()| config)
    }

    /// Tells of secrets on the command line.
    pub(crate) fn warn(&self, config: &Config<'_>) {
        let option = &self.option;
        for Setting { key, value } in &self.settings {
            if matches!(value, Value::Text(_)) && config.is_secret(key) {
                say(&format!(
                    "warning: `{option}{key}=…` is secret, and others can read a command line, in `ps` or a shell's history: \
                     take it from a file, `{option}{key}=@FILE`, or from a variable, `{option}{key}=env:NAME`\n"
                ));
            }
        }
    }

    fn read<'m>(&self, manifest: &'m Manifest, source: &Source, mistakes: &mut Mistakes) -> Config<'m> {
        let name = manifest.module.name.as_str();
        let mut config = Config::of(manifest);
        // What is wrong is not missing besides.
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
            if let Err(error) = apply(&mut config, setting) {
                wrong.push(key.clone());
                mistakes.on_command_line(refused(&error, name, &format!("`{option}{key}`: ")));
            }
        }
        if self.file.document.is_read()
            && let Err(ConfigError::Missing { keys }) = config.check()
        {
            for key in keys.iter().filter(|key| !wrong.contains(key)) {
                self.missing(key, manifest, source, mistakes);
            }
        }
        config
    }

    /// What the file says of it.
    fn read_file(&self, config: &mut Config<'_>, wrong: &mut Vec<String>, mistakes: &mut Mistakes) {
        let name = config.manifest().module.name.as_str();
        let Some(table) = self.file.modules.get(name) else { return };
        let entry = |table: &str, key: &str| self.file.document.entry(&["modules", name, table, key]);
        for (key, value) in &table.config {
            let entry = entry("config", key);
            if config.is_declared(key) && !config.is_secret(key) {
                mistakes.plain.push(["modules", name, "config", key].map(str::to_owned).to_vec());
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
                Ok(Value::Text(_)) => Err(anyhow!(
                    "`{key}` in [modules.{name}.config_from] is where the value is: `@FILE`, `env:NAME` or `credential:NAME`; a \
                     value itself stands in [modules.{name}.config]"
                )),
                Ok(value) => {
                    mistakes.plain.push(["modules", name, "config_from", key].map(str::to_owned).to_vec());
                    Ok(value)
                }
                Err(error) => Err(anyhow::Error::msg(error)),
            };
            let set = value.and_then(|value| apply(config, &Setting { key: key.clone(), value }));
            if let Err(error) = set {
                wrong.push(key.clone());
                mistakes.in_file.push(at(refused(&error, name, ""), entry));
            }
        }
    }

    fn missing(&self, key: &str, manifest: &Manifest, source: &Source, mistakes: &mut Mistakes) {
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

/// Why a key was not set. `whose` is said first where there is no line to point at.
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

/// At a key that is not known, or at the value.
fn at(diagnostic: Diagnostic, entry: Option<Entry>) -> Diagnostic {
    match entry {
        Some(entry) if diagnostic.code() == Code::UnknownKey.as_str() => diagnostic.at(entry.key, ""),
        Some(entry) => diagnostic.at(entry.value, ""),
        None => diagnostic,
    }
}

fn at_key(diagnostic: Diagnostic, entry: Option<Entry>) -> Diagnostic {
    match entry {
        Some(entry) => diagnostic.at(entry.key, ""),
        None => diagnostic,
    }
}

/// The name that was probably meant, or all there are.
fn suggest<'a>(
    diagnostic: Diagnostic,
    name: &str,
    known: impl Iterator<Item = &'a str> + Clone,
    there_are: &str,
) -> Diagnostic {
    match closest(name, known.clone()) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None if known.clone().next().is_none() => diagnostic.help("there is none"),
        None => diagnostic.help(format!("{there_are} {}", quoted(known))),
    }
}

/// The configuration of each module, if nothing is wrong with them, with the file, and with what is said on the command line. `wrong` is
/// what was found in manifests of more modules.
pub(crate) fn check<'m>(
    modules: &'m [Module],
    wrong: Report,
    file: &HostFile,
    set: &[(String, Setting)],
    instances: &[(String, u32)],
) -> Result<Vec<Config<'m>>, Report> {
    let mut mistakes = Mistakes { elsewhere: wrong, ..Mistakes::default() };
    let names = modules.iter().map(|module| module.manifest().module.name.as_str());
    if mistakes.elsewhere.is_empty() {
        let unknown = |name: &str, whose: &str| {
            let message = format!("{whose}there is no module `{}`", name.escape_debug());
            suggest(Diagnostic::new(Code::UnknownKey, message), name, names.clone(), "the modules are")
        };
        let is_unknown = |name: &&String| names.clone().all(|known| known != name.as_str());
        for name in file.modules.keys().filter(is_unknown) {
            mistakes.in_file.push(at_key(unknown(name, ""), file.document.entry(&["modules", name])));
        }
        for (name, setting) in set.iter().filter(|(name, _)| is_unknown(&name)) {
            mistakes.on_command_line(unknown(name, &format!("`--set {name}.{}`: ", setting.key)));
        }
        for (name, _) in instances.iter().filter(|(name, _)| is_unknown(&name)) {
            mistakes.on_command_line(unknown(name, &format!("`--instances {name}`: ")));
        }
    }
    same_names(modules, &mut mistakes);
    let mut configs = Vec::new();
    for module in modules {
        let manifest = module.manifest();
        let said = Said::of(manifest.module.name.as_str(), file, set);
        let config = said.read(manifest, module.source(), &mut mistakes);
        said.warn(&config);
        configs.push(config);
        let name = manifest.module.name.as_str();
        if manifest.process.path.is_some()
            && let Some(entry) = file.document.entry(&["modules", name, "build"])
        {
            let message = format!("`{name}` is not built: its manifest's [artifacts.process] names its program");
            mistakes.in_file.push(Diagnostic::new(Code::Inapplicable, message).at(entry.key, ""));
        }
    }
    mistakes.report(file).map(|()| configs)
}

/// Modules with one name, or services of one topic.
fn same_names(modules: &[Module], mistakes: &mut Mistakes) {
    for (index, second) in modules.iter().enumerate() {
        for first in &modules[..index] {
            let (first_is, second_is) = (&first.manifest().module.name, &second.manifest().module.name);
            if first_is.as_str() == second_is.as_str() {
                let diagnostic = Diagnostic::new(Code::Duplicate, format!("two modules are called `{first_is}`"))
                    .at(second_is.span(), "")
                    .related_in(first.source(), first_is.span(), "the first one");
                mistakes.in_manifest(second.source(), diagnostic);
            }
            for service in &second.manifest().services {
                let topic = &service.topic;
                let other = first.manifest().services.iter().find(|other| other.topic.as_str() == topic.as_str());
                if let Some(other) = other {
                    let message = format!("both `{first_is}` and `{second_is}` provide the service `{topic}`");
                    let diagnostic = Diagnostic::new(Code::Duplicate, message).at(topic.span(), "").related_in(
                        first.source(),
                        other.topic.span(),
                        "the first one",
                    );
                    mistakes.in_manifest(second.source(), diagnostic);
                }
            }
        }
    }
}
