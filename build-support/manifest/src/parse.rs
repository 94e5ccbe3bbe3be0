//! From TOML text to a [`Manifest`]: walks the document section by section and collects everything that is wrong.

use std::collections::BTreeMap;

use semver::Version;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::fields::Reader;
use crate::language::{ARTIFACTS, ENV, LIMITS, MANIFEST, MODULE, PROCESS, SCHEMA_VERSION, reserved_variable};
use crate::model::{Kind, Limits, Manifest, ModuleInfo, Name, Process, Type};
use crate::shorthand::is_name;
use crate::suggest::closest;
use crate::table::{Table, one_of};
use crate::types::check_use;
use crate::value::{self, Value};
use crate::{Code, Diagnostic, Report, Source, Span};

/// The runtime target that this project is for (seeds).
const PROCESS_TARGET: &str = "Process";

impl Manifest {
    /// Reads and checks a manifest. Other manifests that it names in `[requires.from]` are not read: see
    /// [`Imports`](crate::Imports).
    ///
    /// # Errors
    ///
    /// A report of everything that is wrong: mistakes in the TOML if there are any, otherwise mistakes in what it says.
    pub fn parse(source: &Source) -> Result<Self, Report> {
        let (document, syntax_errors) = DeTable::parse_recoverable(source.text());
        if !syntax_errors.is_empty() {
            let diagnostics = syntax_errors.iter().map(|error| syntax_diagnostic(error, source.text())).collect();
            return Err(Report::new(source, diagnostics));
        }
        let declared = match document.get_ref().get("types").map(Spanned::get_ref) {
            Some(DeValue::Table(types)) => types.keys().map(|name| name.get_ref().as_ref()).collect(),
            _ => Vec::new(),
        };
        let mut reader = Reader::new(declared);
        let manifest = reader.manifest(document.get_ref());
        match manifest {
            Some(mut manifest) if reader.errors.is_empty() => {
                let mut warnings = Vec::new();
                check_use(&manifest, &mut warnings);
                check_deprecated_config(&manifest, &mut warnings);
                check_target(&manifest, document.get_ref(), &mut warnings);
                manifest.warnings = Report::new(source, warnings);
                Ok(manifest)
            }
            _ => Err(Report::new(source, reader.errors)),
        }
    }
}

fn syntax_diagnostic(error: &toml::de::Error, text: &str) -> Diagnostic {
    // The parser's message reads "what is wrong, expected this, that"; the first half is the title.
    let (title, label) = match error.message().split_once(", expected ") {
        Some((title, "nothing")) => (title, "not expected here".to_owned()),
        Some((title, expected)) => (title, format!("expected {expected}")),
        None => (error.message(), String::new()),
    };
    let diagnostic = Diagnostic::new(Code::Syntax, format!("this is not TOML: {title}"));
    match error.span() {
        Some(span) => diagnostic.at(whole_characters(text, span), label),
        None => diagnostic,
    }
}

/// The parser's spans may end within a character.
fn whole_characters(text: &str, Span { mut start, mut end }: Span) -> Span {
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

impl<'a> Reader<'a> {
    fn manifest(&mut self, document: &'a DeTable<'a>) -> Option<Manifest> {
        let root = Table::new(document, &(0..0), "the manifest", &MANIFEST, &mut self.errors);
        if let Some(version) = root.string("schema_version", &mut self.errors)
            && version.as_str() != SCHEMA_VERSION
        {
            let message = format!("schema version `{}` is not supported", version.as_str().escape_debug());
            let expected = format!("expected \"{SCHEMA_VERSION}\"");
            self.errors.push(Diagnostic::new(Code::SchemaVersion, message).at(version.span(), expected));
        }
        let module = root.table("module", &MODULE, &mut self.errors).and_then(|table| self.module(&table));
        let (services, events) = self.provides(&root);
        let requires = self.requires(&root);
        let mut config = self.config(&root);
        let mut types = self.types(&root);
        self.finish_types(&mut types);
        self.read_defaults(&mut config, &types);
        let mut services = self.services(&root, services, &types);
        let mut events = self.events(&root, events, &types);
        for service in &mut services {
            self.read_message_defaults(&mut service.request, &types);
            self.read_message_defaults(&mut service.response, &types);
        }
        for event in &mut events {
            self.read_message_defaults(&mut event.payload, &types);
        }
        let process = self.process(&root);
        let limits = self.limits(&root);
        let env = self.env(&root);
        let types = types.into_values().collect();
        let warnings = Report::default();
        Some(Manifest { module: module?, services, events, requires, config, types, process, limits, env, warnings })
    }

    fn module(&mut self, table: &Table<'a>) -> Option<ModuleInfo> {
        let name = table.string("name", &mut self.errors);
        let version = table.string("version", &mut self.errors);
        // A part of the module's id, `name:version/instance-001`.
        let is_id_part = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
        };
        if let Some(name) = name.as_ref().filter(|name| !is_id_part(name.as_str())) {
            self.errors.push(
                Diagnostic::new(Code::InvalidName, "`name` in [module] can't be part of a module's id")
                    .at(name.span(), "expected ASCII letters, digits, `.`, `_`, `-` or `+`"),
            );
        }
        if let Some(version) = &version
            && let Err(error) = Version::parse(version.as_str())
        {
            self.errors.push(
                Diagnostic::new(Code::InvalidValue, "`version` in [module] is not a semantic version")
                    .at(version.span(), error.to_string())
                    .help("write it as `MAJOR.MINOR.PATCH`, such as `1.0.0`"),
            );
        }
        let mut runtime_targets = Vec::<String>::new();
        for target in table.strings("runtime_targets", &mut self.errors) {
            if !is_name(target.as_str()) {
                let message = format!("`{}` is no runtime target", target.as_str().escape_debug());
                let label = format!("expected a word such as `{PROCESS_TARGET}`");
                self.errors.push(Diagnostic::new(Code::InvalidName, message).at(target.span(), label));
            } else if runtime_targets.iter().all(|known| !known.eq_ignore_ascii_case(target.as_str())) {
                runtime_targets.push(target.to_string());
            }
        }
        Some(ModuleInfo {
            name: name?,
            version: version?,
            description: table.text("description", &mut self.errors),
            author: table.text("author", &mut self.errors),
            license: table.text("license", &mut self.errors),
            runtime_targets,
        })
    }

    fn process(&mut self, root: &Table<'a>) -> Option<Process> {
        let artifacts = root.table("artifacts", &ARTIFACTS, &mut self.errors)?;
        let table = artifacts.table("process", &PROCESS, &mut self.errors)?;
        let path = table.string("path", &mut self.errors);
        if let Some(path) = path.as_ref().filter(|path| path.as_str().is_empty()) {
            let message = "`path` in [artifacts.process] is empty";
            self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(path.span(), "expected a path"));
        }
        let framing = table.string("framing", &mut self.errors);
        if let Some(framing) = framing.as_ref().filter(|framing| !["line", "length"].contains(&framing.as_str())) {
            let message = format!("there is no framing `{}`", framing.as_str().escape_debug());
            self.errors.push(
                Diagnostic::new(Code::InvalidValue, message)
                    .at(framing.span(), format!("expected {}", one_of(["line", "length"])))
                    .suggest(closest(framing.as_str(), ["line", "length"])),
            );
        }
        let sha256 = table.string("sha256", &mut self.errors);
        if let Some(sha256) = &sha256
            && (sha256.as_str().len() != 64 || !sha256.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            self.errors.push(
                Diagnostic::new(Code::InvalidValue, "`sha256` in [artifacts.process] is no SHA-256")
                    .at(sha256.span(), "expected 64 hexadecimal digits"),
            );
        }
        Some(Process {
            path: path?,
            interpreter: table.text("interpreter", &mut self.errors),
            entry: table.text("entry", &mut self.errors),
            framing: framing.map(|framing| framing.to_string()),
            sha256: sha256.map(|sha256| sha256.as_str().to_ascii_lowercase()),
            size_bytes: table.integer("size_bytes", &mut self.errors),
        })
    }

    fn limits(&mut self, root: &Table<'a>) -> Limits {
        let Some(table) = root.table("limits", &LIMITS, &mut self.errors) else { return Limits::default() };
        let memory = match self.limit(&table, "memory", Kind::Size) {
            Some(Value::Size(size)) => Some(size),
            _ => None,
        };
        let cpu = match self.limit(&table, "cpu", Kind::Float) {
            Some(Value::Float(cpu)) => Some(cpu),
            _ => None,
        };
        let files = table.integer("files", &mut self.errors);
        for (key, none) in
            [("memory", memory == Some(0)), ("files", files == Some(0)), ("cpu", cpu.is_some_and(|cpu| cpu <= 0.0))]
        {
            if none {
                let span = table.get(key).map(Spanned::span).unwrap_or_default();
                let message = format!("`{key}` in [limits] leaves nothing");
                self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(span, "expected more than 0"));
            }
        }
        Limits { memory, files, cpu }
    }

    fn limit(&mut self, table: &Table<'a>, key: &'static str, kind: Kind) -> Option<Value> {
        let node = table.get(key)?;
        let ty = Type { kind, optional: false, bounds: crate::Bounds::default(), span: table.key_span(key) };
        let reader = value::Reader {
            types: &BTreeMap::new(),
            place: format!("`{key}` in [limits]"),
            code: Code::InvalidValue,
            declared: None,
        };
        reader.read(node, &ty, &mut self.errors)
    }

    fn env(&mut self, root: &Table<'a>) -> Vec<Name> {
        let Some(table) = root.table("env", &ENV, &mut self.errors) else { return Vec::new() };
        let mut names = table.strings("pass", &mut self.errors);
        for name in &names {
            let text = name.as_str();
            if let Some(reason) = reserved_variable(text) {
                let message = format!("`{text}` is for the host alone");
                self.errors.push(Diagnostic::new(Code::ReservedName, message).at(name.span(), reason));
            } else if text.starts_with(|c: char| c.is_ascii_digit())
                || text.is_empty()
                || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            {
                let message = format!("`{}` can't name an environment variable", text.escape_debug());
                self.errors.push(
                    Diagnostic::new(Code::InvalidName, message)
                        .at(name.span(), "expected ASCII letters, digits and `_`, not beginning with a digit"),
                );
            }
        }
        names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        names
    }
}

/// Warns of config keys that nobody should give any more, and everybody has to.
fn check_deprecated_config(manifest: &Manifest, warnings: &mut Vec<Diagnostic>) {
    for key in manifest.config.iter().filter(|key| key.deprecated.is_some() && key.is_required()) {
        let message = format!("the config key `{}` is deprecated, and required", key.name);
        warnings.push(
            Diagnostic::new(Code::RequiredDeprecated, message)
                .at(key.name.span(), "every host still has to give a value")
                .help("give it a default, or make it optional"),
        );
    }
}

/// Warns if the module says where it runs, and that is not as a process.
fn check_target(manifest: &Manifest, document: &DeTable<'_>, warnings: &mut Vec<Diagnostic>) {
    let targets = &manifest.module.runtime_targets;
    if targets.is_empty() || targets.iter().any(|target| target.eq_ignore_ascii_case(PROCESS_TARGET)) {
        return;
    }
    let span = document
        .get("module")
        .and_then(|module| module.get_ref().as_table()?.get("runtime_targets"))
        .map(Spanned::span)
        .unwrap_or_default();
    warnings.push(
        Diagnostic::new(Code::NotAProcess, "the module does not run as a process")
            .at(span, format!("without `{PROCESS_TARGET}`"))
            .help(format!("add \"{PROCESS_TARGET}\": that is what this host starts")),
    );
}
