//! Takes a TOML table apart key by key, by its form in [`language`](crate::language): a key that the form does not have
//! is reported, so nothing in a manifest is ever ignored.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::language::{Kind, TableSpec};
use crate::model::{Deprecated, Name};
use crate::suggest::closest;
use crate::{Code, Diagnostic, Span};

/// A value in the document.
pub(crate) type Node<'a> = &'a Spanned<DeValue<'a>>;

/// Beyond this many, the keys of a table are too many to be listed in a message.
const LISTED: usize = 8;

pub(crate) struct Table<'a> {
    entries: &'a DeTable<'a>,
    place: String,
    spec: &'static TableSpec,
}

impl<'a> Table<'a> {
    /// Checks that every key is known and none is missing. `span` is where to point when one is, `place` how messages
    /// call the table.
    pub(crate) fn new(
        entries: &'a DeTable<'a>,
        span: &Span,
        place: impl Into<String>,
        spec: &'static TableSpec,
        errors: &mut Vec<Diagnostic>,
    ) -> Self {
        let table = Self { entries, place: place.into(), spec };
        for key in entries.keys() {
            let name = key.get_ref().as_ref();
            if !spec.keys.iter().any(|known| known.name == name) {
                errors.push(table.unknown(name, key.span()));
            }
        }
        for key in spec.keys.iter().filter(|key| key.required && !entries.contains_key(key.name)) {
            let message = match key.kind {
                Kind::Table(section) => format!("{} has no {}", table.place, section.title),
                _ => format!("{} has no `{}`", table.place, key.name),
            };
            let add = format!("add `{} = {}`", key.name, key.example);
            errors.push(Diagnostic::new(Code::MissingKey, message).at(span.clone(), add));
        }
        table
    }

    fn unknown(&self, name: &str, span: Span) -> Diagnostic {
        let known = self.spec.keys.iter().map(|key| key.name);
        let message = format!("unknown key `{}` in {}", name.escape_debug(), self.place);
        match closest(name, known.clone()) {
            Some(meant) => Diagnostic::new(Code::UnknownKey, message).at(span, "").suggest(Some(meant)),
            None if self.spec.keys.len() <= LISTED => {
                Diagnostic::new(Code::UnknownKey, message).at(span, format!("expected {}", one_of(known)))
            }
            None => {
                Diagnostic::new(Code::UnknownKey, message).at(span, "").help(format!("the keys are {}", list(known)))
            }
        }
    }

    pub(crate) fn get(&self, key: &'static str) -> Option<Node<'a>> {
        debug_assert!(self.spec.keys.iter().any(|known| known.name == key), "{key} is not in the language");
        self.entries.get(key)
    }

    /// Where a key itself stands, to point at it.
    pub(crate) fn key_span(&self, key: &str) -> Span {
        self.entries.get_key_value(key).map(|(key, _)| key.span()).unwrap_or_default()
    }

    /// How messages call the table.
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn string(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<Name> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::String(text) => Some(Name::new(text.as_ref(), value.span())),
            _ => self.wrong_kind(key, value, "a string", errors),
        }
    }

    pub(crate) fn text(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<String> {
        self.string(key, errors).map(|text| text.as_str().to_owned())
    }

    pub(crate) fn boolean(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<bool> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(value) => Some(*value),
            _ => self.wrong_kind(key, value, "`true` or `false`", errors),
        }
    }

    /// An integer that is not negative.
    pub(crate) fn integer(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Option<u64> {
        let value = self.get(key)?;
        let DeValue::Integer(integer) = value.get_ref() else {
            return self.wrong_kind(key, value, "an integer", errors);
        };
        // Not above i64: TOML has no greater integers, and what is in the model can be written back.
        match i64::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .and_then(|integer| u64::try_from(integer).ok())
        {
            Some(integer) => Some(integer),
            None => {
                let message = format!("`{key}` in {} is out of range", self.place);
                errors.push(Diagnostic::new(Code::InvalidValue, message).at(value.span(), "expected 0 to 2^63 - 1"));
                None
            }
        }
    }

    /// A list of strings, each of them once.
    pub(crate) fn strings(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Vec<Name> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_kind(key, value, "an array of strings", errors).unwrap_or_default();
        };
        let place = format!("`{key}` in {}", self.place);
        strings(items.iter(), &place, errors)
    }

    /// A list of strings, in their order.
    pub(crate) fn arguments(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Vec<Name> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let DeValue::Array(items) = value.get_ref() else {
            return self.wrong_kind(key, value, "an array of strings", errors).unwrap_or_default();
        };
        let mut strings = Vec::new();
        for item in items {
            match item.get_ref() {
                DeValue::String(text) => strings.push(Name::new(text.as_ref(), item.span())),
                _ => errors.push(wrong_kind(&format!("an item of `{key}` in {}", self.place), item, "a string")),
            }
        }
        strings
    }

    pub(crate) fn deprecated(&self, errors: &mut Vec<Diagnostic>) -> Option<Deprecated> {
        let value = self.get("deprecated")?;
        match value.get_ref() {
            DeValue::Boolean(false) => None,
            DeValue::Boolean(true) => Some(Deprecated { instead: None }),
            DeValue::String(text) => Some(Deprecated { instead: Some(text.to_string()) }),
            _ => self.wrong_kind("deprecated", value, "`true`, or a string that says what to use instead", errors),
        }
    }

    /// The table at `key`, whose form the language fixes.
    pub(crate) fn table(
        &self,
        key: &'static str,
        spec: &'static TableSpec,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<Table<'a>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table::new(entries, &self.key_span(key), spec.title, spec, errors)),
            _ => self.wrong_kind(key, value, "a table", errors),
        }
    }

    /// The entries of the table at `key`, whose keys the author chooses.
    pub(crate) fn entries(&self, key: &'static str, errors: &mut Vec<Diagnostic>) -> Vec<(Name, Node<'a>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Table(table) => entries(table),
            _ => self.wrong_kind(key, value, "a table", errors).unwrap_or_default(),
        }
    }

    fn wrong_kind<T>(&self, key: &str, value: Node<'_>, kind: &str, errors: &mut Vec<Diagnostic>) -> Option<T> {
        errors.push(wrong_kind(&format!("`{key}` in {}", self.place), value, kind));
        None
    }
}

/// All entries of a table.
pub(crate) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<(Name, Node<'a>)> {
    table.iter().map(|(key, value)| (Name::new(key.get_ref().as_ref(), key.span()), value)).collect()
}

/// The strings of an array, each of them once.
pub(crate) fn strings<'a>(
    items: impl Iterator<Item = &'a Spanned<DeValue<'a>>>,
    place: &str,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Name> {
    let mut strings = Vec::new();
    let mut first = std::collections::HashMap::<&str, Span>::new();
    for item in items {
        let DeValue::String(text) = item.get_ref() else {
            errors.push(wrong_kind(&format!("an item of {place}"), item, "a string"));
            continue;
        };
        match first.get(text.as_ref()) {
            None => {
                first.insert(text.as_ref(), item.span());
                strings.push(Name::new(text.as_ref(), item.span()));
            }
            Some(first) => errors.push(
                Diagnostic::new(Code::Duplicate, format!("`{}` is in {place} twice", text.escape_debug()))
                    .at(item.span(), "listed again here")
                    .related(first.clone(), "first listed here"),
            ),
        }
    }
    strings
}

/// A value that is not of the kind that the language wants there.
pub(crate) fn wrong_kind(what: &str, value: Node<'_>, kind: &str) -> Diagnostic {
    Diagnostic::new(Code::WrongKind, format!("{what} must be {kind}")).at(value.span(), expected(kind, value))
}

/// The label for a value of the wrong kind.
pub(crate) fn expected(kind: &str, value: Node<'_>) -> String {
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

/// Names for a message: `` `a`, `b` ``.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Names for a message, where one of them is wanted.
pub(crate) fn one_of<'a>(names: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let many = names.clone().into_iter().nth(1).is_some();
    if many { format!("one of {}", list(names)) } else { list(names) }
}
