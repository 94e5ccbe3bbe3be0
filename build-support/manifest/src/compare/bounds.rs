//! Compares the bounds of types of one kind. A tighter bound breaks input, a looser one breaks output; no bound is the loosest. A
//! pattern that is replaced by another one breaks both.

use std::fmt;

use super::{Comparison, Direction, Spans, Subject};
use crate::diagnostic::ChangeRule;
use crate::model::{Bound, Bounds, Type};
use crate::source::Span;

impl Comparison<'_> {
    /// Compares the bounds of two types of one kind, one by one. Those of list items, of map values and of fields are not among
    /// them.
    pub(super) fn bounds(&mut self, old: &Type, new: &Type, subject: &Subject) {
        let Bounds { min, max, min_length, max_length, pattern } = &new.bounds;
        let old = &old.bounds;
        self.bound("min", old.min.as_ref(), min.as_ref(), |old, new| old < new, subject);
        self.bound("max", old.max.as_ref(), max.as_ref(), |old, new| new < old, subject);
        self.bound("min_length", old.min_length.as_ref(), min_length.as_ref(), |old, new| old < new, subject);
        self.bound("max_length", old.max_length.as_ref(), max_length.as_ref(), |old, new| new < old, subject);
        self.pattern(old.pattern.as_ref(), pattern.as_ref(), subject);
    }

    /// Compares one bound, which either manifest may lack. Equal ones, and two that lack it, are not reported. `is_tighter` gets
    /// the old value and the new one, and is true if the new one allows less. `key` is the word for the bound in the message.
    fn bound<T: PartialEq + fmt::Display>(
        &mut self,
        key: &str,
        old: Option<&Bound<T>>,
        new: Option<&Bound<T>>,
        is_tighter: impl Fn(&T, &T) -> bool,
        subject: &Subject,
    ) {
        let tighter = match (old, new) {
            (None, None) => return,
            (None, Some(_)) => true,
            (Some(_), None) => false,
            (Some(old), Some(new)) if old.value == new.value => return,
            (Some(old), Some(new)) => is_tighter(&old.value, &new.value),
        };
        let breaks = tighter != (subject.direction == Direction::Output);
        let rule = if breaks { ChangeRule::BoundBreaking } else { ChangeRule::BoundCompatible };
        let shown = |bound: Option<&Bound<T>>| bound.map_or("none".to_owned(), |bound| bound.value.to_string());
        let message = format!("`{key}` of {} is {} now, and was {}", subject.words, shown(new), shown(old));
        self.changed(rule, message, &spans(old, new, subject));
    }

    /// Compares two patterns, which either manifest may lack. Another text is always a breaking change, since it is not known which
    /// pattern is tighter. Equal texts are not reported.
    fn pattern(&mut self, old: Option<&Bound<String>>, new: Option<&Bound<String>>, subject: &Subject) {
        if old.map(|bound| &bound.value) == new.map(|bound| &bound.value) {
            return;
        }
        // There is no way to find out which of two patterns is tighter, so another pattern breaks both input and output.
        let rule = match (old, new, subject.direction) {
            (Some(_), None, Direction::Input | Direction::Config) | (None, Some(_), Direction::Output) => {
                ChangeRule::BoundCompatible
            }
            _ => ChangeRule::BoundBreaking,
        };
        let shown = |bound: Option<&Bound<String>>| match bound {
            Some(bound) => format!("`{}`", bound.value),
            None => "none".to_owned(),
        };
        let message = format!("the pattern of {} is {} now, and was {}", subject.words, shown(new), shown(old));
        self.changed(rule, message, &spans(old, new, subject));
    }
}

/// The places of the two bounds. Where a manifest has no such bound, the place of the subject.
fn spans<T>(old: Option<&Bound<T>>, new: Option<&Bound<T>>, subject: &Subject) -> Spans {
    let span = |bound: Option<&Bound<T>>, or: &Span| bound.map_or(or.clone(), |bound| bound.span.clone());
    Spans { old: span(old, &subject.spans.old), new: span(new, &subject.spans.new) }
}
