//! From the manifest's names to Rust's, and which of them collide. All of the rules are here:
//!
//! - config keys, fields and methods are `snake_case`; types and topics are `CamelCase`;
//! - a Rust keyword gets a trailing `_`;
//! - two names that become the same Rust name are an error that shows both, and so is one that becomes the name of
//!   something that is generated anyway. There is no silent suffix.

use std::collections::BTreeMap;

use heck::{ToSnakeCase, ToUpperCamelCase};
use ixt_manifest::{Diagnostic, Manifest, Message, Name, Record, Service};
use proc_macro2::{Ident, Span};

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

/// The name of a config key's or a record's field.
pub(crate) fn field(name: &Name) -> Ident {
    ident(name.as_str().to_snake_case())
}

/// The name of the struct for a type of `[types]`.
pub(crate) fn type_name(name: &str) -> Ident {
    ident(name.to_upper_camel_case())
}

/// The name of a topic's variant.
pub(crate) fn variant(topic: &Name) -> Ident {
    ident(topic.as_str().to_upper_camel_case())
}

/// The name of a topic's method.
pub(crate) fn method(topic: &Name) -> Ident {
    ident(topic.as_str().to_snake_case())
}

/// Which of a service's messages is meant.
#[derive(Clone, Copy)]
pub(crate) enum Role {
    Request,
    Response,
}

/// The name of the struct for a declared message: its type's, or `<Topic>Request` where its fields are written in place.
pub(crate) fn message(service: &Service, role: Role, message: &Message) -> Ident {
    let topic = service.topic.as_str().to_upper_camel_case();
    match (message, role) {
        (Message::Named(name), _) => type_name(name.as_str()),
        (Message::Inline(_), Role::Request) => ident(format!("{topic}Request")),
        (Message::Inline(_), Role::Response) => ident(format!("{topic}Response")),
    }
}

fn ident(mut name: String) -> Ident {
    if KEYWORDS.contains(&name.as_str()) {
        name.push('_');
    }
    Ident::new(&name, Span::call_site())
}

/// Finds every pair of names that can't stand side by side in the generated code.
pub(crate) fn check(manifest: &Manifest) -> Vec<Diagnostic> {
    let mut collisions = Vec::new();

    let mut fields = Scope::new("a field of `Config`", &[]);
    for key in &manifest.config {
        fields.add(field(&key.name), &key.name, &mut collisions);
    }

    let mut methods = Scope::new("a method of `Handler`", METHODS);
    let mut variants = Scope::new("a variant of `Topic`", TOPIC_ITEMS);
    for service in &manifest.services {
        // Topics that collide mostly collide in both; one report is enough.
        if methods.add(method(&service.topic), &service.topic, &mut collisions) {
            variants.add(variant(&service.topic), &service.topic, &mut collisions);
        }
    }

    let mut types = Scope::new("a type", ITEMS);
    for definition in &manifest.types {
        types.add(type_name(definition.name.as_str()), &definition.name, &mut collisions);
        check_record(&definition.record, &mut collisions);
    }
    for service in &manifest.services {
        for (role, declared) in [(Role::Request, &service.request), (Role::Response, &service.response)] {
            if let Some(declared @ Message::Inline(record)) = declared {
                types.add(message(service, role, declared), &service.topic, &mut collisions);
                check_record(record, &mut collisions);
            }
        }
    }
    collisions
}

fn check_record(record: &Record, collisions: &mut Vec<Diagnostic>) {
    let mut fields = Scope::new("a field of one struct", &[]);
    for declared in &record.fields {
        fields.add(field(&declared.name), &declared.name, collisions);
    }
}

/// The names of one kind that stand side by side.
struct Scope<'a> {
    kind: &'static str,
    generated: &'static [&'static str],
    taken: BTreeMap<Ident, &'a Name>,
}

impl<'a> Scope<'a> {
    fn new(kind: &'static str, generated: &'static [&'static str]) -> Self {
        Self { kind, generated, taken: BTreeMap::new() }
    }

    /// False if the name collides.
    fn add(&mut self, ident: Ident, name: &'a Name, collisions: &mut Vec<Diagnostic>) -> bool {
        if let Some(generated) = self.generated.iter().find(|generated| ident == **generated) {
            collisions.push(
                Diagnostic::new(format!("`{name}` becomes `{generated}`, which every module has"))
                    .at(name.span(), format!("can't be the name of {}", self.kind))
                    .help("choose another name"),
            );
            return false;
        }
        if let Some(other) = self.taken.get(&ident) {
            collisions.push(
                Diagnostic::new(format!("`{other}` and `{name}` both become `{ident}`, as {}", self.kind))
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
    fn topics_become_methods_and_variants() {
        for (topic, method, variant) in [
            ("my.service.process", "my_service_process", "MyServiceProcess"),
            ("orders.place-now", "orders_place_now", "OrdersPlaceNow"),
            ("v2.2fa", "v2_2fa", "V22fa"),
            ("HTTPServer.getURL", "http_server_get_url", "HttpServerGetUrl"),
        ] {
            assert_eq!(topic.to_snake_case(), method);
            assert_eq!(topic.to_upper_camel_case(), variant);
        }
    }
}
