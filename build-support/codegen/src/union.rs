//! The code of a tagged union: an enum with a variant for each case. Enums whose values are texts are in `text_enum`.

use ixt_manifest::{Case, MessageType};
use proc_macro2::Ident;

use crate::generated_types::{FieldOwner, TypeDocs};
use crate::record::{entries, member};
use crate::rust_code::{Lines, RustCode, block, ending, string};
use crate::rust_types::attributes;
use crate::type_traits::{Owner, TypeTraits};
use crate::{doc_comments, names};

/// The enum and the SDK's traits for it. If the union is open, a last variant `Unknown` holds the whole object of any
/// other case; otherwise such an object can't be read.
///
/// # Panics
///
/// If `kind` is not `FieldOwner::Type`: only `[types]` has unions.
pub(crate) fn union(
    ident: &Ident,
    docs: &TypeDocs<'_>,
    cases: &[Case],
    open: bool,
    kind: FieldOwner<'_>,
    traits: &TypeTraits<'_>,
) -> RustCode {
    let FieldOwner::Type(name) = kind else { unreachable!("unions are declared in [types]") };
    let mut definition = attributes(docs);
    definition.push(traits.of_name(name).attribute(false));
    let union_ident = ident.to_string();
    let owner = Owner { ident: &union_ident, kind, traits };
    let mut variants: Lines = cases.iter().flat_map(|case| variant(case, owner)).collect();
    let mut arguments = vec![format!("{ident},")];
    for (index, case) in cases.iter().enumerate() {
        arguments.extend(entry(index, case, owner));
    }
    if open {
        let unknown = names::UNKNOWN;
        variants.push("/// An object of a case that this version of the module does not know.".to_owned());
        variants.push(format!("{unknown}(::ixt_sdk::Value),"));
        arguments[0] = format!("{ident}; {unknown},");
    }
    definition.extend(block(&format!("pub enum {ident}"), &variants));
    let mut code = RustCode::lines(&definition);
    code.extend(RustCode::lines(&block("::ixt_sdk::__private::union!", &arguments)));
    code
}

/// A variant: a tuple with the record if the case names one, also one without fields; otherwise with the fields of the
/// case. A case with no fields in place is a unit variant.
fn variant(case: &Case, union: Owner<'_>) -> Lines {
    let variant = names::camel(case.name.as_str()).to_string();
    let tag = doc_comments::code_span(case.name.as_str());
    let (docs, definition) = match &case.content {
        MessageType::Named(record) => {
            let content = names::camel(record.as_str());
            (vec![format!("{tag}: `{record}`.")], vec![format!("{variant}({content})")])
        }
        MessageType::Inline { fields, description } => {
            let docs = doc_comments::described(description.as_ref(), format!("{tag}."));
            let ident = names::inline(union.ident, &case.name);
            let members: Lines = fields.iter().flat_map(|field| member(field, "", union.within(&ident))).collect();
            (docs, if members.is_empty() { vec![variant] } else { block(&variant, &members) })
        }
    };
    let mut lines = doc_comments::comment(docs);
    lines.extend(doc_comments::deprecated(case.deprecated.as_ref()));
    lines.extend(ending(definition, ","));
    lines
}

/// A case as an argument of the SDK's macro `union!`: its index, variant, tag, and record or fields.
fn entry(index: usize, case: &Case, union: Owner<'_>) -> Lines {
    let head = format!("{index} {} = {}", names::camel(case.name.as_str()), string(case.name.as_str()));
    let lines = match &case.content {
        MessageType::Named(record) => vec![format!("{head} ({})", names::camel(record.as_str()))],
        MessageType::Inline { fields, .. } => {
            block(&head, &entries(fields, union.within(&names::inline(union.ident, &case.name))))
        }
    };
    ending(lines, ",")
}
