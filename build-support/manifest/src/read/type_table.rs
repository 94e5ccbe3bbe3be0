//! Reads a type, as a string or as a table: `"[string]"`, or `{ type = "list", items = … }`. `shorthand` parses the string.

use toml::de::DeValue;

use super::ManifestReader;
use super::fields::FieldForm;
use super::node::{Node, wrong_kind};
use super::shorthand::{self, built_in_names};
use super::table_reader::TableReader;
use crate::diagnostic::{Code, Diagnostic};
use crate::language::ELEMENT;
use crate::model::{Name, Scalar, Type, TypeKind};
use crate::source::Span;
use crate::suggest::closest;
use crate::wording::list;

impl ManifestReader<'_> {
    /// The type of the items of a list, of the values of a map, or of a newtype: a string or a table. `span` is where messages point
    /// if a key is missing. `None` if it is neither, or the type is not known after a mistake; that is reported.
    pub(super) fn element(&mut self, node: Node<'_>, span: &Span, subject: &str, form: FieldForm) -> Option<Type> {
        match node.get_ref() {
            DeValue::String(text) => self.type_text(&Name::new(text.as_ref(), node.span())),
            DeValue::Table(entries) => {
                let table = TableReader::new(entries, span, subject, &ELEMENT, &mut self.errors);
                self.type_table(&table, form)
            }
            _ => {
                self.errors.push(wrong_kind(subject, node, "a type such as \"string\", or a table"));
                None
            }
        }
    }

    /// A type as a string. `None` if it can't be read, or names a type that is not declared; that is reported.
    pub(super) fn type_text(&mut self, text: &Name) -> Option<Type> {
        let ty = self.shorthand(text)?;
        self.check_declared(&ty).then_some(ty)
    }

    /// A type as a string, of which the names are not looked up. `None` if it can't be read, which is reported.
    fn shorthand(&mut self, text: &Name) -> Option<Type> {
        shorthand::parse(text.as_str(), &text.span())
            .map_err(|reason| {
                let message = format!("`{}` is not a type", text.as_str().escape_debug());
                self.errors.push(Diagnostic::new(Code::InvalidType, message).at(text.span(), reason));
            })
            .ok()
    }

    /// Whether all names in a type are built in or declared in `[types]`; reports one that is not. `list`, `map` and `table` are
    /// reported as types that lack their parts.
    fn check_declared(&mut self, ty: &Type) -> bool {
        let name = match &ty.kind {
            TypeKind::List(inner) | TypeKind::Map(inner) => return self.check_declared(inner),
            TypeKind::Named(name) => name.as_str(),
            TypeKind::Scalar(_) | TypeKind::Enum(_) | TypeKind::Table(_) => return true,
        };
        let (message, help) = match name {
            "list" => ("a list needs the type of its items", "write `\"[T]\"`, or `{ type = \"list\", items = … }`"),
            "map" => ("a map needs the type of its values", "write `\"{T}\"`, or `{ type = \"map\", values = … }`"),
            "table" => {
                ("a table needs its fields", "write `{ type = \"table\", fields = { … } }`, or declare it in [types]")
            }
            _ if self.declared.contains(&name) => return true,
            _ => {
                self.unknown_type(name, ty.span.clone());
                return false;
            }
        };
        self.errors.push(Diagnostic::new(Code::InvalidType, message).at(ty.span.clone(), "").help(help));
        false
    }

    /// Reports a name that is neither built in nor declared, with a similar name that is, or with all that are built in.
    fn unknown_type(&mut self, name: &str, span: Span) {
        let known = built_in_names().chain(self.declared.iter().copied());
        let error = Diagnostic::new(Code::UnknownType, format!("there is no type `{name}`"))
            .at(span, "neither built in nor declared in [types]");
        self.errors.push(match closest(name, known) {
            Some(meant) => error.suggest(Some(meant)),
            None => error.help(format!("declare it in [types]; built in are {}", list(built_in_names()))),
        });
    }

    /// A type as a table: that of a config key, of a field or of an element. A key that does not go with the type is reported, and
    /// has no effect. `None` if the type is not known after a mistake, which is reported.
    pub(super) fn type_table(&mut self, table: &TableReader<'_>, form: FieldForm) -> Option<Type> {
        let text = table.string("type", &mut self.errors)?;
        let mut ty = self.shorthand(&text)?;
        // `list`, `map` and `table` have their parts under separate keys, and are not declared in [types].
        let part = match &ty.kind {
            TypeKind::Named(name) => match name.as_str() {
                "list" => Some(("list", "items")),
                "map" => Some(("map", "values")),
                "table" => Some(("table", "fields")),
                _ => None,
            },
            _ => None,
        };
        if part.is_none() && !self.check_declared(&ty) {
            return None;
        }
        for (of, key) in [("list", "items"), ("map", "values"), ("table", "fields")] {
            if table.get(key).is_some() && part != Some((of, key)) {
                self.inapplicable(table, key, &ty, &format!("for `type = \"{of}\"` alone"));
            }
        }
        let is_string = matches!(ty.kind, TypeKind::Scalar(Scalar::String));
        if table.get("enum").is_some() && !is_string {
            self.inapplicable(table, "enum", &ty, "for `type = \"string\"` alone");
        }
        if let Some((of, key)) = part {
            let Some(node) = table.get(key) else {
                let message = format!("{} is a {of} without `{key}`", table.subject());
                let error = Diagnostic::new(Code::MissingKey, message);
                self.errors.push(error.at(text.span(), format!("add `{key} = …`")));
                return None;
            };
            ty.kind = self.part(table, of, key, node, form)?;
        } else if is_string && let Some(node) = table.get("enum") {
            ty.kind = TypeKind::Enum(self.enum_values(node, &format!("`enum` of {}", table.subject()))?);
        }
        if table.boolean("optional", &mut self.errors) == Some(true) {
            ty.optional = true;
        }
        ty.bounds = self.bounds(table, &ty);
        Some(ty)
    }

    /// The list, map or table, as `of` says, whose parts are the value `node` of `key`. `None` if that value is wrong, which is
    /// reported.
    fn part(
        &mut self,
        table: &TableReader<'_>,
        of: &str,
        key: &'static str,
        node: Node<'_>,
        form: FieldForm,
    ) -> Option<TypeKind> {
        if of != "table" {
            let subject = format!("`{key}` of {}", table.subject());
            let element = Box::new(self.element(node, &table.key_span(key), &subject, form)?);
            return Some(if of == "list" { TypeKind::List(element) } else { TypeKind::Map(element) });
        }
        let DeValue::Table(entries) = node.get_ref() else {
            self.errors.push(wrong_kind(&format!("`fields` of {}", table.subject()), node, "a table"));
            return None;
        };
        Some(TypeKind::Table(self.fields(entries, table.subject(), form)))
    }

    /// Reports a key that does not go with the type; `label` says with which ones it does. For a key that goes with the items of a
    /// list or the values of a map, the help says where to write it.
    pub(super) fn inapplicable(&mut self, table: &TableReader<'_>, key: &str, ty: &Type, label: &str) {
        let error = Diagnostic::new(Code::Inapplicable, format!("`{key}` does not go with the type `{ty}`"))
            .at(table.key_span(key), label)
            .related(ty.span.clone(), "declared here");
        let inner = match (&ty.kind, key) {
            (TypeKind::List(inner), "min" | "max" | "pattern" | "enum") => Some(("list", "items", inner)),
            (TypeKind::Map(inner), "min" | "max" | "pattern" | "enum") => Some(("map", "values", inner)),
            _ => None,
        };
        self.errors.push(match inner {
            Some((kind, part, inner)) => error.help(format!(
                "for the {part} write `type = \"{kind}\", {part} = {{ type = \"{inner}\", {key} = … }}`"
            )),
            None => error,
        });
    }
}
