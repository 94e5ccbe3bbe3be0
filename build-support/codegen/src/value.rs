//! Defaults from the manifest as expressions.

use std::collections::BTreeMap;
use std::time::Duration;

use ixt_manifest::{Field, Kind, Message, Shape, Type, Value};
use proc_macro2::{Literal, TokenStream};
use quote::{format_ident, quote};

use crate::items::{Owner, Traits};
use crate::names;

/// The default of a field of the type `owner_ident`, in a `Box` where the field is.
pub(crate) fn of_field(
    value: &Value,
    field: &Field,
    owner_ident: &str,
    owner: Owner<'_>,
    traits: &Traits<'_>,
) -> TokenStream {
    match value {
        Value::String(text) if field.secret => quote!(::ixt_sdk::SecretString::from(#text)),
        Value::Bytes(bytes) if field.secret => {
            let bytes = Literal::byte_string(bytes);
            quote!(::ixt_sdk::SecretSlice::from(::std::vec::Vec::from(#bytes)))
        }
        _ => {
            let value = of_type(value, &field.ty, &names::inline(owner_ident, &field.name), owner, traits);
            if traits.is_boxed(owner, &field.ty) { quote!(::std::boxed::Box::new(#value)) } else { value }
        }
    }
}

/// A value of a type; `ident` is the name of what is written in place there.
fn of_type(value: &Value, ty: &Type, ident: &str, owner: Owner<'_>, traits: &Traits<'_>) -> TokenStream {
    if let Kind::Named(name) = &ty.kind {
        return named(value, name, traits);
    }
    match value {
        Value::String(text) => quote!(::std::string::String::from(#text)),
        Value::Path(text) => quote!(::std::path::PathBuf::from(#text)),
        Value::Integer(integer) => {
            let integer = Literal::i64_unsuffixed(*integer);
            quote!(#integer)
        }
        Value::Float(float) => {
            let float = Literal::f64_unsuffixed(*float);
            quote!(#float)
        }
        Value::Boolean(boolean) => quote!(#boolean),
        Value::Bytes(bytes) => {
            let bytes = Literal::byte_string(bytes);
            quote!(::ixt_sdk::Bytes::from(#bytes))
        }
        Value::Duration(length) => duration(*length),
        Value::Size(size) => {
            let size = Literal::u64_unsuffixed(*size);
            quote!(#size)
        }
        Value::Datetime(text) => quote!(::ixt_sdk::__private::timestamp(#text)),
        Value::Enum(text) => {
            let (ident, variant) = (format_ident!("{ident}"), names::camel(text));
            quote!(#ident::#variant)
        }
        Value::List(items) => {
            let Kind::List(item) = &ty.kind else { unreachable!("the value was checked against its type") };
            let ident = format!("{ident}Item");
            let items = items.iter().map(|value| nested(value, item, &ident, owner, traits));
            quote!(::std::vec::Vec::from([#(#items),*]))
        }
        Value::Map(entries) => {
            let Kind::Map(ty) = &ty.kind else { unreachable!("the value was checked against its type") };
            let ident = format!("{ident}Value");
            let entries = entries.iter().map(|(key, value)| {
                let value = nested(value, ty, &ident, owner, traits);
                quote!((::std::string::String::from(#key), #value))
            });
            quote!(::std::collections::BTreeMap::from([#(#entries),*]))
        }
        Value::Record(values) => {
            let Kind::Table(fields) = &ty.kind else { unreachable!("the value was checked against its type") };
            let constructor = format_ident!("{ident}");
            record(&quote!(#constructor), values, fields, ident, owner, traits)
        }
        Value::Union { .. } => unreachable!("unions are declared in [types]"),
    }
}

/// An item or a value of a map, which may be optional.
fn nested(value: &Value, ty: &Type, ident: &str, owner: Owner<'_>, traits: &Traits<'_>) -> TokenStream {
    let value = of_type(value, ty, ident, owner, traits);
    if ty.optional { quote!(::std::option::Option::Some(#value)) } else { value }
}

fn named(value: &Value, name: &str, traits: &Traits<'_>) -> TokenStream {
    let definition = traits.manifest().find_type(name).expect("the types were checked");
    let ident = names::camel(name);
    let owner = Owner::Type(name);
    match (&definition.shape, value) {
        (Shape::Newtype(ty), _) => {
            let value = of_type(value, ty, &ident.to_string(), owner, traits);
            quote!(#ident(#value))
        }
        (Shape::Enum { .. }, Value::Enum(text)) => {
            let variant = names::camel(text);
            quote!(#ident::#variant)
        }
        (Shape::Record(fields), Value::Record(values)) => {
            record(&quote!(#ident), values, fields, &ident.to_string(), owner, traits)
        }
        (Shape::Union { cases, .. }, Value::Union { case, fields: values }) => {
            let case = cases.iter().find(|known| known.name.as_str() == case).expect("the value was checked");
            let variant = names::camel(case.name.as_str());
            match &case.content {
                Message::Named(record) => {
                    let content = named(&Value::Record(values.clone()), record.as_str(), traits);
                    quote!(#ident::#variant(#content))
                }
                Message::Inline { fields, .. } if fields.is_empty() => quote!(#ident::#variant),
                Message::Inline { fields, .. } => {
                    let owner_ident = names::inline(&ident.to_string(), &case.name);
                    record(&quote!(#ident::#variant), values, fields, &owner_ident, owner, traits)
                }
            }
        }
        _ => unreachable!("the value was checked against its type"),
    }
}

/// A struct, or a variant with fields. What is not given has a default or is optional.
fn record(
    constructor: &TokenStream,
    values: &BTreeMap<String, Value>,
    fields: &[Field],
    ident: &str,
    owner: Owner<'_>,
    traits: &Traits<'_>,
) -> TokenStream {
    let members = fields.iter().map(|field| {
        let member = names::field(&field.name);
        let given = values.get(field.name.as_str()).or(field.default.as_ref());
        let value = match given {
            Some(given) => {
                let value = of_field(given, field, ident, owner, traits);
                if field.ty.optional { quote!(::std::option::Option::Some(#value)) } else { value }
            }
            None => quote!(::std::option::Option::None),
        };
        quote!(#member: #value)
    });
    quote!(#constructor { #(#members),* })
}

/// A duration in the largest unit of which it is a whole number.
pub(crate) fn duration(duration: Duration) -> TokenStream {
    let (seconds, nanos) = (duration.as_secs(), duration.subsec_nanos());
    let literal = Literal::u64_unsuffixed;
    if nanos == 0 {
        let seconds = literal(seconds);
        return quote!(::std::time::Duration::from_secs(#seconds));
    }
    match u64::try_from(duration.as_millis()) {
        Ok(millis) if nanos.is_multiple_of(1_000_000) => {
            let millis = literal(millis);
            quote!(::std::time::Duration::from_millis(#millis))
        }
        _ => {
            let (seconds, nanos) = (literal(seconds), Literal::u32_unsuffixed(nanos));
            quote!(::std::time::Duration::new(#seconds, #nanos))
        }
    }
}
