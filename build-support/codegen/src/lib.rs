//! Turns the `manifest.toml` of an IXT module into typed Rust code, from the module crate's `build.rs`:
//!
//! ```no_run
//! // build.rs
//! # #[allow(clippy::needless_doctest_main)]
//! fn main() {
//!     ixt_build::compile("manifest.toml");
//! }
//! ```
//!
//! The code is written to the file `module.rs` in `OUT_DIR`, and the crate includes it with
//! `ixt_sdk::include_module!()`. For a crate with several manifests, [`Builder::out_file`] sets the name of each file,
//! which is then included with `include!(concat!(env!("OUT_DIR"), "/name.rs"))`. The code has
//!
//! - `Config`: a field for each key of `[config]`, with the manifest's defaults and bounds;
//! - `Topic`: an enum with a variant for each provided service;
//! - a struct or an enum for each type of `[types]` and for each type that is written in place, and an enum for the
//!   errors of each service that declares some;
//! - `Handler`: the trait that the author implements, with a method for each provided service and each required event;
//! - `client` and `publish`: Rust modules with functions that call the required services and publish the provided
//!   events, and a typed constant for each. `client` also has the types that are needed of the manifests in
//!   `[requires.from]`;
//! - `services` and `events`: Rust modules with typed constants for provided services and required events, for tests;
//! - `run`, `run_async` and `module`: the module's entry points.
//!
//! `client`, `publish`, `services` and `events` exist only if the manifest has something for them.
//!
//! A mistake in the manifest ends the build with a report that points at the line. A warning is shown as a warning of
//! cargo, and the build goes on. The generated code depends only on the manifest, on the manifests that it names in
//! `[requires.from]`, on the options, and on the version of this crate. The same input gives the same bytes, in any
//! directory and with the keys of each table in any order. The order of an array's items may matter: the values of an
//! enum keep it.
//!
//! [`compile`] is all that most build scripts need. [`Builder`] does the same with options. [`assert_fresh`] is for
//! code that is checked in. [`generate`] returns the code instead of writing it, for tools; it reads the manifests of
//! `[requires.from]` from disk. `REFERENCE.md`, beside the crate `ixt-manifest`, describes the language of manifests.

mod assert_fresh;
mod build_script;
mod client;
mod collisions;
mod config;
mod default_values;
mod derives;
mod doc_comments;
mod generate;
mod generated_types;
mod handler;
mod names;
mod newtype;
mod options;
mod record;
mod rust_code;
mod rust_types;
mod scalar_types;
mod service_errors;
mod text_enum;
mod topic_enum;
mod type_graph;
mod type_traits;
mod types;
mod union;

pub use assert_fresh::assert_fresh;
pub use build_script::{Builder, compile};
pub use generate::{Generated, generate};
pub use ixt_manifest::{Code, Diagnostic, Place, Report, Severity, Source};
pub use options::Options;
