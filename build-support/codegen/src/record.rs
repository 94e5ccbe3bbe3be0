//! The code of a record, and of the fields that a union's case has in place.

use ixt_manifest::{Field, Kind, Type};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::quote;

use crate::items::{About, Owner, Traits};
use crate::types::{any_secret, attributes, derives, field_type, rules};
use crate::{docs, names, value};

pub(crate) fn record(
    ident: &Ident,
    about: &About<'_>,
    fields: &[Field],
    owner: Owner<'_>,
    traits: &Traits<'_>,
) -> TokenStream {
    let attributes = attributes(about);
    let secret = any_secret(fields);
    let may_be_empty = fields.iter().all(|field| !field.is_required());
    let derive_default = may_be_empty && fields.iter().all(|field| field.default.is_none());
    let derives = if secret {
        quote!(#[derive(Clone, Debug)])
    } else {
        let (eq, copy) = traits.of_fields(fields);
        derives((eq, copy && !fields.is_empty()), derive_default)
    };
    let owner_ident = ident.to_string();
    let members = fields.iter().map(|field| member(field, &quote!(pub), &owner_ident, owner, traits));
    let allow = docs::allow();
    let reads = read_fields(fields, &owner_ident, owner, traits, &quote!(Self));
    let specs = field_specs(fields);
    let default = (may_be_empty && !derive_default && !secret).then(|| {
        let values = fields.iter().map(|field| {
            let member = names::field(&field.name);
            let default = match &field.default {
                Some(default) => value::of_field(default, field, &owner_ident, owner, traits),
                None => quote!(::std::option::Option::None),
            };
            quote!(#member: #default)
        });
        quote! {
            /// Every field at its default.
            #allow
            impl ::std::default::Default for #ident {
                fn default() -> Self {
                    Self { #(#values,)* }
                }
            }
        }
    });
    let reader = quote! {
        #allow
        impl ::ixt_sdk::__private::DecodeRecord for #ident {
            const FIELDS: &'static [::ixt_sdk::__private::Field] = &[#(#specs),*];

            fn decode_fields<'de, A: ::ixt_sdk::__private::serde::de::MapAccess<'de>>(
                reader: &mut ::ixt_sdk::__private::RecordReader<'de, A>,
            ) -> ::std::option::Option<Self> {
                #reads
            }
        }
    };
    let writer = if owner == Owner::Config {
        // The configuration has no way out: it may hold secrets.
        None
    } else {
        let writes = fields.iter().map(|field| {
            let member = names::field(&field.name);
            write_field(field, &quote!(self.#member), owner, traits)
        });
        let parameter = if fields.is_empty() { quote!(_) } else { quote!(writer) };
        Some(quote! {
            #allow
            impl ::ixt_sdk::__private::EncodeRecord for #ident {
                fn encode_fields<S: ::ixt_sdk::__private::serde::ser::SerializeMap>(
                    &self,
                    #parameter: &mut ::ixt_sdk::__private::RecordWriter<S>,
                ) {
                    #(#writes)*
                }
            }

            ::ixt_sdk::__private::serde_traits!(#ident);
        })
    };
    quote! {
        #attributes
        #derives
        pub struct #ident {
            #(#members,)*
        }

        #default
        #reader
        #writer
    }
}

/// A field with its documentation.
pub(crate) fn member(
    field: &Field,
    visibility: &TokenStream,
    owner_ident: &str,
    owner: Owner<'_>,
    traits: &Traits<'_>,
) -> TokenStream {
    let fallback = format!("`{}`, of type `{}`.", field.name, field.ty);
    let mut lines = docs::described(field.description.as_ref(), fallback);
    if let Some(bounds) = docs::bounds(&field.ty.bounds) {
        lines.extend([String::new(), bounds]);
    }
    let docs = docs::lines(lines);
    let deprecated = docs::deprecated(field.deprecated.as_ref());
    let ident = names::field(&field.name);
    let ty = field_type(field, owner_ident, owner, traits);
    quote!(#docs #deprecated #visibility #ident: #ty)
}

/// The fields as the SDK knows them: keys, and what values have to keep to.
pub(crate) fn field_specs(fields: &[Field]) -> Vec<TokenStream> {
    fields
        .iter()
        .map(|field| {
            let key = field.name.as_str();
            let constructor = if field.is_required() { quote!(required) } else { quote!(optional) };
            let rules = rules(&field.ty).map(|rules| quote!(.rules(#rules)));
            quote!(::ixt_sdk::__private::Field::#constructor(#key) #rules)
        })
        .collect()
}

/// Reads the fields and makes the value that `constructor` names.
pub(crate) fn read_fields(
    fields: &[Field],
    owner_ident: &str,
    owner: Owner<'_>,
    traits: &Traits<'_>,
    constructor: &TokenStream,
) -> TokenStream {
    if fields.is_empty() {
        return quote! {
            while reader.next().is_some() {
                reader.skip();
            }
            ::std::option::Option::Some(#constructor {})
        };
    }
    let nones = fields.iter().map(|_| quote!(::std::option::Option::None));
    let indices: Vec<_> = (0..fields.len()).map(Literal::usize_unsuffixed).collect();
    let values = fields.iter().zip(&indices).map(|(field, index)| {
        let member = names::field(&field.name);
        let slot = quote!(fields.#index);
        let boxed = traits.is_boxed(owner, &field.ty);
        let value = match (&field.default, field.ty.optional, boxed) {
            (Some(default), ..) => {
                let default = value::of_field(default, field, owner_ident, owner, traits);
                let value = if boxed { quote!(#slot.map(::std::boxed::Box::new)) } else { slot };
                if is_plain(&field.ty) {
                    quote!(#value.unwrap_or(#default))
                } else {
                    quote!(#value.unwrap_or_else(|| #default))
                }
            }
            (None, true, false) => slot,
            (None, true, true) => quote!(#slot.map(::std::boxed::Box::new)),
            (None, false, false) => quote!(#slot?),
            (None, false, true) => quote!(::std::boxed::Box::new(#slot?)),
        };
        quote!(#member: #value)
    });
    quote! {
        let mut fields = (#(#nones,)*);
        while let ::std::option::Option::Some(index) = reader.next() {
            match index {
                #(#indices => reader.value(&mut fields.#indices),)*
                _ => reader.skip(),
            }
        }
        ::std::option::Option::Some(#constructor { #(#values,)* })
    }
}

/// Whether a default costs nothing to make.
fn is_plain(ty: &Type) -> bool {
    matches!(ty.kind, Kind::Integer | Kind::Float | Kind::Boolean | Kind::Size | Kind::Enum(_))
}

fn write_field(field: &Field, place: &TokenStream, owner: Owner<'_>, traits: &Traits<'_>) -> TokenStream {
    let key = field.name.as_str();
    match (field.ty.optional, traits.is_boxed(owner, &field.ty)) {
        (true, true) => quote!(writer.optional(#key, #place.as_deref());),
        (true, false) => quote!(writer.optional(#key, #place.as_ref());),
        (false, true) => quote!(writer.field(#key, &*#place);),
        (false, false) => quote!(writer.field(#key, &#place);),
    }
}
