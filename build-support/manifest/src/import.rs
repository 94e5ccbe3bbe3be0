//! `[requires.from]`: reads the manifests of other modules, and finds in them what a module requires. The code generator does so,
//! and with it `ixt check`; a host has the manifest of every module anyway, and ignores `[requires.from]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::diagnostic::{Code, Diagnostic, Report};
use crate::model::{Deprecated, ImportEntry, Manifest, Name, ProvidedEvent, ProvidedService};
use crate::source::Source;
use crate::source_file::read_text;
use crate::suggest::closest;
use crate::wording::list;

/// The manifests that another manifest names in `[requires.from]`, and which of them declares each required topic.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Imports {
    /// The manifests, each path once, sorted by the names of their modules. No two of these names are the same if `-` is read as
    /// `_` and upper case as lower case. Empty if the other manifest names none.
    pub manifests: Vec<Import>,
    /// Warnings about the manifest that names them: required topics that no manifest declares (without `[requires.from]` all of
    /// them), and required topics that are deprecated. The warnings about the named manifests themselves are not among them.
    pub warnings: Report,
    /// For each required topic that a manifest declares, the index of that manifest in `manifests`. A service and an event with the same
    /// topic have an entry each.
    declared_by: BTreeMap<(TopicKind, String), usize>,
}

/// A manifest that another one names.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    /// The text of the manifest, with its path as [`Source::resolve`] returns it.
    pub source: Source,
    /// The manifest, parsed from `source`. What it requires itself was not read.
    pub manifest: Manifest,
}

impl Imports {
    /// The files that `manifest`, which was parsed from `source`, names in `[requires.from]`, as [`Source::resolve`] returns them; each
    /// path once, sorted. Nothing is read, so the files may be missing. Code that is generated from the manifest depends on them too.
    #[must_use]
    pub fn paths(source: &Source, manifest: &Manifest) -> Vec<PathBuf> {
        let mut paths: Vec<_> = manifest.requires.from.iter().map(|from| source.resolve(from.path.as_str())).collect();
        paths.sort();
        paths.dedup();
        paths
    }

    /// Reads the files that `manifest`, which was parsed from `source`, names in `[requires.from]`, and finds in them the topics that it
    /// requires. Their own `[requires.from]` is not followed. Blocks until all are read, also after a mistake in one.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load).
    pub fn read(source: &Source, manifest: &Manifest) -> Result<Self, Report> {
        Self::load(source, manifest, &mut read_text)
    }

    /// Like [`read`](Self::read), with the function `read` instead of the file system. It returns the text of the manifest at a path,
    /// or says in words why it can't be read. It is called once for each of the [`paths`](Self::paths), in the order of the names in
    /// `[requires.from]`.
    ///
    /// # Errors
    ///
    /// A report of all mistakes: files that can't be read or are invalid (with the mistakes in them), entries whose file is of another
    /// module or does not provide the topic, topics that two manifests provide without an entry for the topic, and two modules whose
    /// names differ at most in case and in `-` for `_`. Entries that are for no required topic are reported only if there is no other
    /// mistake. The report has no warnings.
    pub fn load(
        source: &Source,
        manifest: &Manifest,
        read: &mut dyn FnMut(&Path) -> Result<String, String>,
    ) -> Result<Self, Report> {
        let Loaded { files, errors, reports } = Loaded::load(source, manifest, read);
        let complete = errors.is_empty();
        let mut manifests: Vec<(&Path, &Import)> =
            files.iter().filter_map(|(path, import)| Some((path.as_path(), import.as_ref()?))).collect();
        manifests.sort_by_key(|(path, import)| (import.manifest.module.name.as_str(), *path));
        let candidates: Vec<Candidate<'_>> = manifest
            .requires
            .from
            .iter()
            .filter_map(|entry| {
                let path = source.resolve(entry.path.as_str());
                let index = manifests.iter().position(|(loaded, _)| *loaded == path)?;
                Some(Candidate { entry, index, manifest: &manifests[index].1.manifest })
            })
            .collect();
        let mut resolver =
            Resolver { candidates, used: Vec::new(), declared_by: BTreeMap::new(), errors, warnings: Vec::new() };
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

    /// The required service with this topic, and the manifest that declares it. `None` if no manifest does, which is a warning, or if
    /// the service is not required.
    #[must_use]
    pub fn service(&self, topic: &str) -> Option<(&Import, &ProvidedService)> {
        let import = self.declaring(TopicKind::Service, topic)?;
        Some((import, import.manifest.services.iter().find(|service| service.topic.as_str() == topic)?))
    }

    /// The required event with this topic, and the manifest that declares it. `None` if no manifest does, which is a warning, or if the
    /// event is not required.
    #[must_use]
    pub fn event(&self, topic: &str) -> Option<(&Import, &ProvidedEvent)> {
        let import = self.declaring(TopicKind::Event, topic)?;
        Some((import, import.manifest.events.iter().find(|event| event.topic.as_str() == topic)?))
    }

    /// The manifest that declares a required topic of this kind. `None` if there is none.
    fn declaring(&self, kind: TopicKind, topic: &str) -> Option<&Import> {
        Some(&self.manifests[*self.declared_by.get(&(kind, topic.to_owned()))?])
    }
}

/// The files that a manifest names.
#[derive(Default)]
struct Loaded {
    /// Each file by its path. `None`: the file can't be read, or is not a valid manifest.
    files: BTreeMap<PathBuf, Option<Import>>,
    /// Mistakes in the manifest that names them: for each file without an import, the first entry that names it.
    errors: Vec<Diagnostic>,
    /// Mistakes in the files themselves, of files that could be read.
    reports: Vec<Report>,
}

impl Loaded {
    /// Reads and parses each file once, although several entries may name it.
    fn load(source: &Source, manifest: &Manifest, read: &mut dyn FnMut(&Path) -> Result<String, String>) -> Self {
        let mut loaded = Self::default();
        for entry in &manifest.requires.from {
            let path = source.resolve(entry.path.as_str());
            if !loaded.files.contains_key(&path) {
                let import = loaded.import(entry, &path, read);
                loaded.files.insert(path, import);
            }
        }
        loaded
    }

    /// Reads and parses the file at `path`, which `entry` names. `None` if it can't be read or is invalid; that is in `errors`, and what
    /// is wrong in it in `reports`.
    fn import(
        &mut self,
        entry: &ImportEntry,
        path: &Path,
        read: &mut dyn FnMut(&Path) -> Result<String, String>,
    ) -> Option<Import> {
        let text = match read(path) {
            Ok(text) => text,
            Err(reason) => {
                let message = format!("can't read the manifest `{}`: {reason}", path.display());
                let label = "paths are relative to the directory that this manifest is in";
                self.errors.push(Diagnostic::new(Code::ImportFailed, message).at(entry.path.span(), label));
                return None;
            }
        };
        let source = Source::new(path.display().to_string(), text);
        match Manifest::parse(&source) {
            Ok(manifest) => Some(Import { source, manifest }),
            Err(report) => {
                let message = format!("the manifest `{}` has mistakes", path.display());
                self.errors.push(Diagnostic::new(Code::ImportFailed, message).at(entry.path.span(), "see below"));
                self.reports.push(report);
                None
            }
        }
    }
}

/// Whether a topic is that of a service or of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TopicKind {
    Service,
    Event,
}

impl TopicKind {
    /// The word in messages.
    fn name(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Event => "event",
        }
    }

    /// The topics of this kind that a manifest provides, sorted; each with `Some` if it is deprecated.
    fn provided(self, manifest: &Manifest) -> Vec<(&str, Option<&Deprecated>)> {
        match self {
            Self::Service => manifest.services.iter().map(|it| (it.topic.as_str(), it.deprecated.as_ref())).collect(),
            Self::Event => manifest.events.iter().map(|it| (it.topic.as_str(), it.deprecated.as_ref())).collect(),
        }
    }

    /// Whether a manifest provides this topic as this kind.
    fn provides(self, manifest: &Manifest, topic: &str) -> bool {
        self.provided(manifest).iter().any(|(provided, _)| *provided == topic)
    }
}

/// An entry of `[requires.from]` whose manifest is valid.
#[derive(Clone, Copy)]
struct Candidate<'m> {
    entry: &'m ImportEntry,
    /// The index of the manifest in [`Imports::manifests`]. Several entries may name the same one.
    index: usize,
    manifest: &'m Manifest,
}

/// Finds the manifest that declares each required topic.
struct Resolver<'m> {
    candidates: Vec<Candidate<'m>>,
    /// The names of the entries that are for a required topic, or whose manifest declares one.
    used: Vec<&'m str>,
    declared_by: BTreeMap<(TopicKind, String), usize>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

impl Resolver<'_> {
    /// Finds all topics that `manifest` requires. `complete`: all files are valid manifests. Otherwise a topic that is not found may be
    /// in a file with mistakes, so it is not reported. An entry that is for no required topic is reported if there is no other mistake.
    fn resolve(&mut self, manifest: &Manifest, complete: bool) {
        let required = || manifest.requires.services.iter().chain(&manifest.requires.events);
        self.check_names(&|name| required().any(|topic| topic.as_str() == name));
        self.check_modules();
        for topic in &manifest.requires.services {
            self.find(topic, TopicKind::Service, complete);
        }
        for topic in &manifest.requires.events {
            self.find(topic, TopicKind::Event, complete);
        }
        if !complete || !self.errors.is_empty() {
            return;
        }
        for Candidate { entry, .. } in
            self.candidates.iter().filter(|candidate| !self.used.contains(&candidate.entry.name.as_str()))
        {
            let name = entry.name.as_str();
            self.errors.push(
                Diagnostic::new(Code::UnusedImport, format!("nothing that is required comes from `{name}`"))
                    .at(entry.name.span(), "expected a required topic, or a module that provides one")
                    .suggest(closest(name, required().map(Name::as_str))),
            );
        }
    }

    /// Reports two manifests whose modules have the same name if `-` is read as `_` and upper case as lower case: the generated code
    /// has a Rust module for each, with a name that is made from the module's.
    fn check_modules(&mut self) {
        let plain =
            |candidate: &Candidate<'_>| candidate.manifest.module.name.as_str().replace('-', "_").to_ascii_lowercase();
        for (position, candidate) in self.candidates.iter().enumerate() {
            let same = |other: &&Candidate<'_>| other.index != candidate.index && plain(other) == plain(candidate);
            if let Some(other) = self.candidates[..position].iter().find(same) {
                let message = format!("two manifests are of a module `{}`", candidate.manifest.module.name);
                self.errors.push(
                    Diagnostic::new(Code::Duplicate, message)
                        .at(candidate.entry.path.span(), "this one")
                        .related(other.entry.path.span(), "and this one")
                        .help("take all that is required of one module from one manifest"),
                );
            }
        }
    }

    /// Reports an entry whose name is neither a required topic nor the name of the module in the file, unless the name has a dot.
    /// `is_topic` says whether a name is a required topic.
    fn check_names(&mut self, is_topic: &dyn Fn(&str) -> bool) {
        for Candidate { entry, manifest, .. } in &self.candidates {
            let (name, own) = (entry.name.as_str(), manifest.module.name.as_str());
            // A name with a dot is meant as a topic. One that nothing requires is reported as unused.
            if !is_topic(name) && name != own && !name.contains('.') {
                let message = format!("the module of `{}` is called `{own}`, not `{name}`", entry.path);
                self.errors.push(
                    Diagnostic::new(Code::ImportFailed, message)
                        .at(entry.name.span(), "expected a required topic, or the module's own name")
                        .help(format!("write `{own}`")),
                );
            }
        }
    }

    /// Finds the manifest that declares a required topic. If there is an entry for the topic itself, with a valid manifest, no other one
    /// is looked at. A topic that no manifest declares is a warning if `complete`.
    fn find(&mut self, topic: &Name, kind: TopicKind, complete: bool) {
        let name = topic.as_str();
        if let Some(position) = self.candidates.iter().position(|candidate| candidate.entry.name.as_str() == name) {
            let candidate = &self.candidates[position];
            if kind.provides(candidate.manifest, name) {
                self.take(topic, kind, position);
            } else {
                self.used.push(candidate.entry.name.as_str());
                self.errors.push(not_provided(topic, kind, candidate));
            }
            return;
        }
        let provides = |position: &usize| kind.provides(self.candidates[*position].manifest, name);
        let mut found: Vec<_> = (0..self.candidates.len()).filter(provides).collect();
        found.dedup_by_key(|position| self.candidates[*position].index);
        match found[..] {
            [] if complete => self.warnings.push(untyped(topic)),
            [] => {}
            [position] => self.take(topic, kind, position),
            [one, another, ..] => {
                let [one, another] = [one, another].map(|position| &self.candidates[position].entry.path);
                let message = format!("two manifests provide the {} `{topic}`", kind.name());
                let error = Diagnostic::new(Code::AmbiguousImport, message)
                    .at(topic.span(), "required here")
                    .related(one.span(), "provided here")
                    .related(another.span(), "and here")
                    .help(format!("say which one is meant: [requires.from] `\"{topic}\" = \"{one}\"`"));
                self.errors.push(error);
            }
        }
    }

    /// Notes that the candidate at `position` declares the topic. Warns if the topic is deprecated.
    fn take(&mut self, topic: &Name, kind: TopicKind, position: usize) {
        let Candidate { entry, index, manifest } = self.candidates[position];
        let name = topic.as_str();
        self.used.push(entry.name.as_str());
        self.declared_by.insert((kind, name.to_owned()), index);
        let provided = kind.provided(manifest).into_iter().find(|(provided, _)| *provided == name);
        if let Some((_, Some(deprecated))) = provided {
            let message = format!("the {} `{topic}` is deprecated", kind.name());
            let warning = Diagnostic::new(Code::DeprecatedUse, message).at(topic.span(), "required here");
            self.warnings.push(match &deprecated.instead {
                Some(instead) => warning.note(instead),
                None => warning,
            });
        }
    }
}

/// The diagnostic for an entry for a topic whose manifest does not provide it.
fn not_provided(topic: &Name, kind: TopicKind, candidate: &Candidate<'_>) -> Diagnostic {
    let (path, kind_name) = (&candidate.entry.path, kind.name());
    let topics: Vec<_> = kind.provided(candidate.manifest).into_iter().map(|(topic, _)| topic).collect();
    let label = if topics.is_empty() {
        format!("it provides no {kind_name}s")
    } else {
        format!("it provides {}", list(topics.iter().copied()))
    };
    Diagnostic::new(Code::NotProvided, format!("`{path}` does not provide the {kind_name} `{topic}`"))
        .at(path.span(), label)
        .suggest(closest(topic.as_str(), topics))
}

/// The warning for a required topic that no manifest in `[requires.from]` declares.
fn untyped(topic: &Name) -> Diagnostic {
    Diagnostic::new(Code::UntypedRequirement, format!("nothing says what `{topic}` takes and gives"))
        .at(topic.span(), "required here, and not typed")
        .help(format!("name the manifest that declares it: [requires.from] `\"{topic}\" = \"../…/manifest.toml\"`"))
}
