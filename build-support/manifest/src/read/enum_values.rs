//! Reads the values of an enum, and what they have in common with the errors of a service: a name with a description.

use toml::de::DeValue;

use super::ManifestReader;
use super::node::{self, Node, distinct_strings, wrong_kind};
use super::table_reader::TableReader;
use crate::diagnostic::{Code, Diagnostic};
use crate::language::{ENUM_VALUE, TableSpec};
use crate::model::{Deprecated, EnumValue, Name};

/// What a manifest says about a value of an enum or an error of a service: a description alone, or a table.
pub(super) struct Described<'a> {
    /// `None` only for a table without the key, or whose key is no string, which is reported.
    pub(super) description: Option<String>,
    /// `None` also for a description alone.
    pub(super) deprecated: Option<Deprecated>,
    /// The table, for keys beside these two. `None` for a description alone.
    pub(super) table: Option<TableReader<'a>>,
}

impl ManifestReader<'_> {
    /// The values of an enum: of an array of strings in its order, or of a table of descriptions and tables, sorted. `None` if `node` is
    /// neither, which is reported. An empty enum, and a value with wrong characters, are reported and returned. An item that is no
    /// string or is there twice, and a key whose value is neither a description nor a table, are reported and left out.
    pub(super) fn enum_values(&mut self, node: Node<'_>, subject: &str) -> Option<Vec<EnumValue>> {
        let values: Vec<_> = match node.get_ref() {
            DeValue::Array(items) => distinct_strings(items.iter(), subject, &mut self.errors)
                .into_iter()
                .map(|name| EnumValue { name, description: None, deprecated: None })
                .collect(),
            DeValue::Table(entries) => node::entries(entries)
                .into_iter()
                .filter_map(|(name, node)| {
                    let value = format!("the value `{name}` of {subject}");
                    let Described { description, deprecated, .. } = self.described(&name, node, &value, &ENUM_VALUE)?;
                    Some(EnumValue { name, description, deprecated })
                })
                .collect(),
            _ => {
                self.errors.push(wrong_kind(subject, node, "an array of strings, or a table"));
                return None;
            }
        };
        for value in &values {
            let text = value.name.as_str();
            if !text.bytes().any(|byte| byte.is_ascii_alphanumeric())
                || !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
            {
                let message = format!("`{}` can't be a value of an enum", text.escape_debug());
                self.errors.push(
                    Diagnostic::new(Code::InvalidName, message)
                        .at(value.name.span(), "expected printable ASCII with at least one letter or digit"),
                );
            }
        }
        if values.is_empty() {
            let message = format!("{subject} has no values");
            self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(node.span(), "expected at least one"));
        }
        Some(values)
    }

    /// What is said about `name`: a description, or a table with the keys of `spec`, among them `description` and `deprecated`.
    /// `None` if `node` is neither, which is reported; messages call it `subject`. `name` itself is not checked.
    pub(super) fn described<'a>(
        &mut self,
        name: &Name,
        node: Node<'a>,
        subject: &str,
        spec: &'static TableSpec,
    ) -> Option<Described<'a>> {
        match node.get_ref() {
            DeValue::String(text) => {
                Some(Described { description: Some(text.to_string()), deprecated: None, table: None })
            }
            DeValue::Table(entries) => {
                let table = TableReader::new(entries, &name.span(), subject, spec, &mut self.errors);
                Some(Described {
                    description: table.text("description", &mut self.errors),
                    deprecated: table.deprecated(&mut self.errors),
                    table: Some(table),
                })
            }
            _ => {
                self.errors.push(wrong_kind(subject, node, "a description, or a table"));
                None
            }
        }
    }
}
