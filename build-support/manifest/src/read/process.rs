//! Reads `[artifacts.process]` and `[limits]`. Whether the files exist is checked by the host.

use std::collections::BTreeMap;
use std::time::Duration;

use super::ManifestReader;
use super::table_reader::TableReader;
use super::value::ValueReader;
use crate::diagnostic::{Code, Diagnostic};
use crate::language::{ARTIFACTS, LIMITS, PROCESS};
use crate::model::{Bound, Bounds, Name, ProcessInfo, ProcessLimits, Scalar, Type, TypeKind, Value};
use crate::suggest::closest;
use crate::wording::{list, one_of};

/// The keys of `[artifacts.process]` that are about the file at `path`, so that they are an error without it.
const NEED_PATH: [&str; 4] = ["interpreter", "entry", "sha256", "size_bytes"];
/// The values of `framing`, in lower case.
const FRAMINGS: [&str; 2] = ["line", "length"];
/// The greatest `connect_timeout` and `init_timeout`, itself included; a longer one is an error.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
/// The least `cpu`: Linux can't limit a process to less than 1 ms of each period of 100 ms.
const MIN_CPU: f64 = 0.01;

impl ManifestReader<'_> {
    /// `[artifacts.process]`; the default of [`ProcessInfo`] if the manifest has no such table, or a value that is no table, which is
    /// reported.
    pub(super) fn process(&mut self, root: &TableReader<'_>) -> ProcessInfo {
        let Some(artifacts) = root.table("artifacts", &ARTIFACTS, &mut self.errors) else {
            return ProcessInfo::default();
        };
        let Some(table) = artifacts.table("process", &PROCESS, &mut self.errors) else { return ProcessInfo::default() };
        let [path, interpreter, entry] = ["path", "interpreter", "entry"].map(|key| self.path(&table, key));
        let interpreter_args = self.arguments(&table, "interpreter_args");
        self.check_needed_keys(&table);
        if let Some(interpreter) = &interpreter {
            self.check_is_one_file(interpreter, &interpreter_args);
        }
        let framing = table.string("framing", &mut self.errors);
        if let Some(framing) = framing.as_ref().filter(|framing| !FRAMINGS.contains(&framing.as_str())) {
            let message = format!("there is no framing `{}`", framing.as_str().escape_debug());
            self.errors.push(
                Diagnostic::new(Code::InvalidValue, message)
                    .at(framing.span(), format!("expected {}", one_of(FRAMINGS)))
                    .suggest(closest(framing.as_str(), FRAMINGS)),
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
        ProcessInfo {
            span: Some(artifacts.key_span("process")),
            path,
            interpreter: interpreter.map(|interpreter| interpreter.to_string()),
            interpreter_args: texts(interpreter_args),
            entry: entry.map(|entry| entry.to_string()),
            args: texts(self.arguments(&table, "args")),
            framing: framing.map(|framing| framing.to_string()),
            sha256: sha256.map(|sha256| sha256.as_str().to_ascii_lowercase()),
            size_bytes: table.integer("size_bytes", &mut self.errors),
            connect_timeout: self.timeout(&table, "connect_timeout"),
            init_timeout: self.timeout(&table, "init_timeout"),
            overlap: table.boolean("overlap", &mut self.errors).unwrap_or(true),
        }
    }

    /// The path at a key, as it is written. Reports an empty one, and one with a zero byte, and returns it. `None` if the key is absent,
    /// or if its value is no string, which is reported.
    fn path(&mut self, table: &TableReader<'_>, key: &'static str) -> Option<Name> {
        let text = table.string(key, &mut self.errors)?;
        let subject = format!("`{key}` in {}", table.subject());
        self.check_no_zero(&text, &subject);
        if text.as_str().is_empty() {
            let message = format!("{subject} is empty");
            self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(text.span(), "expected a path"));
        }
        Some(text)
    }

    /// The arguments of a program at a key, in their order; empty if the key is absent. Reports each with a zero byte, which stays, and
    /// each that is no string, which is left out.
    fn arguments(&mut self, table: &TableReader<'_>, key: &'static str) -> Vec<Name> {
        let texts = table.arguments(key, &mut self.errors);
        let subject = format!("an item of `{key}` in {}", table.subject());
        for text in &texts {
            self.check_no_zero(text, &subject);
        }
        texts
    }

    /// Reports a text with a zero byte, which messages call `subject`: the system ends paths, arguments and variables with one.
    pub(super) fn check_no_zero(&mut self, text: &Name, subject: &str) {
        if text.as_str().contains('\0') {
            let message = format!("{subject} has a zero byte");
            let label = "the system would take it for the end";
            self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(text.span(), label));
        }
    }

    /// Reports keys of `[artifacts.process]` that have no meaning without another key, which is missing: those of [`NEED_PATH`] without
    /// `path`, and `interpreter_args` without `interpreter`.
    fn check_needed_keys(&mut self, table: &TableReader<'_>) {
        let given: Vec<_> = NEED_PATH.into_iter().filter(|key| table.get(key).is_some()).collect();
        if table.get("path").is_none()
            && let Some(first) = given.first()
        {
            let verb = if given.len() == 1 { "needs" } else { "need" };
            let message = format!("{} in {} {verb} a `path`", list(given.iter().copied()), table.subject());
            self.errors.push(
                Diagnostic::new(Code::MissingKey, message)
                    .at(table.key_span(first), "said of the file at `path`")
                    .help("add the `path` of the program; without one it is what cargo builds of the package"),
            );
        }
        if table.get("interpreter_args").is_some() && table.get("interpreter").is_none() {
            let message = format!("`interpreter_args` in {} needs an `interpreter`", table.subject());
            self.errors.push(
                Diagnostic::new(Code::MissingKey, message)
                    .at(table.key_span("interpreter_args"), "there is none that could take them")
                    .help("add the `interpreter`; the arguments of the program itself are `args`"),
            );
        }
    }

    /// Reports an `interpreter` that looks like a command line: several words, unless they have a `/` and none of them but the first
    /// begins with `-`, as in a path with spaces. `args` are the `interpreter_args`, for the help.
    fn check_is_one_file(&mut self, interpreter: &Name, args: &[Name]) {
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

    /// The duration at a key. One that is less than 1 ms or more than [`MAX_TIMEOUT`] is reported, and returned. `None` if the key is
    /// absent, or if its value is no duration, which is reported.
    fn timeout(&mut self, table: &TableReader<'_>, key: &'static str) -> Option<Duration> {
        let bound = |time| Some(Bound { value: Value::Duration(time), span: 0..0 });
        let bounds = Bounds { min: bound(Duration::from_millis(1)), max: bound(MAX_TIMEOUT), ..Bounds::default() };
        match self.value(table, key, Scalar::Duration, bounds) {
            Some(Value::Duration(time)) => Some(time),
            _ => None,
        }
    }

    /// `[limits]`; no limits if the manifest has no such table. Reports a limit of 0, and a `cpu` below [`MIN_CPU`]; these
    /// are in the result.
    pub(super) fn limits(&mut self, root: &TableReader<'_>) -> ProcessLimits {
        let Some(table) = root.table("limits", &LIMITS, &mut self.errors) else { return ProcessLimits::default() };
        let memory = match self.value(&table, "memory", Scalar::Size, Bounds::default()) {
            Some(Value::Size(size)) => Some(size),
            _ => None,
        };
        let cpu = match self.value(&table, "cpu", Scalar::Float, Bounds::default()) {
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
                let message = format!("`{key}` in [limits] leaves nothing");
                self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(table.value_span(key), expected));
            }
        }
        ProcessLimits { span: Some(root.key_span("limits")), memory, files, cpu }
    }

    /// The value of a key whose type the language fixes. A value outside of `bounds` is reported, and returned. `None` if the key is
    /// absent, or if its value is not of the type, which is reported.
    fn value(&mut self, table: &TableReader<'_>, key: &'static str, scalar: Scalar, bounds: Bounds) -> Option<Value> {
        let node = table.get(key)?;
        let ty = Type { kind: TypeKind::Scalar(scalar), optional: false, bounds, span: table.key_span(key) };
        let reader = ValueReader {
            types: &BTreeMap::new(),
            subject: format!("`{key}` in {}", table.subject()),
            code: Code::InvalidValue,
            declared: None,
        };
        reader.read(node, &ty, &mut self.errors)
    }
}
