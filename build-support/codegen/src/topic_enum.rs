//! The code of the enum `Topic`: a variant for each service of `[provides]`. Events have none.

use ixt_manifest::{Manifest, ProvidedService};
use quote::quote;

use crate::rust_code::{Lines, RustCode, string};
use crate::{doc_comments, names};

/// The enum, with `ALL`, `as_str`, `Display` and `FromStr`; variants are sorted by topic. Without services it is there
/// too, and has no variants.
pub(crate) fn generate(manifest: &Manifest) -> RustCode {
    let docs =
        doc_comments::attributes([format!("The services that the module `{}` provides.", manifest.module.name)], None);
    let allow = doc_comments::allow();
    let services = &manifest.services;
    let (variants, all, arms) = if services.is_empty() {
        Default::default()
    } else {
        (quote!(__VARIANTS__), quote!(__TOPICS__), quote!(__ARMS__ => {}))
    };
    let items = quote! {
        #docs
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #allow
        pub enum Topic {
            #variants
        }

        #allow
        impl Topic {
            /// Every topic, sorted by name.
            pub const ALL: &'static [Self] = &[#all];

            /// The name under which the service is called.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    #arms
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
    };
    let ident = |service: &ProvidedService| names::camel(service.topic.as_str());
    RustCode::filled(
        items,
        &[
            ("VARIANTS", services.iter().flat_map(variant).collect()),
            ("TOPICS", services.iter().map(|service| format!("Self::{},", ident(service))).collect()),
            (
                "ARMS",
                services
                    .iter()
                    .map(|service| format!("Self::{} => {},", ident(service), string(service.topic.as_str())))
                    .collect(),
            ),
        ],
    )
}

/// The variant of a service, with its documentation.
fn variant(service: &ProvidedService) -> Lines {
    let mut docs = vec![format!("`{}`", service.topic)];
    if let Some(description) = &service.description {
        docs.push(String::new());
        docs.extend(doc_comments::text(description));
    }
    let mut lines = doc_comments::comment(docs);
    lines.extend(doc_comments::deprecated(service.deprecated.as_ref()));
    lines.push(format!("{},", names::camel(service.topic.as_str())));
    lines
}
