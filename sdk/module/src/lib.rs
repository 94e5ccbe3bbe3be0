//! The SDK that an IXT module links. A module is a process that a host starts, and that provides services by topic. Its author
//! writes a `manifest.toml`; `ixt-build` generates from it a typed `Config`, a `Topic` enum and a `Handler` trait, which the author
//! implements. This crate connects the process to its host over a Unix socket, reads every request into those types before the
//! handler's method runs, and sends the reply.
//!
//! ```no_run
//! use ixt_sdk::prelude::*;
//! # /*
//! ixt_sdk::include_module!(); // Config, Topic, Handler, the types of the manifest, run
//! # */
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/code/greeter.rs"));
//!
//! struct Greeter {
//!     config: Config,
//! }
//!
//! impl Handler for Greeter {
//!     async fn init(config: Config, _runtime: Runtime) -> Result<Self> {
//!         Ok(Self { config })
//!     }
//!
//!     async fn greet(&self, request: GreetRequest, _ctx: Context) -> Result<GreetResponse> {
//!         Ok(GreetResponse { text: format!("{}, {}!", self.config.greeting, request.name) })
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     run::<Greeter>()
//! }
//! ```
//!
//! The types that an author uses:
//!
//! - [`Error`] and [`Result`]: what a handler returns if it fails. A `std::error::Error` that is `Send`, `Sync` and `'static` converts with
//!   `?`.
//! - [`Context`]: the caller, the trace and the deadline of a request. [`Runtime`]: the module's view of its host. Both implement
//!   [`Caller`], which has the message [`Bus`] and the [`Kv`] store. The generated functions that call other modules and publish
//!   events take either.
//! - [`Bytes`]: a value of the manifest's type `bytes`. [`SecretString`] and [`SecretSlice`]: secrets of the configuration.
//! - [`Payload`] and [`Response`]: the request as bytes, and the free-form response, of a service for which the manifest declares no
//!   request or no response. An event without a declared payload is a [`Payload`] too.
//! - [`Health`]: the result of a health check. [`log`], [`log_error`] and [`LogLine`]: lines for the host's log.
//! - [`blocking`]: runs code that blocks its thread. [`Launcher`]: limits and [`middleware`].
//!
//! The [`guide`] says what a module does at run time, and how the methods of the Python and Node.js SDKs are called here.
//!
//! Features, none of which is on by default:
//!
//! - `pattern`: the manifest's key `pattern`. `datetime`: its type `datetime`, which is jiff's `Timestamp` in Rust. Without the feature,
//!   the code of a manifest that needs it doesn't compile.
//! - `tracing`: events of the crate tracing become lines of the host's log.
//! - `testing`: the test harness `ixt_sdk::testing`, which runs a module in memory.
//! - `compare-machinery`: for the benchmarks of this project only.

mod blocking;
mod boxed_future;
mod caller;
mod catch_panic;
mod clock;
#[cfg(feature = "compare-machinery")]
mod compare;
mod config;
mod context;
mod error;
mod health;
mod host_services;
mod json_value;
mod launcher;
mod log;
pub mod middleware;
mod module;
mod outgoing;
mod payload;
mod process;
mod reply;
mod request;
mod requests;
mod response;
mod runtime;
mod service;
mod session;
mod suggest;
#[cfg(feature = "testing")]
pub mod testing;
mod this_thread;
mod topic;
mod transport;
mod types;

pub use blocking::blocking;
pub use caller::Caller;
pub use config::ConfigKey;
pub use context::Context;
pub use error::{Error, Result};
pub use health::Health;
pub use host_services::bus::{Bus, Call};
pub use host_services::kv::{self, Kv};
pub use ixt_protocol::{LogLevel, Priority, code};
#[cfg(feature = "datetime")]
pub use jiff::Timestamp;
pub use launcher::Launcher;
#[cfg(feature = "tracing")]
pub use log::tracing;
pub use log::{LogLine, log, log_error};
pub use payload::{Payload, decode_payload, encode_payload};
pub use reply::Reply;
pub use response::Response;
pub use runtime::Runtime;
pub use secrecy::{ExposeSecret, SecretSlice, SecretString};
pub use serde_json::{Value, json};
pub use service::{Event, Service};
pub use topic::UnknownTopic;
pub use types::bytes::Bytes;
pub use types::newtype::InvalidValue;
pub use types::text_enum::UnknownValue;

// Its code boxes are parts of modules, which don't compile alone; examples/notifications has them in full.
#[cfg_attr(not(doctest), doc = include_str!("../RUNTIME.md"))]
pub mod guide {}

/// The types that most modules use: [`Bytes`], [`Caller`], [`Context`], [`Error`], [`ExposeSecret`], [`Health`], [`Payload`],
/// [`Response`], [`Result`] and [`Runtime`].
pub mod prelude {
    pub use crate::{Bytes, Caller, Context, Error, ExposeSecret, Health, Payload, Response, Result, Runtime};
}

/// Includes the file `module.rs` from `OUT_DIR`: the code that the crate's build script has generated from its manifest with
/// `ixt_build::compile`. In a crate without a build script it does not compile, and the error says what to add. A file with another
/// name, which `ixt_build::Builder::out_file` sets, is included by `include!(concat!(env!("OUT_DIR"), "/name.rs"))`.
#[macro_export]
macro_rules! include_module {
    () => {
        ::core::include!(::core::concat!(
            ::core::env!(
                "OUT_DIR",
                "`include_module!` finds no generated code, for this package has no build script. Put a file build.rs beside its \
                 Cargo.toml, with `fn main() { ixt_build::compile(\"manifest.toml\"); }`, and add ixt-build to its \
                 [build-dependencies]: `cargo add --build ixt-build`"
            ),
            "/module.rs"
        ));
    };
}

/// The items that generated code uses. Not for authors: all of them may change together with `ixt-build`, whose generation
/// `__require_generation` compares.
#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "pattern")]
    pub use regex_lite::Regex;
    pub use serde;

    pub use crate::caller::{call, call_raw};
    pub use crate::config::{ConfigKeys, FromConfig, default_config, read_config};
    pub use crate::module::{Call, Module};
    pub use crate::request::Handling;
    pub use crate::topic::TopicIndex;
    pub use crate::types::record::{DecodeRecord, EncodeRecord, Field, RecordReader, RecordWriter, slot};
    pub use crate::types::rules::{Rule, Rules};
    #[cfg(feature = "datetime")]
    pub use crate::types::scalars::timestamp;
    pub use crate::types::text_enum::{TextEnum, decode_enum, encode_enum, find_value};
    pub use crate::types::union::{Case, Union, decode_union, encode_union};
    pub use crate::types::{Decode, Encode, Reading};
    pub use crate::{
        __authors_type as authors_type, __decode_record as decode_record, __fields as fields, __newtype as newtype,
        __pattern as pattern, __record as record, __require_generation as require_generation, __serde as serde_traits,
        __text_enum as text_enum, __union as union,
    };
}

/// Generated code calls this with the `GENERATION` of the ixt-build that has made it (`build-support/codegen/src/generate.rs`). It
/// compiles only if the number is the one that this crate expects.
#[doc(hidden)]
#[macro_export]
macro_rules! __require_generation {
    (4u32) => {};
    ($other:tt) => {
        compile_error!(concat!(
            "the ixt-build that generated this code does not fit this ixt-sdk (generation ",
            stringify!($other),
            ", expected 4u32): take both from the same version in Cargo.toml"
        ));
    };
}
