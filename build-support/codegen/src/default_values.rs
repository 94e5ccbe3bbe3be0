//! Rust expressions for the defaults in the manifest. The values were checked against their types when the manifest was
//! read, so nothing here fails.

use std::collections::BTreeMap;
use std::time::Duration;

use ixt_manifest::{Field, MessageType, Shape, Type, TypeKind, Value};
use proc_macro2::Literal;

use crate::generated_types::FieldOwner;
use crate::names;
use crate::rust_code::string;
use crate::type_traits::{Owner, TypeTraits};

/// The expression for a value of a field: a secret if the field is one, and in a `Box` if the field is. It has no
/// `Some`; the caller adds that for an optional field. `owner` is what has the field.
pub(crate) fn of_field(value: &Value, field: &Field, owner: Owner<'_>) -> String {
    if field.secret {
        return secret(value);
    }
    let value = of_type(value, &field.ty, owner.within(&names::inline(owner.ident, &field.name)));
    if owner.boxes(field) { format!("::std::boxed::Box::new({value})") } else { value }
}

/// A secret value, of the type that `scalar_types::secret_type` returns for it. The text or bytes are in the code as
/// they are.
fn secret(value: &Value) -> String {
    match value {
        Value::String(text) => format!("::ixt_sdk::SecretString::from({})", string(text)),
        Value::Bytes(bytes) => {
            format!("::ixt_sdk::SecretSlice::from(::std::vec::Vec::from({}))", Literal::byte_string(bytes))
        }
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Duration(_)
        | Value::Size(_)
        | Value::Path(_)
        | Value::Datetime(_)
        | Value::Enum(_)
        | Value::List(_)
        | Value::Map(_)
        | Value::Record(_)
        | Value::Union { .. } => unreachable!("the type can't be secret"),
    }
}

/// A value of a type, without `Some`. If the type is written in place, `owner` is that type.
fn of_type(value: &Value, ty: &Type, owner: Owner<'_>) -> String {
    if let TypeKind::Named(name) = &ty.kind {
        return named(value, name, owner.traits);
    }
    match value {
        Value::String(text) => format!("::std::string::String::from({})", string(text)),
        Value::Path(text) => format!("::std::path::PathBuf::from({})", string(text)),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => self::float(*float),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Bytes(bytes) => format!("::ixt_sdk::Bytes::from({})", Literal::byte_string(bytes)),
        Value::Duration(length) => duration(*length),
        Value::Size(size) => size.to_string(),
        Value::Datetime(text) => format!("::ixt_sdk::__private::timestamp({})", string(text)),
        Value::Enum(text) => format!("{}::{}", owner.ident, names::camel(text)),
        Value::List(items) => {
            let TypeKind::List(item) = &ty.kind else { unreachable!("the value was checked against its type") };
            let ident = format!("{}Item", owner.ident);
            let items: Vec<_> = items.iter().map(|value| nested(value, item, owner.within(&ident))).collect();
            format!("::std::vec::Vec::from([{}])", items.join(", "))
        }
        Value::Map(entries) => {
            let TypeKind::Map(ty) = &ty.kind else { unreachable!("the value was checked against its type") };
            let ident = format!("{}Value", owner.ident);
            let entry = |(key, value): (&String, &Value)| {
                let value = nested(value, ty, owner.within(&ident));
                format!("(::std::string::String::from({}), {value})", string(key))
            };
            let entries: Vec<_> = entries.iter().map(entry).collect();
            format!("::std::collections::BTreeMap::from([{}])", entries.join(", "))
        }
        Value::Record(values) => {
            let TypeKind::Table(fields) = &ty.kind else { unreachable!("the value was checked against its type") };
            record(owner.ident, values, fields, owner)
        }
        Value::Union { .. } => unreachable!("unions are declared in [types]"),
    }
}

/// An item of a list or a value of a map. It is in `Some` if its type is optional.
fn nested(value: &Value, ty: &Type, owner: Owner<'_>) -> String {
    let value = of_type(value, ty, owner);
    if ty.optional { some(&value) } else { value }
}

/// The expression in `Some`.
fn some(value: &str) -> String {
    format!("::std::option::Option::Some({value})")
}

/// A value of the type `name` of `[types]`.
fn named(value: &Value, name: &str, traits: &TypeTraits<'_>) -> String {
    let definition = traits.manifest().find_type(name).expect("the types were checked");
    let ident = names::camel(name).to_string();
    let owner = Owner { ident: &ident, kind: FieldOwner::Type(name), traits };
    match (&definition.shape, value) {
        (Shape::Newtype(ty), _) => {
            let value = of_type(value, ty, owner);
            format!("{ident}({value})")
        }
        (Shape::Enum { .. }, Value::Enum(text)) => format!("{ident}::{}", names::camel(text)),
        (Shape::Record(fields), Value::Record(values)) => record(&ident, values, fields, owner),
        (Shape::Union { cases, .. }, Value::Union { case, fields: values }) => {
            let case = cases.iter().find(|known| known.name.as_str() == case).expect("the value was checked");
            let variant = names::camel(case.name.as_str());
            match &case.content {
                MessageType::Named(record) => {
                    let content = named(&Value::Record(values.clone()), record.as_str(), traits);
                    format!("{ident}::{variant}({content})")
                }
                MessageType::Inline { fields, .. } if fields.is_empty() => format!("{ident}::{variant}"),
                MessageType::Inline { fields, .. } => {
                    let within = names::inline(&ident, &case.name);
                    record(&format!("{ident}::{variant}"), values, fields, owner.within(&within))
                }
            }
        }
        _ => unreachable!("the value was checked against its type"),
    }
}

/// A struct, or a variant with fields; `constructor` is its path. A field without a value has its default, or is
/// `None`.
fn record(constructor: &str, values: &BTreeMap<String, Value>, fields: &[Field], owner: Owner<'_>) -> String {
    let member = |field: &Field| {
        let given = values.get(field.name.as_str()).or(field.default.as_ref());
        let value = match given {
            Some(given) => {
                let value = of_field(given, field, owner);
                if field.ty.optional { some(&value) } else { value }
            }
            None => "::std::option::Option::None".to_owned(),
        };
        format!("{}: {value}", names::field(&field.name))
    };
    let members: Vec<_> = fields.iter().map(member).collect();
    match members.join(", ") {
        members if members.is_empty() => format!("{constructor} {{}}"),
        members => format!("{constructor} {{ {members} }}"),
    }
}

/// The literal of a float, which the manifest's checks keep finite. It has a decimal point or an exponent, so that it
/// is not the literal of an integer.
pub(crate) fn float(float: f64) -> String {
    Literal::f64_unsuffixed(float).to_string()
}

/// The expression for a duration: in whole seconds or whole milliseconds if that is exact, otherwise in seconds and
/// nanoseconds.
pub(crate) fn duration(duration: Duration) -> String {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos == 0 {
        return format!("::std::time::Duration::from_secs({seconds})");
    }
    match u64::try_from(duration.as_millis()) {
        Ok(millis) if nanos.is_multiple_of(1_000_000) => format!("::std::time::Duration::from_millis({millis})"),
        _ => format!("::std::time::Duration::new({seconds}, {nanos})"),
    }
}
