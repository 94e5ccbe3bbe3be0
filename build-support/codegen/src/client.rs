//! The other direction: functions that call what the module requires, and that publish what it provides, each with the
//! types that the manifests declare.

use std::collections::BTreeSet;

use ixt_manifest::{Event, Import, Imports, Manifest, Message, Name};
use proc_macro2::TokenStream;
use quote::{format_ident, quote};

use crate::code::Code;
use crate::items::{Items, Traits};
use crate::names::{self, Role};
use crate::options::Tailoring;
use crate::{docs, types};

/// The module `client`: a function for each required service, and the types of the manifests that declare them.
pub(crate) fn generate(manifest: &Manifest, imports: &Imports) -> Code {
    let requires = &manifest.requires;
    if requires.services.is_empty() && imports.manifests.is_empty() {
        return Code::default();
    }
    let functions = requires.services.iter().map(|topic| function(topic, imports));
    let mut code = Code::quoted(functions.collect());
    for (import, items) in imported(manifest, imports) {
        let docs = docs::comment([format!(
            "The types of the module `{}`, of version {} or later.",
            import.manifest.module.name, import.manifest.module.version
        )]);
        let traits = Traits::of(&import.manifest, true, &BTreeSet::new());
        let types = types::generate(&items, &traits, &Tailoring::default());
        code.extend(types.module(docs, &names::import(import)));
    }
    module("client", "Calls of the services that this module requires.", code)
}

fn module(name: &str, docs: &str, code: Code) -> Code {
    let mut attributes = docs::comment([docs]);
    attributes.push(docs::ALLOW.to_owned());
    code.module(attributes, &format_ident!("{name}"))
}

/// What is needed of each imported manifest.
pub(crate) fn imported<'i>(manifest: &Manifest, imports: &'i Imports) -> Vec<(&'i Import, Items<'i>)> {
    let items = imports.manifests.iter().map(|import| {
        let is_this = |declared: &Import| std::ptr::eq(declared, import);
        let services = manifest.requires.services.iter().filter_map(|topic| imports.service(topic.as_str()));
        let services: Vec<_> = services.filter(|(declared, _)| is_this(declared)).map(|(_, service)| service).collect();
        let events = manifest.requires.events.iter().filter_map(|topic| imports.event(topic.as_str()));
        let events: Vec<_> = events.filter(|(declared, _)| is_this(declared)).map(|(_, event)| event).collect();
        (import, Items::imported(&import.manifest, &services, &events))
    });
    items.collect()
}

fn function(topic: &Name, imports: &Imports) -> TokenStream {
    let ident = names::method(topic);
    let name = topic.as_str();
    let declared = imports.service(name);
    let mut lines = vec![format!("Calls `{topic}`.")];
    if let Some(description) = declared.and_then(|(_, service)| service.description.as_ref()) {
        lines.push(String::new());
        lines.extend(docs::text(description));
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
    let docs = docs::attributes(lines, declared.and_then(|(_, service)| service.deprecated.as_ref()));
    let ttl = match declared.and_then(|(_, service)| service.ttl_ms) {
        Some(ttl) => quote!(::std::option::Option::Some(#ttl)),
        None => quote!(::std::option::Option::None),
    };
    let ty = |role, message: &Message| {
        let (import, _) = declared.expect("messages are declared by an import");
        let (module, ident) = (names::import(import), names::message(topic, role, message));
        quote!(#module::#ident)
    };
    let request = declared.and_then(|(_, service)| service.request.as_ref());
    let response = declared.and_then(|(_, service)| service.response.as_ref());
    let response = match response {
        Some(response) => ty(Role::Response, response),
        None => quote!(::ixt_sdk::Value),
    };
    match request {
        Some(request) => {
            let request = ty(Role::Request, request);
            quote! {
                #docs
                pub async fn #ident(
                    caller: &impl ::ixt_sdk::Caller,
                    request: &#request,
                ) -> ::ixt_sdk::Result<#response> {
                    ::ixt_sdk::__private::call(caller, #name, request, #ttl).await
                }
            }
        }
        None => quote! {
            #docs
            pub async fn #ident(
                caller: &impl ::ixt_sdk::Caller,
                payload: &[u8],
            ) -> ::ixt_sdk::Result<#response> {
                ::ixt_sdk::__private::call_raw(caller, #name, payload, #ttl).await
            }
        },
    }
}

/// The type of a required event's payload, seen from the root of the generated code.
pub(crate) fn event_payload(topic: &Name, imports: &Imports) -> String {
    match imports.event(topic.as_str()) {
        Some((import, Event { payload: Some(payload), .. })) => {
            let (module, ident) = (names::import(import), names::message(topic, Role::Payload, payload));
            format!("client::{module}::{ident}")
        }
        _ => "::ixt_sdk::Payload".to_owned(),
    }
}

/// The module `publish`: a function for each event that the module provides.
pub(crate) fn publish(manifest: &Manifest) -> Code {
    if manifest.events.is_empty() {
        return Code::default();
    }
    let functions = manifest.events.iter().map(|event| {
        let ident = names::method(&event.topic);
        let name = event.topic.as_str();
        let mut lines = vec![format!("Publishes `{name}`.")];
        if let Some(description) = &event.description {
            lines.push(String::new());
            lines.extend(docs::text(description));
        }
        lines.extend(["", "# Errors", "", "If the host does not take it."].map(str::to_owned));
        let docs = docs::attributes(lines, event.deprecated.as_ref());
        match &event.payload {
            Some(payload) => {
                let payload = names::message(&event.topic, Role::Payload, payload);
                quote! {
                    #docs
                    pub async fn #ident(
                        caller: &impl ::ixt_sdk::Caller,
                        event: &super::#payload,
                    ) -> ::ixt_sdk::Result<()> {
                        ::ixt_sdk::__private::publish(caller, #name, event).await
                    }
                }
            }
            None => quote! {
                #docs
                pub async fn #ident(caller: &impl ::ixt_sdk::Caller, payload: &[u8]) -> ::ixt_sdk::Result<()> {
                    ::ixt_sdk::__private::publish_raw(caller, #name, payload).await
                }
            },
        }
    });
    module("publish", "The events that this module publishes.", Code::quoted(functions.collect()))
}
