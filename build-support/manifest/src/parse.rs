//! From TOML text to a [`Manifest`]: walks the document section by section and collects everything that is wrong.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::model::{ConfigKey, Field, Manifest, Message, ModuleInfo, Name, Record, Service, Type, TypeDefinition};
use crate::shorthand::{self, BUILT_IN, is_name};
use crate::table::{Table, expected};
use crate::{Diagnostic, Report, Source, Span, Value};

/// The one version of the manifest's schema that exists (seeds).
const SCHEMA_VERSION: &str = "3.0";

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    ///
    /// A report of everything that is wrong: mistakes in the TOML if there are any, otherwise mistakes in what it says.
    pub fn parse(source: &Source) -> Result<Self, Report> {
        let (document, syntax_errors) = DeTable::parse_recoverable(source.text());
        if !syntax_errors.is_empty() {
            let diagnostics = syntax_errors.iter().map(syntax_diagnostic).collect();
            return Err(Report::new(source.clone(), diagnostics));
        }
        let mut errors = Vec::new();
        match read_document(&document, &mut errors) {
            Some(manifest) if errors.is_empty() => Ok(manifest),
            _ => Err(Report::new(source.clone(), errors)),
        }
    }
}

fn syntax_diagnostic(error: &toml::de::Error) -> Diagnostic {
    // The parser's message reads "what is wrong, expected this, that"; the first half is the title.
    let (title, label) = match error.message().split_once(", expected ") {
        Some((title, "nothing")) => (title, "not expected here".to_owned()),
        Some((title, expected)) => (title, format!("expected {expected}")),
        None => (error.message(), String::new()),
    };
    let diagnostic = Diagnostic::new(format!("this is not TOML: {title}"));
    match error.span() {
        Some(span) => diagnostic.at(span, label),
        None => diagnostic,
    }
}

fn read_document(document: &Spanned<DeTable<'_>>, errors: &mut Vec<Diagnostic>) -> Option<Manifest> {
    let mut root = Table::new(document.get_ref(), 0..0, "the manifest");

    if let Some(version) = root.required_string("schema_version", errors)
        && version.as_str() != SCHEMA_VERSION
    {
        let message = format!("schema version `{version}` is not supported");
        errors.push(Diagnostic::new(message).at(version.span(), format!("expected \"{SCHEMA_VERSION}\"")));
    }
    let module = root.required_table("module", errors).map(|table| read_module(table, errors));
    let topics = root.table("provides", errors).map(|table| read_provides(table, errors)).unwrap_or_default();
    let config = root.table("config", errors).map(|table| read_config(&table, errors)).unwrap_or_default();
    let types = root.table("types", errors).map(|table| read_types(&table, errors)).unwrap_or_default();
    let services = read_services(topics, root.table("services", errors).as_ref(), &types, errors);
    check_finite(&types, errors);
    root.finish(errors);

    let types = types.into_values().collect();
    Some(Manifest { module: module?, services, config, types })
}

fn read_module(mut table: Table<'_>, errors: &mut Vec<Diagnostic>) -> ModuleInfo {
    let name = table.required_string("name", errors);
    let version = table.required_string("version", errors);
    for (text, key) in [(&name, "name"), (&version, "version")] {
        // Both are parts of the module's id, `name:version/instance-001`.
        if let Some(text) = text
            && !is_id_part(text.as_str())
        {
            errors.push(
                Diagnostic::new(format!("`{key}` in [module] can't be part of a module's id"))
                    .at(text.span(), "expected ASCII letters, digits, `.`, `_`, `-` or `+`"),
            );
        }
    }
    let module = ModuleInfo {
        description: table.text("description", errors),
        author: table.text("author", errors),
        license: table.text("license", errors),
        runtime_targets: table.strings("runtime_targets", errors).iter().map(Name::to_string).collect(),
        version: version.map(|version| version.to_string()).unwrap_or_default(),
        name: name.unwrap_or_else(|| Name::new("", 0..0)),
    };
    table.finish(errors);
    module
}

fn is_id_part(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-+".contains(&byte))
}

fn read_provides(mut table: Table<'_>, errors: &mut Vec<Diagnostic>) -> BTreeMap<String, Name> {
    let mut topics = BTreeMap::<String, Name>::new();
    for topic in table.strings("services", errors) {
        if !topic.as_str().split('.').all(|part| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && is_name(part))
            || !topic.as_str().starts_with(|c: char| c.is_ascii_alphabetic())
        {
            errors.push(Diagnostic::new(format!("`{topic}` is not a topic")).at(
                topic.span(),
                "expected words of ASCII letters, digits, `_` and `-`, joined by dots, beginning with a letter",
            ));
        } else if let Some(first) = topics.get(topic.as_str()) {
            errors.push(
                Diagnostic::new(format!("the service `{topic}` is listed twice"))
                    .at(topic.span(), "listed again here")
                    .related(first.span(), "first listed here"),
            );
        } else {
            topics.insert(topic.to_string(), topic);
        }
    }
    table.finish(errors);
    topics
}

fn check_key(name: &Name, what: &str, errors: &mut Vec<Diagnostic>) {
    if !is_name(name.as_str()) || !name.as_str().starts_with(|c: char| c.is_ascii_alphabetic()) {
        errors.push(
            Diagnostic::new(format!("`{}` can't name {what}", name.as_str().escape_debug()))
                .at(name.span(), "expected ASCII letters, digits, `_` and `-`, beginning with a letter"),
        );
    }
}

fn read_config(table: &Table<'_>, errors: &mut Vec<Diagnostic>) -> Vec<ConfigKey> {
    table.entries().filter_map(|(name, value)| read_config_key(name, value, errors)).collect()
}

fn read_config_key(name: Name, value: &Spanned<DeValue<'_>>, errors: &mut Vec<Diagnostic>) -> Option<ConfigKey> {
    check_key(&name, "a config key", errors);
    let DeValue::Table(entries) = value.get_ref() else {
        errors.push(
            Diagnostic::new(format!("the config key `{name}` is not declared with a table"))
                .at(value.span(), expected("a table", value))
                .help(format!("write `{name} = {{ type = \"string\", default = \"…\" }}`")),
        );
        return None;
    };
    let mut table = Table::new(entries, name.span(), format!("the config key `{name}`"));
    let ty = table.required_string("type", errors);
    let default = table.value("default");
    let description = table.text("description", errors);
    table.finish(errors);

    let ty_name = ty?;
    let ty = read_type(&ty_name, errors)?;
    if let Some(named) = named_type(&ty) {
        errors.push(
            Diagnostic::new(format!("the config key `{name}` can't be of type `{named}`"))
                .at(ty_name.span(), format!("expected {}, a list of one, or one with `?`", list(BUILT_IN))),
        );
        return None;
    }
    if let (Type::Optional(inner), Some(default)) = (&ty, default) {
        errors.push(
            Diagnostic::new(format!("the config key `{name}` is optional and has a default"))
                .at(ty_name.span(), "says that there may be no value")
                .related(default.span(), "says that there always is one")
                .help(format!("remove the default, or write `type = \"{inner}\"`")),
        );
        return None;
    }
    let default = match default.map(|default| Value::read(default, &ty, &format!("the default of `{name}`"))) {
        None => None,
        Some(Ok(default)) => Some(default),
        Some(Err(error)) => {
            errors.push(error.related(ty_name.span(), "declared here"));
            return None;
        }
    };
    Some(ConfigKey { name, ty, default, description })
}

fn read_type(text: &Name, errors: &mut Vec<Diagnostic>) -> Option<Type> {
    shorthand::parse(text.as_str())
        .map_err(|reason| {
            errors.push(Diagnostic::new(format!("`{text}` is not a type")).at(text.span(), reason));
        })
        .ok()
}

/// The type of `[types]` that a type refers to, if it does.
fn named_type(ty: &Type) -> Option<&str> {
    match ty {
        Type::Named(name) => Some(name),
        Type::List(inner) | Type::Optional(inner) => named_type(inner),
        Type::String | Type::Integer | Type::Float | Type::Boolean | Type::Bytes => None,
    }
}

/// Reads `[types]`, and checks the references between them.
fn read_types(table: &Table<'_>, errors: &mut Vec<Diagnostic>) -> BTreeMap<String, TypeDefinition> {
    let names: Vec<Name> = table.entries().map(|(name, _)| name).collect();
    let declared = |name: &str| names.iter().any(|declared| declared.as_str() == name);
    let mut types = BTreeMap::new();
    for (name, value) in table.entries() {
        check_key(&name, "a type", errors);
        if BUILT_IN.contains(&name.as_str()) {
            errors
                .push(Diagnostic::new(format!("the type `{name}` is built in")).at(name.span(), "choose another name"));
        }
        let place = format!("the type `{name}`");
        let record = read_record(&name, value, &place, &declared, errors).unwrap_or_default();
        types.insert(name.to_string(), TypeDefinition { name, record });
    }
    types
}

fn read_record(
    name: &Name,
    value: &Spanned<DeValue<'_>>,
    place: &str,
    declared: &dyn Fn(&str) -> bool,
    errors: &mut Vec<Diagnostic>,
) -> Option<Record> {
    let DeValue::Table(entries) = value.get_ref() else {
        errors.push(
            Diagnostic::new(format!("{place} must be a table of fields")).at(value.span(), expected("a table", value)),
        );
        return None;
    };
    let table = Table::new(entries, name.span(), place);
    let fields = table.entries().filter_map(|(name, value)| read_field(name, value, place, declared, errors)).collect();
    Some(Record { fields })
}

fn read_field(
    name: Name,
    value: &Spanned<DeValue<'_>>,
    place: &str,
    declared: &dyn Fn(&str) -> bool,
    errors: &mut Vec<Diagnostic>,
) -> Option<Field> {
    check_key(&name, "a field", errors);
    let (ty, description) = match value.get_ref() {
        DeValue::String(text) => (Name::new(text.as_ref(), value.span()), None),
        DeValue::Table(entries) => {
            let mut table = Table::new(entries, name.span(), format!("the field `{name}` of {place}"));
            let ty = table.required_string("type", errors);
            let description = table.text("description", errors);
            table.finish(errors);
            (ty?, description)
        }
        _ => {
            errors.push(
                Diagnostic::new(format!("the field `{name}` of {place} has no type"))
                    .at(value.span(), expected("a type such as \"string\"", value)),
            );
            return None;
        }
    };
    let span = ty.span();
    let ty = read_type(&ty, errors)?;
    if let Some(named) = named_type(&ty)
        && !declared(named)
    {
        errors.push(unknown_type(named, span));
    }
    Some(Field { name, ty, description })
}

fn unknown_type(name: &str, span: Span) -> Diagnostic {
    Diagnostic::new(format!("there is no type `{name}`"))
        .at(span, format!("expected {}, or a type that is declared in [types]", list(BUILT_IN)))
}

fn list(names: impl IntoIterator<Item = &'static str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn read_services(
    mut topics: BTreeMap<String, Name>,
    table: Option<&Table<'_>>,
    types: &BTreeMap<String, TypeDefinition>,
    errors: &mut Vec<Diagnostic>,
) -> Vec<Service> {
    let mut services = Vec::new();
    for (key, value) in table.into_iter().flat_map(Table::entries) {
        let Some(topic) = topics.remove(key.as_str()) else {
            errors.push(not_provided(&key, &topics));
            continue;
        };
        let place = format!("[services.\"{topic}\"]");
        let DeValue::Table(entries) = value.get_ref() else {
            errors
                .push(Diagnostic::new(format!("{place} must be a table")).at(value.span(), expected("a table", value)));
            continue;
        };
        let mut table = Table::new(entries, key.span(), place);
        let request = table.value("request").and_then(|value| read_message(value, "request", &topic, types, errors));
        let response = table.value("response").and_then(|value| read_message(value, "response", &topic, types, errors));
        let description = table.text("description", errors);
        table.finish(errors);
        services.push(Service { topic, description, request, response });
    }
    services.extend(topics.into_values().map(|topic| Service {
        topic,
        description: None,
        request: None,
        response: None,
    }));
    services.sort_by(|a, b| a.topic.as_str().cmp(b.topic.as_str()));
    services
}

fn not_provided(key: &Name, topics: &BTreeMap<String, Name>) -> Diagnostic {
    let diagnostic =
        Diagnostic::new(format!("this module does not provide the service `{}`", key.as_str().escape_debug()))
            .at(key.span(), "expected a topic of [provides] services");
    // [services.orders.place] is the table `place` in the table `orders`.
    match topics.keys().find(|topic| topic.starts_with(&format!("{key}."))) {
        Some(topic) => diagnostic.help(format!("quote the topic, since it has dots: [services.\"{topic}\"]")),
        None => diagnostic,
    }
}

fn read_message(
    value: &Spanned<DeValue<'_>>,
    role: &str,
    topic: &Name,
    types: &BTreeMap<String, TypeDefinition>,
    errors: &mut Vec<Diagnostic>,
) -> Option<Message> {
    let place = format!("the {role} of `{topic}`");
    let DeValue::String(text) = value.get_ref() else {
        let name = Name::new(role, value.span());
        return read_record(&name, value, &place, &|name| types.contains_key(name), errors).map(Message::Inline);
    };
    let name = Name::new(text.as_ref(), value.span());
    match read_type(&name, errors)? {
        Type::Named(named) if types.contains_key(&named) => Some(Message::Named(Name::new(named, value.span()))),
        Type::Named(named) => {
            errors.push(unknown_type(&named, value.span()));
            None
        }
        _ => {
            errors.push(
                Diagnostic::new(format!("{place} must be a record"))
                    .at(value.span(), "expected the name of a type in [types], or a table of fields"),
            );
            None
        }
    }
}

/// Reports every record that holds itself without a list or an optional in between: no such value can exist.
fn check_finite(types: &BTreeMap<String, TypeDefinition>, errors: &mut Vec<Diagnostic>) {
    for definition in types.values() {
        let name = definition.name.as_str();
        let mut pending = vec![definition];
        let mut seen = Vec::new();
        while let Some(record) = pending.pop() {
            for field in &record.record.fields {
                let Type::Named(inner) = &field.ty else { continue };
                if inner == name {
                    errors.push(
                        Diagnostic::new(format!("the type `{name}` holds itself, so no value of it can exist"))
                            .at(field.name.span(), format!("holds `{name}` again"))
                            .related(definition.name.span(), "declared here")
                            .help("make the field optional (`?`) or a list (`[…]`)"),
                    );
                } else if let Some(inner) = types.get(inner)
                    && !seen.contains(&inner.name.as_str())
                {
                    seen.push(inner.name.as_str());
                    pending.push(inner);
                }
            }
        }
    }
}
