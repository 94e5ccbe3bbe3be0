//! The code of an enum whose variants are texts in JSON. Tagged unions are in `union`, the errors of a service in
//! `service_errors`.

use ixt_manifest::EnumValue;
use proc_macro2::Ident;
use quote::{format_ident, quote};

use crate::generated_types::TypeDocs;
use crate::rust_code::{RustCode, tokens};
use crate::rust_types::attributes;
use crate::{doc_comments, names};

/// The enum with `ALL` and `as_str`, and the SDK's traits for it, with `Display` and `FromStr`. If it is open, a last
/// variant `Unknown` holds any other text, and the enum is not `Copy`; otherwise another text can't be read. `Unknown`
/// is not in `ALL`. Variants are in the order of `values`.
pub(crate) fn text_enum(ident: &Ident, docs: &TypeDocs<'_>, values: &[EnumValue], open: bool) -> RustCode {
    let attributes = tokens(&attributes(docs).join("\n"));
    let derives = if open {
        quote!(#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)])
    } else {
        quote!(#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)])
    };
    let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
    let variants: Vec<_> = values.iter().map(|value| names::camel(value.name.as_str())).collect();
    let members = values.iter().zip(&variants).map(|(value, variant)| {
        let docs = doc_comments::described(value.description.as_ref(), doc_comments::code_span(value.name.as_str()));
        let docs = doc_comments::attributes(docs, value.deprecated.as_ref());
        quote!(#docs #variant,)
    });
    let unknown = format_ident!("{}", names::UNKNOWN);
    let unknown_member = open.then(|| {
        quote! {
            /// A value that this version of the module does not know.
            #unknown(::std::string::String),
        }
    });
    let unknown_name = open.then(|| quote!(Self::#unknown(value) => value,));
    let (receiver, text) = if open { (quote!(&self), quote!(&str)) } else { (quote!(self), quote!(&'static str)) };
    let make_unknown = open.then(|| {
        quote! {
            fn unknown(text: &str) -> ::std::option::Option<Self> {
                ::std::option::Option::Some(Self::#unknown(::std::string::String::from(text)))
            }
        }
    });
    let name = if open { quote!(self.as_str()) } else { quote!((*self).as_str()) };
    let constness = (!open).then(|| quote!(const));
    let allow = doc_comments::allow();
    RustCode::quoted(quote! {
        #attributes
        #derives
        pub enum #ident {
            #(#members)*
            #unknown_member
        }

        #allow
        impl #ident {
            /// Every value that the manifest declares: in the order of its array, or sorted if it is a table.
            pub const ALL: &'static [Self] = &[#(Self::#variants),*];

            /// The text of the value.
            #[must_use]
            pub #constness fn as_str(#receiver) -> #text {
                match self {
                    #(Self::#variants => #names,)*
                    #unknown_name
                }
            }
        }

        #allow
        impl ::ixt_sdk::__private::TextEnum for #ident {
            const NAMES: &'static [&'static str] = &[#(#names),*];

            fn known(index: usize) -> Self {
                Self::ALL[index].clone()
            }

            #make_unknown

            fn name(&self) -> &str {
                #name
            }
        }

        ::ixt_sdk::__private::text_enum!(#ident);
    })
}
