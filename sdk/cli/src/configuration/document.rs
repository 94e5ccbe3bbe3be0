//! The text of the host's file: read with all of its mistakes, and shown without the secrets that stand in it.

use std::collections::BTreeMap;
use std::path::Path;

use ixt_manifest::{Code, Diagnostic, Report, Source, Span, closest};
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// A file in TOML, or none.
#[derive(Debug)]
pub(crate) struct Document {
    source: Source,
    /// All entries, by the keys that lead to them.
    entries: BTreeMap<Vec<String>, Entry>,
    /// What is wrong with the file as such.
    mistakes: Vec<Diagnostic>,
    /// Keys that are not known, or are wrong: anything may stand there.
    unknown: Vec<Vec<String>>,
    /// If it is no TOML, what stands where is not known.
    is_toml: bool,
    /// It can't be read.
    unreadable: Option<Report>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            source: Source::new("", ""),
            entries: BTreeMap::new(),
            mistakes: Vec::new(),
            unknown: Vec::new(),
            is_toml: true,
            unreadable: None,
        }
    }
}

/// Where a key stands, and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: Span,
    pub(crate) value: Span,
    is_table: bool,
}

/// What was taken out of a document, since it is wrong.
struct Wrong {
    /// The keys that lead to it, and its own.
    path: Vec<String>,
    entry: Entry,
    found: &'static str,
    is_unknown: bool,
}

impl Document {
    /// Reads a file, and what of it can be read: what is wrong is left out, and told later.
    pub(crate) fn read<T: DeserializeOwned + Default>(path: &Path) -> (T, Self) {
        let source = match Source::read(path) {
            Ok(source) => source,
            Err(report) => return (T::default(), Self { unreadable: Some(report), ..Self::default() }),
        };
        let mut this = Self { source: source.clone(), ..Self::default() };
        let (table, errors) = DeTable::parse_recoverable(source.text());
        if !errors.is_empty() {
            this.is_toml = false;
            this.mistakes = errors.iter().map(|error| syntax(error, source.text())).collect();
            return (T::default(), this);
        }
        this.enter(table.get_ref(), &[]);
        let mut left = table;
        loop {
            let error = match T::deserialize(toml::Deserializer::from(left.clone())) {
                Ok(read) => return (read, this),
                Err(error) => error,
            };
            let wrong = error.span().and_then(|span| take(left.get_mut(), &span));
            let Some(wrong) = wrong else {
                this.mistakes.push(Diagnostic::new(Code::InvalidValue, error.message()));
                return (T::default(), this);
            };
            this.mistakes.push(mistake(&error, &wrong));
            if wrong.is_unknown || wrong.path[0] == "modules" {
                this.unknown.push(wrong.path);
            }
        }
    }

    /// Something else is wrong with a key.
    pub(crate) fn add(&mut self, path: &[&str], code: Code, message: String) {
        let diagnostic = Diagnostic::new(code, message);
        self.mistakes.push(match self.entry(path) {
            Some(entry) => diagnostic.at(entry.key, ""),
            None => diagnostic,
        });
    }

    /// Where this is said, if it is.
    pub(crate) fn entry(&self, path: &[&str]) -> Option<Entry> {
        let path: Vec<_> = path.iter().map(|key| (*key).to_owned()).collect();
        self.entries.get(&path).cloned()
    }

    /// Whether all of it could be looked at.
    pub(crate) fn is_read(&self) -> bool {
        self.is_toml && self.unreadable.is_none()
    }

    fn enter(&mut self, table: &DeTable<'_>, path: &[String]) {
        for (key, value) in table {
            let path = [path, &[key.get_ref().to_string()]].concat();
            if let DeValue::Table(inner) = value.get_ref() {
                self.enter(inner, &path);
            }
            let is_table = value.get_ref().is_table();
            self.entries.insert(path, Entry { key: key.span(), value: value.span(), is_table });
        }
    }

    /// All that is wrong with the file as such, and this. What may be secret is not shown: of the values of modules only those of `plain`
    /// keys are.
    pub(crate) fn report(&self, more: Vec<Diagnostic>, plain: &[Vec<String>]) -> Report {
        let mistakes: Vec<_> = self.mistakes.iter().cloned().chain(more).collect();
        let hidden = if self.is_toml { self.hidden(plain) } else { guessed(self.source.text()) };
        let source = Source::new(self.source.path(), without(self.source.text(), &hidden));
        let mut report = Report::new(&source, mistakes);
        report.extend(self.unreadable.clone().unwrap_or_default());
        report
    }

    fn hidden(&self, plain: &[Vec<String>]) -> Vec<Span> {
        let is_of_module = |path: &[String]| matches!(path, [modules, _, table, ..] if modules == "modules" && ["config", "config_from", "env"].contains(&&**table));
        let is_in = |path: &[String], keys: &[Vec<String>]| keys.iter().any(|key| path.starts_with(key));
        let hidden = |path: &[String]| is_in(path, &self.unknown) || (is_of_module(path) && !is_in(path, plain));
        let entries = self.entries.iter().filter(|(path, entry)| !entry.is_table && hidden(path));
        entries.map(|(_, entry)| entry.value.clone()).collect()
    }
}

/// Takes out what an error is about: the innermost entry that it points at or into.
fn take(table: &mut DeTable<'_>, at: &Span) -> Option<Wrong> {
    for (key, value) in table.iter_mut() {
        if let DeValue::Table(inner) = value.get_mut()
            && let Some(mut wrong) = take(inner, at)
        {
            wrong.path.insert(0, key.get_ref().to_string());
            return Some(wrong);
        }
    }
    let is_meant = |key: &Span, value: &Span, is_table: bool| {
        key == at || value == at || (!is_table && value.start <= at.start && at.end <= value.end)
    };
    let (key, value) =
        table.iter().find(|(key, value)| is_meant(&key.span(), &value.span(), value.get_ref().is_table()))?;
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    let entry = Entry { key: key.span(), value: value.span(), is_table: value.get_ref().is_table() };
    let name = key.get_ref().to_string();
    table.remove(&*name);
    let is_unknown = entry.key == *at;
    Some(Wrong { path: vec![name], entry, found, is_unknown })
}

/// What serde says, in the words of this project, and without the value, which may be secret.
fn mistake(error: &toml::de::Error, wrong: &Wrong) -> Diagnostic {
    let (name, tables) = wrong.path.split_last().expect("an entry has a key");
    let name = name.escape_debug();
    let place = if tables.is_empty() { "the file".to_owned() } else { format!("[{}]", tables.join(".")) };
    let expected = error.message().split_once(", expected ").map(|(_, expected)| expected);
    if wrong.is_unknown {
        // Every second piece between the quotes is a name.
        let known: Vec<_> = expected.unwrap_or_default().split('`').skip(1).step_by(2).collect();
        let diagnostic = Diagnostic::new(Code::UnknownKey, format!("unknown key `{name}` in {place}"));
        return match closest(&name.to_string(), known.iter().copied()) {
            Some(near) => diagnostic.at(wrong.entry.key.clone(), "").help(format!("did you mean `{near}`?")),
            None => diagnostic.at(wrong.entry.key.clone(), "").help(format!("the keys are {}", quoted(known))),
        };
    }
    let value = wrong.entry.value.clone();
    match expected {
        Some(expected) if error.message().starts_with("invalid type: ") => {
            let expected = in_words(expected);
            let label = format!("expected {expected}, found {}", wrong.found);
            Diagnostic::new(Code::WrongKind, format!("`{name}` in {place} must be {expected}")).at(value, label)
        }
        Some(expected) if error.message().starts_with("invalid value: ") => {
            let message = format!("`{name}` in {place} is out of range");
            Diagnostic::new(Code::InvalidValue, message).at(value, format!("expected {}", in_words(expected)))
        }
        _ => Diagnostic::new(Code::InvalidValue, format!("`{name}` in {place} is wrong")).at(value, error.message()),
    }
}

/// What serde calls what it expects.
fn in_words(expected: &str) -> &str {
    match expected.trim_end() {
        "u32" | "u64" | "usize" => "a number",
        "a nonzero u32" => "a number of at least 1",
        "a boolean" => "`true` or `false`",
        "a sequence" => "an array",
        "path string" => "a string",
        "a map" => "a table",
        expected if expected.starts_with("struct ") => "a table",
        expected => expected,
    }
}

/// Names for a message.
pub(crate) fn quoted<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// What the parser says.
fn syntax(error: &toml::de::Error, text: &str) -> Diagnostic {
    let (title, label) = match error.message().split_once(", expected ") {
        Some((title, "nothing")) => (title, "not expected here".to_owned()),
        Some((title, expected)) => (title, format!("expected {expected}")),
        None => (error.message(), String::new()),
    };
    let diagnostic = Diagnostic::new(Code::Syntax, format!("this is not TOML: {title}"));
    let Some(Span { mut start, mut end }) = error.span() else { return diagnostic };
    // The parser's spans may end within a character.
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    diagnostic.at(start..end, label)
}

/// What may be secret in a text that is no TOML: whatever stands behind a `=`, or is no key, where it may be about modules.
fn guessed(text: &str) -> Vec<Span> {
    const PLAIN: [&str; 8] = ["[log]", "[restart]", "[start]", "[health]", "[kv]", "[calls]", "[shutdown]", "[build]"];
    let (mut hidden, mut start, mut is_plain) = (Vec::new(), 0, true);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if trimmed.starts_with('[') {
            is_plain = PLAIN.contains(&trimmed.split('#').next().unwrap_or_default().trim_end());
        } else if !is_plain || line.contains("modules") {
            let value = line.find('=').map_or(0, |equals| equals + 1);
            hidden.push(start + value..start + line.len());
        }
        start += line.len();
    }
    hidden
}

/// The text with asterisks in these places, so that all else stays where it is.
fn without(text: &str, hidden: &[Span]) -> String {
    let hide = |(at, c): (usize, char)| {
        let is_hidden = hidden.iter().any(|span| span.contains(&at)) && c != '\n';
        if is_hidden { "*".repeat(c.len_utf8()) } else { c.to_string() }
    };
    text.char_indices().map(hide).collect()
}
