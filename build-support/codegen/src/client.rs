//! The code for messages to and from other modules: functions that call required services, functions that publish
//! provided events, and typed constants for services and events.

use std::collections::BTreeSet;

use ixt_manifest::{Import, Imports, Manifest, MessageType, Name, ProvidedEvent};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::generated_types::GeneratedTypes;
use crate::names::{self, MessageRole};
use crate::options::CheckedOptions;
use crate::rust_code::{Lines, RustCode, string};
use crate::type_traits::TypeTraits;
use crate::{doc_comments, types};

/// The Rust module `client`: a constant and a function for each required service, and for each imported manifest a Rust
/// module with those of its types that are needed. Empty if no service is required and no manifest is imported.
pub(crate) fn generate(manifest: &Manifest, imports: &Imports) -> RustCode {
    let requires = &manifest.requires;
    if requires.services.is_empty() && imports.manifests.is_empty() {
        return RustCode::default();
    }
    let functions = requires.services.iter().map(|topic| function(topic, imports));
    let mut code = RustCode::quoted(functions.collect());
    for (import, items) in imported(manifest, imports) {
        let docs = doc_comments::comment([format!(
            "The types of the module `{}`, of version {} or later.",
            import.manifest.module.name, import.manifest.module.version
        )]);
        let traits = TypeTraits::of(&import.manifest, true, &BTreeSet::new());
        let types = types::generate(&items, &traits, &CheckedOptions::default());
        code.extend(types.module(docs, &names::import(import)));
    }
    module("client", "Calls of the services that this module requires.", code)
}

/// The Rust module `name` with these docs, which are Markdown, and items.
fn module(name: &str, docs: &str, code: RustCode) -> RustCode {
    let mut attributes = doc_comments::comment([docs]);
    attributes.push(doc_comments::ALLOW.to_owned());
    code.module(attributes, &format_ident!("{name}"))
}

/// For each imported manifest, in the order of `imports`, those of its types that the required services and events
/// need. A topic that no manifest declares needs none.
pub(crate) fn imported<'i>(manifest: &Manifest, imports: &'i Imports) -> Vec<(&'i Import, GeneratedTypes<'i>)> {
    let items = imports.manifests.iter().map(|import| {
        let is_this = |declared: &Import| std::ptr::eq(declared, import);
        let services = manifest.requires.services.iter().filter_map(|topic| imports.service(topic.as_str()));
        let services: Vec<_> = services.filter(|(declared, _)| is_this(declared)).map(|(_, service)| service).collect();
        let events = manifest.requires.events.iter().filter_map(|topic| imports.event(topic.as_str()));
        let events: Vec<_> = events.filter(|(declared, _)| is_this(declared)).map(|(_, event)| event).collect();
        (import, GeneratedTypes::imported(&import.manifest, &services, &events))
    });
    items.collect()
}

/// The constant and the function for a required service. If no imported manifest declares the service, or if it
/// declares no request, the function takes bytes; without a declared response it returns any JSON value. The function
/// gives the SDK the declared `ttl_ms`, if there is one.
fn function(topic: &Name, imports: &Imports) -> TokenStream {
    let ident = names::method(topic);
    let name = topic.as_str();
    let declared = imports.service(name);
    let mut lines = vec![format!("Calls `{topic}`.")];
    if let Some(description) = declared.and_then(|(_, service)| service.description.as_ref()) {
        lines.push(String::new());
        lines.extend(doc_comments::text(description));
    }
    lines.extend([String::new(), "# Errors".to_owned(), String::new()]);
    lines.push(match declared {
        Some((import, service)) if !service.errors.is_empty() => {
            format!(
                "Those of [`{}::{}`], and those that any call can have.",
                names::import(import),
                names::errors(topic)
            )
        }
        _ => "Those of the service, and those that any call can have.".to_owned(),
    });
    let docs = doc_comments::attributes(lines, declared.and_then(|(_, service)| service.deprecated.as_ref()));
    let ttl = match declared.and_then(|(_, service)| service.ttl_ms) {
        Some(ttl) => quote!(::std::option::Option::Some(#ttl)),
        None => quote!(::std::option::Option::None),
    };
    let ty = |role, message: &MessageType| {
        let (import, _) = declared.expect("messages are declared by an import");
        let (module, ident) = (names::import(import), names::message(topic, role, message));
        quote!(#module::#ident)
    };
    let request = declared.and_then(|(_, service)| service.request.as_ref());
    let response = declared.and_then(|(_, service)| service.response.as_ref());
    let response = match response {
        Some(response) => ty(MessageRole::Response, response),
        None => quote!(::ixt_sdk::Value),
    };
    let (constant, constant_docs) = (names::constant(topic), format!(" `{topic}`, with its types."));
    let request_type = match request {
        Some(request) => ty(MessageRole::Request, request),
        None => quote!(::ixt_sdk::Payload),
    };
    let constant = quote! {
        #[doc = #constant_docs]
        pub const #constant: ::ixt_sdk::Service<#request_type, #response> = ::ixt_sdk::Service::new(#name);
    };
    match request {
        Some(_) => {
            quote! {
                #constant

                #docs
                pub fn #ident(caller: &impl ::ixt_sdk::Caller, request: &#request_type) -> ::ixt_sdk::Call<#response> {
                    ::ixt_sdk::__private::call(caller, #name, request, #ttl)
                }
            }
        }
        None => quote! {
            #constant

            #docs
            pub fn #ident(caller: &impl ::ixt_sdk::Caller, payload: &[u8]) -> ::ixt_sdk::Call<#response> {
                ::ixt_sdk::__private::call_raw(caller, #name, payload, #ttl)
            }
        },
    }
}

/// The Rust type of a required event's payload, as a path from the root of the generated code:
/// `client::orders::OrderPlaced`. It is `::ixt_sdk::Payload` if no imported manifest declares the event, or if it
/// declares no payload.
pub(crate) fn event_payload(topic: &Name, imports: &Imports) -> String {
    match imports.event(topic.as_str()) {
        Some((import, ProvidedEvent { payload: Some(payload), .. })) => {
            let (module, ident) = (names::import(import), names::message(topic, MessageRole::Payload, payload));
            format!("client::{module}::{ident}")
        }
        _ => "::ixt_sdk::Payload".to_owned(),
    }
}

/// The Rust module `publish`: a constant and a function for each provided event. Without a declared payload the
/// function takes bytes. Empty if no event is provided.
pub(crate) fn publish(manifest: &Manifest) -> RustCode {
    if manifest.events.is_empty() {
        return RustCode::default();
    }
    let functions = manifest.events.iter().map(|event| {
        let ident = names::method(&event.topic);
        let name = event.topic.as_str();
        let mut lines = vec![format!("Publishes `{name}`.")];
        if let Some(description) = &event.description {
            lines.push(String::new());
            lines.extend(doc_comments::text(description));
        }
        lines.extend(["", "# Errors", "", "If the host does not take it."].map(str::to_owned));
        let docs = doc_comments::attributes(lines, event.deprecated.as_ref());
        let payload = event.payload.as_ref().map(|payload| names::message(&event.topic, MessageRole::Payload, payload));
        let ty = payload.as_ref().map_or_else(|| quote!(::ixt_sdk::Payload), |payload| quote!(super::#payload));
        let (constant, constant_docs) = (names::constant(&event.topic), format!(" `{name}`, with its type."));
        let constant = quote! {
            #[doc = #constant_docs]
            pub const #constant: ::ixt_sdk::Event<#ty> = ::ixt_sdk::Event::new(#name);
        };
        match &payload {
            Some(payload) => {
                quote! {
                    #constant

                    #docs
                    pub async fn #ident(
                        caller: &impl ::ixt_sdk::Caller,
                        event: &super::#payload,
                    ) -> ::ixt_sdk::Result<()> {
                        ::ixt_sdk::Caller::bus(caller).publish_json(#name, event).await
                    }
                }
            }
            None => quote! {
                #constant

                #docs
                pub async fn #ident(caller: &impl ::ixt_sdk::Caller, payload: &[u8]) -> ::ixt_sdk::Result<()> {
                    ::ixt_sdk::Caller::bus(caller).publish(#name, payload).await
                }
            },
        }
    });
    module("publish", "The events that this module publishes.", RustCode::quoted(functions.collect()))
}

/// The Rust modules `services` and `events`: a typed constant for each provided service and each required event, with
/// which tests call the module. A Rust module without constants is left out.
pub(crate) fn constants(manifest: &Manifest, imports: &Imports) -> RustCode {
    let ty = |topic, role, message: Option<&MessageType>, raw: &str| match message {
        Some(message) => format!("super::{}", names::message(topic, role, message)),
        None => raw.to_owned(),
    };
    let constant = |topic: &Name, ty: &str| {
        let (kind, _) = ty.split_once('<').expect("the type has parameters");
        let mut lines = doc_comments::comment([format!("`{topic}`")]);
        let name = names::constant(topic);
        lines.push(format!("pub const {name}: {ty} ="));
        lines.push(format!("    {kind}::new({});", string(topic.as_str())));
        lines
    };
    let services = manifest.services.iter().flat_map(|service| {
        let request = ty(&service.topic, MessageRole::Request, service.request.as_ref(), "::ixt_sdk::Payload");
        let response = ty(&service.topic, MessageRole::Response, service.response.as_ref(), "::ixt_sdk::Value");
        constant(&service.topic, &format!("::ixt_sdk::Service<{request}, {response}>"))
    });
    let events = manifest.requires.events.iter().flat_map(|topic| {
        let payload = match event_payload(topic, imports) {
            raw if raw.starts_with("::") => raw,
            payload => format!("super::{payload}"),
        };
        constant(topic, &format!("::ixt_sdk::Event<{payload}>"))
    });
    let (services, events): (Lines, Lines) = (services.collect(), events.collect());
    let mut code = RustCode::default();
    if !services.is_empty() {
        let docs = "The services that this module provides, with their types.";
        code.extend(module("services", docs, RustCode::lines(&services)));
    }
    if !events.is_empty() {
        code.extend(module("events", "The events that this module takes, with their types.", RustCode::lines(&events)));
    }
    code
}
