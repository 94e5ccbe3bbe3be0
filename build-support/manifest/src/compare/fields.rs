//! Compares the configuration, and the fields of objects.

use super::{Comparison, Direction, Spans, Subject, pair_up};
use crate::diagnostic::ChangeRule;
use crate::model::{Case, Field, Manifest, MessageType, Name, Shape};

impl<'m> Comparison<'m> {
    /// Compares the keys of `[config]`. A removed key points at the module's name in the new manifest.
    pub(super) fn config(&mut self) {
        let spans = Spans { old: self.old.1.module.name.span(), new: self.new.1.module.name.span() };
        let subject = Subject { words: "the configuration".to_owned(), direction: Direction::Config, spans };
        self.fields(&self.old.1.config, &self.new.1.config, &subject);
    }

    /// Compares two messages that both have a declared type. Two types of `[types]` are compared as such. Otherwise the fields
    /// count, whether they are in a record of `[types]` or written in place; a union against fields in place is a change of the
    /// type.
    pub(super) fn object(&mut self, old: &'m MessageType, new: &'m MessageType, subject: &Subject) {
        if let (MessageType::Named(old), MessageType::Named(new)) = (old, new) {
            return self.named(old.as_str(), new.as_str(), subject);
        }
        match (fields_of(self.old.1, old), fields_of(self.new.1, new)) {
            (Some(old), Some(new)) => self.fields(old, new, subject),
            _ => self.type_changed(subject, "is an object of another form now"),
        }
    }

    /// Compares the fields of two cases of a union: a record of `[types]`, or fields in place. The record's name does not matter.
    pub(super) fn case_fields(&mut self, old: &'m Case, new: &'m Case, subject: &Subject) {
        if let (Some(old), Some(new)) = (fields_of(self.old.1, &old.content), fields_of(self.new.1, &new.content)) {
            self.fields(old, new, subject);
        }
    }

    /// Compares the fields of two objects, or the keys of two configurations, by their names: a renamed one is removed and added.
    pub(super) fn fields(&mut self, old: &'m [Field], new: &'m [Field], subject: &Subject) {
        let noun = if subject.direction == Direction::Config { "key" } else { "field" };
        let words = |name: &Name| format!("the {noun} `{name}` of {}", subject.words);
        let fields = pair_up(old, new, |field| field.name.as_str());
        for field in fields.removed {
            let rule = match subject.direction {
                Direction::Config => ChangeRule::ConfigKeyRemoved,
                Direction::Input => ChangeRule::FieldIgnored,
                // Its receivers had to expect that it is absent.
                Direction::Output if field.ty.optional => ChangeRule::FieldIgnored,
                Direction::Output => ChangeRule::FieldRemoved,
            };
            let message = format!("{} is gone", words(&field.name));
            self.removed_from(rule, message, field.name.span(), subject.spans.new.clone());
        }
        for field in fields.added {
            let rule = match subject.direction {
                Direction::Input | Direction::Config if field.is_required() => ChangeRule::FieldRequired,
                Direction::Config => ChangeRule::ConfigKeyAdded,
                Direction::Input | Direction::Output => ChangeRule::FieldAdded,
            };
            let required = if rule == ChangeRule::FieldRequired { ", and required" } else { "" };
            self.added(rule, format!("{} is new{required}", words(&field.name)), field.name.span());
        }
        for (old, new) in fields.kept {
            self.field(old, new, words(&new.name), subject.direction);
        }
    }

    /// Compares a field that is in both manifests, which messages call `words`: whether it is deprecated or secret, whether it may
    /// be absent, its default, and its type. In output, the default is not compared, since the module writes the value. In input, a
    /// change of the default is reported only if the field is required in neither manifest.
    fn field(&mut self, old: &'m Field, new: &'m Field, words: String, direction: Direction) {
        let spans = Spans { old: old.name.span(), new: new.name.span() };
        self.deprecation(&words, old.deprecated.as_ref(), new.deprecated.as_ref(), &spans);
        if old.secret != new.secret {
            let message = format!("{words} is {} now", if new.secret { "secret" } else { "no secret" });
            self.changed(ChangeRule::SecretChanged, message, &spans);
        }
        let (was_required, is_required) = (old.is_required(), new.is_required());
        // In output, a field with a default is always there.
        let (was_there, is_there) = (!old.ty.optional, !new.ty.optional);
        let presence = match direction {
            Direction::Input | Direction::Config if was_required != is_required => Some(if is_required {
                (ChangeRule::FieldRequired, "is required now")
            } else {
                (ChangeRule::FieldRelaxed, "may be absent now")
            }),
            Direction::Output if was_there != is_there => Some(if is_there {
                (ChangeRule::FieldRelaxed, "is always there now")
            } else {
                (ChangeRule::FieldOptional, "may be absent now")
            }),
            _ => None,
        };
        if let Some((rule, now)) = presence {
            self.changed(rule, format!("{words} {now}"), &spans);
        } else if old.default != new.default && direction != Direction::Output {
            let shown = |field: &Field| match &field.default {
                Some(_) if field.holds_secret() => "another".to_owned(),
                Some(default) => default.to_string(),
                None => "none".to_owned(),
            };
            let message = format!("the default of {words} is {} now, and was {}", shown(new), shown(old));
            let span = |field: &Field| field.default_span.clone().unwrap_or(field.name.span());
            self.changed(ChangeRule::DefaultChanged, message, &Spans { old: span(old), new: span(new) });
        }
        let spans = Spans { old: old.ty.span.clone(), new: new.ty.span.clone() };
        self.types(&old.ty, &new.ty, &Subject { words, direction, spans });
    }
}

/// The fields of a message. `None` if its type is not a record, such as a union.
fn fields_of<'m>(manifest: &'m Manifest, message: &'m MessageType) -> Option<&'m [Field]> {
    match message {
        MessageType::Inline { fields, .. } => Some(fields),
        MessageType::Named(name) => match &manifest.find_type(name.as_str())?.shape {
            Shape::Record(fields) => Some(fields),
            Shape::Enum { .. } | Shape::Union { .. } | Shape::Newtype(_) => None,
        },
    }
}
