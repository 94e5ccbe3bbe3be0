//! The code of the types: structs, enums, unions, newtypes and the errors of services.

use ixt_manifest::{Bounds, Field, Kind, Name, Scalar, Type, Value};
use proc_macro2::Ident;
use quote::quote;

use crate::items::{About, Item, Items, Owner, Traits};
use crate::options::Tailoring;
use crate::record::record;
use crate::rust_code::{Code, Lines, string, tokens};
use crate::text_enum::{errors, text_enum};
use crate::union::union;
use crate::{default_values, doc_comments, names, scalar_types};

pub(crate) fn generate(items: &Items<'_>, traits: &Traits<'_>, tailoring: &Tailoring) -> Code {
    let mut code = Code::default();
    for (ident, item, _) in items.iter() {
        code.extend(tailoring.replacement(ident).unwrap_or_else(|| {
            let mut code = type_code(ident, item, traits);
            code.prepend(tailoring.attributes(ident));
            code
        }));
    }
    code
}

fn type_code(ident: &Ident, item: &Item<'_>, traits: &Traits<'_>) -> Code {
    match item {
        Item::Record { about, fields, owner } => record(ident, about, fields, *owner, traits),
        Item::Enum { about, values, open } => text_enum(ident, about, values, *open),
        Item::Union { about, cases, open, owner } => union(ident, about, cases, *open, *owner, traits),
        Item::Newtype { about, ty, name } => newtype(ident, about, ty, name, traits),
        Item::Errors { service } => errors(ident, service),
    }
}

/// The documentation of a type, and that it is deprecated.
pub(crate) fn attributes(about: &About<'_>) -> Lines {
    let mut lines = doc_comments::comment(doc_comments::described(about.description, about.fallback.clone()));
    lines.extend(doc_comments::deprecated(about.deprecated));
    lines.push(doc_comments::ALLOW.to_owned());
    lines
}

/// `Clone`, `Debug`, `PartialEq` and what else fits.
pub(crate) fn derives((eq, copy): (bool, bool), default: bool) -> String {
    let copy = if copy { "Copy, " } else { "" };
    let eq = if eq { ", Eq, Hash" } else { "" };
    let default = if default { ", Default" } else { "" };
    format!("#[derive(Clone, {copy}Debug, PartialEq{eq}{default})]")
}

/// The type of a field of the type `owner_ident`.
pub(crate) fn field_type(field: &Field, owner_ident: &str, owner: Owner<'_>, traits: &Traits<'_>) -> String {
    let ty = match field.ty.kind {
        Kind::Scalar(Scalar::Bytes) if field.secret => "::ixt_sdk::SecretSlice<u8>".to_owned(),
        _ if field.secret => "::ixt_sdk::SecretString".to_owned(),
        _ => kind(&field.ty, &names::inline(owner_ident, &field.name)),
    };
    let ty = if traits.is_boxed(owner, &field.ty) { format!("::std::boxed::Box<{ty}>") } else { ty };
    if field.ty.optional { option(&ty) } else { ty }
}

/// The Rust type for a manifest's type; `ident` is the name of what is written in place there.
pub(crate) fn rust_type(ty: &Type, ident: &str) -> String {
    let kind = kind(ty, ident);
    if ty.optional { option(&kind) } else { kind }
}

fn option(ty: &str) -> String {
    format!("::std::option::Option<{ty}>")
}

fn kind(ty: &Type, ident: &str) -> String {
    let plain = match &ty.kind {
        Kind::Scalar(scalar) => scalar_types::rust_type(*scalar),
        Kind::List(item) => {
            return format!("::std::vec::Vec<{}>", rust_type(item, &format!("{ident}Item")));
        }
        Kind::Map(value) => {
            let value = rust_type(value, &format!("{ident}Value"));
            return format!("::std::collections::BTreeMap<::std::string::String, {value}>");
        }
        Kind::Enum(_) | Kind::Table(_) => ident,
        Kind::Named(name) => return names::camel(name).to_string(),
    };
    plain.to_owned()
}

/// What values of a type have to keep to, if anything.
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
            _ => continue,
        };
        rules.push(format!("::ixt_sdk::__private::Rule::{prefix}{suffix}({literal})"));
    }
    for (bound, rule) in [(min_length, "MinLength"), (max_length, "MaxLength")] {
        rules.extend(bound.iter().map(|bound| format!("::ixt_sdk::__private::Rule::{rule}({})", bound.value)));
    }
    if let Some(pattern) = pattern {
        rules.push(format!("::ixt_sdk::__private::pattern!({})", string(&pattern.value)));
    }
    if let Kind::List(inner) | Kind::Map(inner) = &ty.kind {
        rules.extend(self::rules(inner).map(|rules| format!("::ixt_sdk::__private::Rule::Each({rules})")));
    }
    (!rules.is_empty()).then(|| format!("&[{}]", rules.join(", ")))
}

pub(crate) fn any_secret(fields: &[Field]) -> bool {
    fields.iter().any(Field::holds_secret)
}

fn newtype(ident: &Ident, about: &About<'_>, ty: &Type, name: &Name, traits: &Traits<'_>) -> Code {
    let mut lines = doc_comments::described(about.description, about.fallback.clone());
    if let Some(bounds) = doc_comments::bounds(&ty.bounds) {
        lines.extend([String::new(), bounds]);
    }
    let mut attributes = doc_comments::comment(lines);
    attributes.extend(doc_comments::deprecated(about.deprecated));
    let attributes = tokens(&attributes.join("\n"));
    let allow = tokens(doc_comments::ALLOW);
    let derives = tokens(&derives(traits.of_type(ty), false));
    let inner = tokens(&rust_type(ty, &ident.to_string()));
    let rules = rules(ty).map(|rules| tokens(&format!(", {}, {rules}", string(name.as_str()))));
    Code::quoted(quote! {
        #attributes
        #allow
        #derives
        pub struct #ident(#inner);

        #allow
        impl #ident {
            /// The value inside.
            #[must_use]
            pub fn into_inner(self) -> #inner {
                self.0
            }
        }

        ::ixt_sdk::__private::newtype!(#ident, #inner #rules);
    })
}
