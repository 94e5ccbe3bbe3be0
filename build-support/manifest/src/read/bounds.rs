//! Reads `min`, `max`, `min_length`, `max_length` and `pattern`. `model::bounds` checks values against them.

use std::collections::BTreeMap;

use regex_lite::Regex;

use super::ManifestReader;
use super::table_reader::TableReader;
use super::value::ValueReader;
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Bound, Bounds, Scalar, Type, TypeKind};
use crate::source::Span;
use crate::wording::{all_of, list};

impl ManifestReader<'_> {
    /// Reads the bounds from `table`, which declares the type `ty`. Reported are bounds that do not apply to the type, that are not
    /// of its type, or that contradict each other, lengths that are out of range, and a `pattern` that is no regular expression.
    /// Contradicting ones are in the result, the others are left out.
    pub(super) fn bounds(&mut self, table: &TableReader<'_>, ty: &Type) -> Bounds {
        let mut bounds = Bounds::default();
        let (has_order, has_length) = match &ty.kind {
            TypeKind::Scalar(scalar) => (scalar.has_order(), scalar.has_length()),
            TypeKind::List(_) | TypeKind::Map(_) => (false, true),
            TypeKind::Enum(_) | TypeKind::Table(_) | TypeKind::Named(_) => (false, false),
        };
        for (key, bound) in [("min", &mut bounds.min), ("max", &mut bounds.max)] {
            let Some(node) = table.get(key) else { continue };
            if !has_order {
                let label = format!("for {} alone", all_of(Scalar::names_where(Scalar::has_order)));
                self.inapplicable(table, key, ty, &label);
                continue;
            }
            let reader = ValueReader {
                types: &BTreeMap::new(),
                subject: format!("`{key}` of {}", table.subject()),
                code: Code::InvalidValue,
                declared: Some(ty.span.clone()),
            };
            let plain = Type { bounds: Bounds::default(), ..ty.clone() };
            *bound = reader.read(node, &plain, &mut self.errors).map(|value| Bound { value, span: node.span() });
        }
        for (key, bound) in [("min_length", &mut bounds.min_length), ("max_length", &mut bounds.max_length)] {
            let Some(node) = table.get(key) else { continue };
            if !has_length {
                let label = format!("for {}, lists and maps alone", list(Scalar::names_where(Scalar::has_length)));
                self.inapplicable(table, key, ty, &label);
                continue;
            }
            *bound = table.integer(key, &mut self.errors).map(|value| Bound { value, span: node.span() });
        }
        if let (Some(min), Some(max)) = (&bounds.min, &bounds.max)
            && min.value > max.value
        {
            self.errors.push(empty_range(table, "min", &min.span, "max", &max.span));
        }
        if let (Some(min), Some(max)) = (&bounds.min_length, &bounds.max_length)
            && min.value > max.value
        {
            self.errors.push(empty_range(table, "min_length", &min.span, "max_length", &max.span));
        }
        if table.get("pattern").is_some() {
            if matches!(ty.kind, TypeKind::Scalar(Scalar::String)) {
                bounds.pattern = self.pattern(table);
            } else {
                self.inapplicable(table, "pattern", ty, "for `string` alone");
            }
        }
        bounds
    }

    /// The key `pattern`. `None` if it is absent, or if it is no string or no regular expression, which is reported.
    fn pattern(&mut self, table: &TableReader<'_>) -> Option<Bound<String>> {
        let pattern = table.string("pattern", &mut self.errors)?;
        if let Err(error) = Regex::new(pattern.as_str()) {
            let message = format!("the pattern of {} can't be read", table.subject());
            self.errors.push(
                Diagnostic::new(Code::InvalidPattern, message)
                    .at(pattern.span(), error.to_string())
                    .help("a pattern in single quotes needs no double backslashes"),
            );
            return None;
        }
        Some(Bound { value: pattern.to_string(), span: pattern.span() })
    }
}

/// The diagnostic for a lower bound at the key `min` that is greater than the upper one at the key `max`.
fn empty_range(table: &TableReader<'_>, min: &str, min_span: &Span, max: &str, max_span: &Span) -> Diagnostic {
    Diagnostic::new(Code::Contradiction, format!("no value of {} can keep to its bounds", table.subject()))
        .at(min_span.clone(), format!("`{min}` is greater"))
        .related(max_span.clone(), format!("than `{max}`"))
}
