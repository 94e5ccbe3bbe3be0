//! Checks a JSON value against a type of the manifest. It does not change the value.

use ixt_manifest::{Case, Field, Manifest, MessageType, Scalar, Shape, Type, TypeKind, Value as Default};
use ixt_protocol::decode_base64;
use serde_json::Value;

/// Checks JSON values against the types of a manifest.
pub(super) struct ValueChecker<'a> {
    /// The manifest with the named types.
    pub(super) manifest: &'a Manifest,
}

impl ValueChecker<'_> {
    /// Checks a value against a type, with its bounds. `null` passes if the type is optional. The error says what was
    /// expected and where, such as "at `port` at least 1", and does not contain the value.
    pub(super) fn check(&self, value: &Value, ty: &Type) -> Result<(), String> {
        if ty.optional && value.is_null() {
            return Ok(());
        }
        let read = match &ty.kind {
            TypeKind::Scalar(scalar) => scalar_value(*scalar, value)?,
            TypeKind::List(item) => {
                let items = value.as_array().ok_or("a JSON array")?;
                for (index, value) in items.iter().enumerate() {
                    self.check(value, item).map_err(|expected| format!("at [{index}] {expected}"))?;
                }
                // The bounds of a list only limit the number of items.
                Default::List(vec![Default::Boolean(true); items.len()])
            }
            TypeKind::Map(ty) => {
                let entries = value.as_object().ok_or("a JSON object")?;
                for (key, value) in entries {
                    self.check(value, ty).map_err(|expected| format!("at `{key}` {expected}"))?;
                }
                Default::Map(entries.keys().map(|key| (key.clone(), Default::Boolean(true))).collect())
            }
            TypeKind::Enum(values) => {
                let mut names = values.iter().map(|value| value.name.as_str());
                return one_of(value.as_str(), &mut names);
            }
            TypeKind::Table(fields) => return self.check_object(value, fields, None),
            TypeKind::Named(name) => return self.check_named(value, name),
        };
        ty.bounds.check(&read)
    }

    /// Checks a value against the type of `[types]` with this name. Of an open enum any string passes, of an open union
    /// any object with a string as `type`.
    fn check_named(&self, value: &Value, name: &str) -> Result<(), String> {
        let Some(definition) = self.manifest.find_type(name) else { return Err(format!("a `{name}`")) };
        match &definition.shape {
            Shape::Newtype(ty) => self.check(value, ty),
            Shape::Record(fields) => self.check_object(value, fields, None),
            Shape::Enum { open: true, .. } if value.is_string() => Ok(()),
            Shape::Enum { values, .. } => one_of(value.as_str(), &mut values.iter().map(|value| value.name.as_str())),
            Shape::Union { cases, open } => self.check_union(value, cases, *open),
        }
    }

    /// Checks an object whose `type` names its case. With `open`, the fields of a case that is not listed are not
    /// checked.
    fn check_union(&self, value: &Value, cases: &[Case], open: bool) -> Result<(), String> {
        let tag = value.get("type").and_then(Value::as_str);
        let Some(case) = cases.iter().find(|case| Some(case.name.as_str()) == tag) else {
            if open && tag.is_some() {
                return Ok(());
            }
            let expected = one_of(None, &mut cases.iter().map(|case| case.name.as_str()));
            return expected.map_err(|expected| format!("a JSON object with `type`: {expected}"));
        };
        match &case.content {
            MessageType::Inline { fields, .. } => self.check_object(value, fields, Some("type")),
            MessageType::Named(name) => {
                match self.manifest.find_type(name.as_str()).map(|definition| &definition.shape) {
                    Some(Shape::Record(fields)) => self.check_object(value, fields, Some("type")),
                    _ => Err(format!("a `{name}`")),
                }
            }
        }
    }

    /// Checks an object against its fields: each required one must be there, and each key must be that of a field.
    /// `null` counts as missing for a field that is not required. `tag` is the key of a union's case, which is no
    /// field.
    fn check_object(&self, value: &Value, fields: &[Field], tag: Option<&str>) -> Result<(), String> {
        let object = value.as_object().ok_or("a JSON object")?;
        for (key, value) in object.iter().filter(|(key, _)| tag != Some(key.as_str())) {
            let Some(field) = fields.iter().find(|field| field.name.as_str() == key) else {
                return Err(format!("no `{key}`"));
            };
            if !value.is_null() || field.is_required() {
                self.check(value, &field.ty).map_err(|expected| format!("at `{key}` {expected}"))?;
            }
        }
        match fields.iter().find(|field| field.is_required() && !object.contains_key(field.name.as_str())) {
            Some(missing) => Err(format!("a value for `{}`", missing.name)),
            None => Ok(()),
        }
    }
}

/// Reads a value of this type. The error says what was expected.
fn scalar_value(scalar: Scalar, value: &Value) -> Result<Default, String> {
    let text = |parse: fn(&str) -> Result<Default, String>, expected: &str| {
        value.as_str().and_then(|text| parse(text).ok()).ok_or_else(|| expected.to_owned())
    };
    Ok(match scalar {
        Scalar::String => text(|text| Ok(Default::String(text.to_owned())), "a string")?,
        Scalar::Path => text(|text| Ok(Default::Path(text.to_owned())), "a string")?,
        Scalar::Integer => Default::Integer(value.as_i64().ok_or("an integer of at most 64 bits")?),
        Scalar::Float => Default::Float(value.as_f64().ok_or("a number")?),
        Scalar::Boolean => Default::Boolean(value.as_bool().ok_or("`true` or `false`")?),
        Scalar::Bytes => {
            text(|text| decode_base64(text).map(Default::Bytes).map_err(|error| error.to_string()), "base64 text")?
        }
        Scalar::Duration => text(Default::duration, "a duration such as `250ms`")?,
        Scalar::Size => match value.as_u64() {
            Some(size) => Default::Size(size),
            None => text(Default::size, "a size such as `16MiB`")?,
        },
        Scalar::Datetime => text(Default::datetime, "a point in time such as `2026-01-31T12:00:00Z`")?,
    })
}

/// Checks that a text is one of these names. The error lists them; so does a `value` of `None`, for one that is not text.
fn one_of(value: Option<&str>, names: &mut dyn Iterator<Item = &str>) -> Result<(), String> {
    let mut expected = Vec::new();
    for name in names {
        if value == Some(name) {
            return Ok(());
        }
        expected.push(format!("`{name}`"));
    }
    Err(expected.join(" or "))
}
