//! A struct for each type of `[types]` and for each message whose fields are written in place.

use std::collections::BTreeMap;

use ixt_manifest::{Field, Manifest, Message, Record, Type};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use crate::names::Role;
use crate::{docs, names};

pub(crate) fn generate(manifest: &Manifest) -> TokenStream {
    let recursion = Recursion::of(manifest);
    // By name, so that the order of the manifest makes no difference.
    let mut structs = BTreeMap::new();
    for definition in &manifest.types {
        let name = definition.name.as_str();
        let ident = names::type_name(name);
        let docs = vec![format!("The type `{name}` of the manifest.")];
        let boxed = |ty: &str| recursion.goes_round(name, ty);
        structs.insert(ident.clone(), record_struct(&ident, &docs, &definition.record, &boxed));
    }
    for service in &manifest.services {
        for (role, declared, what) in
            [(Role::Request, &service.request, "request to"), (Role::Response, &service.response, "response of")]
        {
            if let Some(declared @ Message::Inline(record)) = declared {
                let ident = names::message(service, role, declared);
                let docs = vec![format!("The {what} `{}`.", service.topic)];
                structs.insert(ident.clone(), record_struct(&ident, &docs, record, &|_| false));
            }
        }
    }
    structs.into_values().collect()
}

fn record_struct(ident: &Ident, docs: &[String], record: &Record, boxed: &dyn Fn(&str) -> bool) -> TokenStream {
    let docs = docs::lines(docs);
    let fields = record.fields.iter().map(|field| struct_field(field, boxed));
    let allow = docs::allow();
    let read = read_record(ident, record);
    quote! {
        #docs
        #[derive(Clone, Debug, PartialEq, ::ixt_sdk::__private::serde::Serialize)]
        #[serde(crate = "::ixt_sdk::__private::serde")]
        #allow
        pub struct #ident {
            #(#fields,)*
        }

        #read
    }
}

fn struct_field(field: &Field, boxed: &dyn Fn(&str) -> bool) -> TokenStream {
    let fallback = format!("`{}`, of type `{}`.", field.name, field.ty);
    let docs = docs::lines(docs::described(field.description.as_ref(), fallback));
    let ident = names::field(&field.name);
    let name = field.name.as_str();
    let rename = (ident != name).then(|| quote!(#[serde(rename = #name)]));
    let (ty, skip) = match &field.ty {
        Type::Optional(inner) => {
            let mut ty = rust_type(inner);
            if matches!(&**inner, Type::Named(name) if boxed(name)) {
                ty = quote!(::std::boxed::Box<#ty>);
            }
            let skip = quote!(#[serde(skip_serializing_if = "::std::option::Option::is_none")]);
            (quote!(::std::option::Option<#ty>), Some(skip))
        }
        ty => (rust_type(ty), None),
    };
    quote!(#docs #rename #skip pub #ident: #ty)
}

/// `Deserialize`, by way of the SDK's `Record`, which says why.
fn read_record(ident: &Ident, record: &Record) -> TokenStream {
    let keys = record.fields.iter().map(|field| field.name.as_str());
    let indices: Vec<_> = (0..record.fields.len()).map(Literal::usize_unsuffixed).collect();
    // Not the fields' own names, which could be those of the parameters.
    let slots: Vec<_> = (0..record.fields.len()).map(|index| format_ident!("field_{index}")).collect();
    let fields = record.fields.iter().zip(&slots).zip(&indices).map(|((field, slot), index)| {
        let ident = names::field(&field.name);
        match &field.ty {
            Type::Optional(_) => quote!(#ident: #slot.flatten()),
            _ => quote!(#ident: reader.required(#index, #slot)?),
        }
    });
    let body = if record.fields.is_empty() {
        quote! {
            while reader.next_key()?.is_some() {
                reader.skip()?;
            }
            ::std::result::Result::Ok(Self {})
        }
    } else {
        quote! {
            #(let mut #slots = ::std::option::Option::None;)*
            while let ::std::option::Option::Some(index) = reader.next_key()? {
                match index {
                    #(#indices => reader.value(index, &mut #slots)?,)*
                    _ => reader.skip()?,
                }
            }
            ::std::result::Result::Ok(Self { #(#fields,)* })
        }
    };
    quote! {
        impl ::ixt_sdk::__private::Record for #ident {
            const KEYS: &'static [&'static str] = &[#(#keys),*];

            fn read<'de, A: ::ixt_sdk::__private::serde::de::MapAccess<'de>>(
                reader: &mut ::ixt_sdk::__private::RecordReader<A>,
            ) -> ::std::result::Result<Self, A::Error> {
                #body
            }
        }

        impl<'de> ::ixt_sdk::__private::serde::Deserialize<'de> for #ident {
            fn deserialize<D: ::ixt_sdk::__private::serde::Deserializer<'de>>(
                deserializer: D,
            ) -> ::std::result::Result<Self, D::Error> {
                ::ixt_sdk::__private::deserialize_record(deserializer)
            }
        }
    }
}

/// The Rust type for a manifest's type.
pub(crate) fn rust_type(ty: &Type) -> TokenStream {
    match ty {
        Type::String => quote!(::std::string::String),
        Type::Integer => quote!(i64),
        Type::Float => quote!(f64),
        Type::Boolean => quote!(bool),
        Type::Bytes => quote!(::ixt_sdk::Bytes),
        Type::List(item) => {
            let item = rust_type(item);
            quote!(::std::vec::Vec<#item>)
        }
        Type::Optional(inner) => {
            let inner = rust_type(inner);
            quote!(::std::option::Option<#inner>)
        }
        Type::Named(name) => {
            let ident = names::type_name(name);
            quote!(#ident)
        }
    }
}

/// Which types hold which without a `Vec` in between: a struct that comes round to itself that way needs a `Box`.
struct Recursion<'a>(BTreeMap<&'a str, Vec<&'a str>>);

impl<'a> Recursion<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let holds = |record: &'a Record| record.fields.iter().filter_map(|field| held(&field.ty)).collect();
        Self(manifest.types.iter().map(|ty| (ty.name.as_str(), holds(&ty.record))).collect())
    }

    /// Whether `inner` holds `outer`, directly or through others.
    fn goes_round(&self, outer: &str, inner: &str) -> bool {
        let mut pending = vec![inner];
        let mut seen = vec![];
        while let Some(ty) = pending.pop() {
            if ty == outer {
                return true;
            }
            if !seen.contains(&ty) {
                seen.push(ty);
                pending.extend(self.0.get(ty).into_iter().flatten());
            }
        }
        false
    }
}

fn held(ty: &Type) -> Option<&str> {
    match ty {
        Type::Named(name) => Some(name),
        Type::Optional(inner) => held(inner),
        _ => None,
    }
}
