//! The code of enums: of texts, and of a service's own errors.

use ixt_manifest::{EnumValue, Service};
use proc_macro2::Ident;
use quote::{format_ident, quote};

use crate::items::About;
use crate::rust_code::{Code, tokens};
use crate::types::attributes;
use crate::{doc_comments, names};

pub(crate) fn text_enum(ident: &Ident, about: &About<'_>, values: &[EnumValue], open: bool) -> Code {
    let attributes = tokens(&attributes(about).join("\n"));
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
    Code::quoted(quote! {
        #attributes
        #derives
        pub enum #ident {
            #(#members)*
            #unknown_member
        }

        #allow
        impl #ident {
            /// Every value that the manifest declares, in its order.
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

pub(crate) fn errors(ident: &Ident, service: &Service) -> Code {
    let docs = doc_comments::attributes([format!("The errors of `{}`.", service.topic)], None);
    let codes: Vec<&str> = service.errors.iter().map(|error| error.code.as_str()).collect();
    let variants: Vec<_> = codes.iter().map(|code| names::camel(code)).collect();
    let members = service.errors.iter().zip(&variants).map(|(error, variant)| {
        let docs = doc_comments::described(error.description.as_ref(), format!("`{}`.", error.code));
        let docs = doc_comments::attributes(docs, error.deprecated.as_ref());
        quote!(#docs #variant)
    });
    let messages = service.errors.iter().map(|error| {
        error.description.clone().unwrap_or_else(|| error.code.as_str().to_ascii_lowercase().replace('_', " "))
    });
    let retryable = service.errors.iter().map(|error| error.retryable);
    let allow = doc_comments::allow();
    Code::quoted(quote! {
        #docs
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #allow
        pub enum #ident {
            #(#members,)*
        }

        #allow
        impl #ident {
            /// Every error that the manifest declares.
            pub const ALL: &'static [Self] = &[#(Self::#variants),*];

            /// Its code on the wire.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    #(Self::#variants => #codes,)*
                }
            }

            /// The error with a message of its own.
            #[must_use]
            pub fn error(self, message: impl ::std::convert::Into<::std::string::String>) -> ::ixt_sdk::Error {
                let error = ::ixt_sdk::Error::new(self.code(), message);
                let retryable = match self {
                    #(Self::#variants => #retryable,)*
                };
                if retryable { error.retryable() } else { error }
            }

            /// Which of these an error is, if it is one.
            #[must_use]
            pub fn of(error: &::ixt_sdk::Error) -> ::std::option::Option<Self> {
                Self::ALL.iter().copied().find(|known| known.code() == error.code())
            }
        }

        #allow
        impl ::std::convert::From<#ident> for ::ixt_sdk::Error {
            fn from(error: #ident) -> Self {
                error.error(match error {
                    #(#ident::#variants => #messages,)*
                })
            }
        }
    })
}
