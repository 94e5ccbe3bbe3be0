//! Reads `[provides]`, `[requires]`, `[services]` and `[events]`: what is provided and required, by topic. Whether a required topic
//! is declared somewhere is checked in `import`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::enum_values::Described;
use super::node::{self, Node, distinct_strings, wrong_kind};
use super::shorthand::is_name;
use super::table_reader::TableReader;
use super::{ManifestReader, Types};
use crate::check;
use crate::diagnostic::{Code, Diagnostic};
use crate::language::{BUILT_IN_ERROR_CODES, ERROR, EVENT, PROVIDES, REQUIRES, SERVICE, TableSpec};
use crate::model::{ErrorCode, ImportEntry, Name, ProvidedEvent, ProvidedService, Requires};
use crate::suggest::closest;

/// The topics of one list, each with its place, sorted. A text that is not a topic is not among them.
type Topics = BTreeMap<String, Name>;

impl ManifestReader<'_> {
    /// `[provides]`: the topics of its services and of its events. Both are empty without the table.
    pub(super) fn provides(&mut self, root: &TableReader<'_>) -> (Topics, Topics) {
        let Some(table) = root.table("provides", &PROVIDES, &mut self.errors) else { return Default::default() };
        (self.topics(&table, "services"), self.topics(&table, "events"))
    }

    /// `[requires]`. Without the table nothing is required, and [`Requires::declared`] is false. An entry of `[requires.from]` that is no
    /// string is left out and reported; the others are not checked here.
    pub(super) fn requires(&mut self, root: &TableReader<'_>) -> Requires {
        let Some(table) = root.table("requires", &REQUIRES, &mut self.errors) else { return Requires::default() };
        let services = self.topics(&table, "services").into_values().collect();
        let events = self.topics(&table, "events").into_values().collect();
        let mut from = Vec::new();
        for (name, node) in table.entries("from", &mut self.errors) {
            let wrong = || wrong_kind(&format!("`{name}` in [requires.from]"), node, "the path of a manifest");
            match node.get_ref() {
                DeValue::String(path) => from.push(ImportEntry { name, path: Name::new(path.as_ref(), node.span()) }),
                // Without quotes, `notifications.send = "…"` is the table `send` in the table `notifications`.
                DeValue::Table(nested) if nested.values().all(|value| value.get_ref().is_str()) => {
                    let help = "quote a topic, since it has dots: `\"notifications.send\" = \"…\"`";
                    self.errors.push(wrong().help(help));
                }
                _ => self.errors.push(wrong()),
            }
        }
        Requires { declared: true, services, events, from }
    }

    /// The topics in the array at `key`. A text that is not a topic, or is listed twice, is left out and reported.
    fn topics(&mut self, table: &TableReader<'_>, key: &'static str) -> Topics {
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

    /// A service for each of the provided `topics`, with what `[services]` says about it. Sorted by topic. One whose entry in
    /// `[services]` is no table is left out; that is reported.
    pub(super) fn services(
        &mut self,
        root: &TableReader<'_>,
        mut topics: Topics,
        types: &Types,
    ) -> Vec<ProvidedService> {
        let mut services = Vec::new();
        for (topic, table) in self.topic_tables(root, "services", &SERVICE, &mut topics) {
            let [request, response] = ["request", "response"].map(|role| {
                let subject = format!("the {role} of `{topic}`");
                let message = self.message(&table, role, &subject);
                check::check_object(message.as_ref(), &subject, types, &mut self.errors);
                message
            });
            let ttl_ms = table.integer("ttl_ms", &mut self.errors);
            if ttl_ms == Some(0) {
                let message = format!("`ttl_ms` of `{topic}` leaves no time");
                let error = Diagnostic::new(Code::InvalidValue, message);
                self.errors.push(error.at(table.value_span("ttl_ms"), "expected at least 1"));
            }
            services.push(ProvidedService {
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
        services.extend(topics.into_values().map(|topic| ProvidedService {
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

    /// An event for each of the provided `topics`, with what `[events]` says about it. Sorted by topic. One whose entry in `[events]` is
    /// no table is left out; that is reported.
    pub(super) fn events(&mut self, root: &TableReader<'_>, mut topics: Topics, types: &Types) -> Vec<ProvidedEvent> {
        let mut events = Vec::new();
        for (topic, table) in self.topic_tables(root, "events", &EVENT, &mut topics) {
            let subject = format!("the payload of `{topic}`");
            let payload = self.message(&table, "payload", &subject);
            check::check_object(payload.as_ref(), &subject, types, &mut self.errors);
            events.push(ProvidedEvent {
                payload,
                description: table.text("description", &mut self.errors),
                deprecated: table.deprecated(&mut self.errors),
                durable: table.boolean("durable", &mut self.errors) == Some(true),
                topic,
            });
        }
        let plain = |topic| ProvidedEvent { topic, description: None, deprecated: None, payload: None, durable: false };
        events.extend(topics.into_values().map(plain));
        events.sort_by(|a, b| a.topic.as_str().cmp(b.topic.as_str()));
        events
    }

    /// The tables of `section`, which is `services` or `events`, each with its topic, which is taken out of the provided `topics`. A table
    /// for a topic that is not provided, and a value that is not a table, are left out and reported; the topic of such a value is taken
    /// out too. The place of a topic is that in `[provides]`.
    fn topic_tables<'a>(
        &mut self,
        root: &TableReader<'a>,
        section: &'static str,
        spec: &'static TableSpec,
        topics: &mut Topics,
    ) -> Vec<(Name, TableReader<'a>)> {
        let entries = root.entries(section, &mut self.errors).into_iter();
        entries
            .filter_map(|(key, node)| {
                let topic = self.provided(&key, node, section.trim_end_matches('s'), topics)?;
                let subject = format!("[{section}.\"{topic}\"]");
                let DeValue::Table(entries) = node.get_ref() else {
                    self.errors.push(wrong_kind(&subject, node, "a table"));
                    return None;
                };
                let table = TableReader::new(entries, &key.span(), subject, spec, &mut self.errors);
                Some((topic, table))
            })
            .collect()
    }

    /// Takes the topic that `key` names out of the provided `topics`; `what` is "service" or "event". `None` if it is not among them, which
    /// is reported.
    fn provided(&mut self, key: &Name, node: Node<'_>, what: &str, topics: &mut Topics) -> Option<Name> {
        if let Some(topic) = topics.remove(key.as_str()) {
            return Some(topic);
        }
        let message = format!("this module does not provide the {what} `{}`", key.as_str().escape_debug());
        let error = Diagnostic::new(Code::NotProvided, message)
            .at(key.span(), format!("expected a topic of `{what}s` in [provides]"));
        // Without quotes, [services.orders.place] is the table `place` in the table `orders`.
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

    /// The errors of a service, sorted by code. Empty if it declares none. A code that is wrong or built in is reported, and is in the
    /// result. An item that is no string or is there twice, and a code whose value is neither a description nor a table, are reported
    /// and left out.
    fn error_codes(&mut self, table: &TableReader<'_>, topic: &Name) -> Vec<ErrorCode> {
        let Some(node) = table.get("errors") else { return Vec::new() };
        let subject = format!("`errors` of `{topic}`");
        let mut codes: Vec<_> = match node.get_ref() {
            DeValue::Array(items) => distinct_strings(items.iter(), &subject, &mut self.errors)
                .into_iter()
                .map(|code| ErrorCode { code, description: None, deprecated: None, retryable: false })
                .collect(),
            DeValue::Table(entries) => {
                let entries = node::entries(entries).into_iter();
                entries.filter_map(|(code, node)| self.error_code(code, node, &subject)).collect()
            }
            _ => {
                self.errors.push(wrong_kind(&subject, node, "an array of codes, or a table"));
                return Vec::new();
            }
        };
        for ErrorCode { code, .. } in &codes {
            let text = code.as_str();
            if BUILT_IN_ERROR_CODES.contains(&text) {
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

    /// An error whose value is a description or a table. `None` if it is neither, which is reported.
    fn error_code(&mut self, code: Name, node: Node<'_>, subject: &str) -> Option<ErrorCode> {
        let subject = format!("`{code}` in {subject}");
        let Described { description, deprecated, table } = self.described(&code, node, &subject, &ERROR)?;
        let retryable = table.and_then(|table| table.boolean("retryable", &mut self.errors));
        Some(ErrorCode { code, description, deprecated, retryable: retryable == Some(true) })
    }
}

/// Whether a text is a topic: one or more words ([`is_name`]) joined by dots. The first word begins with a letter, each other one with a
/// letter or a digit.
fn is_topic(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.split('.').all(|word| word.starts_with(|c: char| c.is_ascii_alphanumeric()) && is_name(word))
}
