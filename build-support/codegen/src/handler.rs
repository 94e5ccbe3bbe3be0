//! The `Handler` trait that the author implements, the dispatch from topic to method, and the entry points.

use ixt_manifest::{Imports, Manifest, Name, Service};
use proc_macro2::{Literal, TokenStream};
use quote::quote;

use crate::names::Role;
use crate::{client, docs, names};

pub(crate) fn generate(manifest: &Manifest, imports: &Imports) -> TokenStream {
    let name = manifest.module.name.as_str();
    let version = manifest.module.version.as_str();
    let docs = docs::lines([
        format!("What the module `{name}` does: a method for each service that it provides."),
        String::new(),
        "Implement the methods as plain `async fn`. They run concurrently, each on a shared `&self`, and must not block".to_owned(),
        "their thread for long: there are only as many threads as processors, and the host is answered on them too.".to_owned(),
    ]);
    let methods = manifest.services.iter().map(method);
    let event_methods = manifest.requires.events.iter().map(|topic| event_method(topic, imports));
    let calls = manifest.services.iter().map(|service| {
        let variant = names::camel(service.topic.as_str());
        let method = names::method(&service.topic);
        let call = if service.blocking { quote!(blocking) } else { quote!(service) };
        quote!(Topic::#variant => call.#call(<H as Handler>::#method),)
    });
    let events = events(manifest);
    let call = if manifest.services.is_empty() { quote!(_) } else { quote!(call) };
    let allow = docs::allow();
    quote! {
        #docs
        #allow
        pub trait Handler: ::std::marker::Sized + ::std::marker::Send + ::std::marker::Sync + 'static {
            /// Starts the module: opens what it needs with the configuration from the host.
            ///
            /// An error ends the module; the host reports it as the reason why the module did not start.
            fn init(
                config: Config,
                runtime: ::ixt_sdk::Runtime,
            ) -> impl ::std::future::Future<Output = ::ixt_sdk::Result<Self>> + ::std::marker::Send;

            #(#methods)*

            #(#event_methods)*

            /// Tells the host whether the module can do its work. An error says that it can't, and why.
            fn health_check(
                &self,
            ) -> impl ::std::future::Future<Output = ::ixt_sdk::Result<::ixt_sdk::Health>> + ::std::marker::Send {
                async { ::std::result::Result::Ok(::ixt_sdk::Health::healthy()) }
            }

            /// Closes what `init` opened. Called once, after the last request was answered.
            fn shutdown(
                &self,
            ) -> impl ::std::future::Future<Output = ::ixt_sdk::Result<()>> + ::std::marker::Send {
                async { ::std::result::Result::Ok(()) }
            }
        }

        /// Runs the module until its host shuts it down: call it from `main`, and return what it returns.
        #[must_use]
        #allow
        pub fn run<H: Handler>() -> ::std::process::ExitCode {
            ::ixt_sdk::__private::run::<__Module<H>>()
        }

        /// Like `run`, for a `main` that has a tokio runtime of its own.
        #allow
        pub async fn run_async<H: Handler>() -> ::std::process::ExitCode {
            ::ixt_sdk::__private::run_async::<__Module<H>>().await
        }

        #allow
        struct __Module<H>(::std::marker::PhantomData<H>);

        #allow
        impl<H: Handler> ::ixt_sdk::__private::Module for __Module<H> {
            const NAME: &'static str = #name;
            const VERSION: &'static str = #version;
            type Config = Config;
            type Topic = Topic;
            type Handler = H;

            fn topics() -> impl ::std::iter::Iterator<Item = &'static str> {
                Topic::ALL.iter().map(|topic| topic.as_str())
            }

            async fn init(config: Config, runtime: ::ixt_sdk::Runtime) -> ::ixt_sdk::Result<H> {
                <H as Handler>::init(config, runtime).await
            }

            fn handle(topic: Topic, #call: ::ixt_sdk::__private::Call<H>) -> ::ixt_sdk::__private::Handling {
                match topic {
                    #(#calls)*
                }
            }

            #events

            async fn health_check(handler: &H) -> ::ixt_sdk::Result<::ixt_sdk::Health> {
                <H as Handler>::health_check(handler).await
            }

            async fn shutdown(handler: &H) -> ::ixt_sdk::Result<()> {
                <H as Handler>::shutdown(handler).await
            }
        }
    }
}

fn method(service: &Service) -> TokenStream {
    let mut lines = vec![format!("Handles `{}`.", service.topic)];
    if let Some(description) = &service.description {
        lines.push(String::new());
        lines.extend(docs::text(description));
    }
    if !service.errors.is_empty() {
        lines.extend([String::new(), format!("Its own errors are [`{}`].", names::errors(&service.topic))]);
    }
    if service.blocking {
        lines.extend([String::new(), "It may block its thread.".to_owned()]);
    }
    let docs = docs::lines(lines);
    let method = names::method(&service.topic);
    let request = match &service.request {
        Some(request) => {
            let ident = names::message(&service.topic, Role::Request, request);
            quote!(#ident)
        }
        None => quote!(::ixt_sdk::Payload),
    };
    let response = match &service.response {
        Some(response) => {
            let ident = names::message(&service.topic, Role::Response, response);
            quote!(#ident)
        }
        None => quote!(::ixt_sdk::Response),
    };
    if service.blocking {
        return quote! {
            #docs
            fn #method(&self, request: #request, ctx: ::ixt_sdk::Context) -> ::ixt_sdk::Result<#response>;
        };
    }
    quote! {
        #docs
        fn #method(
            &self,
            request: #request,
            ctx: ::ixt_sdk::Context,
        ) -> impl ::std::future::Future<Output = ::ixt_sdk::Result<#response>> + ::std::marker::Send;
    }
}

fn event_method(topic: &Name, imports: &Imports) -> TokenStream {
    let mut lines = vec![format!("Takes the event `{topic}`.")];
    if let Some(description) = imports.event(topic.as_str()).and_then(|(_, event)| event.description.as_ref()) {
        lines.push(String::new());
        lines.extend(docs::text(description));
    }
    let docs = docs::lines(lines);
    let method = names::event_method(topic);
    let payload = client::event_payload(topic, imports);
    quote! {
        #docs
        fn #method(
            &self,
            event: #payload,
            ctx: ::ixt_sdk::Context,
        ) -> impl ::std::future::Future<Output = ::ixt_sdk::Result<()>> + ::std::marker::Send;
    }
}

/// What the SDK knows about the events that the module takes; nothing if it takes none.
fn events(manifest: &Manifest) -> Option<TokenStream> {
    let events = &manifest.requires.events;
    if events.is_empty() {
        return None;
    }
    let topics = events.iter().map(Name::as_str);
    let indices = (0..events.len()).map(Literal::usize_unsuffixed);
    let idents = events.iter().map(names::event_method);
    Some(quote! {
        const EVENTS: &'static [&'static str] = &[#(#topics),*];

        fn handle_event(event: usize, call: ::ixt_sdk::__private::Call<H>) -> ::ixt_sdk::__private::Handling {
            match event {
                #(#indices => call.event(<H as Handler>::#idents),)*
                _ => ::std::unreachable!("the SDK knows the events"),
            }
        }
    })
}
