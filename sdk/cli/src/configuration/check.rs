//! Checks the input of `ixt run` before anything is built: the host's file, the command line, and whether the modules
//! fit together. All mistakes are in one report. A reload of one module does not use this; see
//! [`ConfigSources::config`]. Nor does `ixt build`; see [`HostFile::check`].

use ixt_host::{Config, Module};
use ixt_manifest::{Code, Diagnostic, Report};

use super::host_file::HostFile;
use super::mistakes::ConfigMistakes;
use super::module_config::{ConfigSources, at_key};
use crate::args::Setting;
use crate::suggestion::suggest;

/// The configurations of the modules, in their order, or a report of all mistakes, also those of the file itself. `set`
/// are the options `--set`, `instances` the options `--instances`, each with a module's name. Warns on stderr of each
/// secret on the command line, even if there are mistakes.
///
/// `unusable` are the mistakes in the manifests of modules that could not be opened, and so are not in `modules`. If
/// there are any, unknown module names are not reported: a name may be that of such a module.
///
/// A `[modules.NAME.build]` for a module that is not built is a mistake too. Whether anybody provides what a module
/// requires is not checked.
pub(crate) fn check<'m>(
    modules: &'m [Module],
    unusable: Report,
    file: &HostFile,
    set: &[(String, Setting)],
    instances: &[(String, u32)],
) -> Result<Vec<Config<'m>>, Report> {
    let mut mistakes = ConfigMistakes { elsewhere: unusable, ..ConfigMistakes::default() };
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
        let name = manifest.module.name.as_str();
        let sources = ConfigSources::of_module(name, file, set);
        let config = sources.read(manifest, module.source(), &mut mistakes);
        sources.warn_of_secrets(&config);
        configs.push(config);
        if manifest.process.path.is_some()
            && let Some(entry) = file.document.entry(&["modules", name, "build"])
        {
            let message = format!("`{name}` is not built: its manifest's [artifacts.process] names its program");
            mistakes.in_file.push(Diagnostic::new(Code::Inapplicable, message).at(entry.key, ""));
        }
    }
    mistakes.report(file).map(|()| configs)
}

/// Reports modules of the same name, and modules that provide services of the same topic: once for each pair, at the
/// later one. Modules may share the topics of events.
fn same_names(modules: &[Module], mistakes: &mut ConfigMistakes) {
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
