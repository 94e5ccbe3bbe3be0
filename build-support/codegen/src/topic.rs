//! The `Topic` enum: `[provides] services`, typed.

use ixt_manifest::Manifest;
use proc_macro2::TokenStream;
use quote::quote;

use crate::{docs, names};

pub(crate) fn generate(manifest: &Manifest) -> TokenStream {
    let docs = docs::lines([format!("The services that the module `{}` provides.", manifest.module.name)]);
    let topics: Vec<&str> = manifest.services.iter().map(|service| service.topic.as_str()).collect();
    let idents: Vec<_> = manifest.services.iter().map(|service| names::camel(service.topic.as_str())).collect();
    let variants = manifest.services.iter().zip(&idents).map(|(service, ident)| {
        let mut lines = vec![format!("`{}`", service.topic)];
        if let Some(description) = &service.description {
            lines.push(String::new());
            lines.extend(docs::text(description));
        }
        let docs = docs::lines(lines);
        let deprecated = docs::deprecated(service.deprecated.as_ref());
        quote!(#docs #deprecated #ident)
    });
    let allow = docs::allow();
    quote! {
        #docs
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #allow
        pub enum Topic {
            #(#variants,)*
        }

        #allow
        impl Topic {
            /// Every topic, sorted by name.
            pub const ALL: &'static [Self] = &[#(Self::#idents),*];

            /// The name under which the service is called.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    #(Self::#idents => #topics,)*
                }
            }
        }

        impl ::std::fmt::Display for Topic {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl ::std::str::FromStr for Topic {
            type Err = ::ixt_sdk::UnknownTopic;

            fn from_str(topic: &str) -> ::std::result::Result<Self, ::ixt_sdk::UnknownTopic> {
                static INDEX: ::ixt_sdk::__private::TopicIndex<Topic> =
                    ::ixt_sdk::__private::TopicIndex::new(Topic::ALL, Topic::as_str);
                INDEX.find(topic)
            }
        }
    }
}
