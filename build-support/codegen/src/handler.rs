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
    let dispatchers = manifest.services.iter().map(dispatcher);
    let event_dispatchers = manifest.requires.events.iter().map(event_dispatcher);
    let idents: Vec<_> = manifest.services.iter().map(|service| names::method(&service.topic)).collect();
    let variants = manifest.services.iter().map(|service| names::camel(service.topic.as_str()));
    let events = events(manifest);
    let (payload, context) =
        if manifest.services.is_empty() { (quote!(_), quote!(_)) } else { (quote!(payload), quote!(context)) };
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
            ::ixt_sdk::__private::run::<__Served<H>>()
        }

        /// Like `run`, for a `main` that has a tokio runtime of its own.
        #allow
        pub async fn run_async<H: Handler>() -> ::std::process::ExitCode {
            ::ixt_sdk::__private::run_async::<__Served<H>>().await
        }

        #allow
        struct __Served<H>(H);

        // A function for each topic: rustc checks the closures of one function together, in time that grows with the
        // square of their number.
        #allow
        impl<H: Handler> __Served<H> {
            #(#dispatchers)*
            #(#event_dispatchers)*
        }

        #allow
        impl<H: Handler> ::ixt_sdk::__private::Module for __Served<H> {
            const NAME: &'static str = #name;
            const VERSION: &'static str = #version;
            type Config = Config;
            type Topic = Topic;

            fn topics() -> impl ::std::iter::Iterator<Item = &'static str> {
                Topic::ALL.iter().map(|topic| topic.as_str())
            }

            async fn init(config: Config, runtime: ::ixt_sdk::Runtime) -> ::ixt_sdk::Result<Self> {
                ::std::result::Result::Ok(Self(H::init(config, runtime).await?))
            }

            fn handle(
                self: ::std::sync::Arc<Self>,
                topic: Topic,
                #payload: ::ixt_sdk::Payload,
                #context: ::ixt_sdk::Context,
            ) -> ::ixt_sdk::__private::Handling {
                match topic {
                    #(Topic::#variants => Self::#idents(self, payload, context),)*
                }
            }

            #events

            async fn health_check(&self) -> ::ixt_sdk::Result<::ixt_sdk::Health> {
                <H as Handler>::health_check(&self.0).await
            }

            async fn shutdown(&self) -> ::ixt_sdk::Result<()> {
                <H as Handler>::shutdown(&self.0).await
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

fn dispatcher(service: &Service) -> TokenStream {
    let ident = names::method(&service.topic);
    let call = if service.blocking {
        quote! {
            ::ixt_sdk::__private::handle_blocking(payload, move |request| {
                <H as Handler>::#ident(&self.0, request, context)
            })
        }
    } else {
        quote! {
            ::std::boxed::Box::pin(async move {
                let request = ::ixt_sdk::__private::request(payload)?;
                ::ixt_sdk::__private::reply(<H as Handler>::#ident(&self.0, request, context).await)
            })
        }
    };
    dispatcher_of(&ident, &call)
}

fn event_dispatcher(topic: &Name) -> TokenStream {
    let ident = names::event_method(topic);
    let call = quote! {
        ::std::boxed::Box::pin(async move {
            let event = ::ixt_sdk::__private::request(payload)?;
            ::ixt_sdk::__private::taken(<H as Handler>::#ident(&self.0, event, context).await)
        })
    };
    dispatcher_of(&ident, &call)
}

fn dispatcher_of(ident: &proc_macro2::Ident, call: &TokenStream) -> TokenStream {
    quote! {
        fn #ident(
            self: ::std::sync::Arc<Self>,
            payload: ::ixt_sdk::Payload,
            context: ::ixt_sdk::Context,
        ) -> ::ixt_sdk::__private::Handling {
            #call
        }
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

        fn handle_event(
            self: ::std::sync::Arc<Self>,
            event: usize,
            payload: ::ixt_sdk::Payload,
            context: ::ixt_sdk::Context,
        ) -> ::ixt_sdk::__private::Handling {
            match event {
                #(#indices => Self::#idents(self, payload, context),)*
                _ => ::std::unreachable!("the SDK knows the events"),
            }
        }
    })
}
