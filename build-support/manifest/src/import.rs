//! `[requires.from]`: the manifests of other modules, which say what the services and events take and give that a module
//! uses. Only the code generator and the command read them; a host has every module's manifest anyway.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::model::{Deprecated, From, Name};
use crate::read::table_reader::list;
use crate::suggest::closest;
use crate::{Code, Diagnostic, Event, Manifest, Report, Service, Source, source};

/// The manifests that a manifest names in `[requires.from]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imports {
    /// The manifests, sorted by the names of their modules.
    pub manifests: Vec<Import>,
    /// What is legal but suspicious.
    pub warnings: Report,
    /// By topic, the index of the manifest that declares it.
    declared_by: BTreeMap<(What, String), usize>,
}

/// A manifest that another one names.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// Its text.
    pub source: Source,
    /// What it says.
    pub manifest: Manifest,
}

impl Imports {
    /// The files that `manifest` names, each once: what its generated code depends on beside itself.
    #[must_use]
    pub fn paths(source: &Source, manifest: &Manifest) -> Vec<PathBuf> {
        let mut paths: Vec<_> = manifest.requires.from.iter().map(|from| source.resolve(from.path.as_str())).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Reads the files that `manifest` names.
    ///
    /// # Errors
    ///
    /// See [`load`](Self::load).
    pub fn read(source: &Source, manifest: &Manifest) -> Result<Self, Report> {
        Self::load(source, manifest, &mut source::read_text)
    }

    /// Takes the text of each file from `read`, which gives the reason in words if there is none.
    ///
    /// # Errors
    ///
    /// A report of everything that is wrong: files that can't be read or have mistakes themselves, entries that don't
    /// match what is in the file, and those that nothing needs.
    pub fn load(
        source: &Source,
        manifest: &Manifest,
        read: &mut dyn FnMut(&Path) -> Result<String, String>,
    ) -> Result<Self, Report> {
        let mut errors = Vec::new();
        let mut reports = Vec::new();
        let mut loaded = BTreeMap::<PathBuf, Option<Import>>::new();
        for from in &manifest.requires.from {
            let path = source.resolve(from.path.as_str());
            if loaded.contains_key(&path) {
                continue;
            }
            let import = match read(&path) {
                Ok(text) => {
                    let source = Source::new(path.display().to_string(), text);
                    match Manifest::parse(&source) {
                        Ok(manifest) => Some(Import { source, manifest }),
                        Err(report) => {
                            let message = format!("the manifest `{}` has mistakes", path.display());
                            let error = Diagnostic::new(Code::ImportFailed, message);
                            errors.push(error.at(from.path.span(), "see below"));
                            reports.push(report);
                            None
                        }
                    }
                }
                Err(reason) => {
                    let message = format!("can't read the manifest `{}`: {reason}", path.display());
                    let label = "paths are relative to the directory that this manifest is in";
                    errors.push(Diagnostic::new(Code::ImportFailed, message).at(from.path.span(), label));
                    None
                }
            };
            loaded.insert(path, import);
        }
        let complete = errors.is_empty();
        let mut manifests: Vec<(&Path, &Import)> =
            loaded.iter().filter_map(|(path, import)| Some((path.as_path(), import.as_ref()?))).collect();
        manifests.sort_by_key(|(path, import)| (import.manifest.module.name.as_str(), *path));
        let entries: Vec<Entry<'_>> = manifest
            .requires
            .from
            .iter()
            .filter_map(|from| {
                let path = source.resolve(from.path.as_str());
                let index = manifests.iter().position(|(loaded, _)| *loaded == path)?;
                Some(Entry { from, index, manifest: &manifests[index].1.manifest })
            })
            .collect();
        let mut resolver =
            Resolver { entries, used: Vec::new(), declared_by: BTreeMap::new(), errors, warnings: Vec::new() };
        resolver.resolve(manifest, complete);
        let Resolver { declared_by, errors, warnings, .. } = resolver;
        if errors.is_empty() {
            let manifests = manifests.into_iter().map(|(_, import)| import.clone()).collect();
            return Ok(Self { manifests, declared_by, warnings: Report::new(source, warnings) });
        }
        let mut report = Report::new(source, errors);
        for other in reports {
            report.extend(other);
        }
        Err(report)
    }

    /// The required service with this topic, and the manifest that declares it.
    #[must_use]
    pub fn service(&self, topic: &str) -> Option<(&Import, &Service)> {
        let import = self.declaring(What::Service, topic)?;
        Some((import, import.manifest.services.iter().find(|service| service.topic.as_str() == topic)?))
    }

    /// The required event with this topic, and the manifest that declares it.
    #[must_use]
    pub fn event(&self, topic: &str) -> Option<(&Import, &Event)> {
        let import = self.declaring(What::Event, topic)?;
        Some((import, import.manifest.events.iter().find(|event| event.topic.as_str() == topic)?))
    }

    fn declaring(&self, what: What, topic: &str) -> Option<&Import> {
        Some(&self.manifests[*self.declared_by.get(&(what, topic.to_owned()))?])
    }
}

struct Entry<'m> {
    from: &'m From,
    index: usize,
    manifest: &'m Manifest,
}

/// What is required under a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Service,
    Event,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Event => "event",
        }
    }

    /// What a manifest provides of this, and whether it is deprecated.
    fn provided(self, manifest: &Manifest) -> Vec<(&str, Option<&Deprecated>)> {
        match self {
            Self::Service => manifest.services.iter().map(|it| (it.topic.as_str(), it.deprecated.as_ref())).collect(),
            Self::Event => manifest.events.iter().map(|it| (it.topic.as_str(), it.deprecated.as_ref())).collect(),
        }
    }

    fn provides(self, manifest: &Manifest, topic: &str) -> bool {
        self.provided(manifest).iter().any(|(provided, _)| *provided == topic)
    }
}

/// Finds out which manifest declares which topic.
struct Resolver<'m> {
    entries: Vec<Entry<'m>>,
    /// The entries that were needed, by where they stand.
    used: Vec<usize>,
    declared_by: BTreeMap<(What, String), usize>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Resolver<'_> {
    /// `complete` says whether all files could be read: otherwise what is not found may be in one of the others.
    fn resolve(&mut self, manifest: &Manifest, complete: bool) {
        let required = || manifest.requires.services.iter().chain(&manifest.requires.events);
        self.check_names(&|name| required().any(|topic| topic.as_str() == name));
        self.check_modules();
        for topic in &manifest.requires.services {
            self.find(topic, What::Service, complete);
        }
        for topic in &manifest.requires.events {
            self.find(topic, What::Event, complete);
        }
        if !complete || !self.errors.is_empty() {
            return;
        }
        for Entry { from, .. } in self.entries.iter().filter(|entry| !self.used.contains(&entry.from.name.span().start))
        {
            let name = from.name.as_str();
            self.errors.push(
                Diagnostic::new(Code::UnusedImport, format!("nothing that is required comes from `{name}`"))
                    .at(from.name.span(), "expected a required topic, or a module that provides one")
                    .suggest(closest(name, required().map(Name::as_str))),
            );
        }
    }

    /// The types of each module stand in a Rust module of its name.
    fn check_modules(&mut self) {
        let plain = |entry: &Entry<'_>| entry.manifest.module.name.as_str().replace('-', "_").to_ascii_lowercase();
        for (position, entry) in self.entries.iter().enumerate() {
            let same = |other: &&Entry<'_>| other.index != entry.index && plain(other) == plain(entry);
            if let Some(other) = self.entries[..position].iter().find(same) {
                let message = format!("two manifests are of a module `{}`", entry.manifest.module.name);
                self.errors.push(
                    Diagnostic::new(Code::Duplicate, message)
                        .at(entry.from.path.span(), "this one")
                        .related(other.from.path.span(), "and this one")
                        .help("take all that is required of one module from one manifest"),
                );
            }
        }
    }

    /// A name that is no required topic is that of a module.
    fn check_names(&mut self, is_topic: &dyn Fn(&str) -> bool) {
        for Entry { from, manifest, .. } in &self.entries {
            let (name, own) = (from.name.as_str(), manifest.module.name.as_str());
            if !is_topic(name) && name != own && !name.contains('.') {
                let message = format!("the module of `{}` is called `{own}`, not `{name}`", from.path);
                self.errors.push(
                    Diagnostic::new(Code::ImportFailed, message)
                        .at(from.name.span(), "expected a required topic, or the module's own name")
                        .help(format!("write `{own}`")),
                );
            }
        }
    }

    fn find(&mut self, topic: &Name, what: What, complete: bool) {
        let name = topic.as_str();
        if let Some(entry) = self.entries.iter().find(|entry| entry.from.name.as_str() == name) {
            self.used.push(entry.from.name.span().start);
            if what.provides(entry.manifest, name) {
                self.take(topic, what, entry.index, entry.manifest);
            } else {
                self.errors.push(not_provided(topic, what, entry));
            }
            return;
        }
        let mut found: Vec<_> = self.entries.iter().filter(|entry| what.provides(entry.manifest, name)).collect();
        found.dedup_by_key(|entry| entry.index);
        match found[..] {
            [] if complete => self.warnings.push(untyped(topic)),
            [] => {}
            [entry] => {
                self.used.push(entry.from.name.span().start);
                self.take(topic, what, entry.index, entry.manifest);
            }
            [one, another, ..] => {
                let message = format!("two manifests provide the {} `{topic}`", what.name());
                let error = Diagnostic::new(Code::AmbiguousImport, message)
                    .at(topic.span(), "required here")
                    .related(one.from.path.span(), "provided here")
                    .related(another.from.path.span(), "and here")
                    .help(format!("say which one is meant: [requires.from] `\"{topic}\" = \"{}\"`", one.from.path));
                self.errors.push(error);
            }
        }
    }

    fn take(&mut self, topic: &Name, what: What, index: usize, manifest: &Manifest) {
        let name = topic.as_str();
        self.declared_by.insert((what, name.to_owned()), index);
        let provided = what.provided(manifest).into_iter().find(|(provided, _)| *provided == name);
        if let Some((_, Some(deprecated))) = provided {
            let message = format!("the {} `{topic}` is deprecated", what.name());
            let warning = Diagnostic::new(Code::DeprecatedUse, message).at(topic.span(), "required here");
            self.warnings.push(match &deprecated.instead {
                Some(instead) => warning.note(instead),
                None => warning,
            });
        }
    }
}

fn not_provided(topic: &Name, what: What, entry: &Entry<'_>) -> Diagnostic {
    let (path, what_name) = (&entry.from.path, what.name());
    let topics: Vec<_> = what.provided(entry.manifest).into_iter().map(|(topic, _)| topic).collect();
    let label = if topics.is_empty() {
        format!("it provides no {what_name}s")
    } else {
        format!("it provides {}", list(topics.iter().copied()))
    };
    Diagnostic::new(Code::NotProvided, format!("`{path}` does not provide the {what_name} `{topic}`"))
        .at(path.span(), label)
        .suggest(closest(topic.as_str(), topics))
}

/// The warning for a required topic of which nobody knows the types.
fn untyped(topic: &Name) -> Diagnostic {
    Diagnostic::new(Code::UntypedRequirement, format!("nothing says what `{topic}` takes and gives"))
        .at(topic.span(), "required here, and not typed")
        .help(format!("name the manifest that declares it: [requires.from] `\"{topic}\" = \"../…/manifest.toml\"`"))
}
