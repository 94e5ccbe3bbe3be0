//! From TOML text to a [`Manifest`]: walks the document section by section and collects everything that is wrong.

pub(crate) mod definitions;
pub(crate) mod fields;
pub(crate) mod shorthand;
pub(crate) mod table_reader;
pub(crate) mod topics;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::time::Duration;

use semver::Version;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::language::{ARTIFACTS, ENV, LIMITS, MANIFEST, MODULE, PROCESS, SCHEMA_VERSION, reserved_variable};
use crate::model::{Bound, Bounds, Env, Kind, Limits, Manifest, ModuleInfo, Name, Process, Type, Variable};
use crate::read::definitions::check_use;
use crate::read::fields::Reader;
use crate::read::shorthand::is_name;
use crate::read::table_reader::{Table, list, one_of, wrong_kind};
use crate::read::value::Value;
use crate::suggest::closest;
use crate::{Code, Diagnostic, Report, Source, Span};

/// The runtime target that this project is for (seeds).
const PROCESS_TARGET: &str = "Process";
/// The keys of `[artifacts.process]` that say something of the file at `path`.
const OF_PATH: [&str; 4] = ["interpreter", "entry", "sha256", "size_bytes"];
/// How long a step of a start may take at most: whoever waits longer waits for nothing.
const MAX_START: Duration = Duration::from_secs(24 * 60 * 60);
/// The least part of a processor that can be kept to: of its usual period, 100 ms, Linux gives 1 ms at least.
const MIN_CPU: f64 = 0.01;

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

    fn process(&mut self, root: &Table<'a>) -> Process {
        let Some(artifacts) = root.table("artifacts", &ARTIFACTS, &mut self.errors) else { return Process::default() };
        let Some(table) = artifacts.table("process", &PROCESS, &mut self.errors) else { return Process::default() };
        let [path, interpreter, entry] = ["path", "interpreter", "entry"].map(|key| self.system_text(&table, key));
        let interpreter_args = self.system_texts(&table, "interpreter_args");
        self.check_needs(&table);
        if let Some(interpreter) = &interpreter {
            self.check_is_a_file(interpreter, &interpreter_args);
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
        let texts = |names: Vec<Name>| names.iter().map(Name::to_string).collect();
        Process {
            span: Some(artifacts.key_span("process")),
            path,
            interpreter: interpreter.map(|interpreter| interpreter.to_string()),
            interpreter_args: texts(interpreter_args),
            entry: entry.map(|entry| entry.to_string()),
            args: texts(self.system_texts(&table, "args")),
            framing: framing.map(|framing| framing.to_string()),
            sha256: sha256.map(|sha256| sha256.as_str().to_ascii_lowercase()),
            size_bytes: table.integer("size_bytes", &mut self.errors),
            connect_timeout: self.start_time(&table, "connect_timeout"),
            init_timeout: self.start_time(&table, "init_timeout"),
            overlap: table.boolean("overlap", &mut self.errors).unwrap_or(true),
        }
    }

    /// A text that the system is given, and that says something.
    fn system_text(&mut self, table: &Table<'a>, key: &'static str) -> Option<Name> {
        let text = table.string(key, &mut self.errors)?;
        let place = format!("`{key}` in {}", table.place());
        self.check_no_zero(&text, &place);
        if text.as_str().is_empty() {
            let message = format!("{place} is empty");
            self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(text.span(), "expected a path"));
        }
        Some(text)
    }

    /// Texts that the system is given.
    fn system_texts(&mut self, table: &Table<'a>, key: &'static str) -> Vec<Name> {
        let texts = table.arguments(key, &mut self.errors);
        let place = format!("an item of `{key}` in {}", table.place());
        for text in &texts {
            self.check_no_zero(text, &place);
        }
        texts
    }

    /// The system ends its texts with a zero byte.
    fn check_no_zero(&mut self, text: &Name, place: &str) {
        if text.as_str().contains('\0') {
            let message = format!("{place} has a zero byte");
            let label = "the system would take it for the end";
            self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(text.span(), label));
        }
    }

    /// What some keys of `[artifacts.process]` need beside them.
    fn check_needs(&mut self, table: &Table<'a>) {
        let of_path: Vec<_> = OF_PATH.into_iter().filter(|key| table.get(key).is_some()).collect();
        if table.get("path").is_none()
            && let Some(first) = of_path.first()
        {
            let verb = if of_path.len() == 1 { "needs" } else { "need" };
            let message = format!("{} in {} {verb} a `path`", list(of_path.iter().copied()), table.place());
            self.errors.push(
                Diagnostic::new(Code::MissingKey, message)
                    .at(table.key_span(first), "said of the file at `path`")
                    .help("add the `path` of the program; without one it is what cargo builds of the package"),
            );
        }
        if table.get("interpreter_args").is_some() && table.get("interpreter").is_none() {
            let message = format!("`interpreter_args` in {} needs an `interpreter`", table.place());
            self.errors.push(
                Diagnostic::new(Code::MissingKey, message)
                    .at(table.key_span("interpreter_args"), "there is none that could take them")
                    .help("add the `interpreter`; the arguments of the program itself are `args`"),
            );
        }
    }

    /// An interpreter is one file, and not a command line.
    fn check_is_a_file(&mut self, interpreter: &Name, args: &[Name]) {
        let mut words = interpreter.as_str().split_whitespace();
        let first = words.next().unwrap_or_default();
        let rest: Vec<_> = words.collect();
        let is_path = interpreter.as_str().contains('/') && !rest.iter().any(|word| word.starts_with('-'));
        if rest.is_empty() || is_path {
            return;
        }
        let args: Vec<_> = rest.into_iter().chain(args.iter().map(Name::as_str)).collect();
        let message = "`interpreter` in [artifacts.process] is a program, and not a command line";
        self.errors.push(
            Diagnostic::new(Code::InvalidValue, message)
                .at(interpreter.span(), "looked for as one file with this name")
                .help(format!("write `interpreter = {first:?}` and `interpreter_args = {args:?}`")),
        );
    }

    /// How long a step of a start may take.
    fn start_time(&mut self, table: &Table<'a>, key: &'static str) -> Option<Duration> {
        let bound = |time| Some(Bound { value: Value::Duration(time), span: 0..0 });
        let bounds = Bounds { min: bound(Duration::from_millis(1)), max: bound(MAX_START), ..Bounds::default() };
        match self.value(table, key, Kind::Duration, bounds) {
            Some(Value::Duration(time)) => Some(time),
            _ => None,
        }
    }

    fn limits(&mut self, root: &Table<'a>) -> Limits {
        let Some(table) = root.table("limits", &LIMITS, &mut self.errors) else { return Limits::default() };
        let memory = match self.value(&table, "memory", Kind::Size, Bounds::default()) {
            Some(Value::Size(size)) => Some(size),
            _ => None,
        };
        let cpu = match self.value(&table, "cpu", Kind::Float, Bounds::default()) {
            Some(Value::Float(cpu)) => Some(cpu),
            _ => None,
        };
        let files = table.integer("files", &mut self.errors);
        for (key, too_little, expected) in [
            ("memory", memory == Some(0), "expected more than 0".to_owned()),
            ("files", files == Some(0), "expected more than 0".to_owned()),
            ("cpu", cpu.is_some_and(|cpu| cpu < MIN_CPU), format!("expected at least {MIN_CPU}")),
        ] {
            if too_little {
                let span = table.get(key).map(Spanned::span).unwrap_or_default();
                let message = format!("`{key}` in [limits] leaves nothing");
                self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(span, expected));
            }
        }
        Limits { span: Some(root.key_span("limits")), memory, files, cpu }
    }

    /// A value of a key that the language fixes.
    fn value(&mut self, table: &Table<'a>, key: &'static str, kind: Kind, bounds: Bounds) -> Option<Value> {
        let node = table.get(key)?;
        let ty = Type { kind, optional: false, bounds, span: table.key_span(key) };
        let reader = value::Reader {
            types: &BTreeMap::new(),
            place: format!("`{key}` in {}", table.place()),
            code: Code::InvalidValue,
            declared: None,
        };
        reader.read(node, &ty, &mut self.errors)
    }

    fn env(&mut self, root: &Table<'a>) -> Env {
        let Some(table) = root.table("env", &ENV, &mut self.errors) else { return Env::default() };
        let mut pass = table.strings("pass", &mut self.errors);
        for name in &pass {
            self.check_variable(name);
        }
        pass.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        let mut set = Vec::new();
        for (name, node) in table.entries("set", &mut self.errors) {
            self.check_variable(&name);
            let place = format!("`{}` in `set` of {}", name.as_str().escape_debug(), table.place());
            let Some(value) = node.get_ref().as_str() else {
                self.errors.push(wrong_kind(&place, node, "a string"));
                continue;
            };
            self.check_no_zero(&Name::new(value, node.span()), &place);
            if let Some(passed) = pass.iter().find(|passed| passed.as_str() == name.as_str()) {
                let message = format!("`{}` is passed on, and set", name.as_str().escape_debug());
                self.errors.push(
                    Diagnostic::new(Code::Contradiction, message)
                        .at(name.span(), "has this value, whatever the host has")
                        .related(passed.span(), "has the value that the host has")
                        .help("remove one of the two"),
                );
            }
            set.push(Variable { name, value: value.to_owned() });
        }
        Env { pass, set }
    }

    fn check_variable(&mut self, name: &Name) {
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
