//! Takes a TOML table apart key by key. It remembers which keys were asked for, so that whatever is left is reported as
//! unknown: nothing in a manifest is ever ignored.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::Name;
use crate::{Diagnostic, Span};

pub(crate) struct Table<'a> {
    entries: &'a DeTable<'a>,
    span: Span,
    place: String,
    known: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// `span` is where to point when a key is missing, `place` how messages call the table.
    pub(crate) fn new(entries: &'a DeTable<'a>, span: Span, place: impl Into<String>) -> Self {
        Self { entries, span, place: place.into(), known: Vec::new() }
    }

    pub(crate) fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.entries.get(key)
    }

    pub(crate) fn string(&mut self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<Name> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Name::new(text.as_ref(), value.span())),
            _ => {
                errors.push(self.wrong_kind(key, value, "a string"));
                None
            }
        }
    }

    pub(crate) fn required_string(&mut self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<Name> {
        if !self.entries.contains_key(key) {
            errors.push(self.missing(key));
        }
        self.string(key, errors)
    }

    pub(crate) fn text(&mut self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<String> {
        self.string(key, errors).map(|text| text.as_str().to_owned())
    }

    pub(crate) fn strings(&mut self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Vec<Name> {
        let Some(value) = self.value(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            errors.push(self.wrong_kind(key, value, "an array of strings"));
            return Vec::new();
        };
        let mut strings = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => strings.push(Name::new(text.as_ref(), item.span())),
                _ => errors.push(
                    Diagnostic::new(format!("`{key}` in {} must be an array of strings", self.place))
                        .at(item.span(), expected("a string", item)),
                ),
            }
        }
        strings
    }

    /// The table at `key`, which messages call `[key]`.
    pub(crate) fn table(&mut self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<Table<'a>> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table::new(entries, value.span(), format!("[{key}]"))),
            _ => {
                errors.push(
                    Diagnostic::new(format!("`{key}` must be a table")).at(value.span(), expected("a table", value)),
                );
                None
            }
        }
    }

    pub(crate) fn required_table(&mut self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<Table<'a>> {
        if !self.entries.contains_key(key) {
            errors.push(Diagnostic::new(format!("the manifest has no [{key}]")).at(self.span.clone(), ""));
        }
        self.table(key, errors)
    }

    /// All entries, for a table whose keys the author chooses.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (Name, &'a Spanned<DeValue<'a>>)> {
        self.entries.iter().map(|(key, value)| (Name::new(key.get_ref().as_ref(), key.span()), value))
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self, errors: &mut Vec<Diagnostic>) {
        for key in self.entries.keys() {
            if !self.known.contains(&key.get_ref().as_ref()) {
                let known = self.known.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
                errors.push(
                    Diagnostic::new(format!("unknown key `{}` in {}", key.get_ref().escape_debug(), self.place))
                        .at(key.span(), format!("expected one of {known}")),
                );
            }
        }
    }

    fn missing(&self, key: &str) -> Diagnostic {
        Diagnostic::new(format!("{} has no `{key}`", self.place)).at(self.span.clone(), format!("add `{key} = \"…\"`"))
    }

    fn wrong_kind(&self, key: &str, value: &Spanned<DeValue<'_>>, kind: &str) -> Diagnostic {
        Diagnostic::new(format!("`{key}` in {} must be {kind}", self.place)).at(value.span(), expected(kind, value))
    }
}

/// The label for a value of the wrong kind.
pub(crate) fn expected(kind: &str, value: &Spanned<DeValue<'_>>) -> String {
    let found = match value.get_ref() {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    };
    format!("expected {kind}, found {found}")
}
