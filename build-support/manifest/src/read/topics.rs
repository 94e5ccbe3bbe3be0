//! What the module provides and requires: services and events, by their topics.

use std::collections::BTreeMap;

use toml::de::DeValue;

use crate::language::{ERROR, EVENT, PROVIDES, REQUIRES, SERVICE};
use crate::model::{ErrorCode, Event, From, Name, Requires, Service, TypeDefinition};
use crate::read::fields::Reader;
use crate::read::shorthand::is_name;
use crate::read::table_reader::{self as table, Node, Table, wrong_kind};
use crate::suggest::closest;
use crate::{Code, Diagnostic};

/// The codes that every service can answer with (protocol).
const BUILT_IN_CODES: [&str; 12] = [
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "FAILED_PRECONDITION",
    "INTERNAL",
    "INVALID_INPUT",
    "NOT_FOUND",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "UNAVAILABLE",
    "UNIMPLEMENTED",
    "UNKNOWN_TOPIC",
];

/// The topics of one list, sorted.
pub(crate) type Topics = BTreeMap<String, Name>;

impl<'a> Reader<'a> {
    /// `[provides]`: its services and its events.
    pub(crate) fn provides(&mut self, root: &Table<'a>) -> (Topics, Topics) {
        let Some(table) = root.table("provides", &PROVIDES, &mut self.errors) else { return Default::default() };
        (self.topics(&table, "services"), self.topics(&table, "events"))
    }

    /// `[requires]`.
    pub(crate) fn requires(&mut self, root: &Table<'a>) -> Requires {
        let Some(table) = root.table("requires", &REQUIRES, &mut self.errors) else { return Requires::default() };
        let services = self.topics(&table, "services").into_values().collect();
        let events = self.topics(&table, "events").into_values().collect();
        let mut from = Vec::new();
        for (name, node) in table.entries("from", &mut self.errors) {
            match node.get_ref() {
                DeValue::String(path) => from.push(From { name, path: Name::new(path.as_ref(), node.span()) }),
                DeValue::Table(nested) if nested.values().all(|value| value.get_ref().is_str()) => {
                    // [requires.from] notifications.send = "…" is the table `send` in the table `notifications`.
                    let error = wrong_kind(&format!("`{name}` in [requires.from]"), node, "the path of a manifest");
                    self.errors.push(error.help("quote a topic, since it has dots: `\"notifications.send\" = \"…\"`"));
                }
                _ => {
                    let error = wrong_kind(&format!("`{name}` in [requires.from]"), node, "the path of a manifest");
                    self.errors.push(error);
                }
            }
        }
        Requires { declared: true, services, events, from }
    }

    fn topics(&mut self, table: &Table<'a>, key: &'static str) -> Topics {
        let mut topics = Topics::new();
        for topic in table.strings(key, &mut self.errors) {
            if is_topic(topic.as_str()) {
                topics.insert(topic.to_string(), topic);
            } else {
                let message = format!("`{}` is not a topic", topic.as_str().escape_debug());
                self.errors.push(Diagnostic::new(Code::InvalidName, message).at(
                    topic.span(),
                    "expected words of ASCII letters, digits, `_` and `-`, joined by dots, beginning with a letter",
                ));
            }
        }
        topics
    }

    /// `[services]`, for the topics that are provided.
    pub(crate) fn services(
        &mut self,
        root: &Table<'a>,
        mut topics: Topics,
        types: &BTreeMap<String, TypeDefinition>,
    ) -> Vec<Service> {
        let mut services = Vec::new();
        for (key, node) in root.entries("services", &mut self.errors) {
            let Some(topic) = self.provided(&key, node, "service", &mut topics) else { continue };
            let place = format!("[services.\"{topic}\"]");
            let DeValue::Table(entries) = node.get_ref() else {
                self.errors.push(wrong_kind(&place, node, "a table"));
                continue;
            };
            let table = Table::new(entries, &key.span(), place, &SERVICE, &mut self.errors);
            let [request_place, response_place] =
                ["request", "response"].map(|role| format!("the {role} of `{topic}`"));
            let request = self.message(&table, "request", &request_place);
            let response = self.message(&table, "response", &response_place);
            self.check_message(request.as_ref(), &request_place, types);
            self.check_message(response.as_ref(), &response_place, types);
            let ttl_ms = table.integer("ttl_ms", &mut self.errors);
            if ttl_ms == Some(0) {
                let span = table.get("ttl_ms").map(toml::Spanned::span).unwrap_or_default();
                let message = format!("`ttl_ms` of `{topic}` leaves no time");
                self.errors.push(Diagnostic::new(Code::InvalidValue, message).at(span, "expected at least 1"));
            }
            services.push(Service {
                request,
                response,
                ttl_ms,
                errors: self.error_codes(&table, &topic),
                description: table.text("description", &mut self.errors),
                deprecated: table.deprecated(&mut self.errors),
                idempotent: table.boolean("idempotent", &mut self.errors) == Some(true),
                blocking: table.boolean("blocking", &mut self.errors) == Some(true),
                topic,
            });
        }
        services.extend(topics.into_values().map(|topic| Service {
            topic,
            description: None,
            deprecated: None,
            request: None,
            response: None,
            errors: Vec::new(),
            ttl_ms: None,
            idempotent: false,
            blocking: false,
        }));
        services.sort_by(|a, b| a.topic.as_str().cmp(b.topic.as_str()));
        services
    }

    /// `[events]`, for the topics that are provided.
    pub(crate) fn events(
        &mut self,
        root: &Table<'a>,
        mut topics: Topics,
        types: &BTreeMap<String, TypeDefinition>,
    ) -> Vec<Event> {
        let mut events = Vec::new();
        for (key, node) in root.entries("events", &mut self.errors) {
            let Some(topic) = self.provided(&key, node, "event", &mut topics) else { continue };
            let place = format!("[events.\"{topic}\"]");
            let DeValue::Table(entries) = node.get_ref() else {
                self.errors.push(wrong_kind(&place, node, "a table"));
                continue;
            };
            let table = Table::new(entries, &key.span(), place, &EVENT, &mut self.errors);
            let payload_place = format!("the payload of `{topic}`");
            let payload = self.message(&table, "payload", &payload_place);
            self.check_message(payload.as_ref(), &payload_place, types);
            events.push(Event {
                payload,
                description: table.text("description", &mut self.errors),
                deprecated: table.deprecated(&mut self.errors),
                durable: table.boolean("durable", &mut self.errors) == Some(true),
                topic,
            });
        }
        let plain = |topic| Event { topic, description: None, deprecated: None, payload: None, durable: false };
        events.extend(topics.into_values().map(plain));
        events.sort_by(|a, b| a.topic.as_str().cmp(b.topic.as_str()));
        events
    }

    /// Takes a topic out of those that are provided.
    fn provided(&mut self, key: &Name, node: Node<'a>, what: &str, topics: &mut Topics) -> Option<Name> {
        if let Some(topic) = topics.remove(key.as_str()) {
            return Some(topic);
        }
        let message = format!("this module does not provide the {what} `{}`", key.as_str().escape_debug());
        let error = Diagnostic::new(Code::NotProvided, message)
            .at(key.span(), format!("expected a topic of `{what}s` in [provides]"));
        // [services.orders.place] is the table `place` in the table `orders`.
        let nested = node.get_ref().as_table().and_then(|table| table.keys().next());
        let whole = nested.map(|nested| format!("{key}.{}", nested.get_ref()));
        self.errors.push(
            match topics.keys().find(|topic| whole.as_ref().is_some_and(|whole| topic.starts_with(whole))) {
                Some(topic) => error.help(format!("quote the topic, since it has dots: [{what}s.\"{topic}\"]")),
                None => error.suggest(closest(key.as_str(), topics.keys().map(String::as_str))),
            },
        );
        None
    }

    fn error_codes(&mut self, table: &Table<'a>, topic: &Name) -> Vec<ErrorCode> {
        let Some(node) = table.get("errors") else { return Vec::new() };
        let place = format!("`errors` of `{topic}`");
        let mut codes: Vec<_> = match node.get_ref() {
            DeValue::Array(items) => table::strings(items.iter(), &place, &mut self.errors)
                .into_iter()
                .map(|code| ErrorCode { code, description: None, deprecated: None, retryable: false })
                .collect(),
            DeValue::Table(entries) => {
                let entries = table::entries(entries).into_iter();
                entries.filter_map(|(code, node)| self.error_code(code, node, &place)).collect()
            }
            _ => {
                self.errors.push(wrong_kind(&place, node, "an array of codes, or a table"));
                return Vec::new();
            }
        };
        for ErrorCode { code, .. } in &codes {
            let text = code.as_str();
            if BUILT_IN_CODES.contains(&text) {
                let message = format!("every service can answer `{text}`");
                self.errors.push(
                    Diagnostic::new(Code::ReservedName, message)
                        .at(code.span(), "")
                        .help("remove it, or choose another name"),
                );
            } else if !text.starts_with(|c: char| c.is_ascii_uppercase())
                || !text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
            {
                let message = format!("`{}` can't be the code of an error", text.escape_debug());
                let upper = text.to_ascii_uppercase().replace(['-', ' ', '.'], "_");
                self.errors.push(
                    Diagnostic::new(Code::InvalidName, message)
                        .at(code.span(), "expected upper-case ASCII letters, digits and `_`, beginning with a letter")
                        .suggest((upper != text && is_name(&upper)).then_some(upper.as_str())),
                );
            }
        }
        codes.sort_by(|a, b| a.code.as_str().cmp(b.code.as_str()));
        codes
    }

    fn error_code(&mut self, code: Name, node: Node<'a>, place: &str) -> Option<ErrorCode> {
        let place = format!("`{code}` in {place}");
        let (description, deprecated) = self.described(&code, node, &place, &ERROR)?;
        let retryable = match node.get_ref() {
            // Its keys were checked just now.
            DeValue::Table(entries) => {
                Table::new(entries, &code.span(), place, &ERROR, &mut Vec::new()).boolean("retryable", &mut self.errors)
            }
            _ => None,
        };
        Some(ErrorCode { code, description, deprecated, retryable: retryable == Some(true) })
    }
}

/// Words joined by dots.
fn is_topic(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('.').all(|word| word.starts_with(|c: char| c.is_ascii_alphanumeric()) && is_name(word))
}
