//! A module on disk: its directory and its manifest. What is started for it is a [`Program`](crate::Program); its
//! running processes are in `module_router` and `supervisor`.

use std::fs;
use std::path::{self, Path, PathBuf};

use ixt_manifest::text::harmless;
use ixt_manifest::{Code, Diagnostic, Manifest, Report, Source, closest};
use serde_json::value::RawValue;

/// The message for an unknown module name. It names the most similar one of `known`, or lists all in their order if
/// none is similar.
pub(crate) fn no_module<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    match closest(name, known.clone()) {
        Some(near) => format!("there is no module `{name}` here; did you mean `{near}`?"),
        None => {
            let names: Vec<_> = known.map(|name| format!("`{name}`")).collect();
            format!("there is no module `{name}` here; there are: {}", names.join(", "))
        }
    }
}

/// A directory with a `manifest.toml` that was read and checked. Later changes on disk are not noticed: open the module
/// again to see them.
#[derive(Debug, Clone)]
pub struct Module {
    dir: PathBuf,
    source: Source,
    manifest: Manifest,
}

impl Module {
    /// Reads and checks the manifest of the module in `dir`. A relative `dir` starts at the current directory. Blocks
    /// while it reads the file. Warnings are no errors: they are in [`Manifest::warnings`]. Whether the module's
    /// program exists is not checked here.
    ///
    /// # Errors
    ///
    /// A report of all mistakes in the manifest, or that `manifest.toml` is missing, unreadable or not a regular file.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Report> {
        let mut path = dir.into().join("manifest.toml");
        // Opening a FIFO would wait until something writes to it.
        if fs::metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            let shown = path.display().to_string();
            let message = format!("can't read `{}`: it is not a regular file", harmless(&shown));
            return Err(Report::new(&Source::new(shown, ""), vec![Diagnostic::new(Code::Unreadable, message)]));
        }
        let source = Source::read(&path)?;
        let manifest = Manifest::parse(&source)?;
        // Processes run in this directory, where a path relative to the host's own would mean something else. Symbolic
        // links are kept.
        path = path::absolute(&path).unwrap_or(path);
        path.pop();
        Ok(Self { dir: path, source, manifest })
    }

    /// A module that is not on disk, for tests. Panics if the manifest is wrong.
    #[cfg(test)]
    pub(crate) fn in_memory(dir: &str, manifest: &str) -> Self {
        let source = Source::new("manifest.toml", manifest);
        let manifest = Manifest::parse(&source).unwrap_or_else(|report| panic!("{report}"));
        Self { dir: dir.into(), source, manifest }
    }

    /// The module's directory as an absolute path (as given, if the current directory can't be found). Symbolic links
    /// are not resolved. It is the working directory of the module's processes.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The parsed manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The manifest's text as it was read, and its path, for messages that point into it. The path is `manifest.toml`
    /// in the directory as given to [`open`](Self::open), so it may be relative.
    #[must_use]
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Checks a payload before a call, as far as that is possible without the module's code: if the service `topic` of
    /// this module declares a request type, the payload must be a JSON object or empty, which counts as an empty
    /// object. The object's fields are not checked. Any payload is accepted for a service without a request type, and
    /// for a topic that this module does not provide.
    ///
    /// # Errors
    ///
    /// What is wrong with the payload, as a sentence that names the topic.
    pub fn check_payload(&self, topic: &str, payload: &[u8]) -> Result<(), String> {
        let service = self.manifest.services.iter().find(|service| service.topic.as_str() == topic);
        if payload.is_empty() || service.is_none_or(|service| service.request.is_none()) {
            return Ok(());
        }
        match serde_json::from_slice::<&RawValue>(payload) {
            Ok(value) if value.get().starts_with('{') => Ok(()),
            Ok(_) => Err(format!("`{topic}` takes a JSON object, and this is none")),
            Err(error) => Err(format!("`{topic}` takes a JSON object: {error}")),
        }
    }

    /// The id of the module's process with this number, from 1: `name:version/instance-NNN`, with at least three
    /// digits.
    pub(crate) fn instance_id(&self, number: u32) -> String {
        let module = &self.manifest.module;
        format!("{}:{}/instance-{number:03}", module.name, module.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_that_is_not_a_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.toml");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let refused = Module::open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains(&format!("can't read `{}`: it is not a regular file", path.display())), "{refused}");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let refused = Module::open(dir.path()).unwrap_err().to_string();
        assert!(refused.contains("it is not a regular file"), "{refused}");
    }
}
