//! What the code of several kinds of types has in common: the attributes before a type, the Rust types of fields, and the
//! rules for their values. `types` is the code of the types themselves; `scalar_types` has the Rust types of scalars.

use ixt_manifest::{Bounds, Field, Type, TypeKind, Value};

use crate::generated_types::TypeDocs;
use crate::rust_code::{Lines, string};
use crate::type_traits::Owner;
use crate::{default_values, doc_comments, names, scalar_types};

/// The lines before a type, without `#[derive]`: its documentation (the fallback if it has no description),
/// `#[deprecated]` if it is, and the lints that are allowed in it.
pub(crate) fn attributes(docs: &TypeDocs<'_>) -> Lines {
    let mut lines = doc_comments::comment(doc_comments::described(docs.description, docs.fallback.clone()));
    lines.extend(doc_comments::deprecated(docs.deprecated));
    lines.push(doc_comments::ALLOW.to_owned());
    lines
}

/// The Rust type of a field of `owner`, from the outside in: `Option` if its type is optional (such a field has no
/// default), `Box` if [`Owner::boxes`] says so, and its type, or that for secrets if the field is secret.
pub(crate) fn field_type(field: &Field, owner: Owner<'_>) -> String {
    let ty = match field.ty.kind {
        TypeKind::Scalar(scalar) if field.secret => scalar_types::secret_type(scalar).to_owned(),
        _ => kind(&field.ty, &names::inline(owner.ident, &field.name)),
    };
    let ty = if owner.boxes(field) { format!("::std::boxed::Box<{ty}>") } else { ty };
    if field.ty.optional { option(&ty) } else { ty }
}

/// The Rust type for a type, with `Option` if it is optional. `ident` is its name if it is an enum or a table that is
/// written in place, and begins the names of such types in a list or map. It is never in a `Box`.
pub(crate) fn rust_type(ty: &Type, ident: &str) -> String {
    let kind = kind(ty, ident);
    if ty.optional { option(&kind) } else { kind }
}

/// The Rust type in `Option`.
fn option(ty: &str) -> String {
    format!("::std::option::Option<{ty}>")
}

/// The Rust type without `Option`. `ident` is as for [`rust_type`].
fn kind(ty: &Type, ident: &str) -> String {
    let plain = match &ty.kind {
        TypeKind::Scalar(scalar) => scalar_types::rust_type(*scalar),
        TypeKind::List(item) => {
            return format!("::std::vec::Vec<{}>", rust_type(item, &format!("{ident}Item")));
        }
        TypeKind::Map(value) => {
            let value = rust_type(value, &format!("{ident}Value"));
            return format!("::std::collections::BTreeMap<::std::string::String, {value}>");
        }
        TypeKind::Enum(_) | TypeKind::Table(_) => ident,
        TypeKind::Named(name) => return names::camel(name).to_string(),
    };
    plain.to_owned()
}

/// The bounds of a type, and of its items or values if it is a list or map, as the SDK's rules: `&[Rule::Min(1)]`, with
/// the path of `Rule`. `None` if there are none. The bounds of a newtype that it refers to, and of the fields of a
/// table, are not part of it: the code of those types has them.
pub(crate) fn rules(ty: &Type) -> Option<String> {
    let Bounds { min, max, min_length, max_length, pattern } = &ty.bounds;
    let mut rules = Vec::new();
    for (bound, prefix) in [(min, "Min"), (max, "Max")] {
        let Some(bound) = bound else { continue };
        let (suffix, literal) = match &bound.value {
            Value::Integer(integer) => ("", integer.to_string()),
            Value::Float(float) => ("Float", default_values::float(*float)),
            Value::Duration(duration) => ("Duration", default_values::duration(*duration)),
            Value::Size(size) => ("Size", size.to_string()),
            Value::String(_)
            | Value::Boolean(_)
            | Value::Bytes(_)
            | Value::Path(_)
            | Value::Datetime(_)
            | Value::Enum(_)
            | Value::List(_)
            | Value::Map(_)
            | Value::Record(_)
            | Value::Union { .. } => unreachable!("a type without an order has no `min` and `max`"),
        };
        rules.push(format!("::ixt_sdk::__private::Rule::{prefix}{suffix}({literal})"));
    }
    for (bound, rule) in [(min_length, "MinLength"), (max_length, "MaxLength")] {
        rules.extend(bound.iter().map(|bound| format!("::ixt_sdk::__private::Rule::{rule}({})", bound.value)));
    }
    if let Some(pattern) = pattern {
        rules.push(format!("::ixt_sdk::__private::pattern!({})", string(&pattern.value)));
    }
    if let TypeKind::List(inner) | TypeKind::Map(inner) = &ty.kind {
        rules.extend(self::rules(inner).map(|rules| format!("::ixt_sdk::__private::Rule::Each({rules})")));
    }
    (!rules.is_empty()).then(|| format!("&[{}]", rules.join(", ")))
}

/// Whether the value of one of the fields is secret, or contains something secret. `false` without fields.
pub(crate) fn any_secret(fields: &[Field]) -> bool {
    fields.iter().any(Field::holds_secret)
}
