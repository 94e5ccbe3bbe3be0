//! The code of a tagged union.

use ixt_manifest::{Case, Field, Message};
use proc_macro2::{Ident, Literal, TokenStream};
use quote::{format_ident, quote};

use crate::items::{About, Owner, Traits};
use crate::record::{field_specs, member, read_fields};
use crate::types::{attributes, derives};
use crate::{docs, names};

pub(crate) fn union(
    ident: &Ident,
    about: &About<'_>,
    cases: &[Case],
    open: bool,
    owner: Owner<'_>,
    traits: &Traits<'_>,
) -> TokenStream {
    let attributes = attributes(about);
    let Owner::Type(name) = owner else { unreachable!("unions are declared in [types]") };
    let derives = derives(traits.of_name(name), false);
    let unknown = format_ident!("{}", names::UNKNOWN);
    let code = cases.iter().enumerate().map(|(index, case)| CaseCode::of(index, case, ident, owner, traits));
    let (mut members, mut specs, mut reads, mut writes) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for CaseCode { member, spec, read, write } in code {
        members.push(member);
        specs.push(spec);
        reads.push(read);
        writes.push(write);
    }
    let tags = cases.iter().map(|case| case.name.as_str());
    let unknown_member = open.then(|| {
        quote! {
            /// An object of a case that this version of the module does not know.
            #unknown(::ixt_sdk::Value),
        }
    });
    let make_unknown = open.then(|| {
        quote! {
            fn unknown(object: ::ixt_sdk::Value) -> ::std::option::Option<Self> {
                ::std::option::Option::Some(Self::#unknown(object))
            }
        }
    });
    let write_unknown = open.then(|| quote!(Self::#unknown(object) => writer.unknown(object),));
    let allow = docs::allow();
    quote! {
        #attributes
        #derives
        pub enum #ident {
            #(#members)*
            #unknown_member
        }

        #allow
        impl ::ixt_sdk::__private::Union for #ident {
            const CASES: &'static [::ixt_sdk::__private::Case] = &[
                #(::ixt_sdk::__private::Case { name: #tags, fields: #specs }),*
            ];

            fn decode_case<'de, A: ::ixt_sdk::__private::serde::de::MapAccess<'de>>(
                case: usize,
                reader: &mut ::ixt_sdk::__private::RecordReader<'de, A>,
            ) -> ::std::option::Option<Self> {
                match case {
                    #(#reads)*
                    _ => ::std::option::Option::None,
                }
            }

            #make_unknown

            fn encode_case<S: ::ixt_sdk::__private::serde::ser::SerializeMap>(
                &self,
                writer: &mut ::ixt_sdk::__private::RecordWriter<S>,
            ) {
                match self {
                    #(#writes)*
                    #write_unknown
                }
            }
        }

        ::ixt_sdk::__private::union!(#ident);
    }
}

/// What one case adds to the code of its union.
struct CaseCode {
    /// Its variant.
    member: TokenStream,
    /// Its fields, as the SDK knows them.
    spec: TokenStream,
    read: TokenStream,
    write: TokenStream,
}

impl CaseCode {
    fn of(index: usize, case: &Case, union: &Ident, owner: Owner<'_>, traits: &Traits<'_>) -> Self {
        let variant = names::camel(case.name.as_str());
        let tag = case.name.as_str();
        let index = Literal::usize_unsuffixed(index);
        let deprecated = docs::deprecated(case.deprecated.as_ref());
        match &case.content {
            Message::Named(record) => {
                let content = names::camel(record.as_str());
                let docs = docs::lines([format!("{}: `{record}`.", docs::code_span(tag))]);
                Self {
                    member: quote!(#docs #deprecated #variant(#content),),
                    spec: quote!(<#content as ::ixt_sdk::__private::DecodeRecord>::FIELDS),
                    read: quote! {
                        #index => ::ixt_sdk::__private::DecodeRecord::decode_fields(reader).map(Self::#variant),
                    },
                    write: quote! {
                        Self::#variant(content) => {
                            writer.case(#tag);
                            ::ixt_sdk::__private::EncodeRecord::encode_fields(content, writer);
                        }
                    },
                }
            }
            Message::Inline { fields, description } => {
                let docs = docs::lines(docs::described(description.as_ref(), format!("{}.", docs::code_span(tag))));
                let owner_ident = names::inline(&union.to_string(), &case.name);
                let members =
                    fields.iter().map(|field| member(field, &TokenStream::new(), &owner_ident, owner, traits));
                let field_specs = field_specs(fields);
                let read = read_fields(fields, &owner_ident, owner, traits, &quote!(Self::#variant));
                let idents = fields.iter().map(|field| names::field(&field.name));
                // Not the fields' own names, one of which could be `writer`.
                let bindings: Vec<_> = (0..fields.len()).map(|index| format_ident!("field_{index}")).collect();
                let writes =
                    fields.iter().zip(&bindings).map(|(field, binding)| write_binding(field, binding, owner, traits));
                let (content, pattern) = if fields.is_empty() {
                    (None, None)
                } else {
                    (Some(quote!({ #(#members,)* })), Some(quote!({ #(#idents: #bindings),* })))
                };
                Self {
                    member: quote!(#docs #deprecated #variant #content,),
                    spec: quote!(&[#(#field_specs),*]),
                    read: quote!(#index => { #read }),
                    write: quote! {
                        Self::#variant #pattern => {
                            writer.case(#tag);
                            #(#writes)*
                        }
                    },
                }
            }
        }
    }
}

/// Writes a field to which there is a reference; see `record`. a reference to the field.
fn write_binding(field: &Field, binding: &Ident, owner: Owner<'_>, traits: &Traits<'_>) -> TokenStream {
    let key = field.name.as_str();
    match (field.ty.optional, traits.is_boxed(owner, &field.ty)) {
        (true, true) => quote!(writer.optional(#key, #binding.as_deref());),
        (true, false) => quote!(writer.optional(#key, #binding.as_ref());),
        (false, true) => quote!(writer.field(#key, &**#binding);),
        (false, false) => quote!(writer.field(#key, #binding);),
    }
}
