//! The `Config` struct: `[config]`, typed.

use ixt_manifest::{Field, Kind, Manifest};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::items::{Owner, Traits};
use crate::{docs, names, types, value};

pub(crate) fn generate(manifest: &Manifest, traits: &Traits<'_>) -> TokenStream {
    let config = &manifest.config;
    let docs = docs::lines([
        format!("The configuration of the module `{}`: `[config]` of its manifest.", manifest.module.name),
        String::new(),
        "The host gives it when it starts the module; where it gives no value, the manifest's default holds."
            .to_owned(),
    ]);
    let fields = config.iter().map(|key| {
        let docs = docs::lines(key_docs(key));
        let deprecated = docs::deprecated(key.deprecated.as_ref());
        let field = names::field(&key.name);
        let ty = types::field_type(key, "Config", Owner::Config, traits);
        quote!(#docs #deprecated pub #field: #ty)
    });
    let mut locals = Vec::new();
    let (mut reads, mut last_reads) = (Vec::new(), Vec::new());
    for (index, key) in config.iter().enumerate() {
        let field = names::field(&key.name);
        let name = key.name.as_str();
        let rules = match types::rules(&key.ty) {
            Some(rules) => quote!(const { #rules }),
            None => quote!(&[]),
        };
        let read = match &key.default {
            Some(default) => {
                let default = value::of_field(default, key, "Config", Owner::Config, traits);
                quote!(keys.or(#name, #rules, #default))
            }
            None if key.ty.optional => quote!(keys.maybe(#name, #rules)),
            None if has_stand_in(key) => quote!(keys.required(#name, #rules)),
            None => {
                // Nothing returns before everything was looked at.
                let local = format_ident!("value_{index}");
                locals.push(quote!(let #local = keys.take(#name, #rules);));
                last_reads.push(quote!(#field: #local?));
                continue;
            }
        };
        reads.push(quote!(#field: #read));
    }
    reads.extend(last_reads);
    let keys = if config.is_empty() { quote!(_) } else { quote!(keys) };
    let secret = types::any_secret(config);
    let derives = if secret { quote!(#[derive(Clone, Debug)]) } else { quote!(#[derive(Clone, Debug, PartialEq)]) };
    let default = config.iter().all(|key| !key.is_required()).then(|| {
        quote! {
            /// Every key at its default.
            impl ::std::default::Default for Config {
                fn default() -> Self {
                    ::ixt_sdk::__private::default_config()
                }
            }
        }
    });
    let specs = config.iter().map(key_spec);
    let allow = docs::allow();
    quote! {
        #docs
        #derives
        #allow
        pub struct Config {
            #(#fields,)*
        }

        #allow
        impl Config {
            /// What the manifest says about the keys, sorted by name: for tools that list or explain the configuration.
            pub const KEYS: &'static [::ixt_sdk::ConfigKey] =
                <Self as ::ixt_sdk::__private::FromConfig>::KEYS;

            /// Reads a configuration from a JSON object, as the host sends it.
            ///
            /// # Errors
            ///
            /// `INVALID_INPUT`, naming every key that is missing, unknown or has a value that doesn't fit.
            pub fn from_json(json: &str) -> ::ixt_sdk::Result<Self> {
                ::ixt_sdk::__private::read_config(json)
            }
        }

        #allow
        impl ::ixt_sdk::__private::FromConfig for Config {
            const KEYS: &'static [::ixt_sdk::ConfigKey] = &[#(#specs),*];

            fn from_config(#keys: &mut ::ixt_sdk::__private::ConfigKeys) -> ::std::option::Option<Self> {
                #(#locals)*
                ::std::option::Option::Some(Self { #(#reads,)* })
            }
        }

        #default
    }
}

/// Whether there is some value of the key's type, whatever the manifest says.
fn has_stand_in(key: &Field) -> bool {
    !key.secret && !matches!(key.ty.kind, Kind::Named(_) | Kind::Enum(_) | Kind::Table(_))
}

fn key_spec(key: &Field) -> TokenStream {
    let name = key.name.as_str();
    let ty = key.ty.to_string();
    let description = key.description.as_ref().map(|description| quote!(.with_description(#description)));
    let default = key.default.as_ref().filter(|_| !key.secret).map(|default| {
        let default = default.to_string();
        quote!(.with_default(#default))
    });
    let required = key.is_required().then(|| quote!(.required()));
    let secret = key.secret.then(|| quote!(.secret()));
    let deprecated = key.deprecated.as_ref().map(|deprecated| {
        let instead = deprecated.instead.clone().unwrap_or_default();
        quote!(.deprecated(#instead))
    });
    quote!(::ixt_sdk::ConfigKey::new(#name, #ty) #description #default #required #secret #deprecated)
}

fn key_docs(key: &Field) -> Vec<String> {
    let presence = match &key.default {
        Some(_) if key.secret => "with a default".to_owned(),
        Some(default) => format!("default {}", docs::code_span(&default.to_string())),
        None if key.ty.optional => "may be left out".to_owned(),
        None => "required".to_owned(),
    };
    let secret = if key.secret { "secret, " } else { "" };
    let mut summary = format!("`{}`, {secret}of type `{}`; {presence}.", key.name, key.ty);
    if let Some(bounds) = docs::bounds(&key.ty.bounds) {
        summary = format!("{summary} {bounds}");
    }
    match docs::described(key.description.as_ref(), String::new()) {
        lines if lines == [""] => vec![summary],
        mut lines => {
            lines.extend([String::new(), summary]);
            lines
        }
    }
}
