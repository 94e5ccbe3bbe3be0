//! Reads one value by its type: a default, a bound, or the value of a key whose type the language fixes. The host reads the values
//! of its configuration from JSON instead, with separate code.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use toml::de::{DeTable, DeValue};

use super::node::{self, Node, expected};
use crate::diagnostic::{Code, Diagnostic};
use crate::model::{Case, Field, MessageType, Scalar, Shape, Type, TypeDefinition, TypeKind, Value};
use crate::source::Span;
use crate::suggest::closest;
use crate::wording::{list, one_of};

/// Reads values by their types, and reports each that does not fit.
pub(super) struct ValueReader<'r> {
    /// The types of `[types]`, except those whose shape is not known after a mistake. May be empty if the type of the value names none.
    pub(super) types: &'r BTreeMap<String, TypeDefinition>,
    /// The words for the value in messages, such as "the default of `url`".
    pub(super) subject: String,
    /// The code of the diagnostics.
    pub(super) code: Code,
    /// Where the type of the value is declared. `None` if the language fixes it.
    pub(super) declared: Option<Span>,
}

impl ValueReader<'_> {
    /// The value at `node`. `None` if it is not of the type, or its type has a mistake; that is reported, or was. A value that
    /// violates its bounds is reported, and returned; the bounds are not checked if there is another mistake in the value. A list or
    /// table is returned without the parts that are not of their types, which are reported.
    ///
    /// An enum or a union counts as closed here, even if it is open: a default is one of the listed values.
    pub(super) fn read(&self, node: Node<'_>, ty: &Type, errors: &mut Vec<Diagnostic>) -> Option<Value> {
        let before = errors.len();
        let value = self.read_kind(node, &ty.kind, errors)?;
        if errors.len() == before
            && let Err(wanted) = ty.bounds.check(&value)
        {
            errors.push(self.wrong(node, format!("expected {wanted}")));
        }
        Some(value)
    }

    /// The value at `node`, without a check of the bounds of its type; those of its parts are checked.
    fn read_kind(&self, node: Node<'_>, kind: &TypeKind, errors: &mut Vec<Diagnostic>) -> Option<Value> {
        let value = match (kind, node.get_ref()) {
            (TypeKind::Scalar(scalar), _) => scalar_value(*scalar, node),
            (TypeKind::Enum(values), DeValue::String(text)) => {
                return self.enum_value(node, text, values.iter().map(|value| value.name.as_str()), errors);
            }
            (TypeKind::List(item), DeValue::Array(items)) => {
                Ok(Value::List(items.iter().filter_map(|node| self.read(node, item, errors)).collect()))
            }
            (TypeKind::Map(value), DeValue::Table(entries)) => Ok(Value::Map(
                node::entries(entries)
                    .into_iter()
                    .filter_map(|(key, node)| Some((key.to_string(), self.read(node, value, errors)?)))
                    .collect(),
            )),
            (TypeKind::Table(fields), DeValue::Table(entries)) => {
                Ok(Value::Record(self.fields(node, entries, fields, None, errors)))
            }
            (TypeKind::Named(name), _) => return self.read_named(node, name, errors),
            (TypeKind::Enum(_), _) => Err(expected("a string", node)),
            (TypeKind::List(item), _) => Err(expected(&format!("an array of type `[{item}]`"), node)),
            (TypeKind::Map(_) | TypeKind::Table(_), _) => Err(expected("a table", node)),
        };
        value.map_err(|label| errors.push(self.wrong(node, label))).ok()
    }

    /// The value of the type of `[types]` with this name.
    fn read_named(&self, node: Node<'_>, name: &str, errors: &mut Vec<Diagnostic>) -> Option<Value> {
        // A type that does not exist was reported where it is named.
        let definition = self.types.get(name)?;
        match (&definition.shape, node.get_ref()) {
            (Shape::Newtype(ty), _) => self.read(node, ty, errors),
            (Shape::Enum { values, .. }, DeValue::String(text)) => {
                self.enum_value(node, text, values.iter().map(|value| value.name.as_str()), errors)
            }
            (Shape::Record(fields), DeValue::Table(entries)) => {
                Some(Value::Record(self.fields(node, entries, fields, None, errors)))
            }
            (Shape::Union { cases, .. }, DeValue::Table(entries)) => self.union(node, entries, cases, errors),
            (shape, _) => {
                let kind = if matches!(shape, Shape::Enum { .. }) { "a string" } else { "a table" };
                errors.push(self.wrong(node, expected(&format!("{kind} for the type `{name}`"), node)));
                None
            }
        }
    }

    /// The value of an enum with these `values`. `None` if `text` is not one of them, which is reported.
    fn enum_value<'v>(
        &self,
        node: Node<'_>,
        text: &str,
        values: impl Iterator<Item = &'v str> + Clone,
        errors: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        if values.clone().any(|value| value == text) {
            return Some(Value::Enum(text.to_owned()));
        }
        let meant = closest(text, values.clone());
        errors.push(self.wrong(node, format!("expected {}", one_of(values))).suggest(meant));
        None
    }

    /// The value of a union. `None` if its `type` names none of the cases, which is reported.
    fn union(
        &self,
        node: Node<'_>,
        entries: &DeTable<'_>,
        cases: &[Case],
        errors: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        let names = cases.iter().map(|case| case.name.as_str());
        let Some(tag) = entries.get("type") else {
            errors.push(self.wrong(node, format!("expected a `type`: {}", one_of(names))));
            return None;
        };
        let case = tag.get_ref().as_str().and_then(|tag| cases.iter().find(|case| case.name.as_str() == tag));
        let Some(case) = case else {
            let meant = tag.get_ref().as_str().and_then(|tag| closest(tag, names.clone()));
            errors.push(self.wrong(tag, format!("expected {}", one_of(names))).suggest(meant));
            return None;
        };
        let fields = match &case.content {
            MessageType::Inline { fields, .. } => fields,
            MessageType::Named(name) => match &self.types.get(name.as_str())?.shape {
                Shape::Record(fields) => fields,
                _ => return None,
            },
        };
        Some(Value::Union {
            case: case.name.to_string(),
            fields: self.fields(node, entries, fields, Some("type"), errors),
        })
    }

    /// The given fields of an object; one whose value is not of its type is reported and left out. Reports unknown fields, and required
    /// ones that are missing. `tag` is a key that is no field: the `type` of a union.
    fn fields(
        &self,
        node: Node<'_>,
        entries: &DeTable<'_>,
        fields: &[Field],
        tag: Option<&str>,
        errors: &mut Vec<Diagnostic>,
    ) -> BTreeMap<String, Value> {
        let mut values = BTreeMap::new();
        for (key, value) in entries.iter().filter(|(key, _)| tag != Some(key.get_ref().as_ref())) {
            let name = key.get_ref().as_ref();
            match fields.iter().find(|field| field.name.as_str() == name) {
                Some(field) => {
                    values.extend(self.read(value, &field.ty, errors).map(|value| (name.to_owned(), value)));
                }
                None => {
                    let names = fields.iter().map(|field| field.name.as_str());
                    let unknown =
                        Diagnostic::new(self.code, format!("{} has no field `{}`", self.subject, name.escape_debug()))
                            .at(key.span(), format!("the fields are {}", list(names.clone())));
                    errors.push(self.pointing_at_declaration(unknown).suggest(closest(name, names)));
                }
            }
        }
        let missing: Vec<_> = fields
            .iter()
            .filter(|field| field.is_required() && !entries.contains_key(field.name.as_str()))
            .map(|field| field.name.as_str())
            .collect();
        if !missing.is_empty() {
            let verb = if missing.len() == 1 { "is" } else { "are" };
            errors.push(self.wrong(node, format!("{} {verb} missing", list(missing))));
        }
        values
    }

    /// The diagnostic for a value that does not fit its type; `label` says what was expected.
    fn wrong(&self, node: Node<'_>, label: String) -> Diagnostic {
        let error =
            Diagnostic::new(self.code, format!("{} does not fit its type", self.subject)).at(node.span(), label);
        self.pointing_at_declaration(error)
    }

    /// Adds the place where the type is declared, unless the language fixes it.
    fn pointing_at_declaration(&self, error: Diagnostic) -> Diagnostic {
        match &self.declared {
            Some(span) => error.related(span.clone(), "declared here"),
            None => error,
        }
    }
}

/// The value of a built-in type. The error is the label beside it.
fn scalar_value(scalar: Scalar, node: Node<'_>) -> Result<Value, String> {
    let wrong_kind = |words: &str| Err(expected(words, node));
    let parsed =
        |parsed: Result<Value, String>, words: &str| parsed.map_err(|error| format!("expected {words}: {error}"));
    match scalar {
        Scalar::String => match node.get_ref() {
            DeValue::String(text) => Ok(Value::String(text.to_string())),
            _ => wrong_kind("a string"),
        },
        Scalar::Path => match node.get_ref() {
            DeValue::String(text) => Ok(Value::Path(text.to_string())),
            _ => wrong_kind("a string"),
        },
        Scalar::Boolean => match node.get_ref() {
            DeValue::Boolean(value) => Ok(Value::Boolean(*value)),
            _ => wrong_kind("a boolean"),
        },
        Scalar::Integer => match node.get_ref() {
            DeValue::Integer(_) => integer(node).map(Value::Integer),
            _ => wrong_kind("an integer"),
        },
        Scalar::Float => match node.get_ref() {
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(float) if float.is_finite() => Ok(Value::Float(float)),
                _ => Err("expected a finite number: JSON has no other".to_owned()),
            },
            DeValue::Integer(_) => integer(node).and_then(|integer| {
                let float = exact_float(integer).map(Value::Float);
                float.ok_or("is no exact float; write it with a decimal point".to_owned())
            }),
            _ => wrong_kind("a float"),
        },
        Scalar::Bytes => match node.get_ref() {
            DeValue::String(text) => STANDARD
                .decode(text.as_bytes())
                .map(Value::Bytes)
                .map_err(|error| format!("expected base64 text: {error}")),
            _ => wrong_kind("a string of base64"),
        },
        Scalar::Duration => match node.get_ref() {
            DeValue::String(text) => parsed(Value::duration(text), "a duration such as `250ms`"),
            _ => wrong_kind("a duration such as \"250ms\""),
        },
        Scalar::Size => match node.get_ref() {
            DeValue::String(text) => parsed(Value::size(text), "a size such as `16MiB`"),
            DeValue::Integer(_) => integer(node).and_then(|integer| {
                u64::try_from(integer).map(Value::Size).map_err(|_| "a size can't be negative".to_owned())
            }),
            _ => wrong_kind("a size such as \"16MiB\""),
        },
        Scalar::Datetime => match node.get_ref() {
            DeValue::Datetime(datetime) => {
                parsed(Value::datetime(&datetime.to_string()), "a point in time such as `2026-01-31T12:00:00Z`")
            }
            DeValue::String(text) => parsed(Value::datetime(text), "a point in time such as `2026-01-31T12:00:00Z`"),
            _ => wrong_kind("a point in time such as 2026-01-31T12:00:00Z"),
        },
    }
}

/// An integer of 64 bits with a sign. The error is the label beside it.
fn integer(node: Node<'_>) -> Result<i64, String> {
    let DeValue::Integer(integer) = node.get_ref() else { return Err("expected an integer".to_owned()) };
    i64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| "does not fit into 64 bits, signed".to_owned())
}

/// The float with the same value. `None` if there is none, as for most integers beyond 2^53.
fn exact_float(integer: i64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "the next line checks that nothing was lost")]
    let float = integer as f64;
    #[expect(clippy::cast_possible_truncation, reason = "a cast from float to integer saturates, so i128 holds it")]
    (float as i128 == i128::from(integer)).then_some(float)
}
