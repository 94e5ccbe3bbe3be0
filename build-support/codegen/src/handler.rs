//! The code of the trait `Handler`, which the author implements; of the dispatch from topics to its methods; and of the
//! functions that run the module.

use ixt_manifest::{Imports, Manifest, MessageType, Name, ProvidedService};
use proc_macro2::{Ident, TokenStream};
use quote::quote;

use crate::names::MessageRole;
use crate::rust_code::{Lines, RustCode, string};
use crate::{client, doc_comments, names};

/// `Handler`, `run`, `run_async` and `module`, and the implementation of the SDK's trait `Module` that calls the
/// handler. They are generated for every module, also for one without services and events.
pub(crate) fn generate(manifest: &Manifest, imports: &Imports) -> RustCode {
    let name = manifest.module.name.as_str();
    let version = manifest.module.version.as_str();
    let lines = [
        format!("What the module `{name}` does: a method for each service that it provides."),
        String::new(),
        "Implement the methods as plain `async fn`. They run concurrently, each on a shared `&self`. One that computes or".to_owned(),
        "blocks for long holds up no other, but costs a thread meanwhile: declare such a service `blocking`, or use".to_owned(),
        "`ixt_sdk::blocking` for that part.".to_owned(),
    ];
    let docs = doc_comments::attributes(lines, None);
    let (services, events) = (&manifest.services, &manifest.requires.events);
    let (arms, call) =
        if services.is_empty() { (None, quote!(_)) } else { (Some(quote!(__ARMS__ => {})), quote!(call)) };
    let methods = (!services.is_empty() || !events.is_empty()).then(|| {
        quote!(
            fn __METHODS__();
        )
    });
    let take_events = take_events(events);
    let allow = doc_comments::allow();
    let items = quote! {
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

            #methods

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
            module::<H>().run()
        }

        /// Like `run`, for a `main` that has a tokio runtime of its own.
        #allow
        pub async fn run_async<H: Handler>() -> ::std::process::ExitCode {
            module::<H>().run_async().await
        }

        /// The module with this handler: to run it with other settings or with middleware, and to test it.
        #allow
        pub fn module<H: Handler>() -> ::ixt_sdk::Launcher<__Module<H>> {
            ::ixt_sdk::Launcher::new()
        }

        #[doc(hidden)]
        #allow
        pub struct __Module<H>(::std::marker::PhantomData<H>);

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
                    #arms
                }
            }

            #take_events

            async fn health_check(handler: &H) -> ::ixt_sdk::Result<::ixt_sdk::Health> {
                <H as Handler>::health_check(handler).await
            }

            async fn shutdown(handler: &H) -> ::ixt_sdk::Result<()> {
                <H as Handler>::shutdown(handler).await
            }
        }
    };
    let arm = |service: &ProvidedService| {
        let call = if service.blocking { "blocking" } else { "service" };
        let (variant, method) = (names::camel(service.topic.as_str()), names::method(&service.topic));
        format!("Topic::{variant} => call.{call}(<H as Handler>::{method}),")
    };
    let event_arm = |(index, topic)| format!("{index} => call.event(<H as Handler>::{}),", names::event_method(topic));
    let methods = services.iter().map(method).chain(events.iter().map(|topic| event_method(topic, imports)));
    RustCode::filled(
        items,
        &[
            ("METHODS", methods.flatten().collect()),
            ("ARMS", services.iter().map(arm).collect()),
            ("EVENTS", events.iter().map(|topic| string(topic.as_str()) + ",").collect()),
            ("EVENT_ARMS", events.iter().enumerate().map(event_arm).collect()),
        ],
    )
}

/// The method of a service: `async`, unless the service is declared `blocking`. Without a declared request it takes
/// bytes; without a declared response it returns any response. `ttl_ms` and `idempotent` change nothing in it.
fn method(service: &ProvidedService) -> Lines {
    let mut docs = vec![format!("Handles `{}`.", service.topic)];
    if let Some(description) = &service.description {
        docs.push(String::new());
        docs.extend(doc_comments::text(description));
    }
    if !service.errors.is_empty() {
        docs.extend([String::new(), format!("Its own errors are [`{}`].", names::errors(&service.topic))]);
    }
    if service.blocking {
        docs.extend([String::new(), "It may block its thread.".to_owned()]);
    }
    let message = |role, message: Option<&MessageType>, raw: &str| match message {
        Some(message) => names::message(&service.topic, role, message).to_string(),
        None => raw.to_owned(),
    };
    let request = message(MessageRole::Request, service.request.as_ref(), "::ixt_sdk::Payload");
    let response = message(MessageRole::Response, service.response.as_ref(), "::ixt_sdk::Response");
    let result = format!("::ixt_sdk::Result<{response}>");
    let result = if service.blocking { result } else { future(&result) };
    signature(docs, &names::method(&service.topic), &format!("request: {request}"), &result)
}

/// The method of a required event. It is always `async`. It takes bytes if [`client::event_payload`] knows no type.
fn event_method(topic: &Name, imports: &Imports) -> Lines {
    let mut docs = vec![format!("Takes the event `{topic}`.")];
    if let Some(description) = imports.event(topic.as_str()).and_then(|(_, event)| event.description.as_ref()) {
        docs.push(String::new());
        docs.extend(doc_comments::text(description));
    }
    let event = format!("event: {}", client::event_payload(topic, imports));
    signature(docs, &names::event_method(topic), &event, &future("::ixt_sdk::Result<()>"))
}

/// The type that an `async fn` with this output returns, declared as `Send`.
fn future(output: &str) -> String {
    format!("impl ::std::future::Future<Output = {output}> + ::std::marker::Send")
}

/// The declaration of a method with `&self`, one argument, and the context.
fn signature(docs: Lines, method: &Ident, argument: &str, result: &str) -> Lines {
    let mut lines = doc_comments::comment(docs);
    lines.extend([
        format!("fn {method}("),
        "    &self,".to_owned(),
        format!("    {argument},"),
        "    ctx: ::ixt_sdk::Context,".to_owned(),
        format!(") -> {result};"),
    ]);
    lines
}

/// The part of the SDK's trait `Module` about the events that the module handles. `None` if it handles none.
fn take_events(events: &[Name]) -> Option<TokenStream> {
    if events.is_empty() {
        return None;
    }
    Some(quote! {
        const EVENTS: &'static [&'static str] = &[__EVENTS__];

        fn handle_event(event: usize, call: ::ixt_sdk::__private::Call<H>) -> ::ixt_sdk::__private::Handling {
            match event {
                __EVENT_ARMS__ => {}
                _ => ::std::unreachable!("the SDK knows the events"),
            }
        }
    })
}
