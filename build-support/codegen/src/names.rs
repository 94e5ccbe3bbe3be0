//! From the manifest's names to Rust's, and which of them collide. All of the rules are here:
//!
//! - config keys, fields and methods are `snake_case`; types, topics, cases and values are `CamelCase`;
//! - a Rust keyword gets a trailing `_`, and a name that begins with a digit a leading one;
//! - a type that is written in place is called after where that is: `ConfigLogFormat`, `OrdersPlaceRequest`;
//! - two names that become the same Rust name are an error that shows both, and so is one that becomes the name of
//!   something that is generated anyway. There is no silent suffix.

use std::collections::HashMap;

use heck::{ToShoutySnakeCase as _, ToSnakeCase, ToUpperCamelCase};
use ixt_manifest::{Code, Diagnostic, EnumValue, Field, Import, Manifest, Message, Name};
use proc_macro2::{Ident, Span};

use crate::items::{Item, Items};

/// Every word that is a keyword in some edition, and `_`, which is no name.
const KEYWORDS: &[&str] = &[
    "_", "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super",
    "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Types that are generated for every module.
const ITEMS: &[&str] = &["Config", "Handler", "Topic"];
/// Associated constants of `Topic`, which share a namespace with its variants.
const TOPIC_ITEMS: &[&str] = &["ALL"];
/// Methods that every `Handler` has.
const METHODS: &[&str] = &["health_check", "init", "shutdown"];
/// The variant of an open enum or union for what it doesn't know.
pub(crate) const UNKNOWN: &str = "Unknown";

/// The name of a config key's or a record's field.
pub(crate) fn field(name: &Name) -> Ident {
    ident(name.as_str().to_snake_case())
}

/// A name in `CamelCase`: of a type, a topic's variant, a case or a value of an enum.
pub(crate) fn camel(name: &str) -> Ident {
    ident(name.to_upper_camel_case())
}

/// The name of a topic's method, or of the function that calls it.
pub(crate) fn method(topic: &Name) -> Ident {
    ident(topic.as_str().to_snake_case())
}

/// The name of the constant for a topic.
pub(crate) fn constant(topic: &Name) -> Ident {
    ident(topic.as_str().to_shouty_snake_case())
}

/// The name of the method for a required event.
pub(crate) fn event_method(topic: &Name) -> Ident {
    ident(format!("on_{}", topic.as_str().to_snake_case()))
}

/// The name of the module with the types of another module's manifest.
pub(crate) fn import(import: &Import) -> Ident {
    ident(import.manifest.module.name.as_str().to_snake_case())
}

/// What a message is.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Request,
    Response,
    Payload,
}

impl Role {
    fn suffix(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Response => "Response",
            Self::Payload => "Payload",
        }
    }
}

/// The name of the type of a declared message: its own, or `<Topic>Request` where its fields are written in place.
pub(crate) fn message(topic: &Name, role: Role, message: &Message) -> Ident {
    match message {
        Message::Named(name) => camel(name.as_str()),
        Message::Inline { .. } => ident(format!("{}{}", topic.as_str().to_upper_camel_case(), role.suffix())),
    }
}

/// The name of the enum of a service's own errors.
pub(crate) fn errors(topic: &Name) -> Ident {
    ident(format!("{}Error", topic.as_str().to_upper_camel_case()))
}

/// The name of a type that is written in place, in a field or a case of the type `owner`.
pub(crate) fn inline(owner: &str, name: &Name) -> String {
    format!("{owner}{}", name.as_str().to_upper_camel_case())
}

fn ident(mut name: String) -> Ident {
    if KEYWORDS.contains(&name.as_str()) {
        name.push('_');
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    Ident::new(&name, Span::call_site())
}

/// Finds every pair of names that can't stand side by side in the generated code.
pub(crate) fn check(manifest: &Manifest, items: &Items<'_>) -> Vec<Diagnostic> {
    let mut collisions = Vec::new();

    check_fields("a field of `Config`", &manifest.config, &mut collisions);

    let mut methods = Scope::new("a method of `Handler`", METHODS);
    let mut variants = Scope::new("a variant of `Topic`", TOPIC_ITEMS);
    for service in &manifest.services {
        // Topics that collide mostly collide in both; one report is enough.
        if methods.add(method(&service.topic), &service.topic, &mut collisions) {
            variants.add(camel(service.topic.as_str()), &service.topic, &mut collisions);
        }
    }
    for topic in &manifest.requires.events {
        methods.add(event_method(topic), topic, &mut collisions);
    }
    let mut clients = Scope::new("a function of `client`", &[]);
    for topic in &manifest.requires.services {
        clients.add(method(topic), topic, &mut collisions);
    }
    let mut publishers = Scope::new("a function of `publish`", &[]);
    for event in &manifest.events {
        publishers.add(method(&event.topic), &event.topic, &mut collisions);
    }

    check_items(items, ITEMS, &mut collisions);
    collisions
}

/// The same for the types of another module's manifest.
pub(crate) fn check_imported(items: &Items<'_>) -> Vec<Diagnostic> {
    let mut collisions = Vec::new();
    check_items(items, &[], &mut collisions);
    collisions
}

fn check_items(items: &Items<'_>, generated: &'static [&'static str], collisions: &mut Vec<Diagnostic>) {
    let mut types = Scope::new("a type", generated);
    for (ident, item, name) in items.iter() {
        types.add(ident.clone(), name, collisions);
        match item {
            Item::Record { fields, .. } => check_fields("a field of one struct", fields, collisions),
            Item::Enum { values, open, .. } => check_values(values, *open, collisions),
            Item::Union { cases, open, .. } => {
                let mut scope = Scope::new("a variant of one enum", if *open { &[UNKNOWN] } else { &[] });
                for case in *cases {
                    scope.add(camel(case.name.as_str()), &case.name, collisions);
                    if let Message::Inline { fields, .. } = &case.content {
                        check_fields("a field of one variant", fields, collisions);
                    }
                }
            }
            Item::Errors { service } => {
                let mut scope = Scope::new("a variant of one enum", &[]);
                for error in &service.errors {
                    scope.add(camel(error.code.as_str()), &error.code, collisions);
                }
            }
            Item::Newtype { .. } => {}
        }
    }
}

fn check_fields(kind: &'static str, fields: &[Field], collisions: &mut Vec<Diagnostic>) {
    let mut scope = Scope::new(kind, &[]);
    for declared in fields {
        scope.add(field(&declared.name), &declared.name, collisions);
    }
}

fn check_values(values: &[EnumValue], open: bool, collisions: &mut Vec<Diagnostic>) {
    let mut scope = Scope::new("a variant of one enum", if open { &[UNKNOWN, "ALL"] } else { &["ALL"] });
    for value in values {
        scope.add(camel(value.name.as_str()), &value.name, collisions);
    }
}

/// The names of one kind that stand side by side.
struct Scope<'a> {
    kind: &'static str,
    generated: &'static [&'static str],
    taken: HashMap<Ident, &'a Name>,
}

impl<'a> Scope<'a> {
    fn new(kind: &'static str, generated: &'static [&'static str]) -> Self {
        Self { kind, generated, taken: HashMap::new() }
    }

    /// False if the name collides.
    fn add(&mut self, ident: Ident, name: &'a Name, collisions: &mut Vec<Diagnostic>) -> bool {
        if let Some(generated) = self.generated.iter().find(|generated| ident == **generated) {
            collisions.push(
                Diagnostic::new(
                    Code::ReservedName,
                    format!("`{name}` becomes `{generated}`, which is generated anyway"),
                )
                .at(name.span(), format!("can't be the name of {}", self.kind))
                .help("choose another name"),
            );
            return false;
        }
        if let Some(other) = self.taken.get(&ident) {
            collisions.push(
                Diagnostic::new(
                    Code::NameCollision,
                    format!("`{other}` and `{name}` both become `{ident}`, as {}", self.kind),
                )
                .at(name.span(), format!("becomes `{ident}` in Rust"))
                .related(other.span(), format!("becomes `{ident}` too"))
                .help("rename one of them"),
            );
            return false;
        }
        self.taken.insert(ident, name);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_keyword_gets_an_underscore() {
        for keyword in KEYWORDS {
            assert_eq!(ident((*keyword).to_owned()).to_string(), format!("{keyword}_"));
        }
    }

    #[test]
    fn names_become_rusts() {
        for (name, method, variant) in [
            ("my.service.process", "my_service_process", "MyServiceProcess"),
            ("orders.place-now", "orders_place_now", "OrdersPlaceNow"),
            ("v2.2fa", "v2_2fa", "V22fa"),
            ("HTTPServer.getURL", "http_server_get_url", "HttpServerGetUrl"),
            ("application/json", "application_json", "ApplicationJson"),
            ("3-d", "_3_d", "_3D"),
            ("self", "self_", "Self_"),
        ] {
            assert_eq!(ident(name.to_snake_case()), method);
            assert_eq!(camel(name), variant);
        }
    }
}
