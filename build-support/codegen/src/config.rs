//! The `Config` struct: `[config]`, typed.

use ixt_manifest::{ConfigKey, Manifest, Type, Value};
use proc_macro2::{Literal, TokenStream};
use quote::quote;

use crate::{docs, names, types};

pub(crate) fn generate(manifest: &Manifest) -> TokenStream {
    let docs = docs::lines([
        format!("The configuration of the module `{}`: `[config]` of its manifest.", manifest.module.name),
        String::new(),
        "The host gives it when it starts the module; where it gives no value, the manifest's default holds."
            .to_owned(),
    ]);
    let fields = manifest.config.iter().map(|key| {
        let docs = docs::lines(key_docs(key));
        let field = names::field(&key.name);
        let ty = types::rust_type(&key.ty);
        quote!(#docs pub #field: #ty)
    });
    let reads = manifest.config.iter().map(|key| {
        let field = names::field(&key.name);
        let name = key.name.as_str();
        match (&key.default, &key.ty) {
            (Some(default), _) => {
                let default = value(default);
                quote!(#field: keys.or_default(#name, || #default))
            }
            (None, Type::Optional(_)) => quote!(#field: keys.or_default(#name, || ::std::option::Option::None)),
            (None, _) => quote!(#field: keys.required(#name)),
        }
    });
    let keys = if manifest.config.is_empty() { quote!(_) } else { quote!(keys) };
    let default = has_default(manifest).then(|| {
        quote! {
            /// Every key at its default.
            impl ::std::default::Default for Config {
                fn default() -> Self {
                    ::ixt_sdk::__private::default_config()
                }
            }
        }
    });
    let allow = docs::allow();
    quote! {
        #docs
        #[derive(Clone, Debug, PartialEq)]
        #allow
        pub struct Config {
            #(#fields,)*
        }

        #allow
        impl Config {
            /// Reads a configuration from a JSON object, as the host sends it.
            ///
            /// # Errors
            ///
            /// `INVALID_INPUT`, naming every key that is missing, unknown or has a value of the wrong type.
            pub fn from_json(json: &str) -> ::ixt_sdk::Result<Self> {
                ::ixt_sdk::__private::read_config(json)
            }
        }

        impl ::ixt_sdk::__private::FromConfig for Config {
            #[allow(clippy::approx_constant, clippy::too_many_lines, clippy::unreadable_literal)]
            fn from_config(#keys: &mut ::ixt_sdk::__private::ConfigKeys<'_>) -> Self {
                Self { #(#reads,)* }
            }
        }

        #default
    }
}

fn has_default(manifest: &Manifest) -> bool {
    manifest.config.iter().all(|key| key.default.is_some() || matches!(key.ty, Type::Optional(_)))
}

fn key_docs(key: &ConfigKey) -> Vec<String> {
    let presence = match (&key.default, &key.ty) {
        (Some(default), _) => format!("default {}", docs::code_span(&display(default))),
        (None, Type::Optional(_)) => "may be left out".to_owned(),
        (None, _) => "required".to_owned(),
    };
    let summary = format!("`{}`, of type `{}`; {presence}.", key.name, key.ty);
    match docs::described(key.description.as_ref(), String::new()) {
        lines if lines == [""] => vec![summary],
        mut lines => {
            lines.extend([String::new(), summary]);
            lines
        }
    }
}

/// A default as an expression.
fn value(default: &Value) -> TokenStream {
    match default {
        Value::String(text) => quote!(::std::string::String::from(#text)),
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
        Value::List(items) => {
            let items = items.iter().map(value);
            quote!(::std::vec::Vec::from([#(#items),*]))
        }
    }
}

/// A default as the documentation shows it.
fn display(default: &Value) -> String {
    match default {
        Value::String(text) => format!("{text:?}"),
        Value::Integer(integer) => integer.to_string(),
        Value::Float(float) => format!("{float:?}"),
        Value::Boolean(boolean) => boolean.to_string(),
        Value::Bytes(bytes) => format!("{} bytes", bytes.len()),
        Value::List(items) => format!("[{}]", items.iter().map(display).collect::<Vec<_>>().join(", ")),
    }
}
