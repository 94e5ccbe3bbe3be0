//! The text of the host's file: finds the mistakes in it, one for each key that serde refuses, knows where each key is,
//! and shows its lines with asterisks in place of what may be secret. What the keys mean is in `host_file`.

use std::collections::BTreeMap;
use std::path::Path;

use ixt_manifest::{Code, Diagnostic, Report, Source, Span};
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use crate::suggestion::suggest;

/// A file in TOML, as it was when it was read. The default stands for no file: it is empty, and has no mistakes.
#[derive(Debug)]
pub(super) struct Document {
    source: Source,
    /// All keys by their paths, with those of tables within tables and those with mistakes, but without those in
    /// arrays.
    keys: BTreeMap<Vec<String>, KeyPosition>,
    /// The mistakes of the file itself, as opposed to those that show only with the modules' manifests. That it can't
    /// be read is in `unreadable`.
    mistakes: Vec<Diagnostic>,
    /// The paths of unknown keys, and of keys in `[modules]` whose values are wrong. Reports hide their values, since
    /// they may be secret.
    hidden: Vec<Vec<String>>,
    /// Whether the text can be parsed. If not, `keys` is empty. `true` without a file.
    is_toml: bool,
    /// Why the file can't be read. `None` if it was read, or there is none.
    unreadable: Option<Report>,
}

impl Default for Document {
    fn default() -> Self {
        Self {
            source: Source::new("", ""),
            keys: BTreeMap::new(),
            mistakes: Vec::new(),
            hidden: Vec::new(),
            is_toml: true,
            unreadable: None,
        }
    }
}

/// The places of a key and its value in the text, in bytes.
#[derive(Debug, Clone)]
pub(super) struct KeyPosition {
    /// The key, without its table.
    pub(super) key: Span,
    /// The value alone.
    pub(super) value: Span,
    /// Whether the value is a table.
    is_table: bool,
}

/// A key that was removed from a document because it or its value is wrong.
struct RemovedKey {
    /// From the outermost table to the key itself; never empty.
    path: Vec<String>,
    position: KeyPosition,
    /// The kind of its value, in words with an article.
    found: String,
    /// Whether the key is unknown. If not, its value is wrong.
    is_unknown: bool,
}

impl Document {
    /// Reads a file. Keys with mistakes are left out of `T`, and [`Self::report`] has the mistakes: one for each key,
    /// even if its array has several, or all that the parser finds in a text that is no TOML. `T` is the default if the
    /// file can't be read or parsed, or has a mistake that no key can be blamed for. Does not fail; blocks.
    pub(super) fn read<T: DeserializeOwned + Default>(path: &Path) -> (T, Self) {
        let source = match Source::read(path) {
            Ok(source) => source,
            Err(report) => return (T::default(), Self { unreadable: Some(report), ..Self::default() }),
        };
        let mut this = Self { source: source.clone(), ..Self::default() };
        let (table, errors) = DeTable::parse_recoverable(source.text());
        if !errors.is_empty() {
            this.is_toml = false;
            this.mistakes = errors.iter().map(|error| Diagnostic::syntax(error, source.text())).collect();
            return (T::default(), this);
        }
        this.add_keys(table.get_ref(), &[]);
        let mut left = table;
        loop {
            let error = match T::deserialize(toml::Deserializer::from(left.clone())) {
                Ok(read) => return (read, this),
                Err(error) => error,
            };
            // serde stops at the first error. Each round removes the key that it is about, until the rest is right.
            let removed = error.span().and_then(|span| remove(left.get_mut(), &span));
            let Some(removed) = removed else {
                this.mistakes.push(Diagnostic::new(Code::InvalidValue, error.message()));
                return (T::default(), this);
            };
            this.mistakes.push(mistake(&error, &removed));
            if removed.is_unknown || removed.path[0] == "modules" {
                this.hidden.push(removed.path);
            }
        }
    }

    /// Adds a mistake about the key at this path that the caller has found, for [`Self::report`]. Neither the key nor
    /// its value is hidden by that. If the file does not have the key, the mistake has no place.
    pub(super) fn add(&mut self, path: &[&str], code: Code, message: String) {
        let diagnostic = Diagnostic::new(code, message);
        self.mistakes.push(match self.entry(path) {
            Some(entry) => diagnostic.at(entry.key, ""),
            None => diagnostic,
        });
    }

    /// The place of the key at this path, also of one with a mistake. `None` if the file does not have it, or can't be
    /// read or parsed.
    pub(super) fn entry(&self, path: &[&str]) -> Option<KeyPosition> {
        let path: Vec<_> = path.iter().map(|key| (*key).to_owned()).collect();
        self.keys.get(&path).cloned()
    }

    /// Whether the file could be read and parsed, even if keys have mistakes; `true` if there is no file. Only then
    /// does `None` of [`Self::entry`] mean that the key is absent.
    pub(super) fn is_complete(&self) -> bool {
        self.is_toml && self.unreadable.is_none()
    }

    /// Adds the keys of a table, whose own path is `path`, and of the tables in it. Arrays are not looked into.
    fn add_keys(&mut self, table: &DeTable<'_>, path: &[String]) {
        for (key, value) in table {
            let path = [path, &[key.get_ref().to_string()]].concat();
            if let DeValue::Table(inner) = value.get_ref() {
                self.add_keys(inner, &path);
            }
            let is_table = value.get_ref().is_table();
            self.keys.insert(path, KeyPosition { key: key.span(), value: value.span(), is_table });
        }
    }

    /// A report of the mistakes of the file itself and of `more`; empty if there are none. It shows lines of the file.
    /// In them, the values in `config`, `config_from` and `env` of modules are hidden, except for those at the paths
    /// `not_secret`. Unknown keys' values, and values in `[modules]` of the wrong type, are always hidden. In a text
    /// that can't be parsed, it is guessed from the lines which values may be secret.
    ///
    /// An unreadable file is a mistake too, which comes last. Changes nothing: it can be called again, with other
    /// mistakes.
    pub(super) fn report(&self, more: Vec<Diagnostic>, not_secret: &[Vec<String>]) -> Report {
        let mistakes: Vec<_> = self.mistakes.iter().cloned().chain(more).collect();
        let hidden = if self.is_toml { self.hidden_spans(not_secret) } else { guessed_secrets(self.source.text()) };
        let source = Source::new(self.source.path(), without(self.source.text(), &hidden));
        let mut report = Report::new(&source, mistakes);
        report.extend(self.unreadable.clone().unwrap_or_default());
        report
    }

    /// The values that a report hides, in a text that was parsed. In no order; tables are hidden value by value.
    fn hidden_spans(&self, not_secret: &[Vec<String>]) -> Vec<Span> {
        let is_of_module = |path: &[String]| matches!(path, [modules, _, table, ..] if modules == "modules" && ["config", "config_from", "env"].contains(&&**table));
        let is_in = |path: &[String], keys: &[Vec<String>]| keys.iter().any(|key| path.starts_with(key));
        let hidden = |path: &[String]| is_in(path, &self.hidden) || (is_of_module(path) && !is_in(path, not_secret));
        let keys = self.keys.iter().filter(|(path, position)| !position.is_table && hidden(path));
        keys.map(|(_, position)| position.value.clone()).collect()
    }
}

/// Removes the key that an error at this place is about: the innermost key that is at the place, or whose value the
/// place is in. A mistake in an array removes the key of the whole array. An error at the key itself means that the key
/// is unknown. `None`, and nothing is removed, if there is no such key.
fn remove(table: &mut DeTable<'_>, at: &Span) -> Option<RemovedKey> {
    for (key, value) in table.iter_mut() {
        if let DeValue::Table(inner) = value.get_mut()
            && let Some(mut removed) = remove(inner, at)
        {
            removed.path.insert(0, key.get_ref().to_string());
            return Some(removed);
        }
    }
    let is_meant = |key: &Span, value: &Span, is_table: bool| {
        key == at || value == at || (!is_table && value.start <= at.start && at.end <= value.end)
    };
    let (key, value) =
        table.iter().find(|(key, value)| is_meant(&key.span(), &value.span(), value.get_ref().is_table()))?;
    let found = match value.get_ref().type_str() {
        "datetime" => "a date or time".to_owned(),
        kind @ ("integer" | "array") => format!("an {kind}"),
        kind => format!("a {kind}"),
    };
    let position = KeyPosition { key: key.span(), value: value.span(), is_table: value.get_ref().is_table() };
    let name = key.get_ref().to_string();
    table.remove(&*name);
    let is_unknown = position.key == *at;
    Some(RemovedKey { path: vec![name], position, found, is_unknown })
}

/// The diagnostic for an error of serde, in the words of this project. Its message leaves out the value, which may be
/// secret. The diagnostic points at the key if that is unknown, and at the value otherwise.
fn mistake(error: &toml::de::Error, wrong: &RemovedKey) -> Diagnostic {
    let (name, tables) = wrong.path.split_last().expect("a path has a key");
    let name = name.escape_debug();
    let place = if tables.is_empty() { "the file".to_owned() } else { format!("[{}]", tables.join(".")) };
    let expected = error.message().split_once(", expected ").map(|(_, expected)| expected);
    if wrong.is_unknown {
        // serde lists them as `a`, `b` or `c`.
        let known: Vec<_> = expected.unwrap_or_default().split('`').skip(1).step_by(2).collect();
        let diagnostic = Diagnostic::new(Code::UnknownKey, format!("unknown key `{name}` in {place}"));
        let diagnostic = diagnostic.at(wrong.position.key.clone(), "");
        return suggest(diagnostic, &name.to_string(), known.iter().copied(), "the keys are");
    }
    let value = wrong.position.value.clone();
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

/// The value that serde expects, in the words of this project. Other texts of serde stay as they are.
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

/// The parts that may be secret of a text that can't be parsed, so that it is not known which keys they belong to.
/// Before the first table and in the tables of `PLAIN`, these are only the values in lines that contain `modules`; in
/// all other tables they are all values. A value is what follows the first `=` of a line, with the line end, or a whole
/// line without one. A line that is a name in brackets counts as the head of a table, and stays; any other line that
/// begins with a bracket may be a head too, so what follows it is not in a table of `PLAIN` any more.
fn guessed_secrets(text: &str) -> Vec<Span> {
    /// The tables of the host itself that have no secrets.
    const PLAIN: [&str; 8] = ["[log]", "[restart]", "[start]", "[health]", "[kv]", "[calls]", "[shutdown]", "[build]"];
    let (mut hidden, mut start, mut is_plain) = (Vec::new(), 0, true);
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let head = trimmed.split('#').next().unwrap_or_default().trim_end();
        if head.starts_with('[') {
            is_plain = PLAIN.contains(&head);
        }
        if !is_table_head(head) && (!is_plain || line.contains("modules")) {
            let value = line.find('=').map_or(0, |equals| equals + 1);
            hidden.push(start + value..start + line.len());
        }
        start += line.len();
    }
    hidden
}

/// Whether this is the head of a table, and not a line of an array: one or two brackets around a dotted key without
/// quotes. `line` has neither a comment nor spaces around it.
fn is_table_head(line: &str) -> bool {
    let name = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
    let name = name.map(|name| name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name));
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    name.is_some_and(|name| !name.trim().is_empty() && name.chars().all(is_part) && !name.trim().contains(' '))
}

/// The text with asterisks in these places, one for each byte. Line ends (`\n`) stay, so that spans into the text still
/// fit.
fn without(text: &str, hidden: &[Span]) -> String {
    let hide = |(at, c): (usize, char)| {
        let is_hidden = hidden.iter().any(|span| span.contains(&at)) && c != '\n';
        if is_hidden { "*".repeat(c.len_utf8()) } else { c.to_string() }
    };
    text.char_indices().map(hide).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_text_that_is_no_toml_everything_that_may_be_secret_is_hidden() {
        let text = "data_dir = 'd'\n[kv] # quota\nquota = 5MB\n[modules.a.config]\ntoken = 's3cret'\n  s3cret\n[http]\nx = 's3cret'\n";
        let shown = without(text, &guessed_secrets(text));
        assert!(!shown.contains("s3cret"), "{shown}");
        for kept in ["data_dir = 'd'", "quota = 5MB", "token =", "[modules.a.config]"] {
            assert!(shown.contains(kept), "{kept}: {shown}");
        }
        let text = "[kv]\n[modules.\"a\".config]\ntoken = 's3cret'\n";
        let shown_quoted = without(text, &guessed_secrets(text));
        assert!(!shown_quoted.contains("s3cret"), "{shown_quoted}");
        let text = "[modules.a.config]\ntokens = [\n  ['s3cret'],\n[\"s3cret\"]\n[1, s3cret]\n[s3cret\n";
        let shown_list = without(text, &guessed_secrets(text));
        assert!(!shown_list.contains("s3cret"), "{shown_list}");
        let text = "data_dir = 'd'\n[kv] # quota\nquota = 5MB\n[modules.a.config]\ntoken = 's3cret'\n  s3cret\n[http]\nx = 's3cret'\n";
        assert_eq!(shown.len(), text.len(), "spans still fit");
        assert_eq!(shown.lines().count(), text.lines().count());
    }

    #[test]
    fn hidden_text_keeps_its_length() {
        assert_eq!(without("k = 'ö\n'", std::slice::from_ref(&(4..9))), "k = ***\n*".to_owned());
    }

    #[test]
    fn each_wrong_key_is_removed_and_the_rest_is_read() {
        #[derive(Debug, Default, PartialEq, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        struct Table {
            number: u32,
            text: String,
            list: Vec<u32>,
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "number = 'five'\ntext = 'kept'\nlist = [1, 'two']\nnumbr = 5\n").unwrap();
        let (table, document) = Document::read::<Table>(file.path());
        assert_eq!(table, Table { text: "kept".to_owned(), ..Table::default() });
        let report = document.report(Vec::new(), &[]).to_string();
        for says in [
            "`number` in the file must be a number",
            "`list` in the file must be a number",
            "unknown key `numbr` in the file",
            "did you mean `number`?",
        ] {
            assert!(report.contains(says), "{says}: {report}");
        }
        assert!(document.is_complete() && document.entry(&["numbr"]).is_some());
    }
}
