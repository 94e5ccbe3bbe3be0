//! Turns names in the manifest into names in Rust. All rules are here:
//!
//! - config keys, fields, methods, functions and Rust modules are `snake_case`; types, topics, cases, values and error
//!   codes are `CamelCase`; constants for topics are `SHOUTY_SNAKE_CASE`;
//! - a name that then is a Rust keyword gets `_` at its end, and one that begins with a digit gets `_` at its
//!   beginning;
//! - a type that is written in place is named after its place: `ConfigLogFormat`, `OrdersPlaceRequest`.
//!
//! Two names may become the same. `collisions` reports that as an error, so no name gets a suffix. It does so for imported
//! modules too, such as `a.b` and `a_b`, except for two whose names differ only in case, `-` and `_`:
//! `ixt_manifest::Imports` has refused those before.

use heck::{ToShoutySnakeCase as _, ToSnakeCase, ToUpperCamelCase};
use ixt_manifest::{Import, MessageType, Name};
use proc_macro2::{Ident, Span};

/// The keywords of all editions of Rust up to 2024, and `_`, which can't be a name either.
const KEYWORDS: &[&str] = &[
    "_", "Self", "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate", "do",
    "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop", "macro",
    "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct", "super",
    "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// The variant of an open enum or union for values and cases that the manifest does not list.
pub(crate) const UNKNOWN: &str = "Unknown";

/// The Rust field for a config key or a field of an object: `max_size`.
pub(crate) fn field(name: &Name) -> Ident {
    ident(name.as_str().to_snake_case())
}

/// The `CamelCase` name for a type of `[types]`, a topic, a case, a value of an enum, or the code of an error:
/// `OrdersPlace` for `orders.place`.
pub(crate) fn camel(name: &str) -> Ident {
    ident(name.to_upper_camel_case())
}

/// The method of `Handler` for a provided service, or the function of `client` or `publish` for a topic:
/// `orders_place`.
pub(crate) fn method(topic: &Name) -> Ident {
    ident(topic.as_str().to_snake_case())
}

/// The constant for a topic: `ORDERS_PLACE`.
pub(crate) fn constant(topic: &Name) -> Ident {
    ident(topic.as_str().to_shouty_snake_case())
}

/// The method of `Handler` for a required event: `on_orders_placed`.
pub(crate) fn event_method(topic: &Name) -> Ident {
    ident(format!("on_{}", topic.as_str().to_snake_case()))
}

/// The Rust module, within `client`, with the types of an imported manifest: [`import_name`].
///
/// # Panics
///
/// If that name is empty, which `collisions` reports before.
pub(crate) fn import(import: &Import) -> Ident {
    ident(import_name(import))
}

/// The name of an imported module in `snake_case`. Empty if it has no letter or digit.
pub(crate) fn import_name(import: &Import) -> String {
    import.manifest.module.name.as_str().to_snake_case()
}

/// What a message is for: the request or the response of a service, or the payload of an event.
#[derive(Clone, Copy)]
pub(crate) enum MessageRole {
    /// The request of a service.
    Request,
    /// The response of a service.
    Response,
    /// The payload of an event.
    Payload,
}

impl MessageRole {
    /// The end of the name of a message that is written in place.
    fn suffix(self) -> &'static str {
        match self {
            Self::Request => "Request",
            Self::Response => "Response",
            Self::Payload => "Payload",
        }
    }
}

/// The type of a declared message: that of `[types]`, or `<Topic>Request`, `<Topic>Response` or `<Topic>Payload` if its
/// fields are written in place, such as `OrdersPlaceRequest`.
pub(crate) fn message(topic: &Name, role: MessageRole, message: &MessageType) -> Ident {
    match message {
        MessageType::Named(name) => camel(name.as_str()),
        MessageType::Inline { .. } => ident(format!("{}{}", topic.as_str().to_upper_camel_case(), role.suffix())),
    }
}

/// The enum of the errors that a service declares: `<Topic>Error`.
pub(crate) fn errors(topic: &Name) -> Ident {
    ident(format!("{}Error", topic.as_str().to_upper_camel_case()))
}

/// The type that is written in place in the field `name` of the type `owner`, a Rust name: `<Owner><Name>`. For a case
/// `name`, which is a variant and no type, the owner of the types in its fields.
pub(crate) fn inline(owner: &str, name: &Name) -> String {
    format!("{owner}{}", name.as_str().to_upper_camel_case())
}

/// Makes a name that is in the right case a valid identifier, with `_` at its end or beginning if it needs one.
///
/// # Panics
///
/// If the name is empty, which it is for an imported module without a letter or digit in its name. All other names have
/// one.
fn ident(mut name: String) -> Ident {
    if KEYWORDS.contains(&name.as_str()) {
        name.push('_');
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    Ident::new(&name, Span::call_site())
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
