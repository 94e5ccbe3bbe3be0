//! Reads requests, responses and payloads: the name of a type, or fields that are written in place. `definitions` reads cases with
//! the same functions.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ManifestReader;
use super::fields::FieldForm;
use super::node::wrong_kind;
use super::table_reader::TableReader;
use crate::check::not_an_object;
use crate::language::{MESSAGE, TYPE_LONG};
use crate::model::{Field, MessageType, Name, TypeKind};

impl ManifestReader<'_> {
    /// The request, response or payload at a key; diagnostics call it `subject`. `None` if the key is absent, or if its value is neither
    /// the name of a type nor a table of fields, which is reported. Fields with mistakes are reported, and may be left out. Whether a
    /// type that is named is an object is not checked here.
    pub(super) fn message(&mut self, table: &TableReader<'_>, key: &'static str, subject: &str) -> Option<MessageType> {
        let node = table.get(key)?;
        match node.get_ref() {
            DeValue::String(text) => {
                let name = Name::new(text.as_ref(), node.span());
                self.object_name(&name, subject).map(MessageType::Named)
            }
            DeValue::Table(entries) => {
                if !is_long_form(entries, &["fields"]) {
                    let fields = self.fields(entries, subject, FieldForm::Message);
                    return Some(MessageType::Inline { fields, description: None });
                }
                let long = TableReader::new(entries, &table.key_span(key), subject, &MESSAGE, &mut self.errors);
                let description = long.text("description", &mut self.errors);
                let fields = self.long_fields(&long, subject)?;
                Some(MessageType::Inline { fields, description })
            }
            _ => {
                self.errors.push(wrong_kind(subject, node, "the name of a type in [types], or a table of fields"));
                None
            }
        }
    }

    /// The key `fields` of a long form. `None` if it is no table, which is reported, or if it is absent, which is not.
    pub(super) fn long_fields(&mut self, table: &TableReader<'_>, subject: &str) -> Option<Vec<Field>> {
        let node = table.get("fields")?;
        if let DeValue::Table(entries) = node.get_ref() {
            return Some(self.fields(entries, subject, FieldForm::Message));
        }
        self.errors.push(wrong_kind(&format!("`fields` of {subject}"), node, "a table"));
        None
    }

    /// The name of a type of `[types]`, which `check` then wants to be an object: for a case a record. `None` if the text is not the
    /// name of such a type, or has a `?`; that is reported.
    pub(super) fn object_name(&mut self, text: &Name, subject: &str) -> Option<Name> {
        let ty = self.type_text(text)?;
        match ty.kind {
            TypeKind::Named(name) if !ty.optional => Some(Name::new(name, text.span())),
            _ => {
                self.errors.push(not_an_object(subject, text.span()));
                None
            }
        }
    }
}

/// Whether a table is the long form of something that can also be a table of fields: one of `keys` has an array, or a table without
/// a string at `type`, so that it can't declare a field. At `newtype` any table counts, and a string if all keys are those of the
/// long form.
pub(super) fn is_long_form(entries: &DeTable<'_>, keys: &[&str]) -> bool {
    keys.iter().any(|key| match entries.get(*key).map(Spanned::get_ref) {
        Some(DeValue::Array(_)) => true,
        // A field would have a string at `type`.
        Some(DeValue::Table(table)) => !table.get("type").is_some_and(|ty| ty.get_ref().is_str()) || *key == "newtype",
        Some(DeValue::String(_)) => {
            *key == "newtype"
                && entries.keys().all(|key| TYPE_LONG.keys.iter().any(|known| *known.name == **key.get_ref()))
        }
        _ => false,
    })
}
