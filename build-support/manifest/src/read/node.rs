//! A value in the TOML document, before its meaning is known; and the messages about one of the wrong TOML type.

use std::collections::HashMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Code, Diagnostic};
use crate::model::Name;
use crate::source::Span;

/// A value in the document, with its place in the text.
pub(crate) type Node<'a> = &'a Spanned<DeValue<'a>>;

/// The entries of a table, sorted by key. The place of a name is that of the key, with its quotes if it has some.
pub(crate) fn entries<'a>(table: &'a DeTable<'a>) -> Vec<(Name, Node<'a>)> {
    table.iter().map(|(key, value)| (Name::new(key.get_ref().as_ref(), key.span()), value)).collect()
}

/// The strings of an array, in its order. Items that are not strings, or were in the array before, are left out and reported;
/// messages call the array `subject`.
pub(crate) fn distinct_strings<'a>(
    items: impl Iterator<Item = &'a Spanned<DeValue<'a>>>,
    subject: &str,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Name> {
    let mut strings = Vec::new();
    let mut first = HashMap::<&str, Span>::new();
    for item in items {
        let DeValue::String(text) = item.get_ref() else {
            errors.push(wrong_kind(&format!("an item of {subject}"), item, "a string"));
            continue;
        };
        match first.get(text.as_ref()) {
            None => {
                first.insert(text.as_ref(), item.span());
                strings.push(Name::new(text.as_ref(), item.span()));
            }
            Some(first) => errors.push(
                Diagnostic::new(Code::Duplicate, format!("`{}` is in {subject} twice", text.escape_debug()))
                    .at(item.span(), "listed again here")
                    .related(first.clone(), "first listed here"),
            ),
        }
    }
    strings
}

/// The diagnostic for a `value` that is not of the wanted `kind`, such as "a string". It calls the value `subject`.
pub(crate) fn wrong_kind(subject: &str, value: Node<'_>, kind: &str) -> Diagnostic {
    Diagnostic::new(Code::WrongKind, format!("{subject} must be {kind}")).at(value.span(), expected(kind, value))
}

/// The label beside a value that is not of the wanted `kind`: "expected a string, found an integer".
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
