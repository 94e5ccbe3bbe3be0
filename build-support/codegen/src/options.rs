//! Options of the code generator, for the build script and the command `ixt generate`. An option for a type that the
//! manifest does not have is not ignored: it is an error.

use std::collections::{BTreeMap, BTreeSet};

use ixt_manifest::{Case, Diagnostic, Field, Manifest, MessageType, Name, Shape, Type, TypeKind};
use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::generated_types::{GeneratedType, GeneratedTypes};
use crate::names;
use crate::rust_code::{Lines, RustCode};

/// Changes to the generated code. [`Options::default`] is empty and changes nothing. Types are called by their Rust
/// names. An option that applies to no type, can't be read, or asks for what a field excludes below, is an error with
/// the code [`Code::InvalidOption`](crate::Code::InvalidOption), from [`generate`](crate::generate()) and
/// [`Builder::compile`](crate::Builder::compile).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Further attributes of types: the name of a generated type and one or more attributes with `#[` and `]`, such as
    /// `("Order", "#[derive(PartialOrd)]")`. A type may be here several times; the attributes are added in this order,
    /// before those that are generated. It may be one that is written in place, but not `Config`, `Topic` or `Handler`,
    /// one of `replaced`, or a type of an imported manifest. Whether the attributes mean something, and whether they
    /// are there already, only rustc finds out.
    pub attributes: Vec<(String, String)>,
    /// Types of `[types]` that are not generated, each with the path of the author's type that is used instead, such as
    /// `("Order", "crate::model::Order")`. The author's type is one of the crate that includes the code, implements
    /// `Clone`, `Debug`, `PartialEq` and serde's `Serialize` and `DeserializeOwned`, and checks the manifest's bounds
    /// itself. A type that contains it is neither `Copy`, `Eq` nor `Hash`. If a name is here twice, the last path is
    /// used.
    ///
    /// A type can't be replaced if it is a case of a union, or if the type of a field or config key with a default is
    /// or can contain it, even if the default does not. Two such defaults are not found here, but by rustc: that of a
    /// field that a case of a union has in place, and one that contains the type only in a record that is a case.
    pub replaced: Vec<(String, String)>,
    /// The Rust path of the SDK's crate in the code, such as `crate::sdk`. `None`: `::ixt_sdk`.
    pub sdk: Option<String>,
}

/// Options that were parsed and fit the manifest. The default changes nothing; it is used for the types of imported
/// manifests.
#[derive(Default)]
pub(crate) struct CheckedOptions {
    /// The attributes of each type, as lines of code, by the type's Rust name. A type without attributes is not here.
    attributes: BTreeMap<String, Lines>,
    /// The path of the author's type, by the Rust name of the type that it replaces.
    replaced: BTreeMap<String, syn::Path>,
    /// The path of the SDK's crate. `None` if the option is not set.
    sdk: Option<TokenStream>,
}

impl Options {
    /// Checks that each option can be read and applies to a type. `types` are all types of `manifest`. The error has
    /// the mistakes of all options, without a place in the manifest; it is not empty. The text of an option for a type
    /// that does not exist is not checked.
    pub(crate) fn check(
        &self,
        manifest: &Manifest,
        types: &GeneratedTypes<'_>,
    ) -> Result<CheckedOptions, Vec<Diagnostic>> {
        let mut mistakes = Vec::new();
        let generated: Vec<String> = types.iter().map(|(ident, ..)| ident.to_string()).collect();
        let declared: Vec<String> =
            manifest.types.iter().map(|definition| names::camel(definition.name.as_str()).to_string()).collect();
        let mut known = |name: &str, option: &str, names: &[String], what: &str| {
            let known = names.iter().any(|known| known == name);
            if !known {
                let message = format!("the option `{option}` is for a type `{name}`, which is not {what}");
                mistakes.push(invalid(&message).help(format!("the types are {}", list(names))));
            }
            known
        };
        let attributes: Vec<_> =
            self.attributes.iter().filter(|(name, _)| known(name, "attribute", &generated, "generated")).collect();
        let replaced: Vec<_> =
            self.replaced.iter().filter(|(name, _)| known(name, "replace", &declared, "declared in [types]")).collect();

        let mut options = CheckedOptions::default();
        for (name, text) in attributes {
            match syn::parse::Parser::parse_str(syn::Attribute::parse_outer, text) {
                Ok(attributes) if !attributes.is_empty() => {
                    let lines = text.lines().map(str::to_owned);
                    options.attributes.entry(name.clone()).or_default().extend(lines);
                }
                _ => mistakes.push(invalid(&format!("`{text}` is not an attribute")).help("write it as `#[…]`")),
            }
        }
        for (name, text) in replaced {
            match syn::parse_str::<syn::Path>(text) {
                Ok(path) => drop(options.replaced.insert(name.clone(), path)),
                Err(_) => mistakes.push(invalid(&format!("`{text}` is not the path of a type"))),
            }
            if self.attributes.iter().any(|(other, _)| other == name) {
                mistakes.push(invalid(&format!("`{name}` is replaced, so it takes no attributes")));
            }
            for (_, item, _) in types.iter() {
                if let GeneratedType::Union { cases, .. } = item
                    && let Some(case) = cases.iter().find(|case| is_of_type(case, name))
                {
                    let message = format!("`{name}` can't be replaced: it is the case `{}` of a union", case.name);
                    mistakes.push(invalid(&message));
                }
            }
            if let Some(field) = default_of(name, manifest, types) {
                let message = format!("`{name}` can't be replaced: the default of `{field}` is one, or holds one");
                mistakes.push(invalid(&message));
            }
        }
        if let Some(text) = &self.sdk {
            match syn::parse_str::<syn::Path>(text) {
                Ok(path) => options.sdk = Some(quote!(#path)),
                Err(_) => mistakes.push(invalid(&format!("`{text}` is not the path of a crate"))),
            }
        }
        if mistakes.is_empty() { Ok(options) } else { Err(mistakes) }
    }
}

/// Whether the case has as its content the type of `[types]` with this Rust name.
fn is_of_type(case: &Case, name: &str) -> bool {
    matches!(&case.content, MessageType::Named(record) if names::camel(record.as_str()) == *name)
}

/// The name of the first field or config key that has a default and whose type is or can contain the type with this
/// Rust name; config keys come first. `None` if there is none. Fields that cases of unions have in place are not
/// searched.
fn default_of<'m>(name: &str, manifest: &'m Manifest, types: &GeneratedTypes<'m>) -> Option<&'m Name> {
    let holds = |field: &&Field| {
        let mut seen = BTreeSet::new();
        field.default.is_some() && holds(&field.ty, name, manifest, &mut seen)
    };
    let in_items = types.iter().filter_map(|(_, item, _)| match item {
        GeneratedType::Record { fields, .. } => fields.iter().find(holds),
        _ => None,
    });
    manifest.config.iter().find(holds).into_iter().chain(in_items).map(|field| &field.name).next()
}

/// Whether a value of `ty` can contain one of the type with the Rust name `name`. `seen` are the types that were
/// already searched, so that the search of a recursive type ends. Records that are cases of a union are not searched.
fn holds<'m>(ty: &'m Type, name: &str, manifest: &'m Manifest, seen: &mut BTreeSet<&'m str>) -> bool {
    match &ty.kind {
        TypeKind::List(inner) | TypeKind::Map(inner) => holds(inner, name, manifest, seen),
        TypeKind::Table(fields) => fields.iter().any(|field| holds(&field.ty, name, manifest, seen)),
        TypeKind::Named(named) if names::camel(named) == *name => true,
        TypeKind::Named(named) if seen.insert(named) => {
            match manifest.find_type(named).map(|definition| &definition.shape) {
                Some(Shape::Record(fields)) => fields.iter().any(|field| holds(&field.ty, name, manifest, seen)),
                Some(Shape::Newtype(ty)) => holds(ty, name, manifest, seen),
                Some(Shape::Union { cases, .. }) => cases.iter().any(|case| match &case.content {
                    MessageType::Inline { fields, .. } => {
                        fields.iter().any(|field| holds(&field.ty, name, manifest, seen))
                    }
                    MessageType::Named(_) => false,
                }),
                _ => false,
            }
        }
        _ => false,
    }
}

/// A diagnostic of a wrong option, without a place.
fn invalid(message: &str) -> Diagnostic {
    Diagnostic::new(ixt_manifest::Code::InvalidOption, message)
}

/// The names in code spans, separated by commas, for a help text; `none` if there are none.
fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

impl CheckedOptions {
    /// The lines of the author's attributes for a generated type, in the order of the options. Empty if there are none.
    pub(crate) fn attributes(&self, ident: &Ident) -> &[String] {
        self.attributes.get(&ident.to_string()).map_or(&[], Vec::as_slice)
    }

    /// The code in place of a type that the author has replaced: the SDK's traits, and a `use` of the author's type
    /// under the type's name, unless the path is that name alone. `None` if the type is to be generated.
    pub(crate) fn replacement(&self, ident: &Ident) -> Option<RustCode> {
        let path = self.replaced.get(&ident.to_string())?;
        // If the path is the name alone, the author's type is in scope where the code is included.
        let import = (!path.is_ident(ident)).then(|| {
            quote! {
                #[allow(unused_imports)]
                pub(crate) use #path as #ident;
            }
        });
        Some(RustCode::quoted(quote! {
            #import
            ::ixt_sdk::__private::authors_type!(#ident);
        }))
    }

    /// The Rust names of the replaced types.
    pub(crate) fn replaced(&self) -> BTreeSet<String> {
        self.replaced.keys().cloned().collect()
    }

    /// The path of the SDK's crate. `None` if the option is not set.
    pub(crate) fn sdk(&self) -> Option<&TokenStream> {
        self.sdk.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use ixt_manifest::Source;

    use super::*;
    use crate::generate;

    const MANIFEST: &str = r#"
        schema_version = "3.0"
        [module]
        name = "m"
        version = "1.0.0"
        [provides]
        services = ["s"]
        [config]
        carrier = { type = "Crate", default = { boxes = [{ item = { name = "a" } }] } }
        tree = { type = "Node", default = {} }
        [types.Node]
        next = "Node?"
        [types.Item]
        name = "string"
        [types.Box]
        item = "Item"
        [types.Crate]
        boxes = "[Box]"
        [types.Free]
        next = "Free?"
        [types.Case]
        union = { free = "Free" }
        [services."s"]
        request = { case = "Case", free = "Free" }
    "#;

    /// The code for these options, or what is wrong with them.
    fn with(attributes: &[(&str, &str)], replaced: &[(&str, &str)], sdk: Option<&str>) -> Result<String, Vec<String>> {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect::<Vec<_>>()
        };
        let options =
            Options { attributes: owned(attributes), replaced: owned(replaced), sdk: sdk.map(ToOwned::to_owned) };
        generate(&Source::new("manifest.toml", MANIFEST), &options)
            .map(|generated| generated.code)
            .map_err(|report| report.diagnostics().iter().map(|diagnostic| diagnostic.message().to_owned()).collect())
    }

    #[test]
    fn an_option_that_fits_is_in_the_code() {
        let code = with(&[("Item", "#[derive(PartialOrd)]\n#[non_exhaustive]")], &[], Some("crate::sdk")).unwrap();
        for piece in ["#[derive(PartialOrd)]\n", "#[non_exhaustive]\n", "crate::sdk::"] {
            assert!(code.contains(piece), "{piece}");
        }
        assert!(!code.contains("::ixt_sdk"));
        assert!(with(&[], &[], None).unwrap().contains("pub struct Item"));
    }

    #[test]
    fn an_option_that_does_not_fit_is_told() {
        let replaced = |name: &str| with(&[], &[(name, "crate::X")], None).unwrap_err();
        let in_default =
            |name: &str| [format!("`{name}` can't be replaced: the default of `carrier` is one, or holds one")];
        assert_eq!(replaced("Crate"), in_default("Crate"));
        assert_eq!(replaced("Box"), in_default("Box"));
        assert_eq!(replaced("Item"), in_default("Item"));
        assert_eq!(replaced("Free"), ["`Free` can't be replaced: it is the case `free` of a union"]);
        assert_eq!(replaced("Itm"), ["the option `replace` is for a type `Itm`, which is not declared in [types]"]);
        let attribute = |text: &str| with(&[("Item", text)], &[], None).unwrap_err();
        assert_eq!(attribute("derive(Copy)"), ["`derive(Copy)` is not an attribute"]);
        assert_eq!(attribute(""), ["`` is not an attribute"]);
        assert_eq!(
            with(&[("Config_", "#[x]")], &[], None).unwrap_err(),
            ["the option `attribute` is for a type `Config_`, which is not generated"]
        );
        let both = with(&[("Case", "#[x]")], &[("Case", "crate::X")], None).unwrap_err();
        assert_eq!(both, ["`Case` is replaced, so it takes no attributes"]);
        assert_eq!(with(&[], &[("Case", "a b")], None).unwrap_err(), ["`a b` is not the path of a type"]);
        assert_eq!(with(&[], &[], Some("a b")).unwrap_err(), ["`a b` is not the path of a crate"]);
    }
}
