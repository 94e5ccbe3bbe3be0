//! The `Handler` trait that the author implements, the dispatch from topic to method, and the entry points.

use ixt_manifest::{Manifest, Service};
use proc_macro2::TokenStream;
use quote::quote;

use crate::names::Role;
use crate::{docs, names};

pub(crate) fn generate(manifest: &Manifest) -> TokenStream {
    let name = manifest.module.name.as_str();
    let version = &manifest.module.version;
    let docs = docs::lines([
        format!("What the module `{name}` does: a method for each service that it provides."),
        String::new(),
        "Implement the methods as plain `async fn`. They run concurrently, each on a shared `&self`, and must not block".to_owned(),
        "their thread for long: there are only as many threads as processors, and the host is answered on them too.".to_owned(),
    ]);
    let methods = manifest.services.iter().map(method);
    let idents: Vec<_> = manifest.services.iter().map(|service| names::method(&service.topic)).collect();
    let variants = manifest.services.iter().map(|service| names::variant(&service.topic));
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

        #[allow(dead_code)]
        struct __Served<H>(H);

        // A function for each topic: rustc checks the closures of one function together, in time that grows with the
        // square of their number.
        #allow
        impl<H: Handler> __Served<H> {
            #(
                fn #idents(
                    self: ::std::sync::Arc<Self>,
                    payload: ::ixt_sdk::Payload,
                    context: ::ixt_sdk::Context,
                ) -> ::ixt_sdk::__private::Handling {
                    ::ixt_sdk::__private::handle(payload, move |request| async move {
                        <H as Handler>::#idents(&self.0, request, context).await
                    })
                }
            )*
        }

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

            #[allow(clippy::too_many_lines)]
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
    let docs = docs::lines(lines);
    let method = names::method(&service.topic);
    let request = match &service.request {
        Some(request) => {
            let ident = names::message(service, Role::Request, request);
            quote!(#ident)
        }
        None => quote!(::ixt_sdk::Payload),
    };
    let response = match &service.response {
        Some(response) => {
            let ident = names::message(service, Role::Response, response);
            quote!(#ident)
        }
        None => quote!(::ixt_sdk::Response),
    };
    quote! {
        #docs
        fn #method(
            &self,
            request: #request,
            ctx: ::ixt_sdk::Context,
        ) -> impl ::std::future::Future<Output = ::ixt_sdk::Result<#response>> + ::std::marker::Send;
    }
}
