//! Reads config keys, and the fields of objects, without their defaults: `defaults` reads those.

use toml::de::{DeTable, DeValue};

use super::ManifestReader;
use super::node::{self, Node, expected, wrong_kind};
use super::shorthand::is_name;
use super::table_reader::TableReader;
use crate::diagnostic::{Code, Diagnostic};
use crate::language::{CONFIG_KEY, FIELD, TableSpec};
use crate::model::{Field, Name, Scalar, Type, TypeKind};
use crate::source::Span;
use crate::wording::all_of;

/// Which table of the language declares a field, and with it whether the field can be secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldForm {
    /// A config key, or a field within one: it can be `secret`.
    Config,
    /// A field of a message, or of any type of `[types]`, also of one that only config keys use: it can't be `secret`.
    Message,
}

impl FieldForm {
    /// The table of the language for the long form of the field.
    fn spec(self) -> &'static TableSpec {
        match self {
            Self::Config => &CONFIG_KEY,
            Self::Message => &FIELD,
        }
    }
}

impl ManifestReader<'_> {
    /// The keys of `[config]`, sorted by name, without their defaults. A key with a mistake after which its type is not
    /// known is left out, and reported. Empty without `[config]`.
    pub(super) fn config(&mut self, root: &TableReader<'_>) -> Vec<Field> {
        let entries = root.entries("config", &mut self.errors);
        entries.into_iter().filter_map(|(name, node)| self.config_key(name, node)).collect()
    }

    /// A key of `[config]`, which has to be a table: unlike a field, it has no short form. `None` if it is no table, or its type is not
    /// known after a mistake; that is reported.
    fn config_key(&mut self, name: Name, node: Node<'_>) -> Option<Field> {
        let DeValue::Table(_) = node.get_ref() else {
            self.errors.push(
                Diagnostic::new(Code::WrongKind, format!("the config key `{name}` is not declared with a table"))
                    .at(node.span(), expected("a table", node))
                    .help(format!("write `{name} = {{ type = \"string\", default = \"…\" }}`")),
            );
            return None;
        };
        let subject = format!("the config key `{name}`");
        self.field(name, node, subject, FieldForm::Config)
    }

    /// The fields of an object, which messages call `subject`, sorted by name, without their defaults. A field with a mistake after
    /// which its type is not known is left out, and reported.
    pub(super) fn fields(&mut self, table: &DeTable<'_>, subject: &str, form: FieldForm) -> Vec<Field> {
        let entries = node::entries(table).into_iter();
        entries
            .filter_map(|(name, node)| {
                let subject = format!("the field `{name}` of {subject}");
                self.field(name, node, subject, form)
            })
            .collect()
    }

    /// A field or a config key: a type as a string, or a table. With `required = false` and without a default, its type is optional.
    /// `None` if it is neither a string nor a table, or its type is not known after a mistake; that is reported. A field with a wrong
    /// name, and one that can't be secret or has contradictory keys, is reported and returned.
    fn field(&mut self, name: Name, node: Node<'_>, subject: String, form: FieldForm) -> Option<Field> {
        self.check_name(&name, if form == FieldForm::Config { "a config key" } else { "a field" });
        let entries = match node.get_ref() {
            DeValue::String(text) => {
                let ty = self.type_text(&Name::new(text.as_ref(), node.span()))?;
                return Some(Field {
                    name,
                    ty,
                    default: None,
                    default_span: None,
                    description: None,
                    deprecated: None,
                    secret: false,
                });
            }
            DeValue::Table(entries) => entries,
            _ => {
                self.errors.push(wrong_kind(&subject, node, "a type such as \"string\", or a table"));
                return None;
            }
        };
        let table = TableReader::new(entries, &name.span(), subject, form.spec(), &mut self.errors);
        let default_span = table.get("default").map(toml::Spanned::span);
        let description = table.text("description", &mut self.errors);
        let deprecated = table.deprecated(&mut self.errors);
        let required = table.boolean("required", &mut self.errors);
        let secret = form == FieldForm::Config && table.boolean("secret", &mut self.errors) == Some(true);
        let mut ty = self.type_table(&table, form)?;
        self.check_presence(&table, required, &ty, default_span.as_ref());
        if required == Some(false) && default_span.is_none() {
            ty.optional = true;
        }
        if secret && !matches!(ty.kind, TypeKind::Scalar(scalar) if scalar.can_be_secret()) {
            let error = Diagnostic::new(Code::Inapplicable, format!("a value of type `{ty}` can't be secret"))
                .at(
                    table.key_span("secret"),
                    format!("for {} alone", all_of(Scalar::names_where(Scalar::can_be_secret))),
                )
                .related(ty.span.clone(), "declared here");
            self.errors.push(error);
        }
        Some(Field { name, ty, default: None, default_span, description, deprecated, secret })
    }

    /// Reports contradictions about whether the field has to be set: of `required = true`, an optional type and a default, each excludes
    /// the two others. `required = false` excludes none of them.
    fn check_presence(
        &mut self,
        table: &TableReader<'_>,
        required: Option<bool>,
        ty: &Type,
        default_span: Option<&Span>,
    ) {
        let contradiction = |why: &str, one: (Span, &str), other: (Span, &str)| {
            Diagnostic::new(Code::Contradiction, format!("{} {why}", table.subject()))
                .at(one.0, one.1)
                .related(other.0, other.1)
        };
        if required == Some(true) && ty.optional {
            let says_required = (table.key_span("required"), "says that there always is a value");
            let says_optional = (ty.span.clone(), "says that there may be none");
            let error = contradiction("is required and optional", says_required, says_optional);
            self.errors.push(error.help("remove one of the two"));
        }
        let Some(default_span) = default_span else { return };
        if required == Some(true) {
            let says_required = (table.key_span("required"), "says that a value has to be given");
            let says_default = (default_span.clone(), "says what holds if none is");
            let error = contradiction("is required and has a default", says_required, says_default);
            self.errors.push(error.help("remove one of the two"));
        }
        if ty.optional {
            let says_optional = (ty.span.clone(), "says that there may be no value");
            let says_default = (default_span.clone(), "says that there always is one");
            let error = contradiction("is optional and has a default", says_optional, says_default);
            self.errors.push(error.help("remove the default, or the `?`"));
        }
    }

    /// Reports a name that is not ASCII letters, digits, `_` and `-`, beginning with a letter. `what` says what has it: "a config key", "a
    /// field", "a type" or "a case".
    pub(super) fn check_name(&mut self, name: &Name, what: &str) {
        if !is_name(name.as_str()) || !name.as_str().starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.errors.push(
                Diagnostic::new(Code::InvalidName, format!("`{}` can't name {what}", name.as_str().escape_debug()))
                    .at(name.span(), "expected ASCII letters, digits, `_` and `-`, beginning with a letter"),
            );
        }
    }
}
