//! The code of the types: structs, enums, unions, newtypes and the errors of services.

use ixt_manifest::{Bounds, Field, Kind, Name, Type, Value};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use crate::items::{About, Item, Items, Owner, Traits};
use crate::options::Tailoring;
use crate::record::record;
use crate::text_enum::{errors, text_enum};
use crate::union::union;
use crate::{docs, names, value};

pub(crate) fn generate(items: &Items<'_>, traits: &Traits<'_>, tailoring: &Tailoring) -> TokenStream {
    items
        .iter()
        .map(|(ident, item, _)| {
            tailoring.replacement(ident).unwrap_or_else(|| {
                let attributes = tailoring.attributes(ident);
                let code = type_code(ident, item, traits);
                quote!(#attributes #code)
            })
        })
        .collect()
}

fn type_code(ident: &Ident, item: &Item<'_>, traits: &Traits<'_>) -> TokenStream {
    match item {
        Item::Record { about, fields, owner } => record(ident, about, fields, *owner, traits),
        Item::Enum { about, values, open } => text_enum(ident, about, values, *open),
        Item::Union { about, cases, open, owner } => union(ident, about, cases, *open, *owner, traits),
        Item::Newtype { about, ty, name } => newtype(ident, about, ty, name, traits),
        Item::Errors { service } => errors(ident, service),
    }
}

/// The documentation of a type, and that it is deprecated.
pub(crate) fn attributes(about: &About<'_>) -> TokenStream {
    let docs = docs::lines(docs::described(about.description, about.fallback.clone()));
    let deprecated = docs::deprecated(about.deprecated);
    let allow = docs::allow();
    quote!(#docs #deprecated #allow)
}

/// `Clone`, `Debug`, `PartialEq` and what else fits.
pub(crate) fn derives((eq, copy): (bool, bool), default: bool) -> TokenStream {
    let copy = copy.then(|| quote!(Copy,));
    let eq = eq.then(|| quote!(, Eq, Hash));
    let default = default.then(|| quote!(, Default));
    quote!(#[derive(Clone, #copy Debug, PartialEq #eq #default)])
}

/// The type of a field of the type `owner_ident`.
pub(crate) fn field_type(field: &Field, owner_ident: &str, owner: Owner<'_>, traits: &Traits<'_>) -> TokenStream {
    let ty = if field.secret {
        match field.ty.kind {
            Kind::Bytes => quote!(::ixt_sdk::SecretSlice<u8>),
            _ => quote!(::ixt_sdk::SecretString),
        }
    } else {
        kind(&field.ty, &names::inline(owner_ident, &field.name))
    };
    let ty = if traits.is_boxed(owner, &field.ty) { quote!(::std::boxed::Box<#ty>) } else { ty };
    if field.ty.optional { quote!(::std::option::Option<#ty>) } else { ty }
}

/// The Rust type for a manifest's type; `ident` is the name of what is written in place there.
pub(crate) fn rust_type(ty: &Type, ident: &str) -> TokenStream {
    let kind = kind(ty, ident);
    if ty.optional { quote!(::std::option::Option<#kind>) } else { kind }
}

fn kind(ty: &Type, ident: &str) -> TokenStream {
    match &ty.kind {
        Kind::String => quote!(::std::string::String),
        Kind::Integer => quote!(i64),
        Kind::Float => quote!(f64),
        Kind::Boolean => quote!(bool),
        Kind::Bytes => quote!(::ixt_sdk::Bytes),
        Kind::Duration => quote!(::std::time::Duration),
        Kind::Size => quote!(u64),
        Kind::Path => quote!(::std::path::PathBuf),
        Kind::Datetime => quote!(::ixt_sdk::Timestamp),
        Kind::List(item) => {
            let item = rust_type(item, &format!("{ident}Item"));
            quote!(::std::vec::Vec<#item>)
        }
        Kind::Map(value) => {
            let value = rust_type(value, &format!("{ident}Value"));
            quote!(::std::collections::BTreeMap<::std::string::String, #value>)
        }
        Kind::Enum(_) | Kind::Table(_) => {
            let ident = format_ident!("{ident}");
            quote!(#ident)
        }
        Kind::Named(name) => {
            let ident = names::camel(name);
            quote!(#ident)
        }
    }
}

/// What values of a type have to keep to, if anything.
pub(crate) fn rules(ty: &Type) -> Option<TokenStream> {
    let Bounds { min, max, min_length, max_length, pattern } = &ty.bounds;
    let mut rules = Vec::new();
    for (bound, prefix) in [(min, "Min"), (max, "Max")] {
        let Some(bound) = bound else { continue };
        let (suffix, literal) = match &bound.value {
            Value::Integer(integer) => ("", integer_literal(*integer)),
            Value::Float(float) => ("Float", float_literal(*float)),
            Value::Duration(duration) => ("Duration", value::duration(*duration)),
            Value::Size(size) => ("Size", size_literal(*size)),
            _ => continue,
        };
        let rule = format_ident!("{prefix}{suffix}");
        rules.push(quote!(#rule(#literal)));
    }
    for (bound, rule) in [(min_length, quote!(MinLength)), (max_length, quote!(MaxLength))] {
        if let Some(bound) = bound {
            let length = Literal::u64_unsuffixed(bound.value);
            rules.push(quote!(#rule(#length)));
        }
    }
    let mut rules: Vec<_> = rules.into_iter().map(|rule| quote!(::ixt_sdk::__private::Rule::#rule)).collect();
    if let Some(pattern) = pattern {
        let pattern = &pattern.value;
        rules.push(quote!(::ixt_sdk::__private::pattern!(#pattern)));
    }
    if let Kind::List(inner) | Kind::Map(inner) = &ty.kind {
        rules.extend(self::rules(inner).map(|rules| quote!(::ixt_sdk::__private::Rule::Each(#rules))));
    }
    (!rules.is_empty()).then(|| quote!(&[#(#rules),*]))
}

fn integer_literal(integer: i64) -> TokenStream {
    let literal = Literal::i64_unsuffixed(integer);
    quote!(#literal)
}

fn size_literal(size: u64) -> TokenStream {
    let literal = Literal::u64_unsuffixed(size);
    quote!(#literal)
}

fn float_literal(float: f64) -> TokenStream {
    let literal = Literal::f64_unsuffixed(float);
    quote!(#literal)
}

fn has_secret(field: &Field) -> bool {
    field.secret
        || match &field.ty.kind {
            Kind::Table(fields) => fields.iter().any(has_secret),
            Kind::List(inner) | Kind::Map(inner) => match &inner.kind {
                Kind::Table(fields) => fields.iter().any(has_secret),
                _ => false,
            },
            _ => false,
        }
}

pub(crate) fn any_secret(fields: &[Field]) -> bool {
    fields.iter().any(has_secret)
}

fn newtype(ident: &Ident, about: &About<'_>, ty: &Type, name: &Name, traits: &Traits<'_>) -> TokenStream {
    let mut lines = docs::described(about.description, about.fallback.clone());
    if let Some(bounds) = docs::bounds(&ty.bounds) {
        lines.extend([String::new(), bounds]);
    }
    let docs = docs::lines(lines);
    let deprecated = docs::deprecated(about.deprecated);
    let allow = docs::allow();
    let derives = derives(traits.of_type(ty), false);
    let inner = rust_type(ty, &ident.to_string());
    let rules = rules(ty).map(|rules| {
        let name = name.as_str();
        quote!(, #name, #rules)
    });
    quote! {
        #docs
        #deprecated
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
    }
}
