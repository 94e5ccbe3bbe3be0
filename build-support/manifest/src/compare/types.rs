//! Compares types by what they consist of. The name of a type of `[types]` does not matter. A newtype in place of its inner type is
//! no change by itself, if one of the two is not of `[types]`. But a record or an enum of `[types]` and the same fields or values
//! written in place are different types, except for a message and a case.

use super::{Comparison, Direction, Spans, Subject, pair_up};
use crate::diagnostic::ChangeRule;
use crate::model::{Case, EnumValue, JsonForm, Manifest, Name, Scalar, Shape, Type, TypeKind};

impl<'m> Comparison<'m> {
    /// Compares two types with their bounds and their parts. Whether they are optional is for the caller: what that means depends
    /// on where they are. If the kinds differ, that is the only change.
    pub(super) fn types(&mut self, old: &'m Type, new: &'m Type, subject: &Subject) {
        match (&old.kind, &new.kind) {
            (TypeKind::Named(old), TypeKind::Named(new)) => return self.named(old, new, subject),
            (TypeKind::List(old_item), TypeKind::List(new_item)) => {
                self.element(old_item, new_item, "an item", subject);
            }
            (TypeKind::Map(old_value), TypeKind::Map(new_value)) => {
                self.element(old_value, new_value, "a value", subject);
            }
            (TypeKind::Table(old), TypeKind::Table(new)) => self.fields(old, new, subject),
            (TypeKind::Enum(old), TypeKind::Enum(new)) => {
                self.values("value", &value_names(old), &value_names(new), (false, false), subject);
            }
            _ => match (behind_newtypes(self.old.1, old), behind_newtypes(self.new.1, new)) {
                (Some(old_type), Some(new_type)) if (old_type, new_type) != (old, new) => {
                    return self.types(old_type, new_type, subject);
                }
                _ if old.kind.name() == new.kind.name() => {}
                _ => return self.kinds(old, new, subject),
            },
        }
        self.bounds(old, new, subject);
    }

    /// Compares the items of two lists, or the values of two maps, also whether they may be null. `part` is the word for one, "an
    /// item" or "a value".
    fn element(&mut self, old: &'m Type, new: &'m Type, part: &str, subject: &Subject) {
        let subject = Subject { words: format!("{part} of {}", subject.words), ..subject.clone() };
        if old.optional != new.optional {
            let breaks = new.optional == (subject.direction == Direction::Output);
            let now = if new.optional { "may be null now" } else { "can't be null any more" };
            if breaks {
                self.type_changed(&subject, now);
            } else {
                self.relaxed(&subject, now);
            }
        }
        self.types(old, new, &subject);
    }

    /// Compares two types of different kinds, such as an integer and a float. The change is compatible if [`accepts`] says that the
    /// receiver's type takes each value of the sender's, otherwise breaking.
    fn kinds(&mut self, old: &Type, new: &Type, subject: &Subject) {
        let fits = if subject.direction == Direction::Output { accepts(old, new) } else { accepts(new, old) };
        let now = format!("is of type `{}` now, and was `{}`", new.kind.name(), old.kind.name());
        if fits { self.relaxed(subject, &now) } else { self.type_changed(subject, &now) }
    }

    /// Reports a breaking change of the subject's type; `now` follows the subject in the message: "is of type …".
    pub(super) fn type_changed(&mut self, subject: &Subject, now: &str) {
        self.changed(ChangeRule::TypeChanged, format!("{} {now}", subject.words), &subject.spans);
    }

    /// Reports a compatible change of the subject's type; `now` follows the subject in the message.
    pub(super) fn relaxed(&mut self, subject: &Subject, now: &str) {
        self.changed(ChangeRule::TypeRelaxed, format!("{} {now}", subject.words), &subject.spans);
    }

    /// Compares two types of `[types]`, also their deprecation. Two of different shapes, such as an enum and a newtype, are one
    /// breaking change. Each pair is compared once in each [`Direction`], however often it is used. A type that a manifest does not
    /// declare is not compared: a manifest that was parsed has none.
    pub(super) fn named(&mut self, old: &'m str, new: &'m str, subject: &Subject) {
        let (Some(old_type), Some(new_type)) = (self.old.1.find_type(old), self.new.1.find_type(new)) else { return };
        let direction = subject.direction;
        if !self.compared.insert((old_type.name.as_str(), new_type.name.as_str(), direction)) {
            return;
        }
        let goes = match direction {
            Direction::Input => "goes in",
            Direction::Output => "goes out",
            Direction::Config => "in the configuration",
        };
        let spans = Spans { old: old_type.name.span(), new: new_type.name.span() };
        let subject = Subject { words: format!("the type `{new}` ({goes})"), direction, spans };
        self.deprecation(&subject.words, old_type.deprecated.as_ref(), new_type.deprecated.as_ref(), &subject.spans);
        match (&old_type.shape, &new_type.shape) {
            (Shape::Record(old), Shape::Record(new)) => self.fields(old, new, &subject),
            (Shape::Newtype(old), Shape::Newtype(new)) => self.types(old, new, &subject),
            (Shape::Enum { values: old, open: was }, Shape::Enum { values: new, open: is }) => {
                self.values("value", &value_names(old), &value_names(new), (*was, *is), &subject);
            }
            (Shape::Union { cases: old, open: was }, Shape::Union { cases: new, open: is }) => {
                let names = |cases: &'m [Case]| cases.iter().map(|case| &case.name).collect::<Vec<_>>();
                self.values("case", &names(old), &names(new), (*was, *is), &subject);
                for (old, new) in pair_up(old, new, |case| case.name.as_str()).kept {
                    let words = format!("the case `{}` of {}", new.name, subject.words);
                    let spans = Spans { old: old.name.span(), new: new.name.span() };
                    self.case_fields(old, new, &Subject { words, direction, spans });
                }
            }
            _ => self.type_changed(&subject, "is something else now"),
        }
    }

    /// Compares the names of the values of two enums, or of the cases of two unions, and whether they are open. `noun` is the word
    /// for one in messages, "value" or "case". Their order does not matter.
    fn values(
        &mut self,
        noun: &str,
        old: &[&'m Name],
        new: &[&'m Name],
        (was_open, is_open): (bool, bool),
        subject: &Subject,
    ) {
        let output = subject.direction == Direction::Output;
        let missing = |from: &[&'m Name], list: &[&'m Name]| {
            let missing = from.iter().filter(|name| list.iter().all(|other| other.as_str() != name.as_str()));
            missing.copied().collect::<Vec<&'m Name>>()
        };
        for name in missing(old, new) {
            // If it is open, it still accepts the value.
            let rule = if output || is_open { ChangeRule::ValueCompatible } else { ChangeRule::ValueBreaking };
            let message = format!("the {noun} `{name}` of {} is gone", subject.words);
            self.removed_from(rule, message, name.span(), subject.spans.new.clone());
        }
        for name in missing(new, old) {
            // If it was open, its readers are prepared for unknown values.
            let rule = if output && !was_open { ChangeRule::ValueBreaking } else { ChangeRule::ValueCompatible };
            let message = format!("the {noun} `{name}` of {} is new", subject.words);
            self.added_to(rule, message, subject.spans.old.clone(), name.span());
        }
        if was_open != is_open {
            let (now, breaks) = if is_open {
                ("open now: others may come", output)
            } else {
                ("closed now: others are refused", !output)
            };
            let rule = if breaks { ChangeRule::ValueBreaking } else { ChangeRule::ValueCompatible };
            self.changed(rule, format!("{} is {now}", subject.words), &subject.spans);
        }
    }
}

/// The names of the values, in their order.
fn value_names(values: &[EnumValue]) -> Vec<&Name> {
    values.iter().map(|value| &value.name).collect()
}

/// Whether the type `wide` accepts every value of the type `narrow`, which is of another kind: a string or a path accepts a type
/// whose values are strings in JSON and an enum written in place, a float accepts an integer. `false` if `wide` has bounds, since
/// bounds of different kinds are not compared, and if `narrow` is a record, an enum or a union of `[types]`.
fn accepts(wide: &Type, narrow: &Type) -> bool {
    let TypeKind::Scalar(scalar) = wide.kind else { return false };
    let kind_fits = match scalar {
        Scalar::String | Scalar::Path => match narrow.kind {
            TypeKind::Scalar(narrow) => narrow.json_form() == JsonForm::Text,
            TypeKind::Enum(_) => true,
            TypeKind::List(_) | TypeKind::Map(_) | TypeKind::Table(_) | TypeKind::Named(_) => false,
        },
        Scalar::Float => matches!(narrow.kind, TypeKind::Scalar(Scalar::Integer)),
        Scalar::Integer | Scalar::Boolean | Scalar::Bytes | Scalar::Duration | Scalar::Size | Scalar::Datetime => false,
    };
    kind_fits && wide.bounds.is_empty()
}

/// The type itself, or the innermost one if it is a newtype. `None` if that is a record, an enum or a union of `[types]`, or is not
/// declared.
fn behind_newtypes<'t>(manifest: &'t Manifest, ty: &'t Type) -> Option<&'t Type> {
    match &ty.kind {
        TypeKind::Named(name) => match &manifest.find_type(name)?.shape {
            Shape::Newtype(inner) => behind_newtypes(manifest, inner),
            Shape::Record(_) | Shape::Enum { .. } | Shape::Union { .. } => None,
        },
        TypeKind::Scalar(_) | TypeKind::List(_) | TypeKind::Map(_) | TypeKind::Enum(_) | TypeKind::Table(_) => Some(ty),
    }
}
