//! Reads the defaults of fields, in a second walk through the document, when all types are known: a default can be a value of a
//! type that is declared after it.
//!
//! The first walk has read the fields. This one goes through the same tables beside them, and finds the default of a field under
//! the field's name. It reads the TOML tables directly: what is wrong in them, except for the defaults, was reported by the first
//! walk. A default that does not fit its type is reported; `value` says whether it is left out.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::definitions::SHAPES;
use super::messages::is_long_form;
use super::node::Node;
use super::table_reader::TableReader;
use super::value::ValueReader;
use super::{ManifestReader, Types};
use crate::diagnostic::Code;
use crate::model::{Field, MessageType, Name, ProvidedEvent, ProvidedService, Shape, Type, TypeKind};

impl ManifestReader<'_> {
    /// Sets the defaults of `config`, which are the keys of `[config]`, and of the fields within their types.
    pub(super) fn read_config_defaults(&mut self, root: &TableReader<'_>, config: &mut [Field], types: &Types) {
        if let Some(entries) = root.get("config").and_then(table) {
            self.read_defaults(config, entries, types);
        }
    }

    /// Sets the defaults in `types`; `definitions` are the entries of `[types]`. They are checked against a copy of the types that has
    /// no defaults yet: whether a value fits does not depend on them, since `Field::is_required` looks at `default_span`.
    pub(super) fn read_type_defaults(&mut self, definitions: &[(Name, Node<'_>)], types: &mut Types) {
        let known = types.clone();
        for (name, node) in definitions {
            let (Some(definition), Some(entries)) = (types.get_mut(name.as_str()), table(node)) else { continue };
            let long = is_long_form(entries, &SHAPES);
            match &mut definition.shape {
                Shape::Record(fields) if long => {
                    if let Some(entries) = table_at(entries, "fields") {
                        self.read_defaults(fields, entries, &known);
                    }
                }
                Shape::Record(fields) => self.read_defaults(fields, entries, &known),
                Shape::Newtype(ty) => self.read_nested_defaults(ty, entries, "newtype", &known),
                Shape::Union { cases, .. } => {
                    let Some(nodes) = table_at(entries, "union") else { continue };
                    for case in cases {
                        self.read_inline_defaults(&mut case.content, nodes.get(case.name.as_str()), &known);
                    }
                }
                Shape::Enum { .. } => {}
            }
        }
    }

    /// Sets the defaults of fields in requests, responses and payloads that are written in place.
    pub(super) fn read_message_defaults(
        &mut self,
        root: &TableReader<'_>,
        services: &mut [ProvidedService],
        events: &mut [ProvidedEvent],
        types: &Types,
    ) {
        let section = |section, topic: &Name| table_at(root.get(section).and_then(table)?, topic.as_str());
        for service in services {
            let Some(entries) = section("services", &service.topic) else { continue };
            for (message, key) in [(&mut service.request, "request"), (&mut service.response, "response")] {
                if let Some(message) = message {
                    self.read_inline_defaults(message, entries.get(key), types);
                }
            }
        }
        for event in events {
            let Some(entries) = section("events", &event.topic) else { continue };
            if let Some(payload) = &mut event.payload {
                self.read_inline_defaults(payload, entries.get("payload"), types);
            }
        }
    }

    /// Sets the defaults of a message or a case that was read from `node`. Does nothing for a type of `[types]`.
    fn read_inline_defaults(&mut self, message: &mut MessageType, node: Option<Node<'_>>, types: &Types) {
        let (MessageType::Inline { fields, .. }, Some(mut entries)) = (message, node.and_then(table)) else { return };
        if is_long_form(entries, &["fields"])
            && let Some(fields) = table_at(entries, "fields")
        {
            entries = fields;
        }
        self.read_defaults(fields, entries, types);
    }

    /// Sets the defaults of fields that were read from `entries`, and of the fields within their types.
    fn read_defaults(&mut self, fields: &mut [Field], entries: &DeTable<'_>, types: &Types) {
        for field in fields {
            // A field in its short form, a string, has no default.
            let Some(entries) = table_at(entries, field.name.as_str()) else { continue };
            // An optional field with a default is reported already.
            if let Some(node) = entries.get("default").filter(|_| !field.ty.optional) {
                let reader = ValueReader {
                    types,
                    subject: format!("the default of `{}`", field.name),
                    code: Code::InvalidDefault,
                    declared: Some(field.ty.span.clone()),
                };
                field.default = reader.read(node, &field.ty, &mut self.errors);
            }
            self.read_defaults_within(&mut field.ty, entries, types);
        }
    }

    /// Sets the defaults of the fields within a type that was read from the table `entries`, not within a type of `[types]`.
    fn read_defaults_within(&mut self, ty: &mut Type, entries: &DeTable<'_>, types: &Types) {
        match &mut ty.kind {
            TypeKind::Table(fields) => {
                if let Some(entries) = table_at(entries, "fields") {
                    self.read_defaults(fields, entries, types);
                }
            }
            TypeKind::List(inner) => self.read_nested_defaults(inner, entries, "items", types),
            TypeKind::Map(inner) => self.read_nested_defaults(inner, entries, "values", types),
            TypeKind::Scalar(_) | TypeKind::Enum(_) | TypeKind::Named(_) => {}
        }
    }

    /// Sets the defaults within a type that was read from the value at `key`. If that is a string, the type has no fields.
    fn read_nested_defaults(&mut self, ty: &mut Type, entries: &DeTable<'_>, key: &str, types: &Types) {
        if let Some(entries) = table_at(entries, key) {
            self.read_defaults_within(ty, entries, types);
        }
    }
}

/// The table that `node` is; `None` for any other value.
fn table(node: Node<'_>) -> Option<&DeTable<'_>> {
    match node.get_ref() {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

/// The table at a key; `None` if the key is absent or has another value.
fn table_at<'a>(entries: &'a DeTable<'a>, key: &str) -> Option<&'a DeTable<'a>> {
    entries.get(key).and_then(|node: &'a Spanned<DeValue<'a>>| table(node))
}
