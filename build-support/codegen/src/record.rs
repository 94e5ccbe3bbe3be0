//! The code of a record. The code of its fields is also used for the fields that a case of a union has in place
//! (`union`). The struct `Config` is in `config`; only the tables in it are records.

use ixt_manifest::Field;
use proc_macro2::Ident;

use crate::derives::Derivable;
use crate::generated_types::{FieldOwner, TypeDocs};
use crate::rust_code::{Lines, RustCode, block, string};
use crate::rust_types::{any_secret, attributes, field_type, rules};
use crate::type_traits::{Owner, TypeTraits};
use crate::{default_values, doc_comments, names};

/// A struct and the SDK's traits for it. It has `Default` if every field has a default or is optional, and no field
/// holds a secret. With a secret it has no `PartialEq`, `Eq`, `Hash` and `Copy`; without fields it is not `Copy`. A
/// record of the configuration can be read, but not written.
pub(crate) fn record(
    ident: &Ident,
    docs: &TypeDocs<'_>,
    fields: &[Field],
    kind: FieldOwner<'_>,
    traits: &TypeTraits<'_>,
) -> RustCode {
    let secret = any_secret(fields);
    let may_be_empty = fields.iter().all(|field| !field.is_required());
    let derive_default = may_be_empty && fields.iter().all(|field| field.default.is_none());
    let owner_ident = ident.to_string();
    let owner = Owner { ident: &owner_ident, kind, traits };

    let mut definition = attributes(docs);
    definition.push(if secret {
        "#[derive(Clone, Debug)]".to_owned()
    } else {
        let derivable = traits.of_fields(fields);
        Derivable { copy: derivable.copy && !fields.is_empty(), ..derivable }.attribute(derive_default)
    });
    let members: Lines = fields.iter().flat_map(|field| member(field, "pub ", owner)).collect();
    definition.extend(block(&format!("pub struct {ident}"), &members));
    let mut code = RustCode::lines(&definition);

    if may_be_empty && !derive_default && !secret {
        let value = |field: &Field| match &field.default {
            Some(default) => default_values::of_field(default, field, owner),
            None => "::std::option::Option::None".to_owned(),
        };
        let values: Lines =
            fields.iter().map(|field| format!("{}: {},", names::field(&field.name), value(field))).collect();
        let mut default = vec!["/// Every field at its default.".to_owned(), doc_comments::ALLOW.to_owned()];
        let function = block("fn default() -> Self", &block("Self", &values));
        default.extend(block(&format!("impl ::std::default::Default for {ident}"), &function));
        code.extend(RustCode::lines(&default));
    }

    // A record of the configuration can't be written, since it may hold secrets.
    let traits_macro = if kind == FieldOwner::Config { "decode_record" } else { "record" };
    let mut arguments = vec![format!("{ident},")];
    arguments.extend(entries(fields, owner));
    code.extend(RustCode::lines(&block(&format!("::ixt_sdk::__private::{traits_macro}!"), &arguments)));
    code
}

/// The lines of a field in a struct or a variant, with its documentation, in which its bounds are. `visibility` is the
/// word `pub` with a space after it, or empty in a variant.
pub(crate) fn member(field: &Field, visibility: &str, owner: Owner<'_>) -> Lines {
    let fallback = format!("`{}`, of type `{}`.", field.name, field.ty);
    let mut docs = doc_comments::described(field.description.as_ref(), fallback);
    if let Some(bounds) = doc_comments::bounds(&field.ty.bounds) {
        docs.extend([String::new(), bounds]);
    }
    let mut lines = doc_comments::comment(docs);
    lines.extend(doc_comments::deprecated(field.deprecated.as_ref()));
    let ty = field_type(field, owner);
    lines.push(format!("{visibility}{}: {ty},", names::field(&field.name)));
    lines
}

/// The fields as arguments of the SDK's macros `record!`, `decode_record!` and `union!`, one line each, in their order:
/// index from 0, Rust name, kind of presence (`required`, `optional` or `or`, with `_box` if the field is in a `Box`),
/// key, default and rules. Without fields there are no lines.
pub(crate) fn entries(fields: &[Field], owner: Owner<'_>) -> Lines {
    let entry = |(index, field): (usize, &Field)| {
        let kind = match (&field.default, field.ty.optional) {
            (Some(_), _) => "or",
            (None, true) => "optional",
            (None, false) => "required",
        };
        let boxed = if owner.boxes(field) { "_box" } else { "" };
        let mut entry =
            format!("{index} {} = {kind}{boxed}({}", names::field(&field.name), string(field.name.as_str()));
        if let Some(default) = &field.default {
            entry += ", ";
            entry += &default_values::of_field(default, field, owner);
        }
        if let Some(rules) = rules(&field.ty) {
            entry += "; ";
            entry += &rules;
        }
        entry + "),"
    };
    fields.iter().enumerate().map(entry).collect()
}
