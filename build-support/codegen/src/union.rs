//! The code of a tagged union.

use ixt_manifest::{Case, Message};
use proc_macro2::Ident;

use crate::items::{About, Owner, Traits};
use crate::record::{entries, member};
use crate::rust_code::{Code, Lines, block, ending, string};
use crate::types::{attributes, derives};
use crate::{doc_comments, names};

pub(crate) fn union(
    ident: &Ident,
    about: &About<'_>,
    cases: &[Case],
    open: bool,
    owner: Owner<'_>,
    traits: &Traits<'_>,
) -> Code {
    let Owner::Type(name) = owner else { unreachable!("unions are declared in [types]") };
    let mut definition = attributes(about);
    definition.push(derives(traits.of_name(name), false));
    let mut variants: Lines = cases.iter().flat_map(|case| variant(case, ident, owner, traits)).collect();
    let mut arguments = vec![format!("{ident},")];
    for (index, case) in cases.iter().enumerate() {
        arguments.extend(entry(index, case, ident, owner, traits));
    }
    if open {
        let unknown = names::UNKNOWN;
        variants.push("/// An object of a case that this version of the module does not know.".to_owned());
        variants.push(format!("{unknown}(::ixt_sdk::Value),"));
        arguments[0] = format!("{ident}; {unknown},");
    }
    definition.extend(block(&format!("pub enum {ident}"), &variants));
    let mut code = Code::lines(&definition);
    code.extend(Code::lines(&block("::ixt_sdk::__private::union!", &arguments)));
    code
}

fn variant(case: &Case, union: &Ident, owner: Owner<'_>, traits: &Traits<'_>) -> Lines {
    let variant = names::camel(case.name.as_str()).to_string();
    let tag = doc_comments::code_span(case.name.as_str());
    let (docs, definition) = match &case.content {
        Message::Named(record) => {
            let content = names::camel(record.as_str());
            (vec![format!("{tag}: `{record}`.")], vec![format!("{variant}({content})")])
        }
        Message::Inline { fields, description } => {
            let docs = doc_comments::described(description.as_ref(), format!("{tag}."));
            let owner_ident = names::inline(&union.to_string(), &case.name);
            let members: Lines =
                fields.iter().flat_map(|field| member(field, "", &owner_ident, owner, traits)).collect();
            (docs, if members.is_empty() { vec![variant] } else { block(&variant, &members) })
        }
    };
    let mut lines = doc_comments::comment(docs);
    lines.extend(doc_comments::deprecated(case.deprecated.as_ref()));
    lines.extend(ending(definition, ","));
    lines
}

/// A case for the SDK's `union!`.
fn entry(index: usize, case: &Case, union: &Ident, owner: Owner<'_>, traits: &Traits<'_>) -> Lines {
    let head = format!("{index} {} = {}", names::camel(case.name.as_str()), string(case.name.as_str()));
    let lines = match &case.content {
        Message::Named(record) => vec![format!("{head} ({})", names::camel(record.as_str()))],
        Message::Inline { fields, .. } => {
            block(&head, &entries(fields, &names::inline(&union.to_string(), &case.name), owner, traits))
        }
    };
    ending(lines, ",")
}
