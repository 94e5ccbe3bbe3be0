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
//! The crate includes the code with `ixt_sdk::include_module!()`, and gets
//!
//! - `Config`: a field for each key of `[config]`, with the manifest's defaults and bounds;
//! - `Topic`: a variant for each service of `[provides]`;
//! - a struct or an enum for each type of `[types]` and for each that is written in place, and an enum of each service's errors;
//! - `Handler`: the trait that the author implements, with a method for each provided service and each required event;
//! - `client` and `publish`: functions that call the required services and publish the provided events;
//! - `services` and `events`: typed constants for provided services and required events, for tests;
//! - `run`, `run_async` and `module`: the module's entry points.
//!
//! A mistake in the manifest ends the build with a report that points at the line; what is suspicious is a warning. The generated
//! code depends only on the manifest and on those that it imports: the same manifests give the same bytes, in any directory, and
//! in whatever order their keys are.
//!
//! [`compile`] is all that most build scripts need, and [`Builder`] has options. [`assert_fresh`] is for code that is checked in.
//! [`generate`] is the generator as a function from text to text, for tools. The manifest language is described in `REFERENCE.md`
//! beside the crate `ixt-manifest`.

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
