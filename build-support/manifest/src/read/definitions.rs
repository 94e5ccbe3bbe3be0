//! Reads `[types]`: records, enums, unions and newtypes. Whether values of them can exist is checked in `check`.

use toml::de::DeValue;

use super::fields::FieldForm;
use super::messages::is_long_form;
use super::node::{Node, wrong_kind};
use super::shorthand::built_in_names;
use super::table_reader::TableReader;
use super::{ManifestReader, Types};
use crate::diagnostic::{Code, Diagnostic};
use crate::language::{CASE, TYPE_LONG};
use crate::model::{Case, MessageType, Name, Shape, Type, TypeDefinition, TypeKind};

/// The long form of a type has exactly one of these keys; a second one is reported.
pub(super) const SHAPES: [&str; 4] = ["fields", "enum", "union", "newtype"];

impl ManifestReader<'_> {
    /// The types of `[types]`, without the defaults of their fields. A definition with a mistake after which its shape is not known is
    /// reported and left out; one with another mistake is reported and in the result, such as one with a wrong or reserved name.
    pub(super) fn types(&mut self, definitions: &[(Name, Node<'_>)]) -> Types {
        definitions
            .iter()
            .filter_map(|(name, node)| {
                self.check_name(name, "a type");
                if built_in_names().any(|built_in| built_in == name.as_str()) {
                    let message = format!("the type `{name}` is built in");
                    let error = Diagnostic::new(Code::ReservedName, message);
                    self.errors.push(error.at(name.span(), "choose another name"));
                }
                let definition = self.definition(name.clone(), node)?;
                Some((definition.name.to_string(), definition))
            })
            .collect()
    }

    /// The type called `name`, which is not checked here. `None` if its shape is not known after a mistake, which is reported.
    fn definition(&mut self, name: Name, node: Node<'_>) -> Option<TypeDefinition> {
        let subject = format!("the type `{name}`");
        let entries = match node.get_ref() {
            DeValue::String(text) => {
                let ty = self.type_text(&Name::new(text.as_ref(), node.span()))?;
                let shape = self.newtype(ty, &subject)?;
                return Some(TypeDefinition { name, description: None, deprecated: None, shape });
            }
            DeValue::Table(entries) => entries,
            _ => {
                self.errors.push(wrong_kind(&subject, node, "a table of fields, or the text of a type"));
                return None;
            }
        };
        if !is_long_form(entries, &SHAPES) {
            let shape = Shape::Record(self.fields(entries, &subject, FieldForm::Message));
            return Some(TypeDefinition { name, description: None, deprecated: None, shape });
        }
        let table = TableReader::new(entries, &name.span(), subject.as_str(), &TYPE_LONG, &mut self.errors);
        let description = table.text("description", &mut self.errors);
        let deprecated = table.deprecated(&mut self.errors);
        let open = table.boolean("open", &mut self.errors) == Some(true);
        let key = self.the_shape(&table, &subject);
        if open && matches!(key, "fields" | "newtype") {
            let message = format!("`open` does not go with `{key}`");
            let label = "for `enum` and `union` alone";
            self.errors.push(Diagnostic::new(Code::Inapplicable, message).at(table.key_span("open"), label));
        }
        let shape = match key {
            "fields" => Shape::Record(self.long_fields(&table, &subject)?),
            "enum" => {
                let values = self.enum_values(table.get("enum")?, &format!("`enum` of {subject}"))?;
                Shape::Enum { values, open }
            }
            "union" => Shape::Union { cases: self.cases(&table, &subject), open },
            _ => {
                let node = table.get("newtype")?;
                let of = format!("`newtype` of {subject}");
                let ty = self.element(node, &table.key_span("newtype"), &of, FieldForm::Message)?;
                self.newtype(ty, &subject)?
            }
        };
        Some(TypeDefinition { name, description, deprecated, shape })
    }

    /// The one of [`SHAPES`] that a long form has. If it has several, this is reported once, with two of them, and the result is the
    /// first of them in the order of [`SHAPES`].
    ///
    /// # Panics
    ///
    /// If it has none: the caller has found out with [`is_long_form`] that it has one.
    fn the_shape(&mut self, table: &TableReader<'_>, subject: &str) -> &'static str {
        let mut shapes = SHAPES.into_iter().filter(|key| table.get(key).is_some());
        let (Some(key), second) = (shapes.next(), shapes.next()) else { unreachable!("the long form has one of them") };
        if let Some(second) = second {
            let says = |key| match key {
                "fields" => "says that it is a record",
                "enum" => "says that it is an enum",
                "union" => "says that it is a union",
                _ => "says that it is a newtype",
            };
            let error = Diagnostic::new(Code::Contradiction, format!("{subject} can't be two things"))
                .at(table.key_span(second), says(second))
                .related(table.key_span(key), says(key));
            self.errors.push(error);
        }
        key
    }

    /// The newtype around `ty`. `None` if `ty` is optional, or an enum or a table written in place, which is reported.
    fn newtype(&mut self, ty: Type, subject: &str) -> Option<Shape> {
        let (message, help) = if ty.optional {
            (format!("{subject} can't be optional"), "put the `?` where the type is used")
        } else if matches!(ty.kind, TypeKind::Enum(_)) {
            (format!("{subject} is an enum"), "write `enum = […]` without `newtype`")
        } else if matches!(ty.kind, TypeKind::Table(_)) {
            (format!("{subject} is a record"), "write `fields = { … }` without `newtype`")
        } else {
            return Some(Shape::Newtype(ty));
        };
        self.errors.push(Diagnostic::new(Code::InvalidType, message).at(ty.span, "").help(help));
        None
    }

    /// The cases of a union, sorted by name. A union without cases is reported, and so is a case with a mistake in its form, which is
    /// left out. A case with a wrong name is reported and in the result.
    fn cases(&mut self, table: &TableReader<'_>, subject: &str) -> Vec<Case> {
        let entries = table.entries("union", &mut self.errors);
        if entries.is_empty() {
            let message = format!("the union of {subject} has no cases");
            let error = Diagnostic::new(Code::InvalidValue, message);
            self.errors.push(error.at(table.key_span("union"), "expected at least one"));
        }
        entries
            .into_iter()
            .filter_map(|(name, node)| {
                self.check_name(&name, "a case");
                self.case(name, node, subject)
            })
            .collect()
    }

    /// A case: the name of a type, a table of fields, or the long form. Whether the type is a record, and whether it has a field `type`,
    /// is checked in `check`. `None` if it is none of these, which is reported.
    fn case(&mut self, name: Name, node: Node<'_>, subject: &str) -> Option<Case> {
        let subject = format!("the case `{name}` of {subject}");
        match node.get_ref() {
            DeValue::String(text) => {
                let record = self.object_name(&Name::new(text.as_ref(), node.span()), &subject)?;
                Some(Case { name, deprecated: None, content: MessageType::Named(record) })
            }
            DeValue::Table(entries) => {
                if !is_long_form(entries, &["fields"]) {
                    let fields = self.fields(entries, &subject, FieldForm::Message);
                    let content = MessageType::Inline { fields, description: None };
                    return Some(Case { name, deprecated: None, content });
                }
                let table = TableReader::new(entries, &name.span(), subject.as_str(), &CASE, &mut self.errors);
                let description = table.text("description", &mut self.errors);
                let deprecated = table.deprecated(&mut self.errors);
                let fields = self.long_fields(&table, &subject)?;
                Some(Case { name, deprecated, content: MessageType::Inline { fields, description } })
            }
            _ => {
                self.errors.push(wrong_kind(&subject, node, "the name of a record, or a table of fields"));
                None
            }
        }
    }
}
