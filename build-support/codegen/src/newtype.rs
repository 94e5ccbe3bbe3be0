//! The code of a newtype: a struct with one private field. Without bounds it has `From` its inner type, with bounds
//! `TryFrom`, which checks them. The SDK's macro `newtype!` implements these, `Deref` and serde's traits.

use ixt_manifest::{Name, Type};
use proc_macro2::Ident;
use quote::quote;

use crate::doc_comments;
use crate::generated_types::TypeDocs;
use crate::rust_code::{RustCode, string, tokens};
use crate::rust_types::{rules, rust_type};
use crate::type_traits::TypeTraits;

/// The struct, its `into_inner`, and the SDK's traits for it. `name` is the newtype's own name in the manifest, which the errors of
/// `TryFrom` show. `traits` decides whether it is `Copy`, `Eq` and `Hash`. It is never `Default`: the default of the
/// inner type may be outside of the bounds. The bounds of a list's items count as its own. The field is private to the
/// Rust module that includes the code, whose own code can skip the check.
pub(crate) fn newtype(ident: &Ident, docs: &TypeDocs<'_>, ty: &Type, name: &Name, traits: &TypeTraits<'_>) -> RustCode {
    let mut lines = doc_comments::described(docs.description, docs.fallback.clone());
    if let Some(bounds) = doc_comments::bounds(&ty.bounds) {
        lines.extend([String::new(), bounds]);
    }
    let mut attributes = doc_comments::comment(lines);
    attributes.extend(doc_comments::deprecated(docs.deprecated));
    let attributes = tokens(&attributes.join("\n"));
    let allow = tokens(doc_comments::ALLOW);
    let derives = tokens(&traits.of_type(ty).attribute(false));
    let inner = tokens(&rust_type(ty, &ident.to_string()));
    let rules = rules(ty).map(|rules| tokens(&format!(", {}, {rules}", string(name.as_str()))));
    RustCode::quoted(quote! {
        #attributes
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
    })
}
