//! The code of the enum of the errors that a service declares. Its callers match on it, and its handler returns it.

use ixt_manifest::ProvidedService;
use proc_macro2::Ident;
use quote::quote;

use crate::rust_code::RustCode;
use crate::{doc_comments, names};

/// The enum with `ALL`, `code`, `error` and `of`, and its conversion into the SDK's `Error`; variants are sorted by
/// code. The message of the converted error is the error's description, or without one its code in lower case, with
/// spaces for `_`.
pub(crate) fn service_errors(ident: &Ident, service: &ProvidedService) -> RustCode {
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
    RustCode::quoted(quote! {
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

            /// The variant with this error's code; `None` if the manifest declares no such error.
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
