//! Reads types in their short and their long form, and what is made of them: fields, config keys, messages.

use std::collections::{BTreeMap, HashMap};

use regex_lite::Regex;
use toml::de::{DeTable, DeValue};

use crate::language::{CONFIG_KEY, ELEMENT, ENUM_VALUE, FIELD, MESSAGE, TableSpec};
use crate::model::{Bound, Bounds, Deprecated, EnumValue, Field, Kind, Message, Name, Type, TypeDefinition};
use crate::read::shorthand::{self, BUILT_IN, is_name};
use crate::read::table_reader::{self as table, Node, Table, expected, list, wrong_kind};
use crate::read::value;
use crate::suggest::closest;
use crate::{Code, Diagnostic, Span};

/// Where fields stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// In the configuration, where there can be secrets.
    Config,
    /// In a message, or a type that can be part of one.
    Message,
}

impl Owner {
    fn spec(self) -> &'static TableSpec {
        match self {
            Self::Config => &CONFIG_KEY,
            Self::Message => &FIELD,
        }
    }
}

/// Reads one manifest, and collects what is wrong with it.
pub(crate) struct Reader<'a> {
    pub(crate) errors: Vec<Diagnostic>,
    /// The names in `[types]`.
    pub(crate) declared: Vec<&'a str>,
    /// The defaults, by where the name of their field begins. They are checked when all types are known.
    defaults: HashMap<usize, Node<'a>>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(declared: Vec<&'a str>) -> Self {
        Self { errors: Vec::new(), declared, defaults: HashMap::new() }
    }

    /// The keys of `[config]`.
    pub(crate) fn config(&mut self, root: &Table<'a>) -> Vec<Field> {
        let entries = root.entries("config", &mut self.errors);
        entries.into_iter().filter_map(|(name, node)| self.config_key(name, node)).collect()
    }

    fn config_key(&mut self, name: Name, node: Node<'a>) -> Option<Field> {
        let DeValue::Table(_) = node.get_ref() else {
            self.errors.push(
                Diagnostic::new(Code::WrongKind, format!("the config key `{name}` is not declared with a table"))
                    .at(node.span(), expected("a table", node))
                    .help(format!("write `{name} = {{ type = \"string\", default = \"…\" }}`")),
            );
            return None;
        };
        let place = format!("the config key `{name}`");
        self.field(name, node, place, Owner::Config)
    }

    /// The fields of an object, in a table.
    pub(crate) fn fields(&mut self, table: &'a DeTable<'a>, place: &str, owner: Owner) -> Vec<Field> {
        let entries = table::entries(table).into_iter();
        entries
            .filter_map(|(name, node)| {
                let place = format!("the field `{name}` of {place}");
                self.field(name, node, place, owner)
            })
            .collect()
    }

    fn field(&mut self, name: Name, node: Node<'a>, place: String, owner: Owner) -> Option<Field> {
        self.check_name(&name, if owner == Owner::Config { "a config key" } else { "a field" });
        let entries = match node.get_ref() {
            DeValue::String(text) => {
                let ty = self.type_text(&Name::new(text.as_ref(), node.span()), false)?;
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
                self.errors.push(wrong_kind(&place, node, "a type such as \"string\", or a table"));
                return None;
            }
        };
        let table = Table::new(entries, &name.span(), place, owner.spec(), &mut self.errors);
        let default = table.get("default");
        let description = table.text("description", &mut self.errors);
        let deprecated = table.deprecated(&mut self.errors);
        let required = table.boolean("required", &mut self.errors);
        let secret = owner == Owner::Config && table.boolean("secret", &mut self.errors) == Some(true);
        let mut ty = self.type_table(&table, owner)?;

        let contradiction = |why: &str, one: (Span, &str), other: (Span, &str)| {
            Diagnostic::new(Code::Contradiction, format!("{} {why}", table.place()))
                .at(one.0, one.1)
                .related(other.0, other.1)
        };
        if required == Some(true) && ty.optional {
            let place = (table.key_span("required"), "says that there always is a value");
            let error =
                contradiction("is required and optional", place, (ty.span.clone(), "says that there may be none"));
            self.errors.push(error.help("remove one of the two"));
        }
        if let (Some(true), Some(default)) = (required, default) {
            let place = (table.key_span("required"), "says that a value has to be given");
            let error =
                contradiction("is required and has a default", place, (default.span(), "says what holds if none is"));
            self.errors.push(error.help("remove one of the two"));
        }
        if required == Some(false) && default.is_none() {
            ty.optional = true;
        }
        if let (true, Some(default)) = (ty.optional, default) {
            let error = contradiction(
                "is optional and has a default",
                (ty.span.clone(), "says that there may be no value"),
                (default.span(), "says that there always is one"),
            );
            self.errors.push(error.help("remove the default, or the `?`"));
        } else if let Some(default) = default {
            self.defaults.insert(name.span().start, default);
        }
        if secret && !matches!(ty.kind, Kind::String | Kind::Bytes) {
            let error = Diagnostic::new(Code::Inapplicable, format!("a value of type `{ty}` can't be secret"))
                .at(table.key_span("secret"), "for `string` and `bytes` alone")
                .related(ty.span.clone(), "declared here");
            self.errors.push(error);
        }
        let default_span = default.map(toml::Spanned::span);
        Some(Field { name, ty, default: None, default_span, description, deprecated, secret })
    }

    /// A type that stands alone: text, or a table.
    pub(crate) fn element(&mut self, node: Node<'a>, span: &Span, place: &str, owner: Owner) -> Option<Type> {
        match node.get_ref() {
            DeValue::String(text) => self.type_text(&Name::new(text.as_ref(), node.span()), false),
            DeValue::Table(entries) => {
                let table = Table::new(entries, span, place, &ELEMENT, &mut self.errors);
                self.type_table(&table, owner)
            }
            _ => {
                self.errors.push(wrong_kind(place, node, "a type such as \"string\", or a table"));
                None
            }
        }
    }

    /// A type as text. In the long form, `list`, `map` and `table` are left for the caller.
    pub(crate) fn type_text(&mut self, text: &Name, long: bool) -> Option<Type> {
        let ty = match shorthand::parse(text.as_str(), &text.span()) {
            Ok(ty) => ty,
            Err(reason) => {
                let message = format!("`{}` is not a type", text.as_str().escape_debug());
                self.errors.push(Diagnostic::new(Code::InvalidType, message).at(text.span(), reason));
                return None;
            }
        };
        if let Kind::Named(name) = &ty.kind
            && long
            && matches!(name.as_str(), "list" | "map" | "table")
        {
            return Some(ty);
        }
        self.check_declared(&ty).then_some(ty)
    }

    fn check_declared(&mut self, ty: &Type) -> bool {
        let name = match &ty.kind {
            Kind::List(inner) | Kind::Map(inner) => return self.check_declared(inner),
            Kind::Named(name) => name.as_str(),
            _ => return true,
        };
        let (message, label, help) = match name {
            "list" => {
                ("a list needs the type of its items", "", Some("write `\"[T]\"`, or `{ type = \"list\", items = … }`"))
            }
            "map" => {
                ("a map needs the type of its values", "", Some("write `\"{T}\"`, or `{ type = \"map\", values = … }`"))
            }
            "table" => (
                "a table needs its fields",
                "",
                Some("write `{ type = \"table\", fields = { … } }`, or declare it in [types]"),
            ),
            _ if self.declared.contains(&name) => return true,
            _ => {
                self.unknown_type(name, ty.span.clone());
                return false;
            }
        };
        let mut error = Diagnostic::new(Code::InvalidType, message).at(ty.span.clone(), label);
        if let Some(help) = help {
            error = error.help(help);
        }
        self.errors.push(error);
        false
    }

    fn unknown_type(&mut self, name: &str, span: Span) {
        let known = BUILT_IN.iter().copied().chain(self.declared.iter().copied());
        let error = Diagnostic::new(Code::UnknownType, format!("there is no type `{name}`"));
        self.errors.push(match closest(name, known) {
            Some(meant) => error.at(span, "neither built in nor declared in [types]").suggest(Some(meant)),
            None => error
                .at(span, "neither built in nor declared in [types]")
                .help(format!("declare it in [types]; built in are {}", list(BUILT_IN))),
        });
    }

    /// A type in its long form.
    fn type_table(&mut self, table: &Table<'a>, owner: Owner) -> Option<Type> {
        let text = table.string("type", &mut self.errors)?;
        let mut ty = self.type_text(&text, true)?;
        let named = match &ty.kind {
            Kind::Named(name) => name.clone(),
            _ => String::new(),
        };
        let parts = [
            ("items", "list", named == "list"),
            ("values", "map", named == "map"),
            ("fields", "table", named == "table"),
            ("enum", "string", matches!(ty.kind, Kind::String)),
        ];
        for (key, wanted, applies) in parts {
            if table.get(key).is_some() && !applies {
                self.inapplicable(table, key, &ty, &format!("for `type = \"{wanted}\"` alone"));
            }
            if applies && key != "enum" && table.get(key).is_none() {
                let message = format!("{} is a {wanted} without `{key}`", table.place());
                self.errors
                    .push(Diagnostic::new(Code::MissingKey, message).at(text.span(), format!("add `{key} = …`")));
                return None;
            }
        }
        let place = table.place().to_owned();
        match named.as_str() {
            "list" | "map" => {
                let key = if named == "list" { "items" } else { "values" };
                let node = table.get(key)?;
                let place = format!("`{key}` of {place}");
                let element = Box::new(self.element(node, &table.key_span(key), &place, owner)?);
                ty.kind = if named == "list" { Kind::List(element) } else { Kind::Map(element) };
            }
            "table" => {
                let node = table.get("fields")?;
                let DeValue::Table(entries) = node.get_ref() else {
                    self.errors.push(wrong_kind(&format!("`fields` of {place}"), node, "a table"));
                    return None;
                };
                ty.kind = Kind::Table(self.fields(entries, &place, owner));
            }
            _ => {}
        }
        if let (Some(node), Kind::String) = (table.get("enum"), &ty.kind) {
            ty.kind = Kind::Enum(self.enum_values(node, &format!("`enum` of {place}"))?);
        }
        if table.boolean("optional", &mut self.errors) == Some(true) {
            ty.optional = true;
        }
        ty.bounds = self.bounds(table, &ty);
        Some(ty)
    }

    fn inapplicable(&mut self, table: &Table<'_>, key: &str, ty: &Type, label: &str) {
        let error = Diagnostic::new(Code::Inapplicable, format!("`{key}` does not go with the type `{ty}`"))
            .at(table.key_span(key), label)
            .related(ty.span.clone(), "declared here");
        let inner = match (&ty.kind, key) {
            (Kind::List(inner), "min" | "max" | "pattern" | "enum") => Some(("list", "items", inner)),
            (Kind::Map(inner), "min" | "max" | "pattern" | "enum") => Some(("map", "values", inner)),
            _ => None,
        };
        self.errors.push(match inner {
            Some((kind, part, inner)) => error.help(format!(
                "for the {part} write `type = \"{kind}\", {part} = {{ type = \"{inner}\", {key} = … }}`"
            )),
            None => error,
        });
    }

    fn bounds(&mut self, table: &Table<'a>, ty: &Type) -> Bounds {
        let mut bounds = Bounds::default();
        let ordered = matches!(ty.kind, Kind::Integer | Kind::Float | Kind::Duration | Kind::Size);
        let long = matches!(ty.kind, Kind::String | Kind::Bytes | Kind::List(_) | Kind::Map(_));
        for (key, bound) in [("min", &mut bounds.min), ("max", &mut bounds.max)] {
            let Some(node) = table.get(key) else { continue };
            if !ordered {
                self.inapplicable(table, key, ty, "for `integer`, `float`, `duration` and `size` alone");
                continue;
            }
            let reader = value::Reader {
                types: &BTreeMap::new(),
                place: format!("`{key}` of {}", table.place()),
                code: Code::InvalidValue,
                declared: Some(ty.span.clone()),
            };
            let plain = Type { bounds: Bounds::default(), ..ty.clone() };
            *bound = reader.read(node, &plain, &mut self.errors).map(|value| Bound { value, span: node.span() });
        }
        for (key, bound) in [("min_length", &mut bounds.min_length), ("max_length", &mut bounds.max_length)] {
            let Some(node) = table.get(key) else { continue };
            if !long {
                self.inapplicable(table, key, ty, "for `string`, `bytes`, lists and maps alone");
                continue;
            }
            *bound = table.integer(key, &mut self.errors).map(|value| Bound { value, span: node.span() });
        }
        if let (Some(min), Some(max)) = (&bounds.min, &bounds.max)
            && min.value > max.value
        {
            self.errors.push(empty_range(table, "min", &min.span, "max", &max.span));
        }
        if let (Some(min), Some(max)) = (&bounds.min_length, &bounds.max_length)
            && min.value > max.value
        {
            self.errors.push(empty_range(table, "min_length", &min.span, "max_length", &max.span));
        }
        if table.get("pattern").is_some() {
            if matches!(ty.kind, Kind::String) {
                bounds.pattern = self.pattern(table);
            } else {
                self.inapplicable(table, "pattern", ty, "for `string` alone");
            }
        }
        bounds
    }

    fn pattern(&mut self, table: &Table<'a>) -> Option<Bound<String>> {
        let pattern = table.string("pattern", &mut self.errors)?;
        if let Err(error) = Regex::new(pattern.as_str()) {
            let message = format!("the pattern of {} can't be read", table.place());
            self.errors.push(
                Diagnostic::new(Code::InvalidPattern, message)
                    .at(pattern.span(), error.to_string())
                    .help("a pattern in single quotes needs no double backslashes"),
            );
            return None;
        }
        Some(Bound { value: pattern.to_string(), span: pattern.span() })
    }

    /// The values of an enum: an array of texts, or a table with what there is to say about each.
    pub(crate) fn enum_values(&mut self, node: Node<'a>, place: &str) -> Option<Vec<EnumValue>> {
        let values: Vec<_> = match node.get_ref() {
            DeValue::Array(items) => table::strings(items.iter(), place, &mut self.errors)
                .into_iter()
                .map(|name| EnumValue { name, description: None, deprecated: None })
                .collect(),
            DeValue::Table(entries) => table::entries(entries)
                .into_iter()
                .filter_map(|(name, node)| {
                    let what = format!("the value `{name}` of {place}");
                    let (description, deprecated) = self.described(&name, node, &what, &ENUM_VALUE)?;
                    Some(EnumValue { name, description, deprecated })
                })
                .collect(),
            _ => {
                self.errors.push(wrong_kind(place, node, "an array of strings, or a table"));
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
            let message = format!("{place} has no values");
            self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(node.span(), "expected at least one"));
        }
        Some(values)
    }

    /// What is said about something of which a description is enough: that alone, or a table.
    pub(crate) fn described(
        &mut self,
        name: &Name,
        node: Node<'a>,
        place: &str,
        spec: &'static TableSpec,
    ) -> Option<(Option<String>, Option<Deprecated>)> {
        match node.get_ref() {
            DeValue::String(text) => Some((Some(text.to_string()), None)),
            DeValue::Table(entries) => {
                let table = Table::new(entries, &name.span(), place, spec, &mut self.errors);
                Some((table.text("description", &mut self.errors), table.deprecated(&mut self.errors)))
            }
            _ => {
                self.errors.push(wrong_kind(place, node, "a description, or a table"));
                None
            }
        }
    }

    /// A request, response or payload.
    pub(crate) fn message(&mut self, table: &Table<'a>, key: &'static str, place: &str) -> Option<Message> {
        let node = table.get(key)?;
        match node.get_ref() {
            DeValue::String(text) => {
                let name = Name::new(text.as_ref(), node.span());
                self.object_name(&name, place).map(Message::Named)
            }
            DeValue::Table(entries) => {
                if !is_long_form(entries, &["fields"]) {
                    let fields = self.fields(entries, place, Owner::Message);
                    return Some(Message::Inline { fields, description: None });
                }
                let long = Table::new(entries, &table.key_span(key), place, &MESSAGE, &mut self.errors);
                let description = long.text("description", &mut self.errors);
                let fields = self.long_fields(&long, place)?;
                Some(Message::Inline { fields, description })
            }
            _ => {
                self.errors.push(wrong_kind(place, node, "the name of a type in [types], or a table of fields"));
                None
            }
        }
    }

    pub(crate) fn long_fields(&mut self, table: &Table<'a>, place: &str) -> Option<Vec<Field>> {
        let node = table.get("fields")?;
        if let DeValue::Table(entries) = node.get_ref() {
            return Some(self.fields(entries, place, Owner::Message));
        }
        self.errors.push(wrong_kind(&format!("`fields` of {place}"), node, "a table"));
        None
    }

    /// The name of a type that can stand for an object. Whether it does is checked when all types are known.
    pub(crate) fn object_name(&mut self, text: &Name, place: &str) -> Option<Name> {
        let ty = self.type_text(text, false)?;
        match ty.kind {
            Kind::Named(name) if !ty.optional => Some(Name::new(name, text.span())),
            _ => {
                self.errors.push(not_an_object(place, text.span()));
                None
            }
        }
    }

    pub(crate) fn check_name(&mut self, name: &Name, what: &str) {
        if !is_name(name.as_str()) || !name.as_str().starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.errors.push(
                Diagnostic::new(Code::InvalidName, format!("`{}` can't name {what}", name.as_str().escape_debug()))
                    .at(name.span(), "expected ASCII letters, digits, `_` and `-`, beginning with a letter"),
            );
        }
    }

    /// Reads the defaults, now that all types are known.
    pub(crate) fn read_defaults<'f>(
        &mut self,
        fields: impl IntoIterator<Item = &'f mut Field>,
        types: &BTreeMap<String, TypeDefinition>,
    ) {
        for field in fields {
            if let Some(node) = self.defaults.get(&field.name.span().start) {
                let reader = value::Reader {
                    types,
                    place: format!("the default of `{}`", field.name),
                    code: Code::InvalidDefault,
                    declared: Some(field.ty.span.clone()),
                };
                field.default = reader.read(node, &field.ty, &mut self.errors);
            }
            self.read_nested_defaults(&mut field.ty, types);
        }
    }

    pub(crate) fn read_message_defaults(
        &mut self,
        message: &mut Option<Message>,
        types: &BTreeMap<String, TypeDefinition>,
    ) {
        if let Some(Message::Inline { fields, .. }) = message {
            self.read_defaults(fields, types);
        }
    }

    pub(crate) fn read_nested_defaults(&mut self, ty: &mut Type, types: &BTreeMap<String, TypeDefinition>) {
        match &mut ty.kind {
            Kind::Table(fields) => self.read_defaults(fields, types),
            Kind::List(inner) | Kind::Map(inner) => self.read_nested_defaults(inner, types),
            _ => {}
        }
    }
}

fn empty_range(table: &Table<'_>, min: &str, min_span: &Span, max: &str, max_span: &Span) -> Diagnostic {
    Diagnostic::new(Code::Contradiction, format!("no value of {} can keep to its bounds", table.place()))
        .at(min_span.clone(), format!("`{min}` is greater"))
        .related(max_span.clone(), format!("than `{max}`"))
}

pub(crate) fn not_an_object(place: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::NotAnObject, format!("{place} must be an object"))
        .at(span, "expected a record or a union of [types], or a table of fields")
}

/// Whether a table is the long form of what could be a table of fields: it is if one of `keys` holds what no field can.
pub(crate) fn is_long_form(entries: &DeTable<'_>, keys: &[&str]) -> bool {
    keys.iter().any(|key| match entries.get(*key).map(toml::Spanned::get_ref) {
        Some(DeValue::Array(_)) => true,
        // A field would say `type = "…"`.
        Some(DeValue::Table(table)) => !table.get("type").is_some_and(|ty| ty.get_ref().is_str()) || *key == "newtype",
        _ => false,
    })
}
