//! Compares the services and events that are provided: those that were added or removed, their properties, and their messages. What
//! is required is compared in `mod`.

use super::{Comparison, Direction, Spans, Subject, pair_up};
use crate::diagnostic::ChangeRule;
use crate::model::{Deprecated, MessageType, ProvidedService};

/// What a message is for. A request is input, a response and a payload are output.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Request,
    Response,
    Payload,
}

impl<'m> Comparison<'m> {
    /// Compares the provided services, by their topics: a renamed one is removed and added.
    pub(super) fn services(&mut self) {
        let services = pair_up(&self.old.1.services, &self.new.1.services, |service| service.topic.as_str());
        for service in services.removed {
            let message = format!("the service `{}` is gone", service.topic);
            self.removed(ChangeRule::ServiceRemoved, message, service.topic.span());
        }
        for service in services.added {
            self.added(
                ChangeRule::ServiceAdded,
                format!("the service `{}` is new", service.topic),
                service.topic.span(),
            );
        }
        for (old, new) in services.kept {
            self.service(old, new);
        }
    }

    /// Compares a service that is in both manifests: its deprecation, `idempotent`, `ttl_ms`, the codes of its errors, and its
    /// messages. `blocking` is not compared: only the module's own code depends on it.
    fn service(&mut self, old: &'m ProvidedService, new: &'m ProvidedService) {
        let topic = &new.topic;
        let spans = Spans { old: old.topic.span(), new: new.topic.span() };
        let subject = format!("the service `{topic}`");
        self.deprecation(&subject, old.deprecated.as_ref(), new.deprecated.as_ref(), &spans);
        let broken = format!("the same request to `{topic}` twice does more now than once");
        let made = format!("the same request to `{topic}` may be sent twice now");
        self.promise((old.idempotent, new.idempotent), [broken, made], &spans);
        if old.ttl_ms != new.ttl_ms {
            let shown = |ttl: Option<u64>| ttl.map_or("none".to_owned(), |ttl| format!("{ttl} ms"));
            let message =
                format!("the default timeout of `{topic}` is {} now, and was {}", shown(new.ttl_ms), shown(old.ttl_ms));
            self.changed(ChangeRule::TtlChanged, message, &spans);
        }
        let errors = pair_up(&old.errors, &new.errors, |error| error.code.as_str());
        for error in errors.removed {
            let message = format!("`{topic}` does not answer `{}` any more", error.code);
            self.removed_from(ChangeRule::ErrorsChanged, message, error.code.span(), spans.new.clone());
        }
        for error in errors.added {
            let message = format!("`{topic}` can answer `{}` now", error.code);
            self.added_to(ChangeRule::ErrorsChanged, message, spans.old.clone(), error.code.span());
        }
        let subject = format!("the request of `{topic}`");
        self.message(subject, Role::Request, (old.request.as_ref(), new.request.as_ref()), &spans);
        let subject = format!("the response of `{topic}`");
        self.message(subject, Role::Response, (old.response.as_ref(), new.response.as_ref()), &spans);
    }

    /// Compares the provided events, by their topics: their deprecation, `durable`, and their payloads.
    pub(super) fn events(&mut self) {
        let events = pair_up(&self.old.1.events, &self.new.1.events, |event| event.topic.as_str());
        for event in events.removed {
            self.removed(ChangeRule::EventRemoved, format!("the event `{}` is gone", event.topic), event.topic.span());
        }
        for event in events.added {
            self.added(ChangeRule::EventAdded, format!("the event `{}` is new", event.topic), event.topic.span());
        }
        for (old, new) in events.kept {
            let topic = &new.topic;
            let spans = Spans { old: old.topic.span(), new: new.topic.span() };
            let subject = format!("the event `{topic}`");
            self.deprecation(&subject, old.deprecated.as_ref(), new.deprecated.as_ref(), &spans);
            let broken =
                format!("`{topic}` is no longer delivered again if a subscriber's process dies while it handles it");
            let made = format!("`{topic}` is delivered again now if a subscriber's process dies while it handles it");
            self.promise((old.durable, new.durable), [broken, made], &spans);
            let subject = format!("the payload of `{topic}`");
            self.message(subject, Role::Payload, (old.payload.as_ref(), new.payload.as_ref()), &spans);
        }
    }

    /// Reports that something called `words` is deprecated now and was not. Another text, and the end of a deprecation, are not
    /// reported.
    pub(super) fn deprecation(
        &mut self,
        words: &str,
        old: Option<&Deprecated>,
        new: Option<&Deprecated>,
        spans: &Spans,
    ) {
        if let (None, Some(deprecated)) = (old, new) {
            let instead = deprecated.instead.as_ref().map(|instead| format!(": {instead}")).unwrap_or_default();
            self.changed(ChangeRule::Deprecated, format!("{words} is deprecated{instead}"), spans);
        }
    }

    /// Reports a promise (`idempotent` or `durable`) that was dropped, with the message `broken`, or added, with the message `made`.
    fn promise(&mut self, (old, new): (bool, bool), [broken, made]: [String; 2], spans: &Spans) {
        if old != new {
            let (rule, message) =
                if old { (ChangeRule::PromiseBroken, broken) } else { (ChangeRule::PromiseMade, made) };
            self.changed(rule, message, spans);
        }
    }

    /// Compares the old and the new declaration of a message, each `None` if the manifest does not declare it. Messages call it
    /// `words`. A request that is not declared any more, and a response that is declared now, are compatible changes; each other
    /// step between a declared and an undeclared message is a breaking one.
    fn message(
        &mut self,
        words: String,
        role: Role,
        messages: (Option<&'m MessageType>, Option<&'m MessageType>),
        spans: &Spans,
    ) {
        let direction = match role {
            Role::Request => Direction::Input,
            Role::Response | Role::Payload => Direction::Output,
        };
        let subject = Subject { words, direction, spans: spans.clone() };
        match messages {
            (None, None) => {}
            (Some(old), Some(new)) => self.object(old, new, &subject),
            // A raw request takes any bytes.
            (Some(_), None) if role == Role::Request => self.relaxed(&subject, "takes any bytes"),
            // Without a declaration, a response may be any object, so callers have to expect what is declared now.
            (None, Some(_)) if role == Role::Response => self.relaxed(&subject, "is declared"),
            (old, _) => {
                let now = if old.is_some() { "not declared any more" } else { "declared now, and has to fit" };
                self.changed(ChangeRule::MessageDeclared, format!("{} is {now}", subject.words), spans);
            }
        }
    }
}
