//! Reads a table key by key, by its [`TableSpec`] in the language. A key that the language does not have is reported, so
//! nothing in a manifest is ignored. For tables whose keys the language fixes; tables whose keys the author chooses are read with
//! [`node::entries`].

use toml::de::{DeTable, DeValue};

use super::node::{self, Node, distinct_strings, wrong_kind};
use crate::diagnostic::{Code, Diagnostic};
use crate::language::{TableSpec, ValueSpec};
use crate::model::{Deprecated, Name};
use crate::source::Span;
use crate::suggest::closest;
use crate::wording::{list, one_of};

/// A message about an unknown key that is similar to none lists the keys of the table: in its label if they are at most this many,
/// otherwise in its help.
const MAX_KEYS_IN_LABEL: usize = 8;

/// A table whose keys the language fixes. Each method with `errors` reads the value at one key: `None`, or an empty list, if the key
/// is absent or its value is of the wrong kind, which is reported then. That a required key is absent was reported by
/// [`new`](Self::new).
///
/// The methods panic in debug builds if the table's [`TableSpec`] does not have the key, except `key_span`.
pub(crate) struct TableReader<'a> {
    entries: &'a DeTable<'a>,
    /// The words for the table in messages.
    subject: String,
    spec: &'static TableSpec,
}

impl<'a> TableReader<'a> {
    /// Reports keys that are unknown, and required ones that are missing. Messages call the table `subject`; `span` is where they
    /// point if a key is missing.
    pub(crate) fn new(
        entries: &'a DeTable<'a>,
        span: &Span,
        subject: impl Into<String>,
        spec: &'static TableSpec,
        errors: &mut Vec<Diagnostic>,
    ) -> Self {
        let table = Self { entries, subject: subject.into(), spec };
        for key in entries.keys() {
            let name = key.get_ref().as_ref();
            if !spec.keys.iter().any(|known| known.name == name) {
                errors.push(table.unknown(name, key.span()));
            }
        }
        for key in spec.keys.iter().filter(|key| key.required && !entries.contains_key(key.name)) {
            let message = match key.kind {
                ValueSpec::Table(section) => format!("{} has no {}", table.subject, section.title),
                _ => format!("{} has no `{}`", table.subject, key.name),
            };
            let add = format!("add `{} = {}`", key.name, key.example);
            errors.push(Diagnostic::new(Code::MissingKey, message).at(span.clone(), add));
        }
        table
    }

    /// The diagnostic for a key that the language does not have.
    fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let known = self.spec.keys.iter().map(|key| key.name);
        let message = format!("unknown key `{}` in {}", name.escape_debug(), self.subject);
        let error = Diagnostic::new(Code::UnknownKey, message);
        match closest(name, known.clone()) {
            Some(meant) => error.at(span, "").suggest(Some(meant)),
            None if self.spec.keys.len() <= MAX_KEYS_IN_LABEL => error.at(span, format!("expected {}", one_of(known))),
            None => error.at(span, "").help(format!("the keys are {}", list(known))),
        }
    }

    /// The value at a key, of any kind. `None` if the key is absent.
    pub(crate) fn get(&self, key: &'static str) -> Option<Node<'a>> {
        debug_assert!(
            self.spec.keys.iter().any(|known| known.name == key),
            "the table `{}` of the language has no key `{key}`",
            self.spec.title
        );
        self.entries.get(key)
    }

    /// Where the key itself is written, with its quotes if it has some; the range 0..0 if it is absent.
    pub(crate) fn key_span(&self, key: &str) -> Span {
        self.entries.get_key_value(key).map(|(key, _)| key.span()).unwrap_or_default()
    }

    /// Where the value of the key is written; the range 0..0 if the key is absent.
    pub(crate) fn value_span(&self, key: &'static str) -> Span {
        self.get(key).map(toml::Spanned::span).unwrap_or_default()
    }

    /// The words for the table in messages, such as "[module]" or "the config key `url`".
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// A string, with its place.
    pub(crate) fn string(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<Name> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Name::new(text.as_ref(), value.span())),
            _ => self.wrong_kind(key, value, "a string", errors),
        }
    }

    /// A string whose place does not matter.
    pub(crate) fn text(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<String> {
        self.string(key, errors).map(|text| text.as_str().to_owned())
    }

    /// A boolean.
    pub(crate) fn boolean(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_kind(key, value, "`true` or `false`", errors),
        }
    }

    /// An integer, 0 to 2^63 - 1. One that is out of this range is reported, and `None`.
    pub(crate) fn integer(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_kind(key, value, "an integer", errors);
        };
        // TOML's integers end at i64::MAX, so that what is in the model can be written back.
        let parsed = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let parsed = parsed.and_then(|integer| u64::try_from(integer).ok());
        if parsed.is_none() {
            let message = format!("`{key}` in {} is out of range", self.subject);
            errors.push(Diagnostic::new(Code::InvalidValue, message).at(value.span(), "expected 0 to 2^63 - 1"));
        }
        parsed
    }

    /// An array of strings, in its order, none of them twice. A repeated one, and an item that is no string, is left out and reported.
    pub(crate) fn strings(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Vec<Name> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_kind(key, value, "an array of strings", errors).unwrap_or_default();
        };
        distinct_strings(items.iter(), &self.subject_of(key), errors)
    }

    /// An array of strings, in its order, in which the same one may be twice, such as the arguments of a program. An item that is no
    /// string is left out and reported.
    pub(crate) fn arguments(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Vec<Name> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_kind(key, value, "an array of strings", errors).unwrap_or_default();
        };
        let mut strings = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => strings.push(Name::new(text.as_ref(), item.span())),
                _ => errors.push(wrong_kind(&format!("an item of {}", self.subject_of(key)), item, "a string")),
            }
        }
        strings
    }

    /// The key `deprecated`: a boolean, or a string that says what to use instead. `None` also for `false`.
    pub(crate) fn deprecated(&self, errors: &mut Vec<Diagnostic>) -> Option<Deprecated> {
        let value = self.get("deprecated")?;
        match value.get_ref() {
            DeValue::Boolean(false) => None,
            DeValue::Boolean(true) => Some(Deprecated { instead: None }),
            DeValue::String(text) => Some(Deprecated { instead: Some(text.to_string()) }),
            _ => self.wrong_kind("deprecated", value, "`true`, or a string that says what to use instead", errors),
        }
    }

    /// A table whose keys the language fixes, by `spec`, which has to be that of the key. Messages call it by its title.
    pub(crate) fn table(
        &self,
        key: &'static str,
        spec: &'static TableSpec,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<TableReader<'a>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(TableReader::new(entries, &self.key_span(key), spec.title, spec, errors)),
            _ => self.wrong_kind(key, value, "a table", errors),
        }
    }

    /// The entries of a table whose keys the author chooses, sorted by key.
    pub(crate) fn entries(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Vec<(Name, Node<'a>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Table(table) => node::entries(table),
            _ => self.wrong_kind(key, value, "a table", errors).unwrap_or_default(),
        }
    }

    /// The words for the value of a key in messages.
    fn subject_of(&self, key: &str) -> String {
        format!("`{key}` in {}", self.subject)
    }

    /// Reports the value of a key that is not of the wanted `kind`. Always `None`.
    fn wrong_kind<T>(&self, key: &str, value: Node<'_>, kind: &str, errors: &mut Vec<Diagnostic>) -> Option<T> {
        errors.push(wrong_kind(&self.subject_of(key), value, kind));
        None
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use super::*;
    use crate::language::LIMITS;

    #[test]
    #[should_panic(expected = "the table `[limits]` of the language has no key `network`")]
    fn to_read_a_key_that_the_language_does_not_have_is_a_mistake() {
        let document = DeTable::parse("memory = 1").unwrap();
        let table = TableReader::new(document.get_ref(), &(0..0), "[limits]", &LIMITS, &mut Vec::new());
        table.get("network");
    }
}
