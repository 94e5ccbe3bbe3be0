//! The code of the struct `Config`: a field for each key of `[config]`, and how it is read. The tables and enums in it
//! are types of `generated_types`.

use ixt_manifest::{Field, Manifest, TypeKind};
use quote::quote;

use crate::generated_types::FieldOwner;
use crate::rust_code::{Lines, RustCode, block, ending, string};
use crate::type_traits::{Owner, TypeTraits};
use crate::{default_values, doc_comments, names, rust_types, scalar_types};

/// The struct, its constant `KEYS`, its constructor `from_json`, and its `Default` if no key is required. It has
/// `PartialEq` if no key holds a secret. Its code reads all keys before it fails, so that all mistakes are reported at
/// once. Without `[config]` it is there too, and has no fields.
pub(crate) fn generate(manifest: &Manifest, traits: &TypeTraits<'_>) -> RustCode {
    let config = &manifest.config;
    let owner = Owner { ident: "Config", kind: FieldOwner::Config, traits };
    let docs = doc_comments::attributes(
        [
            format!("The configuration of the module `{}`: `[config]` of its manifest.", manifest.module.name),
            String::new(),
            "The host gives it when it starts the module; where it gives no value, the manifest's default holds."
                .to_owned(),
        ],
        None,
    );
    let fields = config.iter().flat_map(|key| {
        let mut lines = doc_comments::comment(key_docs(key));
        lines.extend(doc_comments::deprecated(key.deprecated.as_ref()));
        let ty = rust_types::field_type(key, owner);
        lines.push(format!("pub {}: {ty},", names::field(&key.name)));
        lines
    });
    let mut locals = Lines::new();
    let (mut reads, mut last_reads) = (Lines::new(), Lines::new());
    for (index, key) in config.iter().enumerate() {
        let field = names::field(&key.name);
        let name = string(key.name.as_str());
        let rules = match rust_types::rules(&key.ty) {
            Some(rules) => format!("const {{ {rules} }}"),
            None => "&[]".to_owned(),
        };
        let read = match &key.default {
            Some(default) => {
                let default = default_values::of_field(default, key, owner);
                format!("keys.or({name}, {rules}, {default})")
            }
            None if key.ty.optional => format!("keys.maybe({name}, {rules})"),
            None if has_stand_in(key) => format!("keys.required({name}, {rules})"),
            None => {
                // `?` comes after all keys have been read, so that all mistakes are found.
                locals.push(format!("let value_{index} = keys.take({name}, {rules});"));
                last_reads.push(format!("{field}: value_{index}?,"));
                continue;
            }
        };
        reads.push(format!("{field}: {read},"));
    }
    reads.extend(last_reads);
    let mut body = locals;
    body.extend(ending(block("::std::option::Option::Some(Self", &reads), ")"));
    let keys = if config.is_empty() { quote!(_) } else { quote!(keys) };
    let secret = rust_types::any_secret(config);
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
    let (fields_blank, keys_blank) =
        if config.is_empty() { Default::default() } else { (quote!(__FIELDS__: ()), quote!(__KEYS__)) };
    let allow = doc_comments::allow();
    let items = quote! {
        #docs
        #derives
        #allow
        pub struct Config {
            #fields_blank
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
            const KEYS: &'static [::ixt_sdk::ConfigKey] = &[#keys_blank];

            fn from_config(#keys: &mut ::ixt_sdk::__private::ConfigKeys) -> ::std::option::Option<Self> {
                __BODY__
            }
        }

        #default
    };
    let specs = config.iter().flat_map(key_spec).collect();
    RustCode::filled(items, &[("FIELDS", fields.collect()), ("KEYS", specs), ("BODY", body)])
}

/// Whether the Rust type of a required key is known to implement `Default`: not if the key is secret, and not for
/// enums, tables and types of `[types]`. If so, the SDK reads on with that default when the key is missing or wrong, so
/// that it finds all mistakes. This default never gets into a configuration.
fn has_stand_in(key: &Field) -> bool {
    match &key.ty.kind {
        TypeKind::Scalar(scalar) => !key.secret && scalar_types::has_default(*scalar),
        TypeKind::List(_) | TypeKind::Map(_) => true,
        TypeKind::Named(_) | TypeKind::Enum(_) | TypeKind::Table(_) => false,
    }
}

/// The entry of a key in `Config::KEYS`: its name, type, description, default, and whether it is required, secret or
/// deprecated. If the key holds a secret, its default is left out. Its bounds are not in it.
fn key_spec(key: &Field) -> Lines {
    let mut spec =
        vec![format!("::ixt_sdk::ConfigKey::new({}, {})", string(key.name.as_str()), string(&key.ty.to_string()))];
    if let Some(description) = &key.description {
        spec.push(format!("    .with_description({})", string(description)));
    }
    if let Some(default) = key.default.as_ref().filter(|_| !key.holds_secret()) {
        spec.push(format!("    .with_default({})", string(&default.to_string())));
    }
    if key.is_required() {
        spec.push("    .required()".to_owned());
    }
    if key.secret {
        spec.push("    .secret()".to_owned());
    }
    if let Some(deprecated) = &key.deprecated {
        spec.push(format!("    .deprecated({})", string(deprecated.instead.as_deref().unwrap_or_default())));
    }
    ending(spec, ",")
}

/// The documentation of a key's field: its description, its type, whether it is secret, its default or that it is
/// required, and its bounds. The default of a key that holds a secret is not shown.
fn key_docs(key: &Field) -> Vec<String> {
    let presence = match &key.default {
        Some(_) if key.holds_secret() => "with a default".to_owned(),
        Some(default) => format!("default {}", doc_comments::code_span(&default.to_string())),
        None if key.ty.optional => "may be left out".to_owned(),
        None => "required".to_owned(),
    };
    let secret = if key.secret { "secret, " } else { "" };
    let mut summary = format!("`{}`, {secret}of type `{}`; {presence}.", key.name, key.ty);
    if let Some(bounds) = doc_comments::bounds(&key.ty.bounds) {
        summary = format!("{summary} {bounds}");
    }
    match doc_comments::described(key.description.as_ref(), String::new()) {
        lines if lines == [""] => vec![summary],
        mut lines => {
            lines.extend([String::new(), summary]);
            lines
        }
    }
}
